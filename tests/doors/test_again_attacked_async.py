"""Ways around the short way that once were open, each kept shut."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime
from traceback import walk_tb
from typing import Any

import msgspec
import psycopg
import pytest
from psycopg._connection_base import BaseConnection
from psycopg.adapt import Dumper

import tracewall
from tracewall import AsyncConnection, AsyncCursor, Wall, waist

pytestmark = pytest.mark.skipif(
    waist.dealings() not in waist.KNOWN_DEALINGS, reason="with this psycopg all go the long way"
)


LOOKUP = "select run_id, api_key, user_email from traces.runs where ended_at > %s limit 3"
LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)


class Long(AsyncCursor[Any]):
    """A cursor that goes the long way: its class does something in a way of its own."""

    def _check_results(self, results: Any) -> None:
        super()._check_results(results)


class Zero:
    """A zero of a program's own."""


async def connect(guard: Any) -> Any:
    """Connect as an operator, with all statements prepared at once."""
    return await AsyncConnection.connect(
        wall=guard.wall, token=guard.operator, autocommit=True, prepare_threshold=0
    )


async def warm(conn: Any, query: str = LOOKUP, *params: Any) -> Any:
    """Execute a statement so that the next one of its text goes the short way."""
    cursor = await conn.execute(query, params or (LONG_AGO,))
    assert query in conn._tickets
    return cursor


def records(guard: Any) -> list[dict[str, Any]]:
    """Give the records of statements so far."""
    lines = map(msgspec.json.decode, guard.recorded().encode().splitlines())
    return [line for line in lines if line["kind"] in ("intent", "outcome", "statement")]


PERCENT = "select count(*), '%%' from traces.runs"


@pytest.mark.parametrize("params", [(), {}, (1,)])
@pytest.mark.parametrize("turned", [False, True])
async def test_with_and_without_parameters_are_two_texts(
    guard: Any, params: Any, turned: bool
) -> None:
    """A percent sign is psycopg's to read where there are parameters, whatever came before."""
    found = []
    for kind in (Long, AsyncCursor):
        async with await connect(guard) as conn:
            cursor = kind(conn)
            for given in (params, None) if turned else (None, params):
                try:
                    await cursor.execute(PERCENT, given)
                    found.append(await cursor.fetchall())
                except psycopg.ProgrammingError as ex:
                    found.append(str(ex))
    assert found[:2] == found[2:]


class Regclass(Dumper):
    """Dumps the name of a table as one that the server looks up."""

    oid = 2205

    def dump(self, obj: Any) -> Any:
        """Dump a name that nobody knows."""
        return b"nowhere"


async def test_a_ticket_takes_no_type_that_looks_names_up(guard: Any) -> None:
    """What the server would look up in its catalog is refused after harmless parameters too."""
    query = "select kind from traces.steps where step_id = %s"
    async with await connect(guard) as conn:
        cursor = await warm(conn, query, 1)
        cursor.adapters.register_dumper(Zero, Regclass)
        before = len(records(guard))
        with pytest.raises(tracewall.Forbidden, match="looks names up"):
            await cursor.execute(query, (Zero(),))
        assert len(records(guard)) == before


async def test_an_error_has_no_frames_that_hold_results(guard: Any) -> None:
    """What is withheld is not in the frames of the error's traceback, which tools print."""
    query = (
        "select api_key, step_id from traces.steps join traces.runs using (run_id)"
        " where step_id < %s"
    )
    async with await connect(guard) as conn:
        cursor = await warm(conn, query, 3)
        with pytest.raises(tracewall.Withheld) as refused:
            await cursor.execute(query, (10_000,))
        frames = [frame for frame, _ in walk_tb(refused.value.__traceback__)]
        assert frames
        for frame in frames:
            held = [each for value in frame.f_locals.values() for each in _each(value)]
            assert not [each for each in held if hasattr(each, "get_value")]


def _each(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


async def test_preparing_switched_off_holds(guard: Any) -> None:
    """Without a threshold nothing goes as a prepared statement, what is prepared neither."""
    async with await connect(guard) as conn:
        await warm(conn)
        conn.prepare_threshold = None
        # Nobody but the server knows that the name is gone.
        await conn.wait(BaseConnection._exec_command(conn, b"DEALLOCATE ALL"))
        assert len(await (await conn.execute(LOOKUP, (LONG_AGO,))).fetchall()) == 3


class Odd(AsyncCursor[Any]):
    """A cursor that is interrupted while what shows its results is made, as by an alarm."""

    due = 0

    @property
    def connection(self) -> Any:
        """Give the connection, or raise once."""
        self.due -= 1
        if not self.due:
            raise TimeoutError
        return super().connection


async def test_an_alarm_leaves_no_connection_stuck(guard: Any) -> None:
    """Where nobody waits for its answer a statement ends its connection; it is recorded once."""
    ended = []
    for due in (1, 2, 3):
        async with await connect(guard) as conn:
            await warm(conn)
            before = len(records(guard))
            cursor = Odd(conn)
            assert cursor._short
            cursor.due = due
            with suppress(TimeoutError):
                await cursor.execute(LOOKUP, (LONG_AGO,))
            ended.append(conn.closed)
            if not conn.closed:
                assert len(await (await conn.execute(LOOKUP, (LONG_AGO,))).fetchall()) == 3
            told = [line["kind"] for line in records(guard)[before:]]
            assert told.count("intent") == told.count("outcome") > 0 or not told
    assert True in ended


LIFTED = """
[[grants]]
name = "lifted"
groups = ["clear"]
actions = ["select"]
tables = ["traces.*"]
lifts = ["keys", "mail"]
"""


@pytest.mark.parametrize("due", [1, 2, 3])
async def test_no_cursor_shows_by_anothers_judgement(guard: Any, tmp_path: Any, due: int) -> None:
    """An alarm between a judgement and what shows by it leaves nobody what another may see."""
    policy = tmp_path / "tracewall.toml"
    policy.write_text((guard.folder / "tracewall.toml").read_text() + LIFTED)
    (tmp_path / "jwks.json").write_text((guard.folder / "jwks.json").read_text())
    query = "select api_key from traces.runs where api_key is not null and %s > 0 limit 3"
    with Wall.load(policy, password=lambda: guard.store.password) as wall:
        async with await AsyncConnection.connect(
            wall=wall, autocommit=True, prepare_threshold=0
        ) as conn:
            cursor = Odd(conn)
            with wall.acting_as(guard.token("clear")):
                for _ in range(2):
                    raw = await (await cursor.execute(query, (1,))).fetchall()
            with wall.acting_as(guard.issuer.mint("another", ["analysts"], audience="traces")):
                cursor.due = due
                with suppress(TimeoutError):
                    await cursor.execute(query, (1,))
                cursor.due = 0
                for _ in range(2):
                    masked = await (await conn.execute(query, (1,))).fetchall()
                assert query in conn._tickets
                await cursor.execute(query, (1,))
                assert await cursor.fetchall() == masked != raw
