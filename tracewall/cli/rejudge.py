"""``tracewall sessions judge``: what another policy would have said of recorded statements.

Recorded texts are free of literals: each ``?`` is judged as a parameter. So what hangs on
a literal can differ from what was said then: see docs/reference/recordings.md.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple, TypeAlias

import click
from rich.text import Text

from tracewall.cli.live import catalog
from tracewall.cli.options import DSN, json_option, policy_option
from tracewall.cli.reading import reached, read
from tracewall.cli.screen import Refused, answer, console, safe, several
from tracewall.cli.tapes import KEY, PATH, every, keys, reading, store
from tracewall.judge import decision_on
from tracewall.policy.model import Decision, Policy
from tracewall.recording.course import Course
from tracewall.recording.shown import Spoken
from tracewall.sql.catalog import Catalog
from tracewall.trials.corpus import parametrized, recorded_party


class Change(NamedTuple):
    """How another policy differs on a statement: what was said then, and what is said now."""

    text: str
    before: str
    now: str
    groups: tuple[str, ...]


Verdict: TypeAlias = Change | Literal["same", "unread"]

_MOST: Final = 10_000


@click.command()
@PATH
@click.argument("id", required=False, default="")
@KEY
@policy_option("The policy to judge by.", "--policy")
@DSN
@json_option("Print one JSON object for each change.")
def judge(
    path: str, id: str, key: Path | None, policy: Path, dsn: str | None, as_json: bool
) -> None:
    """Judge recorded statements by another policy, and show what would change.

    The database is asked for its catalog only; nothing is executed. Recorded texts have no
    literals, so parameters stand in their place. The exit code is 1 where anything changes.
    """
    judged = read(policy)
    known = catalog(reached(judged, dsn))
    place, identities, tally = store(path), keys(key), Tally()
    for entry in every(place, id):
        with reading(place, entry, identities) as lines:
            for verdict in verdicts(Course(lines, 0), judged, known):
                tally.add(verdict)
            if lines.proof.fault:
                tally.damaged.append(f"{entry.id}: {lines.proof.fault}")
    for change, times in tally.changes.most_common():
        if as_json:
            answer({**change._asdict(), "times": times})
        else:
            _tell(change, times)
    if not as_json:
        console().print(tally.told())
    if tally.damaged:
        help = "what stands in them before that was judged"
        raise Refused(f"can't be read to the end: {', '.join(tally.damaged)}", help)
    raise click.exceptions.Exit(1 if tally.changes else 0)


class Tally:
    """What another policy would say otherwise, counted; so many different changes are kept."""

    def __init__(self) -> None:
        self.changes = Counter[Change]()
        self.damaged: list[str] = []
        self._judged = self._unread = self._more = 0

    def add(self, verdict: Verdict) -> None:
        """Count what is said of one statement."""
        self._unread += verdict == "unread"
        self._judged += verdict != "unread"
        if isinstance(verdict, Change):
            if verdict in self.changes or len(self.changes) < _MOST:
                self.changes[verdict] += 1
            else:
                self._more += 1

    def told(self) -> str:
        """Sum it up."""
        changed = sum(self.changes.values()) + self._more
        told = f"{several(self._judged, 'statement')} judged, {changed} would change"
        told += f", {self._unread} can't be judged without their literals" * bool(self._unread)
        return told + f"; {self._more} of the changes are not listed" * bool(self._more)


def verdicts(course: Course, policy: Policy, known: Catalog) -> Iterator[Verdict]:
    """Yield for each of a session's statements what a policy would say otherwise.

    ``unread`` is for one that was read then, and can't be without its literals. Where others
    act for the caller, each of them has to be allowed it, too.
    """
    party = recorded_party(course)
    parties = [party.groups, *party.actors]
    for spoken in course:
        if spoken.goes_on:
            continue
        sql = parametrized(spoken.text).encode(errors="replace")
        said = [decision_on(sql, policy, known, frozenset(party)) for party in parties]
        now = next((each for each in said if not each.allowed), said[0])
        then, told = _then(spoken), _now(now)
        if now.unreadable and spoken.decision == "allowed":
            yield "unread"
        else:
            yield "same" if then == told else Change(spoken.text, then, told, party.groups)


def _then(spoken: Spoken) -> str:
    if spoken.decision != "allowed":
        return f"{spoken.decision} by {spoken.rule}"
    return _shown((column.name, column.rule) for column in spoken.columns)


def _now(decision: Decision) -> str:
    if not decision.allowed:
        return f"{decision.outcome} by {decision.rule}"
    return _shown((column.name, column.rule) for column in decision.columns)


def _shown(columns: Any) -> str:
    masked = [f"{name} by {rule}" for name, rule in columns if rule]
    return f"allowed, masks {', '.join(masked)}" if masked else "allowed, masks nothing"


def _tell(change: Change, times: int) -> None:
    out = console()
    out.print(Text(f"{safe(change.text)}  ({times}x)", "bold"), soft_wrap=True)
    out.print(Text(f"  - {safe(change.before)}", "red"), soft_wrap=True)
    out.print(Text(f"  + {safe(change.now)}", "green"), soft_wrap=True)
