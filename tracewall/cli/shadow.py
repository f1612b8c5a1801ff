"""``tracewall shadow``: what rules that are only observed would have done."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
from rich.text import Text

from tracewall.audit.verify import records
from tracewall.cli.audit_database import present
from tracewall.cli.groups import Group
from tracewall.cli.options import SINCE, UNTIL, json_option
from tracewall.cli.screen import Missing, answer, console, plain, safe
from tracewall.trials.watched import GROUPINGS, Watched, suggested, watched

_COLOURS = {"would_refuse": "bold red", "would_ask": "bold yellow", "would_mask": "yellow"}
_SHOWN = 3


@click.group(cls=Group)
def shadow() -> None:
    """Look at what rules in shadow would have done.

    The same goes for a policy that is observed as a whole.
    """


@shadow.command()
@click.argument("logs", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
@click.option(
    "--by",
    type=click.Choice(GROUPINGS),
    default="rule",
    show_default=True,
    help="What statements are grouped by.",
)
@SINCE
@UNTIL
@click.option("--suggest", is_flag=True, help="Print grants that would allow what lacked one.")
@json_option("Print one JSON object for each group.")
def report(
    logs: tuple[Path, ...],
    by: str,
    since: float | None,
    until: float | None,
    suggest: bool,
    as_json: bool,
) -> None:
    """Tell what would have been refused or masked, or would have needed approval.

    It is read from LOGS, which are audit logs. Statements are grouped by the rule, by who
    sent them, or by the tables they touch. The exit code is 1 where anything
    would have been refused or asked, so that a rollout can wait for 0.
    """
    found, total = watched(_between(logs, since, until), by)
    if suggest:
        for grant in suggested(found):
            plain(grant + "\n")
    elif as_json:
        for group in found:
            answer(group.as_json())
    else:
        _tell(found, total, by)
    raise click.exceptions.Exit(1 if any(g.outcome != "would_mask" for g in found) else 0)


def _between(
    logs: tuple[Path, ...], since: float | None, until: float | None
) -> Iterator[dict[str, Any]]:
    try:
        for log in logs:
            present(log)
            for record in records(log):
                at = record.get("at")
                if not isinstance(at, int | float):
                    continue
                if (since is None or at >= since) and (until is None or at < until):
                    yield record
    except OSError as error:
        raise Missing(f"the log can't be read: {error.strerror or error}") from None


def _tell(found: list[Watched], total: int, by: str) -> None:
    out = console()
    for group in found:
        head = (group.outcome.replace("_", " "), _COLOURS[group.outcome])
        out.print(
            Text.assemble(head, f"  {safe(group.key)}  ", (f"{group.times}x", "bold")),
            soft_wrap=True,
        )
        lines = [(reason, times) for reason, times in group.reasons.most_common(_SHOWN) if reason]
        if by != "rule":
            lines += group.rules.most_common(_SHOWN)
        for text, times in lines:
            out.print(Text(f"    {times}x {safe(text)}", "dim"), soft_wrap=True)
        if by != "who":
            people = (f"{safe(who)} {times}x" for who, times in group.who.most_common(_SHOWN))
            out.print(Text(f"    by {', '.join(people)}", "dim"), soft_wrap=True)
        for text, times in group.shapes.most_common(_SHOWN):
            out.print(Text(f"    {times}x {safe(text)}"), soft_wrap=True)
    met = sum(group.times for group in found)
    what = "" if by != "table" else " (a statement counts for each of its tables)"
    out.print(f"{met} of {total} statements would have gone otherwise{what}")
