"""A server that stops, a wire that stalls, a record that can't be kept, keys out of reach."""

from __future__ import annotations

import os
import signal
from typing import Any

import psycopg
import pytest
from faults_doors_async import DOORS
from psycopg import errors as e

import tracewall
from tracewall import AsyncConnection
from tracewall.demo.server import embedded_server

if True:  # ASYNC
    import asyncio
else:
    import threading

QUERY = "select id, card from shop.orders where id <= 3 order by id"
PATIENCE = 0.1
"""Seconds after which a caller gives up."""


async def connect(ground: Any, **options: Any) -> Any:
    """Connect as a clerk."""
    return await AsyncConnection.connect(wall=ground.wall, token=ground.token(), **options)


async def test_an_immediate_stop_of_the_server_is_an_error_at_each_door(
    in_time: None, tmp_path: Any, shop_opener: Any
) -> None:
    """pg_ctl stop -m immediate: each door of an open connection raises, and its end is told."""
    with embedded_server() as server:
        shop_opener.open_shop(server)
        with shop_opener.guarded(server, tmp_path) as ground:
            conns = {name: await connect(ground) for name in DOORS}
            for name in ("streamed", "declared"):
                await conns[name].execute("select id from shop.orders limit 1")
            # What pg_ctl sends for that.
            os.kill(server.pid, signal.SIGQUIT)
            for name, door in DOORS.items():
                with pytest.raises(psycopg.OperationalError):
                    await door(conns[name])
                assert conns[name].closed, name
                await conns[name].close()
            assert ground.open_intents() == []


# A server-side cursor whose close is cancelled complains of that, plainly too.
@pytest.mark.filterwarnings("ignore:.*was deleted while still open:ResourceWarning")
@pytest.mark.parametrize("end", ["flows", "cut"])
async def test_a_stalled_wire_ends_by_the_callers_timeout(wired: Any, wire: Any, end: str) -> None:
    """Where nothing passes any more, a caller's own timeout ends the wait, at each door.

    The wire comes back, or breaks, while psycopg asks the server to cancel: nothing is shown,
    and the connection is usable or broken.
    """
    for name, door in DOORS.items():
        conn = await connect(wired)
        await conn.execute(QUERY)
        await conn.rollback()
        wire.stall()
        try:
            with pytest.raises((TimeoutError, KeyboardInterrupt, psycopg.Error)) as caught:
                await impatient(door, conn, wire, end)
        finally:
            wire.flow()
        assert "CANARY" not in repr(caught.value), name
        await usable_or_broken(conn)


async def impatient(door: Any, conn: Any, wire: Any, end: str) -> Any:
    """Use a door, give up after a moment, and let the wire flow or break another one later."""

    def come() -> None:
        if end == "cut":
            wire.cut()
        wire.flow()

    if True:  # ASYNC
        later = asyncio.get_running_loop().call_later(2 * PATIENCE, come)
        try:
            async with asyncio.timeout(PATIENCE):
                return await door(conn)
        finally:
            later.cancel()
    else:
        me = threading.main_thread().ident
        timers = [
            threading.Timer(PATIENCE, signal.pthread_kill, (me, signal.SIGINT)),
            threading.Timer(2 * PATIENCE, come),
        ]
        for timer in timers:
            timer.start()
        try:
            return door(conn)
        finally:
            for timer in timers:
                timer.join()


async def test_a_wire_that_stalls_for_a_while_costs_time_only(wired: Any, wire: Any) -> None:
    """A statement goes on where the wire does, and its rows are masked as ever."""
    conn = await connect(wired)
    if True:  # ASYNC
        asyncio.get_running_loop().call_later(0.2, wire.flow)
    else:
        threading.Timer(0.2, wire.flow).start()
    wire.stall()
    found = await (await conn.execute(QUERY)).fetchall()
    assert len(found) == 3
    assert "CANARY" not in repr(found)
    await conn.close()


async def test_a_servers_timeout_is_recorded_as_cancelled(ground: Any) -> None:
    """statement_timeout while a lock is waited for: an error, an outcome, a usable connection."""
    conn = await connect(ground)
    await conn.execute("set statement_timeout = '100ms'")
    await conn.commit()
    with ground.locked(), pytest.raises(e.QueryCanceled):
        await conn.execute(QUERY)
    await conn.rollback()
    assert "cancelled" in ground.outcomes()
    await usable_or_broken(conn)


@pytest.mark.parametrize("name", DOORS)
async def test_a_record_that_fails_after_an_intent_stops_the_next(ground: Any, name: str) -> None:
    """The disk fills up between intent and outcome, at each door: what comes next is refused."""
    conn = await connect(ground)
    writer = ground.wall.audit._writer
    real, full = writer.file, FullDisk(writer.file)
    writer.file = full
    try:
        found = await DOORS[name](conn)
    except (tracewall.AuditUnavailable, psycopg.OperationalError) as ex:
        found = [type(ex)]
    assert "CANARY" not in repr(found)
    with pytest.raises((tracewall.AuditUnavailable, psycopg.OperationalError)):
        await conn.execute(QUERY)
    writer.file = real
    # What waited to be written is, and nothing of it is lost.
    if not conn.closed:
        await conn.rollback()
        assert len(await (await conn.execute(QUERY)).fetchall()) == 3
    await conn.close()


class FullDisk:
    """A log file whose disk fills up after one more write."""

    def __init__(self, file: Any) -> None:
        self._file, self._room = file, 1

    def append(self, data: bytes) -> None:
        """Write once, then fail."""
        self._room -= 1
        if self._room < 0:
            raise OSError(28, "no space left on device")
        self._file.append(data)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


async def test_keys_that_go_out_of_reach_end_a_long_connection_in_time(ground: Any) -> None:
    """While the last keys may still be used statements go on; after that each is refused."""
    conn = await connect(ground, autocommit=True)
    rows = conn.cursor().stream("select id from shop.orders order by id")
    assert await anext(rows) == (1,)
    verifier = ground.wall.verifier
    keeper = next(iter(verifier._by_issuer.values())).keeper
    kept, path = keeper._snapshot, ground.folder / "jwks.json"
    path.rename(path.with_suffix(".gone"))
    keeper._snapshot = None
    with pytest.raises(tracewall.TokenRejected):
        await anext(rows)
    with pytest.raises(tracewall.TokenRejected):
        await conn.execute(QUERY)
    path.with_suffix(".gone").rename(path)
    keeper._snapshot = kept
    assert len(await (await conn.execute(QUERY)).fetchall()) == 3
    await conn.close()


async def test_a_catalog_that_changes_in_a_pipeline_hands_out_nothing_new(ground: Any) -> None:
    """A column is swapped for a masked one while statements are queued: no raw value comes."""
    conn = await connect(ground, autocommit=True)
    with ground.admin() as admin:
        admin.execute("create table shop.swapped (id int, note text, card text)")
        admin.execute("grant select on shop.swapped to service")
        admin.execute("insert into shop.swapped values (1, 'harmless', 'CANARY-swapped')")
    try:
        ground.wall._fingerprints.clear()
        await conn.close()
        conn = await connect(ground, autocommit=True)
        found: list[Any] = []
        try:
            async with conn.pipeline() as pipeline:
                await (await conn.execute("select id, note from shop.swapped")).fetchall()
                await pipeline.sync()
                with ground.admin() as admin:
                    # The name now means another table's column, which a mask protects.
                    admin.execute("alter table shop.swapped rename to was")
                    admin.execute("alter table shop.orders rename to swapped")
                cursor = await conn.execute("select id, note from shop.swapped limit 1")
                await pipeline.sync()
                found = await cursor.fetchall()
        except psycopg.Error as ex:
            assert "CANARY" not in repr(ex)
        assert found == []
        assert "mismatch" in [record.get("incident", {}).get("kind") for record in ground.kept()]
    finally:
        with ground.admin() as admin:
            admin.execute("alter table if exists shop.swapped rename to orders")
            admin.execute("drop table shop.was")
        ground.wall._fingerprints.clear()
        await conn.close()


async def usable_or_broken(conn: Any) -> None:
    """Hold a connection to being the one or the other."""
    if not conn.closed:
        await conn.rollback()
        found = await (await conn.execute(QUERY)).fetchall()
        assert len(found) == 3
        assert "CANARY" not in repr(found)
    await conn.close()
