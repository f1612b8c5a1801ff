"""Where a catalog to judge by comes from, if no wall has read one."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from functools import lru_cache
from pathlib import Path

import msgspec
import psycopg

from tracewall.demo.server import ServerUnavailable, embedded_server
from tracewall.sql.catalog import QUERIES, read
from tracewall.sql.snapshot import SnapshotInvalid, loads
from tracewall.testing.tables import Pretended
from tracewall.trials.load import Sheet

TIMEOUT = 10
"""How many seconds the server may take to answer a call."""


class CatalogMissing(Exception):
    """There is no catalog to judge by; the message says why, and holds no password."""


class ServerSilent(CatalogMissing):
    """The server that has the catalog does not answer, or lets nobody in."""


def answers_for(sheet: Sheet) -> tuple[bytes, ...]:
    """Give the catalog that a file of tests names, as the server's answers.

    Raises:
        CatalogMissing: it can't be had.
    """
    trials = sheet.trials
    if trials.catalog:
        return from_snapshot(sheet.beside(trials.catalog))
    if trials.schema:
        return _made_by(tuple(_sql(sheet.beside(name)) for name in trials.schema))
    if trials.dsn_env:
        dsn = os.environ.get(trials.dsn_env)
        if not dsn:
            raise CatalogMissing(f"the environment variable {trials.dsn_env} is not set")
        return from_server(dsn)
    return pretended(trials.tables or {})


def from_snapshot(path: Path) -> tuple[bytes, ...]:
    """Read a snapshot that ``tracewall catalog`` made. Raises CatalogMissing."""
    try:
        answers = loads(path.read_bytes())
        read(answers)
    except OSError as error:
        raise CatalogMissing(f"{path} can't be read: {error.strerror}") from None
    except SnapshotInvalid as error:
        raise CatalogMissing(f"{path}: {error}; tracewall catalog makes one") from None
    except (msgspec.MsgspecError, TypeError, ValueError, RecursionError):
        raise CatalogMissing(f"{path}: its answers are none that a server gives") from None
    return answers


def from_server(dsn: str) -> tuple[bytes, ...]:
    """Ask a server for its catalog, in a transaction that can't write. Raises CatalogMissing."""
    try:
        with psycopg.connect(dsn, connect_timeout=TIMEOUT) as conn:
            return asked(conn)
    except psycopg.OperationalError:
        raise ServerSilent("the server does not answer, or does not let us in") from None
    except psycopg.Error as error:
        # libpq's own words on a connection string quote it.
        raise CatalogMissing(f"the catalog can't be read: {type(error).__name__}") from None


def asked(conn: psycopg.Connection) -> tuple[bytes, ...]:
    """Ask what is to be known of a catalog on a connection that has done nothing yet."""
    conn.read_only = True
    return tuple(_answer(conn, question) for question in QUERIES)


def _answer(conn: psycopg.Connection, question: bytes) -> bytes:
    result = conn.execute(question).pgresult
    # As it came: what psycopg would make of JSON, `read` does itself.
    answer = result.get_value(0, 0) if result is not None else None
    if answer is None:
        raise psycopg.OperationalError("the server did not answer what its catalog holds")
    return bytes(answer)


def pretended(tables: Mapping[str, Mapping[str, str]]) -> tuple[bytes, ...]:
    """Give the catalog of tables that are nowhere but in a description."""
    told = Pretended(tables, "tests", "service")
    return tuple(answer.encode() for answer in told.answers.values())


def _sql(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise CatalogMissing(f"{path} can't be read: {error.strerror}") from None


@lru_cache(maxsize=8)
def _made_by(scripts: Sequence[bytes]) -> tuple[bytes, ...]:
    """Run scripts in a server of our own, and ask it for its catalog."""
    try:
        with ExitStack() as opened:
            server = opened.enter_context(embedded_server())
            with psycopg.connect(server.conninfo, autocommit=True) as conn:
                for script in scripts:
                    conn.execute(script)
            return from_server(server.conninfo)
    except ServerUnavailable as error:
        raise CatalogMissing(str(error)) from None
    except psycopg.Error as error:
        raise CatalogMissing(f"the schema can't be made: {error}") from None
