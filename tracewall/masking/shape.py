r"""What every built-in detector is made of: triggers for the automaton, judges for its hits.

1. A trigger is a pattern that RE2 and Python's `re` read alike, over bytes, so it has no
   ``\s``. It is short and bounded, so that no text is read again and again. With `LEFT` it
   finds a number's left edge; else ``anchors`` say what each of its hits holds.
2. A judge looks at one hit. It answers with what to mask; or, where the hit is no secret,
   with an offset: nothing of any kind starts between the hit and there; or with None: not
   my kind of hit.
3. A judge that looks back never looks beyond ``floor``, the end of what was found last, so
   that a text once masked looks the same to it.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

Found: TypeAlias = tuple[int, int, str]
Verdict: TypeAlias = Found | int | None
Judge: TypeAlias = Callable[[bytes, int, int], Verdict]
Next: TypeAlias = Callable[[int, int], int]
"""Takes two offsets; gives where between them a trigger hits first, or -1."""
Search: TypeAlias = Callable[[bytes], Next]
Own: TypeAlias = Callable[[bytes], list[Found]]
"""Finds what a policy's own patterns match."""

ANY = bytes(range(256))
SPACE = rb"[\t-\r ]"
"""A blank; RE2's ``\\s`` lacks the vertical tab, Python's has it."""
DIGITS = b"0123456789"
LEFT = rb"(?:\b|_|\\[nrtbf])"
"""The left edge of a number: a word's start, an underscore or a JSON escape."""

_DECIMAL = re.compile(rb"[0-9]\.\Z")
_ESCAPED = re.compile(rb"u[0-9A-Fa-f]{4}|[nrtbf]")


@dataclass(frozen=True, slots=True)
class Shape:
    """A trigger, the bytes it can start with (after `LEFT`), and the judge of its hits.

    Each hit holds one of ``anchors``, which begins at most ``reach`` bytes after the hit:
    in whatever case, or, where they have digits only, as `squeezed`. With `LEFT` there may be none.
    """

    trigger: bytes
    starts: bytes
    judge: Judge
    anchors: tuple[bytes, ...] = ()
    reach: int = 0


_SQUEEZE = bytes(
    0x30 if byte in DIGITS else 0x20 if byte in b" ._-" else byte if byte >= 0x80 else 0x78
    for byte in range(256)
)


def squeezed(data: bytes) -> bytes:
    """Make every digit a nought, every separator of digits a blank, and any other sign an x."""
    return data.translate(_SQUEEZE)


def plain(name: str, pattern: bytes, *, back: int = 0) -> Judge:
    """Judge by `pattern` alone: mask its last group, or all of it and `back` bytes before."""
    regex = re.compile(pattern)
    group = regex.groups

    def judge(data: bytes, start: int, floor: int) -> Verdict:
        hit = regex.match(data, start)
        if hit is None:
            return None
        return max(hit.start(group) - back, floor), hit.end(group), name

    return judge


def stands_alone(data: bytes, start: int, end: int, floor: int) -> bool:
    """Tell whether a number is no part of a word or of a decimal fraction."""
    after = data[end : end + 2]
    if after[:1].isalnum() or (after[:1] == b"." and after[1:].isdigit()):
        return False
    return _DECIMAL.search(data[max(floor, start - 2) : start]) is None


def after_escape(data: bytes, start: int, floor: int) -> int:
    """Give where a word at `start` begins when its first letters belong to a JSON escape."""
    slashes = start
    while slashes > floor and data[slashes - 1] == 0x5C:
        slashes -= 1
    if (start - slashes) % 2 == 0:
        return start
    escape = _ESCAPED.match(data, start)
    return escape.end() if escape else start
