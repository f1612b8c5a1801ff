"""``tracewall check``: is a policy valid, in itself and against a live catalog."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click
from rich.text import Text

from tracewall.cli.facts import facts
from tracewall.cli.findings import IGNORE, Finding, is_ignored, kept, tell, worst
from tracewall.cli.live import catalog, server
from tracewall.cli.options import JSON, policy_argument
from tracewall.cli.reading import complaint, place, text_in
from tracewall.cli.screen import Refused, answer, console, safe, several
from tracewall.errors import PolicyError
from tracewall.masking.detectors import DetectorsUnavailable
from tracewall.policy.exposed import exposed
from tracewall.policy.load import of_text
from tracewall.policy.match import column_names, misses
from tracewall.policy.model import Policy
from tracewall.policy.review import review
from tracewall.policy.weaknesses import Weakness, weaknesses
from tracewall.shield import Shield
from tracewall.trust import verifier_of

_ANY_KEY = b"only to see whether one is needed"


@click.command()
@policy_argument
@click.option("--dsn", help="Check against this database too: a libpq connection string or URI.")
@click.option("--strict", is_flag=True, help="Fail on warnings and weaknesses too.")
@IGNORE
@JSON
def check(
    policy: Path, dsn: str | None, strict: bool, ignored: Sequence[str], as_json: bool
) -> None:
    """Check a policy file.

    Without --dsn it is checked in itself: its form, its values, contradictions. With it
    every name must also match something in that database, and the policy is looked through
    for rules that do nothing or reach far, and for columns that look like masked ones. Each
    finding is printed as path:line:column. The exit code is 1 where there is an error, with
    --strict also where there is a warning or a weakness. Weaknesses are what lets more
    through on purpose (a lifted mask, free comparisons, statements that are not followed),
    and files that everybody may change, or read though they hold a secret. --ignore lets
    those pass that are meant: --ignore weak:grants.support.
    """
    text = text_in(policy)
    try:
        found = of_text(text, str(policy))
        Shield(found, dict.fromkeys(("", *(key.id for key in found.keys)), _ANY_KEY))
        verifier_of(found)
        listed = kept(_against(found, dsn) if dsn is not None else [], ignored)
    except PolicyError as error:
        if isinstance(error.__context__, DetectorsUnavailable):
            # Nothing is wrong with the policy: there is no verdict without the library.
            raise complaint(error) from None
        _unreadable(error, as_json)
    weak = [
        each for each in _weak(found) if not is_ignored("weak", f"{each.rule} {each.how}", ignored)
    ]
    fails = worst(listed, strict=strict) or (strict and bool(weak))
    if as_json:
        _as_json(found, dsn, listed, weak, fails)
    else:
        tell(listed, safe(found.path))
        _sum(found, dsn, weak, fails)
    raise click.exceptions.Exit(1 if fails else 0)


def _against(policy: Policy, dsn: str) -> list[Finding]:
    """Find what is wrong with a policy for the database behind `dsn`."""
    known = catalog(dsn)
    missing = misses(policy, column_names(known))
    found = [
        Finding("unknown", "error", miss.message, miss.help, miss.line, miss.column)
        for miss in missing
    ]
    with server(dsn) as asked:
        more = facts(asked)
    found += [
        Finding(remark.check, remark.severity, remark.message, remark.help, remark.line,
                remark.column)
        for remark in review(policy, known, more.types, more.keys)
    ]  # fmt: skip
    return sorted(found, key=lambda each: (each.line, each.column))


def _unreadable(error: PolicyError, as_json: bool) -> None:
    """Tell the first complaint of a policy that is none."""
    if not as_json:
        raise Refused(f"{place(error)}: {error.message}", error.help)
    told = {"path": error.path, "line": error.line, "column": error.column}
    found = Finding("invalid", "error", error.message, error.help, error.line, error.column)
    said = {"message": error.message, "help": error.help, "findings": [found.as_json()]}
    answer({"ok": False} | told | said)
    raise click.exceptions.Exit(1)


def _weak(policy: Policy) -> list[Weakness]:
    found = [*weaknesses(policy), *exposed(policy)]
    return sorted(found, key=lambda weakness: weakness.line)


def _counts(policy: Policy) -> dict[str, int]:
    sections = ("issuers", "grants", "denials", "masks", "scans")
    return {name: len(getattr(policy, name)) for name in sections}


def _as_json(
    policy: Policy, dsn: str | None, found: list[Finding], weak: list[Weakness], fails: bool
) -> None:
    told: dict[str, object] = {"ok": not fails, "path": policy.path, "hash": policy.hash}
    listed = [each.as_json() for each in found]
    told |= {"live": dsn is not None, **_counts(policy)}
    answer(told | {"weaknesses": [each._asdict() for each in weak], "findings": listed})


def _sum(policy: Policy, dsn: str | None, weak: list[Weakness], fails: bool) -> None:
    counted = ", ".join(
        several(count, name.removesuffix("s")) for name, count in _counts(policy).items()
    )
    lines = [f"{counted}; hash {policy.hash[:12]}"]
    if dsn is None:
        lines.append("checked in itself only; --dsn checks its names against a database")
    out = console()
    head = ("not ok ", "bold red") if fails else ("ok ", "bold green")
    out.print(Text.assemble(head, safe(policy.path)), soft_wrap=True)
    for line in lines:
        out.print(Text(f"   {line}", "dim"), soft_wrap=True)
    for each in weak:
        said = f"line {each.line}: {each.rule} {each.how}"
        told = Text.assemble(("weak ", "bold yellow"), safe(said))
        out.print(told, soft_wrap=True)
