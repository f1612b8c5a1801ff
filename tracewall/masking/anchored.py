"""Where triggers hit, without google-re2: anchors first, then Python's `re`.

1. Every hit holds a literal of its shape (an anchor), or stands at a number's left edge.
   Only there is a trigger tried, at a handful of offsets, and triggers are bounded: time
   is linear in the text.
2. A trigger that is tried at each offset where it could match answers as the automaton of
   `automaton` does: both tell the first offset at which some trigger matches.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterator
from typing import TypeAlias

from tracewall.masking.shape import LEFT, Next, Search, Shape, squeezed

Tried: TypeAlias = list[tuple[bytes, list[tuple[re.Pattern[bytes], int]]]]


def anchored(shapes: list[Shape]) -> Search:
    """Give the search for the triggers of `shapes`."""
    triggers = {shape.trigger: re.compile(shape.trigger) for shape in shapes}
    numbers = [
        re.compile(trigger.removeprefix(LEFT))
        for trigger in dict.fromkeys(s.trigger for s in shapes if not s.anchors)
    ]
    under: dict[bytes, dict[bytes, int]] = {}
    for shape in shapes:
        for anchor in shape.anchors:
            under.setdefault(anchor, {})[shape.trigger] = shape.reach
    tried: Tried = [
        (anchor, [(triggers[trigger], reach) for trigger, reach in reached.items()])
        for anchor, reached in under.items()
    ]
    digits = [each for each in tried if not each[0].strip(b"0 ")]
    words = [each for each in tried if each[0].strip(b"0 ")]

    def search(data: bytes) -> Next:
        starts = {start for body in numbers for start in _edges(body, data)}
        _try(digits, squeezed(data), data, starts)
        _try(words, data.lower(), data, starts)
        return _following(sorted(starts), data, [*triggers.values()])

    return search


def _try(tried: Tried, seen: bytes, data: bytes, starts: set[int]) -> None:
    """Add to `starts` where triggers match around the anchors that `seen` shows."""
    find = seen.find
    for anchor, under in tried:
        at = find(anchor)
        while at >= 0:
            for trigger, reach in under:
                for start in range(max(at - reach, 0), at + 1):
                    if trigger.match(data, start):
                        starts.add(start)
            at = find(anchor, at + 1)


def _edges(body: re.Pattern[bytes], data: bytes) -> Iterator[int]:
    """Yield where a number of the form `body` has its left edge (see `shape.LEFT`)."""
    hit = body.search(data)
    while hit:
        start = hit.start()
        before = data[max(start - 2, 0) : start]
        if before[-1:] == b"_":
            yield start - 1
        elif before[:1] == b"\\" and before[1:] in (b"n", b"r", b"t", b"b", b"f"):
            yield start - 2
        elif not before[-1:].isalnum():
            yield start
        hit = body.search(data, start + 1)


def _following(starts: list[int], data: bytes, triggers: list[re.Pattern[bytes]]) -> Next:
    def following(position: int, end: int) -> int:
        for at in range(bisect_left(starts, position), len(starts)):
            start = starts[at]
            if start >= end:
                break
            # Up to the text's end every hit has been tried already.
            if end == len(data) or any(each.match(data, start, end) for each in triggers):
                return start
        return -1

    return following
