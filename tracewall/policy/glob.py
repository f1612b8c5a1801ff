"""A pattern over names, in time that no pattern and no name can make long."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import cached_property


@dataclass(frozen=True)
class Glob:
    """A pattern over a dotted name: ``*`` stands for any run of characters but a dot.

    A relation has two dotted parts, a column three, a bare column one. With ``dots``
    the name is not a dotted one (a group's), and ``*`` crosses dots too. ``line`` and
    ``column`` say where the policy has it.
    """

    text: str
    line: int = field(default=0, compare=False)
    column: int = field(default=0, compare=False)
    dots: bool = False

    @cached_property
    def _regex(self) -> re.Pattern[str]:
        any_run = "(?s:.)*" if self.dots else "[^.]*"
        # Each atomic group takes the nearest match and never comes back, so that no
        # number of stars can make a long name expensive.
        first, *inner, last = (re.escape(part) for part in self.text.split("*"))
        steps = "".join(f"(?>{any_run}?{part})" for part in inner)
        return re.compile(f"{first}{steps}{any_run}{last}")

    @cached_property
    def _parts(self) -> tuple[Glob, ...]:
        return tuple(Glob(part, dots=True) for part in self.text.split("."))

    def reaches(self, *names: str) -> bool:
        """Tell whether each dotted part matches the name in its place, whatever dots that holds.

        For what takes or hides: a name with a dot in it must not be out of its reach, as it is
        out of the reach of what gives.
        """
        parts = self._parts
        return len(parts) == len(names) and all(map(Glob.matches, parts, names))

    def begins(self, *names: str) -> bool:
        """Tell whether it `reaches` these dotted parts and one more, whatever that is."""
        parts = self._parts
        return len(parts) == len(names) + 1 and all(map(Glob.matches, parts, names))

    def matches(self, name: str) -> bool:
        """Tell whether the whole of `name` matches."""
        if "*" not in self.text:
            return name == self.text
        return self._regex.fullmatch(name) is not None
