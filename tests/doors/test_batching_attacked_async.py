"""A batch is attacked from its sets, their dumpers and what is around it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from psycopg.adapt import Dumper

from tracewall import AsyncClientCursor, AsyncConnection, AsyncCursor, AsyncRawCursor
from tracewall.errors import Forbidden

if True:  # ASYNC
    from contextlib import suppress

KINDS = [AsyncCursor, AsyncRawCursor, AsyncClientCursor]
WRITE = "update traces.steps set content = {} where step_id = {}"


class Name:
    """What is dumped as the name of a relation."""


class Oid(int):
    """The oid of regclass, which says that it is text's."""

    def __hash__(self) -> int:
        return hash(25)

    def __eq__(self, other: object) -> bool:
        return other == 25


class Naming(Dumper):
    """Dumps the name of a relation that is not there."""

    oid = Oid(2205)

    def dump(self, obj: Any) -> bytes:
        return b"traces.nosuch"


@pytest.fixture
async def conn(guard: Any) -> Any:
    """A connection of an operator's, of which nothing stays."""
    async with await AsyncConnection.connect(wall=guard.wall, token=guard.operator) as opened:
        yield opened
        if not opened.closed:
            await opened.rollback()


def spelled(query: str, kind: Any) -> str:
    """Give a statement with the placeholders that a class of cursors takes."""
    return query.format(*(["$1", "$2"] if kind is AsyncRawCursor else ["%s", "%s"]))


def shut(cursor: Any) -> None:
    """Close a cursor from within its own batch, as its sets may."""
    if True:  # ASYNC
        with suppress(StopIteration):
            cursor.close().send(None)
    else:
        cursor.close()


@pytest.mark.parametrize("piped", [False, True])
@pytest.mark.parametrize("kind", KINDS)
async def test_a_cursor_that_its_sets_close_sends_no_others(
    conn: Any, kind: Any, piped: bool
) -> None:
    """No set gets by unseen where psycopg knows no more of a batch: neither marks nor names."""
    cursor = await conn.execute("select api_key from traces.runs where api_key <> '' limit 1")
    ((mark,), cursor) = (await cursor.fetchone(), kind(conn))
    conn.adapters.register_dumper(Name, Naming)

    def closing(last: Any) -> Iterator[Any]:
        yield from ((f"honest {at}", at) for at in range(1, 4))
        shut(cursor)
        # Of other types, so that it goes psycopg's way.
        yield (last, 2**40)
        yield (last, 4)

    for last in (mark, Name()):
        cursor = kind(conn)
        with pytest.raises((psycopg.InterfaceError, Forbidden)):
            if piped:
                async with conn.pipeline():
                    await cursor.executemany(spelled(WRITE, kind), closing(last))
            else:
                await cursor.executemany(spelled(WRITE, kind), closing(last))
        await conn.rollback()
        assert await (await conn.execute("select 1")).fetchone() == (1,)


async def test_a_closed_batch_tells_of_no_end_before_it_ends(conn: Any, guard: Any) -> None:
    """The record counts the sets that left, though the first result finds the cursor closed."""
    cursor = conn.cursor()

    def closing() -> Iterator[Any]:
        yield from (("honest", at) for at in range(1, 31))
        shut(cursor)
        yield ("never", 31)

    with pytest.raises(psycopg.InterfaceError):
        await cursor.executemany(spelled(WRITE, AsyncCursor), closing())
    told = [line for line in guard.recorded().splitlines() if '"sets"' in line]
    assert '"sets":30' in told[-1].replace(" ", "")
    assert '"status":"ok"' not in told[-1].replace(" ", "")


@pytest.mark.parametrize("door", ["execute", "again", "many", "later", "stream", "declare"])
async def test_a_type_is_what_libpq_takes_it_for(conn: Any, door: str) -> None:
    """A number that compares as another than it is has no name looked up."""
    conn.adapters.register_dumper(Name, Naming)
    cursor = conn.cursor()
    with pytest.raises(Forbidden, match="looks names up"):
        if door == "execute":
            await cursor.execute("select %s", (Name(),))
        elif door == "again":
            for _ in range(8):
                await cursor.execute("select %s::text", ("a",))
            await conn.cursor().execute("select %s::text", (Name(),), prepare=False)
        elif door == "many":
            await cursor.executemany("select %s", [(Name(),)])
        elif door == "later":
            await cursor.executemany("select %s::text", [("a",), ("b",), (Name(),)])
        elif door == "declare":
            async with conn.cursor("named") as named:
                await named.execute("select %s", (Name(),))
        else:
            async for _ in cursor.stream("select %s", (Name(),)):
                pass
