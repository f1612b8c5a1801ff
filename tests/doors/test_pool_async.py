"""psycopg's own pools, over guarded connections."""

from __future__ import annotations

from typing import Any

import pytest
from psycopg_pool import AsyncConnectionPool

import tracewall
from tracewall import AsyncConnection

if True:  # ASYNC
    import asyncio
else:
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
