"""Values made short enough for a story: as text, and only around what differs."""

from __future__ import annotations

import msgspec

from tracewall.demo.scenes import Cell, Tone

LENGTH = 170
"""How many characters of a text are shown."""

_BEFORE = 50


def spelled(value: object) -> str:
    """Give a value as a person would write it."""
    if value is None:
        return "NULL"
    if isinstance(value, dict | list):
        return msgspec.json.encode(value).decode()
    return str(value)


def excerpt(text: str, other: str, differing: Tone) -> Cell:
    """Show the part of `text` around the first place where it differs from `other`.

    The cell has the tone `differing`, and knows where it differs; of two equal texts it
    is plain. Two texts with one beginning are shown from the same place on.
    """
    first = _shared(text, other)
    shared = _shared(text[first:][::-1], other[first:][::-1])
    start = _start(first, text, other)
    before = "…" if start else ""
    after = "…" if len(text) > start + LENGTH else ""
    shown = f"{before}{text[start : start + LENGTH]}{after}"
    if text == other:
        return Cell(shown)
    return Cell(shown, differing, _within(first, len(text) - shared, start - len(before)))


def _shared(one: str, two: str) -> int:
    """Tell how many characters two texts begin with in common."""
    pairs = enumerate(zip(one, two, strict=False))
    return next((at for at, (a, b) in pairs if a != b), min(len(one), len(two)))


def _start(first: int, text: str, other: str) -> int:
    """Tell from where on to show two texts, the first difference of which is at `first`."""
    # Where the longer of them fits as a whole nothing is left out.
    room = max(len(text), len(other)) - LENGTH
    return max(0, min(first - _BEFORE, room))


def _within(first: int, last: int, start: int) -> tuple[int, int]:
    end = min(last - start, LENGTH + 1)
    return min(first - start, end), end
