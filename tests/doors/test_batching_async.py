"""The sets of an executemany that are like the one before leave together, looked at each."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.adapt import Dumper

from tracewall import (
    AsyncClientCursor,
    AsyncConnection,
    AsyncCursor,
    AsyncRawCursor,
    TokenRejected,
    Wall,
    waist,
)
from tracewall.testing import FixedClock, permit_all

pytestmark = pytest.mark.skipif(
    waist.dealings() not in waist.KNOWN_DEALINGS, reason="with this psycopg all go the long way"
)

ECHO = "select %s::text, %s::int8"
READ = "select run_id, api_key, user_email from traces.runs order by run_id limit %s"
WRITE = "update traces.steps set content = %s where step_id = %s"
MIXED = [("a", 1), ("b", 2), (None, 3), ("c", 2**40), ("d", None), ("e", 5), (7, 6), ("f", 7)]


class Long(AsyncCursor[Any]):
    """A cursor that goes psycopg's way: its class does something in a way of its own."""

    def _check_results(self, results: Any) -> None:
        super()._check_results(results)


class Fickle:
    """What is dumped as bytes that can still be changed."""


@pytest.fixture
async def conn(guard: Any) -> Any:
    """A connection of an operator's, of which nothing stays."""
    async with await AsyncConnection.connect(wall=guard.wall, token=guard.operator) as opened:
        yield opened
        await opened.rollback()


async def gathered(cursor: Any) -> list[Any]:
    """Give what each set gave."""
    found = [cursor.rowcount, cursor.statusmessage]
    while True:
        found.append([[column.name for column in cursor.description], cursor.masking])
        found.append(await cursor.fetchall())
        if not cursor.nextset():
            return found


@pytest.mark.parametrize("repeated", [1, 9])
@pytest.mark.parametrize("lazy", [False, True])
@pytest.mark.parametrize("query", [ECHO, READ])
async def test_each_set_gives_what_it_gives_by_itself(
    conn: Any, query: str, lazy: bool, repeated: int
) -> None:
    """Types that change and batches that do not fill a group give what psycopg's way gives."""
    sets: Any = (MIXED if query is ECHO else [(1,), (3,), (0,), (2,)]) * repeated
    found = []
    for kind in (Long, AsyncCursor):
        cursor = kind(conn)
        await cursor.executemany(query, iter(sets) if lazy else sets, returning=True)
        found.append(await gathered(cursor))
    assert found[0] == found[1]
    assert len(found[0]) == 2 + 2 * len(sets)


@pytest.mark.parametrize("piped", [False, True])
async def test_what_is_written_is_counted_and_recorded(conn: Any, guard: Any, piped: bool) -> None:
    """Each set is written once, in its order; the record tells how many there were."""
    sets = [(f"text {at}", at % 40 + 1) for at in range(100)]
    cursor = conn.cursor()
    if piped:
        async with conn.pipeline():
            await cursor.executemany(WRITE, sets)
            other = await conn.execute("select 17")
    else:
        await cursor.executemany(WRITE, sets)
        other = await conn.execute("select 17")
    assert cursor.rowcount == 100
    assert await other.fetchone() == (17,)
    rows = await conn.execute("select step_id, content from traces.steps where step_id <= 40")
    last = {step: f"text {at}" for at, (_, step) in enumerate(sets)}
    assert dict(await rows.fetchall()) == last
    ended = [json.loads(line) for line in guard.recorded().splitlines() if '"sets"' in line]
    assert ended[-1]["ended"]["sets"] == 100


async def test_a_set_that_can_t_be_dumped_ends_it_where_psycopg_does(guard: Any) -> None:
    """The sets before one that psycopg refuses are written, as they are without a guard."""
    sets = [("kept", at) for at in range(1, 24)] + [("too", "many", "values")]
    found = []
    for kind in (Long, AsyncCursor):
        token = guard.operator
        async with await AsyncConnection.connect(wall=guard.wall, token=token) as conn:
            with pytest.raises(psycopg.ProgrammingError):
                await kind(conn).executemany(WRITE, sets)
            rows = await conn.execute("select count(*) from traces.steps where content = 'kept'")
            found.append(await rows.fetchone())
            await conn.rollback()
    assert found == [(23,), (23,)]


async def test_what_leaves_is_what_was_looked_at(conn: Any) -> None:
    """A dumper that changes what it gave before changes nothing that was looked at since."""
    given: list[bytearray] = []

    class Changing(Dumper):
        oid = psycopg.adapters.types["text"].oid

        def dump(self, obj: Any) -> Any:
            for each in given:
                each[:] = b"forged"
            given.append(bytearray(b"honest"))
            return given[-1]

    conn.adapters.register_dumper(Fickle, Changing)
    cursor = conn.cursor()
    await cursor.executemany(ECHO, [(Fickle(), at) for at in range(40)], returning=True)
    told = (await gathered(cursor))[3::2]
    assert len(given) == len(told) == 40
    assert told[1:] == [[("honest", at)] for at in range(1, 40)]


async def test_an_error_of_the_server_s_is_raised(conn: Any) -> None:
    """The set that fails in the middle of a group fails the batch; the connection goes on."""
    sets = [(str(at), at) for at in range(40)]
    with pytest.raises(psycopg.errors.DivisionByZero):
        await conn.cursor().executemany("select %s::text, 1 / (%s - 20)", sets)
    await conn.rollback()
    assert await (await conn.execute("select 1")).fetchone() == (1,)


async def test_sets_that_come_slowly_are_not_held_back(guard: Any) -> None:
    """What a generator gives leaves before it is asked for more."""
    locks = "select objid::int8 from pg_locks where locktype = 'advisory' and classid = 77"
    took: list[bool] = []

    def slowly() -> Iterator[tuple[int, int]]:
        for at in range(6):
            took.append(at == 0 or reached(at - 1))
            yield 77, at

    def reached(at: int) -> bool:
        return any((at,) in guard.raw(locks) for _ in range(200))

    with permit_all() as wall, closing(slowly()) as sets:
        async with await AsyncConnection.connect(guard.store.admin_dsn, wall=wall) as conn:
            await conn.cursor().executemany("select pg_advisory_xact_lock(%s, %s)", sets)
    assert took == [True] * 6


@pytest.mark.parametrize("kind", [AsyncCursor, AsyncRawCursor, AsyncClientCursor, Long])
async def test_a_token_that_expires_sends_no_more_sets(
    guard: Any, tmp_path: Path, kind: Any
) -> None:
    """Who may act no more when sets come slowly has those that left before, and no others."""
    clock, asked = FixedClock(time.time()), []
    for name in ("tracewall.toml", "jwks.json"):
        (tmp_path / name).write_text((guard.folder / name).read_text())

    def slowly() -> Iterator[tuple[int]]:
        for at in range(60):
            asked.append(at)
            if at == 40:
                clock.advance(7200)
            yield (at,)

    path, token = tmp_path / "tracewall.toml", guard.operator
    with Wall.load(path, password=lambda: guard.store.password, clock=clock) as wall:
        async with await AsyncConnection.connect(wall=wall, token=token) as conn:
            mark = "$1" if kind is AsyncRawCursor else "%s"
            with pytest.raises(TokenRejected):
                await kind(conn).executemany(f"select {mark}::int4", slowly())
        wall.audit.flush()
        told = "".join(each.read_text() for each in (tmp_path / "audit").glob("*.jsonl"))
    assert asked == [*range(41)]
    assert '"token_rejected"' in told
    if kind is not AsyncClientCursor:
        assert [
            json.loads(line)["ended"]["sets"] for line in told.splitlines() if '"sets"' in line
        ] == [40]
