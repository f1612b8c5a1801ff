"""What a principal leaves on a connection is gone before the next one's first statement."""

from __future__ import annotations

from contextlib import contextmanager
from typing import Any

import psycopg
import pytest
from psycopg._connection_base import BaseConnection
from psycopg_pool import AsyncConnectionPool

import tracewall
from tracewall import AsyncConnection

if True:  # ASYNC
    import asyncio
else:
    import threading
    from concurrent.futures import ThreadPoolExecutor

COUNT = "select count(*) from traces.runs"
LEAVINGS = {
    "prepared": ("PREPARE p AS SELECT 1", "SELECT count(*) FROM pg_prepared_statements"),
    "cursor": ("DECLARE c CURSOR WITH HOLD FOR SELECT 1", "SELECT count(*) FROM pg_cursors"),
    "table": (
        "CREATE TEMP TABLE left_over (a int)",
        "SELECT count(*) FROM pg_class WHERE relname = 'left_over' AND relpersistence = 't'",
    ),
    "setting": ("SET lock_timeout = '7s'", "SELECT (current_setting('lock_timeout') <> '0')::int"),
    "own setting": ("SET my.own = 'x'", "SELECT (current_setting('my.own', true) = 'x')::int"),
    "listen": ("LISTEN gossip", "SELECT count(*) FROM pg_listening_channels()"),
    "lock": (
        "SELECT pg_advisory_lock(4711)",
        "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()",
    ),
}


async def raw(conn: Any, command: str) -> Any:
    """Send a command past the guard, as a statement did that a policy lets through."""
    result = await conn.wait(BaseConnection._exec_command(conn, command.encode()))
    return result.get_value(0, 0).decode() if result.ntuples else None


async def connect(guard: Any, **options: Any) -> Any:
    """Give a connection that is nobody's yet."""
    return await AsyncConnection.connect(wall=guard.wall, autocommit=True, **options)


def acting(guard: Any, subject: str, *groups: str) -> Any:
    """Act as somebody, under a token minted anew."""
    token = guard.issuer.mint(subject, list(groups or ("operators",)), audience="traces")
    return guard.wall.acting_as(token)


@pytest.mark.parametrize("kind", LEAVINGS)
async def test_nothing_of_the_last_principal_is_left(guard: Any, kind: str) -> None:
    """Each kind of session state is there for who made it, and gone for the next one."""
    leave, look = LEAVINGS[kind]
    async with await connect(guard) as conn:
        with acting(guard, "ann"):
            await conn.execute(COUNT)
            await raw(conn, leave)
            await conn.execute(COUNT)
            assert await raw(conn, look) == "1"
        with acting(guard, "bob"):
            await conn.execute(COUNT)
            assert await raw(conn, look) == "0"


@pytest.mark.parametrize("kind", LEAVINGS)
async def test_a_new_token_of_the_same_principal_changes_nothing(guard: Any, kind: str) -> None:
    """Who shows a fresh token with the same issuer, subject and groups keeps their state."""
    leave, look = LEAVINGS[kind]
    async with await connect(guard) as conn:
        with acting(guard, "ann"):
            await conn.execute(COUNT)
            await raw(conn, leave)
        with acting(guard, "ann"):
            await conn.execute(COUNT)
            assert await raw(conn, look) == "1"


async def test_changed_groups_are_another_principal(guard: Any) -> None:
    """The same person with other groups does not inherit what the session holds."""
    async with await connect(guard) as conn:
        with acting(guard, "ann", "operators"):
            await conn.execute(COUNT)
            await raw(conn, "LISTEN gossip")
        with acting(guard, "ann", "analysts"):
            await conn.execute(COUNT)
            assert await raw(conn, "SELECT count(*) FROM pg_listening_channels()") == "0"


async def test_prepared_statements_start_anew(guard: Any) -> None:
    """What psycopg prepared for one principal is prepared again for the next, and works."""
    async with await connect(guard, prepare_threshold=1) as conn:
        for subject in ("ann", "bob", "ann"):
            with acting(guard, subject):
                for _ in range(4):
                    cursor = await conn.execute(
                        "select count(*) from traces.runs where 1 = %s", (1,)
                    )
                    assert (await cursor.fetchone())[0] > 0
                assert await raw(conn, "SELECT count(*) FROM pg_prepared_statements") == "1"
                assert len(conn._prepared._names) == 1


async def test_pins_outlive_a_change(guard: Any) -> None:
    """What judging depends on is set again after the last one's settings were discarded."""
    async with await connect(guard) as conn:
        with acting(guard, "ann"):
            await conn.execute(COUNT)
        await raw(conn, "SET my.own = 'x'")
        with acting(guard, "bob"):
            await conn.execute(COUNT)
        assert await raw(conn, "SHOW standard_conforming_strings") == "on"
        assert await raw(conn, "SHOW client_encoding") == "UTF8"


@pytest.mark.parametrize(
    "command", ["SET standard_conforming_strings = off", "SET client_encoding = 'LATIN1'"]
)
async def test_a_lost_pin_stops_everything(guard: Any, command: str) -> None:
    """Where the server would read text otherwise than the judge, nothing is sent."""
    async with await connect(guard) as conn:
        with acting(guard, "ann"):
            await conn.execute(COUNT)
            await raw(conn, command)
            with pytest.raises(tracewall.Forbidden, match="pinned"):
                await conn.execute(COUNT)
            with pytest.raises(tracewall.Forbidden, match="pinned"):
                async for _ in conn.cursor().stream(COUNT):
                    pass


async def test_a_change_in_a_transaction_is_refused(guard: Any) -> None:
    """A transaction has one principal; another one's statement is not sent, and spoils nothing."""
    async with await AsyncConnection.connect(wall=guard.wall) as conn:
        with acting(guard, "ann"):
            await conn.execute(COUNT)
            await raw(conn, "SET my.own = 'x'")
        with acting(guard, "bob"):
            with pytest.raises(tracewall.Forbidden, match="end that"):
                await conn.execute(COUNT)
            with pytest.raises(tracewall.Forbidden, match="end that"):
                await conn.cursor().executemany(COUNT, [(), ()])
            with pytest.raises(tracewall.Forbidden, match="end that"):
                async with conn.pipeline():
                    await conn.execute(COUNT)
        with acting(guard, "ann"):
            await conn.execute(COUNT)
            assert await raw(conn, "SELECT current_setting('my.own')") == "x"
        await conn.rollback()
        with acting(guard, "bob"):
            await conn.execute(COUNT)
            assert await raw(conn, "SELECT current_setting('my.own', true)") != "x"


async def test_a_change_in_a_pipeline_is_refused(guard: Any) -> None:
    """A pipeline has one principal too."""
    async with await connect(guard) as conn:
        with acting(guard, "ann"):
            async with conn.pipeline():
                await conn.execute(COUNT)
                with acting(guard, "bob"), pytest.raises(tracewall.Forbidden, match="end that"):
                    await conn.execute(COUNT)
                assert (await (await conn.execute(COUNT)).fetchone())[0] > 0


async def test_a_change_after_prepare_transaction_waits_for_its_end(guard: Any) -> None:
    """Between the two phases of a commit the connection is not free."""
    async with await connect(guard) as conn:
        with acting(guard, "ann"):
            await conn.execute(COUNT)
        conn._tpc = (conn.xid(1, "g", "b"), True)
        with acting(guard, "bob"), pytest.raises(tracewall.Forbidden, match="end that"):
            await conn.execute(COUNT)
        conn._tpc = None


async def test_a_transaction_block_is_its_beginners(guard: Any) -> None:
    """A newcomer who begins with a transaction block gets a clean session for it."""
    async with await connect(guard) as conn:
        with acting(guard, "ann"):
            await conn.execute(COUNT)
            await raw(conn, "SET my.own = 'x'")
        with acting(guard, "bob"):
            async with conn.transaction():
                assert await raw(conn, "SELECT current_setting('my.own', true)") != "x"
                await conn.execute(COUNT)
                async with conn.transaction():
                    await conn.execute(COUNT)


async def test_every_way_to_send_hands_over_first(guard: Any) -> None:
    """executemany, stream, a pipeline and a client cursor change hands like execute."""
    async with await connect(guard) as conn:
        for number, way in enumerate(("executemany", "stream", "pipeline", "client")):
            with acting(guard, f"ann{number}"):
                await conn.execute(COUNT)
                await raw(conn, "SET my.own = 'x'")
            with acting(guard, f"bob{number}"):
                if way == "executemany":
                    await conn.cursor().executemany(COUNT, [(), ()])
                elif way == "stream":
                    async for _ in conn.cursor().stream(COUNT):
                        pass
                elif way == "pipeline":
                    async with conn.pipeline():
                        await conn.execute(COUNT)
                else:
                    await tracewall.AsyncClientCursor(conn).execute(COUNT)
                assert await raw(conn, "SELECT current_setting('my.own', true)") != "x", way


async def test_who_is_rejected_takes_nothing_over(guard: Any) -> None:
    """A refused token, or none at all, leaves the session and its holder as they are."""
    async with await connect(guard) as conn:
        with acting(guard, "ann"):
            await conn.execute(COUNT)
            await raw(conn, "SET my.own = 'x'")
        with pytest.raises(tracewall.TokenRejected):
            await conn.execute(COUNT)
        with guard.wall.acting_as("no token"), pytest.raises(tracewall.TokenRejected):
            async with conn.transaction():
                await conn.execute(COUNT)
        assert await raw(conn, "SELECT current_setting('my.own', true)") == "x"


async def test_a_batch_keeps_the_principal_it_began_with(guard: Any) -> None:
    """Parameters that change who acts while they are made do not change whose statement it is."""

    def rows() -> Any:
        yield (1,)
        with acting(guard, "bob"):
            yield (2,)

    async with await connect(guard) as conn:
        with acting(guard, "ann"):
            await conn.cursor().executemany("select count(*) from traces.runs where 1 = %s", rows())
            with pytest.raises(tracewall.Forbidden, match="end that"):
                cursor = tracewall.AsyncClientCursor(conn)
                await cursor.executemany("select count(*) from traces.runs where 1 = %s", rows())


async def test_notifications_of_the_last_principal_do_not_wait_for_the_next(guard: Any) -> None:
    """What arrived for one principal and was not read is not handed to another."""
    async with await connect(guard) as conn:
        with acting(guard, "ann"):
            await conn.execute(COUNT)
            await raw(conn, "LISTEN gossip")
            guard.raw("NOTIFY gossip, 'for ann'")
            await conn.execute(COUNT)
        with acting(guard, "bob"):
            await conn.execute(COUNT)
            assert not conn._notifies_backlog


async def heard(conn: Any) -> list[str]:
    """Give the notifications that are there."""
    return [notify.payload async for notify in conn.notifies(timeout=0.1)]


async def test_nobody_listens_on_behalf_of_the_last_principal(guard: Any) -> None:
    """Who asks for notifications gets none of another's channels, without any statement sent."""
    async with await connect(guard) as conn:
        with acting(guard, "ann"):
            await conn.execute(COUNT)
            await raw(conn, "LISTEN gossip")
            guard.raw("NOTIFY gossip, 'one'")
            assert await heard(conn) == ["one"]
        guard.raw("NOTIFY gossip, 'two'")
        with pytest.raises(tracewall.TokenRejected):
            await heard(conn)
        with acting(guard, "bob"):
            assert await heard(conn) == []
            guard.raw("NOTIFY gossip, 'three'")
            assert await heard(conn) == []


async def test_a_change_is_recorded(guard: Any) -> None:
    """The record tells that, and for whom, a session was discarded."""
    before = guard.recorded().count("principal_changed")
    async with await connect(guard) as conn:
        for subject in ("ann", "ann", "bob"):
            with acting(guard, subject):
                await conn.execute(COUNT)
    assert guard.recorded().count("principal_changed") == before + 1


@contextmanager
def held_back(guard: Any) -> Any:
    """Keep the discard of a temporary table waiting, by a lock that a superuser holds."""
    with psycopg.connect(guard.store.admin_dsn) as admin:
        query = (
            "SELECT oid::regclass::text FROM pg_class"
            " WHERE relname = 'left_over' AND relpersistence = 't'"
        )
        (name,) = admin.execute(query).fetchone() or ("",)
        admin.execute(f"LOCK TABLE {name} IN ACCESS SHARE MODE")
        yield


async def discarding(guard: Any) -> None:
    """Wait until a session is in the middle of its discard."""
    query = (
        "SELECT count(*) FROM pg_stat_activity WHERE query = 'DISCARD ALL'"
        " AND wait_event_type = 'Lock' AND datname = current_database()"
    )
    for _ in range(500):
        if guard.raw(query)[0][0]:
            return
        if True:  # ASYNC
            await asyncio.sleep(0.01)
        else:
            threading.Event().wait(0.01)
    raise AssertionError("the discard did not wait")


@pytest.mark.parametrize("stop", ["pg_cancel_backend", "pg_terminate_backend"])
async def test_a_discard_that_fails_closes_the_connection(guard: Any, stop: str) -> None:
    """A session that could not be cleaned serves nobody."""
    conn = await connect(guard)
    with acting(guard, "ann"):
        await conn.execute(COUNT)
        await raw(conn, "CREATE TEMP TABLE left_over (a int)")
    query = f"SELECT {stop}(pid) FROM pg_stat_activity WHERE query = 'DISCARD ALL'"
    with acting(guard, "bob"):
        if True:  # ASYNC
            # A backend that ends wants the lock too: it must be free to be told of the end.
            with held_back(guard):
                task = asyncio.create_task(conn.execute(COUNT))
                await discarding(guard)
                guard.raw(query)
            with pytest.raises(psycopg.OperationalError):
                await task
        else:
            with ThreadPoolExecutor() as threads:
                with held_back(guard):
                    task = threads.submit(as_bob, guard, conn)
                    discarding(guard)
                    guard.raw(query)
                with pytest.raises(psycopg.OperationalError):
                    task.result()
    assert conn.closed
    await conn.close()


if True:  # ASYNC

    async def test_a_cancelled_task_leaves_no_half_discarded_session(guard: Any) -> None:
        """A task that is cancelled in the middle of a discard closes the connection."""
        conn = await connect(guard)
        with acting(guard, "ann"):
            await conn.execute(COUNT)
            await raw(conn, "CREATE TEMP TABLE left_over (a int)")
        with held_back(guard), acting(guard, "bob"):
            task = asyncio.create_task(conn.execute(COUNT))
            await discarding(guard)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        assert conn.closed
        await conn.close()
else:

    def as_bob(guard: Any, conn: Any) -> None:
        """Execute a statement as bob, in a thread of one's own."""
        with acting(guard, "bob"):
            conn.execute(COUNT)


async def sees_only_own(guard: Any, pool: Any, number: int) -> str:
    """Leave a channel named after oneself, and tell which are there."""
    with acting(guard, f"user{number}"):
        async with pool.connection() as conn:
            await conn.execute(COUNT)
            await raw(conn, f"LISTEN channel{number}")
            await conn.execute(COUNT)
            query = "SELECT string_agg(c, ',') FROM pg_listening_channels() c"
            found = await raw(conn, query)
            return str(found)


async def test_many_on_a_pool_never_meet_each_others_state(guard: Any) -> None:
    """Forty principals on two connections: each finds its own state and nothing else."""
    pool = AsyncConnectionPool(
        connection_class=AsyncConnection,
        kwargs={"wall": guard.wall, "autocommit": True},
        min_size=1,
        max_size=2,
        open=False,
    )
    async with pool:
        if True:  # ASYNC
            found = await asyncio.gather(*(sees_only_own(guard, pool, n) for n in range(40)))
        else:
            with ThreadPoolExecutor(8) as threads:
                found = list(threads.map(lambda n: sees_only_own(guard, pool, n), range(40)))
    assert found == [f"channel{number}" for number in range(40)]


async def test_an_aborted_transaction_is_no_way_in(guard: Any) -> None:
    """Work that failed and went back to the pool leaves a clean session for the next."""
    pool = AsyncConnectionPool(
        connection_class=AsyncConnection,
        kwargs={"wall": guard.wall},
        min_size=1,
        max_size=1,
        open=False,
    )
    async with pool:
        with acting(guard, "ann"), pytest.raises(psycopg.Error):
            async with pool.connection() as conn:
                await conn.execute(COUNT)
                await raw(conn, "SET my.own = 'x'")
                await conn.execute("select 1 / count(*) from traces.runs where false")
        with acting(guard, "bob"):
            async with pool.connection() as conn:
                await conn.execute(COUNT)
                assert await raw(conn, "SELECT current_setting('my.own', true)") != "x"
