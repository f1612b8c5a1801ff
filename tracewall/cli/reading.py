"""A policy and a catalog for a command: read, compared, and complained of in a sentence."""

from __future__ import annotations

from pathlib import Path

from tracewall.cli.live import Unreachable, catalog
from tracewall.cli.screen import Missing, Unanswered
from tracewall.errors import PolicyError
from tracewall.policy.load import of_text, text_of
from tracewall.policy.match import column_names, unmatched
from tracewall.policy.model import Policy
from tracewall.sql.catalog import Catalog


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
        raise complaint(error) from None
    if not text.strip():
        raise Missing(f"{path}: the policy is empty", "`tracewall init DSN` proposes one")
    return text


def against(policy: Policy, dsn: str) -> Catalog:
    """Read the catalog of a database, in which every name of the policy must match.

    Raises Missing where one does not, Unanswered where the server can't be asked.
    """
    known = live(dsn)
    matching(policy, known)
    return known


def matching(policy: Policy, known: Catalog) -> None:
    """Raise Missing where a name of the policy matches nothing in the catalog."""
    miss = unmatched(policy, column_names(known))
    if miss is not None:
        raise complaint(miss)


def live(dsn: str) -> Catalog:
    """Read the catalog of a database. Raises Unanswered where the server can't be asked."""
    try:
        return catalog(dsn)
    except Unreachable as error:
        raise Unanswered(f"the database can't be asked: {error}") from None


def complaint(error: PolicyError) -> Missing:
    """Make of a complaint what a terminal is shown: where, what, and what to do."""
    return Missing(f"{place(error)}: {error.message}", error.help)


def place(error: PolicyError) -> str:
    """Give where a complaint is about, as compilers write it."""
    return ":".join(str(part) for part in (error.path, error.line, error.column) if part)
