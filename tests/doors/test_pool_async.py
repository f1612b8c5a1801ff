"""psycopg's own pools, over guarded connections."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest
from psycopg_pool import AsyncConnectionPool, AsyncNullConnectionPool, PoolTimeout

import tracewall
from tracewall import AsyncConnection

if True:  # ASYNC
    import asyncio
else:
    import time
    from concurrent.futures import ThreadPoolExecutor


def pool_for(guard: Any) -> Any:
    """Give a small pool over the guard's wall."""
    return AsyncConnectionPool(
        connection_class=AsyncConnection,
        kwargs={"wall": guard.wall},
        min_size=1,
        max_size=2,
        check=AsyncConnectionPool.check_connection,
        open=False,
    )


async def test_a_pooled_connection_serves_whoever_acts(guard: Any) -> None:
    """One connection of a pool serves several principals, each by their own rights."""
    async with pool_for(guard) as pool:
        with guard.wall.acting_as(guard.operator):
            async with pool.connection() as conn:
                await conn.execute("select client_ip from traces.runs limit 1")
        with guard.wall.acting_as(guard.analyst):
            async with pool.connection() as conn:
                with pytest.raises(tracewall.Forbidden):
                    await conn.execute("select client_ip from traces.runs limit 1")
        async with pool.connection() as conn:
            with pytest.raises(tracewall.TokenRejected):
                await conn.execute("select 1")


async def client_ip_or_refusal(guard: Any, pool: Any, token: str) -> str:
    """Ask as somebody for what only operators may see."""
    with guard.wall.acting_as(token):
        async with pool.connection() as conn:
            try:
                await conn.execute("select client_ip from traces.runs limit 1")
            except tracewall.Forbidden:
                return "refused"
            return "served"


async def test_concurrent_users_keep_their_own_identity(guard: Any) -> None:
    """Many at once on one pool: each is judged as who they are."""
    wanted = ["served", "refused"] * 20
    tokens = [guard.operator, guard.analyst] * 20
    async with pool_for(guard) as pool:
        if True:  # ASYNC
            found = await asyncio.gather(
                *(client_ip_or_refusal(guard, pool, token) for token in tokens)
            )
        else:
            with ThreadPoolExecutor(8) as threads:
                found = threads.map(lambda token: client_ip_or_refusal(guard, pool, token), tokens)
    assert list(found) == wanted


async def test_what_a_pool_runs_itself_is_judged(guard: Any) -> None:
    """configure, check and reset may send an empty statement; reset runs while nobody acts."""
    told: list[str] = []

    async def configure(conn: Any) -> None:
        told.append("configure")
        await conn.set_autocommit(True)

    async def check(conn: Any) -> None:
        told.append("check")
        # An empty statement is nobody's, so that a pool may look while nobody acts.
        await conn.execute("")

    async def reset(conn: Any) -> None:
        # A worker of the pool's runs it, outside of the block that says who acts.
        with pytest.raises(tracewall.TokenRejected):
            await conn.execute("select api_key from traces.runs limit 1")
        await conn.rollback()
        await conn.execute("")
        told.append("reset")

    made = AsyncConnectionPool(
        connection_class=AsyncConnection,
        kwargs={"wall": guard.wall},
        min_size=1,
        max_size=1,
        configure=configure,
        check=check,
        reset=reset,
        open=False,
    )
    async with made as pool:
        for _ in range(2):
            with guard.wall.acting_as(guard.analyst):
                async with pool.connection() as conn:
                    found = await (
                        await conn.execute("select api_key from traces.runs limit 1")
                    ).fetchone()
                    assert found is not None
            await until(lambda: told.count("reset") == told.count("check"))
    assert told == ["configure", "check", "reset", "check", "reset"]


async def test_a_reset_that_may_not_costs_the_connection_only(guard: Any) -> None:
    """A reset that is refused makes the pool throw the connection away; nothing is handed on."""
    processes = []

    async def reset(conn: Any) -> None:
        await conn.execute("select client_ip from traces.runs limit 1")

    made = AsyncConnectionPool(
        connection_class=AsyncConnection,
        kwargs={"wall": guard.wall, "autocommit": True},
        min_size=1,
        max_size=1,
        reset=reset,
        open=False,
    )
    async with made as pool:
        for _ in range(2):
            with guard.wall.acting_as(guard.analyst):
                async with pool.connection() as conn:
                    processes.append(conn.info.backend_pid)
    assert len(set(processes)) == 2


async def test_a_configure_that_asks_for_rows_needs_somebody(guard: Any) -> None:
    """What configure sends while nobody acts is refused: no connection is made that way."""
    failed: list[type[BaseException]] = []

    async def configure(conn: Any) -> None:
        try:
            await conn.execute("select 1")
        except tracewall.TokenRejected as ex:
            failed.append(type(ex))
            raise

    made = AsyncConnectionPool(
        connection_class=AsyncConnection,
        kwargs={"wall": guard.wall},
        min_size=0,
        max_size=1,
        configure=configure,
        timeout=0.5,
        open=False,
    )
    async with made as pool:
        with pytest.raises(PoolTimeout):
            await pool.getconn()
    assert failed


async def test_a_pool_that_keeps_nothing_serves_whoever_acts(guard: Any) -> None:
    """A connection made for one use, and checked, is guarded by the rights of who uses it."""
    made = AsyncNullConnectionPool(
        connection_class=AsyncConnection,
        kwargs={"wall": guard.wall},
        min_size=0,
        max_size=2,
        check=AsyncNullConnectionPool.check_connection,
        open=False,
    )
    async with made as pool:
        assert await client_ip_or_refusal(guard, pool, guard.operator) == "served"
        assert await client_ip_or_refusal(guard, pool, guard.analyst) == "refused"
        async with pool.connection() as conn:
            with pytest.raises(tracewall.TokenRejected):
                await conn.execute("select 1")


async def use(pool: Any, guard: Any, token: str, *statements: str) -> tuple[int, Any]:
    """Act as somebody on a connection of a pool; give its process and the last statement's row."""
    with guard.wall.acting_as(token):
        async with pool.connection() as conn:
            for statement in statements:
                cursor = await conn.execute(statement)
            row = await cursor.fetchone() if cursor.description else None
            if "lock_timeout = " in statements[-1]:
                # The next one waits for it by now.
                await until(lambda: pool.get_stats()["requests_waiting"] == 1)
            return conn.info.backend_pid, row


@pytest.mark.parametrize("resets", [False, True])
async def test_a_pool_hands_a_connection_to_who_waits(guard: Any, resets: bool) -> None:
    """A connection that goes straight to the next client has nothing of the last one's on it."""
    reset_by: list[int] = []

    async def reset(conn: Any) -> None:
        with pytest.raises((tracewall.TokenRejected, tracewall.Forbidden)):
            await conn.execute("select client_ip from traces.runs limit 1")
        await conn.rollback()
        reset_by.append(conn.info.backend_pid)

    made = AsyncNullConnectionPool(
        connection_class=AsyncConnection,
        kwargs={"wall": guard.wall, "autocommit": True},
        min_size=0,
        max_size=1,
        reset=reset if resets else None,
        open=False,
    )
    leave = ("select client_ip from traces.runs limit 1", "set lock_timeout = '7s'")
    async with made as pool:
        if True:  # ASYNC
            first = asyncio.create_task(use(pool, guard, guard.operator, *leave))
            await until(lambda: pool.get_stats().get("connections_num", 0) == 1)
            process, row = await use(pool, guard, guard.analyst, "show lock_timeout")
            handed, _ = await first
        else:
            with ThreadPoolExecutor(1) as threads:
                first = threads.submit(use, pool, guard, guard.operator, *leave)
                until(lambda: pool.get_stats().get("connections_num", 0) == 1)
                process, row = use(pool, guard, guard.analyst, "show lock_timeout")
                handed, _ = first.result()
        assert process == handed and row == ("0",)
        assert reset_by[:1] == [handed] * resets
        with pytest.raises(tracewall.Forbidden):
            await use(pool, guard, guard.analyst, "select client_ip from traces.runs limit 1")


async def test_who_keeps_a_cursor_gets_nothing_by_the_next_clients_rights(guard: Any) -> None:
    """A batch that fails and a cursor kept from it reach nothing on a connection handed over."""
    made = AsyncConnectionPool(
        connection_class=AsyncConnection,
        kwargs={"wall": guard.wall},
        min_size=1,
        max_size=1,
        open=False,
    )
    query = "select client_ip from traces.runs limit 1"
    async with made as pool:
        with guard.wall.acting_as(guard.analyst):
            with pytest.raises(psycopg.DataError):
                async with pool.connection() as conn:
                    kept = conn.cursor()
                    await kept.executemany("select 1 / %s", [(at,) for at in (2, 1, 0)])
            await until(lambda: pool.get_stats().get("pool_available") == 1)
        with guard.wall.acting_as(guard.operator):
            async with pool.connection() as again:
                assert again is conn
                assert len(await (await again.execute(query)).fetchall()) == 1
                with guard.wall.acting_as(guard.analyst):
                    for door in (kept.execute, again.execute):
                        with pytest.raises(tracewall.Forbidden):
                            await door(query)
                    with pytest.raises(tracewall.Forbidden):
                        await kept.executemany("select %s::int4", [(1,), (2,)])
                    with pytest.raises(psycopg.ProgrammingError):
                        await kept.fetchall()
                assert len(await (await again.execute(query)).fetchall()) == 1


async def until(holds: Any) -> None:
    """Wait until a pool's own work is done."""
    for _ in range(500):
        if holds():
            return
        if True:  # ASYNC
            await asyncio.sleep(0.01)
        else:
            time.sleep(0.01)
    raise AssertionError("the pool's work is not done")
