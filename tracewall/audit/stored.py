"""Reading a log that is kept in PostgreSQL, by the login of who may: line by line, as it stands.

The lines come through a cursor of the server's, so that no more than a few are in memory.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator
from typing import Any, Final, TypeVar

import psycopg
from psycopg import sql

from tracewall.audit.follow import decoded
from tracewall.audit.people import Person

_NAMELESS: Final = (psycopg.errors.InsufficientPrivilege, psycopg.errors.UndefinedTable)

T = TypeVar("T")


def lines(conninfo: str, schema: str, **options: Any) -> Iterator[tuple[str, str]]:
    """Give each line with the id of its chain, chain after chain; raises psycopg.Error.

    Args:
        conninfo: a libpq connection string of somebody who may read the log.
        schema: the migration's schema.
        **options: more of libpq's.
    """
    query = sql.SQL("SELECT writer, line FROM {}.records ORDER BY writer, n")
    with psycopg.connect(conninfo, **options) as conn, conn.cursor("tracewall_lines") as cursor:
        cursor.itersize = 1_000
        yield from cursor.execute(query.format(sql.Identifier(schema)))


def people(conninfo: str, schema: str, **options: Any) -> dict[str, Person]:
    """Give whom pseudonyms stand for, as far as this reader may know; raises psycopg.Error."""
    query = sql.SQL("SELECT issuer, subject, pseudonym, salt FROM {}.people")
    try:
        with psycopg.connect(conninfo, **options) as conn:
            rows = conn.execute(query.format(sql.Identifier(schema))).fetchall()
    except _NAMELESS:
        return {}
    found = (Person(issuer, subject, name, bytes(salt)) for issuer, subject, name, salt in rows)
    return {person.pseudonym: person for person in found}


def kept(conninfo: str, schema: str, **options: Any) -> list[str]:
    """Give the notes that a table keeps, oldest first; raises psycopg.Error.

    Args:
        conninfo: a libpq connection string of who may read them.
        schema: the migration's schema.
        **options: more of libpq's.
    """
    query = sql.SQL("SELECT note FROM {}.notes ORDER BY id").format(sql.Identifier(schema))
    with psycopg.connect(conninfo, **options) as conn:
        return [note for (note,) in conn.execute(query)]


class Stored:
    """A log in PostgreSQL, to be read by a program that shows it; every failure is an OSError.

    Args:
        conninfo: a libpq connection string of the reader.
        schema: the migration's schema.
        password: gives the reader's password at each log-in.
    """

    def __init__(
        self, conninfo: str, schema: str, password: Callable[[], str] | None = None
    ) -> None:
        self._where, self._password = (conninfo, schema), password

    def records(self) -> Iterator[dict[str, Any]]:
        """Give the records of all chains; nothing is proved. Raises OSError."""
        found = lines(*self._where, **self._options())
        while (line := _told(lambda: next(found, None))) is not None:
            yield decoded(line[1].encode())

    def people(self) -> dict[str, Person]:
        """Give whom pseudonyms stand for, as far as the reader may know. Raises OSError."""
        return _told(lambda: people(*self._where, **self._options()))

    def _options(self) -> dict[str, Any]:
        options: dict[str, Any] = {"connect_timeout": 5, "application_name": "tracewall-audit"}
        return options | ({"password": self._password()} if self._password else {})


def _told(ask: Callable[[], T]) -> T:
    try:
        return ask()
    except psycopg.Error:
        pass
    # Out here, so that nothing of what the server said of the record is in the error's context.
    raise OSError(errno.EIO, "the database does not give the record")
