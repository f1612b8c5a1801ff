"""What the server's catalog says: relations, columns, and names that users defined.

A `Catalog` is a frozen snapshot, built from the answer to `QUERIES`, which a door asks
over the guarded connection itself. Names are as PostgreSQL stores them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property

import msgspec

from tracewall.sql.system import SCHEMA, SYSTEM_RELATIONS

QUERIES: tuple[bytes, ...] = (
    # The settings that judging depends on, and the schemas a bare name is looked up in.
    b"""select pg_catalog.json_build_object(
        'database', pg_catalog.current_database(),
        'role', current_user::text,
        'path', pg_catalog.current_schemas(true)::text[])""",
    b"""select coalesce(pg_catalog.json_agg(pg_catalog.json_build_object(
        'oid', c.oid::int8, 'schema', n.nspname, 'name', c.relname, 'kind', c.relkind,
        'rules', c.relhasrules and c.relkind <> 'v',
        'columns', (select coalesce(pg_catalog.json_agg(pg_catalog.json_build_object(
                'attnum', a.attnum::int8, 'name', a.attname, 'type', a.atttypid::int8,
                'generated', a.attgenerated <> '',
                'uses', (select coalesce(pg_catalog.json_agg(d.refobjsubid), '[]')
                    from pg_catalog.pg_attrdef f join pg_catalog.pg_depend d
                        on d.classid = 'pg_catalog.pg_attrdef'::pg_catalog.regclass
                        and d.objid = f.oid and d.refobjid = c.oid and d.refobjsubid > 0
                    where a.attgenerated <> '' and f.adrelid = c.oid and f.adnum = a.attnum
                        and d.refobjsubid <> a.attnum))
                order by a.attnum), '[]')
            from pg_catalog.pg_attribute a
            where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped),
        'parents', (select coalesce(pg_catalog.json_agg(i.inhparent::int8), '[]')
            from pg_catalog.pg_inherits i where i.inhrelid = c.oid))), '[]')
        from pg_catalog.pg_class c
        join pg_catalog.pg_namespace n on n.oid = c.relnamespace
        where c.relkind in ('r', 'p', 'v', 'm', 'f', 'S')
        and (n.nspname <> 'information_schema' and n.nspname !~ '^pg_'
            or n.nspname = 'pg_catalog' and c.relname = any('{"""
    + ",".join(SYSTEM_RELATIONS).encode()
    + b"""}'))""",
    # Functions and operators outside pg_catalog can take the place of PostgreSQL's own.
    b"""select coalesce(pg_catalog.json_agg(distinct p.proname), '[]')
        from pg_catalog.pg_proc p join pg_catalog.pg_namespace n on n.oid = p.pronamespace
        where n.nspname not in ('pg_catalog', 'information_schema')""",
    b"""select coalesce(pg_catalog.json_agg(distinct o.oprname), '[]')
        from pg_catalog.pg_operator o join pg_catalog.pg_namespace n on n.oid = o.oprnamespace
        where n.nspname not in ('pg_catalog', 'information_schema')""",
    b"""select coalesce(pg_catalog.json_agg(distinct t.typname), '[]')
        from pg_catalog.pg_type t join pg_catalog.pg_namespace n on n.oid = t.typnamespace
        where n.nspname not in ('pg_catalog', 'information_schema') and t.typrelid = 0""",
    b"""select coalesce(pg_catalog.json_agg(distinct named.name), '[]') from (
        select c.conname from pg_catalog.pg_constraint c
        union select i.relname from pg_catalog.pg_class i where i.relkind = 'i'
        and i.relnamespace <> 'pg_catalog'::pg_catalog.regnamespace) as named (name)""",
)
"""The questions whose answers (one JSON value each) make a `Catalog`, in order."""


class Attribute(msgspec.Struct, frozen=True):
    """A column: its number, name, type's oid, and for a generated one the columns it uses."""

    attnum: int
    name: str
    type: int = 0
    generated: bool = False
    uses: tuple[int, ...] = ()


class Relation(msgspec.Struct, frozen=True):
    """A table, view or the like.

    ``kind`` is pg_class.relkind, ``parents`` are the oids of what it inherits from.
    """

    oid: int
    schema: str
    name: str
    kind: str = "r"
    rules: bool = False
    columns: tuple[Attribute, ...] = ()
    parents: tuple[int, ...] = ()

    @property
    def qualified(self) -> str:
        """``schema.table``, as policies write it."""
        return f"{self.schema}.{self.name}"

    def column(self, name: str) -> Attribute | None:
        """Give the column of that name, or None."""
        return next((column for column in self.columns if column.name == name), None)


class _Settings(msgspec.Struct, frozen=True):
    database: str
    role: str
    path: tuple[str, ...] = ()


@dataclass(frozen=True)
class Catalog:
    """A snapshot of the catalog, as one role of one database sees it.

    ``version`` differs between snapshots with different contents; ``search_path`` lists
    the schemas that exist on it, in order.
    """

    database: str
    role: str
    search_path: tuple[str, ...]
    relations: Mapping[int, Relation]
    functions: frozenset[str] = frozenset()
    operators: frozenset[str] = frozenset()
    types: frozenset[str] = frozenset()
    constraints: frozenset[str] = frozenset()
    version: int = 0
    _names: Mapping[tuple[str, str], Relation] = field(default_factory=dict, repr=False)

    def find(self, schema: str | None, name: str) -> Relation | None:
        """Give the relation a name means: in `schema`, or first on the search path."""
        if schema is not None:
            return self._names.get((schema, name))
        if name.startswith("pg_"):
            # PostgreSQL looks in pg_catalog first, and all of its own are called so.
            return self._names.get((SCHEMA, name))
        found = (self._names.get((place, name)) for place in self.search_path)
        return next((relation for relation in found if relation), None)

    @cached_property
    def family(self) -> Mapping[int, tuple[Relation, ...]]:
        """Relations that share rows by inheritance or partitioning: by oid, each with itself."""
        heirs: dict[int, set[int]] = {oid: {oid} for oid in self.relations}
        for oid in self.relations:
            for ancestor in self._ancestors(oid):
                heirs[oid].add(ancestor)
                heirs[ancestor].add(oid)
        return {oid: tuple(self.relations[kin] for kin in kins) for oid, kins in heirs.items()}

    def _ancestors(self, oid: int) -> set[int]:
        found: set[int] = set()
        queue = list(self.relations[oid].parents)
        while queue:
            parent = queue.pop()
            if parent in self.relations and parent not in found:
                found.add(parent)
                queue += self.relations[parent].parents
        return found


def read(answers: Iterable[bytes]) -> Catalog:
    """Build a snapshot from the answers to `QUERIES`, in their order."""
    settings, relations, functions, operators, types, constraints = answers
    where = msgspec.json.decode(settings, type=_Settings)
    known = msgspec.json.decode(relations, type=list[Relation])
    return Catalog(
        database=where.database,
        role=where.role,
        search_path=where.path,
        relations={relation.oid: relation for relation in known},
        functions=_names(functions),
        operators=_names(operators),
        types=_names(types),
        constraints=_names(constraints),
        version=hash((settings, relations, functions, operators, types, constraints)),
        _names={(relation.schema, relation.name): relation for relation in known},
    )


def _names(answer: bytes) -> frozenset[str]:
    return frozenset(msgspec.json.decode(answer, type=list[str]))
