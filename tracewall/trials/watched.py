"""What rules that are only observed would have done, gathered from the audit record."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

KINDS = ("would_refuse", "would_ask", "would_mask")
GROUPINGS = ("rule", "who", "table")


@dataclass
class Watched:
    """Statements that one rule would have treated alike.

    ``key`` is the rule, the subject or the table by which they are grouped; ``who`` counts
    statements by subject, ``shapes`` by literal-free text, ``needs`` has what they touch:
    columns, by relation and by what a statement does to it.
    """

    outcome: str
    key: str
    times: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    rules: Counter[str] = field(default_factory=Counter)
    who: Counter[str] = field(default_factory=Counter)
    shapes: Counter[str] = field(default_factory=Counter)
    needs: dict[tuple[str, tuple[str, ...]], set[str]] = field(default_factory=dict)

    def add(self, record: Mapping[str, Any]) -> None:
        """Count a statement."""
        who, what = _part(record, "who"), _part(record, "what")
        would = _part(what, "would")
        self.times += 1
        self.reasons[_text(would.get("reason"))] += 1
        self.rules[_text(would.get("rule"))] += 1
        self.who[_text(who.get("subject"))] += 1
        self.shapes[_text(what.get("text")) or _text(what.get("summary"))] += 1
        columns = _part(what, "columns")
        for relation, actions in _part(what, "relations").items():
            done = sorted(map(_text, actions if isinstance(actions, list) else ()))
            named = self.needs.setdefault((_text(relation), tuple(done)), set())
            of = columns.get(relation)
            named.update(map(_text, of if isinstance(of, list) else ()))

    def as_json(self) -> dict[str, Any]:
        """Give it as one JSON object."""
        return {
            "outcome": self.outcome,
            "key": self.key,
            "times": self.times,
            "reasons": dict(self.reasons.most_common()),
            "rules": dict(self.rules.most_common()),
            "who": dict(self.who.most_common()),
            "statements": dict(self.shapes.most_common()),
            "needs": [
                {"relation": relation, "actions": list(actions), "columns": sorted(columns)}
                for (relation, actions), columns in self.needs.items()
            ],
        }


def watched(records: Iterable[Mapping[str, Any]], by: str) -> tuple[list[Watched], int]:
    """Gather what would have been, by ``rule``, ``who`` or ``table``; most frequent first.

    Returns:
        The groups, and how many statements there were at all.
    """
    found: dict[tuple[str, str], Watched] = {}
    statements = 0
    for record in records:
        if record.get("kind") not in ("intent", "statement"):
            continue
        statements += 1
        outcome = _text(_part(_part(record, "what"), "would").get("outcome"))
        if outcome not in KINDS:
            continue
        for key in _keys(record, by):
            group = found.setdefault((outcome, key), Watched(outcome, key))
            group.add(record)
    order = {kind: at for at, kind in enumerate(KINDS)}
    return sorted(found.values(), key=lambda each: (order[each.outcome], -each.times)), statements


def _keys(record: Mapping[str, Any], by: str) -> Iterator[str]:
    what = _part(record, "what")
    if by == "who":
        yield _text(_part(record, "who").get("subject")) or "nobody"
    elif by == "table":
        yield from map(_text, _part(what, "relations") or ("no table",))
    else:
        yield _text(_part(what, "would").get("rule"))


def suggested(groups: Iterable[Watched]) -> Iterator[str]:
    """Give grants, in TOML, by which what would be refused for want of one would be allowed.

    The record does not know groups, so those are left to be written. A statement's columns
    are not told by action: a grant may name more than each of its actions needs.
    """
    wanted: dict[tuple[str, tuple[str, ...]], tuple[set[str], Counter[str]]] = {}
    for group in groups:
        if group.outcome != "would_refuse" or set(group.rules) != {"default"}:
            continue
        for key, columns in group.needs.items():
            named, who = wanted.setdefault(key, (set(), Counter()))
            named |= columns
            who.update(group.who)
    for (relation, done), (named, who) in sorted(wanted.items(), key=lambda item: item[0]):
        # Whoever names a table with a star would be suggested the rights to others.
        exact = "*" not in "".join((relation, *named))
        if relation.count(".") == 1 and '"' not in relation and exact:
            yield _grant(relation, done, named, who)


def _grant(relation: str, actions: tuple[str, ...], columns: set[str], who: Counter[str]) -> str:
    people = ", ".join(json.dumps(name)[1:-1] for name, _ in who.most_common(5))
    lines = [
        f"# lacked by {people}" + " and others" * (len(who) > 5),
        "[[grants]]",
        'groups = ["..."]  # whose members should do this',
        f"actions = {json.dumps(list(actions))}",
        f"tables = {json.dumps([relation])}",
    ]
    if columns:
        lines.append(f"columns = {json.dumps(sorted(columns))}")
    return "\n".join(lines)


def _part(record: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    part = record.get(name)
    return part if isinstance(part, dict) else {}


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""
