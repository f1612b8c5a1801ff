"""A server that dies, and a network that breaks, in the middle of each door's work."""

from __future__ import annotations

import os
import random
import signal
from typing import Any

import psycopg
import pytest
from faults_doors_async import DOORS, Door
from psycopg import errors as e

import tracewall
from tracewall import AsyncConnection

if True:  # ASYNC
    import asyncio
else:
    from concurrent.futures import ThreadPoolExecutor


async def connect(ground: Any) -> Any:
    """Connect as a clerk."""
    return await AsyncConnection.connect(wall=ground.wall, token=ground.token())


async def attempt(conn: Any, door: Door) -> list[Any] | psycopg.Error:
    """Go through a door; give what came out, or the error."""
    try:
        return await door(conn)
    except psycopg.Error as ex:
        return ex


async def usable_or_broken(conn: Any) -> None:
    """Hold a connection to being the one or the other, whatever it went through."""
    if not conn.closed:
        try:
            await conn.rollback()
            found = await (await conn.execute("select id, card from shop.orders")).fetchall()
        except psycopg.OperationalError:
            assert conn.closed
        else:
            assert len(found) == 2000
            assert "CANARY" not in repr(found)
    if conn.closed:
        with pytest.raises(psycopg.OperationalError):
            await conn.execute("select id from shop.orders")
    await conn.close()


async def all_at_once(ground: Any, harm: Any) -> dict[str, Any]:
    """Have each door wait in the server on a connection of its own, do harm, and see."""
    conns = {name: await connect(ground) for name in DOORS}

    async def go(name: str) -> Any:
        ended = await attempt(conns[name], DOORS[name])
        return name, ended, conns[name].closed

    with ground.locked():
        if True:  # ASYNC
            tasks = [asyncio.create_task(go(name)) for name in DOORS]
            await asyncio.to_thread(ground.until_waiting, len(DOORS))
            harm()
            ended = await asyncio.gather(*tasks)
        else:
            with ThreadPoolExecutor(len(DOORS)) as pool:
                tasks = [pool.submit(go, name) for name in DOORS]
                ground.until_waiting(len(DOORS))
                harm()
                ended = [task.result() for task in tasks]
    for conn in conns.values():
        await usable_or_broken(conn)
    return {name: (how, closed) for name, how, closed in ended}


async def test_each_door_survives_a_terminated_backend(ground: Any) -> None:
    """What an administrator ends is an error of its class, and a connection that is closed."""

    def harm() -> None:
        with ground.admin() as conn:
            for pid in ground.backends():
                conn.execute("select pg_terminate_backend(%s)", [pid])

    for how, closed in (await all_at_once(ground, harm)).values():
        assert isinstance(how, e.AdminShutdown | e.OperationalError), how
        assert closed


async def test_each_door_survives_a_killed_server_process(ground: Any) -> None:
    """The death of one server process ends all of them: no door takes that for an end of rows."""
    try:
        ended = await all_at_once(ground, lambda: os.kill(ground.backends()[0], signal.SIGKILL))
    except psycopg.OperationalError:
        # The connection that held the lock has died too.
        ended = {}
    for how, closed in ended.values():
        assert isinstance(how, psycopg.OperationalError), how
        assert closed
    ground.until_alive()


PLACES = 7


async def test_each_door_survives_a_cut_anywhere(wired: Any, wire: Any) -> None:
    """Wherever the wire is cut, each door gives masked rows or an error, and hangs nowhere."""
    chance = random.Random(7)
    for name, door in DOORS.items():
        conn = await connect(wired)
        wire.measure()
        whole = await door(conn)
        assert "CANARY" not in repr(whole), name
        await conn.close()
        for way, count in dict(wire.passed).items():
            places = sorted(chance.sample(range(count), min(PLACES, count)))
            for place in places:
                conn = await connect(wired)
                wire.cut_after(way, place)
                got = await attempt(conn, door)
                assert "CANARY" not in repr(got), (name, way, place)
                if isinstance(got, psycopg.Error):
                    assert isinstance(got, psycopg.OperationalError), (name, way, place, got)
                await usable_or_broken(conn)
                wire.cut()


async def test_logging_in_survives_a_cut_anywhere(wired: Any, wire: Any) -> None:
    """A wire cut during log-in, settings or the catalog's reading gives an error, no connection."""
    wired.wall._fingerprints.clear()
    wire.measure()
    await (await connect(wired)).close()
    chance = random.Random(8)
    for way, count in dict(wire.passed).items():
        for place in sorted(chance.sample(range(count - 10), 15)):
            wired.wall._fingerprints.clear()
            wire.cut_after(way, place)
            with pytest.raises(psycopg.OperationalError):
                await connect(wired)
            wire.cut()


async def test_a_commit_without_an_answer_is_an_error(wired: Any, wire: Any) -> None:
    """Nobody can say whether a commit was carried out: the door says that it is lost."""
    conn = await connect(wired)
    await conn.execute("update shop.orders set note = 'maybe' where id = 50")
    wire.cut_after("down", 0)
    with pytest.raises(psycopg.OperationalError):
        await conn.commit()
    assert conn.broken
    await usable_or_broken(conn)


async def test_a_change_of_principal_that_breaks_off_closes_the_connection(
    wired: Any, wire: Any
) -> None:
    """The wire cut anywhere in the hand-over: the next principal gets no half-clean connection."""
    wall, subjects = wired.wall, ["ann", "bob"]
    anna, bob = (wired.token(subject=subject) for subject in subjects)
    for way in ("up", "down"):
        place = 0
        while True:
            with wall.acting_as(anna):
                conn = await AsyncConnection.connect(wall=wall, autocommit=True)
                await conn.execute("select id from shop.orders where id = 1", prepare=True)
            wire.measure()
            wire.cut_after(way, place)
            with wall.acting_as(bob):
                try:
                    await conn.execute("select id from shop.orders where id = 2")
                except psycopg.OperationalError:
                    assert conn.closed
                else:
                    place = 100_000
            wire.cut()
            await conn.close()
            place += 9
            if place > 400:
                break


async def test_a_tracewall_error_is_no_lost_connection(ground: Any) -> None:
    """A refusal leaves the connection as usable as it was."""
    conn = await connect(ground)
    with pytest.raises(tracewall.Forbidden):
        await conn.execute("select pg_sleep(1)")
    assert not conn.broken
    await usable_or_broken(conn)
