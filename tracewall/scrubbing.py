"""What a server's message may tell: its class and the names of objects, never a value.

PostgreSQL's messages repeat values: a failed CHECK prints the whole row, a bad cast the
text it could not read, RAISE whatever it was given. So none of the server's words is
handed on. What stays is the class of the error, its SQLSTATE, and the names of schema,
table, column and constraint where the catalog knows them.
"""

from __future__ import annotations

from psycopg import errors as e
from psycopg.errors import Diagnostic
from psycopg.pq import DiagnosticField

from tracewall.errors import AuditUnavailable, Forbidden, TokenRejected, known_sqlstate
from tracewall.sql.catalog import Catalog

_OURS = (Forbidden, TokenRejected, AuditUnavailable)
_KEPT_SEVERITIES = frozenset("ERROR FATAL PANIC WARNING NOTICE INFO LOG DEBUG".split())
_PLACE = ("schema_name", "table_name", "column_name")


def scrubbed(error: e.Error, catalog: Catalog | None) -> e.Error:
    """Give an error of the same class that holds no value, no result and no connection."""
    if isinstance(error, _OURS):
        return error
    if not error.diag.sqlstate:
        # Not the server's: libpq's or psycopg's own words about the connection.
        return _without_connection(error)
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


def _without_connection(error: e.Error) -> e.Error:
    # A failed log-in's error holds the connection, and that the password.
    fresh = type(error)(*error.args)
    fresh.sqlstate = error.sqlstate
    return fresh


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
