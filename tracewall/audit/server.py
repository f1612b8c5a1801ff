"""The database side of a log in PostgreSQL: one connection, and chains that it appends to.

Each connection is one thread's at a time. Every failure is an `OSError` without a cause: what
the server says of a line may hold the line.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator
from typing import Any, Final, NamedTuple

import psycopg
from psycopg import sql

from tracewall.audit.file import named
from tracewall.audit.record import SUFFIX

GRACE: Final = 60.0
"""How long (seconds) a chain has to be silent, and its process gone, to count as abandoned."""

_FINAL: Final = (psycopg.errors.IntegrityError, psycopg.errors.InsufficientPrivilege)


class Left(NamedTuple):
    """A chain that a dead process has left: its last record, and its intents without an end."""

    writer: str
    n: int
    sha256: str
    open_intents: list[int]


class Server:
    """Calls the functions of the migration, over a connection that is made when it is wanted.

    Args:
        conninfo: a libpq connection string of the log's own role.
        schema: the migration's schema.
        password: gives the role's password at each log-in.
        deadline: how long (seconds) the server may take for a call.
    """

    def __init__(
        self, conninfo: str, schema: str, password: Callable[[], str] | None, deadline: float
    ) -> None:
        self._conninfo, self._password, self._deadline = conninfo, password, deadline
        self._schema = sql.Identifier(schema)
        self._conn: psycopg.Connection[Any] | None = None
        self._holds = ""

    def append(self, writer: str, first: int, lines: bytes) -> None:
        """Add lines to a chain, the first of them with that number.

        Raises:
            Refused: the server will never take them.
            OSError: it can't be said whether they are there; ask again with the same.
        """
        told = [line.decode("ascii") for line in lines.splitlines()]
        self._call("append(%s, %s, %s)", writer, first, told)

    def hold(self, writer: str) -> None:
        """Show other processes that a chain's own one is alive; raises OSError."""
        if self._holds != writer or self._conn is None:
            ((held,),) = self._call("hold(%s)", writer)
            # False: the connection before this one is not gone yet, and holds it.
            self._holds = writer if held else ""

    def abandoned(self, own: str) -> Iterator[Left]:
        """Give the chains whose processes are dead, but for the own one; raises OSError."""
        yield from (Left(*row) for row in self._call("abandoned(%s, %s)", own, GRACE, rows=True))

    def person(self, issuer: str, subject: str) -> tuple[str, str, str, bytes] | None:
        """Give a person's name, pseudonym and salt; None: they were erased this very moment.

        Raises:
            OSError: the server does not tell.
        """
        for row in self._call("person(%s, %s)", issuer, subject, rows=True):
            return issuer, subject, str(row[0]), bytes(row[1])
        return None

    def keep(self, note: str) -> None:
        """Add a checkpoint to those of an anchor's schema; raises OSError."""
        self._call("keep(%s)", note)

    def _call(self, function: str, *params: object, rows: bool = False) -> list[Any]:
        final = False
        try:
            conn = self._conn = self._conn or self._connect()
            call = "SELECT * FROM {}." if rows else "SELECT {}."
            return conn.execute(
                sql.SQL(call).format(self._schema) + sql.SQL(function), params
            ).fetchall()
        except psycopg.Error as error:
            final = isinstance(error, _FINAL)
            self.close()
        raise Refused() if final else OSError(errno.EIO, "the database did not take the record")

    def _connect(self) -> psycopg.Connection[Any]:
        milliseconds = max(1, round(self._deadline * 1000))
        options: dict[str, Any] = {"password": self._password()} if self._password else {}
        conn = psycopg.connect(
            self._conninfo,
            autocommit=True,
            connect_timeout=max(2, round(self._deadline)),
            tcp_user_timeout=milliseconds,
            application_name="tracewall-audit",
            **options,
        )
        conn.execute(
            "SELECT pg_catalog.set_config('statement_timeout', %s, false)", (str(milliseconds),)
        )
        return conn

    def close(self) -> None:
        """Log out; the next call logs in again."""
        conn, self._conn, self._holds = self._conn, None, ""
        if conn is not None:
            conn.close()


class Refused(OSError):
    """The server has said that it will not take a line, now or later."""


class Chain:
    """One chain of records in the database, which a `tracewall.audit.writer.Writer` writes.

    Args:
        server: where it is.
        now: names it (Unix seconds).
    """

    def __init__(self, server: Server, now: float) -> None:
        self.name = named(now)
        self.usable = True
        self._server = server
        self._n = 0

    @property
    def writer(self) -> str:
        """The chain's id."""
        return self.name.removesuffix(SUFFIX)

    def append(self, data: bytes) -> None:
        """Add lines whole or not at all; raises OSError."""
        try:
            self._server.append(self.writer, self._n, data)
        except Refused:
            # Another process took this one for dead, and ended it; or a hand was at it.
            self.usable = False
            raise
        self._n += data.count(b"\n")
        self._server.hold(self.writer)

    def settle(self, *, durable: bool) -> None:
        """Nothing to do: the server has committed it."""

    def discard(self) -> None:
        """Nothing to do: what did not come through is not there."""

    def close(self) -> None:
        """Nothing to do: the connection is the server's."""

    def let_go(self) -> None:
        """Nothing to do: a forked child makes a connection of its own."""
