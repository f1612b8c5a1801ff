"""A guarded shop on a server that may be killed, with that server's own log as the witness.

After each test that uses `ground`: what the server says it was sent was admitted before,
and each intent has an outcome. `Ground.seen` holds what was handed out to no canaries.
"""

from __future__ import annotations

import gc
import hashlib
import importlib.util
import re
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from tracewall import Wall
from tracewall.audit.verify import check, records
from tracewall.connection_base import _COMMANDS
from tracewall.demo.server import EmbeddedServer, embedded_server
from tracewall.sql.catalog import FINGERPRINT, QUERIES
from tracewall.testing import TokenIssuer


def _sibling(name: str) -> Any:
    """Import a module that stands beside this one, under a name that tests can import."""
    path = Path(__file__).with_name(f"{name}.py")
    spec = importlib.util.spec_from_file_location(f"faults_{name}", path)
    assert spec is not None and spec.loader is not None
    module = sys.modules[f"faults_{name}"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


_wire, *_ = map(_sibling, ("wire", "doors_async", "doors"))

SCHEMA = """
CREATE ROLE service LOGIN;
CREATE SCHEMA shop;
GRANT USAGE ON SCHEMA shop TO service;
CREATE TABLE shop.orders (id bigint PRIMARY KEY, card text NOT NULL, note text);
INSERT INTO shop.orders SELECT n, 'CANARY-' || n, repeat('x', 20) FROM generate_series(1, 2000) n;
CREATE TABLE shop.notes (id bigint, note text);
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA shop TO service;
ALTER SYSTEM SET log_statement = 'all';
ALTER SYSTEM SET log_line_prefix = '%u|';
ALTER SYSTEM SET logging_collector = off;
"""
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
name = "work"
groups = ["clerks", "others"]
actions = ["select", "insert", "update", "delete"]
tables = ["shop.*"]
[[masks]]
name = "cards"
columns = ["shop.orders.card"]
method = "redact"
"""
CANARY = "CANARY"
_LIMIT = 60
"""Seconds after which a test hangs."""

# What the wall itself sends, and what psycopg does for a server-side cursor.
_OWN = re.compile(
    r"SELECT (?:(?:, )?pg_catalog\.set_config\(\$\d+, \$\d+, false\))+|DISCARD ALL"
    r"|(?:FETCH FORWARD|MOVE)[ \w-]* FROM \"[^\"]+\""
)
_LINE = re.compile(r"service\|LOG:  (?:statement|execute [^:]*): (.*)", re.S)


@dataclass
class Ground:
    """A wall before a server of our own; ``folder`` holds its policy and its record."""

    wall: Wall
    issuer: TokenIssuer
    folder: Path
    server: EmbeddedServer

    def token(self, *groups: str, subject: str = "someone", **options: Any) -> str:
        """Mint a token, by default a clerk's."""
        groups = groups or ("clerks",)
        return self.issuer.mint(subject, list(groups), audience="shop", **options)

    def admin(self) -> psycopg.Connection[Any]:
        """Connect as the superuser, unguarded."""
        return psycopg.connect(self.server.conninfo, autocommit=True)

    def backends(self, waiting: bool = False) -> list[int]:
        """Give the server processes of the guarded connections, or of those that wait."""
        query = "select pid from pg_stat_activity where usename = 'service'"
        if waiting:
            query += " and wait_event_type = 'Lock'"
        with self.admin() as conn:
            return [pid for (pid,) in conn.execute(query)]

    def until_waiting(self, count: int = 1) -> list[int]:
        """Wait until so many guarded connections wait for a lock; give their processes."""
        deadline = time.monotonic() + 30
        while len(found := self.backends(waiting=True)) < count:
            assert time.monotonic() < deadline, "nobody waits"
            time.sleep(0.01)
        return found

    def until_alive(self) -> None:
        """Wait until the server answers again."""
        deadline = time.monotonic() + 30
        while True:
            try:
                return self.admin().close()
            except psycopg.OperationalError:
                assert time.monotonic() < deadline, "the server is gone"
                time.sleep(0.05)

    def until_alone(self) -> None:
        """Wait until the server has no guarded connection any more."""
        deadline = time.monotonic() + 30
        while self.backends():
            assert time.monotonic() < deadline, "a connection is left"
            time.sleep(0.02)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Have whatever touches the tables wait."""
        with self.admin() as conn, conn.transaction():
            conn.execute("LOCK TABLE shop.orders, shop.notes IN ACCESS EXCLUSIVE MODE")
            yield

    def kept(self) -> list[dict[str, Any]]:
        """Give the record so far."""
        if not self.wall.audit._closed:  # type: ignore[attr-defined]
            self.wall.audit.flush()
        paths = sorted((self.folder / "audit").glob("*.jsonl"))
        return [record for path in paths for record in records(path)]

    def open_intents(self) -> list[str]:
        """Give the statements that have no outcome so far."""
        kept = self.kept()
        ended = {record["intent"] for record in kept if record["kind"] == "outcome"}
        return [
            record["what"]["text"]
            for record in kept
            if record["kind"] == "intent" and record["n"] not in ended
        ]

    def outcomes(self) -> list[str]:
        """Give how statements ended, in the order of their ends."""
        return [record["ended"]["status"] for record in self.kept() if record["kind"] == "outcome"]

    def log(self) -> int:
        """Give how long the server's log is."""
        return (self.server.directory / "log").stat().st_size

    def unjudged(self, since: int) -> list[str]:
        """Give what the server was sent since a place in its log without being admitted."""
        said = (self.server.directory / "log").read_bytes()[since:].decode()
        entries = re.split(r"\n(?!\t)", said)
        sent = [found[1].replace("\n\t", "\n") for e in entries if (found := _LINE.fullmatch(e))]
        kept = self.kept()
        refused = {r["intent"] for r in kept if r.get("ended", {}).get("status") == "refused"}
        admitted = {
            record["what"]["sha256"]
            for record in kept
            if record["kind"] == "intent" and record["n"] not in refused
        }
        assert sent, "the witness has seen nothing"
        return [text for text in sent if not (_is_own(text) or _digest(text) in admitted)]


def _is_own(text: str) -> bool:
    sent = text.encode()
    own = any(sent.split() == question.split() for question in (FINGERPRINT, *QUERIES))
    return bool(own or _COMMANDS.fullmatch(sent) or _OWN.fullmatch(text))


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def open_shop(server: EmbeddedServer) -> None:
    """Fill a fresh server, and let the service log in by its socket."""
    (server.directory / "pg_hba.conf").write_text("local all all trust\n")
    with psycopg.connect(server.conninfo, autocommit=True) as conn:
        for command in SCHEMA.strip().rstrip(";").split(";\n"):
            conn.execute(command)
        conn.execute("SELECT pg_reload_conf()")
    time.sleep(0.1)


@contextmanager
def guarded(server: EmbeddedServer, folder: Path, port: int | None = None) -> Iterator[Ground]:
    """Put a wall before a server, reached by its socket or through a wire's port."""
    conninfo = make_conninfo(server.conninfo, user="service")
    if port is not None:
        conninfo = make_conninfo(
            conninfo, host="127.0.0.1", port=port, sslmode="disable", gssencmode="disable"
        )
    issuer = TokenIssuer()
    issuer.write_jwks(folder / "jwks.json")
    (folder / "tracewall.toml").write_text(POLICY.format(conninfo=conninfo))
    with Wall.load(folder / "tracewall.toml") as wall:
        yield Ground(wall, issuer, folder, server)


@pytest.fixture(scope="session")
def shop() -> Iterator[EmbeddedServer]:
    """A server with a small shop, which tests may hurt but not end."""
    with embedded_server() as server:
        open_shop(server)
        yield server


@pytest.fixture
def in_time() -> Iterator[None]:
    """A test that hangs fails."""

    def fail(number: int, frame: Any) -> None:
        raise AssertionError("it hangs")

    before = signal.signal(signal.SIGALRM, fail)
    signal.alarm(_LIMIT)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@contextmanager
def witnessed(ground: Ground) -> Iterator[Ground]:
    """Hold the block to what must be so whatever happens."""
    since = ground.log()
    yield ground
    gc.collect()
    assert ground.open_intents() == []
    assert ground.unjudged(since) == []
    report = check(sorted((ground.folder / "audit").glob("*.jsonl")))
    assert report.ok


@pytest.fixture
def ground(shop: EmbeddedServer, tmp_path: Path, in_time: None) -> Iterator[Ground]:
    """A wall before the shop; what must always be so is checked at the end."""
    with guarded(shop, tmp_path) as made, witnessed(made):
        yield made


@pytest.fixture
def wire(shop: EmbeddedServer) -> Iterator[Any]:
    """A wire to the shop that may be cut."""
    port = re.search(r"port=(\d+)", shop.conninfo)
    assert port is not None
    with _wire.Wire(str(shop.directory / f".s.PGSQL.{port[1]}")) as made:
        yield made


@pytest.fixture
def wired(shop: EmbeddedServer, tmp_path: Path, in_time: None, wire: Any) -> Iterator[Ground]:
    """A wall before the shop, over the wire."""
    with guarded(shop, tmp_path, wire.port) as made, witnessed(made):
        yield made


@pytest.fixture
def shop_opener() -> Any:
    """What opens and guards a shop, for tests that end a server."""
    return sys.modules[__name__]
