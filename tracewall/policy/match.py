"""A policy against the names that a database has: what matches nothing, what matches twice."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field
from typing import TypeAlias

from tracewall.errors import PolicyError
from tracewall.policy.model import Denial, Glob, Grant, Mask, Policy
from tracewall.policy.reading import nearest
from tracewall.sql.catalog import Catalog

Table: TypeAlias = tuple[str, str]

_HABITS = "names are as PostgreSQL stores them, and '*' is the only wildcard"


def unmatched(policy: Policy, relations: Mapping[str, Iterable[str]]) -> PolicyError | None:
    """Return what is wrong with `policy` for a database, first in the order of the file.

    `relations` maps each ``schema.table`` to the names of its columns. Wrong is a
    pattern of a grant, denial, mask or scan that matches nothing, and a column under
    two masks. None: every pattern matches something.
    """
    return next(iter(misses(policy, relations)), None)


def misses(policy: Policy, relations: Mapping[str, Iterable[str]]) -> list[PolicyError]:
    """Return all that `unmatched` returns the first of, in the order of the file."""
    names = _Names.of(relations)
    found = [*_missing(policy, names), *_masked_twice(policy, names)]
    return [
        PolicyError(
            miss.message,
            path=policy.path,
            line=miss.glob.line,
            column=miss.glob.column,
            help=miss.help or names.advice(miss.glob.text, miss.tables),
        )
        for miss in sorted(found, key=lambda miss: (miss.glob.line, miss.glob.column))
    ]


def column_names(catalog: Catalog) -> dict[str, list[str]]:
    """Give the names of a catalog as `unmatched` takes them."""
    return {
        relation.qualified: [column.name for column in relation.columns]
        for relation in catalog.relations.values()
    }


@dataclass(frozen=True, slots=True)
class _Miss:
    """A pattern at fault. Without `help` the names near it are looked up, if it is told at all.

    `tables` are those whose columns a bare column name was sought in.
    """

    glob: Glob
    message: str
    help: str = ""
    tables: Collection[Table] = ()


@dataclass(frozen=True, slots=True)
class _Names:
    """The names of a database: schemas, their tables, their columns.

    What a pattern of tables matches is remembered, for rules repeat it.
    """

    schemas: dict[str, dict[str, Set[str]]] = field(default_factory=dict)
    _found: dict[str, Collection[Table]] = field(default_factory=dict)

    @classmethod
    def of(cls, relations: Mapping[str, Iterable[str]]) -> _Names:
        """Sort the names. One that holds a dot itself is left out: no pattern reaches it."""
        names = cls()
        for relation, columns in relations.items():
            schema, _, table = relation.partition(".")
            if "." not in table:
                found = frozenset(column for column in columns if "." not in column)
                names.schemas.setdefault(schema, {})[table] = found
        return names

    def tables(self, pattern: str) -> Collection[Table]:
        """Return the tables that ``schema.table`` matches."""
        if pattern not in self._found:
            schema_part, table_part = pattern.split(".")
            self._found[pattern] = [
                (schema, table)
                for schema in _select(self.schemas, schema_part)
                for table in _select(self.schemas[schema], table_part)
            ]
        return self._found[pattern]

    def columns(self, tables: Iterable[Table], pattern: str) -> Iterator[tuple[Table, str]]:
        """Yield the columns of `tables` that a bare column pattern matches, with their table."""
        for schema, table in tables:
            for column in _select(self.schemas[schema][table], pattern):
                yield (schema, table), column

    def advice(self, pattern: str, tables: Collection[Table]) -> str:
        """Tell which part of `pattern` names nothing, and the name nearest to it."""
        parts = pattern.split(".")
        kinds = ("schema", "table", "column") if len(parts) > 1 else ("column",)
        for at, (kind, part) in enumerate(zip(kinds, parts, strict=False)):
            known = self._known(parts[:at]) if len(parts) > 1 else self._columns_of(tables)
            if any(_select(known, part)):
                continue
            if near := nearest(part, known):
                return f"did you mean '{'.'.join([*parts[:at], near, *parts[at + 1 :]])}'?"
            return f"no {kind} matches '{part}'; {_HABITS}"
        return _HABITS

    def _known(self, before: Sequence[str]) -> Set[str]:
        """Return the names that may follow the parts `before`."""
        if len(before) == 2:
            return self._columns_of(self.tables(".".join(before)))
        if not before:
            return self.schemas.keys()
        schemas = _select(self.schemas, before[0])
        return {table for schema in schemas for table in self.schemas[schema]}

    def _columns_of(self, tables: Iterable[Table]) -> Set[str]:
        return {column for schema, table in tables for column in self.schemas[schema][table]}


def _select(names: Collection[str], pattern: str) -> Iterator[str]:
    """Yield those of `names` that one part of a pattern matches; a plain name is looked up."""
    if pattern == "*":
        yield from names
    elif "*" in pattern:
        yield from filter(Glob(pattern).matches, names)
    elif pattern in names:
        yield pattern


def _missing(policy: Policy, names: _Names) -> Iterator[_Miss]:
    """Yield the patterns that match nothing."""
    rules: tuple[Grant | Denial, ...] = (*policy.grants, *policy.denials)
    for rule in rules:
        yield from _missing_in_rule(rule, names)
    for glob in (glob for asking in policy.approvals for glob in asking.tables):
        if not names.tables(glob.text):
            yield _Miss(glob, f"'{glob.text}' matches no table of the database")
    masked = [glob for mask in policy.masks for glob in mask.columns]
    asked = [glob for rule in policy.approvals for glob in rule.columns]
    for glob in (*masked, *(glob for scan in policy.scans for glob in scan.columns), *asked):
        if not any(_protected(glob, names)):
            yield _Miss(glob, f"'{glob.text}' matches no column of the database")


def _missing_in_rule(rule: Grant | Denial, names: _Names) -> Iterator[_Miss]:
    for glob in rule.tables:
        if not names.tables(glob.text):
            yield _Miss(glob, f"'{glob.text}' matches no table of the database")
    tables = {table: None for glob in rule.tables for table in names.tables(glob.text)}
    for glob in rule.columns:
        # A table without columns is no fault of a rule that says nothing of columns.
        if tables and glob.text != "*" and not any(names.columns(tables, glob.text)):
            message = f"'{glob.text}' matches no column of this rule's tables"
            yield _Miss(glob, message, tables=tables)


def _protected(glob: Glob, names: _Names) -> Iterator[tuple[Table, str]]:
    """Yield the columns that ``schema.table.column`` matches."""
    tables, _, column = glob.text.rpartition(".")
    return names.columns(names.tables(tables), column)


def _masked_twice(policy: Policy, names: _Names) -> Iterator[_Miss]:
    """Yield the patterns that mask what another mask masks too."""
    owners: dict[tuple[Table, str], Mask] = {}
    for mask in sorted(policy.masks, key=lambda mask: mask.line):
        for glob in mask.columns:
            for found in _protected(glob, names):
                owner = owners.setdefault(found, mask)
                if owner is not mask:
                    (schema, table), column = found
                    message = f"{schema}.{table}.{column} is under the mask '{owner.name}' too"
                    yield _Miss(glob, message, "narrow one of the two: a column has one mask")
                    break
