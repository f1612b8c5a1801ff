"""A policy's own patterns: what makes one good, whichever engine searches by it."""

from __future__ import annotations

import re

from tracewall.masking.config import DETECTORS, Pattern
from tracewall.masking.machine import Machine, TooLarge
from tracewall.masking.regular import Node, Unreadable, can_be_empty, parsed
from tracewall.masking.shape import Found, Own

_MARKER = re.compile(rb"\[[a-z0-9_-]+\]")
_NAME = re.compile(r"[a-z][a-z0-9_-]{0,30}")


class PatternInvalid(ValueError):
    """A policy's own pattern can't be used.

    ``name`` is the pattern's, ``message`` says what is wrong, ``position`` (characters
    from 0) where in the regex, or -1 where that is unknown.
    """

    def __init__(self, name: str, message: str, position: int = -1) -> None:
        self.name = name
        self.message = message
        self.position = position
        super().__init__(f"pattern {name!r}: {message}")


def check(patterns: tuple[Pattern, ...]) -> None:
    """Raise `PatternInvalid` for a name that can't stand in a mark or is taken, or for no text."""
    names = [pattern.name for pattern in patterns]
    for pattern in patterns:
        if not _NAME.fullmatch(pattern.name):
            raise PatternInvalid(
                pattern.name,
                "a name is up to 31 lower-case letters, digits, - and _, a letter first",
            )
        if names.count(pattern.name) > 1 or pattern.name in DETECTORS:
            raise PatternInvalid(pattern.name, "the name is another detector's already")
        try:
            pattern.regex.encode()
        except UnicodeEncodeError as error:
            raise PatternInvalid(
                pattern.name, "half a surrogate pair is no text", error.start
            ) from None


def in_marker(data: bytes, start: int, end: int) -> bool:
    """Tell whether ``data[start:end]`` lies in a mark that a mask left."""
    opening = data.rfind(b"[", max(0, start - 40), start + 1)
    marker = _MARKER.match(data, opening) if opening >= 0 else None
    return marker is not None and marker.end() >= end


def tables(patterns: tuple[Pattern, ...]) -> Own:
    """Give what finds own patterns by tables, without google-re2."""
    machines = [(pattern.name, _machine(pattern)) for pattern in patterns]

    def own(data: bytes) -> list[Found]:
        text = data.decode()
        plain = len(text) == len(data)
        found: list[Found] = []
        for name, machine in machines:
            for first, last in machine.finds(text):
                start = first if plain else len(text[:first].encode())
                end = last if plain else start + len(text[first:last].encode())
                if not in_marker(data, start, end):
                    found.append((start, end, name))
        return found

    return own


def _machine(pattern: Pattern) -> Machine:
    tree = _tree(pattern)
    try:
        return Machine((tree,))
    except TooLarge:
        message = (
            "its table would be too large: repeat less in it ({1000} becomes +), or take google-re2"
        )
    raise PatternInvalid(pattern.name, message)


def _tree(pattern: Pattern) -> Node:
    try:
        tree = parsed(pattern.regex)
    except Unreadable as error:
        raise PatternInvalid(pattern.name, error.message, error.position) from None
    if can_be_empty(tree):
        raise PatternInvalid(pattern.name, "it matches the empty text")
    return tree
