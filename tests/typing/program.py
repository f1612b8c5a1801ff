"""A program written for psycopg, typed, with one import changed; mypy --strict reads it.

What it says with `assert_type` is what psycopg promises too.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, assert_type

import psycopg as real
from psycopg.rows import class_row, dict_row, scalar_row
from psycopg.types.json import Jsonb
from psycopg_pool import AsyncConnectionPool, ConnectionPool

import tracewall as psycopg
from tracewall import sql


@dataclass
class Run:
    """A row."""

    run_id: str
    model: str


def read(conn: psycopg.Connection[tuple[Any, ...]]) -> list[Run]:
    """Read by row factories, each with its own type."""
    with conn.cursor(row_factory=class_row(Run)) as cursor:
        assert_type(cursor.execute("select 1").fetchone(), Run | None)
        runs = cursor.fetchall()
    for row in conn.cursor(row_factory=dict_row).execute("select 1 as one"):
        assert_type(row, dict[str, Any])
    assert_type(conn.execute("select 1").fetchone(), tuple[Any, ...] | None)
    assert_type(conn.cursor(row_factory=scalar_row).execute("select 1").fetchone(), Any | None)
    return runs


def write(conn: psycopg.Connection[Any]) -> int:
    """Write in a transaction, by a batch, a pipeline and COPY."""
    table = sql.Identifier("traces", "steps")
    insert = sql.SQL("insert into {} values (%s, %s)").format(table)
    with conn.transaction() as transaction:
        assert_type(transaction, real.Transaction)
        conn.cursor().executemany(insert, [(1, Jsonb({})), (2, Jsonb([]))], returning=True)
        with conn.pipeline(), conn.cursor() as cursor:
            cursor.execute(insert, (3, None), prepare=True, binary=True)
        with conn.cursor().copy("copy traces.steps from stdin") as copy:
            copy.write_row((1, 2))
            copy.write(b"1\t2\n")
        return cursor.rowcount


def named(conn: psycopg.Connection[Any]) -> None:
    """Use a server-side cursor, and stream."""
    with conn.cursor("name", scrollable=True, withhold=True) as cursor:
        cursor.itersize = 10
        cursor.execute("select 1").scroll(1)
        cursor.fetchmany(2)
    for _ in conn.cursor().stream("select 1", size=2):
        pass
    for notification in conn.notifies(timeout=1):
        assert_type(notification, real.Notify)


def anywhere(conn: real.Connection[Any]) -> None:
    """Take any connection of psycopg's."""
    conn.execute("select 1")


async def asynchronously(wall: psycopg.Wall, token: str) -> None:
    """Do the same without blocking."""
    conn = await psycopg.AsyncConnection.connect(wall=wall, token=token, row_factory=dict_row)
    assert_type(conn, psycopg.AsyncConnection[dict[str, Any]])
    async with conn, conn.cursor() as cursor:
        await cursor.execute("select 1")
        assert_type(await cursor.fetchone(), dict[str, Any] | None)
        async with cursor.copy("copy traces.steps to stdout") as copy:
            async for _ in copy:
                pass
        async for row in cursor.stream("select 1"):
            assert_type(row, dict[str, Any])
    pool = AsyncConnectionPool(
        connection_class=psycopg.AsyncConnection[dict[str, Any]],
        kwargs={"wall": wall, "row_factory": dict_row},
        check=AsyncConnectionPool.check_connection,
    )
    async with pool, pool.connection() as pooled:
        assert_type(pooled, psycopg.AsyncConnection[dict[str, Any]])


def main(wall: psycopg.Wall, token: str) -> None:
    """Connect, and pass the connection around."""
    with psycopg.connect(wall=wall, token=token) as conn:
        read(conn)
        write(conn)
        named(conn)
        anywhere(conn)
        try:
            conn.execute("select 1")
        except psycopg.Forbidden as refused:
            assert refused.decision is not None
            assert_type(refused.decision.rule, str)
        except psycopg.errors.UniqueViolation as error:
            assert_type(error.diag.constraint_name, str | None)
    with ConnectionPool(connection_class=psycopg.Connection, kwargs={"wall": wall}) as pool:
        with wall.acting_as(token), pool.connection() as pooled:
            pooled.execute("select 1")
