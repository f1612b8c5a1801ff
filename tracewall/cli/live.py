"""A look at a live server's catalog, by a login of the user's own and without a guard.

Only the catalog is read, in a transaction that can't write.
"""

from __future__ import annotations

import re

import psycopg
from psycopg.conninfo import conninfo_to_dict

from tracewall.sql.catalog import Catalog, read
from tracewall.trials.catalogs import asked

TIMEOUT = 10
"""How many seconds the server may take to answer a call."""


_BEFORE_AT = re.compile(r"[^\s'\"]*@")


class Unreachable(Exception):
    """The server can't be asked; the message is libpq's or the server's own."""


def catalog(dsn: str) -> Catalog:
    """Read the catalog of the database that `dsn` logs in to.

    Raises Unreachable when the server does not answer or does not let us in.
    """
    return read(answers(dsn))


def answers(dsn: str) -> tuple[bytes, ...]:
    """Read what a server answers to `QUERIES`. Raises Unreachable."""
    try:
        with psycopg.connect(dsn, connect_timeout=TIMEOUT) as conn:
            return asked(conn)
    except psycopg.Error as error:
        raise Unreachable(why(error)) from None


def why(error: psycopg.Error) -> str:
    """Say why a server can't be asked.

    libpq's own words on a connection string quote what it could not read: perhaps a password,
    or, before an at-sign in a host's name, the rest of one.
    """
    if isinstance(error, psycopg.ProgrammingError) and error.sqlstate is None:
        return "the connection string can't be read"
    return _BEFORE_AT.sub("...@", str(error).strip()) or type(error).__name__


def user(conninfo: str) -> str:
    """Give the role that a connection string names, empty where it names none."""
    return str(conninfo_to_dict(conninfo).get("user") or "")
