"""Fixtures that any test may use: a server, a filled trace store, the real traces.

``TRACEWALL_TEST_DSN`` names a superuser's connection to a server of one's own; without it
one from the wheel is started. ``TRACEWALL_SHARED_DATA`` names the directory that holds
``traces.jsonl.gz``; without it a directory beside the repository is tried.
"""

from __future__ import annotations

import os
import secrets
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from tracewall.demo.fill import Filled
from tracewall.demo.generate import generate
from tracewall.demo.secrets import Planted
from tracewall.demo.server import embedded_server, stop_server
from tracewall.demo.store import create_store, drop_store

STORE_RUNS = 200


def pytest_configure() -> None:
    """Have SIGINT interrupt: a shell has what it runs in the background ignore it."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@dataclass(frozen=True)
class Server:
    """A server for tests: ``conninfo`` logs in as a superuser, to a database of our own.

    ``embedded`` tells whether it is the wheel's, and so ours alone.
    """

    conninfo: str
    embedded: bool


@dataclass(frozen=True)
class Store:
    """The sample trace store, filled.

    ``dsn`` logs in as the service's ``role`` but has no password; ``password`` is beside
    it, ``full_dsn`` has it inside. ``admin_dsn`` is the owner's. ``planted`` tells where
    each planted secret is, ``filled`` how many rows there were before any test.
    """

    dsn: str
    password: str
    role: str
    admin_dsn: str
    filled: Filled

    @property
    def full_dsn(self) -> str:
        """The connection string of the role, its password in it."""
        return make_conninfo(self.dsn, password=self.password)

    @property
    def planted(self) -> tuple[Planted, ...]:
        """Each place that holds a planted secret."""
        return self.filled.planted


def without_password(conninfo: str) -> dict[str, Any]:
    """Take a connection string apart and leave its password out."""
    parts = conninfo_to_dict(conninfo)
    parts.pop("password", None)
    return parts


@contextmanager
def scratch_database(conninfo: str) -> Iterator[str]:
    """Make a database of a random name for the block, and give its connection string."""
    name = f"tracewall_test_{secrets.token_hex(6)}"
    with psycopg.connect(conninfo, autocommit=True) as conn:
        conn.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    try:
        yield make_conninfo(conninfo, dbname=name)
    finally:
        with psycopg.connect(conninfo, autocommit=True) as conn:
            conn.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    """A PostgreSQL server, and a database on it that nobody else uses."""
    outside = os.environ.get("TRACEWALL_TEST_DSN")
    if outside:
        with scratch_database(outside) as conninfo:
            yield Server(conninfo, embedded=False)
    else:
        with embedded_server() as started:
            with psycopg.connect(started.conninfo, autocommit=True) as conn:
                # For two-phase commits; it takes a start of the server.
                conn.execute("ALTER SYSTEM SET max_prepared_transactions = 16")
            stop_server(started.directory)
            with embedded_server(started.directory) as again:
                yield Server(again.conninfo, embedded=True)


@pytest.fixture(scope="session")
def admin_dsn(server: Server) -> str:
    """The connection string of the superuser."""
    return server.conninfo


@pytest.fixture
def scratch_dsn(admin_dsn: str) -> Iterator[str]:
    """The superuser's connection string to an empty database that lives for one test."""
    with scratch_database(admin_dsn) as conninfo:
        yield conninfo


@pytest.fixture(scope="module")
def module_dsn(admin_dsn: str) -> Iterator[str]:
    """The superuser's connection string to an empty database that lives for one file of tests."""
    with scratch_database(admin_dsn) as conninfo:
        yield conninfo


@pytest.fixture(scope="session")
def store(admin_dsn: str) -> Iterator[Store]:
    """The sample trace store with 200 generated runs, in a database of its own.

    It is shared by all tests: whoever changes rows rolls back or puts them back.
    """
    role, password = f"trace_service_{secrets.token_hex(4)}", secrets.token_urlsafe(16)
    with scratch_database(admin_dsn) as conninfo:
        create_store(conninfo, role=role, password=password)
        filled = generate(conninfo, STORE_RUNS, secrets=0.1)
        dsn = make_conninfo(**{**without_password(conninfo), "user": role})
        yield Store(dsn, password, role, conninfo, filled)
        drop_store(conninfo, role=role)


@pytest.fixture(scope="session")
def _workbench(admin_dsn: str) -> Iterator[str]:
    role = f"trace_service_{secrets.token_hex(4)}"
    with scratch_database(admin_dsn) as conninfo:
        create_store(conninfo, role=role, password=secrets.token_urlsafe(16))
        yield conninfo
        drop_store(conninfo, role=role)


@pytest.fixture
def empty_store(_workbench: str) -> str:
    """The superuser's connection string to a trace store without rows, to fill at will."""
    with psycopg.connect(_workbench) as conn:
        conn.execute(
            "TRUNCATE traces.runs, traces.steps, traces.messages, traces.tool_calls"
            " RESTART IDENTITY"
        )
    return _workbench


@pytest.fixture(scope="session")
def real_traces() -> Path:
    """The file of real traces; the test is skipped where there is none."""
    named = os.environ.get("TRACEWALL_SHARED_DATA")
    data = Path(named) if named else Path(__file__).parents[2] / "shared" / "data"
    path = data / "traces.jsonl.gz"
    if not path.exists():
        pytest.skip("no real traces here: set TRACEWALL_SHARED_DATA to their directory")
    return path
