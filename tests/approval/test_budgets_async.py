"""Budgets over time: by every door, in blocks, and never in the event loop's way."""

from __future__ import annotations

import threading
import time
from contextlib import aclosing, nullcontext
from typing import Any

import pytest

import tracewall
from tracewall.approval.sqlite import SqliteStore
from tracewall.approval.store import Spending
from tracewall.errors import ApprovalRequired, Forbidden

if True:  # ASYNC
    import asyncio

BUDGET = """
[[approvals]]
name = "slow"
{keys}
per = "1h"
approvers = ["boss"]
"""
MANY = "select n.id from note n, note m limit 350"


class Counted(SqliteStore):
    """A store that remembers what it was asked to count, and by which thread."""

    delay = 0.0

    def __init__(self, path: Any) -> None:
        super().__init__(path)
        self.seen: list[tuple[Spending, int]] = []
        self.had = 0

    def spend(self, spending: Spending, now: float) -> bool:
        time.sleep(self.delay)
        counted = super().spend(spending, now)
        self.had += spending.rows * counted
        self.seen.append((spending, threading.get_ident()))
        return counted


@pytest.fixture
def store(tmp_path: Any) -> Counted:
    return Counted(tmp_path / "counted.db")


async def connect_async(office: Any, store: Any, keys: str, **options: Any) -> Any:
    wall = office.wall(BUDGET.format(keys=keys), approvals=store)
    options = {"autocommit": True} | options
    return await tracewall.AsyncConnection.connect(wall=wall, token=office.token(), **options)


async def test_a_stream_is_counted_in_blocks_async(office: Any, store: Counted) -> None:
    """A stream of many rows asks the store a few times, and what is left is given back."""
    async with await connect_async(office, store, "rows = 2000") as conn:
        rows = [row async for row in conn.cursor().stream(MANY)]
        assert len(rows) == 350
        assert store.had == 350
        assert len(store.seen) <= 6
        async with aclosing(conn.cursor().stream(MANY)) as rest:
            async for _ in rest:
                break
        assert store.had == 351


async def test_a_row_of_a_stream_is_counted_before_anybody_sees_it_async(
    office: Any, store: Counted
) -> None:
    """Where the budget is used up, not even the row factory is shown the row that came."""
    seen: list[Any] = []

    def nosy(cursor: Any) -> Any:
        result = cursor.pgresult
        seen.append([result.get_value(row, 0) for row in range(result.ntuples)])
        return lambda values: seen.append(values) or values

    async with await connect_async(office, store, "rows = 3") as conn:
        cursor = conn.cursor(row_factory=nosy)
        with pytest.raises(ApprovalRequired):
            async for _ in cursor.stream("select id from note order by id"):
                pass
        assert len(seen) == 4
        with pytest.raises(ApprovalRequired):
            async for _ in cursor.stream("select id from note order by id desc"):
                pass
        assert len(seen) == 4
        assert cursor.pgresult is None


async def test_copy_is_counted_in_blocks_async(office: Any, store: Counted) -> None:
    """COPY asks the store a few times, and what is left is given back."""
    async with await connect_async(office, store, "rows = 2000") as conn:
        query = "copy (select n.id from note n cross join note m) to stdout"
        async with conn.cursor().copy(query) as copy:
            rows = [row async for row in copy.rows()]
        assert len(rows) == store.had == 1600
        assert len(store.seen) <= 20
        with pytest.raises(ZeroDivisionError):
            async with conn.cursor().copy("copy (select id from note) to stdout") as copy:
                await copy.read_row()
                raise ZeroDivisionError
        assert store.had <= 1640
        assert not conn.info.transaction_status


@pytest.mark.parametrize("door", ["execute", "stream", "named", "copy"])
async def test_every_door_stops_at_the_budget_async(office: Any, store: Counted, door: str) -> None:
    """By whatever door, no more rows come in that time than the budget has."""
    got: list[Any] = []
    query = "select id from note order by id limit 20"
    async with await connect_async(office, store, "rows = 50") as conn:
        for _ in range(3):
            with pytest.raises(ApprovalRequired) if len(got) == 40 else nullcontext():
                if door == "execute":
                    got += await (await conn.execute(query)).fetchall()
                elif door == "stream":
                    async for row in conn.cursor().stream(query):
                        got.append(row)
                elif door == "named":
                    async with conn.transaction(), conn.cursor("named") as cursor:
                        await cursor.execute(query)
                        while page := await cursor.fetchmany(5):
                            got += page
                else:
                    async with conn.cursor().copy(f"copy ({query}) to stdout") as copy:
                        async for row in copy.rows():
                            got.append(row)
        assert len(got) == {"execute": 40}.get(door, 50)
        assert store.had == len(got)
        assert (await (await conn.execute("select 1 limit 0")).fetchall()) == []


async def test_what_changes_too_much_is_undone_async(office: Any, store: Counted) -> None:
    """A change that the budget has no room for is undone, by the server's word."""
    async with await connect_async(office, store, "rows = 50") as conn:
        await conn.execute("update note set body = 'one'")
        with pytest.raises(ApprovalRequired):
            await conn.execute("update note set body = 'two'")
        assert conn.info.transaction_status == 0
    assert office.raw("select distinct body from note") == [("one",)]
    commands = office.recorded()
    assert '"COMMIT"' in commands and '"ROLLBACK"' in commands


async def test_nobody_sees_rows_before_they_are_counted_async(office: Any, store: Counted) -> None:
    """A row factory of the caller's is not called on a result that the budget withholds."""
    looked: list[Any] = []

    def looking(cursor: Any) -> Any:
        looked.append(cursor.pgresult.ntuples)
        return lambda values: values

    async with await connect_async(office, store, "rows = 30", row_factory=looking) as conn:
        with pytest.raises(ApprovalRequired):
            await conn.execute("select id from note")
        assert looked == []
        await conn.execute("select id from note limit 30")
        assert looked == [30]


async def test_runs_are_counted_before_they_leave_async(office: Any, store: Counted) -> None:
    """One statement with other parameters is another run; the same again is not."""
    query = "update other set body = 'x' where id = %s"
    async with await connect_async(office, store, "runs = 3") as conn:
        for number in (1, 2, 3, 2, 1):
            await conn.execute(query, (number,))
        with pytest.raises(ApprovalRequired):
            await conn.execute(query, (4,))
        with pytest.raises(ApprovalRequired):
            await conn.execute("select id from other where id = 1")
        await conn.execute(query, (3,))
        with pytest.raises(Forbidden, match="batch"):
            await conn.cursor().executemany(query, [(1,)])


async def test_a_run_over_the_budget_goes_on_by_approval_async(office: Any, store: Counted) -> None:
    """People may let one more run go on, and it is not counted."""
    async with await connect_async(office, store, "runs = 1") as conn:
        await conn.execute("select 1 from note where id = 1")
        with pytest.raises(ApprovalRequired) as asked:
            [row async for row in conn.cursor().stream("select 2 from note where id = 1")]
        office.decide(office.walls[0], asked.value.request_id)
        with tracewall.asking(approval=asked.value.request_id):
            rows = [row async for row in conn.cursor().stream("select 2 from note where id = 1")]
        assert rows == [(2,)]


if True:  # ASYNC

    async def test_the_event_loop_goes_on_meanwhile(office: Any, store: Counted) -> None:
        """A slow store holds up who counts, and nobody else in the loop."""
        store.delay = 0.3
        ticks = 0

        async def ticking() -> None:
            nonlocal ticks
            while True:
                await asyncio.sleep(0.01)
                ticks += 1

        async with await connect_async(office, store, "rows = 500\nruns = 9") as conn:
            clock = asyncio.ensure_future(ticking())
            await conn.execute("select id from note")
            clock.cancel()
        assert ticks >= 10
        assert threading.get_ident() not in {thread for _, thread in store.seen}

    async def test_who_is_cancelled_while_it_is_counted_changes_nothing(
        office: Any, store: Counted
    ) -> None:
        """A change whose caller is cancelled before it is counted is undone."""
        async with await connect_async(office, store, "rows = 500") as conn:
            store.delay = 0.5
            task = asyncio.ensure_future(conn.execute("update note set body = 'two'"))
            await asyncio.sleep(0.25)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert conn.info.transaction_status == 0
            store.delay = 0.0
            await conn.execute("select id from note")
        assert office.raw("select count(*) from note where body = 'two'") == [(0,)]


async def test_a_store_that_can_not_count_withholds_async(office: Any, store: Counted) -> None:
    """Where nobody can count nothing is handed out, and what was changed is undone."""
    async with await connect_async(office, store, "rows = 50") as conn:
        (office.folder / "counted.db").unlink()
        (office.folder / "counted.db").mkdir()
        for query in ("select id from note", "update note set body = 'two'"):
            with pytest.raises(Forbidden, match="nobody can count"):
                await conn.execute(query)
    assert office.raw("select count(*) from note where body = 'two'") == [(0,)]
