"""A policy and a catalog for a command: read, compared, and complained of in a sentence."""

from __future__ import annotations

import os
from pathlib import Path

from tracewall.cli.live import catalog, with_password
from tracewall.cli.screen import Missing
from tracewall.errors import PolicyError
from tracewall.places import secret
from tracewall.policy.load import of_text, text_of
from tracewall.policy.match import column_names, unmatched
from tracewall.policy.model import Policy
from tracewall.sql.catalog import Catalog

_VARIABLE = "TRACEWALL_CONFIG"


def read(path: Path) -> Policy:
    """Read a policy. Raises Missing with its first complaint: without it there is no verdict."""
    text = text_in(path)
    try:
        return of_text(text, str(path))
    except PolicyError as error:
        raise complaint(error) from None


def text_in(path: Path) -> str:
    """Read a policy's text. Raises Missing where the file gives none."""
    try:
        text = text_of(str(path))
    except PolicyError as error:
        if os.path.lexists(path):
            raise complaint(error) from None
        named = os.environ.get(_VARIABLE) == str(path)
        help = f"{_VARIABLE} names it" if named else "`tracewall init` writes one for a database"
        raise Missing(f"there is no policy {path}", help) from None
    if not text.strip():
        raise Missing(f"{path}: the policy is empty", "`tracewall init DSN` proposes one")
    return text


def against(policy: Policy, dsn: str) -> Catalog:
    """Read the catalog of a database, in which every name of the policy must match.

    Raises Missing where one does not, Unanswered where the server can't be asked.
    """
    known = catalog(dsn)
    matching(policy, known)
    return known


def matching(policy: Policy, known: Catalog) -> None:
    """Raise Missing where a name of the policy matches nothing in the catalog."""
    miss = unmatched(policy, column_names(known))
    if miss is not None:
        raise complaint(miss)


def reached(policy: Policy, dsn: str | None) -> str:
    """Give the connection string that was given; else that by which the wall logs in.

    Its password is in it. Raises Missing where neither says which database.
    """
    if dsn is not None:
        return dsn
    database = policy.database
    if not database.conninfo and not any(map(os.environ.get, _OF_LIBPQ)):
        help = "give --dsn, or write conninfo under [database] of the policy"
        raise Missing("no database is named", help)
    try:
        password = secret(policy, database.password_env, database.password_file)
    except PolicyError as error:
        raise Missing(f"{error.path}: {error.message}", error.help or "or give --dsn") from None
    return with_password(database.conninfo, password) if password else database.conninfo


_OF_LIBPQ = ("PGHOST", "PGHOSTADDR", "PGDATABASE", "PGSERVICE")


def complaint(error: PolicyError) -> Missing:
    """Make of a complaint what a terminal is shown: where, what, and what to do."""
    return Missing(f"{place(error)}: {error.message}", error.help)


def place(error: PolicyError) -> str:
    """Give where a complaint is about, as compilers write it."""
    return ":".join(str(part) for part in (error.path, error.line, error.column) if part)
