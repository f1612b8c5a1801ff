"""The fake backend: plain psycopg and the guard talk to it as to a server."""

from __future__ import annotations

import asyncio
import datetime
import decimal
import re
import threading
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import errors as e

import tracewall
from tracewall.testing import FakeBackend, FixedClock, TokenIssuer

TABLES = {
    "shop.orders": {"id": "int8", "card": "text", "total": "numeric", "placed": "timestamptz"},
    "shop.customers": {"id": "int8", "email": "text"},
}
POLICY = """
version = 1
[database]
conninfo = "{conninfo}"
[audit]
directory = "audit"
[[issuers]]
name = "test"
issuer = "https://issuer.test"
audience = "shop"
keys = "jwks.json"
[[grants]]
name = "read"
groups = ["analysts"]
actions = ["select", "insert"]
tables = ["shop.orders"]
[[masks]]
name = "cards"
columns = ["shop.orders.card"]
method = "partial"
keep_last = 4
"""
CARD = "4111111111111111"


@pytest.fixture
def backend() -> Iterator[FakeBackend]:
    """A backend with two tables."""
    with FakeBackend(TABLES) as backend:
        yield backend


@pytest.fixture
def conn(backend: FakeBackend) -> Iterator[psycopg.Connection[Any]]:
    """A plain connection to it."""
    with psycopg.connect(backend.conninfo, autocommit=True) as conn:
        yield conn


@pytest.fixture
def guarded(backend: FakeBackend, tmp_path: Path) -> Iterator[tracewall.Connection[Any]]:
    """A guarded connection to it, of an analyst."""
    issuer = TokenIssuer()
    issuer.write_jwks(tmp_path / "jwks.json")
    (tmp_path / "tracewall.toml").write_text(POLICY.format(conninfo=backend.conninfo))
    token = issuer.mint("ana", ["analysts"], audience="shop")
    with tracewall.Wall.load(tmp_path / "tracewall.toml") as wall:
        with tracewall.connect(wall=wall, token=token) as conn:
            yield conn


def test_rows_come_back_as_scripted(backend: FakeBackend, conn: Any) -> None:
    """Scripted rows arrive with the names and types of the tables' columns."""
    placed = datetime.datetime(2026, 1, 2, tzinfo=datetime.UTC)
    row = (1, CARD, decimal.Decimal("1.50"), placed)
    backend.on("select * from shop.orders").rows([row])
    for binary in (False, True):
        cursor = conn.cursor(binary=binary)
        assert cursor.execute("select * from shop.orders").fetchall() == [row]
        assert [column.name for column in cursor.description] == ["id", "card", "total", "placed"]


@pytest.mark.parametrize("binary", [False, True])
@pytest.mark.parametrize(
    "value",
    [
        None,
        True,
        7,
        -1.5,
        decimal.Decimal("12.345"),
        "text, 'quoted'",
        b"\0\1",
        datetime.date(2026, 1, 2),
        datetime.time(1, 2),
        datetime.timedelta(3),
        uuid.UUID(int=5),
        {"a": [1, None]},
        [1, 2, None],
        ["a", 'b"'],
    ],
)
def test_values_of_any_type_arrive(
    backend: FakeBackend, conn: Any, value: Any, binary: bool
) -> None:
    """A Python value comes back as it was scripted, its type guessed, in either format."""
    backend.on("select x").rows([(value,)], ["x"])
    assert conn.execute("select x", binary=binary).fetchone() == (value,)


def test_named_types_are_taken(backend: FakeBackend, conn: Any) -> None:
    """Columns may name their types, and the base column that they are of."""
    columns = ["a", ("b", "int2"), ("c", "text", "shop.orders.card")]
    backend.on("select stuff").rows([("x", 2, "y")], columns)
    cursor = conn.execute("select stuff")
    assert cursor.fetchall() == [("x", 2, "y")]
    assert [column.type_code for column in cursor.description] == [25, 21, 25]
    assert cursor.pgresult.ftablecol(2) == 2


def test_parameters_are_told(backend: FakeBackend, conn: Any) -> None:
    """A statement with any placeholders is found, and its parameters are told."""
    backend.on("select id from shop.orders where id = %s and card = %s").rows([(1,)])
    found = conn.execute(
        "select id from shop.orders where id = %(n)s and card = %(c)s", {"n": 7, "c": "x"}
    )
    assert found.fetchall() == [(1,)]
    assert backend.received[0].parameters == (7, "x")
    assert backend.statements == ["select id from shop.orders where id = $1 and card = $2"]


def test_rows_can_be_computed(backend: FakeBackend, conn: Any) -> None:
    """A function makes the rows from what was received."""
    backend.on(re.compile("where id")).rows(lambda got: [(got.parameters[0] * 2,)], ["double"])
    assert conn.execute("select x where id = %s", [21]).fetchone() == (42,)


def test_answers_are_given_in_turn(backend: FakeBackend, conn: Any) -> None:
    """Several answers to a statement come one after the other, and the last one stays."""
    backend.on("select n").rows([(1,)], ["n"]).times(2)
    backend.on("select n").rows([(2,)], ["n"])
    assert [conn.execute("select n").fetchone()[0] for _ in range(4)] == [1, 1, 2, 2]
    assert backend.unused == []


def test_errors_and_notices_arrive(backend: FakeBackend, conn: Any) -> None:
    """An error has its class and fields; a notice comes before it."""
    told: list[str] = []
    conn.add_notice_handler(lambda diagnostic: told.append(diagnostic.message_primary))
    backend.on("delete all").notice("careful").error(
        "23503", "still referenced", constraint_name="fk", detail="row 7"
    )
    with pytest.raises(e.ForeignKeyViolation) as caught:
        conn.execute("delete all")
    assert (caught.value.diag.constraint_name, caught.value.diag.message_detail) == ("fk", "row 7")
    assert told == ["careful"]
    with pytest.raises(TypeError, match="no field"):
        backend.on("x").error("23503", colour="red")


def test_an_error_fails_the_transaction(backend: FakeBackend) -> None:
    """After an error in a transaction, nothing but its end is answered."""
    backend.on("bad").error("22012", "division by zero")
    backend.on("select 1").rows([(1,)], ["n"])
    with psycopg.connect(backend.conninfo) as conn:
        with pytest.raises(e.DivisionByZero):
            conn.execute("bad")
        with pytest.raises(e.InFailedSqlTransaction):
            conn.execute("select 1")
        conn.rollback()
        with pytest.raises(e.DivisionByZero), conn.transaction():
            conn.execute("bad")
        assert conn.execute("select 1").fetchone() == (1,)
    assert backend.everything.count("ROLLBACK") == 2


def test_a_delay_can_be_cancelled(backend: FakeBackend, conn: Any) -> None:
    """A delayed answer waits, and a cancel request ends it."""
    backend.on("slow").delay(30)
    threading.Timer(0.1, conn.cancel_safe).start()
    started = time.monotonic()
    with pytest.raises(e.QueryCanceled):
        conn.execute("slow")
    assert time.monotonic() - started < 20


def test_the_server_can_hang_up(backend: FakeBackend, conn: Any) -> None:
    """A scripted disconnection ends the connection, with the rows before it lost or not."""
    backend.on("half").rows([(1,)], ["n"]).disconnect()
    with pytest.raises(e.OperationalError):
        conn.execute("half")
    assert conn.broken


def test_what_is_not_scripted_fails_loudly() -> None:
    """A statement without an answer gets an error, and fails the block."""
    with pytest.raises(AssertionError, match="select nothing"):
        with FakeBackend() as backend, psycopg.connect(backend.conninfo) as conn:
            with pytest.raises(e.InternalError_, match="has no answer"):
                conn.execute("select nothing")
    assert backend.unanswered == ["select nothing"]


def test_commands_of_the_session_need_no_script(backend: FakeBackend) -> None:
    """Transactions, savepoints, settings and empty statements are answered by themselves."""
    with psycopg.connect(backend.conninfo) as conn:
        with conn.transaction(), conn.transaction():
            conn.execute("")
        conn.execute("SET timezone = 'UTC'")
        conn.commit()
        conn.tpc_begin(conn.xid(1, "a", "b"))
        conn.tpc_prepare()
        conn.tpc_commit()
    assert backend.statements == []
    assert backend.unanswered == []


def test_server_side_cursors_fetch_scripted_rows(backend: FakeBackend) -> None:
    """A named cursor fetches in batches, scrolls, and tells its columns."""
    backend.on("select n from numbers").rows([(n,) for n in range(10)], ["n"])
    with psycopg.connect(backend.conninfo) as conn, conn.cursor("c", scrollable=True) as cursor:
        cursor.execute("select n from numbers")
        assert cursor.description[0].name == "n"
        assert cursor.fetchmany(4) == [(0,), (1,), (2,), (3,)]
        cursor.scroll(-2)
        assert cursor.fetchone() == (2,)
        cursor.scroll(9, mode="absolute")
        assert cursor.fetchall() == [(9,)]
        cursor.scroll(0, mode="absolute")
        cursor.itersize = 3
        assert [n for (n,) in cursor] == list(range(10))


def test_copy_goes_both_ways(backend: FakeBackend, conn: Any) -> None:
    """COPY TO gives the scripted chunks; what COPY FROM sends is kept."""
    backend.on("copy t to stdout").copy_out([b"a\t1\n", b"b\t2\n"], columns=2)
    backend.on("copy t from stdin").copy_in(columns=2)
    with conn.cursor().copy("copy t to stdout") as copy:
        assert list(copy.rows()) == [("a", "1"), ("b", "2")]
    with conn.cursor().copy("copy t from stdin") as copy:
        copy.write_row(["c", 3])
    assert backend.received[-1].data == b"c\t3\n"


def test_notifications_reach_listeners(backend: FakeBackend, conn: Any) -> None:
    """A notification reaches the connections that listen to its channel, and no others."""
    conn.execute("LISTEN news")
    backend.notify("other", "x")
    backend.notify("news", "hello")
    got = next(conn.notifies(timeout=10, stop_after=1))
    assert (got.channel, got.payload) == ("news", "hello")


def test_pipelines_work(backend: FakeBackend, conn: Any) -> None:
    """Statements in a pipeline are answered in order, and an error skips to the next sync."""
    backend.on("select n").rows(lambda got: [(got.parameters[0],)], ["n"])
    backend.on(re.compile("select n")).rows(lambda got: [got.parameters], ["n"])
    backend.on("bad").error("22012")
    with conn.pipeline():
        cursors = [conn.execute("select n where %s", [n]) for n in range(5)]
    assert [cursor.fetchone() for cursor in cursors] == [(n,) for n in range(5)]
    with pytest.raises(e.DivisionByZero), conn.pipeline():
        conn.execute("bad")
        conn.execute("select n where %s", [1])


def test_many_executions_are_answered(backend: FakeBackend, conn: Any) -> None:
    """executemany sends each row, and the tags make the count."""
    backend.on("insert into shop.orders (id) values (%s)").tag("INSERT 0 1")
    cursor = conn.cursor()
    cursor.executemany("insert into shop.orders (id) values (%s)", [(1,), (2,), (3,)])
    assert cursor.rowcount == 3
    assert [got.parameters for got in backend.received] == [(1,), (2,), (3,)]


def test_a_password_can_be_asked_for() -> None:
    """Only who shows the password, as the right role, in the right database, gets in."""
    with FakeBackend(password="hush") as backend:
        psycopg.connect(backend.conninfo, password="hush").close()
        for wrong in ({"password": "x"}, {"password": "hush", "user": "other"}):
            with pytest.raises(e.OperationalError, match="password authentication failed"):
                psycopg.connect(backend.conninfo, **wrong)  # type: ignore[arg-type]


async def test_async_clients_are_served(backend: FakeBackend) -> None:
    """Asynchronous connections work alike, many at once."""
    backend.on(re.compile("select n")).rows(lambda got: [got.parameters], ["n"])

    async def ask(n: int) -> Any:
        async with await psycopg.AsyncConnection.connect(backend.conninfo) as conn:
            return await (await conn.execute("select n %s", [n])).fetchone()

    assert await asyncio.gather(*(ask(n) for n in range(10))) == [(n,) for n in range(10)]


def test_the_guard_masks_what_the_fake_sends(backend: FakeBackend, guarded: Any) -> None:
    """The wall reads its catalog from the fake, judges and masks as always."""
    backend.on("select id, card from shop.orders").rows([(1, CARD)])
    found = guarded.execute("select id, card from shop.orders").fetchall()
    assert found == [(1, "[masked]1111")]


def test_a_refused_statement_never_arrives(backend: FakeBackend, guarded: Any) -> None:
    """What the policy refuses does not reach the backend at all."""
    before = list(backend.everything)
    for sql in ("select email from shop.customers", "delete from shop.orders"):
        with pytest.raises(tracewall.Forbidden):
            guarded.execute(sql)
    assert backend.everything == before
    assert backend.statements == []


def test_a_lying_fake_is_caught(backend: FakeBackend, guarded: Any) -> None:
    """Rows from another column than the one that was judged are withheld."""
    columns = [("id", "text", "shop.orders.card")]
    backend.on("select id from shop.orders").rows([(CARD,)], columns)
    with pytest.raises(tracewall.Forbidden) as caught:
        guarded.execute("select id from shop.orders")
    assert CARD not in repr(caught.value)


def test_writes_are_seen(backend: FakeBackend, guarded: Any) -> None:
    """A granted write arrives with its parameters, inside its transaction."""
    backend.on("insert into shop.orders (id, card) values (%s, %s)").tag("INSERT 0 1")
    cursor = guarded.execute("insert into shop.orders (id, card) values (%s, %s)", [9, "x"])
    guarded.commit()
    assert cursor.rowcount == 1
    assert backend.received[0].parameters == (9, "x")
    assert [text for text in backend.everything if text in ("BEGIN", "COMMIT")] == [
        "BEGIN",
        "COMMIT",
    ]


def test_a_scripted_error_is_scrubbed(backend: FakeBackend, guarded: Any) -> None:
    """The guard scrubs a fake server's errors like a real one's."""
    backend.on("select id from shop.orders").error("22P02", f"bad {CARD}", detail=CARD)
    with pytest.raises(e.InvalidTextRepresentation) as caught:
        guarded.execute("select id from shop.orders")
    assert CARD not in f"{caught.value}{caught.value.diag.message_detail}"


def test_reset_forgets(backend: FakeBackend, conn: Any) -> None:
    """After a reset nothing is scripted and nothing has arrived."""
    backend.on("select 1").rows([(1,)], ["n"])
    conn.execute("select 1")
    backend.reset()
    assert (backend.received, backend.everything, backend.unused) == ([], [], [])


@pytest.mark.parametrize(
    ("rows", "columns"),
    [([(1, 2)], ["x"]), ([("x",)], [("x", "int8")]), ([(object(),)], ["x"])],
)
def test_a_wrong_script_is_told(rows: Any, columns: Any) -> None:
    """A script whose rows don't fit its columns fails the block, not only the statement."""
    with pytest.raises(ValueError, match=r"row does not have|can't be sent as"):
        with FakeBackend() as backend, psycopg.connect(backend.conninfo) as conn:
            backend.on("select x").rows(rows, columns)
            with pytest.raises(e.InternalError_, match="script is wrong"):
                conn.execute("select x", binary=True)


def test_a_fixed_clock_moves_by_hand() -> None:
    """A clock stands still until it is told to advance."""
    clock = FixedClock(1000)
    assert (clock(), clock()) == (1000.0, 1000.0)
    clock.advance(0.5)
    assert clock() == 1000.5
