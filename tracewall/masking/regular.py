r"""A policy's own pattern, read without google-re2: RE2's syntax, as a tree.

Read are literals, ``.``, classes, groups, alternatives, repetitions, ``^ $ \A \z \b \B``
and the flags ``i``, ``m``, ``s``, as RE2 reads them: ``\d \w \s \b`` are ASCII, ``$`` is the
text's end. What RE2 has beyond that (``\p{…}``, ``\Q``, ``\C``, ``(?U)``) is `Unreadable`.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeAlias

Range: TypeAlias = tuple[int, int]

_LAST = sys.maxunicode
_MOST_REPEATS = 1000
_HEX = set("0123456789abcdefABCDEF")
_MOST_DEPTH = 100
WORD: tuple[Range, ...] = ((0x30, 0x39), (0x41, 0x5A), (0x5F, 0x5F), (0x61, 0x7A))
"""The characters of words."""

_PERL: dict[str, tuple[Range, ...]] = {
    "d": ((0x30, 0x39),),
    "w": WORD,
    "s": ((0x09, 0x0A), (0x0C, 0x0D), (0x20, 0x20)),
}
_POSIX: dict[str, tuple[Range, ...]] = {
    "alnum": ((0x30, 0x39), (0x41, 0x5A), (0x61, 0x7A)),
    "alpha": ((0x41, 0x5A), (0x61, 0x7A)),
    "digit": _PERL["d"],
    "lower": ((0x61, 0x7A),),
    "upper": ((0x41, 0x5A),),
    "punct": ((0x21, 0x2F), (0x3A, 0x40), (0x5B, 0x60), (0x7B, 0x7E)),
    "space": ((0x09, 0x0D), (0x20, 0x20)),
    "word": WORD,
    "xdigit": ((0x30, 0x39), (0x41, 0x46), (0x61, 0x66)),
}
_CONTROL = {"t": 9, "n": 10, "v": 11, "f": 12, "r": 13, "a": 7}
# Characters that have more cases than two.
_ORBITS = ("kK\u212a", "sS\u017f", "åÅ\u212b", "ßẞ", "µμΜ", "θΘϑϴ", "ιΙ\u0345ι", "ωΩΩ", "σςΣ")


class Unreadable(ValueError):
    """What is wrong with a pattern, and at which of its characters (from 0)."""

    def __init__(self, message: str, position: int) -> None:
        self.message = message
        self.position = position
        super().__init__(message)


@dataclass(frozen=True, slots=True)
class Chars:
    """One character of ``ranges`` (code points, both ends included)."""

    ranges: tuple[Range, ...]


@dataclass(frozen=True, slots=True)
class Edge:
    """A place between characters: ``text_start text_end line_start line_end word no_word``."""

    kind: str


@dataclass(frozen=True, slots=True)
class Sequence:
    """One after the other."""

    parts: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Choice:
    """One of several."""

    parts: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Repeat:
    """``least`` to ``most`` times; no ``most``: without end."""

    part: Node
    least: int
    most: int | None


Node: TypeAlias = Chars | Edge | Sequence | Choice | Repeat


def parsed(pattern: str) -> Node:
    """Read a whole pattern; raises `Unreadable`."""
    reader = _Reader(pattern)
    tree = reader.choice(frozenset(), 0)
    if reader.at < len(pattern):
        raise Unreadable("unexpected )", reader.at)
    return tree


def can_be_empty(tree: Node) -> bool:
    """Tell whether `tree` can match without taking a character."""
    if isinstance(tree, Chars):
        return False
    if isinstance(tree, Edge):
        return True
    if isinstance(tree, Repeat):
        return tree.least == 0 or can_be_empty(tree.part)
    if isinstance(tree, Choice):
        return any(map(can_be_empty, tree.parts))
    return all(map(can_be_empty, tree.parts))


def inverted(ranges: Iterable[Range]) -> tuple[Range, ...]:
    """Give all characters but those of `ranges`."""
    gaps, following = [], 0
    for first, last in sorted(ranges):
        if first > following:
            gaps.append((following, first - 1))
        following = max(following, last + 1)
    if following <= _LAST:
        gaps.append((following, _LAST))
    return tuple(gaps)


class _Reader:
    """Reads a pattern from left to right; ``at`` is where it stands."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0

    def peek(self, ahead: int = 0) -> str:
        return self.text[self.at + ahead : self.at + ahead + 1]

    def take(self, mark: str) -> bool:
        if not self.text.startswith(mark, self.at):
            return False
        self.at += len(mark)
        return True

    def wrong(self, message: str, at: int | None = None) -> Unreadable:
        return Unreadable(message, self.at if at is None else at)

    def choice(self, flags: frozenset[str], depth: int) -> Node:
        if depth > _MOST_DEPTH:
            raise self.wrong("nested too deeply")
        parts = []
        while True:
            branch, flags = self.sequence(flags, depth)
            parts.append(branch)
            if not self.take("|"):
                return parts[0] if len(parts) == 1 else Choice(tuple(parts))

    def sequence(self, flags: frozenset[str], depth: int) -> tuple[Node, frozenset[str]]:
        parts: list[Node] = []
        while (mark := self.peek()) and mark not in "|)":
            start = self.at
            if self.take("(?") and self.peek() not in "P<:":
                changed = self.flags(flags)
                if not self.take(")"):
                    self.at += 1  # the colon
                    parts.append(self.repeated(self.group(changed, depth, start), start))
                else:
                    flags = changed
                continue
            self.at = start
            parts.append(self.repeated(self.atom(flags, depth), start))
        return Sequence(tuple(parts)), flags

    def flags(self, flags: frozenset[str]) -> frozenset[str]:
        start = self.at
        switched, off = set(flags), False
        while self.peek() not in (":", ")"):
            mark = self.peek()
            if mark == "-" and not off:
                off = True
            elif mark and mark in "ims":
                (switched.discard if off else switched.add)(mark)
            else:
                raise self.wrong("an unknown or unsupported group", start - 2)
            self.at += 1
        return frozenset(switched)

    def group(self, flags: frozenset[str], depth: int, start: int) -> Node:
        inside = self.choice(flags, depth + 1)
        if not self.take(")"):
            raise self.wrong("missing )", start)
        return inside

    def atom(self, flags: frozenset[str], depth: int) -> Node:
        start = self.at
        if self.take("("):
            named = self.peek(1) == "<" and self.peek(2) not in ("=", "!", "")
            if self.take("?P<") or (named and self.take("?<")):
                self.at = self.text.find(">", self.at) + 1
                if not self.at:
                    raise self.wrong("a group's name has no end", start)
            elif self.peek() == "?" and not self.take("?:"):
                raise self.wrong("an unknown or unsupported group", start)
            return self.group(flags, depth, start)
        mark = self.peek()
        self.at += 1
        if mark == ".":
            return Chars(inverted(() if "s" in flags else ((10, 10),)))
        if mark == "^":
            return Edge("line_start" if "m" in flags else "text_start")
        if mark == "$":
            return Edge("line_end" if "m" in flags else "text_end")
        if mark in "*+?":
            raise self.wrong("nothing to repeat", start)
        if mark == "[":
            return self.bracket(flags, start)
        if mark == "\\":
            return self.escape(flags, start)
        return Chars(_cased(((ord(mark),) * 2,), flags))

    def repeated(self, part: Node, start: int) -> Node:
        counts = self.counts()
        if counts is None:
            return part
        self.take("?")  # unwilling or not: the longest is taken anyway
        least, most = counts
        if max(least, most or 0) > _MOST_REPEATS or (most is not None and most < least):
            raise self.wrong(
                f"a bad number of repetitions: {_MOST_REPEATS} at most, the lesser first", start
            )
        if self.peek() and self.peek() in "*+?":
            raise self.wrong("a repetition of a repetition: put the inner one into (?:…)", self.at)
        return Repeat(part, least, most)

    def counts(self) -> tuple[int, int | None] | None:
        for mark, counts in (("*", (0, None)), ("+", (1, None)), ("?", (0, 1))):
            if self.take(mark):
                return counts
        closing = self.text.find("}", self.at) if self.peek() == "{" else -1
        first, comma, last = self.text[self.at + 1 : max(closing, 0)].partition(",")
        if closing < 0 or not _number(first) or (last and not _number(last)):
            return None
        self.at = closing + 1
        return int(first), int(last) if last else None if comma else int(first)

    def escape(self, flags: frozenset[str], start: int) -> Node:
        mark = self.peek()
        edges = {"b": "word", "B": "no_word", "A": "text_start", "z": "text_end"}
        if mark in edges:
            self.at += 1
            return Edge(edges[mark])
        return Chars(_cased(self.escaped(start), flags))

    def escaped(self, start: int) -> tuple[Range, ...]:
        """Read what follows a backslash, inside a class or outside."""
        mark = self.peek()
        self.at += 1
        if mark.lower() in _PERL:
            ranges = _PERL[mark.lower()]
            return inverted(ranges) if mark.isupper() else ranges
        if mark == "x":
            return (self.hexadecimal(start),)
        if mark in _CONTROL:
            return ((_CONTROL[mark],) * 2,)
        if not mark or mark.isalnum() or not mark.isascii():
            raise self.wrong("an unknown or unsupported escape", start)
        return ((ord(mark),) * 2,)

    def hexadecimal(self, start: int) -> Range:
        braces = self.take("{")
        end = self.text.find("}", self.at) if braces else self.at + 2
        text = self.text[self.at : max(end, self.at)]
        if not text or (not braces and len(text) < 2) or not set(text) <= _HEX:
            raise self.wrong("a bad character number", start)
        self.at = end + braces
        code = int(text[-8:], 16)
        if code > _LAST or len(text) > 8:
            raise self.wrong("a bad character number", start)
        return code, code

    def bracket(self, flags: frozenset[str], start: int) -> Node:
        negated = self.take("^")
        ranges: list[Range] = []
        first = True
        while first or self.peek() != "]":
            if not self.peek():
                raise self.wrong("missing ]", start)
            ranges += self.member()
            first = False
        self.at += 1
        cased = _cased(tuple(ranges), flags)
        return Chars(inverted(cased) if negated else cased)

    def member(self) -> tuple[Range, ...]:
        start = self.at
        if self.take("[:"):
            closing = self.text.find(":]", self.at)
            name = self.text[self.at : max(closing, self.at)]
            if name.lstrip("^") not in _POSIX:
                raise self.wrong("an unknown class of characters", start)
            self.at = closing + 2
            ranges = _POSIX[name.lstrip("^")]
            return inverted(ranges) if name[0] == "^" else ranges
        low = self.single(start)
        if len(low) > 1 or low[0][0] != low[0][1]:
            return low
        if self.peek() != "-" or self.peek(1) in ("]", ""):
            return low
        self.at += 1
        high = self.single(self.at)
        if len(high) > 1 or high[0][0] != high[0][1] or high[0][0] < low[0][0]:
            raise self.wrong("a bad range of characters", start)
        return ((low[0][0], high[0][0]),)

    def single(self, start: int) -> tuple[Range, ...]:
        mark = self.peek()
        self.at += 1
        if mark == "\\":
            return self.escaped(start)
        return ((ord(mark),) * 2,)


def _number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 4


def _cased(ranges: tuple[Range, ...], flags: frozenset[str]) -> tuple[Range, ...]:
    """Add the other cases of each letter, where case does not matter."""
    if "i" not in flags:
        return ranges
    made = set(ranges)
    for first, last in ranges:
        # No script has its letters' cases further apart than in these blocks.
        for code in range(first, min(last, 0x2FFF) + 1):
            char = chr(code)
            for other in {char.lower(), char.upper()} - {char}:
                if len(other) == 1:
                    made.add((ord(other), ord(other)))
            if char in _ORBIT:
                made.update((ord(each), ord(each)) for each in _ORBIT[char])
    return tuple(sorted(made))


_ORBIT = {char: orbit for orbit in _ORBITS for char in orbit}
