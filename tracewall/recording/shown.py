"""A recording put together again: each statement with its rows, its end, and when it was."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple


class Column(NamedTuple):
    """A column of a result: its name, and the rules that mask it (empty: none)."""

    name: str
    rule: str = ""


@dataclass
class Spoken:
    """One statement of a session.

    Times are seconds since the session began; ``ended`` is None where no end was recorded.
    ``rows`` are texts, None for NULL; ``spelled`` are rows of a COPY; ``left_out`` is how many
    more of either were recorded. ``cut`` names the cap
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

    @property
    def mood(self) -> str:
        """How it went: ``ok``, ``refused``, ``failed`` or ``open``."""
        if self.decision != "allowed" or self.status in ("refused", "abandoned"):
            return "refused"
        return {"": "open", "ok": "ok"}.get(self.status, "failed")

    @property
    def handed_out(self) -> int:
        """How many rows were recorded."""
        return len(self.rows) + len(self.spelled) + self.left_out


@dataclass
class Seen:
    """A recorded session: its header, its statements, and why it ended (empty: it did not)."""

    header: dict[str, Any] = field(default_factory=dict)
    statements: list[Spoken] = field(default_factory=list)
    why: str = ""
    length: float = 0.0

    @property
    def who(self) -> str:
        """Who was recorded."""
        return str(self.header.get("subject") or "nobody")


def assembled(lines: Iterable[dict[str, Any]], most: int = sys.maxsize) -> Seen:
    """Put the lines of a recording together, with so many rows of each statement at most.

    What is left out is counted, and takes no memory.
    """
    seen, by_number = Seen(), dict[Any, Spoken]()
    for line in lines:
        kind, at = line["kind"], float(line.get("t") or 0.0)
        seen.length = max(seen.length, at)
        if kind == "began":
            seen.header = line
        elif kind == "ended":
            seen.why = str(line.get("why") or "closed")
        elif kind == "statement":
            by_number[line.get("s")] = spoken = _spoken(line, at)
            seen.statements.append(spoken)
        elif (found := by_number.get(line.get("s"))) is not None:
            found.last = at
            _add(found, kind, line, at, most)
    return seen


def _spoken(line: dict[str, Any], at: float) -> Spoken:
    return Spoken(
        int(line.get("s") or 0),
        at,
        str(line.get("text", "")),
        str(line.get("decision", "")),
        str(line.get("rule", "")),
        str(line.get("reason", "")),
        dict(line.get("relations") or {}),
        tuple(Column(str(c["name"]), str(c["rule"])) for c in line.get("columns") or ()),
        last=at,
    )


def _add(spoken: Spoken, kind: str, line: dict[str, Any], at: float, most: int) -> None:
    match kind:
        case "rows" | "copy" | "binary":
            found = line["rows"][: max(0, most - len(spoken.rows) - len(spoken.spelled))]
            spoken.left_out += len(line["rows"]) - len(found)
            if kind == "rows":
                spoken.rows += [tuple(map(as_text, row)) for row in found]
            else:
                spoken.spelled += map(str, found)
        case "cut":
            spoken.cut = str(line["by"])
        case "notice":
            spoken.notices.append(f"{line.get('severity', '')} {line.get('sqlstate', '')}".strip())
        case "outcome":
            spoken.ended, spoken.status = at, str(line.get("status", ""))
            spoken.sqlstate = str(line.get("sqlstate") or "")
            spoken.error = str(line.get("error") or "")
            spoken.affected = int(line.get("rows", -1))
            spoken.seconds = float(line.get("seconds", 0.0))
        case _:
            told = {k: v for k, v in line.items() if k not in ("n", "t", "kind", "s", "prev")}
            spoken.notes.append(f"{kind}: {json.dumps(told)}")


def as_text(value: Any) -> str | None:
    """Give a recorded value as people read it; None: NULL."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, dict) and len(value) == 1:
        if "hex" in value:
            return f"\\x{value['hex']}"
        if "json" in value:
            return json.dumps(value["json"], ensure_ascii=False)
    return json.dumps(value, ensure_ascii=False)


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
