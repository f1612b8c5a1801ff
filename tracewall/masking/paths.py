"""JSON paths: what lies at certain places of a document is masked, the rest stays clear.

The paths are a part of SQL/JSON's (PostgreSQL, chapter 9.16.2), in its lax mode:

- ``$.name`` and ``$."any name"``: a member; of a list: that of each of its elements
- ``$.*``: every member; ``$..name``: the member of that name at any depth
- ``$[0]`` and ``$[*]``: an element, every element

1. What a path leads to is masked whole: texts, numbers and all that lies below.
2. A text that is JSON itself is taken for the document that it holds; one that begins as
   JSON and can't be read is masked whole.
3. A part that was taken out of a document is masked by all that may lead on from there.
4. Keys stay; a path that names no key at all is refused, for it would mean anything.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, TypeAlias

from tracewall.masking.documents import dumped, loaded
from tracewall.masking.methods import MAX_DEPTH, MaskFailed, rebuilt

Kind: TypeAlias = Literal["member", "members", "deep", "element", "elements"]
Places: TypeAlias = frozenset[tuple[int, int]]

_STEP = re.compile(
    r"(?P<deep>\.\.|\.)(?:(?P<name>[A-Za-z_][A-Za-z0-9_]*)|\"(?P<quoted>(?:[^\"\\]|\\.)+)\""
    r"|(?P<members>\*))|\[(?:(?P<element>[0-9]{1,9})|(?P<elements>\*))\]"
)
_CUT = re.compile(
    r"""\s*\ufeff?\s*(?:\{\s*["']|\[\s*(?:[\[{"']|(?:-?[0-9][0-9.eE+-]*|true|false|null)\s*,))"""
)
_MOST_STEPS = 32


class Step(NamedTuple):
    """One step of a path: ``name`` for members, ``at`` for an element."""

    kind: Kind
    name: str = ""
    at: int = 0


class PathInvalid(ValueError):
    """A path can't be read; ``position`` (characters from 0) says where."""

    def __init__(self, message: str, position: int = 0) -> None:
        self.message = message
        self.position = position
        super().__init__(message)


def parsed(path: str) -> tuple[Step, ...]:
    """Read a path. Raises `PathInvalid`."""
    if not path.startswith("$"):
        raise PathInvalid("a path begins with '$'")
    steps, position = [], 1
    while position < len(path):
        found = _STEP.match(path, position)
        if found is None:
            raise PathInvalid(f"this is no step of a path: {path[position:][:40]!r}", position)
        steps.append(_step(found))
        position = found.end()
    if not any(step.name for step in steps):
        raise PathInvalid("a path has to name at least one key", position)
    if len(steps) > _MOST_STEPS:
        raise PathInvalid(f"a path has at most {_MOST_STEPS} steps", position)
    return tuple(steps)


def _step(found: re.Match[str]) -> Step:
    if found["element"]:
        return Step("element", at=int(found["element"]))
    if found["elements"]:
        return Step("elements")
    if found["members"]:
        if found["deep"] == "..":
            raise PathInvalid("a name has to follow '..'", found.start())
        return Step("members")
    name = found["name"] or re.sub(r"\\(.)", r"\1", found["quoted"])
    return Step("deep" if found["deep"] == ".." else "member", name)


def names(paths: Iterable[tuple[Step, ...]]) -> frozenset[str]:
    """Give the keys that paths name: who takes one out of a document may be past the mask."""
    return frozenset(step.name for steps in paths for step in steps if step.name)


@dataclass(frozen=True, slots=True)
class PathMask:
    """Masks what `paths` lead to by `leaf`; built by `path_mask`."""

    paths: tuple[tuple[Step, ...], ...]
    leaf: Callable[[object], object]

    def whole(self, value: object) -> tuple[Any, int]:
        """Mask a document; a text that is no JSON is masked whole."""
        if isinstance(value, str) and loaded(value) is None:
            return self.leaf(value), 1
        start = frozenset((number, 0) for number in range(len(self.paths)))
        return self._any(value, start, 0, loose=False)

    def part(self, value: object) -> tuple[Any, int]:
        """Mask what was taken out of a document, or may have been."""
        return self._any(value, self._onward(), 0, loose=True)

    def _onward(self) -> Places:
        """Give where one may be without having named any key."""
        return frozenset(
            (number, at)
            for number, steps in enumerate(self.paths)
            for at in range(len(steps))
            if not any(step.name for step in steps[:at])
        )

    def _any(self, value: Any, places: Places, depth: int, *, loose: bool) -> tuple[Any, int]:
        if any(at == len(self.paths[number]) for number, at in places):
            return (self.leaf(value), 1) if value is not None else (None, 0)
        if not places or not isinstance(value, dict | list | tuple | str):
            return value, 0
        if depth >= MAX_DEPTH:
            raise MaskFailed
        if isinstance(value, str):
            return self._text(value, places, depth, loose=loose)
        if isinstance(value, dict):
            made = [
                self._any(item, self._member(places, key), depth + 1, loose=loose)
                for key, item in value.items()
            ]
            return dict(zip(value, [item for item, _ in made], strict=True)), _sum(made)
        made = [
            self._any(item, self._element(places, at, loose=loose), depth + 1, loose=loose)
            for at, item in enumerate(value)
        ]
        return rebuilt(value, [item for item, _ in made]), _sum(made)

    def _text(self, value: str, places: Places, depth: int, *, loose: bool) -> tuple[Any, int]:
        inner = loaded(value)
        if inner is None:
            # A document that was cut short can't be followed.
            return (self.leaf(value), 1) if _CUT.match(value) else (value, 0)
        made, count = self._any(inner.value, places, depth + 1, loose=loose)
        if not count and not inner.ambiguous:
            return value, 0
        return dumped(made, value), max(count, 1)

    def _member(self, places: Places, key: object) -> Places:
        onward = set[tuple[int, int]]()
        for number, at in places:
            step = self.paths[number][at]
            if step.kind == "deep":
                onward.add((number, at))
            if step.kind == "members" or (step.name and step.name == key):
                onward.add((number, at + 1))
        return frozenset(onward)

    def _element(self, places: Places, position: int, *, loose: bool) -> Places:
        onward = set[tuple[int, int]]()
        for number, at in places:
            step = self.paths[number][at]
            # Lax: what is sought among members is sought in each element. And what was
            # taken out may have been gathered in a list.
            if loose or step.kind in ("member", "members", "deep"):
                onward.add((number, at))
            if step.kind == "elements" or (step.kind == "element" and step.at == position):
                onward.add((number, at + 1))
        return frozenset(onward)


def path_mask(paths: Iterable[str], leaf: Callable[[object], object]) -> PathMask:
    """Make the mask of `paths`; `leaf` masks what they lead to. Raises `PathInvalid`."""
    return PathMask(tuple(parsed(path) for path in paths), leaf)


def _sum(made: Iterable[tuple[Any, int]]) -> int:
    return sum(count for _, count in made)
