"""The doors, sync and async, and results from one row to 100,000; nothing is masked."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
from doors import async_works, works
from figures import Figure
from ground import Ground, Scale
from pairs import apart

import tracewall
from parts.lookup import compared

DOORS = {
    "rows_10k": "10,000 rows",
    "executemany_1k": "1,000 updates by executemany",
    "copy_10k": "10,000 rows by COPY",
    "stream_1k": "1,000 rows by stream",
}
COLUMNS = "run_id, c1, c2, c3, c4, c5, c6, c7, c8, c9"
BIG = (
    f"create table if not exists bench.many as select g.i * 10000 + run_id as run_id, "
    f"{COLUMNS.removeprefix('run_id, ')} from bench.runs, generate_series(0, 9) g(i)"
)


def doors(ground: Ground, scale: Scale) -> Iterator[Figure]:
    """Compare each door with psycopg's."""
    guarded, plain = ground.guarded(ground.wall()), ground.plain()
    sides: Any = (works(guarded, scale.lookups), works(plain, scale.lookups))
    for door, title in DOORS.items():
        pair = [side[door] for side in sides]
        yield compared(title, pair[0], pair[1], scale, part="doors", share=0.3)
    runner = ground.stack.enter_context(asyncio.Runner())
    wall = ground.wall()

    async def connected() -> tuple[Any, Any]:
        return await tracewall.AsyncConnection.connect(
            wall=wall, token=ground.token, autocommit=True
        ), await psycopg.AsyncConnection.connect(ground.conninfo, autocommit=True)

    conns = runner.run(connected())
    apart(*conns)
    sides = [async_works(conn, runner.run, scale.lookups) for conn in conns]
    for door, title in DOORS.items():
        pair = [side[door] for side in sides]
        yield compared(f"{title}, async", pair[0], pair[1], scale, part="doors", share=0.3)
    for conn in conns:
        runner.run(conn.close())


def rows(ground: Ground, scale: Scale) -> Iterator[Figure]:
    """Compare results that grow."""
    plain = ground.plain()
    plain.execute(BIG)  # type: ignore[arg-type]
    plain.execute("analyze bench.many")
    guarded = ground.guarded(ground.wall())
    for many in scale.rows:
        again = max(1, min(scale.lookups, 2_000 // many))
        pair = [_reading(conn, many, again) for conn in (guarded, plain)]
        share = 0.3 if many < 50_000 else 0.15
        title = f"{many:,} row{'s' if many > 1 else ''} of ten columns"
        yield compared(title, pair[0], pair[1], scale, part="rows", share=share)


def _reading(conn: Any, many: int, again: int) -> Callable[[], None]:
    cursor = conn.cursor()
    query = f"select {COLUMNS} from bench.many limit %s"

    def work() -> None:
        for _ in range(again):
            cursor.execute(query, (many,))
            cursor.fetchall()

    return work
