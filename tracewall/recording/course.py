"""A recording put together again, statement by statement, in bounded memory.

1. Lines of one statement stand together or apart: cursors may be open at the same time. So the
   last statements are held until others have begun, or the recording ends.
2. At most `_OPEN` statements and about `_HELD` characters are held. What comes later of one that
   was given already is given as more of it (`Spoken.goes_on`): nothing is lost.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any, Final

from tracewall.recording.reader import Proof, Reading
from tracewall.recording.shown import Column, Spoken, as_text

_OPEN: Final = 64
_KNOWN: Final = 1024
_HELD: Final = 8 << 20
_HINT: Final = 200
# What a value takes beside its characters.
_PER_VALUE: Final = 64


class Course:
    """A session as it went: iterate, once, for its statements, in the order they began.

    ``header`` is known from the beginning; ``length`` (seconds) and ``why`` it ended (empty: it
    did not) grow while it is read. Of each statement so many rows are given at most; the others
    are counted, and take no memory.
    """

    def __init__(self, lines: Iterable[dict[str, Any]], most: int = sys.maxsize) -> None:
        self.proof = lines.proof if isinstance(lines, Reading) else Proof()
        self.why = ""
        self.length = 0.0
        self._most = most
        self._lines = iter(lines)
        self._held = _Held()
        # What is known of statements that were given, to name more of their rows.
        self._given = _Held()
        self.header: dict[str, Any] = next(self._lines, {})

    @property
    def who(self) -> str:
        """Who was recorded."""
        return str(self.header.get("subject") or "nobody")

    def __iter__(self) -> Iterator[Spoken]:
        held = self._held
        for line in self._lines:
            kind, at = line["kind"], float(line.get("t") or 0.0)
            self.length = max(self.length, at)
            if kind == "ended":
                self.why = str(line.get("why") or "closed")
                continue
            number = int(line.get("s") or 0)
            if kind == "statement":
                if number in held:
                    yield self._give(number)
                spoken = _spoken(line, number, at)
                held.put(number, spoken, _weight(spoken))
            else:
                self._tell(number, kind, line, at)
            while held.fuller_than(_OPEN):
                yield self._give(held.first)
        while len(held):
            yield self._give(held.first)

    def _tell(self, number: int, kind: str, line: dict[str, Any], at: float) -> None:
        if number not in self._held:
            self._held.put(number, self._more(number, at), _PER_VALUE)
        spoken = self._held[number]
        spoken.last = at
        self._held.add(number, _add(spoken, kind, line, at, self._most))

    def _more(self, number: int, at: float) -> Spoken:
        """Make what more of a statement goes to."""
        if number in self._given:
            known = self._given.pop(number)
            return replace(known, began=at, goes_on=True)
        return Spoken(number, at, "", "", "", goes_on=True)

    def _give(self, number: int) -> Spoken:
        spoken = self._held.pop(number)
        before = spoken.before + len(spoken.rows) + len(spoken.spelled)
        known = Spoken(
            number,
            spoken.began,
            spoken.text[:_HINT],
            spoken.decision,
            spoken.rule,
            columns=spoken.columns,
            status=spoken.status,
            before=before,
        )
        self._given.put(number, known, _weight(known))
        while self._given.fuller_than(_KNOWN):
            self._given.pop(self._given.first)
        return spoken


class _Held:
    """Statements by their numbers, oldest first, and about how many characters they take."""

    def __init__(self) -> None:
        self._all: dict[int, tuple[Spoken, int]] = {}
        self._sum = 0

    def __contains__(self, number: int) -> bool:
        return number in self._all

    def __getitem__(self, number: int) -> Spoken:
        return self._all[number][0]

    def __len__(self) -> int:
        return len(self._all)

    @property
    def first(self) -> int:
        return next(iter(self._all))

    def fuller_than(self, most: int) -> bool:
        """Tell whether there are more than so many, or too much is held of any."""
        return len(self._all) > most or (self._sum > _HELD and bool(self._all))

    def put(self, number: int, spoken: Spoken, weight: int) -> None:
        if number in self._all:
            self.pop(number)
        self._all[number] = spoken, weight
        self._sum += weight

    def add(self, number: int, weight: int) -> None:
        spoken, before = self._all[number]
        self._all[number] = spoken, before + weight
        self._sum += weight

    def pop(self, number: int) -> Spoken:
        spoken, weight = self._all.pop(number)
        self._sum -= weight
        return spoken


def _spoken(line: dict[str, Any], number: int, at: float) -> Spoken:
    text, decision, rule, reason = (
        str(line.get(name) or "") for name in ("text", "decision", "rule", "reason")
    )
    return Spoken(
        number,
        at,
        text,
        decision,
        rule,
        reason,
        relations=dict(line.get("relations") or {}),
        columns=tuple(Column(c["name"], c["rule"]) for c in line.get("columns") or ()),
        last=at,
    )


def _weight(spoken: Spoken) -> int:
    """Give about how many characters a statement takes without its rows."""
    names = sum(len(column.name) + len(column.rule) + _PER_VALUE for column in spoken.columns)
    told = sum(
        len(name) + sum(map(len, did)) + _PER_VALUE for name, did in spoken.relations.items()
    )
    return len(spoken.text) + len(spoken.reason) + names + told + 8 * _PER_VALUE


def _add(spoken: Spoken, kind: str, line: dict[str, Any], at: float, most: int) -> int:
    """Add what a line tells; give about how many characters that takes."""
    match kind:
        case "rows":
            found = _first(spoken, line["rows"], most)
            rows = [tuple(map(as_text, row)) for row in found]
            spoken.rows += rows
            return sum(len(cell or "") + _PER_VALUE for row in rows for cell in (*row, ""))
        case "copy" | "binary":
            spelled = _first(spoken, line["rows"], most)
            spoken.spelled += spelled
            return sum(len(row) + _PER_VALUE for row in spelled)
        case "cut":
            spoken.cut = str(line["by"])
        case "notice":
            told = f"{line.get('severity') or ''} {line.get('sqlstate') or ''}".strip()
            return _note(spoken, spoken.notices, told)
        case "outcome":
            _end(spoken, line, at)
        case _:
            kept = {k: v for k, v in line.items() if k not in ("n", "t", "kind", "s", "prev")}
            return _note(spoken, spoken.notes, f"{kind}: {as_text({'json': kept})}")
    return 0


def _first(spoken: Spoken, rows: list[Any], most: int) -> list[Any]:
    """Give those rows that are still to be given, and count the others."""
    kept = spoken.before + len(spoken.rows) + len(spoken.spelled)
    found = rows[: max(0, most - kept)]
    spoken.left_out += len(rows) - len(found)
    return found


def _note(spoken: Spoken, notes: list[str], told: str) -> int:
    notes.append(told)
    return len(told) + _PER_VALUE


def _end(spoken: Spoken, line: dict[str, Any], at: float) -> None:
    spoken.ended, spoken.status = at, str(line.get("status") or "")
    spoken.sqlstate = str(line.get("sqlstate") or "")
    spoken.error = str(line.get("error") or "")
    affected = line.get("rows")
    spoken.affected = -1 if affected is None else affected
    spoken.seconds = float(line.get("seconds") or 0.0)
