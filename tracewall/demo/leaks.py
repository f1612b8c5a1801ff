"""Counts the planted secrets that a connection shows, in every row that it may read.

1. All rows of all columns with free text are read, page by page, by the caller's own way.
2. A secret counts as seen at its place when half of it or more is still there, and
   anywhere at all when the whole of it is.
3. A value that is secret as a whole counts as seen when all of it is there.
4. A place that was not read proves nothing, so places read are counted too.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, LiteralString, TypeAlias
from uuid import UUID

import psycopg

from tracewall.demo.secrets import Planted

PAGE = 1000
"""How many rows are read at a time, well below the policy's limit."""

_Place: TypeAlias = tuple[str, str, str]


@dataclass(frozen=True, slots=True)
class Reading:
    """How free text is read: ``query`` gives a key after ``first``, and the ``columns``."""

    query: LiteralString
    first: object
    columns: tuple[str, ...]


FREE_TEXT: Mapping[str, Reading] = MappingProxyType(
    {
        "traces.runs": Reading(
            "SELECT run_id, system_instructions, attributes FROM traces.runs"
            " WHERE run_id > %s ORDER BY run_id LIMIT %s",
            UUID(int=0),
            ("system_instructions", "attributes"),
        ),
        "traces.steps": Reading(
            "SELECT step_id, content FROM traces.steps"
            " WHERE step_id > %s ORDER BY step_id LIMIT %s",
            0,
            ("content",),
        ),
        "traces.messages": Reading(
            "SELECT message_id, parts FROM traces.messages"
            " WHERE message_id > %s ORDER BY message_id LIMIT %s",
            0,
            ("parts",),
        ),
        "traces.tool_calls": Reading(
            "SELECT call_id, arguments, result, error FROM traces.tool_calls"
            " WHERE call_id > %s ORDER BY call_id LIMIT %s",
            "",
            ("arguments", "result", "error"),
        ),
    }
)
"""Every column of the store that holds free text, by table."""

WHOLE = Reading(
    "SELECT run_id, api_key, user_email, client_ip FROM traces.runs"
    " WHERE run_id > %s ORDER BY run_id LIMIT %s",
    UUID(int=0),
    ("api_key", "user_email", "client_ip"),
)
"""The columns that are secret as a whole."""


@dataclass(slots=True)
class Exposure:
    """What one connection showed: ``read`` places of planted secrets, ``seen`` ones by kind.

    ``strays`` are the kinds of secrets that were seen whole in a place they were not
    planted in; ``characters`` is how much text was searched.
    """

    read: int = 0
    characters: int = 0
    seen: Counter[str] = field(default_factory=Counter)
    strays: Counter[str] = field(default_factory=Counter)

    @property
    def total(self) -> int:
        """How many times a secret was seen."""
        return self.seen.total() + self.strays.total()


def expose(
    conn: psycopg.Connection[Any], tables: Iterable[str], planted: Iterable[Planted]
) -> Exposure:
    """Read all free text of `tables` by `conn` and look for the planted secrets."""
    places: dict[_Place, list[Planted]] = {}
    for each in planted:
        places.setdefault((each.table, str(each.key), each.column), []).append(each)
    everywhere = Needles(each for here in places.values() for each in here)
    exposure = Exposure()
    for table in tables:
        for place, text in free_text(conn, table):
            _search(text, places.get(place, []), everywhere, exposure)
    return exposure


def stored(conn: psycopg.Connection[Any]) -> dict[_Place, str]:
    """Give the values of the columns that are secret as a whole, with their places."""
    return {
        ("traces.runs", key, column): str(value)
        for key, column, value in _read(conn, WHOLE)
        if value is not None
    }


def unmasked(
    conn: psycopg.Connection[Any], secret: Mapping[_Place, str], columns: Collection[str]
) -> tuple[int, Counter[str]]:
    """Count the values of `columns` that were compared, and by column those not masked."""
    compared, same = 0, Counter[str]()
    for key, column, value in _read(conn, WHOLE):
        original = secret.get(("traces.runs", key, column))
        if column not in columns or original is None:
            continue
        compared += 1
        if value is not None and original in str(value):
            same[column] += 1
    return compared, same


def free_text(conn: psycopg.Connection[Any], table: str) -> Iterator[tuple[_Place, str]]:
    """Give every free text of a table with its place: table, key (as text) and column."""
    for key, column, value in _read(conn, FREE_TEXT[table]):
        yield (table, key, column), "\n".join(texts(value))


def _read(conn: psycopg.Connection[Any], reading: Reading) -> Iterator[tuple[str, str, object]]:
    """Give each value with its row's key (as text) and its column, page after page."""
    last = reading.first
    while True:
        rows = conn.execute(reading.query, [last, PAGE]).fetchall()
        for key, *values in rows:
            for column, value in zip(reading.columns, values, strict=True):
                yield str(key), column, value
        if len(rows) < PAGE:
            return
        last = rows[-1][0]


def texts(value: object) -> Iterator[str]:
    """Give every text inside a value, the keys of documents too."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for name, inner in value.items():
            yield str(name)
            yield from texts(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from texts(inner)
    elif value is not None:
        yield str(value)


def shows(text: str, value: str) -> bool:
    """Tell whether `text` holds half of `value` or more, in one piece."""
    length = min(len(value), max(8, (len(value) + 1) // 2))
    return any(value[at : at + length] in text for at in range(len(value) - length + 1))


def _search(text: str, here: list[Planted], everywhere: Needles, exposure: Exposure) -> None:
    exposure.characters += len(text)
    exposure.read += len(here)
    exposure.seen.update(each.kind for each in here if shows(text, each.value))
    at_home = {each.value for each in here}
    found = everywhere.found(text)
    exposure.strays.update(kind for value, kind in found if value not in at_home)


class Needles:
    """Finds any of many secrets in a text, in time that does not grow with their number."""

    __slots__ = ("_by_start", "_length")

    def __init__(self, planted: Iterable[Planted]) -> None:
        kinds = {each.value: each.kind for each in planted}
        self._length = min(map(len, kinds), default=0)
        self._by_start: dict[str, list[tuple[str, str]]] = {}
        for value, kind in kinds.items():
            self._by_start.setdefault(value[: self._length], []).append((value, kind))

    def found(self, text: str) -> set[tuple[str, str]]:
        """Give the secrets (value and kind) that the text holds."""
        starts, length = self._by_start, self._length
        if not starts:
            return set()
        ends = range(len(text) - length + 1)
        hits = [at for at in ends if text[at : at + length] in starts]
        return {
            (value, kind)
            for at in hits
            for value, kind in starts[text[at : at + length]]
            if text.startswith(value, at)
        }
