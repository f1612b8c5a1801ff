"""What is shown of a recording: a statement with its rows and its end, and its texts harmless."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple


class Column(NamedTuple):
    """A column of a result: its name, and the rules that mask it (empty: none)."""

    name: str
    rule: str = ""


@dataclass
class Spoken:
    """One statement of a session, or more of one that was given before (``goes_on``).

    Times are seconds since the session began; ``ended`` is None where no end was recorded.
    ``rows`` are texts, None for NULL; ``spelled`` are rows of a COPY; ``left_out`` is how many
    more of either were recorded, ``before`` how many were given before. ``cut`` names the cap
    that ended the recording of rows. ``status`` is empty where no end was recorded.
    """

    number: int
    began: float
    text: str
    decision: str
    rule: str
    reason: str = ""
    relations: dict[str, list[str]] = field(default_factory=dict)
    columns: tuple[Column, ...] = ()
    rows: list[tuple[str | None, ...]] = field(default_factory=list)
    spelled: list[str] = field(default_factory=list)
    left_out: int = 0
    notices: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    cut: str = ""
    ended: float | None = None
    last: float = 0.0
    status: str = ""
    sqlstate: str = ""
    error: str = ""
    affected: int = -1
    seconds: float = 0.0
    goes_on: bool = False
    before: int = 0

    @property
    def mood(self) -> str:
        """How it went: ``ok``, ``refused``, ``failed`` or ``open``."""
        if self.decision not in ("allowed", "") or self.status in ("refused", "abandoned"):
            return "refused"
        return {"": "open", "ok": "ok"}.get(self.status, "failed")

    @property
    def handed_out(self) -> int:
        """How many rows were recorded."""
        return len(self.rows) + len(self.spelled) + self.left_out


def as_text(value: Any) -> str | None:
    """Give a recorded value as people read it; None: NULL."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, dict) and len(value) == 1:
        if "hex" in value:
            return f"\\x{value['hex']}"
        if "json" in value:
            return _json(value["json"])
    return _json(value)


def _json(value: Any) -> str:
    try:
        return json.dumps(value, ensure_ascii=False)
    except RecursionError:
        return "(nested too deeply)"


def visible(text: str, *, lines: bool = False) -> str:
    """Make every character visible that could steer a terminal, reorder text, or hide in it.

    With `lines`, line breaks stay, and tabs become blanks.
    """
    if text.isprintable():
        return text
    if lines:
        text = text.replace("\r\n", "\n").replace("\t", "    ")
    return "".join(
        char if char.isprintable() or (lines and char == "\n") else _escape(char) for char in text
    )


def _escape(char: str) -> str:
    return char.encode("unicode_escape").decode("ascii")


def names(spoken: Spoken) -> Sequence[Column]:
    """Give the columns of a statement's rows; those that nobody judged are numbered."""
    width = max((len(row) for row in spoken.rows), default=0)
    known = list(spoken.columns[:width] if spoken.rows else spoken.columns)
    return known + [Column(f"column {at + 1}") for at in range(len(known), width)]
