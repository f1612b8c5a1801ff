"""``tracewall rls``: the migration by which a server holds a policy's row filters."""

from __future__ import annotations

from pathlib import Path

import click

from tracewall.cli.live import user
from tracewall.cli.options import DSN, JSON, policy_argument
from tracewall.cli.reading import against, reached, read
from tracewall.cli.screen import Missing, answer, plain
from tracewall.policy.model import Policy
from tracewall.policy.rls import migration


@click.command(short_help="Print the migration that row filters need.")
@policy_argument
@DSN
@click.option("--role", help="The role that the wall logs in as; by default the policy's user.")
@click.option(
    "--deny-others", is_flag=True, help="Leave other roles without rows, instead of as they are."
)
@JSON
def rls(policy: Path, dsn: str | None, role: str | None, deny_others: bool, as_json: bool) -> None:
    """Print the migration that makes the server hold a policy's row filters.

    Nothing is changed: read it, and run it as the owner of the tables. It may be run
    again at any time, and must be after row filters change.
    """
    found = read(policy)
    known = against(found, reached(found, dsn))
    name = role or _user(found)
    told = migration(found, known, name, others=not deny_others)
    if as_json:
        answer({"role": name, "sql": told})
        return
    plain(told.rstrip() or "-- Nothing is filtered by rows, and nothing was.")


def _user(policy: Policy) -> str:
    found = user(policy.database.conninfo)
    if not found:
        raise Missing("which role the wall logs in as is not known: give --role")
    return found
