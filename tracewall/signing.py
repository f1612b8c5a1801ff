"""Signed notes (C2SP signed-note, Ed25519): text that a key vouches for, and the keys.

A note is lines of text, an empty line, and a signature line. The audit log's checkpoints
and the decisions of approvers are notes.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Iterable, Iterator
from typing import Final, Self

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

_ED25519: Final = b"\x01"
_PRIVATE: Final = "PRIVATE+KEY+"
_NAME: Final = re.compile(r"[!-*,-~]{1,255}")
"""A key's name: printable ASCII without blanks and plus signs."""


class BadKey(ValueError):
    """A key is not in the form of a signed note's keys; nothing of it is told."""


class BadNote(ValueError):
    """A note is not signed by a known key, or is no checkpoint."""


class PublicKey(msgspec.Struct, frozen=True):
    """Who vouches: a name, and an Ed25519 public key (32 bytes)."""

    name: str
    key: bytes

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``NAME+HASH+KEY``, as `str` writes it.

        Raises:
            BadKey: it is none, or its hash is not right.
        """
        name, key = _parted(text.strip())
        made = cls(name, key)
        if str(made) != text.strip():
            raise BadKey("this public key was changed or cut (its hash does not fit)")
        return made

    @property
    def id(self) -> bytes:
        """The four bytes that stand before its signatures."""
        return hashlib.sha256(self.name.encode() + b"\n" + _ED25519 + self.key).digest()[:4]

    def __str__(self) -> str:
        return f"{self.name}+{self.id.hex()}+{_base64(_ED25519 + self.key)}"

    def verifies(self, text: str, signature: bytes) -> bool:
        """Tell whether a signature (with the key's id before it) is this key's over `text`."""
        if signature[:4] != self.id:
            return False
        try:
            Ed25519PublicKey.from_public_bytes(self.key).verify(signature[4:], text.encode())
        except InvalidSignature:
            return False
        return True


class Signer:
    """A private key that signs notes under a name; it never shows itself."""

    def __init__(self, name: str, seed: bytes) -> None:
        if _NAME.fullmatch(name) is None:
            raise BadKey("a key's name is printable ASCII without blanks and plus signs")
        if len(seed) != 32:
            raise BadKey("an Ed25519 key has 32 bytes")
        self._key = Ed25519PrivateKey.from_private_bytes(seed)
        self.public = PublicKey(name, self._key.public_key().public_bytes_raw())

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``PRIVATE+KEY+NAME+HASH+KEY``.

        Raises:
            BadKey: it is none; the error tells nothing of it.
        """
        stripped = text.strip()
        if not stripped.startswith(_PRIVATE):
            raise BadKey(
                "this is no private key as `tracewall audit keygen` makes it (PRIVATE+KEY+…)"
            )
        name, seed = _parted(stripped.removeprefix(_PRIVATE))
        made = cls(name, seed)
        if stripped != made.secret():
            raise BadKey("this private key was changed or cut (its hash does not fit)")
        return made

    @classmethod
    def make(cls, name: str) -> Self:
        """Make a new key."""
        return cls(name, Ed25519PrivateKey.generate().private_bytes_raw())

    def secret(self) -> str:
        """Give the private key as `parse` reads it; keep it secret."""
        seed = _base64(_ED25519 + self._key.private_bytes_raw())
        return f"{_PRIVATE}{self.public.name}+{self.public.id.hex()}+{seed}"

    def note(self, text: str) -> str:
        """Sign `text`, which ends in a line break, and give the whole note."""
        signature = self.public.id + self._key.sign(text.encode())
        return f"{text}\n\u2014 {self.public.name} {_base64(signature)}\n"

    def __repr__(self) -> str:
        return f"<Signer {self.public}>"


def signed_text(note: str, keys: Iterable[PublicKey]) -> str:
    """Give the text of a note that one of the keys has signed.

    Raises:
        BadNote: none has.
    """
    text, blank, signatures = note.rpartition("\n\n")
    text += "\n"
    known = list(keys)
    if blank and any(
        key.verifies(text, signature)
        for name, signature in _signatures(signatures)
        for key in known
        if key.name == name
    ):
        return text
    raise BadNote("a note is not signed by a key that is known")


def _signatures(block: str) -> Iterator[tuple[str, bytes]]:
    for line in block.splitlines():
        dash, _, rest = line.partition(" ")
        name, _, signature = rest.partition(" ")
        try:
            raw = base64.b64decode(signature, validate=True)
        except (ValueError, binascii.Error):
            continue
        if dash == "\u2014":
            yield name, raw


def _parted(text: str) -> tuple[str, bytes]:
    name, _, rest = text.partition("+")
    _, _, encoded = rest.partition("+")
    try:
        raw = base64.b64decode(encoded, validate=True)
    except (ValueError, binascii.Error):
        raw = b""
    if _NAME.fullmatch(name) is None or raw[:1] != _ED25519 or len(raw) != 33:
        raise BadKey("this is no key as `tracewall audit keygen` makes it (NAME+HASH+KEY)")
    return name, raw[1:]


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()
