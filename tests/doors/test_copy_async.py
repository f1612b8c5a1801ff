"""COPY in both directions: judged, masked row by row, counted, recorded."""

from __future__ import annotations

import csv
import io
from collections.abc import AsyncIterator
from typing import Any

import psycopg
import pytest
from psycopg.copy import AsyncLibpqWriter

import tracewall
from tracewall import AsyncConnection

QUERY = "select run_id, api_key, user_email, started_at from traces.runs order by run_id limit 20"


@pytest.fixture
async def conn(guard: Any) -> AsyncIterator[Any]:
    """A connection of an analyst."""
    async with await AsyncConnection.connect(wall=guard.wall, token=guard.analyst) as made:
        yield made
        await made.rollback()


@pytest.fixture
async def writer(guard: Any) -> AsyncIterator[Any]:
    """A connection of an operator, rolled back in the end."""
    async with await AsyncConnection.connect(wall=guard.wall, token=guard.operator) as made:
        yield made
        await made.rollback()


async def copied(conn: Any, statement: str, params: Any = None) -> bytes:
    """Give everything that a COPY TO gives out."""
    async with conn.cursor().copy(statement, params) as copy:
        return b"".join([bytes(block) async for block in copy])


async def selected(conn: Any, query: str = QUERY) -> list[Any]:
    """Give what SELECT gives, as texts."""
    rows = await (await conn.execute(query)).fetchall()
    return [tuple(str(value) if value is not None else None for value in row) for row in rows]


async def test_text_is_masked_as_select_is(conn: Any) -> None:
    """COPY TO in text format shows what SELECT shows."""
    whole = (await copied(conn, f"copy ({QUERY}) to stdout")).decode()
    rows = [line.split("\t") for line in whole.splitlines()]
    expected = await selected(conn)
    assert [tuple(None if v == "\\N" else v for v in row[:3]) for row in rows] == [
        row[:3] for row in expected
    ]


@pytest.mark.parametrize(
    "options, dialect",
    [
        ("format csv, header", {}),
        ("format csv, delimiter '-', header false", {"delimiter": "-"}),
        ("format csv, delimiter 'a', quote '1', escape '1'", {"delimiter": "a", "quotechar": "1"}),
    ],
)
async def test_csv_is_masked_whatever_its_spelling(conn: Any, options: str, dialect: Any) -> None:
    """A delimiter or quote that cuts values in pieces hides none from its mask."""
    whole = (await copied(conn, f"copy ({QUERY}) to stdout ({options})")).decode()
    rows = list(csv.reader(io.StringIO(whole), **dialect))
    if "header" in options and "false" not in options:
        assert rows.pop(0)[:2] == ["run_id", "api_key"]
    assert [tuple(v or None for v in row[:3]) for row in rows] == [
        row[:3] for row in await selected(conn)
    ]


async def test_binary_is_masked(conn: Any) -> None:
    """COPY TO in binary gives values of the column's own type, masked."""
    cursor = conn.cursor()
    async with cursor.copy(f"copy ({QUERY}) to stdout (format binary)") as copy:
        copy.set_types(["uuid", "text", "text", "timestamptz"])
        rows = [row async for row in copy.rows()]
    assert rows == await (await conn.execute(QUERY)).fetchall()
    assert cursor.rowcount == 20


async def test_rows_are_read_one_by_one(conn: Any) -> None:
    """read_row and set_types work on masked rows."""
    async with conn.cursor().copy(f"copy ({QUERY}) to stdout") as copy:
        copy.set_types(["uuid", "text", "text", "timestamptz"])
        rows = []
        while (row := await copy.read_row()) is not None:
            rows.append(row)
    assert rows == await (await conn.execute(QUERY)).fetchall()


async def test_documents_and_texts_are_searched(conn: Any, guard: Any) -> None:
    """COPY of a table with scanned columns holds no planted secret, in any format."""
    planted = [each.value for each in guard.store.planted]
    for options in ("format text", "format csv", "format binary"):
        for table, columns in (("messages", "parts"), ("tool_calls", "arguments, result")):
            whole = b""
            for start in (0, 100):
                query = f"select {columns} from traces.{table} limit 100 offset {start}"
                whole += await copied(conn, f"copy ({query}) to stdout ({options})")
            assert [value for value in planted if value.encode() in whole] == []


async def test_a_table_is_copied_by_its_columns(guard: Any) -> None:
    """COPY of a table with a list of columns gives those, in that order; of none, none."""
    guard.raw("create table traces.few (id int, key text)")
    guard.raw(f'grant select on traces.few to "{guard.store.role}"')
    guard.raw("insert into traces.few values (1, 'x'), (2, null)")
    try:
        async with await AsyncConnection.connect(wall=guard.wall, token=guard.analyst) as conn:
            assert await copied(conn, "copy traces.few (key, id) to stdout") == b"x\t1\n\\N\t2\n"
            assert await copied(conn, "copy traces.few to stdout") == b"1\tx\n2\t\\N\n"
            none = "select id from traces.few where id = 0"
            assert await copied(conn, f"copy ({none}) to stdout") == b""
            assert len(await copied(conn, f"copy ({none}) to stdout (format binary)")) == 21
    finally:
        guard.raw("drop table traces.few")


async def test_what_select_refuses_copy_refuses(conn: Any) -> None:
    """COPY needs the rights its query or table needs, and is refused before anything is sent."""
    for statement in (
        "copy traces.runs to stdout",
        "copy (select client_ip from traces.runs) to stdout",
        "copy (select substr(api_key, 1, 4) from traces.runs) to stdout",
        "copy (delete from traces.runs returning run_id) to stdout",
        "copy traces.steps from stdin",
        "copy traces.messages to '/tmp/x'",
        "copy traces.messages to program 'cat'",
        "copy (select api_key from traces.runs) to stdout (encoding 'latin1')",
    ):
        with pytest.raises(tracewall.Forbidden):
            await copied(conn, statement)
    assert conn.info.transaction_status == psycopg.pq.TransactionStatus.IDLE


async def test_a_word_for_null_is_refused_over_masked_text(conn: Any) -> None:
    """NULL spelled as a guess would tell where the guess is right: refused in text format."""
    statement = "copy (select api_key from traces.runs) to stdout (null 'sk-guess')"
    with pytest.raises(tracewall.Forbidden, match="leave NULL out"):
        await copied(conn, statement)
    await conn.rollback()


async def test_the_limit_counts(conn: Any) -> None:
    """No row beyond the policy's limit is copied out, and the connection stays usable."""
    seen = 0
    with pytest.raises(tracewall.Withheld, match="150 rows"):
        async with conn.cursor().copy("copy (select run_id from traces.runs) to stdout") as copy:
            async for _ in copy:
                seen += 1
    assert seen == 150
    await conn.rollback()
    assert await (await conn.execute("select 1")).fetchone() == (1,)


@pytest.mark.parametrize("width", [1, 14, 15, 16])
async def test_the_limit_counts_binary_rows_of_any_length(conn: Any, width: int) -> None:
    """A row that is as long as a binary COPY's header and trailer counts as a row."""
    query = f"select rpad('x', {width}) from generate_series(1, 200)"
    with pytest.raises(tracewall.Withheld, match="150 rows"):
        await copied(conn, f"copy ({query}) to stdout (format binary)")


async def test_who_goes_on_reading_after_a_limit_gets_nothing(conn: Any) -> None:
    """A program that swallows the refusal inside the block reads no further row."""
    with pytest.raises(tracewall.Withheld):
        async with conn.cursor().copy("copy (select run_id from traces.runs) to stdout") as copy:
            for _ in range(3):
                with pytest.raises(tracewall.Withheld):
                    while await copy.read():
                        pass
    await conn.rollback()
    assert await (await conn.execute("select 1")).fetchone() == (1,)


async def test_parameters_are_judged_after_binding(conn: Any) -> None:
    """Parameters of COPY become part of the text that is judged and sent."""
    statement = "copy (select count(*) from traces.runs where status = %s) to stdout"
    assert await copied(conn, statement, ("'; drop table x; --",)) == b"0\n"
    composed = psycopg.sql.SQL("copy (select {} from traces.runs) to stdout")
    with pytest.raises(tracewall.Forbidden):
        await copied(conn, composed.format(psycopg.sql.Identifier("client_ip")))


async def test_a_copy_object_of_psycopgs_own_reads_nothing(conn: Any) -> None:
    """`psycopg.Copy` made by hand over a guarded cursor gets no data."""
    cursor = conn.cursor()
    with pytest.raises(tracewall.Forbidden):
        async with cursor.copy(f"copy ({QUERY}) to stdout"):
            await psycopg.AsyncCopy(cursor).read()
    await conn.rollback()


async def test_execute_and_copy_do_not_stand_in_for_each_other(conn: Any, writer: Any) -> None:
    """COPY by execute(), and anything else by copy(), is refused before it is sent."""
    with pytest.raises(psycopg.ProgrammingError, match=r"use copy\(\)"):
        await conn.execute(f"copy ({QUERY}) to stdout")
    with pytest.raises(psycopg.ProgrammingError, match="only with COPY"):
        await copied(writer, "delete from traces.steps")
    for each in (conn, writer):
        assert each.info.transaction_status == psycopg.pq.TransactionStatus.IDLE


def new_row(guard: Any, seq: int, content: str = "x") -> tuple[Any, ...]:
    """Give a row for `COLUMNS`."""
    (run,) = guard.raw("select run_id from traces.runs limit 1")[0]
    return (run, seq, "reasoning", content, "2024-01-01", 1, 1)


COLUMNS = "traces.steps (run_id, seq, kind, content, started_at, duration_ms, tokens)"


async def test_the_servers_words_come_by_no_failing_write(writer: Any, guard: Any) -> None:
    """What the server says of a row that is copied is in no error of libpq's either."""
    guard.raw(
        "create function traces.tells() returns trigger language plpgsql security definer as"
        " $$ begin raise exception 'CANARY %', (select api_key from traces.runs limit 1); end $$"
    )
    guard.raw(
        "create trigger tells before insert on traces.steps for each row"
        " when (new.seq > 95000) execute function traces.tells()"
    )
    row, met = new_row(guard, 95001), list[BaseException]()
    try:
        with pytest.raises(psycopg.Error) as caught:
            async with writer.cursor().copy(f"copy {COLUMNS} from stdin") as copy:
                await copy.write_row(row)
        met.append(caught.value)
        # libpq adds what is wrong now to what the server said.
        with pytest.raises(psycopg.Error) as caught:
            await copy.write("late")
        met.append(caught.value)
    finally:
        await writer.rollback()
        guard.raw("drop function traces.tells() cascade")
    for error in met:
        within = (error.__cause__, error.__context__)
        told = f"{error!r} {vars(error)} {error.args} {within}"
        assert "CANARY" not in told
        assert "tells" not in told


async def test_copy_from_writes_where_granted(writer: Any, guard: Any) -> None:
    """COPY FROM takes rows by write_row, write and a writer, and counts them."""
    cursor = writer.cursor()
    async with cursor.copy(f"copy {COLUMNS} from stdin") as copy:
        await copy.write_row(new_row(guard, 90001))
        await copy.write_row(new_row(guard, 90002))
    assert cursor.rowcount == 2
    line = "\t".join(map(str, new_row(guard, 90003))) + "\n"
    async with cursor.copy(f"copy {COLUMNS} from stdin", writer=AsyncLibpqWriter(cursor)) as copy:
        await copy.write(line)
    found = await writer.execute(
        "select count(*) from traces.steps where seq between 90001 and 90003"
    )
    assert await found.fetchone() == (3,)
    assert '"rows":2' in guard.recorded()


async def test_copy_froms_errors_hold_no_value(writer: Any, guard: Any) -> None:
    """What the server says of a bad row, its CONTEXT included, stays with the server."""
    for row in (new_row(guard, 0, "ROW-CANARY"), (*new_row(guard, 90004)[:-1], "NUMBER-CANARY")):
        with pytest.raises(psycopg.Error) as failed:
            async with writer.cursor().copy(f"copy {COLUMNS} from stdin") as copy:
                await copy.write_row(row)
        told = repr(failed.value) + str(failed.value.diag.context) + repr(vars(failed.value))
        assert failed.value.sqlstate in ("23505", "22P02") and "CANARY" not in told
        assert failed.value.__context__ is None or "CANARY" not in repr(failed.value.__context__)
        await writer.rollback()


async def test_an_error_of_the_callers_ends_the_copy(writer: Any, guard: Any) -> None:
    """An exception in the block rolls the copy back and comes out as it is."""
    with pytest.raises(ZeroDivisionError):
        async with writer.cursor().copy(f"copy {COLUMNS} from stdin") as copy:
            await copy.write_row(new_row(guard, 90005))
            raise ZeroDivisionError
    await writer.rollback()
    assert await (await writer.execute("select 1")).fetchone() == (1,)


async def test_copies_are_recorded(conn: Any, guard: Any) -> None:
    """A COPY leaves one intent and one outcome, with the rows that were handed out."""
    await copied(conn, "copy (select run_id from traces.runs limit 7) to stdout")
    told = [line for line in guard.recorded().splitlines() if '"kind":"outcome"' in line]
    assert '"rows":7' in told[-1] and '"status":"ok"' in told[-1]


async def test_a_cursor_factory_copies_masked(conn: Any) -> None:
    """A cursor class of the caller's, taken in, copies masked rows too."""

    class Mine(psycopg.AsyncCursor[Any]):
        pass

    conn.cursor_factory = Mine
    whole = await copied(conn, f"copy ({QUERY}) to stdout")
    assert [line.split(b"\t")[1].decode() for line in whole.splitlines()] == [
        row[1] or "\\N" for row in await selected(conn)
    ]
