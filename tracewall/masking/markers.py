"""Marks: what masked text is known by, and how it is known again when it is written back.

1. A mark is keyed: nobody makes one without the wall's key, and no text of a user's is
   taken for one. Without a key marks are plain words, and none is ever known again.
2. A mark tells the mask's name and nothing of the value. Whatever one mask leaves carries
   the same tag, but for pseudonyms, each of which carries a tag of its own.
3. Marks are ASCII without quotes, backslashes, commas and braces: they look alike in text,
   arrays, composites and JSON, in either format of the wire.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass

TAG = 12
"""How many hexadecimal digits a mask's tag has."""

PSEUDONYM = "h_"
"""What a pseudonym of a text begins with; 32 hexadecimal digits follow."""

PSEUDONYM_FORM = PSEUDONYM + "[0-9a-f]{32}"
"""A regular expression for the pseudonym of a text."""

_PLAIN_HEAD, _PLAIN_TAG = 12, 4
_CALLED = re.compile(
    rb"\[masked:([A-Za-z0-9_.-]{1,80}):([0-9a-f]{12})\]"
    rb"|\*\*\*([0-9a-f]{12})@|h_([0-9a-f]{24})([0-9a-f]{8})"
)


@dataclass(frozen=True, slots=True, repr=False)
class Mark:
    """How one mask marks text: ``whole`` values, the ``middle`` of them, a mail's ``local`` part.

    ``key`` tags pseudonyms; empty: they carry no tag.
    """

    whole: str = "[redacted]"
    middle: str = "[masked]"
    local: str = "***"
    key: bytes = b""

    def speller(self) -> Callable[[bytes], str]:
        """Give what spells a digest as a text of 16 bytes, the last a tag if there is a key."""
        if not self.key:
            return lambda digest: PSEUDONYM + digest[:16].hex()
        begun = _begun(self.key)

        def spelled(digest: bytes) -> str:
            head = digest[:_PLAIN_HEAD].hex()
            tag = begun()
            tag.update(head.encode())
            return f"{PSEUDONYM}{head}{tag.hexdigest()}"

        return spelled


PLAIN = Mark()
"""The marks of a wall without a key."""


def mark(key: bytes, name: str) -> Mark:
    """Give the marks of the mask called `name`, keyed by `key` (empty: plain ones)."""
    if not key:
        return PLAIN
    subkey = hmac.digest(key, b"tracewall mark", "sha256")
    tag = hmac.digest(subkey, name.encode(), "sha256").hex()[:TAG]
    word = f"[masked:{name}:{tag}]"
    return Mark(word, word, f"***{tag}", subkey)


def _begun(key: bytes) -> Callable[[], hashlib.blake2s]:
    # The digest is keyed already: a second HMAC would only cost more. The key takes a block of
    # its own, which is hashed once and copied.
    return hashlib.blake2s(key=key, digest_size=_PLAIN_TAG).copy


def _tagger(key: bytes) -> Callable[[bytes], str]:
    begun = _begun(key)

    def tag(head: bytes) -> str:
        digest = begun()
        digest.update(head)
        return digest.hexdigest()

    return tag


class Recogniser:
    """Knows the marks of some masks again, made with any of some keys."""

    __slots__ = ("_names", "_taggers")

    def __init__(self, names: Iterable[str], keys: Iterable[bytes]) -> None:
        marks = [(name, mark(key, name)) for key in keys if key for name in names]
        self._names = {made.local[3:].encode(): name for name, made in marks}
        self._taggers = tuple(map(_tagger, {made.key for _, made in marks}))

    def __bool__(self) -> bool:
        return bool(self._names)

    def found(self, data: bytes) -> str:
        """Give the name of the mask whose mark is in `data`, ``hash`` for a pseudonym, or ""."""
        if b"[masked:" not in data and b"***" not in data and b"h_" not in data:
            return ""
        for hit in _CALLED.finditer(data):
            name, whole, local, head, tag = hit.groups()
            found = self._names.get(whole or local or b"")
            if found and (name is None or name.decode() == found):
                return found
            if head and any(tagged(head).encode() == tag for tagged in self._taggers):
                return "hash"
        return ""
