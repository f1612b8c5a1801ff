"""Many at once behind one wall, and many different statements on one connection."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from itertools import count, cycle
from typing import Any

import psycopg
from figures import Figure
from ground import Ground, Scale
from pairs import apart
from point_lookup import LOOKUP, lookups

import tracewall
from parts.lookup import compared


def threads(ground: Ground, scale: Scale) -> Iterator[Figure]:
    """Compare so many threads, each with a connection of its own."""
    wall = ground.wall()
    for many in scale.crowds:
        with ExitStack() as stack:
            own = Ground(ground.server, ground.folder, issuer=ground.issuer, stack=stack)
            pool = stack.enter_context(ThreadPoolExecutor(many))
            each = max(2, 2 * scale.lookups // many)
            guarded = [lookups(own.guarded(wall), each) for _ in range(many)]
            plain = [lookups(own.plain(), each) for _ in range(many)]

            def at_once(works: list[Callable[[], None]], pool: Any = pool) -> Callable[[], None]:
                return lambda: list(pool.map(lambda work: work(), works)) and None

            title = f"{many} thread{'s' if many > 1 else ''}"
            yield compared(title, at_once(guarded), at_once(plain), scale, part="crowd", share=0.3)


def tasks(ground: Ground, scale: Scale) -> Iterator[Figure]:
    """Compare so many tasks of one loop, each with a connection of its own."""
    wall, runner = ground.wall(), ground.stack.enter_context(asyncio.Runner())

    async def guarded() -> Any:
        return await tracewall.AsyncConnection.connect(
            wall=wall, token=ground.token, autocommit=True
        )

    async def plain() -> Any:
        return await psycopg.AsyncConnection.connect(ground.conninfo, autocommit=True)

    for many in scale.crowds:
        each = max(2, 2 * scale.lookups // many)
        conns = [[runner.run(opened()) for _ in range(many)] for opened in (guarded, plain)]
        for side in conns:
            apart(*side)
        pair = [_together(runner, side, each) for side in conns]
        title = f"{many} task{'s' if many > 1 else ''}"
        yield compared(title, pair[0], pair[1], scale, part="crowd", share=0.3)
        for conn in (conn for side in conns for conn in side):
            runner.run(conn.close())


def _together(runner: asyncio.Runner, conns: list[Any], each: int) -> Callable[[], None]:
    cursors = [conn.cursor() for conn in conns]

    async def one(cursor: Any) -> None:
        for at in range(1, each + 1):
            await cursor.execute(LOOKUP, (at,))
            await cursor.fetchone()

    async def work() -> None:
        await asyncio.gather(*(one(cursor) for cursor in cursors))

    return lambda: runner.run(work())


def statements(ground: Ground, scale: Scale) -> Iterator[Figure]:
    """Compare so many different texts in turn, and then one that is new each time."""
    guarded, plain = ground.guarded(ground.wall()), ground.plain()
    for many in scale.statements:
        pair = [
            _in_turn(conn, partial(cycle, range(many)), scale.lookups) for conn in (guarded, plain)
        ]
        for _ in range(-(-many // scale.lookups)):
            pair[0]()  # until each text has been seen once
        title = f"{many:,} statement{'s' if many > 1 else ''} in turn"
        yield compared(title, pair[0], pair[1], scale, part="statements", share=0.3)
    pair = [_in_turn(conn, partial(count, 10**6), scale.lookups) for conn in (guarded, plain)]
    yield compared("always a new one", pair[0], pair[1], scale, part="statements", share=0.3)


def _in_turn(conn: Any, numbers: Callable[[], Iterator[int]], times: int) -> Callable[[], None]:
    cursor, coming = conn.cursor(), numbers()

    def work() -> None:
        for _ in range(times):
            cursor.execute(f"select run_id, c1, c2 from bench.runs where run_id = {next(coming)}")
            cursor.fetchone()

    return work
