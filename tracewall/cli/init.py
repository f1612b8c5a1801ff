"""``tracewall init``: a first policy for a database, from its catalog and samples."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

import click
from rich.text import Text

from tracewall.cli.drafting import Draft, drafted
from tracewall.cli.facts import Facts, facts
from tracewall.cli.live import bare, catalog, server, with_user
from tracewall.cli.options import json_option
from tracewall.cli.proposal import Proposal, is_plain, propose, schemas_of
from tracewall.cli.scan import Seen, look
from tracewall.cli.screen import Missing, Refused, answer, console, plain, safe
from tracewall.errors import PolicyError
from tracewall.masking.config import Engine
from tracewall.masking.detectors import Detectors, DetectorsUnavailable, detectors
from tracewall.policy.load import loads
from tracewall.sql.catalog import Catalog

_ISSUER, _AUDIENCE, _GROUP = "https://login.example.com", "change-me", "analysts"


@click.command(short_help="Propose a policy for a database.")
@click.argument("dsn")
@click.option("-o", "--out", default="policy.toml", show_default=True,
              type=click.Path(path_type=Path, allow_dash=True),
              help="The new file; - for standard output.")  # fmt: skip
@click.option("--issuer", metavar="URL", help="Whose tokens are accepted: their `iss`.")
@click.option("--audience", metavar="NAME", help="Whom the tokens are for: their `aud`.")
@click.option("--group", "groups", multiple=True, metavar="NAME",
              help="A group that may read; may be repeated.")  # fmt: skip
@click.option("--role", default="tracewall_service", show_default=True, metavar="NAME",
              help="The role that the wall is to log in as.")  # fmt: skip
@click.option("--schema", "chosen", multiple=True, metavar="NAME",
              help="Only this schema; may be repeated.")  # fmt: skip
@click.option("--rows", default=1000, show_default=True, type=click.IntRange(0, 1_000_000),
              help="The most rows to sample of a table; 0: no values are looked at.")  # fmt: skip
@click.option("--seconds", default=10.0, show_default=True, type=click.FloatRange(0.1, 3600),
              help="The longest time for a table.")  # fmt: skip
@click.option("-y", "--yes", is_flag=True, help="Ask nothing: leave stubs to be changed.")
@json_option("Print one JSON object on what was found.")
def init(
    dsn: str,
    out: Path,
    issuer: str | None,
    audience: str | None,
    groups: Sequence[str],
    role: str,
    chosen: Sequence[str],
    rows: int,
    seconds: float,
    yes: bool,
    as_json: bool,
) -> None:
    """Propose a policy for the database DSN, with its reasons in comments.

    DSN is a libpq connection string or URI. Tables are sampled, in transactions that can't
    write and that run no function of the database's users; values are counted, and neither
    printed nor kept. Masks come from names, types and what detectors find. Issuer, audience
    and groups are asked for on a terminal, unless they are given or --yes is. An existing
    file is never replaced.
    """
    to_file = str(out) != "-"
    if to_file and out.exists():
        raise Missing(f"{out} is there already", "give another name by --out, or move it away")
    known = catalog(dsn)
    schemas = _schemas(known, chosen)
    asking = not yes and sys.stdin.isatty() and sys.stderr.isatty()
    told = issuer or _asked("Issuer of the tokens (their iss)", _ISSUER, asking)
    whom = audience or _asked("Audience (their aud)", _AUDIENCE, asking)
    named = tuple(groups) or _groups(asking)
    engine, finder = _detectors()
    more, seen = _looked(dsn, finder, rows, seconds, tuple(schemas))
    proposal = propose(known, more, seen.columns, frozenset(schemas))
    draft = Draft(
        str(out) if to_file else "policy.toml", known.database, with_user(bare(dsn), role), role,
        told, whom, named, schemas, _example(known, schemas), engine,
        stub=_ISSUER in told or whom == _AUDIENCE,
    )  # fmt: skip
    text = drafted(draft, proposal)
    _complain(text)
    if to_file:
        _write(out, text)
    if as_json:
        answer(_as_json(draft, proposal, seen, "" if to_file else text))
    elif to_file:
        _sum(draft, proposal, seen)
    else:
        plain(text.rstrip("\n"))


def _schemas(known: Catalog, chosen: Sequence[str]) -> dict[str, int]:
    found = schemas_of(known)
    for name in chosen:
        if name not in found:
            there = f"there are: {', '.join(found)}"
            raise Missing(f"there are no tables in a schema {name}", there)
    kept = {name: count for name, count in found.items() if not chosen or name in chosen}
    usable = {name: count for name, count in kept.items() if not set(name) & set('."*')
              and name.isprintable()}  # fmt: skip
    if not usable:
        raise Refused("there are no tables to grant", "is it the right database?")
    return usable


def _asked(what: str, usual: str, asking: bool) -> str:
    return str(click.prompt(what, default=usual, err=True)) if asking else usual


def _groups(asking: bool) -> tuple[str, ...]:
    told = _asked("Groups that may read (separated by commas)", _GROUP, asking)
    return tuple(filter(None, (part.strip() for part in told.split(",")))) or (_GROUP,)


def _detectors() -> tuple[Engine, Detectors]:
    try:
        return "re2", detectors(("*",))
    except DetectorsUnavailable:
        # The policy says so, and it can be changed once the extra is there.
        return "builtin", detectors(("*",), engine="builtin")


def _looked(
    dsn: str, finder: Detectors, rows: int, seconds: float, schemas: Sequence[str]
) -> tuple[Facts, Seen]:
    with server(dsn) as asked:
        more = facts(asked)
        if not rows:
            return more, Seen()
        asked.limit(seconds)
        return more, look(asked.connection, finder, rows, schemas)


def _example(known: Catalog, schemas: dict[str, int]) -> str:
    tables = (r for r in known.relations.values() if r.kind in "rp" and r.schema in schemas)
    names = sorted(table.qualified for table in tables if is_plain(table.qualified))
    return next(iter(names), "")


def _complain(text: str) -> None:
    """Raise Missing where what was given does not make a policy: an issuer that is no URL, say."""
    try:
        loads(text)
    except PolicyError as error:
        raise Missing(f"this does not make a policy: {error.message}", error.help) from None


def _write(out: Path, text: str) -> None:
    try:
        # A link or a file that has come meanwhile is not followed nor replaced.
        made = os.open(out, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o640)
        with open(made, "w", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise Missing(f"{out} can't be written: {error.strerror}") from None


def _as_json(draft: Draft, proposal: Proposal, seen: Seen, text: str) -> dict[str, object]:
    return {
        "path": draft.path if not text else "",
        "schemas": list(draft.schemas),
        "stub": draft.stub,
        "hidden": [
            {"column": each.column, "by": each.method.name if each.method else "scan",
             "kind": each.kind, "evidence": each.evidence}
            for each in proposal.hidden
        ],
        "unnamed": list(proposal.unnamed),
        "tenants": [
            {"schema": each.schema, "column": each.column, "tables": list(each.tables)}
            for each in proposal.tenants
        ],
        "skipped": seen.skipped,
        "toml": text,
    }  # fmt: skip


def _sum(draft: Draft, proposal: Proposal, seen: Seen) -> None:
    out = console()
    masked = sum(each.method is not None for each in proposal.hidden)
    said = f"{draft.path}: {masked} columns masked, {len(proposal.scans)} scanned"
    out.print(Text.assemble(("wrote ", "bold green"), safe(said)), soft_wrap=True)
    for name, problem in seen.skipped.items():
        out.print(Text(f"   not looked at: {safe(name)} ({problem})"), soft_wrap=True)
    if draft.stub:
        out.print(Text("   change the issuer and the audience: they are made up"), soft_wrap=True)
    out.print(Text(f"   next: tracewall check {safe(draft.path)} --dsn ..."), soft_wrap=True)
