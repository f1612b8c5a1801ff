"""Statements to compare policies by, with whose they are.

Texts of recordings and of the audit log are free of literals: each ``?`` is taken for a
parameter, so what hangs on a literal can't be compared by them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from tracewall.policy.model import Policy
from tracewall.recording.course import Course
from tracewall.sql.grammar import split
from tracewall.trials.format import Party
from tracewall.trials.load import Sheet
from tracewall.trials.run import rendered

_NUMBERED = re.compile(r"\$(\d{1,5})")


class Sample(NamedTuple):
    """A statement for the wire, and who sends it (None: any of the principals asked about)."""

    sql: str
    party: Party | None = None


def parametrized(text: str) -> str:
    """Number the parameters of a literal-free text, as PostgreSQL writes them."""
    parts = text.split("?")
    highest = max(map(int, _NUMBERED.findall(text)), default=0)
    numbered = (f"${highest + at}{part}" for at, part in enumerate(parts[1:], 1))
    return parts[0] + "".join(numbered)


def of_file(text: str) -> Iterator[Sample]:
    """Give the statements of an SQL file; parameters are ``$1``. Raises Unparsable."""
    for statement in split(text):
        yield Sample(statement)


def of_tests(sheet: Sheet) -> Iterator[Sample]:
    """Give the statements of a file of policy tests, each with each of its principals."""
    for trial in sheet.trials.tests:
        sql, _ = rendered(trial.sql, trial.parameters)
        for name in trial.who:
            yield Sample(sql.decode(), sheet.parties[name])


def of_session(course: Course) -> Iterator[Sample]:
    """Give the statements of a recorded session, as its principal's."""
    party = recorded_party(course)
    for spoken in course:
        if not spoken.goes_on:
            yield Sample(parametrized(spoken.text), party)


def recorded_party(course: Course) -> Party:
    """Give the principal of a recorded session; its groups are in the recording's header."""
    header = course.header
    groups = tuple(map(str, header.get("groups") or ()))
    actors = tuple(tuple(map(str, actor["groups"])) for actor in header.get("actors") or ())
    return Party(course.who, groups, actors)


def of_records(records: Iterable[Mapping[str, Any]]) -> Iterator[Sample]:
    """Give the statements of an audit log, each text once; it does not know groups."""
    seen: set[str] = set()
    for record in records:
        what = record.get("what")
        text = what.get("text") if isinstance(what, dict) else None
        if isinstance(text, str) and text and text not in seen:
            seen.add(text)
            yield Sample(parametrized(text))


def parties_of(*policies: Policy) -> list[Party]:
    """Give a principal for each group that a policy names, and one without any group.

    A pattern is taken for a group that is called so, which it matches.
    """
    names: dict[str, None] = {}
    for policy in policies:
        for rules in (policy.grants, policy.denials, policy.functions, policy.approvals):
            for rule in rules:
                names |= dict.fromkeys(glob.text for glob in rule.groups)
    known = [Party(name, (name,)) for name in sorted(names) if name.strip("*")]
    return [*known, Party("no group")]
