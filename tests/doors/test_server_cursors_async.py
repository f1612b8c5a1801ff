"""Server-side cursors: their query judged, their batches masked, counted and their own."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import psycopg
import pytest

import tracewall
from tracewall import AsyncConnection

QUERY = "select run_id, api_key, user_email from traces.runs order by run_id limit 40"
# The server tells no origin for a union, so only the judgement can tell what it holds.
UNION = "select api_key from traces.runs union all select api_key from traces.runs"
CLEAR = "select model || '' from traces.runs"


@pytest.fixture
async def conn(guard: Any) -> AsyncIterator[Any]:
    """A connection of an analyst."""
    async with await AsyncConnection.connect(wall=guard.wall, token=guard.analyst) as made:
        yield made
        await made.rollback()


@pytest.fixture
def keys(guard: Any) -> set[str]:
    """The raw values that must never show."""
    return {row[0] for row in guard.raw("select api_key from traces.runs") if row[0]}


async def masked(conn: Any) -> list[Any]:
    """Give what SELECT gives."""
    return await (await conn.execute(QUERY)).fetchall()


@pytest.mark.parametrize("binary", [False, True])
async def test_every_fetch_method_is_masked(conn: Any, binary: bool) -> None:
    """fetchone, fetchmany, iteration in batches, scroll and fetchall give masked rows."""
    expected = await masked(conn)
    async with conn.cursor("mine", scrollable=True, binary=binary) as cursor:
        cursor.itersize = 7
        await cursor.execute(QUERY)
        rows = [await cursor.fetchone(), *await cursor.fetchmany(5)]
        rows += [row async for row in cursor]
        assert rows == expected
        await cursor.scroll(0, mode="absolute")
        assert await cursor.fetchmany(3) == expected[:3]
        await cursor.scroll(-3)
        assert await cursor.fetchall() == expected
        assert [column.name for column in cursor.description] == ["run_id", "api_key", "user_email"]


async def test_parameters_names_and_classes(conn: Any) -> None:
    """Awkward names, parameters, row factories, raw cursors and WITH HOLD work."""
    for name in ('a "b"; drop table x', "Ü", "select"):
        async with conn.cursor(name, row_factory=psycopg.rows.dict_row) as cursor:
            await cursor.execute("select model from traces.runs limit %s", (2,))
            assert [set(row) for row in await cursor.fetchall()] == [{"model"}] * 2
    async with tracewall.AsyncRawServerCursor(conn, "raw") as cursor:
        await cursor.execute("select model from traces.runs limit $1", (2,))
        assert len(await cursor.fetchall()) == 2
    async with conn.cursor("held", withhold=True) as cursor:
        await cursor.execute(QUERY)
        await conn.commit()
        assert await cursor.fetchall() == await masked(conn)


async def test_documents_and_texts_are_searched(conn: Any, guard: Any) -> None:
    """No planted secret comes out of a server-side cursor."""
    planted = [each.value for each in guard.store.planted]
    async with conn.cursor("texts") as cursor:
        await cursor.execute("select arguments, result from traces.tool_calls limit 100")
        whole = repr([row async for row in cursor])
    assert [value for value in planted if value in whole] == []


async def test_what_select_refuses_a_cursor_refuses(conn: Any) -> None:
    """A cursor's query needs its rights, and is refused before anything is sent."""
    for query in (
        "select client_ip from traces.runs",
        "select substr(api_key, 1, 4) from traces.runs",
        "delete from traces.steps returning 1",
        "select 1; select 2",
    ):
        async with conn.cursor("mine") as cursor:
            with pytest.raises(psycopg.ProgrammingError):
                await cursor.execute(query)
            with pytest.raises(tracewall.Forbidden):
                await cursor.fetchall()
    assert conn.info.transaction_status == psycopg.pq.TransactionStatus.IDLE


async def test_the_limit_counts_over_batches(conn: Any) -> None:
    """No row beyond the policy's limit comes out, and none is passed over in silence."""
    async with conn.cursor("many") as cursor:
        await cursor.execute("select run_id from traces.runs")
        assert len(await cursor.fetchmany(140)) == 140
        assert len(await cursor.fetchmany(10)) == 10
        with pytest.raises(tracewall.Withheld, match="150 rows"):
            await cursor.fetchone()
        with pytest.raises(tracewall.Forbidden):
            await cursor.fetchone()
    async with conn.cursor("all") as cursor:
        await cursor.execute("select run_id from traces.runs")
        with pytest.raises(tracewall.Withheld):
            await cursor.fetchall()


async def test_a_name_alone_opens_nothing(conn: Any) -> None:
    """A portal that this cursor did not declare is not fetched from, moved or described."""
    async with conn.cursor("taken") as cursor:
        await cursor.execute(QUERY)
        async with conn.cursor("taken") as thief:
            with pytest.raises(tracewall.Forbidden):
                await thief.fetchone()
            with pytest.raises(tracewall.Forbidden):
                await thief.scroll(1)
        for text in ('fetch all from "taken"', 'move 1 in "taken"'):
            with pytest.raises(tracewall.Forbidden):
                await conn.execute(text)
        assert await cursor.fetchall() == await masked(conn)


async def test_a_portal_that_was_declared_anew_is_not_the_old_ones(
    conn: Any, keys: set[str]
) -> None:
    """A cursor whose name somebody uses again reads nothing of what is there now."""
    old, new = conn.cursor("same"), conn.cursor("same")
    await old.execute(CLEAR)
    await conn.commit()
    await new.execute(UNION)
    seen: list[Any] = []
    with pytest.raises(tracewall.Forbidden):
        seen = await old.fetchmany(5)
    await old.close()
    seen += await new.fetchmany(5)
    assert len(seen) == 5 and not keys & {row[0] for row in seen}
    await new.close()


async def test_a_cursor_is_not_declared_as_text(conn: Any) -> None:
    """DECLARE by execute() is refused: who fetched from it would know no masks."""
    with pytest.raises(tracewall.Forbidden, match="not as text"):
        await conn.execute(f"declare mine cursor for {QUERY}")


async def test_who_acts_is_looked_at_for_each_batch(guard: Any) -> None:
    """A batch is for whoever declared the cursor, and not for anybody later."""
    async with await AsyncConnection.connect(wall=guard.wall) as conn:
        cursor = conn.cursor("mine")
        with guard.wall.acting_as(guard.operator):
            await cursor.execute("select client_ip from traces.runs")
            assert await cursor.fetchone()
        with pytest.raises(tracewall.TokenRejected):
            await cursor.fetchone()
        with guard.wall.acting_as(guard.analyst), pytest.raises(tracewall.Forbidden):
            await cursor.fetchone()
        with guard.wall.acting_as(guard.operator):
            assert await cursor.fetchone()
            await cursor.close()
            await conn.rollback()


async def test_cursors_are_recorded(conn: Any, guard: Any) -> None:
    """A cursor leaves one intent and one outcome, with the rows of all batches."""
    async with conn.cursor("mine") as cursor:
        await cursor.execute("select run_id from traces.runs limit 9")
        await cursor.fetchmany(4)
        await cursor.fetchall()
    told = [line for line in guard.recorded().splitlines() if '"kind":"outcome"' in line]
    assert '"rows":9' in told[-1] and '"status":"ok"' in told[-1]


async def test_a_cursor_used_again_is_judged_again(conn: Any, keys: set[str]) -> None:
    """A second execute() closes the first query and is masked as the second was judged."""
    async with conn.cursor("mine") as cursor:
        await cursor.execute(CLEAR)
        await cursor.fetchone()
        await cursor.execute(UNION)
        seen = await cursor.fetchmany(100)
        assert not keys & {row[0] for row in seen}
        with pytest.raises(tracewall.Forbidden):
            await cursor.execute("select client_ip from traces.runs")
        with pytest.raises(tracewall.Forbidden):
            await cursor.fetchone()


async def test_other_doors_of_a_server_cursor(conn: Any, keys: set[str]) -> None:
    """stream and copy on a server-side cursor are masked as on any other."""
    async with conn.cursor("mine") as cursor:
        seen = [row[0] async for row in cursor.stream(UNION + " limit 20")]
        async with cursor.copy(f"copy ({UNION} limit 20) to stdout") as copy:
            seen += [bytes(row).decode() async for row in copy]
    assert not [key for key in keys if key in "".join(filter(None, seen))]


async def test_a_factory_of_the_callers_is_taken_in(conn: Any) -> None:
    """A server-side cursor class of the caller's comes out guarded."""

    class Mine(psycopg.AsyncServerCursor[Any]):
        pass

    conn.server_cursor_factory = Mine
    async with conn.cursor("mine") as cursor:
        assert isinstance(cursor, Mine)
        await cursor.execute(QUERY)
        assert await cursor.fetchall() == await masked(conn)
