"""What a policy for a database could be: which columns to hide, and why; never by a value."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from tracewall.cli.facts import Facts
from tracewall.cli.hints import BY_DETECTOR, SECRET, Hint, hinted, is_free_text, is_tenant
from tracewall.cli.survey import Column as Surveyed
from tracewall.masking.config import Method
from tracewall.policy.fitting import ColumnType
from tracewall.policy.glob import Glob
from tracewall.sql.catalog import Attribute, Catalog, Relation
from tracewall.sql.system import OWN

_TELLING = 0.5
_CLAIM_CASTS = {"int2": "::int4", "int4": "::int4", "int8": "::int8", "uuid": "::uuid"}


@dataclass(frozen=True, slots=True)
class Hidden:
    """A column that is proposed to be hidden: by a mask of a kind, or (no method) by a scan."""

    column: str
    kind: str
    method: Method | None
    evidence: str


@dataclass(frozen=True, slots=True)
class Tenant:
    """A column by which rows belong to somebody, and the tables of a schema that have it."""

    schema: str
    column: str
    tables: tuple[str, ...]
    cast: str


@dataclass(frozen=True)
class Proposal:
    """The columns to hide, those that no policy can name, and whose rows are whose."""

    hidden: tuple[Hidden, ...]
    unnamed: tuple[str, ...] = ()
    tenants: tuple[Tenant, ...] = ()

    def masks(self) -> dict[tuple[str, Method], list[Hidden]]:
        """Give the columns to mask, those of one kind and method together."""
        found: dict[tuple[str, Method], list[Hidden]] = {}
        for each in self.hidden:
            if each.method is not None:
                found.setdefault((each.kind, each.method), []).append(each)
        return found

    @property
    def scans(self) -> list[Hidden]:
        """The columns to scan."""
        return [each for each in self.hidden if each.method is None]


@dataclass
class _Choice:
    catalog: Catalog
    facts: Facts
    surveyed: Mapping[str, Surveyed]
    hidden: dict[tuple[int, int], Hidden] = field(default_factory=dict)
    unnamed: dict[str, None] = field(default_factory=dict)


def propose(
    catalog: Catalog, facts: Facts, surveyed: Iterable[Surveyed], schemas: frozenset[str]
) -> Proposal:
    """Choose what to hide in some schemas: by names, types, what was found, and likeness."""
    by_name = {f"{each.table}.{each.name}": each for each in surveyed}
    choice = _Choice(catalog, facts, by_name)
    chosen = [r for r in catalog.relations.values() if r.schema in schemas - OWN]
    for relation in sorted(chosen, key=lambda r: r.qualified):
        for column in relation.columns:
            _choose(relation, column, choice)
    _spread(chosen, choice)
    tenants = [tenant for schema in sorted(schemas) for tenant in _tenants(schema, chosen, facts)]
    hidden = sorted(choice.hidden.values(), key=lambda each: each.column)
    return Proposal(tuple(hidden), tuple(choice.unnamed), tuple(tenants))


def _choose(relation: Relation, column: Attribute, choice: _Choice) -> None:
    if relation.kind == "S":
        return
    type = choice.facts.types.get(column.type, ColumnType("", column.type))
    name = f"{relation.qualified}.{column.name}"
    found = choice.surveyed.get(name)
    hint, why = hinted(column.name), "its name"
    # What a view shows unchanged is masked where it comes from.
    if relation.kind in ("v", "m") and hint is not SECRET:
        return
    if found and (whole := _whole(found)):
        hint, why = hint or whole, f"{found.whole} of {found.values} values: {_top(found)}"
    if hint is not None:
        _hide(relation, column, Hidden(name, hint.kind, hint.method(type), why), choice)
    elif found and found.found:
        listed = sorted(found.found.items(), key=lambda kind: (-kind[1], kind[0]))
        counts = ", ".join(f"{count} with {kind}" for kind, count in listed)
        why = f"{found.values} values: {counts}"
        _hide(relation, column, Hidden(name, "free-text", None, why), choice)
    elif is_free_text(column.name, type):
        _hide(relation, column, Hidden(name, "free-text", None, "its name"), choice)


def _whole(found: Surveyed) -> Hint | None:
    if not found.whole or found.whole < _TELLING * found.values:
        return None
    return BY_DETECTOR.get(_top(found), SECRET)


def _top(found: Surveyed) -> str:
    return found.found.most_common(1)[0][0]


def _hide(relation: Relation, column: Attribute, hidden: Hidden, choice: _Choice) -> None:
    pattern = ".".join(map(_pattern, (relation.schema, relation.name, column.name)))
    sure = "*" not in pattern or _is_only(pattern, hidden.column, choice.catalog)
    if pattern.count(".") != 2 or not sure:
        choice.unnamed[hidden.column] = None
    else:
        choice.hidden[relation.oid, column.attnum] = replace(hidden, column=pattern)


def _pattern(name: str) -> str:
    """Give a name as a policy can say it: a star for what can't be written there."""
    written = "".join(c if c.isprintable() and c != '"' else "*" for c in name)
    return re.sub(r"^ +| +$|\*+", "*", written)


def _is_only(pattern: str, name: str, catalog: Catalog) -> bool:
    """Tell whether a pattern matches that column, and no other."""
    columns = (f"{r.qualified}.{c.name}" for r in catalog.relations.values() for c in r.columns)
    return [*filter(Glob(pattern).matches, columns)] == [name]


def _spread(chosen: Iterable[Relation], choice: _Choice) -> None:
    """Hide what has the name and type of a masked column, or its values by a foreign key."""
    columns = {(r.oid, c.attnum): (r, c) for r in chosen for c in r.columns if r.kind != "S"}
    masked = {at: h for at, h in choice.hidden.items() if h.method is not None}
    alike = {_looks(*columns[at], choice): h for at, h in reversed(masked.items())}
    for at, (relation, column) in columns.items():
        like = alike.get(_looks(relation, column, choice))
        if like and at not in choice.hidden:
            name = f"{relation.qualified}.{column.name}"
            made = Hidden(name, like.kind, like.method, f"like {like.column}")
            _hide(relation, column, made, choice)
    tied = True
    while tied:
        tied = False
        for pair in choice.facts.keys:
            for one, other in (pair, pair[::-1]):
                known = choice.hidden.get(one)
                if known and known.method and other in columns and other not in choice.hidden:
                    relation, column = columns[other]
                    name = f"{relation.qualified}.{column.name}"
                    if name not in choice.unnamed:
                        why = f"a foreign key ties it to {known.column}"
                        made = Hidden(name, known.kind, known.method, why)
                        _hide(relation, column, made, choice)
                        tied = name not in choice.unnamed


def _looks(relation: Relation, column: Attribute, choice: _Choice) -> tuple[str, int]:
    type = choice.facts.types.get(column.type)
    letters = "".join(filter(str.isalnum, column.name)).casefold()
    return letters, type.base if type else 0


def _tenants(schema: str, chosen: Iterable[Relation], facts: Facts) -> Iterator[Tenant]:
    """Find the column that most tables of a schema say by whose their rows are."""
    tables = [r for r in chosen if r.schema == schema and r.kind in ("r", "p") and not r.parents]
    counted: Counter[tuple[str, str]] = Counter()
    for relation in tables:
        for column in relation.columns:
            type = facts.types.get(column.type)
            if type and is_tenant(column.name) and type.name in ("text", "varchar", *_CLAIM_CASTS):
                counted[column.name, type.name] += 1
    for (name, type_name), count in counted.most_common(1):
        if count > 1 and 2 * count >= len(tables) and name.isidentifier() and name.islower():
            having = tuple(
                relation.qualified
                for relation in tables
                for column in relation.columns
                if column.name == name and facts.types[column.type].name == type_name
                and is_plain(relation.qualified)
            )  # fmt: skip
            yield Tenant(schema, name, tuple(sorted(having)), _CLAIM_CASTS.get(type_name, ""))


def is_plain(name: str) -> bool:
    """Tell whether a policy can name a table exactly."""
    return name.isprintable() and name.count(".") == 1 and not set(name) & set('"*\\')


def schemas_of(catalog: Catalog) -> dict[str, int]:
    """Give the schemas that hold tables, each with how many tables and views it has."""
    relations = (r for r in catalog.relations.values() if r.schema not in OWN and r.kind != "S")
    return dict(sorted(Counter(relation.schema for relation in relations).items()))
