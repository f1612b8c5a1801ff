"""``tracewall check``: is a policy valid, in itself and against a live catalog."""

from __future__ import annotations

import json
from pathlib import Path
from typing import NoReturn

import click
from rich.text import Text

from tracewall.cli.live import Unreachable, catalog
from tracewall.cli.screen import Missing, Refused, console, plain, safe
from tracewall.errors import PolicyError
from tracewall.policy.exposed import exposed
from tracewall.policy.load import load
from tracewall.policy.match import column_names, unmatched
from tracewall.policy.model import Policy
from tracewall.policy.weaknesses import Weakness, weaknesses
from tracewall.shield import Shield

_ANY_KEY = b"only to see whether one is needed"


@click.command()
@click.argument("policy", type=click.Path(path_type=Path))
@click.option("--dsn", help="Check against this database too: a libpq connection string or URI.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def check(policy: Path, dsn: str | None, as_json: bool) -> None:
    """Check a policy file.

    Without --dsn it is checked in itself: its form, its values, contradictions. With it
    every name must also match something in that database. The first complaint is printed
    as path:line:column, and the exit code is 1. What weakens the guard on purpose (a lifted
    mask, free comparisons, statements that are not followed) is told, and is no complaint; so are
    files that everybody may change, or read though they hold a secret.
    """
    try:
        found = load(policy)
        Shield(found, dict.fromkeys(("", *(key.id for key in found.keys)), _ANY_KEY))
        if dsn is not None:
            _against(found, dsn)
    except PolicyError as error:
        _complain(error, as_json)
    except Unreachable as error:
        raise Missing(f"the database can't be asked: {error}") from None
    _praise(found, dsn, as_json)


def _against(policy: Policy, dsn: str) -> None:
    """Raise the first PolicyError that the catalog behind `dsn` gives reason for."""
    complaint = unmatched(policy, column_names(catalog(dsn)))
    if complaint is not None:
        raise complaint


def _complain(error: PolicyError, as_json: bool) -> NoReturn:
    if not as_json:
        where = ":".join(str(part) for part in (error.path, error.line, error.column) if part)
        raise Refused(f"{where}: {error.message}", error.help)
    told = {"path": error.path, "line": error.line, "column": error.column}
    plain(json.dumps({"ok": False, **told, "message": error.message, "help": error.help}))
    raise click.exceptions.Exit(1)


def _weak(policy: Policy) -> list[Weakness]:
    found = [*weaknesses(policy), *exposed(policy)]
    return sorted(found, key=lambda weakness: weakness.line)


def _praise(policy: Policy, dsn: str | None, as_json: bool) -> None:
    counts = {
        name: len(getattr(policy, name))
        for name in ("issuers", "grants", "denials", "masks", "scans")
    }
    if as_json:
        found = {"ok": True, "path": policy.path, "hash": policy.hash, "live": dsn is not None}
        weak = [weakness._asdict() for weakness in _weak(policy)]
        plain(json.dumps(found | counts | {"weaknesses": weak}))
        return
    counted = ", ".join(
        f"{count} {name.removesuffix('s') if count == 1 else name}"
        for name, count in counts.items()
    )
    lines = [f"{counted}; hash {policy.hash[:12]}"]
    if dsn is None:
        lines.append("checked in itself only; --dsn checks its names against a database")
    out = console()
    out.print(Text.assemble(("ok ", "bold green"), safe(policy.path)), soft_wrap=True)
    for line in lines:
        out.print(Text(f"   {line}", "dim"), soft_wrap=True)
    for each in _weak(policy):
        said = f"line {each.line}: {each.rule} {each.how}"
        told = Text.assemble(("weak ", "bold yellow"), safe(said))
        out.print(told, soft_wrap=True)
