"""Finds what patterns match, without google-re2: a table for each direction, built at load.

1. One way back over the text tells every offset at which some match starts; from the first
   of them the way forth tells the longest. Both are table look-ups, a step for each character.
2. A pattern whose tables would grow past `MOST_STATES` is refused when they are built.
3. A text in which matches make the way forth longer than `MOST_STEPS` times the text is
   hidden from there to its end: time stays linear, whatever the pattern and the text.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from tracewall.masking.regular import WORD, Chars, Choice, Edge, Node, Range, Repeat, Sequence

MOST_STATES = 2000
MOST_STEPS = 16

_BEGIN, _WORD, _LINE, _OTHER = range(4)
_LINES: tuple[Range, ...] = ((10, 10),)
Row: TypeAlias = list[Any]
"""The rows that follow for each class, what follows at the end, whether one came in by a match."""


class TooLarge(ValueError):
    """A pattern would need more states than there may be."""


@dataclass(slots=True)
class _Net:
    """States with steps by class of character, and leaps that hold at an edge ("": always)."""

    steps: list[tuple[frozenset[int], int] | None] = field(default_factory=list)
    leaps: list[list[tuple[str, int]]] = field(default_factory=list)

    def state(self) -> int:
        if len(self.steps) > 10 * MOST_STATES:
            raise TooLarge
        self.steps.append(None)
        self.leaps.append([])
        return len(self.steps) - 1


class Machine:
    """Finds the leftmost longest matches of one or more trees in a text."""

    __slots__ = ("_back", "_bounds", "_forth", "_kinds")

    def __init__(self, trees: Iterable[Node]) -> None:
        tree = Choice(tuple(trees))
        edges = {0}
        for first, last in (*_all_ranges(tree), *WORD, *_LINES):
            edges |= {first, last + 1}
        self._bounds = sorted(edges)
        if len(self._bounds) > 250:
            raise TooLarge
        self._kinds = [_kind(bound) for bound in self._bounds]
        self._forth = self._table(tree, backwards=False)
        self._back = self._table(tree, backwards=True)

    def finds(self, text: str) -> list[tuple[int, int]]:
        """Give the spans of all matches, in order, without overlaps."""
        classes = text.translate(_Classes(self._bounds)).encode("latin-1")
        found: list[tuple[int, int]] = []
        position, steps, most = 0, 0, MOST_STEPS * len(text) + MOST_STATES
        for start in reversed(self._starts(classes)):
            if start < position:
                continue
            if steps > most:
                found.append((start, len(text)))
                break
            position, looked = self._end(classes, start)
            steps += looked
            found.append((start, position))
        return found

    def _starts(self, classes: bytes) -> list[int]:
        """Give where matches start, the last first."""
        starts: list[int] = []
        row = self._back[_BEGIN]
        left = len(classes)
        for each in reversed(classes):
            row = row[each]
            if row[-1]:
                starts.append(left)
            left -= 1
        if row[-2]:
            starts.append(0)
        return starts

    def _end(self, classes: bytes, start: int) -> tuple[int, int]:
        """Give where the longest match from `start` ends, and how far was looked."""
        end = start
        row = self._forth[self._kinds[classes[start - 1]] if start else _BEGIN]
        at = start
        for at in range(start, len(classes)):
            row = row[classes[at]]
            if row[-1]:
                end = at
            if row[-3]:
                return end, at - start
        return (len(classes) if row[-2] else end), at - start

    def _table(self, tree: Node, *, backwards: bool) -> list[Row]:
        net = _Net()
        first = net.state()
        final = _woven(net, tree, first, self._bounds, backwards)
        again = frozenset((first,)) if backwards else frozenset[int]()
        rows: dict[tuple[frozenset[int], int, bool], Row] = {}
        waiting: list[tuple[frozenset[int], int, bool]] = []

        def row(states: frozenset[int], before: int, matched: bool) -> Row:
            key = (states, before, matched)
            if key not in rows:
                if len(rows) >= MOST_STATES:
                    raise TooLarge
                rows[key] = []
                waiting.append(key)
            return rows[key]

        roots = [row(frozenset((first,)), before, False) for before in range(4)]
        while waiting:
            states, before, matched = waiting.pop()
            following: Row = []
            closed = {kind: _closed(net, states, before, kind, backwards) for kind in range(4)}
            for each, kind in enumerate(self._kinds):
                reached = frozenset(
                    step[1]
                    for state in closed[kind]
                    if (step := net.steps[state]) and each in step[0]
                )
                following.append(row(reached | again, kind, final in closed[kind]))
            rows[states, before, matched] += (*following, not states, final in closed[0], matched)
        return roots


def _kind(code: int) -> int:
    if any(first <= code <= last for first, last in WORD):
        return _WORD
    return _LINE if code == 10 else _OTHER


class _Classes(dict[int, str]):
    """For `str.translate`: each character's class, looked up when it is first met."""

    def __init__(self, bounds: list[int]) -> None:
        self.bounds = bounds

    def __missing__(self, code: int) -> str:
        self[code] = made = chr(bisect_right(self.bounds, code) - 1)
        return made


def _all_ranges(tree: Node) -> Iterable[Range]:
    if isinstance(tree, Chars):
        yield from tree.ranges
    elif isinstance(tree, Repeat):
        yield from _all_ranges(tree.part)
    elif not isinstance(tree, Edge):
        for part in tree.parts:
            yield from _all_ranges(part)


def _woven(net: _Net, tree: Node, start: int, bounds: list[int], backwards: bool) -> int:
    """Add `tree` to `net` after the state `start`; give the state behind it."""

    def weave(part: Node, start: int) -> int:
        end = start
        if isinstance(part, Chars):
            end = net.state()
            classes = frozenset(
                at
                for first, last in part.ranges
                for at in range(bisect_right(bounds, first) - 1, bisect_right(bounds, last))
            )
            net.steps[start] = (classes, end)
            return end
        if isinstance(part, Edge):
            end = net.state()
            net.leaps[start].append((part.kind, end))
            return end
        if isinstance(part, Sequence):
            for each in reversed(part.parts) if backwards else part.parts:
                end = weave(each, _after(net, end))
            return end
        if isinstance(part, Choice):
            end = net.state()
            for each in part.parts:
                net.leaps[weave(each, _after(net, start))].append(("", end))
            return end
        return _woven_repeat(net, part, start, weave)

    return weave(tree, start)


def _after(net: _Net, state: int) -> int:
    following = net.state()
    net.leaps[state].append(("", following))
    return following


def _woven_repeat(net: _Net, part: Repeat, start: int, weave: Any) -> int:
    for _ in range(part.least):
        start = weave(part.part, _after(net, start))
    if part.most is None:
        loop = _after(net, start)
        net.leaps[weave(part.part, _after(net, loop))].append(("", loop))
        return _after(net, loop)
    end = net.state()
    for _ in range(part.most - part.least):
        net.leaps[start].append(("", end))
        start = weave(part.part, _after(net, start))
    net.leaps[start].append(("", end))
    return end


def _closed(
    net: _Net, states: frozenset[int], before: int, after: int, backwards: bool
) -> set[int]:
    """Give what `states` reach by leaps between characters of the kinds `before` and `after`."""
    left, right = (after, before) if backwards else (before, after)
    holds = {
        "": True,
        "text_start": left == _BEGIN,
        "text_end": right == _BEGIN,
        "line_start": left in (_BEGIN, _LINE),
        "line_end": right in (_BEGIN, _LINE),
        "word": (left == _WORD) is not (right == _WORD),
        "no_word": (left == _WORD) is (right == _WORD),
    }
    reached, waiting = set(states), list(states)
    while waiting:
        for edge, target in net.leaps[waiting.pop()]:
            if target not in reached and holds[edge]:
                reached.add(target)
                waiting.append(target)
    return reached
