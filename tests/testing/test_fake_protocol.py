"""What the fake backend speaks of PostgreSQL's protocol, and what it says to the rest of it."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import errors as e

import tracewall
from tracewall.testing import Bench, FakeBackend, mint_token

POLICY = """
version = 1
[[issuers]]
name = "main"
issuer = "https://login.example.org"
audience = "shop"
keys = "https://login.example.org/keys"
[[grants]]
name = "read"
groups = ["analysts"]
actions = ["select", "insert"]
tables = ["shop.orders"]
[[masks]]
name = "cards"
columns = ["shop.orders.card"]
method = "redact"
"""
TABLES = {"shop.orders": {"id": "int8", "card": "text"}}
SELECT = "select id, card from shop.orders"


@pytest.fixture
def backend() -> Iterator[FakeBackend]:
    """A backend with a table."""
    with FakeBackend(TABLES) as made:
        yield made


@pytest.fixture
def conn(backend: FakeBackend) -> Iterator[Any]:
    """A plain connection to it."""
    with psycopg.connect(backend.conninfo, autocommit=True) as made:
        yield made


@pytest.fixture
def bench(backend: FakeBackend, tmp_path: Path) -> Iterator[Bench]:
    """A policy on the bench, over the backend."""
    (tmp_path / "tracewall.toml").write_text(POLICY)
    with Bench.load(tmp_path / "tracewall.toml", backend) as made:
        yield made


def test_a_delay_is_waited_for(backend: FakeBackend, conn: Any) -> None:
    """A delayed answer comes after its time, and not before."""
    backend.on("slow").delay(0.2).rows([(1,)], ["n"])
    started = time.monotonic()
    assert conn.execute("slow").fetchone() == (1,)
    assert time.monotonic() - started >= 0.2


@pytest.mark.parametrize("binary", [False, True])
def test_prepared_statements_are_answered(backend: FakeBackend, conn: Any, *, binary: bool) -> None:
    """A statement that psycopg prepares is answered each time, whatever the format."""
    backend.on(re.compile("select n")).rows(lambda got: [got.parameters], [("n", "int4")])
    for number in range(4):
        found = conn.execute("select n %s", [number], prepare=True, binary=binary)
        assert found.fetchone() == (number,)
    assert len(conn._prepared._names) == 1
    assert [got.parameters for got in backend.received] == [(0,), (1,), (2,), (3,)]


@pytest.mark.parametrize("value", [7, 2.5, "x", b"\0", True, None])
def test_parameters_in_binary_are_read(backend: FakeBackend, conn: Any, value: Any) -> None:
    """Parameters that come in binary are told as the values that they are."""
    backend.on("select %b").rows([(1,)], ["n"])
    conn.execute("select %b", [value])
    assert backend.received[0].parameters == (value,)


def test_streams_are_answered(backend: FakeBackend, conn: Any) -> None:
    """A stream gets its rows one by one."""
    backend.on("select n").rows([(n,) for n in range(5)], ["n"])
    assert list(conn.cursor().stream("select n")) == [(n,) for n in range(5)]


def test_all_connections_end_as_when_a_server_dies(backend: FakeBackend, conn: Any) -> None:
    """After `disconnect` every connection is broken, and a new one is served."""
    backend.on("select n").rows([(1,)], ["n"])
    assert conn.execute("select n").fetchone() == (1,)
    backend.disconnect()
    with pytest.raises(e.OperationalError):
        conn.execute("select n")
    assert conn.broken
    with psycopg.connect(backend.conninfo) as again:
        assert again.execute("select n").fetchone() == (1,)


def test_a_copy_goes_through_the_guard(backend: FakeBackend, bench: Bench) -> None:
    """COPY of the fake's is masked row by row, and what is copied in arrives."""
    # The wall has the query described before it is copied.
    backend.on('SELECT "id", "card" FROM "shop"."orders"').rows([])
    backend.on(re.compile("(?i)copy.*to stdout")).copy_out([b"1\tCANARY\n"], columns=2)
    backend.on(re.compile("(?i)copy.*from stdin")).copy_in()
    with bench.connect("analysts") as conn:
        with conn.cursor().copy("copy shop.orders (id, card) to stdout") as copy:
            assert list(copy.rows()) == [("1", "[redacted]")]
        with conn.cursor().copy("copy shop.orders (id) from stdin") as copy:
            copy.write_row([5])
    assert backend.received[-1].data == b"5\n"


async def test_every_answer_reaches_asynchronous_callers(
    backend: FakeBackend, bench: Bench
) -> None:
    """Rows, errors, delays and disconnections are the same through an asynchronous guard."""
    backend.on(SELECT).rows([(1, "CANARY")]).times(1)
    backend.on(SELECT).error("22P02", "CANARY").times(1)
    backend.on(SELECT).delay(0.05).rows([(2, "CANARY")]).times(1)
    backend.on(SELECT).disconnect()
    conn = await bench.connect_async("analysts", autocommit=True)
    try:
        assert await (await conn.execute(SELECT)).fetchall() == [(1, "[redacted]")]
        with pytest.raises(e.InvalidTextRepresentation) as failed:
            await conn.execute(SELECT)
        assert "CANARY" not in str(failed.value)
        assert await (await conn.execute(SELECT)).fetchall() == [(2, "[redacted]")]
        with pytest.raises(e.OperationalError):
            await conn.execute(SELECT)
        assert conn.broken
    finally:
        await conn.close()
    assert backend.statements == [SELECT] * 4


def test_several_statements_in_one_are_one(backend: FakeBackend, conn: Any) -> None:
    """The fake does not take a text apart: it is one statement, with one answer."""
    backend.on("select 1; select 2").rows([(1,)], ["n"])
    cursor = conn.execute("select 1; select 2")
    assert cursor.fetchall() == [(1,)]
    assert cursor.nextset() is None


def test_there_is_no_encryption(backend: FakeBackend) -> None:
    """A client that insists on TLS is told that there is none."""
    with pytest.raises(e.OperationalError, match="SSL"):
        psycopg.connect(backend.conninfo, sslmode="require")


def test_a_token_is_minted_as_the_policy_wants_it(backend: FakeBackend, bench: Bench) -> None:
    """`mint_token` makes what the policy's issuer would: accepted, and of the groups named."""
    backend.on(SELECT).rows([(1, "CANARY")])
    (trusted,) = bench._trusted.values()
    (issuer,) = bench.issuers.values()
    with bench.connect(token=mint_token(trusted, issuer, ["analysts"])) as conn:
        assert conn.execute(SELECT).fetchall() == [(1, "[redacted]")]
    with bench.connect(token=mint_token(trusted, issuer, ["others"])) as conn:
        with pytest.raises(tracewall.Forbidden):
            conn.execute(SELECT)
    with pytest.raises(tracewall.TokenRejected):
        bench.connect(token=mint_token(trusted, issuer, ["analysts"], lifetime=-60))
