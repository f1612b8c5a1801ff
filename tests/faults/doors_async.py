"""One use of each door of a connection; each gives what it was handed out."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias

from tracewall import AsyncClientCursor, AsyncRawCursor
from tracewall.rows import dict_row

Door: TypeAlias = Callable[[Any], Awaitable[list[Any]]]

SELECT = "select id, card from shop.orders where id <= 40 order by id"
UPDATE = "update shop.orders set note = %s where id = %s"


async def execute(conn: Any) -> list[Any]:
    """Execute and fetch, in a transaction that is committed."""
    found = await (await conn.execute(SELECT)).fetchall()
    await conn.commit()
    return list(found)


async def prepared(conn: Any) -> list[Any]:
    """Execute by a prepared statement, rows as dicts."""
    async with conn.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(SELECT + " limit %s", [5], prepare=True)
        return list(await cursor.fetchall())


async def again(conn: Any) -> list[Any]:
    """Execute what was prepared before once more, and once more."""
    cursor, found = conn.cursor(), []
    for options in ({"prepare": True}, {}, {}):
        await cursor.execute("select id, card from shop.orders where id < %s", [9], **options)
        found += await cursor.fetchall()
    return found


async def bound_by_client(conn: Any) -> list[Any]:
    """Execute with parameters that the client binds."""
    async with AsyncClientCursor(conn) as cursor:
        await cursor.execute("select id, card from shop.orders where id = %s", [7])
        return list(await cursor.fetchall())


async def raw(conn: Any) -> list[Any]:
    """Execute with PostgreSQL's own placeholders."""
    async with AsyncRawCursor(conn) as cursor:
        await cursor.execute("select id, card from shop.orders where id = $1", [8])
        return [await cursor.fetchone()]


async def many(conn: Any) -> list[Any]:
    """Execute with several sets of parameters."""
    cursor = conn.cursor()
    await cursor.executemany(UPDATE, [("m", 1), ("m", 2), ("m", 3)])
    await conn.commit()
    return [cursor.rowcount]


async def many_returning(conn: Any) -> list[Any]:
    """Execute with several sets of parameters, with rows of each."""
    cursor = conn.cursor()
    await cursor.executemany(UPDATE + " returning id, card", [("r", 4), ("r", 5)], returning=True)
    found = []
    while True:
        found += await cursor.fetchall()
        if not cursor.nextset():
            return found


async def streamed(conn: Any) -> list[Any]:
    """Stream rows."""
    return [row async for row in conn.cursor().stream(SELECT)]


async def left_stream(conn: Any) -> list[Any]:
    """Leave a stream in its middle."""
    rows = conn.cursor().stream("select id, card from shop.orders")
    found = [await anext(rows), await anext(rows)]
    await rows.aclose()
    return found


async def copied_out(conn: Any) -> list[Any]:
    """Copy rows out."""
    async with conn.cursor().copy("copy shop.orders (id, card) to stdout") as copy:
        return [row async for row in copy.rows()]


async def copied_in(conn: Any) -> list[Any]:
    """Copy rows in."""
    cursor = conn.cursor()
    async with cursor.copy("copy shop.notes (id, note) from stdin") as copy:
        for n in range(50):
            await copy.write_row((n, "copied"))
    return [cursor.rowcount]


async def declared(conn: Any) -> list[Any]:
    """Fetch from a server-side cursor, in batches."""
    found: list[Any] = []
    async with conn.cursor("orders") as cursor:
        await cursor.execute(SELECT)
        while batch := await cursor.fetchmany(15):
            found += batch
    await conn.rollback()
    return found


async def pipelined(conn: Any) -> list[Any]:
    """Send several statements before asking for a result."""
    found: list[Any] = []
    async with conn.pipeline() as pipeline:
        first = await conn.execute("select id, card from shop.orders where id = 1")
        second = await conn.execute(UPDATE, ["p", 6])
        await pipeline.sync()
        third = await conn.execute("select id, card from shop.orders where id = %s", [3])
        found += await first.fetchall()
        found += [second.rowcount]
        found += await third.fetchall()
    return found


async def in_transaction(conn: Any) -> list[Any]:
    """Use transactions within one another."""
    async with conn.transaction():
        await conn.execute(UPDATE, ["t", 9])
        async with conn.transaction():
            return list(await (await conn.execute(SELECT)).fetchall())


DOORS: dict[str, Door] = {
    door.__name__: door
    for door in (
        execute,
        prepared,
        again,
        bound_by_client,
        raw,
        many,
        many_returning,
        streamed,
        left_stream,
        copied_out,
        copied_in,
        declared,
        pipelined,
        in_transaction,
    )
}
