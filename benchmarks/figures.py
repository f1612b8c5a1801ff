"""What is measured, what was aimed at, and how both are shown."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

from goals import GOALS, Goal
from pairs import Spread

HEAD = "| | median | middle half | goal | |\n|---|---|---|---|---|"


@dataclass(frozen=True, slots=True)
class Figure:
    """A figure: what of, by which part of the table, in which unit; `note` says more."""

    part: str
    name: str
    spread: Spread
    unit: str = "×"
    note: str = ""

    @property
    def goal(self) -> Goal | None:
        """What was aimed at, if anything was."""
        return GOALS.get((self.part, self.name))

    @property
    def met(self) -> bool | None:
        """Whether the median reaches the goal; None: there is none."""
        return None if self.goal is None else self.goal.met(self.spread.median)

    def row(self) -> str:
        """Give it as a row of the table."""
        goal, spread = self.goal, self.spread
        name = f"{self.name} ({self.note})" if self.note else self.name
        low, high = shown(spread.low), shown(spread.high)
        between = f"{low} – {high}" if low != high else ""
        aimed = f"{goal.said} {self.unit}" if goal else ""
        verdict = {True: "met", False: "**missed**", None: ""}[self.met]
        median = f"{shown(spread.median)} {self.unit}"
        return f"| {name} | {median} | {between} | {aimed} | {verdict} |"

    def plainly(self) -> dict[str, Any]:
        """Give it for JSON."""
        limit = {"goal": self.goal.said, "met": self.met} if self.goal else {}
        return {**asdict(self), **limit}


@dataclass(frozen=True, slots=True)
class Left:
    """A part, or some of it, that was not measured, and why."""

    part: str
    why: str


def shown(value: float) -> str:
    """Write a number with as many digits as it is worth."""
    if value >= 1000:
        return f"{value:,.0f}"
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def table(figures: Iterable[Figure]) -> str:
    """Give a Markdown table."""
    return "\n".join([HEAD, *(figure.row() for figure in figures)])


def reasons(figures: Iterable[Figure]) -> str:
    """Say of each goal that is missed why it is."""
    missed: dict[str, list[str]] = {}
    for figure in figures:
        if figure.met is False and figure.goal is not None:
            missed.setdefault(figure.goal.why, []).append(figure.name)
    return "\n".join(f"- *{'*, *'.join(names)}*: {why}" for why, names in missed.items())
