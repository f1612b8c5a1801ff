"""What a `FakeBackend` answers: scripted by the test, given to whoever sends the statement."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from tracewall.locks import Lock
from tracewall.testing.values import guessed_oid, type_oid
from tracewall.testing.wire import Field

Column: TypeAlias = str | tuple[str, str] | tuple[str, str, str]
"""A column of an answer: its name; or with its type; or with ``schema.table.column`` it is of."""

Pattern: TypeAlias = "str | re.Pattern[str] | Callable[[str], bool]"


_PLACEHOLDER = re.compile(r"%(?:\([^)]*\))?[sbt]|\$\d+")
_FIELDS = {
    "detail": "D",
    "hint": "H",
    "position": "P",
    "internal_query": "q",
    "context": "W",
    "schema_name": "s",
    "table_name": "t",
    "column_name": "c",
    "datatype_name": "d",
    "constraint_name": "n",
}
"""The fields of an error by the names of psycopg's `Diagnostic`, as the protocol has them."""


@dataclass(frozen=True, slots=True)
class Received:
    """A statement that arrived: its text as it came over the wire, and its parameters.

    ``parameters`` are Python values (None: NULL); of a type that the client left open they
    are strings. ``data`` is what was copied in, for ``COPY … FROM STDIN``.
    """

    sql: str
    parameters: tuple[Any, ...] = ()
    data: bytes = b""


@dataclass(frozen=True, slots=True)
class Told:
    """One part of an answer, in the order it was scripted.

    ``what`` is ``rows``, ``tag``, ``problem``, ``notice``, ``delay``, ``hang up``, ``copy out``
    or ``copy in``.
    """

    what: str
    value: Any = None


class Answer:
    """A scripted answer; each method adds to it and returns it, so that calls chain.

    Made by `FakeBackend.on`. What is not scripted ends as the server would end it: with the
    tag of the statement and no rows.
    """

    def __init__(self, pattern: Pattern) -> None:
        self._pattern = pattern
        self._exact = _normal(pattern) if isinstance(pattern, str) else ""
        self._parts: list[Told] = []
        self._count: int | None = None
        self._lock = Lock()
        self.used = 0
        """How many times it was given so far."""

    def __repr__(self) -> str:
        return f"<Answer to {self._pattern!r}, given {self.used} times>"

    def rows(
        self,
        rows: Iterable[Sequence[Any]] | Callable[[Received], Iterable[Sequence[Any]]],
        columns: Sequence[Column] | None = None,
    ) -> Answer:
        """Answer with rows, or with what a function of the received statement gives.

        Args:
            rows: sequences of Python values, one for each column.
            columns: names, or names with types (``("id", "int8")``), or with the base column
                too (``("id", "int8", "shop.orders.id")``). By default they are what the
                statement selects from the backend's tables, as the guard reads it.
        """
        return self._add("rows", (rows if callable(rows) else list(rows), columns))

    def tag(self, tag: str) -> Answer:
        """Answer with a command tag (``UPDATE 3``), from which psycopg takes ``rowcount``."""
        return self._add("tag", tag)

    def error(self, sqlstate: str, message: str = "scripted error", **fields: str) -> Answer:
        """Answer with an error; fields are named as in psycopg's ``Diagnostic`` (``detail=…``)."""
        return self._add("problem", _problem("ERROR", sqlstate, message, fields))

    def notice(self, message: str, *, severity: str = "NOTICE", **fields: str) -> Answer:
        """Send a notice on the way."""
        return self._add("notice", _problem(severity, "00000", message, fields))

    def delay(self, seconds: float) -> Answer:
        """Wait here; a cancel request ends it with SQLSTATE 57014.

        Ask by ``cancel_safe()``: psycopg's older ``cancel()`` holds the interpreter while it
        waits for the server, which this one runs in.
        """
        return self._add("delay", seconds)

    def disconnect(self) -> Answer:
        """Hang up here: after the rows, if rows were scripted before."""
        return self._add("hang up")

    def copy_out(
        self, chunks: Iterable[bytes], *, columns: int = 1, binary: bool = False
    ) -> Answer:
        """Answer a ``COPY … TO STDOUT`` with these chunks of data."""
        return self._add("copy out", (list(chunks), columns, binary))

    def copy_in(self, *, columns: int = 1, binary: bool = False) -> Answer:
        """Take what a ``COPY … FROM STDIN`` sends; it is in `Received.data` then."""
        return self._add("copy in", (columns, binary))

    def times(self, count: int) -> Answer:
        """Give this answer so many times; the next one for the statement comes after that."""
        self._count = count
        return self

    def matches(self, sql: str) -> bool:
        """Tell whether this answers a statement."""
        if isinstance(self._pattern, re.Pattern):
            return self._pattern.search(sql) is not None
        return self._pattern(sql) if callable(self._pattern) else _normal(sql) == self._exact

    @property
    def fresh(self) -> bool:
        """Tell whether it is to be given before the next answer to the same statement."""
        return self.used < (self._count or 1)

    def take(self) -> bool:
        """Use it up once; False if it is used up."""
        with self._lock:
            if self._count is not None and self.used >= self._count:
                return False
            self.used += 1
            return True

    @property
    def parts(self) -> tuple[Told, ...]:
        """What was scripted, in order."""
        return tuple(self._parts)

    def _add(self, what: str, value: Any = None) -> Answer:
        self._parts.append(Told(what, value))
        return self


@dataclass(frozen=True, slots=True)
class Table:
    """Rows with the columns they have."""

    fields: tuple[Field, ...]
    rows: list[Sequence[Any]] = field(default_factory=list)


def tabled(rows: list[Sequence[Any]], columns: Sequence[Field | None], names: list[str]) -> Table:
    """Join rows with what is known of their columns; an unknown type is guessed from a value.

    Raises:
        ValueError: a row has another number of values than there are columns.
    """
    width = len(columns) or (len(rows[0]) if rows else 0)
    if any(len(row) != width for row in rows):
        raise ValueError(f"a scripted row does not have {width} values, one for each column")
    fields = []
    for at in range(width):
        known = columns[at] if at < len(columns) else None
        name = names[at] if at < len(names) else f"column{at + 1}"
        fields.append(known or Field(name, guessed_oid([row[at] for row in rows])))
    return Table(tuple(fields), rows)


def spelled(column: Column) -> tuple[str, int | None, str]:
    """Give a column's name, its type's oid (None: not told) and its base column (or empty)."""
    if isinstance(column, str):
        return column, None, ""
    name, kind, *base = column
    return name, type_oid(kind), base[0] if base else ""


def _normal(sql: str) -> str:
    """Give a statement without what does not matter for telling which one it is."""
    marked = _PLACEHOLDER.sub("?", sql).replace("%%", "%")
    return " ".join(marked.split()).rstrip("; ")


def _problem(
    severity: str, sqlstate: str, message: str, fields: Mapping[str, str]
) -> dict[str, str]:
    unknown = fields.keys() - _FIELDS.keys()
    if unknown:
        raise TypeError(
            f"an error has no field {sorted(unknown)[0]!r}; it has {', '.join(_FIELDS)}"
        )
    told = {"S": severity, "V": severity, "C": sqlstate, "M": message}
    return told | {_FIELDS[name]: value for name, value in fields.items()}
