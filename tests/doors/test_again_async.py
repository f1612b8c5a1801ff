"""What was sent before goes a short way, on which nothing is looked at less."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import msgspec
import psycopg
import pytest
from psycopg._connection_base import BaseConnection
from psycopg.adapt import Dumper
from psycopg.rows import dict_row

import tracewall
from tracewall import AsyncConnection, AsyncCursor, Wall, waist
from tracewall.testing import FixedClock, TokenIssuer

pytestmark = pytest.mark.skipif(
    waist.dealings() not in waist.KNOWN_DEALINGS, reason="with this psycopg all go the long way"
)

LOOKUP = "select run_id, api_key, user_email from traces.runs where ended_at > %s limit 3"
STEPS = "select step_id, kind, content from traces.steps where step_id > %s order by 1 limit 3"
UPDATE = "update traces.steps set tokens = tokens where step_id < %s"
LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)


class Long(AsyncCursor[Any]):
    """A cursor that goes the long way: its class does something in a way of its own."""

    def _check_results(self, results: Any) -> None:
        super()._check_results(results)


async def connect(guard: Any, *groups: str, **options: Any) -> Any:
    """Connect as somebody, with all statements prepared at once."""
    options = {"wall": guard.wall, "autocommit": True, "prepare_threshold": 0} | options
    token = guard.token(*(groups or ("operators",)))
    return await AsyncConnection.connect(**{"token": token, **options})


async def warm(conn: Any, query: str = LOOKUP, *params: Any) -> Any:
    """Execute a statement so that the next one of its text goes the short way."""
    cursor = await conn.execute(query, params or (LONG_AGO,))
    assert query in conn._tickets
    return cursor


def records(guard: Any) -> list[dict[str, Any]]:
    """Give the records of statements so far."""
    lines = map(msgspec.json.decode, guard.recorded().encode().splitlines())
    return [line for line in lines if line["kind"] in ("intent", "outcome", "statement")]


async def shown(cursor: Any) -> list[Any]:
    """Give all that a cursor shows of its result."""
    columns = [column.name for column in cursor.description or ()]
    masked = cursor.masking
    rows = await cursor.fetchall() if columns else []
    return [cursor.rowcount, cursor.statusmessage, cursor.rownumber, columns, masked, rows]


@pytest.mark.parametrize("autocommit", [True, False])
@pytest.mark.parametrize(
    ("query", "params"),
    [
        (LOOKUP, (LONG_AGO,)),
        (LOOKUP, [LONG_AGO]),
        (STEPS, (3,)),
        ("select kind from traces.steps where step_id > %(at)s limit 2", {"at": 4, "more": 5}),
        ("select count(*), '%' from traces.runs", None),
        ("select count(*), '%%' from traces.runs", ()),
        (UPDATE, (3,)),
        ("select 1 from traces.steps where step_id = %b", (-1,)),
    ],
)
async def test_it_shows_what_the_long_way_shows(
    guard: Any, query: str, params: Any, autocommit: bool
) -> None:
    """Rows, counts, columns and masks are those of the long way, and so is the record."""
    found, told = [], []
    for kind in (Long, AsyncCursor):
        before = len(records(guard))
        async with await connect(guard, autocommit=autocommit) as conn:
            for factory in (psycopg.rows.tuple_row, dict_row):
                cursor = kind(conn, row_factory=factory)
                for _ in range(3):
                    await cursor.execute(query, params)
                    found.append(await shown(cursor))
            assert bool(conn._tickets) is (kind is AsyncCursor)
            await conn.rollback()
        told.append([_plain(line) for line in records(guard)[before:]])
    assert found[:6] == found[6:]
    assert told[0] == told[1]
    assert len(told[0]) >= 12


def _plain(line: dict[str, Any]) -> Any:
    what = line.get("what") or {}
    ended = {key: value for key, value in line.get("ended", {}).items() if key != "seconds"}
    return line["kind"], what.get("sha256"), line.get("transaction"), ended


@pytest.mark.parametrize("query", [UPDATE, LOOKUP])
async def test_a_ticket_is_nobody_elses(guard: Any, query: str) -> None:
    """What one principal may do is judged anew for the next, and recorded as theirs."""
    tokens = {group: guard.token(group) for group in ("operators", "analysts")}
    async with await AsyncConnection.connect(
        wall=guard.wall, autocommit=True, prepare_threshold=0
    ) as conn:
        with guard.wall.acting_as(tokens["operators"]):
            await warm(conn, query, 3 if query is UPDATE else LONG_AGO)
        before = len(records(guard))
        with guard.wall.acting_as(tokens["analysts"]):
            if query is UPDATE:
                with pytest.raises(tracewall.Forbidden):
                    await conn.execute(query, (3,))
            else:
                await conn.execute(query, (LONG_AGO,))
        with pytest.raises(tracewall.TokenRejected):
            await conn.execute(query, (3,))
        with guard.wall.acting_as(guard.issuer.mint("another", ["analysts"], audience="traces")):
            await conn.execute(LOOKUP, (LONG_AGO,))
        told = [line["who"].get("subject") for line in records(guard)[before:] if "who" in line]
    assert told[-1] == "another"
    assert "another" not in told[:-1]


async def test_a_token_expires_between_two(guard: Any, tmp_path: Any) -> None:
    """A ticket outlives no token: the next statement is refused, and is not sent."""
    clock = FixedClock()
    issuer = TokenIssuer("https://idp.test", clock=clock)
    issuer.write_jwks(tmp_path / "jwks.json")
    policy = tmp_path / "tracewall.toml"
    policy.write_text((guard.folder / "tracewall.toml").read_text())
    revoked: list[Any] = []
    with Wall.load(
        policy, password=lambda: guard.store.password, clock=clock, revoked=lambda _: bool(revoked)
    ) as wall:
        token = issuer.mint("someone", ["analysts"], audience="traces", lifetime=60)
        async with await connect(guard, wall=wall, token=token) as conn:
            await warm(conn)
            await conn.execute(LOOKUP, (LONG_AGO,))
            revoked.append(True)
            with pytest.raises(tracewall.TokenRejected, match="revoked"):
                await conn.execute(LOOKUP, (LONG_AGO,))
            revoked.clear()
            await warm(conn)
            clock.advance(600)
            with pytest.raises(tracewall.TokenRejected, match="expired"):
                await conn.execute(LOOKUP, (LONG_AGO,))
            clock.advance(-600)
            await conn.execute(LOOKUP, (LONG_AGO,))


async def test_a_swapped_column_is_withheld(guard: Any) -> None:
    """A result is held to the judgement each time: columns that come from elsewhere don't show."""
    guard.raw("create table traces.swapped (id int, note text, other text)")
    guard.raw("insert into traces.swapped values (1, 'harmless', 'CANARY')")
    guard.raw("grant select on traces.swapped to public")
    try:
        async with await connect(guard) as conn:
            query = "select note from traces.swapped where id = %s"
            await warm(conn, query, 1)
            guard.raw("alter table traces.swapped rename note to was")
            guard.raw("alter table traces.swapped rename other to note")
            with pytest.raises(tracewall.Withheld) as refused:
                await conn.execute(query, (1,))
            assert "CANARY" not in str(refused.value)
            assert await (await conn.execute(query, (1,))).fetchall() == [("CANARY",)]
    finally:
        guard.raw("drop table traces.swapped")


@pytest.mark.parametrize(
    "command", ["SET standard_conforming_strings = off", "SET client_encoding = 'LATIN1'"]
)
async def test_a_lost_pin_stops_it(guard: Any, command: str) -> None:
    """Where the server would read text otherwise than the judge, nothing is sent again."""
    async with await connect(guard) as conn:
        await warm(conn)
        await conn.wait(BaseConnection._exec_command(conn, command.encode()))
        with pytest.raises(tracewall.Forbidden, match="pinned"):
            await conn.execute(LOOKUP, (LONG_AGO,))


async def test_what_is_asked_for_goes_the_long_way(guard: Any) -> None:
    """Rows that a caller limits by a word are limited for a statement with a ticket too."""
    async with await connect(guard) as conn:
        await warm(conn)
        with pytest.raises(tracewall.Withheld):
            await conn.execute(LOOKUP, (LONG_AGO,), rows=1)
        with tracewall.asking(rows=1), pytest.raises(tracewall.Withheld):
            await conn.execute(LOOKUP, (LONG_AGO,))
        assert len(await (await conn.execute(LOOKUP, (LONG_AGO,))).fetchall()) == 3


async def test_limits_hold(guard: Any) -> None:
    """More rows than the policy lets through are withheld, though fewer came the last time."""
    query = "select step_id from traces.steps where step_id < %s"
    async with await connect(guard) as conn:
        cursor = await warm(conn, query, 3)
        with pytest.raises(tracewall.Withheld, match="more than 150 rows"):
            await cursor.execute(query, (10_000,))
        assert cursor.pgresult is None
        with pytest.raises(psycopg.ProgrammingError):
            await cursor.fetchone()


async def test_marks_are_looked_for_each_time(guard: Any) -> None:
    """A masked value is not written back by a statement that was sent before."""
    query = "update traces.steps set content = %s where step_id = -1"
    async with await connect(guard) as conn:
        rows = await (await conn.execute("select api_key from traces.runs limit 1")).fetchall()
        assert rows
        for _ in range(3):
            await conn.execute(query, ("harmless",))
        assert query not in conn._tickets


class Zero:
    """A zero of a program's own."""


class Counting(Dumper):
    """A dumper of a program's, which counts and may do something besides."""

    oid = 23
    calls = 0
    doing: Any = staticmethod(lambda: None)

    def dump(self, obj: Any) -> Any:
        """Dump a zero."""
        type(self).calls += 1
        self.doing()
        return b"0"


async def test_parameters_are_dumped_once(guard: Any) -> None:
    """A statement that has to go the long way after all is not rendered a second time."""

    class Dumping(Counting):
        pass

    async with await connect(guard) as conn:
        cursor = conn.cursor()
        cursor.adapters.register_dumper(Zero, Dumping)
        query = "select kind from traces.steps where tokens >= %s limit 1"
        await cursor.execute(query, (Zero(),))
        assert query in conn._tickets
        for clear in (False, True):
            Dumping.calls = 0
            if clear:
                conn._prepared._names.clear()
            await cursor.execute(query, (Zero(),))
            assert Dumping.calls == 1
            assert len(await cursor.fetchall()) == 1


async def test_a_dumper_may_do_anything(guard: Any) -> None:
    """Who acts, and whether the cursor is open, is looked at after the parameters are dumped."""
    async with await AsyncConnection.connect(
        wall=guard.wall, autocommit=True, prepare_threshold=0
    ) as conn:
        left = guard.wall.acting_as(guard.token("operators"))

        class Leaving(Counting):
            pass

        class Closing(Counting):
            pass

        left.__enter__()
        for kind, error in ((Leaving, tracewall.TokenRejected), (Closing, psycopg.InterfaceError)):
            cursor = conn.cursor()
            cursor.adapters.register_dumper(Zero, kind)
            query = f"select kind, '{kind.__name__}' from traces.steps where tokens >= %s limit 1"
            await cursor.execute(query, (Zero(),))
            assert query in conn._tickets
            if kind is Leaving:
                kind.doing = staticmethod(lambda: left.__exit__(None, None, None))
            else:
                kind.doing = staticmethod(cursor._close)
            before = len(records(guard))
            with pytest.raises(error):
                await cursor.execute(query, (Zero(),))
            assert len(records(guard)) == before
            if kind is Leaving:
                left.__enter__()
        left.__exit__(None, None, None)


async def test_a_loader_registered_meanwhile_loads_what_is_clear(guard: Any) -> None:
    """A loader of the caller's is asked for clear columns of the next result only."""
    seen = []

    class Seeing(psycopg.types.string.TextLoader):
        def load(self, data: Any) -> Any:
            seen.append(bytes(data))
            return super().load(data)

    query = "select api_key, model from traces.runs where api_key is not null and %s > 0 limit 2"
    async with await connect(guard) as conn:
        cursor = conn.cursor()
        await cursor.execute(query, (1,))
        for name in ("text", "varchar"):
            cursor.adapters.register_loader(name, Seeing)
        await cursor.execute(query, (1,))
        rows = await cursor.fetchall()
        assert [model.encode() for _, model in rows] == seen


async def test_an_error_leaves_it_usable(guard: Any) -> None:
    """An error of the server is recorded as one, and the next statement goes on."""
    query = "select 1 / (tokens - tokens + %s) from traces.steps limit 1"
    async with await connect(guard) as conn:
        cursor = await warm(conn, query, 1)
        for _ in range(2):
            with pytest.raises(psycopg.errors.DivisionByZero):
                await cursor.execute(query, (0,))
            await cursor.execute(query, (1,))
            assert await cursor.fetchall() == [(1,)]
        ended = [line["ended"] for line in records(guard)[-5:] if "ended" in line]
        assert ("error", "22012") in [(each["status"], each.get("sqlstate")) for each in ended]


async def test_who_has_nothing_prepared_goes_the_long_way(guard: Any) -> None:
    """Without prepared statements, in a pipeline and by other cursors the long way is taken."""
    async with await connect(guard, prepare_threshold=None) as conn:
        for _ in range(3):
            await conn.execute(LOOKUP, (LONG_AGO,))
        assert not conn._tickets
    async with await connect(guard) as conn:
        await warm(conn)
        async with conn.pipeline():
            cursor = await conn.execute(LOOKUP, (LONG_AGO,))
            assert len(await cursor.fetchall()) == 3
        for kind in (tracewall.AsyncRawCursor, tracewall.AsyncClientCursor):
            assert not kind._short
        assert not Long._short and AsyncCursor._short
