"""Keys that are cut by the boundary of two texts: found in both together, hidden in each.

Only keys with a form of their own are looked for here: two numbers side by side would too
often look like a payment card.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple, TypeAlias

from tracewall.masking import keys
from tracewall.masking.detectors import Detectors, Find

KEYS = frozenset(keys.SHAPES)
"""The detectors of keys with a form of their own."""

Spans: TypeAlias = list[tuple[int, int, str]]
"""What is to be hidden of a text: from, to, and the detector's name."""

_EDGE = 1024
"""How many characters at each end of a text a key is looked for in."""


class Piece(NamedTuple):
    """A part of a text, and where in the whole and in the joined text it begins."""

    at: int
    joined: int
    text: str


def joining(names: Iterable[str]) -> tuple[str, ...]:
    """Give those of some detectors (``*``: all) that look across boundaries."""
    chosen = set(names)
    return tuple(sorted(KEYS if "*" in chosen else KEYS & chosen))


def crossing(texts: Sequence[str], found_by: Detectors) -> list[Spans]:
    """Tell for each of some texts side by side what of it belongs to a key of several."""
    hidden: list[Spans] = [[] for _ in texts]
    if sum(map(bool, texts)) < 2:
        return hidden
    pieces: list[list[Piece]] = []
    joined = ""
    for text in texts:
        own = []
        for at, part in _edges(text):
            own.append(Piece(at, len(joined), part))
            joined += part
        pieces.append(own)
    for find in found_by.find(joined):
        touched = [
            (number, span) for number, own in enumerate(pieces) for span in _within(own, find)
        ]
        if len({number for number, _ in touched}) > 1:
            for number, (start, end) in touched:
                hidden[number].append((start, end, find.name))
    return hidden


def without(text: str, spans: Spans, hide: Callable[[object], object]) -> str:
    """Give a text with spans of it hidden, and the rest through `hide`."""
    shown, last = [], 0
    for start, end, name in sorted(spans):
        shown += [_shown(text[last:start], hide), f"[{name}]"]
        last = max(last, end)
    return "".join([*shown, _shown(text[last:], hide)])


def _shown(text: str, hide: Callable[[object], object]) -> str:
    shown = hide(text) if text else ""
    return shown if isinstance(shown, str) else ""


def _edges(text: str) -> Iterable[tuple[int, str]]:
    if len(text) <= 2 * _EDGE:
        yield 0, text
    else:
        # What no key holds keeps the two ends apart.
        yield 0, text[:_EDGE] + "\n\x00\n"
        yield len(text) - _EDGE, text[-_EDGE:]


def _within(pieces: list[Piece], find: Find) -> Iterable[tuple[int, int]]:
    for piece in pieces:
        start = max(find.start - piece.joined, 0)
        end = min(find.end - piece.joined, len(piece.text))
        if start < end:
            yield piece.at + start, piece.at + end
