"""One reading of a policy text: what is wrong with it, where, and what was probably meant."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import NamedTuple

from tracewall.policy.locate import Lines, Place

_TYPES = {
    bool: "a boolean",
    int: "a whole number",
    float: "a number",
    str: "a string",
    list: "a list",
    dict: "a table",
}
# Comparing costs the square of the length, and no name is near as long.
_LONGEST_WORD = 200


class Complaint(NamedTuple):
    """What is wrong with a value, and what was expected, wherever it stands."""

    message: str
    help: str = ""


class Fault(NamedTuple):
    """A complaint and the offset it points at."""

    offset: int
    message: str
    help: str


class Reading:
    """Collects what is wrong with one text, and tells the lines and columns of its offsets."""

    def __init__(self, lines: Lines) -> None:
        self.at = lines.at
        self.faults: list[Fault] = []

    def fault(self, offset: int, message: str, help: str = "") -> None:
        """Keep a complaint."""
        self.faults.append(Fault(offset, message, help))

    def wrong(self, place: Place, message: str, help: str = "") -> None:
        """Keep a complaint about the value at `place`."""
        self.fault(place.start, f"{place.name or 'the policy'}: {message}", help)

    def mistyped(self, place: Place, expected: str, got: object, help: str = "") -> None:
        """Keep a complaint about a value of another type."""
        found = _TYPES.get(type(got), "a date or time")
        self.wrong(place, f"expected {expected}, got {found}", help)


def nearest(word: str, known: Iterable[str]) -> str | None:
    """Return the one of `known` that `word` was probably meant to be, whatever its case."""
    by_lower = {name.lower(): name for name in sorted(known)}
    near = difflib.get_close_matches(word[:_LONGEST_WORD].lower(), by_lower, n=1)
    return by_lower[near[0]] if near else None


def did_you_mean(word: str, known: Iterable[str], otherwise: str = "") -> str:
    """Return ``did you mean 'x'?`` for the nearest of `known`, else what is said otherwise."""
    near = nearest(word, known)
    return otherwise if near is None else f"did you mean '{near}'?"


def listed(words: Iterable[object]) -> str:
    """Return words as people list them: ``'a', 'b' or 'c'``."""
    *most, last = [f"'{word}'" if isinstance(word, str) else str(word) for word in words]
    return f"{', '.join(most)} or {last}" if most else last
