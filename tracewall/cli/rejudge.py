"""``tracewall sessions judge``: what another policy would have said of recorded statements.

Recorded texts are free of literals: each ``?`` is judged as a parameter. So what hangs on
a literal can differ from what was said then: see docs/reference/recordings.md.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import click
from rich.text import Text

from tracewall.cli.options import DSN, json_option, policy_option
from tracewall.cli.reading import live, read
from tracewall.cli.screen import answer, console, safe
from tracewall.cli.tapes import KEY, PATH, every, keys, loaded
from tracewall.judge import decision_on
from tracewall.policy.model import Decision, Policy
from tracewall.recording.shown import Seen, Spoken
from tracewall.sql.catalog import Catalog
from tracewall.trials.corpus import parametrized, recorded_party


class Change(NamedTuple):
    """How another policy differs on a statement: what was said then, and what is said now."""

    text: str
    before: str
    now: str
    groups: tuple[str, ...]


@click.command()
@PATH
@click.argument("id", required=False, default="")
@KEY
@policy_option("The policy to judge by.", "--policy")
@DSN
@json_option("Print one JSON object for each change.")
def judge(path: str, id: str, key: Path | None, policy: Path, dsn: str, as_json: bool) -> None:
    """Judge recorded statements by another policy, and show what would change.

    The database is asked for its catalog only; nothing is executed. Recorded texts have no
    literals, so parameters stand in their place. The exit code is 1 where anything changes.
    """
    judged, known = read(policy), live(dsn)
    found, total = Counter[Change | None](), 0
    identities = keys(key)
    for entry in every(path, id):
        seen, _ = loaded(path, entry, identities, 0)
        total += len(seen.statements)
        found.update(changes(seen, judged, known))
    unread = found.pop(None, 0)
    for change, times in found.most_common():
        if change is None:
            continue
        if as_json:
            answer({**change._asdict(), "times": times})
        else:
            _tell(change, times)
    if not as_json:
        told = f"{total - unread} statements judged, {sum(found.values())} would change"
        console().print(told + f", {unread} can't be judged without their literals" * bool(unread))
    raise click.exceptions.Exit(1 if found else 0)


def changes(seen: Seen, policy: Policy, known: Catalog) -> Iterator[Change | None]:
    """Yield what a policy would say otherwise of a session's statements.

    None is for a statement that was read then, and can't be without its literals.

    Where others act for the caller, each of them has to be allowed it, too.
    """
    party = recorded_party(seen)
    parties = [party.groups, *party.actors]
    for spoken in seen.statements:
        sql = parametrized(spoken.text).encode()
        said = [decision_on(sql, policy, known, frozenset(party)) for party in parties]
        now = next((each for each in said if not each.allowed), said[0])
        then, told = _then(spoken), _now(now)
        if now.unreadable and spoken.decision == "allowed":
            yield None
        elif then != told:
            yield Change(spoken.text, then, told, party.groups)


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
