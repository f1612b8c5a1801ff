"""What guarded objects give by their public attributes while they are at work, whoever made them.

`test_walk` goes through psycopg's classes. Here it is the objects: all that is reached from
them by public attributes is known, guarded, and holds nothing that the caller may not have.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing, asynccontextmanager, suppress
from typing import Any

import psycopg
import pytest
from psycopg import pq
from psycopg.rows import dict_row
from psycopg_pool import AsyncConnectionPool, AsyncNullConnectionPool

import tracewall
from tracewall import AsyncConnection

RUNS = "SELECT run_id, api_key FROM traces.runs WHERE api_key IS NOT NULL ORDER BY run_id LIMIT 5"
COPIED = f"COPY ({RUNS}) TO STDOUT"

OWN = {
    psycopg.AsyncConnection: "cursor_factory explain lock pgconn row_factory server_cursor_factory",
    psycopg.AsyncCursor: "masking",
    psycopg.AsyncCopy: "connection cursor formatter writer",
    psycopg.ConnectionInfo: "pgconn",
    psycopg.AsyncPipeline: "command_queue level pgconn result_queue",
    psycopg.AsyncTransaction: "force_rollback pgconn status",
}
"""What guarded objects have besides psycopg's classes: of our own, or set when they are made."""

CURSORS = [
    (tracewall.AsyncCursor, psycopg.AsyncCursor),
    (tracewall.AsyncClientCursor, psycopg.AsyncClientCursor),
    (tracewall.AsyncRawCursor, psycopg.AsyncRawCursor),
    (psycopg.AsyncCursor, psycopg.AsyncCursor),
    (psycopg.AsyncRawCursor, psycopg.AsyncRawCursor),
]
PORTALS = [
    (tracewall.AsyncServerCursor, psycopg.AsyncServerCursor),
    (tracewall.AsyncRawServerCursor, psycopg.AsyncRawServerCursor),
    (psycopg.AsyncServerCursor, psycopg.AsyncServerCursor),
    (psycopg.AsyncRawServerCursor, psycopg.AsyncRawServerCursor),
]


def members(thing: Any) -> set[str]:
    """Give the public names that something has, its attributes included."""
    return {name for name in dir(thing) if not name.startswith("_")}


def news(thing: Any, kind: type) -> set[str]:
    """Give the public names that a guarded object has and psycopg's class has not."""
    own = [names for each, names in OWN.items() if issubclass(kind, each)]
    return members(thing) - members(kind) - set(" ".join(own).split())


def given(thing: Any) -> Iterator[tuple[str, Any]]:
    """Give what public attributes lead to, a method's owner too."""
    for name in sorted(members(thing)):
        try:
            value = getattr(thing, name)
        except (psycopg.Error, NotImplementedError, AttributeError):
            # Of the last kind are those that an earlier psycopg has not.
            continue
        yield name, getattr(value, "__self__", value) if callable(value) else value


def reached(thing: Any) -> dict[str, Any]:
    """Give all that public attributes lead to from an object, by the way that leads there."""
    found: dict[str, Any] = {}
    seen, todo = {id(thing)}, [("", thing)]
    while todo:
        way, each = todo.pop()
        found[way] = each
        parts: Any = ()
        if isinstance(each, list | tuple | set | frozenset):
            parts = ((f"[{at}]", part) for at, part in enumerate(each))
        elif isinstance(each, dict):
            parts = ((f"[{key!r}]", part) for key, part in each.items())
        elif not isinstance(each, type) and of_the_guard(each):
            parts = ((f".{name}", value) for name, value in given(each))
        for name, part in parts:
            if id(part) not in seen:
                seen.add(id(part))
                todo.append((way + name, part))
    return found


def of_the_guard(thing: Any) -> bool:
    """Tell whether something is psycopg's or ours: what it leads to is public by their word."""
    # Adapters lead to registries of classes only; its thousands of ways are not looked at.
    ours = ("psycopg", "psycopg_binary", "psycopg_c", "psycopg_pool", "tracewall")
    room = type(thing).__module__.partition(".")[0]
    return room in ours and not isinstance(thing, psycopg.adapt.AdaptersMap | psycopg.Column)


@pytest.fixture(scope="module")
def secrets(guard: Any) -> re.Pattern[str]:
    """What no public attribute may lead to: the raw values of a masked column, a credential."""
    values = [key for (key,) in guard.raw(RUNS.replace("run_id, ", "", 1))]
    assert len(values) == 5
    return re.compile("|".join(map(re.escape, [*values, guard.store.password])))


def leaks(thing: Any, secrets: re.Pattern[str]) -> list[str]:
    """Give the ways that lead to a raw connection, or to a secret."""
    return [
        way
        for way, each in reached(thing).items()
        if isinstance(each, pq.PGconn) or secrets.search(told(each))
    ]


def told(thing: Any) -> str:
    """Give what something tells: a result's values, of anything else what it prints as."""
    if isinstance(thing, type):
        return ""
    words = [str(thing), repr(thing)]
    if hasattr(thing, "get_value"):
        words.append(str(thing.error_message))
        for row in range(thing.ntuples):
            for column in range(thing.nfields):
                with suppress(tracewall.Forbidden):
                    words.append(str(thing.get_value(row, column)))
    return " ".join(words)


@asynccontextmanager
async def connected(guard: Any, **options: Any) -> AsyncIterator[Any]:
    """Give a connection of an analyst's."""
    async with await AsyncConnection.connect(
        wall=guard.wall, token=guard.analyst, **options
    ) as conn:
        yield conn


async def test_a_leak_is_seen(guard: Any, secrets: Any) -> None:
    """The walk finds a raw connection or value on an unguarded connection, or it holds nothing."""
    async with await psycopg.AsyncConnection.connect(guard.store.full_dsn) as conn:
        cursor = await conn.execute(RUNS)
        assert {".pgconn", ".info.password"} <= set(leaks(conn, secrets))
        assert ".pgresult" in leaks(cursor, secrets)


async def test_a_connection_leads_to_nothing_raw(guard: Any, secrets: Any) -> None:
    """A connection, what it tells of itself, a transaction and a pipeline on it."""
    async with connected(guard, autocommit=True) as conn:
        assert not news(conn, psycopg.AsyncConnection)
        assert not news(conn.info, psycopg.ConnectionInfo)
        assert leaks(conn, secrets) == []
        async with conn.transaction() as transaction:
            await conn.execute(RUNS)
            assert not news(transaction, psycopg.AsyncTransaction)
            assert leaks(transaction, secrets) == []
        async with conn.pipeline() as pipeline:
            cursor = await conn.execute(RUNS)
            assert not news(pipeline, psycopg.AsyncPipeline)
            assert leaks(pipeline, secrets) == leaks(cursor, secrets) == []
            await pipeline.sync()
            assert leaks(pipeline, secrets) == leaks(cursor, secrets) == []


@pytest.mark.parametrize("kind, own", CURSORS)
async def test_a_cursor_with_rows_leads_to_nothing_raw(
    guard: Any, secrets: Any, kind: Any, own: Any
) -> None:
    """A cursor, made by the connection or by hand: before, with, amid and after its rows."""
    async with connected(guard, autocommit=True) as conn:
        cursor = kind(conn)
        assert not news(cursor, own)
        assert leaks(cursor, secrets) == []
        await cursor.execute(RUNS)
        assert leaks(cursor, secrets) == []
        assert await cursor.fetchone()
        assert leaks(cursor, secrets) == []
        assert await cursor.fetchall()
        await cursor.close()
        assert not news(cursor, own)
        assert leaks(cursor, secrets) == []


@pytest.mark.parametrize("kind, own", PORTALS)
async def test_a_portal_leads_to_nothing_raw(guard: Any, secrets: Any, kind: Any, own: Any) -> None:
    """A server-side cursor: declared, amid its rows, scrolled, over."""
    async with connected(guard) as conn:
        cursor = kind(conn, "page", scrollable=True)
        assert not news(cursor, own)
        await cursor.execute(RUNS)
        assert leaks(cursor, secrets) == []
        assert len(await cursor.fetchmany(2)) == 2
        assert leaks(cursor, secrets) == []
        await cursor.scroll(0, mode="absolute")
        async for _ in cursor:
            assert leaks(cursor, secrets) == []
        await cursor.close()
        assert leaks(cursor, secrets) == []


@pytest.mark.parametrize("kind, own", CURSORS)
async def test_a_stream_leads_to_nothing_raw(guard: Any, secrets: Any, kind: Any, own: Any) -> None:
    """A stream, and the cursor that it is of, at each row and when it is left early."""
    async with connected(guard, autocommit=True) as conn:
        cursor = kind(conn, row_factory=dict_row)
        for most in (1, 99):
            async with aclosing(cursor.stream(RUNS)) as rows:
                taken = []
                async for row in rows:
                    assert set(row) == {"run_id", "api_key"}
                    assert leaks(cursor, secrets) == leaks(rows, secrets) == []
                    taken.append(row)
                    if len(taken) == most:
                        break
            assert leaks(cursor, secrets) == []


async def test_a_copy_leads_to_nothing_raw(guard: Any, secrets: Any) -> None:
    """A COPY of either direction, its cursor and its formatter, at each row."""
    async with connected(guard) as conn:
        cursor = conn.cursor()
        async with cursor.copy(COPIED) as copy:
            assert not news(copy, psycopg.AsyncCopy)
            async for _ in copy.rows():
                assert leaks(copy, secrets) == leaks(cursor, secrets) == []
        assert leaks(copy, secrets) == []
    async with await AsyncConnection.connect(wall=guard.wall, token=guard.operator) as conn:
        async with conn.cursor().copy("COPY traces.steps FROM STDIN") as copy:
            assert not news(copy, psycopg.AsyncCopy)
            assert leaks(copy, secrets) == []
        await conn.rollback()


async def test_an_error_leads_to_nothing_raw(guard: Any, secrets: Any) -> None:
    """An error of the server's, and what hangs on it."""
    async with connected(guard, autocommit=True) as conn:
        with pytest.raises(psycopg.Error) as failed:
            await conn.execute("SELECT 1 / (id - id) FROM traces.steps")
        assert leaks(failed.value, secrets) == []


@pytest.mark.parametrize("kind", [AsyncConnectionPool, AsyncNullConnectionPool])
async def test_a_pool_leads_to_nothing_raw(guard: Any, secrets: Any, kind: Any) -> None:
    """A connection of a pool's, and the pool: what they have more than psycopg's is the pool's."""
    made = kind(
        connection_class=AsyncConnection,
        kwargs={"wall": guard.wall},
        min_size=0,
        max_size=1,
        open=False,
    )
    async with made as pool:
        with guard.wall.acting_as(guard.analyst):
            async with pool.connection() as conn:
                assert type(conn) is AsyncConnection
                assert not news(conn, psycopg.AsyncConnection)
                cursor = await conn.execute(RUNS)
                assert leaks(conn, secrets) == leaks(cursor, secrets) == []
        assert leaks(pool, secrets) == []
