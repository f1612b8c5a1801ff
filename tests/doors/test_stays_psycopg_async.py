"""The rest of psycopg's connections and cursors works as it does unguarded."""

from __future__ import annotations

import pickle
from collections.abc import AsyncIterator
from typing import Any

import psycopg
import pytest
from psycopg import IsolationLevel

import tracewall
from tracewall import AsyncConnection


@pytest.fixture
async def conn(guard: Any) -> AsyncIterator[Any]:
    """A connection of an operator, rolled back in the end."""
    async with await AsyncConnection.connect(wall=guard.wall, token=guard.operator) as made:
        yield made
        await made.rollback()


async def test_transactions_take_their_settings(conn: Any) -> None:
    """Isolation level, read-only and deferrable reach the server with psycopg's own BEGIN."""
    await conn.set_isolation_level(IsolationLevel.SERIALIZABLE)
    await conn.set_read_only(True)
    await conn.set_deferrable(True)
    cursor = await conn.execute("show transaction_isolation")
    assert await cursor.fetchone() == ("serializable",)
    with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
        await conn.execute("update traces.steps set tokens = tokens where seq = 0")
    await conn.rollback()
    await conn.set_autocommit(True)
    await conn.execute("select 1")
    assert conn.info.transaction_status == psycopg.pq.TransactionStatus.IDLE


async def test_two_phase_commit_is_psycopgs(conn: Any, guard: Any) -> None:
    """tpc_begin, tpc_prepare and tpc_rollback send psycopg's own commands, and no others."""
    await conn.tpc_begin(conn.xid(1, "it's", 'a "branch"'))
    await conn.execute("update traces.steps set tokens = tokens where seq = 0")
    if guard.raw("show max_prepared_transactions") == [("0",)]:
        with pytest.raises(psycopg.NotSupportedError):
            await conn.tpc_prepare()
        conn._tpc = None
    else:
        await conn.tpc_prepare()
        await conn.tpc_rollback()
    with pytest.raises(tracewall.Forbidden):
        await conn.tpc_recover()


async def test_every_way_to_say_a_query(conn: Any) -> None:
    """Bytes, composables, raw placeholders and client-side binding give the same."""
    compose = psycopg.sql.SQL("select {}").format(1)
    for query in ("select 1", b"select 1", psycopg.sql.SQL("select 1"), compose):
        assert await (await conn.execute(query)).fetchall() == [(1,)]
    raw = await tracewall.AsyncRawCursor(conn).execute("select $1::int", (1,))
    assert await raw.fetchall() == [(1,)]
    client = tracewall.AsyncClientCursor(conn)
    assert client.mogrify("select %s", ("it's",)) == "select 'it''s'"
    assert await (await client.execute("select %s", (1,))).fetchall() == [(1,)]


async def test_results_tell_their_shape(conn: Any) -> None:
    """description, rowcount, statusmessage, rownumber and results() are those of psycopg."""
    cursor = await conn.execute("select run_id, api_key from traces.runs limit 3")
    assert [(column.name, column.type_display) for column in cursor.description] == [
        ("run_id", "uuid"),
        ("api_key", "text"),
    ]
    assert (cursor.rowcount, cursor.statusmessage, cursor.rownumber) == (3, "SELECT 3", 0)
    await cursor.executemany("select %s::int", [(1,), (2,)], returning=True)
    if hasattr(cursor, "set_result"):
        # It came with psycopg 3.3.
        assert [await each.fetchone() async for each in cursor.results()] == [(1,), (2,)]
        await cursor.set_result(-2)
    assert await cursor.fetchone() == (1,)


async def test_a_command_without_columns_counts_nothing_protected(conn: Any) -> None:
    """How many rows there are can't be made to say a protected value."""
    for statement in (
        "select from generate_series(1, ascii((select api_key from traces.runs limit 1)))",
        "select from traces.runs limit (select ascii(api_key) from traces.runs limit 1)",
    ):
        with pytest.raises(tracewall.Forbidden):
            await conn.execute(statement)


async def test_cancelling_is_allowed(conn: Any) -> None:
    """cancel and cancel_safe do no harm where nothing runs."""
    conn.cancel()
    await conn.cancel_safe()
    assert await (await conn.execute("select 1")).fetchone() == (1,)


async def test_a_scrubbed_error_survives_pickling_scrubbed(conn: Any) -> None:
    """An error that was sent elsewhere keeps its class and SQLSTATE, and holds nothing else."""
    with pytest.raises(psycopg.errors.InvalidTextRepresentation) as failed:
        await conn.execute("select %s::text::int", ("CANARY",))
    error = pickle.loads(pickle.dumps(failed.value))
    assert type(error) is type(failed.value) and error.diag.sqlstate == "22P02"
    assert "CANARY" not in repr(error) + repr(vars(error)) + str(error.diag.message_primary)
    assert error.pgconn is None and error.pgresult is None


async def test_types_are_adapted_on_masked_columns_too(conn: Any) -> None:
    """A row factory, a binary format and a dumper of the caller's work beside masks."""

    class Point:
        def __str__(self) -> str:
            return "a point"

    class PointDumper(psycopg.adapt.Dumper):
        def dump(self, obj: Any) -> bytes:
            return str(obj).encode()

    conn.adapters.register_dumper(Point, PointDumper)
    cursor = conn.cursor(row_factory=psycopg.rows.namedtuple_row, binary=True)
    query = "select %s::text as mine, user_email, started_at from traces.runs limit 1"
    row = await (await cursor.execute(query, (Point(),))).fetchone()
    assert row.mine == "a point" and "***" in row.user_email and row.started_at.tzinfo


async def test_what_a_cursor_keeps_of_its_statement_is_psycopgs(conn: Any, guard: Any) -> None:
    """`_query`, which Django and tools for tracing read, is there and absent as with psycopg.

    It is what left unprepared, and None once a statement is prepared.
    """
    told: list[list[Any]] = []
    async with await psycopg.AsyncConnection.connect(guard.store.full_dsn) as plain:
        for each in (conn, plain):
            each.prepare_threshold = 2
            cursor, kept = each.cursor(), []
            for number in range(6):
                await cursor.execute("select %s::int", (number,))
                query = cursor._query
                kept.append(query and (query.query, query.params))
                kept.append(cursor._last_query)
            each.cursor_factory = psycopg.AsyncClientCursor
            bound = await each.execute("select %s::int", (7,))
            told.append([*kept, bound._query.query, bound._query.params])
    assert told[0] == told[1]
    assert told[0][0] and told[0][10] is None and told[0][-2] == b"select 7::int"
