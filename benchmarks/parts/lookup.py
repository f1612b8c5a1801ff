"""One row by its primary key: what stands before the server, beside plain psycopg."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
from figures import Figure, Left
from ground import MASKED, Ground, Scale, owner
from pairs import apart, away, ratios, spread
from point_lookup import LOOKUP, MASKED_LOOKUP, lookups
from psycopg.conninfo import conninfo_to_dict, make_conninfo

import tracewall

PART = "lookup"
PORT = 6432
BOUNCER = """
[databases]
postgres = host={host} port={port} user=postgres
[pgbouncer]
listen_addr =
listen_port = {mine}
unix_socket_dir = {place}
auth_type = any
pool_mode = session
ignore_startup_parameters = extra_float_digits
logfile = {place}/log
pidfile = {place}/pid
"""


def measure(ground: Ground, scale: Scale) -> Iterator[Figure | Left]:
    """Compare with plain psycopg, and SQLAlchemy over the guard with SQLAlchemy."""
    plain = ground.plain()
    guards = {
        "tracewall, record `buffered`": (ground.guarded(ground.wall()), LOOKUP),
        "tracewall, record `written`": (ground.guarded(ground.wall(durability="written")), LOOKUP),
        "tracewall, two columns masked": (ground.guarded(ground.wall(rules=MASKED)), MASKED_LOOKUP),
    }
    for name, (guarded, query) in guards.items():
        sides = [lookups(conn, scale.lookups, query) for conn in (guarded, plain)]
        yield compared(name, sides[0], sides[1], scale)
    yield from _hop(ground, scale, plain)
    yield _async(ground, scale)
    yield from _sqlalchemy(ground, scale)


def compared(
    name: str,
    one: Callable[[], Any],
    other: Callable[[], Any],
    scale: Scale,
    *,
    part: str = PART,
    share: float = 1.0,
) -> Figure:
    """Compare two ways, in a share of the scale's rounds, after some that do not count."""
    rounds = max(2, round(scale.rounds * share))
    ratios(one, other, max(1, rounds // 8), scale.seconds / 4)
    return Figure(part, name, spread(ratios(one, other, rounds, scale.seconds)))


def _hop(ground: Ground, scale: Scale, plain: Any) -> Iterator[Figure | Left]:
    program = shutil.which("pgbouncer") or shutil.which("pgbouncer", path="/usr/sbin")
    if program is None:
        yield Left(PART, "pgbouncer is not installed here")
        return
    place = Path(ground.stack.enter_context(tempfile.TemporaryDirectory()))
    parts, run_as = conninfo_to_dict(ground.conninfo), owner(ground.server)
    said = BOUNCER.format(host=parts["host"], port=parts["port"], mine=PORT, place=place)
    (place / "ini").write_text(said)
    if run_as:
        for each in (place, place / "ini"):
            shutil.chown(each, run_as["user"], run_as["group"])
    process = subprocess.Popen(
        [program, "-q", str(place / "ini")], stderr=subprocess.DEVNULL, **run_as
    )
    ground.stack.callback(_end, process)
    away(process.pid)
    through = make_conninfo(host=str(place), port=PORT, user="postgres", dbname="postgres")
    conn = _patiently(through)
    if conn is None:
        yield Left(PART, "pgbouncer did not start")
        return
    ground.stack.enter_context(conn)
    sides = [lookups(each, scale.lookups) for each in (conn, plain)]
    yield compared("psycopg by way of pgbouncer", sides[0], sides[1], scale)


def _patiently(conninfo: str) -> psycopg.Connection | None:
    for _ in range(100):
        try:
            return psycopg.connect(conninfo, autocommit=True)
        except psycopg.OperationalError:
            time.sleep(0.05)
    return None


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    process.wait(10)


def _async(ground: Ground, scale: Scale) -> Figure:
    runner = ground.stack.enter_context(asyncio.Runner())
    wall = ground.wall()

    async def connected() -> tuple[Any, Any]:
        return await psycopg.AsyncConnection.connect(
            ground.conninfo, autocommit=True
        ), await tracewall.AsyncConnection.connect(wall=wall, token=ground.token, autocommit=True)

    def side(conn: Any) -> Callable[[], None]:
        cursor = conn.cursor()

        async def work() -> None:
            for at in range(1, scale.lookups + 1):
                await cursor.execute(LOOKUP, (at,))
                await cursor.fetchone()

        return lambda: runner.run(work())

    plain, guarded = runner.run(connected())
    apart(plain, guarded)
    found = compared("tracewall, async, beside psycopg's async", side(guarded), side(plain), scale)
    for conn in (plain, guarded):
        runner.run(conn.close())
    return found


def _sqlalchemy(ground: Ground, scale: Scale) -> Iterator[Figure | Left]:
    try:
        import sqlalchemy as sa
    except ImportError:
        yield Left(PART, "SQLAlchemy is not installed here")
        return
    # Where the package is not installed, as in a source tree, nothing has registered it.
    sa.dialects.registry.register(
        "postgresql.tracewall", "tracewall.sqlalchemy", "TracewallDialect"
    )
    wall = ground.wall()
    made: dict[str, Callable[[], None]] = {}
    engines = {
        "plain": sa.create_engine(
            "postgresql+psycopg://", creator=lambda: psycopg.connect(ground.conninfo)
        ),
        "guarded": sa.create_engine(
            "postgresql+tracewall://", connect_args={"wall": wall, "token": ground.token}
        ),
    }
    query = sa.text(LOOKUP.replace("%s", ":at"))
    for name, engine in engines.items():
        ground.stack.callback(engine.dispose)
        conn = ground.stack.enter_context(engine.connect())
        apart(conn.connection.driver_connection)

        def work(conn: Any = conn) -> None:
            for at in range(1, scale.lookups + 1):
                conn.execute(query, {"at": at}).fetchone()

        made[name] = work
    bare = lookups(ground.plain(), scale.lookups)
    yield compared("SQLAlchemy over psycopg", made["plain"], bare, scale)
    yield compared(
        "SQLAlchemy over tracewall, beside SQLAlchemy over psycopg",
        made["guarded"],
        made["plain"],
        scale,
    )
