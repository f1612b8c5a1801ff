"""Tasks that are cancelled at each place where they can be."""

from __future__ import annotations

import asyncio
import threading
import types
from collections.abc import Coroutine, Generator
from typing import Any

import pytest
from faults_doors_async import DOORS

from tracewall import AsyncConnection


@types.coroutine
def cancelled_at(
    coroutine: Coroutine[Any, Any, Any], place: int, then: int | None = None
) -> Generator[Any, Any, Any]:
    """Run a coroutine, its task cancelled where it awaits for the place-th time (from 0).

    With `then` it is cancelled once more, so many awaits later.
    """
    task = asyncio.current_task()
    assert task is not None
    places = {place} if then is None else {place, place + 1 + then}
    step, thrown = 0, None
    while True:
        try:
            awaited = coroutine.send(None) if thrown is None else coroutine.throw(thrown)
        except StopIteration as stop:
            return stop.value
        if step in places:
            task.cancel()
        step, thrown = step + 1, None
        try:
            yield awaited
        except BaseException as ex:
            thrown = ex


async def ran(coroutine: Coroutine[Any, Any, Any], place: int, then: int | None = None) -> Any:
    """Give what came of a coroutine that was cancelled somewhere, or the exception."""

    async def run() -> Any:
        return await cancelled_at(coroutine, place, then)

    task = asyncio.create_task(run())
    (found,) = await asyncio.gather(task, return_exceptions=True)
    return found


async def hold(conn: Any) -> None:
    """Hold a connection to being usable or broken."""
    if not conn.closed:
        await conn.rollback()
        rows = await (await conn.execute("select id, card from shop.orders limit 3")).fetchall()
        assert len(rows) == 3
        assert "CANARY" not in repr(rows)
        await conn.rollback()
    await conn.close()


# A generator of psycopg 3.2's that is collected after its connection was closed complains.
@pytest.mark.filterwarnings("ignore:.*_exit_gen:pytest.PytestUnraisableExceptionWarning")
@pytest.mark.filterwarnings("ignore:.*was deleted while still open:ResourceWarning")
@pytest.mark.parametrize("name", DOORS)
async def test_a_task_may_be_cancelled_at_each_await(ground: Any, name: str) -> None:
    """Wherever a task is cancelled in a door, its connection is usable or broken after that."""
    for place in range(200):
        conn = await AsyncConnection.connect(wall=ground.wall, token=ground.token())
        found = await ran(DOORS[name](conn), place)
        assert "CANARY" not in repr(found)
        await hold(conn)
        if not isinstance(found, asyncio.CancelledError):
            assert isinstance(found, list), found
            break
    # A quick server leaves a door no more than one wait.
    assert place > 0


@pytest.mark.filterwarnings("ignore:.*was deleted while still open:ResourceWarning")
async def test_a_task_may_be_cancelled_twice(ground: Any) -> None:
    """A second cancellation, while the first is dealt with, breaks nothing either."""
    for name in ("execute", "streamed", "copied_out", "declared"):
        for place in range(6):
            conn = await AsyncConnection.connect(wall=ground.wall, token=ground.token())
            found = await ran(DOORS[name](conn), place, then=place % 3)
            assert "CANARY" not in repr(found)
            await hold(conn)


async def test_a_log_in_may_be_cancelled_at_each_await(ground: Any) -> None:
    """A log-in that is cancelled leaves no connection behind."""
    for place in range(200):
        ground.wall._fingerprints.clear()
        connecting = AsyncConnection.connect(wall=ground.wall, token=ground.token())
        found = await ran(connecting, place)
        if not isinstance(found, asyncio.CancelledError):
            await hold(found)
            break
    assert place > 10
    ground.until_alone()


async def test_a_renewal_of_the_token_may_be_cancelled(ground: Any) -> None:
    """Cancelled while a token provider blocks in a thread, no door sends; the next asks anew."""
    for name, door in DOORS.items():
        asked, reached, go_on = 0, threading.Event(), threading.Event()

        def provider(reached: Any = reached, go_on: Any = go_on) -> str:
            nonlocal asked
            asked += 1
            if asked == 2:
                reached.set()
                go_on.wait(30)
            return str(ground.token())

        conn = await AsyncConnection.connect(wall=ground.wall, token=provider)
        caller = conn._session.caller
        caller._own = ground.wall.bearer("worn out")
        caller._look_again = caller._ask_again = 0.0
        before = len(ground.kept())
        task = asyncio.create_task(door(conn))
        assert await asyncio.to_thread(reached.wait, 30)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        go_on.set()
        assert len(ground.kept()) == before, name
        usable = not conn.closed
        await hold(conn)
        assert asked == 2 + usable, name
        assert usable or name == "in_transaction"


async def test_a_change_of_principal_may_be_cancelled_at_each_await(ground: Any) -> None:
    """The next principal gets a clean connection or a closed one."""

    async def change(conn: Any, token: str) -> Any:
        with ground.wall.acting_as(token):
            return await (await conn.execute("select id from shop.orders where id = 2")).fetchall()

    tokens = [ground.token(subject=name) for name in ("ann", "bob")]
    for place in range(200):
        with ground.wall.acting_as(tokens[0]):
            conn = await AsyncConnection.connect(wall=ground.wall, autocommit=True)
            await conn.execute("select id from shop.orders where id = 1", prepare=True)
        found = await ran(change(conn, tokens[1]), place)
        if not conn.closed:
            assert await change(conn, tokens[1]) == [(2,)]
            names = await prepared_statements(ground, conn)
            assert names == []
        await conn.close()
        if not isinstance(found, asyncio.CancelledError):
            break
    assert place > 1


async def prepared_statements(ground: Any, conn: Any) -> list[Any]:
    """Give the prepared statements that are left of an earlier principal."""
    return [name for name in conn._prepared._names if name]
