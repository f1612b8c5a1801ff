"""A look at a live server, by a login of the user's own and without a guard.

Nothing is written, and no code of the database's users is run: whoever looks may do much.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.rows import dict_row

from tracewall.cli.screen import Missing, Unanswered
from tracewall.sql.catalog import Catalog, read
from tracewall.trials.catalogs import asked

TIMEOUT = 10
"""How many seconds the server may take to answer a call."""


_BEFORE_AT = re.compile(r"[^\s'\"]*@")


class Server:
    """A server that questions are asked of; an answer is a list of rows by column names.

    ``about`` is how it was logged in to, by libpq's names, without the password; ``version``
    is as libpq has it (180001 is 18.1); ``encrypted`` tells whether the connection is.
    """

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self.connection = connection
        self.about: Mapping[str, str] = connection.info.get_parameters()
        self.version = connection.info.server_version
        self.encrypted = connection.pgconn.ssl_in_use

    def ask(self, question: str, **values: object) -> list[dict[str, Any]]:
        """Ask one question; its values are named in it as ``%(name)s``. Raises psycopg.Error."""
        with self.connection.cursor(row_factory=dict_row) as cursor:
            return cursor.execute(question.encode(), values or None).fetchall()

    def limit(self, seconds: float) -> None:
        """Let no statement take longer."""
        question = "SELECT pg_catalog.set_config('statement_timeout', %(most)s, false)"
        self.ask(question, most=f"{round(seconds * 1000)}ms")


@contextmanager
def server(dsn: str) -> Iterator[Server]:
    """Log in for the block, to ask what the role may know; nothing can be written.

    Raises Unanswered when the server can't be asked, in the block too.
    """
    try:
        with psycopg.connect(dsn, connect_timeout=TIMEOUT, autocommit=True) as conn:
            sealed(conn)
            conn.execute("SET statement_timeout = '60s'")
            yield Server(conn)
    except psycopg.Error as error:
        raise unanswered(error) from None


def sealed(conn: psycopg.Connection[Any]) -> None:
    """Have a connection run nobody's code and write nothing, whoever it logs in as.

    No function or operator of a user's is found by its name. A table whose rows the server
    would choose by its owner's expressions is refused instead.
    """
    conn.read_only = True
    conn.execute("SET search_path = pg_catalog")
    conn.execute("SET row_security = off")
    conn.execute("SET default_transaction_read_only = on")


def bare(dsn: str) -> str:
    """Give a connection string without its secrets. Raises Unanswered for what is none."""
    try:
        parts: dict[str, Any] = dict(conninfo_to_dict(dsn))
        return make_conninfo(**{name: parts[name] for name in parts if name not in _SECRET})
    except psycopg.Error as error:
        raise unanswered(error) from None


_SECRET = ("password", "sslpassword", "oauth_client_secret")


_GENERIC_SINCE = 160_000
_UNPLANNED = (
    psycopg.errors.SyntaxError,
    psycopg.errors.UndefinedParameter,
    psycopg.errors.IndeterminateDatatype,
    psycopg.errors.FeatureNotSupported,
)


def estimated(dsn: str, statement: bytes) -> int | None:
    """Have the server plan a statement, and give how many rows it expects; None: it can't say.

    Planned as the role of `dsn` and on its search path, in a transaction that can't write;
    nothing is executed but what planning executes. Raises Unanswered.
    """
    try:
        with psycopg.connect(dsn, connect_timeout=TIMEOUT) as conn:
            conn.read_only = True
            generic = ", GENERIC_PLAN" * (conn.info.server_version >= _GENERIC_SINCE)
            conn.execute("SET LOCAL statement_timeout = '10s'")
            try:
                # Prepared, the server takes it for one statement or for none.
                question = f"EXPLAIN (FORMAT JSON{generic}) ".encode() + statement
                row = conn.execute(question, prepare=True).fetchone()
            except _UNPLANNED:
                return None
    except psycopg.Error as error:
        raise unanswered(error) from None
    plan = row[0][0]["Plan"] if row else {}
    # What changes rows gives none itself: those beneath it are changed.
    changed = plan.get("Plans", [plan]) if plan.get("Node Type") == "ModifyTable" else [plan]
    return sum(int(each.get("Plan Rows", 0)) for each in changed)


def with_user(dsn: str, user: str) -> str:
    """Give a connection string that logs in as another role."""
    return make_conninfo(dsn, user=user)


def with_password(dsn: str, password: str) -> str:
    """Give a connection string with a password in it."""
    return make_conninfo(dsn, password=password)


def catalog(dsn: str) -> Catalog:
    """Read the catalog of the database that `dsn` logs in to. Raises as `unanswered` gives."""
    return read(answers(dsn))


def answers(dsn: str) -> tuple[bytes, ...]:
    """Read what a server answers to `QUERIES`. Raises as `unanswered` gives."""
    try:
        with psycopg.connect(dsn, connect_timeout=TIMEOUT) as conn:
            return asked(conn)
    except psycopg.Error as error:
        raise unanswered(error) from None


def unanswered(error: psycopg.Error) -> Missing:
    """Give what a terminal is shown where a server can't be asked, or nobody says which one."""
    if _is_no_string(error):
        help = 'write "host=db.example.org dbname=shop user=ana", or postgresql://ana@db.example.org/shop'
        return Missing("the connection string can't be read", help)
    return Unanswered(f"the database can't be asked: {why(error)}")


def unread(what: str, error: psycopg.Error) -> Missing:
    """Give what a terminal is shown where a database that keeps something fails at `what`.

    Unanswered, where its server gives no answer or lets nobody in.
    """
    asked = isinstance(error, psycopg.OperationalError) and not _is_no_string(error)
    kind = Unanswered if asked else Missing
    return kind(f"{what}: {why(error)}")


def _is_no_string(error: psycopg.Error) -> bool:
    if isinstance(error, psycopg.OperationalError):
        # libpq and psycopg call so what is found out when an address is made of the string, too.
        return error.sqlstate is None and bool(_MISWRITTEN.match(str(error)))
    return isinstance(error, psycopg.ProgrammingError) and error.sqlstate is None


_MISWRITTEN = re.compile(
    r"connection is bad: invalid (port number:|\w+ value\b)"
    r"|could not match \d+ (port number|hostaddr|host)s?"
    r"|failed to resolve host .*Servname not supported",
    re.DOTALL,
)


def why(error: psycopg.Error) -> str:
    """Say why a server can't be asked.

    libpq's own words on a connection string quote what it could not read: perhaps a password,
    or, before an at-sign in a host's name, the rest of one.
    """
    if _is_no_string(error):
        return "the connection string can't be read"
    return _BEFORE_AT.sub("...@", str(error).strip()) or type(error).__name__


def user(conninfo: str) -> str:
    """Give the role that a connection string names, empty where it names none."""
    return str(conninfo_to_dict(conninfo).get("user") or "")
