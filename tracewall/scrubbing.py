"""What a server's message may tell: its class and the names of objects, never a value.

PostgreSQL's messages repeat values: a failed CHECK prints the whole row, a bad cast the
text it could not read, RAISE whatever it was given. So none of the server's words is
handed on. What stays is the class of the error, its SQLSTATE, and the names of schema,
table, column and constraint where the catalog knows them.

libpq's own messages about a connection are handed on, but it keeps the server's last words
among them, as when data are sent to a COPY that has failed: of those only sentences stay
that have no room for a value.
"""

from __future__ import annotations

import errno
import os
import re

from psycopg import errors as e
from psycopg.errors import Diagnostic
from psycopg.pq import DiagnosticField

from tracewall.errors import AuditUnavailable, Forbidden, TokenRejected, known_sqlstate
from tracewall.sql.catalog import Catalog

_OURS = (Forbidden, TokenRejected, AuditUnavailable)
_KEPT_SEVERITIES = frozenset("ERROR FATAL PANIC WARNING NOTICE INFO LOG DEBUG".split())
_PASSED_ON = re.compile(r"[a-z ,']+ (?:failed|is bad): ")
"""What psycopg puts before a message of libpq's."""

_SENTENCES = frozenset(
    {
        "another command is already in progress",
        "before or while processing the request.",
        "cannot queue commands during COPY",
        "COPY in progress",
        "COPY terminated by new query",
        "no connection to the server",
        "no COPY in progress",
        "server closed the connection unexpectedly",
        "SSL connection has been closed unexpectedly",
        "SSL SYSCALL error: EOF detected",
        "terminating connection because of crash of another server process",
        "terminating connection due to administrator command",
        "terminating connection due to idle-in-transaction timeout",
        "terminating connection due to idle-session timeout",
        "terminating connection due to transaction timeout",
        "the connection is closed",
        "This probably means the server terminated abnormally",
    }
)
"""What libpq and a server that ends say of a connection, in words that are always the same."""

_TROUBLE = re.compile(
    r"(?:could not (?:receive data from|send data to) server|SSL SYSCALL error): (.*)"
)
_STRERRORS = frozenset(os.strerror(number) for number in errno.errorcode)
_PLACE = ("schema_name", "table_name", "column_name")


def scrubbed(error: e.Error, catalog: Catalog | None, said: str | None = None) -> e.Error:
    """Give an error of the same class that holds no value, no result and no connection.

    Args:
        error: as psycopg raised it.
        catalog: whose names it may tell.
        said: what libpq says of the connection; None: it is not logged in yet, so that
            nothing of a row can be among its words.
    """
    if isinstance(error, _OURS):
        return error
    if not error.diag.sqlstate:
        # Not the server's: libpq's or psycopg's own words about the connection.
        return _without_connection(error, said)
    told = _told(error.diag, catalog)
    kind = type(error)
    return kind(_message(kind, told), info=_fields(told), encoding="utf-8")


def scrubbed_notice(diagnostic: Diagnostic, catalog: Catalog | None) -> Diagnostic:
    """Give a notice's diagnostic without the server's words."""
    told = _told(diagnostic, catalog)
    told["message_primary"] = "the server sent a notice; its words are withheld"
    return Diagnostic(_fields(told), encoding="utf-8")


def _fields(told: dict[str, str]) -> dict[int, bytes | None]:
    return {int(at): told.get(at.name.lower(), "").encode() or None for at in DiagnosticField}


def _without_connection(error: e.Error, said: str | None) -> e.Error:
    # A failed log-in's error holds the connection, and that the password.
    told = error.args
    if said is not None and told and isinstance(told[0], str):
        told = (_passed_on(told[0], said), *told[1:])
    fresh = type(error)(*told)
    fresh.sqlstate = error.sqlstate
    return fresh


def _passed_on(text: str, said: str) -> str:
    """Take from psycopg's words those of the server's that libpq has put there."""
    prefix = _PASSED_ON.match(text)
    start = prefix.end() if prefix else text.find(said) if said else -1
    if start < 0:
        return text
    lines = [line for line in map(str.strip, text[start:].splitlines()) if line]
    kept = [line for line in lines if _is_harmless(line)]
    if kept == lines:
        return text
    return text[:start] + "\n".join([*kept, "the server's words are withheld"])


def _is_harmless(line: str) -> bool:
    trouble = _TROUBLE.fullmatch(line)
    return line in _SENTENCES or bool(trouble and trouble[1] in _STRERRORS)


def _told(diagnostic: Diagnostic, catalog: Catalog | None) -> dict[str, str]:
    state = diagnostic.sqlstate or ""
    severity = diagnostic.severity_nonlocalized or ""
    told = {
        "sqlstate": known_sqlstate(state),
        "severity": severity if severity in _KEPT_SEVERITIES else "ERROR",
        "severity_nonlocalized": severity if severity in _KEPT_SEVERITIES else "ERROR",
    }
    return told | _names(diagnostic, catalog)


def _names(diagnostic: Diagnostic, catalog: Catalog | None) -> dict[str, str]:
    if catalog is None:
        return {}
    relation = catalog.find(diagnostic.schema_name or None, diagnostic.table_name or "")
    told: dict[str, str] = {}
    if relation is not None:
        told = {"schema_name": relation.schema, "table_name": relation.name}
        column = diagnostic.column_name or ""
        if relation.column(column):
            told["column_name"] = column
    constraint = diagnostic.constraint_name or ""
    if constraint in catalog.constraints:
        told["constraint_name"] = constraint
    return told


def _message(kind: type[e.Error], told: dict[str, str]) -> str:
    words = "".join(f" {c.lower()}" if c.isupper() else c for c in kind.__name__).strip()
    place = ".".join(told[key] for key in _PLACE if key in told)
    named = f" on {place}" if place else ""
    constraint = told.get("constraint_name")
    rule = f', constraint "{constraint}"' if constraint else ""
    return f"{words}{named}{rule} (SQLSTATE {told['sqlstate']}); the server's words are withheld"
