"""Programs that are interrupted, at each place where they can be."""

from __future__ import annotations

import dis
import random
import signal
import sys
import threading
import time
import traceback
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import psycopg
import pytest
from faults_doors import DOORS
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from psycopg.transaction import OutOfOrderTransactionNesting as Disorder

import tracewall
from tracewall import Connection, Wall
from tracewall.telemetry import Telemetry

PLACES = 6
"""How many places of each door are interrupted."""

ALARMS = 6
"""How many places of each door an alarm comes at."""

SENDING = ("pgconn", "inside", "_execute_gen", "_send_gen", "_exec_command")
"""The functions of tracewall that are at work between sending and waiting."""

TELLING = ("_end", "ended_told", "outcome", "_due", "finish")
"""The functions of tracewall that are at work when an outcome is recorded."""

ENDING = ("_end", "finish", "_failure")
"""The functions of tracewall that are at work when a span is ended."""

TAKING = "_intend start admit again _admit _admit_gen _admit_now transformer".split()
"""The functions of tracewall that are at work between an intent and the door it is for."""

QUEUEING = "take _begin _queued _make_sure _send_prepare _send_query_prepared _execute_send".split()
"""The functions of tracewall that put a set of a batch into a pipeline's queue."""

MOST = 30
"""How many places of one kind are interrupted in a door."""

SIGNALS = 3
"""How many signals come in each door."""

ROOM = str(Path(tracewall.__file__).parent)


class Interruption:
    """Raises KeyboardInterrupt where a signal may: at a function's entry and after a call.

    The place-th such place, from 0, is interrupted, of those in functions of the names `within`
    (empty: all). Elsewhere the interpreter hands no signal on but in loops.
    """

    error: type[BaseException] = KeyboardInterrupt

    def __init__(self, place: int, within: Sequence[str] = ()) -> None:
        self.place, self.within, self.come, self.where = place, within, 0, ""
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
        self._come(frame)
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
        if self.within and frame.f_code.co_name not in self.within:
            return
        if any(each.f_code.co_name == "__del__" for each, _ in traceback.walk_stack(frame)):
            # There an interrupt is told to nobody, and breaks nothing off.
            return
        self.come += 1
        self.where = f"{frame.f_code.co_filename}:{frame.f_lineno}"
        if self.come > self.place:
            sys.settrace(None)
            raise self.error


class Alarm(Interruption):
    """Raises what a program's own handler of a signal may raise."""

    error = TimeoutError


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


def places(ground: Any, name: str, within: Sequence[str]) -> list[int]:
    """Choose places of a door, in functions of these names."""
    with Connection.connect(wall=ground.wall, token=ground.token()) as conn:
        DOORS[name](conn)
        # A stream that is left may be cancelled, and its transaction with it.
        conn.rollback()
        with Interruption(sys.maxsize, within) as counted:
            DOORS[name](conn)
    if not counted.come and sys.version_info >= (3, 12):
        pytest.skip("this Python's tracing does not reach these functions")
    assert counted.come
    return random.Random(name).sample(range(counted.come), min(MOST, counted.come))


@HALF_MADE[0]
@HALF_MADE[1]
@pytest.mark.parametrize("name", DOORS)
def test_a_program_may_be_interrupted_anywhere(ground: Any, name: str) -> None:
    """Ctrl-C anywhere in tracewall's code: a usable or broken connection, each end recorded."""
    with Connection.connect(wall=ground.wall, token=ground.token()) as conn:
        DOORS[name](conn)
        conn.rollback()
        with Interruption(sys.maxsize) as counted:
            DOORS[name](conn)
    chance, conn = random.Random(name), None
    for place in sorted(chance.sample(range(counted.come), min(PLACES, counted.come))):
        if conn is None or conn.closed:
            conn = Connection.connect(wall=ground.wall, token=ground.token())
        found: list[Any] = []
        with Interruption(place) as interruption, suppress(KeyboardInterrupt, Disorder):
            found = DOORS[name](conn)
        assert "CANARY" not in repr(found), interruption.where
        after_interrupt(conn, interruption.where)
        if not conn.closed:
            conn.rollback()
    if conn is not None:
        conn.close()


@HALF_MADE[0]
@HALF_MADE[1]
@pytest.mark.parametrize("name", DOORS)
def test_an_alarm_anywhere_leaves_no_connection_stuck(ground: Any, name: str) -> None:
    """What a handler raises anywhere in tracewall's code, too, leaves it usable or broken."""
    with Connection.connect(wall=ground.wall, token=ground.token()) as conn:
        DOORS[name](conn)
        conn.rollback()
        with Alarm(sys.maxsize, SENDING) as counted:
            DOORS[name](conn)
    assert counted.come
    for place in random.Random(name).sample(range(counted.come), min(ALARMS, counted.come)):
        conn = Connection.connect(wall=ground.wall, token=ground.token())
        DOORS[name](conn)
        conn.rollback()
        found: list[Any] = []
        with Alarm(place, SENDING) as alarm, suppress(TimeoutError, psycopg.Error):
            found = DOORS[name](conn)
        assert "CANARY" not in repr(found), alarm.where
        after_interrupt(conn, alarm.where)
        conn.close()


@pytest.mark.parametrize("name", ["execute", "in_transaction", "copied_in", "many"])
def test_an_interrupt_while_the_end_is_told_loses_no_outcome(ground: Any, name: str) -> None:
    """Ctrl-C at any call made while an outcome is recorded: it is recorded all the same."""
    for place in places(ground, name, TELLING):
        conn = Connection.connect(wall=ground.wall, token=ground.token())
        with Interruption(place, TELLING), suppress(KeyboardInterrupt, Disorder):
            DOORS[name](conn)
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
@pytest.mark.parametrize("name", DOORS)
def test_an_interrupt_on_the_way_to_the_door_ends_at_once(ground: Any, name: str) -> None:
    """Ctrl-C between an intent and its door: outcome and span end then, not with the connection."""
    provider, spans = TracerProvider(shutdown_on_exit=False), Spans()
    provider.add_span_processor(spans)
    file, telemetry = ground.folder / "tracewall.toml", Telemetry(provider)
    with Wall.load(file, telemetry=telemetry) as wall:
        ground.wall = wall
        for place in places(ground, name, TAKING):
            conn = Connection.connect(wall=wall, token=ground.token())
            with Interruption(place, TAKING) as interruption, suppress(KeyboardInterrupt, Disorder):
                DOORS[name](conn)
            assert ground.open_intents() == [], interruption.where
            assert spans.open == set(), interruption.where
            conn.close()
    assert spans.seen > 0


@HALF_MADE[0]
@HALF_MADE[1]
@pytest.mark.parametrize("name", ["execute", "in_transaction", "streamed", "many"])
def test_an_interrupt_while_a_span_is_ended_leaves_none_open(ground: Any, name: str) -> None:
    """Ctrl-C at any place where telemetry is told of an end: the connection's end ends the span."""
    provider, spans = TracerProvider(shutdown_on_exit=False), Spans()
    provider.add_span_processor(spans)
    file, telemetry = ground.folder / "tracewall.toml", Telemetry(provider)
    with Wall.load(file, telemetry=telemetry) as wall:
        ground.wall = wall
        for place in places(ground, name, ENDING):
            conn = Connection.connect(wall=wall, token=ground.token())
            with Interruption(place, ENDING) as interruption, suppress(KeyboardInterrupt, Disorder):
                DOORS[name](conn)
            conn.close()
            assert spans.open == set(), interruption.where
    assert spans.seen > 0


@pytest.mark.skipif(not hasattr(signal, "pthread_kill"), reason="no signal to a thread here")
@HALF_MADE[0]
@HALF_MADE[1]
def test_a_signal_may_come_at_any_moment(ground: Any) -> None:
    """A real SIGINT at a random moment, in each door: the same promises hold."""
    chance, main = random.Random(11), threading.main_thread().ident
    assert main is not None
    for name, door in DOORS.items():
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


def in_pipeline(conn: Any, kind: Any, returning: bool, alarm: Interruption) -> list[Any]:
    """Send a batch under an alarm, and another cursor's statement behind it."""
    mark = "$1" if kind is tracewall.RawCursor else "%s"
    query = f"select (select card from shop.orders o where o.id = {mark})"
    with conn.pipeline():
        batch = kind(conn)
        with suppress(TimeoutError), alarm:
            batch.executemany(query, [(1,)] * 18 + [(2**33,), (3,)], returning=returning)
        return list(conn.execute("select 'clear'").fetchall())


@HALF_MADE[0]
@HALF_MADE[1]
@pytest.mark.parametrize("returning", [False, True])
@pytest.mark.parametrize("kind", [tracewall.Cursor, tracewall.RawCursor, tracewall.ClientCursor])
def test_an_alarm_gives_no_cursor_the_results_of_another(
    ground: Any, kind: Any, returning: bool
) -> None:
    """Where a set of a batch is half queued, its connection is broken; elsewhere it goes on."""
    with Connection.connect(wall=ground.wall, token=ground.token()) as conn:
        in_pipeline(conn, kind, returning, Alarm(sys.maxsize))
        counted = Alarm(sys.maxsize, QUEUEING)
        in_pipeline(conn, kind, returning, counted)
    if not counted.come and sys.version_info >= (3, 12):
        pytest.skip("this Python's tracing does not reach these functions")
    for place in random.Random(returning).sample(range(counted.come), min(24, counted.come)):
        conn = Connection.connect(wall=ground.wall, token=ground.token())
        alarm = Alarm(place, QUEUEING)
        try:
            assert in_pipeline(conn, kind, returning, alarm) == [("clear",)], alarm.where
        except psycopg.OperationalError:
            assert conn.closed, alarm.where
        usable_or_broken(conn, alarm.where)
        conn.close()
