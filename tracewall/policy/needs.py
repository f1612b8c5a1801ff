"""The least privileges that a role needs, so that the server does what a policy permits.

1. All callers share one role, so it needs the union of what the grants give; what a denial
   takes from everybody whom a grant is for is left out.
2. A grant of ``*`` columns means those to come, too: it is a privilege on the table, unless
   a denial takes columns of it. Any other is one on the columns there are.
3. What is beneath a view is read by the view's owner, but with ``security_invoker`` by the
   role. Functions and sequences in defaults, checks and indexes are always the role's.
4. What can't be followed can't be foreseen either: such actions are told, not granted.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from tracewall.policy.covering import column_name, covers, covers_all, reaches, with_sources
from tracewall.policy.extent import Extents, covered
from tracewall.policy.model import FREE_ACTIONS, Denial, Grant, Policy
from tracewall.policy.privileges import Privilege, Thing
from tracewall.sql.catalog import Attribute, Catalog, Relation
from tracewall.sql.quoting import verbatim
from tracewall.sql.statement import Statement, understand

_MAINTAIN_SINCE = 170_000
_RIGHTS = {
    "select": "SELECT", "insert": "INSERT", "update": "UPDATE", "delete": "DELETE",
    "truncate": "TRUNCATE",
}  # fmt: skip
_BY_COLUMN = ("select", "insert", "update")
_UNFORESEEN = tuple(action for action in FREE_ACTIONS if action not in ("temp", "prepare"))


@dataclass(frozen=True)
class Surroundings:
    """What the server tells of the relations of a catalog, by their oids.

    ``beneath`` has what views with ``security_invoker`` read themselves (oid, attribute
    number; 0: the relation as such), ``sequences`` those that defaults take numbers from,
    ``called`` the routines that defaults, checks, indexes and views call; ``routines`` are
    all that users made.
    """

    version: int
    beneath: Mapping[int, frozenset[tuple[int, int]]] = field(default_factory=dict)
    sequences: Mapping[int, frozenset[Thing]] = field(default_factory=dict)
    called: Mapping[int, frozenset[Thing]] = field(default_factory=dict)
    routines: frozenset[Thing] = frozenset()


@dataclass(frozen=True)
class Needs:
    """The privileges, and what could not be foreseen, in sentences."""

    privileges: frozenset[Privilege]
    untold: tuple[str, ...]


def needs(policy: Policy, catalog: Catalog, around: Surroundings) -> Needs:
    """Give what the wall's role needs in a database."""
    found = _Needed(policy, catalog, around, Extents(catalog))
    return Needs(
        frozenset(found.all()), tuple(dict.fromkeys((*found.unforeseen(), *found.unlocked())))
    )


@dataclass(frozen=True)
class _Needed:
    policy: Policy
    catalog: Catalog
    around: Surroundings
    extents: Extents

    def all(self) -> Iterator[Privilege]:
        """Yield every privilege, some of them more than once."""
        yield Privilege(Thing("DATABASE", self.catalog.database), "CONNECT")
        for grant in self.policy.grants:
            if grant.actions & {"temp", "anything"}:
                yield Privilege(Thing("DATABASE", self.catalog.database), "TEMPORARY")
            for relation in self.extents.tables(grant):
                for action in sorted(grant.actions):
                    yield from self._done(grant, action, relation)
        for rule in self.policy.functions:
            for routine in self.around.routines:
                if covers(rule.functions, f"{routine.schema}.{routine.name}"):
                    yield _usage(routine.schema)
                    yield Privilege(routine, "EXECUTE")

    def unforeseen(self) -> Iterator[str]:
        """Yield a sentence for each grant that can't be followed."""
        for grant in self.policy.grants:
            if free := [each for each in _UNFORESEEN if each in grant.actions]:
                yield f"grants.{grant.name}: what {', '.join(free)} needs can't be foreseen"

    def unlocked(self) -> Iterator[str]:
        """Yield a sentence for each table that can't be locked without a right to change it."""
        if self.around.version >= _MAINTAIN_SINCE:
            return
        for grant in self.policy.grants:
            for relation in self.extents.tables(grant) if "lock" in grant.actions else ():
                yield (
                    f"grants.{grant.name}: LOCK TABLE {relation.qualified} needs UPDATE, DELETE or"
                    " TRUNCATE on all of it before PostgreSQL 17"
                )

    def _done(self, grant: Grant, action: str, relation: Relation) -> Iterator[Privilege]:
        if relation.kind == "S":
            yield from self._numbers(grant, action, relation)
        elif action == "lock" and self.around.version >= _MAINTAIN_SINCE:
            if not self._taken(grant, action, relation):
                yield _usage(relation.schema)
                yield Privilege(_thing(relation), "MAINTAIN")
        elif action in _BY_COLUMN:
            yield from self._on_columns(grant, action, relation)
        elif action in _RIGHTS and not self._taken(grant, action, relation):
            yield _usage(relation.schema)
            yield Privilege(_thing(relation), _RIGHTS[action])
            yield from self._beneath(relation, action)

    def _numbers(self, grant: Grant, action: str, relation: Relation) -> Iterator[Privilege]:
        # nextval and setval are updates, currval and the columns are reads.
        if action in ("select", "update") and not self._taken(grant, action, relation):
            yield _usage(relation.schema)
            yield Privilege(_thing(relation), _RIGHTS[action])

    def _on_columns(self, grant: Grant, action: str, relation: Relation) -> Iterator[Privilege]:
        columns = [
            column
            for column in relation.columns
            if covers(grant.columns, column.name)
            and not self._denied(grant, action, relation, column)
        ]
        if not columns:
            return
        yield _usage(relation.schema)
        if covers_all(grant.columns) and len(columns) == len(relation.columns):
            yield Privilege(_thing(relation), _RIGHTS[action])
        else:
            for column in columns:
                if action == "select" or not column.generated:
                    yield Privilege(_thing(relation), _RIGHTS[action], column.name)
        yield from self._by_the_way(relation.oid, action)
        yield from self._beneath(relation, action, columns)

    def _by_the_way(self, oid: int, action: str) -> Iterator[Privilege]:
        # A partition's and an heir's defaults and checks are evaluated as well.
        for kin in (oid, *(heir for heir, r in self.catalog.relations.items() if oid in r.parents)):
            if action == "insert":
                for sequence in self.around.sequences.get(kin, ()):
                    yield Privilege(sequence, "USAGE")
            for routine in self.around.called.get(kin, ()):
                yield Privilege(routine, "EXECUTE")

    def _beneath(
        self, view: Relation, action: str, columns: list[Attribute] | None = None
    ) -> Iterator[Privilege]:
        """Yield what who reads or writes by way of a view needs on what is beneath it."""
        if view.oid not in self.around.beneath:
            return
        yield from self._read(view.oid, {view.oid})
        for sql in _writes(view, action, columns or []) if action != "select" else ():
            told = understand(sql, self.catalog)
            for access in told.accesses if isinstance(told, Statement) else ():
                relation = self.catalog.relations.get(access.relation)
                if relation and relation.oid != view.oid and access.action == action:
                    yield from self._one(relation, access.action, access.attnum)

    def _one(self, relation: Relation, action: str, attnum: int) -> Iterator[Privilege]:
        name = column_name(relation, attnum)
        if name or action not in _BY_COLUMN:
            yield _usage(relation.schema)
            yield Privilege(_thing(relation), _RIGHTS[action], name)
        yield from self._by_the_way(relation.oid, action)

    def _read(self, view: int, seen: set[int]) -> Iterator[Privilege]:
        used = self.around.beneath.get(view, frozenset())
        for oid in {oid for oid, _ in used}:
            relation = self.catalog.relations.get(oid)
            if relation is None:
                continue
            numbers = {attnum for of, attnum in used if of == oid and attnum}
            names = [c.name for c in relation.columns if c.attnum in numbers] or [""]
            for name in names:
                yield Privilege(_thing(relation), "SELECT", name)
            if oid not in seen:
                yield from self._read(oid, seen | {oid})

    def _denied(self, grant: Grant, action: str, relation: Relation, column: Attribute) -> bool:
        names = with_sources(relation, column.attnum)
        return any(
            reaches(denial.columns, name)
            for denial in self._standing(grant, action, relation)
            for name in names
        )

    def _taken(self, grant: Grant, action: str, relation: Relation) -> bool:
        # Deleting a row deletes the denied column's value.
        whole = action in ("delete", "truncate")
        return any(
            whole or covers_all(denial.columns)
            for denial in self._standing(grant, action, relation)
        )

    def _standing(self, grant: Grant, action: str, relation: Relation) -> Iterator[Denial]:
        for denial in self.policy.denials:
            if action in denial.actions and covered(grant.groups, denial.groups):
                kin = self.catalog.family[relation.oid]
                if any(reaches(denial.tables, k.schema, k.name) for k in kin):
                    yield denial


def _thing(relation: Relation) -> Thing:
    return Thing("SEQUENCE" if relation.kind == "S" else "TABLE", relation.name, relation.schema)


def _usage(schema: str) -> Privilege:
    return Privilege(Thing("SCHEMA", schema), "USAGE")


def _writes(view: Relation, action: str, columns: list[Attribute]) -> Iterator[bytes]:
    """Yield statements that do one thing through a view; they are read, and never sent."""
    name = verbatim(view.schema, view.name)
    if action in ("delete", "truncate"):
        yield f"DELETE FROM {name}".encode()  # noqa: S608  # only read
    for column in columns:
        spelt = verbatim(column.name)
        if action == "insert":
            yield f"INSERT INTO {name} ({spelt}) VALUES (NULL)".encode()  # noqa: S608  # only read
        else:
            yield f"UPDATE {name} SET {spelt} = NULL".encode()  # noqa: S608  # only read
