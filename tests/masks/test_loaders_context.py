"""What a program's loader is given along with its values: nothing that loads a masked result."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import psycopg
import pytest
from psycopg.adapt import Loader, Transformer
from psycopg.pq import Format
from psycopg.types import TypeInfo
from psycopg.types.composite import CompositeInfo, register_composite

import tracewall

RULES = """
[[masks]]
name = "doc"
columns = ["zoo.given.doc"]
paths = ["$.token"]
method = "redact"
[[masks]]
name = "key"
columns = ["zoo.given.key", "zoo.given.keys"]
method = "partial"
keep_last = 1
"""
SQL = "SELECT id, doc, key, keys, ids, pair FROM zoo.given ORDER BY id"
PLAIN = "SELECT id, doc, key, keys FROM zoo.given ORDER BY id"
TYPES = [23, 3802, 25, 1009]


@pytest.fixture(scope="module")
def guarded(zoo: Any) -> Callable[[], Any]:
    """Give guarded connections to rows under masks."""
    zoo.plain.execute("CREATE TYPE zoo.pair AS (one int, two text)")
    zoo.plain.execute(
        'CREATE TABLE zoo.given AS SELECT i AS id, \'{"token": "zqkjxv"}\'::jsonb AS doc,'
        " 'zqkjxv' || i AS key, ARRAY['zqkjxv'] AS keys, ARRAY[i, 7] AS ids,"
        " ROW(i, 'shown')::zoo.pair AS pair FROM generate_series(1, 20) i"
    )
    wall = zoo.load(RULES, mask_key=b"k" * 32)
    return lambda: zoo.connect(wall)


def reset(given: Any, cursor: Any) -> Any:
    """Have all columns loaded as they are."""
    given.set_loader_types(TYPES, Format.TEXT)
    return cursor.fetchall()


def by_int(given: Any, cursor: Any) -> Any:
    """Have all columns loaded by the loader itself."""
    given.set_loader_types([23] * len(TYPES), Format.TEXT)
    return cursor.fetchall()


def unveiled(given: Any, cursor: Any) -> Any:
    """Take the veils away, and the result anew."""
    given.veils = {}
    given.set_pgresult(given.pgresult)
    return cursor.fetchall()


WAYS: list[Callable[[Any, Any], Any]] = [
    reset,
    by_int,
    unveiled,
    lambda given, _: given.load_rows(0, 3, tuple),
    lambda given, _: given.pgresult.get_value(0, 1),
    lambda given, _: Transformer.from_context(given).load_rows(0, 3, tuple),
    lambda given, cursor: (given.adapters.register_loader("jsonb", Loader), cursor.fetchall()),
]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("kept", [False, True], ids=["begins", "loads"])
def test_a_loader_gets_no_hold_of_masked_rows(guarded: Any, way: Any, kept: bool) -> None:
    """By nothing that psycopg gives it a raw value of a masked column is had."""
    given: list[Any] = []
    seen: list[bytes] = []

    class Curious(Loader):
        def __init__(self, oid: int, context: Any = None) -> None:
            super().__init__(oid, context)
            given.append(context)

        def load(self, data: Any) -> int:
            seen.append(bytes(data))
            if kept and len(seen) == 2:
                told.append(tried())
            return 1

    told: list[Any] = []

    def tried() -> Any:
        try:
            return way(given[-1], cursor)
        except (psycopg.Error, AttributeError, TypeError, ValueError) as ex:
            return repr(ex)

    cursor = guarded().cursor()
    cursor.adapters.register_loader("int4", Curious)
    cursor.execute(PLAIN)
    if not kept:
        told.append(tried())
    rows = cursor.execute(PLAIN).fetchall()
    assert told and seen and given
    assert "zqk" not in repr((told, seen, rows))


def test_loaders_of_types_that_are_made_of_others_work_as_ever(zoo: Any, guarded: Any) -> None:
    """Arrays and composites ask for their elements' loaders, the program's own among them."""

    class Ten(Loader):
        def load(self, data: Any) -> int:
            return 10 * int(bytes(data))

    conn: tracewall.Connection[Any] = guarded()
    conn.adapters.register_loader("int4", Ten)
    info = CompositeInfo.fetch(zoo.plain, "zoo.pair")
    assert isinstance(info, TypeInfo)
    register_composite(info, conn)
    row: Any = conn.execute(SQL).fetchone()
    assert row[0] == 10 and "token" in row[1] and row[4] == [10, 70]
    assert tuple(row[5]) == (10, "shown")
    assert "zqk" not in repr(row)
