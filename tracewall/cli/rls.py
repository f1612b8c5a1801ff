"""``tracewall rls``: the migration by which a server holds a policy's row filters."""

from __future__ import annotations

from pathlib import Path

import click

from tracewall.cli.live import Unreachable, catalog, user
from tracewall.cli.screen import Missing, Refused, Unanswered, plain
from tracewall.errors import PolicyError
from tracewall.policy.load import load
from tracewall.policy.match import unmatched
from tracewall.policy.model import Policy
from tracewall.policy.rls import migration
from tracewall.sql.catalog import Catalog


@click.command(short_help="Print the migration that row filters need.")
@click.argument("policy", type=click.Path(path_type=Path))
@click.option("--dsn", required=True, help="The database, as a libpq connection string or URI.")
@click.option("--role", help="The role that the wall logs in as; by default the policy's user.")
@click.option(
    "--deny-others", is_flag=True, help="Leave other roles without rows, instead of as they are."
)
def rls(policy: Path, dsn: str, role: str | None, deny_others: bool) -> None:
    """Print the migration that makes the server hold a policy's row filters.

    Nothing is changed: read it, and run it as the owner of the tables. It may be run
    again at any time, and must be after row filters change.
    """
    try:
        found = load(policy)
        known = catalog(dsn)
        complaint = unmatched(found, _names(known))
        if complaint is not None:
            raise complaint
    except PolicyError as error:
        where = ":".join(str(part) for part in (error.path, error.line, error.column) if part)
        raise Refused(f"{where}: {error.message}", error.help) from None
    except Unreachable as error:
        raise Unanswered(f"the database can't be asked: {error}") from None
    told = migration(found, known, role or _user(found), others=not deny_others)
    plain(told.rstrip() or "-- Nothing is filtered by rows, and nothing was.")


def _names(known: Catalog) -> dict[str, list[str]]:
    return {
        relation.qualified: [column.name for column in relation.columns]
        for relation in known.relations.values()
    }


def _user(policy: Policy) -> str:
    found = user(policy.database.conninfo)
    if not found:
        raise Missing("which role the wall logs in as is not known: give --role")
    return found
