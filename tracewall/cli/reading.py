"""A policy and a catalog for a command: read, compared, and complained of in a sentence."""

from __future__ import annotations

from pathlib import Path

from tracewall.cli.live import Unreachable, catalog
from tracewall.cli.screen import Refused, Unanswered
from tracewall.errors import PolicyError
from tracewall.policy.load import load
from tracewall.policy.match import column_names, unmatched
from tracewall.policy.model import Policy
from tracewall.sql.catalog import Catalog


def read(path: Path) -> Policy:
    """Read a policy. Raises Refused with its first complaint."""
    try:
        return load(path)
    except PolicyError as error:
        raise refused(error) from None


def against(policy: Policy, dsn: str) -> Catalog:
    """Read the catalog of a database, in which every name of the policy must match.

    Raises Refused where one does not, Unanswered where the server can't be asked.
    """
    known = live(dsn)
    complaint = unmatched(policy, column_names(known))
    if complaint is not None:
        raise refused(complaint)
    return known


def live(dsn: str) -> Catalog:
    """Read the catalog of a database. Raises Unanswered where the server can't be asked."""
    try:
        return catalog(dsn)
    except Unreachable as error:
        raise Unanswered(f"the database can't be asked: {error}") from None


def refused(error: PolicyError) -> Refused:
    """Make of a complaint what a terminal is shown."""
    where = ":".join(str(part) for part in (error.path, error.line, error.column) if part)
    return Refused(f"{where}: {error.message}", error.help)
