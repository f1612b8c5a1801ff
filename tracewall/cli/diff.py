"""``tracewall diff``: what another policy would let through, hide, or refuse."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource
from rich.text import Text

from tracewall.audit.verify import records
from tracewall.cli.live import catalog as catalog_of
from tracewall.cli.options import FILE, json_option, policy_option
from tracewall.cli.reading import matching
from tracewall.cli.reading import read as read_policy
from tracewall.cli.screen import Missing, answer, console, safe, several
from tracewall.cli.tapes import KEY, every, keys, reading, store
from tracewall.policy.model import Policy
from tracewall.recording.course import Course
from tracewall.sql.catalog import Catalog, read
from tracewall.sql.grammar import Unparsable
from tracewall.trials.catalogs import CatalogMissing, from_snapshot
from tracewall.trials.corpus import Sample, of_file, of_records, of_session, of_tests, parties_of
from tracewall.trials.differences import Difference, Side, compared
from tracewall.trials.format import Party
from tracewall.trials.load import load as load_tests
from tracewall.trials.structure import rights, settings

_PATH = click.Path(exists=True, path_type=Path)
_COLOURS = {True: "bold red", False: "green"}


@click.command()
@click.argument(
    "policies", nargs=-1, required=True, metavar="[OLD] NEW", type=click.Path(path_type=Path)
)
@policy_option("The policy file, in place of OLD.", required=False)
@click.option("--dsn", help="The database: a libpq connection string or URI.")
@click.option("--catalog", type=FILE, help="In its place, a snapshot made by tracewall catalog.")
@click.option(
    "--as", "parties", multiple=True, help="A principal, as NAME=GROUP,GROUP; may be repeated."
)
@click.option(
    "--statements",
    multiple=True,
    type=FILE,
    help="An SQL file of statements, with $1 for values; may be repeated.",
)
@click.option("--tests", multiple=True, type=FILE, help="A file of policy tests; may be repeated.")
@click.option(
    "--sessions", multiple=True, type=_PATH, help="A directory of recordings; may be repeated."
)
@KEY
@click.option("--audit", multiple=True, type=_PATH, help="An audit log; may be repeated.")
@json_option("Print one JSON object per difference.")
def diff(
    policies: tuple[Path, ...],
    policy: Path | None,
    dsn: str | None,
    catalog: Path | None,
    parties: tuple[str, ...],
    as_json: bool,
    **corpus: Any,
) -> None:
    """Compare two policies: what would change, for whom.

    It tells what NEW would allow, mask, ask for or refuse where OLD does not. Rights and
    masks are compared on every column of the catalog, for each group that a policy names and
    for the principals given by --as; settings one by one. Statements of SQL files, policy
    tests, recorded sessions and audit logs are judged by both policies. Nothing is executed.
    The exit code is 1 where something loosens, and 0 where nothing does; what can't be ranked
    counts as loosening.
    """
    pair = _pair(policies, policy)
    known = _catalog(dsn, catalog)
    before, now = (Side(_policy(path, known), known) for path in pair)
    people = [_party(text) for text in parties]
    everybody = people or parties_of(before.policy, now.policy)
    found = list(settings(before.policy, now.policy))
    found += rights([*parties_of(before.policy, now.policy), *people], before, now)
    samples = list(dict.fromkeys(_samples(**corpus)))
    for sample in samples:
        found += compared(sample, everybody, before, now)
    told = Counter(found)
    if as_json:
        for each, times in told.items():
            answer({**each._asdict(), "loosens": each.loosens, "times": times})
    else:
        _tell(list(told), len(samples))
    raise click.exceptions.Exit(1 if any(each.loosens for each in told) else 0)


def _pair(given: tuple[Path, ...], policy: Path | None) -> tuple[Path, Path]:
    """Give the old policy and the new one; the old may be the one that is in use."""
    named = click.get_current_context().get_parameter_source("policy")
    if len(given) == 1 and policy is not None:
        return policy, given[0]
    if len(given) != 2 or named is ParameterSource.COMMANDLINE:
        help = "write tracewall diff OLD NEW; OLD may be named by --config or TRACEWALL_CONFIG"
        raise Missing("an old policy and a new one are needed", help)
    return given[0], given[1]


def _catalog(dsn: str | None, snapshot: Path | None) -> Catalog:
    if (dsn is None) == (snapshot is None):
        raise Missing("one of --dsn and --catalog is needed", "tracewall catalog makes a snapshot")
    try:
        return catalog_of(dsn) if dsn is not None else read(from_snapshot(snapshot or Path()))
    except CatalogMissing as error:
        raise Missing(str(error)) from None


def _policy(path: Path, known: Catalog) -> Policy:
    policy = read_policy(path)
    matching(policy, known)
    return policy


def _party(text: str) -> Party:
    name, equal, groups = text.partition("=")
    if not name or not equal:
        raise Missing(f"--as {text}: this is no principal", "write --as ana=analysts,leads")
    return Party(name, tuple(filter(None, map(str.strip, groups.split(",")))))


def _samples(
    statements: Sequence[Path],
    tests: Sequence[Path],
    sessions: Sequence[Path],
    audit: Sequence[Path],
    key: Path | None,
) -> Iterator[Sample]:
    try:
        for path in statements:
            yield from of_file(path.read_text("utf-8"))
        for path in tests:
            yield from of_tests(load_tests(path))
        identities = keys(key)
        for path in sessions:
            place = store(str(path))
            for entry in every(place):
                with reading(place, entry, identities) as lines:
                    yield from of_session(Course(lines, 0))
        for path in audit:
            yield from of_records(records(path))
    except (OSError, ValueError, Unparsable) as error:
        raise Missing(f"the statements can't be read: {error}") from None


def _tell(found: list[Difference], judged: int) -> None:
    out = console()
    found.sort(key=lambda each: (not each.loosens, each.kind, each.who))
    for (loosens, kind), alike in groupby(found, lambda each: (each.loosens, each.kind)):
        out.print(Text(kind, _COLOURS[loosens]))
        for each in alike:
            whom = f"{safe(each.who)}: " if each.who else ""
            out.print(Text(f"  {whom}{safe(each.what)}"), soft_wrap=True)
            for sign, text, style in (("-", each.before, "dim"), ("+", each.now, "")):
                if text:
                    out.print(Text(f"      {sign} {safe(text)}", style), soft_wrap=True)
    loose = sum(each.loosens for each in found)
    told = f"{several(len(found), 'difference')}, {loose} of them loosen; "
    told += f"{several(judged, 'statement')} judged"
    out.print(Text(told, _COLOURS[bool(loose)]))
