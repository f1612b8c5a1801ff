"""Which rules of a policy reach at least as far as others, by their patterns and in a catalog."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TypeAlias

from tracewall.policy.covering import covers, reaches
from tracewall.policy.glob import Glob
from tracewall.policy.model import Denial, Grant
from tracewall.sql.catalog import Catalog, Relation
from tracewall.sql.flow import Column
from tracewall.sql.system import OWN

Rule: TypeAlias = Grant | Denial


def covered(globs: Iterable[Glob], by: Iterable[Glob]) -> bool:
    """Tell whether whatever some patterns match is matched by others too.

    A star is a character that only a star matches, so the answer True is sure.
    """
    wider = tuple(by)
    return all(any(each.matches(glob.text) for each in wider) for glob in globs)


def meet(some: Iterable[Glob], others: Iterable[Glob]) -> bool:
    """Tell whether some name could be matched by one of each."""
    there = tuple(others)
    return any(_meet(one.text, other.text) for one in some for other in there)


def _meet(one: str, other: str) -> bool:
    # row[j]: some text is spelt both by what is left of `one` and by other[j:].
    rows = [[False] * (len(other) + 1) for _ in range(len(one) + 1)]
    for i in range(len(one), -1, -1):
        for j in range(len(other), -1, -1):
            mine, theirs = one[i : i + 1], other[j : j + 1]
            rows[i][j] = (
                (not mine and not theirs)
                or (mine == "*" and (rows[i + 1][j] or (bool(theirs) and rows[i][j + 1])))
                or (theirs == "*" and (rows[i][j + 1] or (bool(mine) and rows[i + 1][j])))
                or (mine == theirs and bool(mine) and rows[i + 1][j + 1])
            )
    return rows[0][0]


@dataclass(frozen=True)
class Extents:
    """What rules reach in a catalog; remembered, for it is asked of each pair of them."""

    catalog: Catalog
    _columns: dict[int, frozenset[Column]] = field(default_factory=dict)
    _tables: dict[int, tuple[Relation, ...]] = field(default_factory=dict)

    def tables(self, rule: Rule) -> tuple[Relation, ...]:
        """Give the relations that a rule is about, of a grant without PostgreSQL's own."""
        if id(rule) not in self._tables:
            self._tables[id(rule)] = tuple(
                relation
                for relation in self.catalog.relations.values()
                if relation.schema not in OWN and _is_about(rule, relation)
            )
        return self._tables[id(rule)]

    def columns(self, rule: Rule) -> frozenset[Column]:
        """Give the columns that a rule is about."""
        if id(rule) not in self._columns:
            self._columns[id(rule)] = frozenset(
                (relation.oid, column.attnum)
                for relation in self.tables(rule)
                for column in relation.columns
                if _is_about_column(rule, column.name)
            )
        return self._columns[id(rule)]


def _is_about(rule: Rule, relation: Relation) -> bool:
    if isinstance(rule, Grant):
        return covers(rule.tables, relation.qualified)
    return reaches(rule.tables, relation.schema, relation.name)


def _is_about_column(rule: Rule, name: str) -> bool:
    return (covers if isinstance(rule, Grant) else reaches)(rule.columns, name)
