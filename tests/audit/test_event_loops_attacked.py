"""Attacks on the wait for a slow log beside the event loop: closed, failing, left behind."""

from __future__ import annotations

import asyncio
import gc
import runpy
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tracewall.errors import AuditUnavailable, Forbidden
from tracewall.testing import Bench

# Test folders are not on sys.path.
_SHARED = runpy.run_path(str(Path(__file__).parent / "test_event_loops.py"))
POLICY, Slow, DOORS = (_SHARED[name] for name in ("POLICY", "Slow", "DOORS"))
house, busy, execute = (_SHARED[name] for name in ("house", "busy", "execute"))
every_door = pytest.mark.parametrize("door", DOORS, ids=lambda door: door.__name__)


# psycopg's own pipeline complains where its connection is gone.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@every_door
async def test_a_connection_that_is_closed_meanwhile_sends_nothing(house: Any, door: Any) -> None:
    """Closed by another task while its intent waits, a statement fails as psycopg's do."""
    async with house.connect(autocommit=True) as conn:
        house.log.free.clear()
        task = asyncio.create_task(door(conn))
        await busy()
        closing = asyncio.create_task(conn.close())
        await busy()
        house.log.free.set()
        await closing
        with pytest.raises(psycopg.Error):
            await task
    assert house.rows() == 0
    # A rollback may have been done.
    told = [each for each in house.statements() if each[0].startswith(("INSERT", "COPY"))]
    assert "ok" not in {status for _, status in told}


@every_door
async def test_any_error_of_the_log_refuses(house: Any, door: Any) -> None:
    """Whatever a log raises, nothing is sent, and nobody waits for it."""
    async with house.connect(autocommit=True) as conn:
        for error in (OSError("full"), TimeoutError(), KeyError("x")):
            house.log.error = error
            with pytest.raises((type(error), psycopg.Error)):
                await door(conn)
            house.log.error = None
            if conn.closed:
                break
        assert house.rows() == 0


def test_a_loop_that_ends_meanwhile_sends_nothing(house: Any) -> None:
    """A loop that is closed while an intent waits leaves no statement behind that could leave."""
    for door in DOORS:
        loop = asyncio.new_event_loop()

        async def begin(door: Any = door) -> Any:
            conn = await house.bench.connect_async("staff", autocommit=True)
            house.log.free.clear()
            task = asyncio.create_task(door(conn))
            await busy()
            return conn, task

        conn, task = loop.run_until_complete(begin())
        loop.close()
        task._log_destroy_pending = False
        house.log.free.set()
        conn._wire.finish()
        del conn, task
        gc.collect()
    assert house.rows() == 0
    # A rollback may have been done.
    told = [each for each in house.statements() if each[0].startswith(("INSERT", "COPY"))]
    assert "ok" not in {status for _, status in told}


async def test_what_was_not_kept_once_is_not_missed_again(scratch_dsn: str, tmp_path: Path) -> None:
    """A refusal is told as such, though an intent before it, that a rule wants synced, failed."""
    policy = POLICY.replace('"select", "insert"]', '"select", "insert"]\naudit = "synced"')
    with psycopg.connect(scratch_dsn, autocommit=True) as plain:
        plain.execute("create table t (id int)")
    (tmp_path / "policy.toml").write_text(policy)
    log = Slow(tmp_path / "slow")
    log.patience = 0.0
    with Bench.load(tmp_path / "policy.toml", conninfo=scratch_dsn, audit=log) as bench:
        conn = await bench.connect_async("staff", autocommit=True)
        log.broken = True
        with pytest.raises(AuditUnavailable):
            await execute(conn)
        log.broken = False
        with pytest.raises(Forbidden):
            await conn.execute("delete from t")
        await conn.close()


@pytest.mark.parametrize("durability", ["buffered", "written", "synced"])
async def test_a_rule_that_wants_it_synced_is_kept(
    scratch_dsn: str, tmp_path: Path, durability: str
) -> None:
    """Where one rule alone wants its record synced, its statements are, whatever the log's way."""
    policy = POLICY.replace('"select", "insert"]', '"select", "insert"]\naudit = "synced"')
    with psycopg.connect(scratch_dsn, autocommit=True) as plain:
        plain.execute("create table t (id int)")
    (tmp_path / "policy.toml").write_text(f'{policy}[audit]\ndurability = "{durability}"\n')
    with Bench.load(tmp_path / "policy.toml", conninfo=scratch_dsn) as bench:
        async with await bench.connect_async("staff") as conn:
            await execute(conn)
            assert (await (await conn.execute("select id from t")).fetchall()) == [(1,)]
        # Under a log that syncs all there is nothing to say of it.
        assert durability == "synced" or bench.recorded().count('"kept":"synced"') >= 2
