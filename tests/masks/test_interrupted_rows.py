"""Rows that are being masked when something comes in between: no value is told by it."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest
from psycopg.adapt import Loader

import tracewall
from tracewall.errors import Withheld

SETUP = """
    CREATE TABLE zoo.late (mail text, key text, card varchar, note text, other text, id int);
    INSERT INTO zoo.late SELECT 'zqk' || i || '@e.org', 'zqkjxv' || i, 'zqkjxvé' || i,
        'write to zqk@example.com', 'or to zqk@example.org', i FROM generate_series(1, 150) i;
"""
RULES = """
[[masks]]
name = "mail"
columns = ["zoo.late.mail"]
method = "email"
[[masks]]
name = "key"
columns = ["zoo.late.key"]
method = "hash"
[[masks]]
name = "card"
columns = ["zoo.late.card"]
method = "partial"
keep_last = 2
[[scans]]
name = "notes"
columns = ["zoo.late.note", "zoo.late.other"]
detectors = ["email", "aws"]
across = true
"""
SQL = "SELECT mail, key, card, note, other, id FROM zoo.late ORDER BY id LIMIT {}"


@pytest.fixture(scope="module")
def guarded(zoo: Any) -> Callable[[], Any]:
    """Give guarded connections to rows under masks and a scan."""
    zoo.plain.execute(SETUP)
    wall = zoo.load(RULES, mask_key=b"k" * 32)
    return lambda: zoo.connect(wall)


class Stopped(BaseException):
    """What a signal's handler may raise anywhere, as SystemExit or KeyboardInterrupt."""


class Late(Exception):
    """What the handler of an alarm may raise anywhere, as TimeoutError."""


def stopped_at(
    line: int, work: Callable[[], Any], kind: type[BaseException] = Stopped
) -> BaseException | None:
    """Interrupt work at its `line`-th line within tracewall; None: it has fewer."""
    passed = 0

    def trace(frame: Any, event: str, _arg: Any) -> Any:
        nonlocal passed
        if not frame.f_globals.get("__name__", "").startswith("tracewall."):
            return None
        if event == "line":
            passed += 1
            if passed == line:
                raise kind
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        work()
    except (Stopped, Late, Withheld) as ex:
        return ex
    finally:
        sys.settrace(before)
    return None if passed < line else AssertionError("nobody was told")


def held(error: BaseException | None) -> Iterator[str]:
    """Give what an error and the frames that it went through hold of texts and rows."""
    while error is not None:
        yield repr(error)
        trace = error.__traceback__
        while trace is not None:
            for value in trace.tb_frame.f_locals.values():
                if isinstance(value, str | bytes | memoryview | list | tuple | dict):
                    yield repr(bytes(value) if isinstance(value, memoryview) else value)
            trace = trace.tb_next
        error = error.__cause__ or error.__context__


def raw(error: BaseException | None) -> bool:
    """Tell whether a value that is masked is held by an error."""
    return any("zqk" in each for each in held(error))


@pytest.mark.parametrize("rows, step", [(1, 1), (4, 3), (20, 7)])
def test_an_interrupted_fetch_tells_no_value(guarded: Any, rows: int, step: int) -> None:
    """Wherever it comes, what reports errors with the variables of their frames has none."""
    cursor = guarded().execute(SQL.format(rows))

    def fetch() -> None:
        cursor.scroll(0, mode="absolute")
        assert rows == len(cursor.fetchall() if rows > 1 else [cursor.fetchone()])

    for line in range(1, 700, step):
        error = stopped_at(line, fetch)
        if error is None:
            break
        assert not raw(error), line
    assert line > 30
    fetch()


@pytest.mark.parametrize("rows, step", [(1, 1), (4, 3), (20, 7)])
def test_an_alarm_is_not_taken_for_a_value(guarded: Any, rows: int, step: int) -> None:
    """An ordinary exception out of a signal's handler ends the fetch, wherever it comes."""
    cursor = guarded().execute(SQL.format(rows))

    def fetch() -> None:
        cursor.scroll(0, mode="absolute")
        assert rows == len(cursor.fetchall() if rows > 1 else [cursor.fetchone()])

    for line in range(1, 700, step):
        error = stopped_at(line, fetch, Late)
        if error is None:
            break
        assert isinstance(error, Late | Withheld), line
        assert not raw(error), line
    assert line > 30
    fetch()


def test_an_interrupted_copy_tells_no_value(guarded: Any) -> None:
    """Rows on their way through COPY are as little in the frames of an interrupt."""
    for line in range(1, 400, 4):
        conn = guarded()
        copying = conn.cursor().copy(f"COPY ({SQL.format(1)}) TO STDOUT")
        rows = iter(copying.__enter__())
        error = stopped_at(line, lambda rows=rows: next(rows))  # type: ignore[misc]
        assert not raw(error), line
        conn.close()
        if error is None:
            break
    assert line > 50


@pytest.mark.parametrize("kind", [psycopg.InterfaceError, KeyboardInterrupt, ValueError])
def test_a_loader_that_raises_takes_no_value_along(guarded: Any, kind: Any) -> None:
    """An error out of a caller's loader, in the middle of a batch, comes without the batch."""

    class Raising(Loader):
        def load(self, data: Any) -> int:
            if bytes(data) == b"99":
                raise kind
            return int(bytes(data))

    cursor = guarded().cursor()
    cursor.adapters.register_loader("int4", Raising)
    cursor.execute(SQL.format(150))
    for fetch in (cursor.fetchall, lambda: list(cursor)):
        with pytest.raises(kind) as caught:
            fetch()
        inside = caught.value.__traceback__
        assert inside is not None
        caught.value.__traceback__ = inside.tb_next
        assert not raw(caught.value)


def test_a_result_may_not_be_exchanged_while_its_rows_are_loaded(zoo: Any) -> None:
    """A loader of the caller's that executes again gets no row that was loaded till then."""
    try:
        zoo.plain.execute("CREATE EXTENSION IF NOT EXISTS citext SCHEMA public")
    except psycopg.errors.FeatureNotSupported:
        pytest.skip("the server has no citext")
    zoo.plain.execute(
        "CREATE TABLE zoo.turns AS SELECT 'write to zqk@example.com'::public.citext AS note,"
        " i AS id FROM generate_series(1, 300) i"
    )
    rule = '\n[[scans]]\nname = "turns"\ncolumns = ["zoo.turns.note"]\ndetectors = ["email"]\n'
    cursor = zoo.guarded(rule).cursor()
    sql, left = "SELECT note, id FROM zoo.turns ORDER BY id", [5]

    class Turning(Loader):
        def load(self, data: Any) -> int:
            left[0] -= 1
            if not left[0]:
                # In binary such a column has no value to rewrite.
                cursor.execute(sql, binary=True)
            return int.from_bytes(bytes(data), "big")

    cursor.adapters.register_loader("int4", Turning)
    cursor.execute(sql)
    shown: Any = None
    try:
        shown = cursor.fetchall()
    except (Withheld, psycopg.Error) as ex:
        shown = repr(ex)
    assert left[0] <= 0
    assert "zqk" not in repr(shown)
    left[0] = 0
    assert cursor.execute(sql).fetchone()[0] == "write to [email]"


def test_what_a_row_factory_is_given_is_all_that_there_is(guarded: Any) -> None:
    """Nothing that refers to a row refers to what it was made of."""
    import gc

    found: list[Any] = []

    def nosy(_cursor: Any) -> Any:
        def make(values: Any) -> Any:
            found.extend(
                each
                for each in gc.get_objects()
                if type(each) in (tuple, list)
                and len(each) < 200
                and any(type(item) is str and re.fullmatch(r"zqk\d+@e.org", item) for item in each)
            )
            return values

        return make

    conn: tracewall.Connection[Any] = guarded()
    cursor = conn.cursor(row_factory=nosy).execute(SQL.format(12))
    assert len(cursor.fetchall()) == 12
    assert not found
