"""The commands a `FakeBackend` answers by itself: transactions, settings, cursors, channels."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

from tracewall.testing.answers import Received, Table
from tracewall.testing.wire import Field

_NAME = r'("(?:[^"]|"")*"|[\w$]+)'
_DECLARE = re.compile(rf"DECLARE\s+{_NAME}\s.*?\bCURSOR\b.*?\bFOR\s+(.*)", re.I | re.S)
_FETCH = re.compile(
    r"(FETCH|MOVE)\s+(?:(NEXT|PRIOR|FIRST|LAST|FORWARD|BACKWARD|ABSOLUTE|RELATIVE)\b\s*)?"
    rf"(ALL|-?\d+)?\s*(?:FROM|IN)?\s*{_NAME}",
    re.I,
)
_PINNED = re.compile(r"SELECT (?:(?:, )?pg_catalog\.set_config\(\$\d+, \$\d+, false\))+")
_CLOSE = re.compile(rf"CLOSE\s+{_NAME}", re.I)
_LISTEN = re.compile(rf"(LISTEN|UNLISTEN)\s+(\*|{_NAME})", re.I)
_BEGIN = re.compile(r"(BEGIN|START\s+TRANSACTION)\b", re.I)
_END = re.compile(r"(COMMIT|END|PREPARE\s+TRANSACTION)\b(?!\s+PREPARED)", re.I)
_ABORT = re.compile(r"(ROLLBACK|ABORT)\b(?!\s+(?:TO|PREPARED))", re.I)
_BACK = re.compile(r"ROLLBACK\s+(?:(?:WORK|TRANSACTION)\s+)?TO\b", re.I)
_PLAIN = re.compile(
    r"(SET|RESET|SAVEPOINT|RELEASE|DEALLOCATE(?:\s+ALL)?|DISCARD(?:\s+ALL)?"
    r"|(?:COMMIT|ROLLBACK)\s+PREPARED)\b",
    re.I,
)


class SessionState:
    """What a session of the server keeps: its transaction, cursors and channels.

    ``status`` is I (idle), T (in a transaction) or E (in a failed one).
    """

    def __init__(self) -> None:
        self.status = "I"
        self.channels: set[str] = set()
        self._cursors: dict[str, tuple[Table, list[int]]] = {}

    def fail(self) -> None:
        """Take note of an error."""
        if self.status == "T":
            self.status = "E"

    def ends(self, sql: str) -> bool:
        """Tell whether a statement may come in a failed transaction."""
        return any(kind.match(sql.strip()) for kind in (_END, _ABORT, _BACK))

    def cursor(self, name: str) -> Table | None:
        """Give the rows of a declared cursor."""
        found = self._cursors.get(name)
        return found[0] if found else None

    def own(
        self, received: Received, answer: Callable[[str], Table | None]
    ) -> tuple[str, Table | None] | None:
        """Carry out a command of the session: its tag and rows, or None if it is none.

        Args:
            received: the command.
            answer: gives the rows of a query that a cursor is declared for.
        """
        sql = received.sql.strip().rstrip(";").strip()
        if _PINNED.fullmatch(sql):
            # How the wall sets what it wants set: the server answers with what it has set.
            values = received.parameters[1::2]
            return "SELECT 1", Table(tuple(Field("set_config") for _ in values), [values])
        if found := _DECLARE.fullmatch(sql):
            return self._declare(found, answer)
        if found := _FETCH.fullmatch(sql):
            return self._fetch(found)
        return self._cursors_closed(sql) or self._transaction(sql) or self._setting(sql)

    def _transaction(self, sql: str) -> tuple[str, None] | None:
        if found := _BEGIN.match(sql):
            self.status = "T"
            return " ".join(found[1].upper().split()), None
        if _END.match(sql) or _ABORT.match(sql):
            failed = self.status == "E" or _ABORT.match(sql)
            self.status = "I"
            self._cursors.clear()
            if sql.upper().startswith("PREPARE"):
                return "PREPARE TRANSACTION", None
            return "ROLLBACK" if failed else "COMMIT", None
        if _BACK.match(sql):
            self.status = "T"
            return "ROLLBACK", None
        return None

    def _setting(self, sql: str) -> tuple[str, None] | None:
        if found := _LISTEN.fullmatch(sql):
            verb, channel = found[1].upper(), _bare(found[2])
            if verb == "LISTEN":
                self.channels.add(channel)
            else:
                self.channels -= self.channels if channel == "*" else {channel}
            return verb, None
        if found := _PLAIN.match(sql):
            return " ".join(found[1].upper().split()), None
        return None

    def _declare(
        self, found: re.Match[str], answer: Callable[[str], Table | None]
    ) -> tuple[str, None] | None:
        table = answer(found[2])
        if table is None:
            return None
        self._cursors[_bare(found[1])] = table, [0]
        return "DECLARE CURSOR", None

    def _fetch(self, found: re.Match[str]) -> tuple[str, Table | None] | None:
        verb, direction, count, name = found.groups()
        if _bare(name) not in self._cursors:
            return None
        table, position = self._cursors[_bare(name)]
        rows = _moved(table.rows, position, (direction or "FORWARD").upper(), count)
        if verb.upper() == "MOVE":
            return f"MOVE {len(rows)}", None
        return f"FETCH {len(rows)}", Table(table.fields, rows)

    def _cursors_closed(self, sql: str) -> tuple[str, Table | None] | None:
        """Close a cursor, or tell whether it is there: psycopg asks before it closes one."""
        if found := _CLOSE.fullmatch(sql):
            self._cursors.pop(_bare(found[1]), None)
            return "CLOSE CURSOR", None
        if sql.startswith("SELECT 1 FROM pg_catalog.pg_cursors WHERE name = "):
            name = sql.partition(" = ")[2].strip().strip("'").replace("''", "'")
            rows: list[Sequence[Any]] = [(1,)] if name in self._cursors else []
            return f"SELECT {len(rows)}", Table((Field("?column?", 23),), rows)
        return None


def usual_tag(sql: str, rows: int) -> str:
    """Give the tag a server ends a statement with, for so many rows."""
    verb = (re.findall(r"[A-Za-z]+", sql) or [""])[0].upper()
    if verb in ("UPDATE", "DELETE", "MERGE", "COPY", "FETCH", "MOVE"):
        return f"{verb} {rows}"
    if verb == "INSERT":
        return f"INSERT 0 {rows}"
    return f"SELECT {rows}" if verb in ("SELECT", "WITH", "VALUES", "TABLE") else verb


def _moved(
    rows: list[Sequence[Any]], position: list[int], direction: str, count: str | None
) -> list[Sequence[Any]]:
    """Give the rows that a FETCH gives, and move; positions count from 1, 0 is before all."""
    here, last = position[0], len(rows)
    number = last + 1 if (count or "").upper() == "ALL" else int(count or 1)
    if direction in ("BACKWARD", "PRIOR"):
        number = -number
    elif direction in ("ABSOLUTE", "FIRST", "LAST", "RELATIVE"):
        goal = {"FIRST": 1, "LAST": last, "RELATIVE": here + number}.get(
            direction, number if number >= 0 else last + 1 + number
        )
        position[0] = min(max(goal, 0), last + 1)
        return rows[goal - 1 : goal] if 1 <= goal <= last else []
    goal = min(max(here + number, 0), last + 1)
    position[0] = goal
    if number >= 0:
        return rows[here:goal] if goal <= last else rows[here:last]
    return rows[max(goal, 1) - 1 : here - 1][::-1]


def _bare(name: str) -> str:
    return name[1:-1].replace('""', '"') if name.startswith('"') else name.lower()
