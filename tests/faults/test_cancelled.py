"""Tasks that are cancelled, and programs that are interrupted, at each place where they can be."""

from __future__ import annotations

import asyncio
import dis
import random
import signal
import sys
import threading
import time
import traceback
import types
from collections.abc import Coroutine, Generator
from contextlib import suppress
from pathlib import Path
from typing import Any

import psycopg
import pytest
from faults_doors import DOORS as SYNC_DOORS
from faults_doors_async import DOORS
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from psycopg.transaction import OutOfOrderTransactionNesting as Disorder

import tracewall
from tracewall import AsyncConnection, Connection, Wall
from tracewall.telemetry import Telemetry

PLACES = 6
"""How many places of each door are interrupted."""

TELLING = ("_end", "ended_told", "outcome", "_due")
"""The functions of tracewall that are at work when an outcome is recorded."""

TAKING = ("_intend", "start", "admit", "_admit", "_admit_gen", "_admit_now", "transformer")
"""The functions of tracewall that are at work between an intent and the door it is for."""

SIGNALS = 3
"""How many signals come in each door."""

ROOM = str(Path(tracewall.__file__).parent)


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


class Interruption:
    """Raises KeyboardInterrupt in the block where a signal may: after tracewall's calls of C code.

    The place-th such call, from 0, is interrupted. Elsewhere the interpreter hands no signal
    on in the middle of a function, but at its beginning and in loops.
    """

    def __init__(self, place: int) -> None:
        self.place, self.come, self.where = place, 0, ""
        self.places: list[str] = []
        self.called: Any = None

    def __enter__(self) -> Interruption:
        sys.settrace(self._call)
        return self

    def __exit__(self, *told: object) -> None:
        sys.settrace(None)

    def _call(self, frame: Any, event: str, argument: Any) -> Any:
        self.called = None
        if not frame.f_code.co_filename.startswith(ROOM):
            return None
        frame.f_trace_opcodes = True
        return self._step

    def _step(self, frame: Any, event: str, argument: Any) -> Any:
        if event == "opcode":
            if self.called is frame:
                self._come(frame)
            name = dis.opname[frame.f_code.co_code[frame.f_lasti]]
            self.called = frame if name.startswith("CALL") else None
        return self._step

    def _come(self, frame: Any) -> None:
        if any(each.f_code.co_name == "__del__" for each, _ in traceback.walk_stack(frame)):
            # There an interrupt is told to nobody, and breaks nothing off.
            return
        self.come += 1
        self.where = f"{frame.f_code.co_filename}:{frame.f_lineno}"
        self.places.append(frame.f_code.co_name)
        if self.come > self.place:
            sys.settrace(None)
            raise KeyboardInterrupt


def usable_or_broken(conn: Any, where: str) -> None:
    """Hold a connection to being usable or broken after an interrupt."""
    if conn.lock.locked():
        raise AssertionError(f"the connection is locked for ever after {where}")
    with suppress(psycopg.Error):
        foreign = psycopg.Cursor(conn).execute("select card from shop.orders limit 1")
        assert "CANARY" not in repr(foreign.fetchall()), where
    if not conn.closed:
        conn.rollback()
        rows = conn.execute("select id, card from shop.orders limit 3").fetchall()
        assert (len(rows), "CANARY" in repr(rows)) == (3, False), where


def after_interrupt(conn: Any, where: str) -> None:
    """Hold a connection to being usable or broken; psycopg's own disorder is ended by closing."""
    try:
        usable_or_broken(conn, where)
    except psycopg.ProgrammingError as ex:
        # An interrupt before psycopg's Transaction.__exit__ begins leaves it open, plainly too.
        assert "within a Transaction" in str(ex), (where, ex)
        conn.close()


# Ours and psycopg's objects that an interrupt leaves half made complain when they are collected.
HALF_MADE = (
    pytest.mark.filterwarnings("ignore:.*was deleted while still open:ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
)


@HALF_MADE[0]
@HALF_MADE[1]
@pytest.mark.parametrize("name", SYNC_DOORS)
def test_a_program_may_be_interrupted_anywhere(ground: Any, name: str) -> None:
    """Ctrl-C anywhere in tracewall's code: a usable or broken connection, each end recorded."""
    with Connection.connect(wall=ground.wall, token=ground.token()) as conn:
        SYNC_DOORS[name](conn)
        with Interruption(sys.maxsize) as counted:
            SYNC_DOORS[name](conn)
    chance, conn = random.Random(name), None
    for place in sorted(chance.sample(range(counted.come), min(PLACES, counted.come))):
        if conn is None or conn.closed:
            conn = Connection.connect(wall=ground.wall, token=ground.token())
        found: list[Any] = []
        with Interruption(place) as interruption, suppress(KeyboardInterrupt, Disorder):
            found = SYNC_DOORS[name](conn)
        assert "CANARY" not in repr(found), interruption.where
        after_interrupt(conn, interruption.where)
        if not conn.closed:
            conn.rollback()
    if conn is not None:
        conn.close()


@pytest.mark.parametrize("name", ["execute", "in_transaction", "copied_in", "many"])
def test_an_interrupt_while_the_end_is_told_loses_no_outcome(ground: Any, name: str) -> None:
    """Ctrl-C at any call made while an outcome is recorded: it is recorded all the same."""
    found: list[int] = []
    with Connection.connect(wall=ground.wall, token=ground.token()) as conn:
        SYNC_DOORS[name](conn)
        with Interruption(sys.maxsize) as counted:
            SYNC_DOORS[name](conn)
        found = [at for at, code in enumerate(counted.places) if code in TELLING]
    if not found and sys.version_info >= (3, 12):
        pytest.skip("this Python's tracing does not reach the end of this door")
    assert found
    chance = random.Random(name)
    for place in chance.sample(found, min(2 * PLACES, len(found))):
        conn = Connection.connect(wall=ground.wall, token=ground.token())
        with Interruption(place), suppress(KeyboardInterrupt, Disorder):
            SYNC_DOORS[name](conn)
        conn.close()


class Spans(SpanProcessor):
    """The spans that were started and not ended."""

    def __init__(self) -> None:
        self.open: set[int] = set()
        self.seen = 0

    def on_start(self, span: Any, parent_context: Any = None) -> None:
        self.open.add(span.context.span_id)
        self.seen += 1

    def on_end(self, span: Any) -> None:
        self.open.remove(span.context.span_id)


@HALF_MADE[0]
@HALF_MADE[1]
@pytest.mark.parametrize("name", SYNC_DOORS)
def test_an_interrupt_on_the_way_to_the_door_ends_at_once(ground: Any, name: str) -> None:
    """Ctrl-C between an intent and its door: outcome and span end then, not with the connection."""
    provider, spans = TracerProvider(shutdown_on_exit=False), Spans()
    provider.add_span_processor(spans)
    file, telemetry = ground.folder / "tracewall.toml", Telemetry(provider)
    with Wall.load(file, telemetry=telemetry) as wall:
        ground.wall = wall
        with Connection.connect(wall=wall, token=ground.token()) as conn:
            SYNC_DOORS[name](conn)
            with Interruption(sys.maxsize) as counted:
                SYNC_DOORS[name](conn)
        found = [at for at, code in enumerate(counted.places) if code in TAKING]
        if not found and sys.version_info >= (3, 12):
            pytest.skip("this Python's tracing does not reach the way to this door")
        for place in random.Random(name).sample(found, min(2 * PLACES, len(found))):
            conn = Connection.connect(wall=wall, token=ground.token())
            with Interruption(place) as interruption, suppress(KeyboardInterrupt, Disorder):
                SYNC_DOORS[name](conn)
            assert ground.open_intents() == [], interruption.where
            assert spans.open == set(), interruption.where
            conn.close()
    assert spans.seen > 0


@pytest.mark.skipif(not hasattr(signal, "pthread_kill"), reason="no signal to a thread here")
@HALF_MADE[0]
@HALF_MADE[1]
def test_a_signal_may_come_at_any_moment(ground: Any) -> None:
    """A real SIGINT at a random moment, in each door: the same promises hold."""
    chance, main = random.Random(11), threading.main_thread().ident
    assert main is not None
    for name, door in SYNC_DOORS.items():
        conn = Connection.connect(wall=ground.wall, token=ground.token())
        started = time.perf_counter()
        door(conn)
        lasts = time.perf_counter() - started
        for _ in range(SIGNALS):
            if conn.closed:
                conn = Connection.connect(wall=ground.wall, token=ground.token())
            found: list[Any] = []
            timer = threading.Timer(
                chance.uniform(0, lasts), signal.pthread_kill, (main, signal.SIGINT)
            )
            with suppress(KeyboardInterrupt):
                timer.start()
                with suppress(Disorder):
                    found = door(conn)
                # Where the door was quicker, it comes here.
                timer.join()
                time.sleep(0.01)
            timer.join()
            assert "CANARY" not in repr(found), name
            after_interrupt(conn, name)
        conn.close()
