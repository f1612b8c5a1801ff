"""Another principal looks in while one's statement is on its way on the same connection.

`acting_as` holds for a task or thread, and a connection may be shared: what one asks of it
that needs no turn (`explain`, a door that waits for its turn) changes nothing for the other.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import aclosing, suppress
from pathlib import Path
from typing import Any

import pytest

import tracewall
from tracewall import AsyncConnection, Wall
from tracewall.testing import FixedClock

if True:  # ASYNC
    import asyncio
else:
    import threading

COUNT = "select count(*) from traces.runs"


def poked(gen: Any, poke: Callable[[], None]) -> Any:
    """Run a generator of psycopg's, and something else at each of its steps."""
    try:
        step = next(gen)
        while True:
            poke()
            step = gen.send((yield step))
    except StopIteration as ex:
        return ex.value


class Poked(AsyncConnection[Any]):
    """A connection that somebody looks in on whenever it waits for the server."""

    poke: Callable[[], None] | None = None

    async def wait(self, gen: Any, *rest: Any) -> Any:
        """Wait as usual, and be looked in on."""
        return await super().wait(gen if self.poke is None else poked(gen, self.poke), *rest)


def acting(guard: Any, subject: str, *groups: str) -> Any:
    """Act as somebody, under a token minted anew."""
    token = guard.issuer.mint(subject, list(groups or ("operators",)), audience="traces")
    return guard.wall.acting_as(token)


@pytest.mark.parametrize("at", range(4))
@pytest.mark.parametrize("door", ["execute", "executemany", "pipeline", "transaction"])
async def test_who_looked_in_holds_nothing(guard: Any, door: str, at: int) -> None:
    """Who looks in while a connection changes hands is a stranger to it still, at any step."""
    bob = acting(guard, "bob")
    async with await Poked.connect(wall=guard.wall, autocommit=True) as conn:
        with acting(guard, "cid"):
            await conn.execute(COUNT)
        steps = iter(range(99))

        def look_in() -> None:
            if next(steps) == at:
                with bob:
                    conn.explain(COUNT)

        with acting(guard, "ann"):
            conn.poke = look_in
            await conn.execute("set lock_timeout = '7s'")
            conn.poke = None
        with bob:
            if door == "executemany":
                await conn.cursor().executemany(COUNT, [()])
            elif door == "pipeline":
                async with conn.pipeline():
                    await conn.execute(COUNT)
            elif door == "transaction":
                async with conn.transaction():
                    await conn.execute(COUNT)
            found = await (await conn.execute("show lock_timeout")).fetchone()
        assert found == ("0",)


@pytest.mark.parametrize("stranger", ["bob", "nobody"])
async def test_marks_are_looked_for_whoever_looks_in(guard: Any, stranger: str) -> None:
    """What a scan has put in place of a find is refused in each set of a batch."""
    update = "update traces.steps set content = %s where step_id = -1"
    async with await Poked.connect(wall=guard.wall, autocommit=True) as conn:

        def look_in() -> None:
            with guard.wall.acting_as(guard.operator if stranger == "bob" else "none"):
                with suppress(tracewall.TokenRejected):
                    conn.explain(COUNT)

        with acting(guard, "ann"):
            await conn.execute(COUNT)
            conn.poke = look_in
            with pytest.raises(tracewall.Forbidden, match="mark"):
                await conn.cursor().executemany(update, [("fine",), ("[email]",)])


async def test_a_stream_ends_with_its_own_token(guard: Any, tmp_path: Path) -> None:
    """An expired token gets no more rows, though one that holds has looked in."""
    clock = FixedClock(time.time())
    issuer, path = guard.issuer, tmp_path / "tracewall.toml"
    for name in ("tracewall.toml", "jwks.json"):
        (tmp_path / name).write_text((guard.folder / name).read_text())
    with Wall.load(path, password=lambda: guard.store.password, clock=clock) as wall:
        long = issuer.mint("bob", ["operators"], audience="traces", lifetime=36000)
        async with await AsyncConnection.connect(wall=wall, autocommit=True) as conn:
            with wall.acting_as(guard.operator):
                streamed: Any = conn.cursor().stream("select run_id from traces.runs limit 50")
                async with aclosing(streamed) as rows:
                    assert await anext(rows)
                    clock.advance(7200)
                    with wall.acting_as(long):
                        assert conn.explain(COUNT).outcome == "allowed"
                    with pytest.raises(tracewall.TokenRejected):
                        await anext(rows)


async def test_notifications_are_for_who_holds_the_connection(guard: Any) -> None:
    """Who waits for their turn to listen hears nothing of who had the turn before."""
    async with await AsyncConnection.connect(wall=guard.wall, autocommit=True) as conn:
        with acting(guard, "bob"):
            await conn.execute(COUNT)
        heard: list[Any] = []

        async def listen() -> None:
            with acting(guard, "bob"), suppress(tracewall.Forbidden):
                async for each in conn.notifies(timeout=0.5, stop_after=1):
                    heard.append(each)

        with acting(guard, "ann"):
            # Ann has the turn, and Bob waits for his; nothing of hers is on the connection yet.
            await conn.lock.acquire()
            if True:  # ASYNC
                waiting = asyncio.create_task(listen())
                await asyncio.sleep(0.05)
            else:
                waiting = threading.Thread(target=listen)
                waiting.start()
                time.sleep(0.05)
            try:
                await conn.wait(conn.cursor()._execute_gen("listen gossip"))
                guard.raw("notify gossip, 'for ann alone'")
            finally:
                conn.lock.release()
            if True:  # ASYNC
                await waiting
            else:
                waiting.join()
    assert heard == []
