"""What the server's catalog says: relations, columns, and names that users defined.

A `Catalog` is a frozen snapshot, built from the answer to `QUERIES`, which a door asks
over the guarded connection itself. Names are as PostgreSQL stores them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, TypeVar

import msgspec

from tracewall.sql.questions import FINGERPRINT as FINGERPRINT
from tracewall.sql.questions import QUERIES as QUERIES
from tracewall.sql.rowsecurity import Beneath, RowSecurity
from tracewall.sql.system import SCHEMA


class Attribute(msgspec.Struct, frozen=True):
    """A column: its number, name, type's oid, and for a generated one the columns it uses."""

    attnum: int
    name: str
    type: int = 0
    generated: bool = False
    uses: tuple[int, ...] = ()


class Relation(msgspec.Struct, frozen=True):
    """A table, view or the like.

    ``kind`` is pg_class.relkind, ``parents`` are the oids of what it inherits from,
    ``rules`` the actions that a rule of the rewrite system stands behind. ``keys`` are the
    unique keys (attribute numbers) that hold of every row at any time; ``collated`` the
    columns whose collation is not the database's own.
    """

    oid: int
    schema: str
    name: str
    kind: str = "r"
    rules: tuple[str, ...] = ()
    columns: tuple[Attribute, ...] = ()
    parents: tuple[int, ...] = ()
    keys: tuple[tuple[int, ...], ...] = ()
    collated: tuple[int, ...] = ()

    @property
    def qualified(self) -> str:
        """``schema.table``, as policies write it."""
        return f"{self.schema}.{self.name}"

    def column(self, name: str) -> Attribute | None:
        """Give the column of that name, or None."""
        return next((column for column in self.columns if column.name == name), None)


FIRST_OTHER_TYPE = 10_000
"""The first oid of a type that pg_type.dat does not list (FirstGenbkiObjectId)."""


class Overload(msgspec.Struct, frozen=True):
    """A user's function or operator; a bare name can mean it if it is ``visible``.

    It takes from ``least`` to ``most`` arguments (None: any number). ``apart`` tells for
    each of them whether its type is one that no value of PostgreSQL's own types becomes by
    itself; ``brought`` whether an extension brought it; ``shared`` whether PostgreSQL has
    functions of that name too; ``result`` is its type's oid.
    """

    name: str
    schema: str = ""
    visible: bool = True
    least: int = 0
    most: int | None = None
    result: int = 0
    brought: bool = False
    shared: bool = True
    apart: tuple[bool, ...] = ()


class Type(msgspec.Struct, frozen=True):
    """A type that is not PostgreSQL's own; a cast to a ``plain`` one runs no user's function.

    ``text`` is the oid of one that is spelled as a text is, such as citext (category S).
    """

    schema: str
    name: str
    visible: bool = True
    plain: bool = False
    text: int | None = None


Known = TypeVar("Known", Overload, Type)


class Definition(msgspec.Struct, frozen=True):
    """A view's query, its names qualified, and what the server lets write through it.

    ``writable`` has the bits of pg_relation_is_updatable (4 update, 8 insert, 16 delete),
    ``assignable`` the attribute numbers of the columns that may be written.
    """

    oid: int
    text: str | None = None
    writable: int = 0
    assignable: tuple[int, ...] = ()


class _Settings(msgspec.Struct, frozen=True):
    database: str
    role: str
    system: str | None = None
    path: tuple[str, ...] = ()
    sets: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Catalog:
    """A snapshot of the catalog, as one role of one database sees it.

    ``system`` is the server's system identifier (empty: it does not tell the role);
    ``version`` differs between snapshots with different contents; ``search_path`` lists
    the schemas that exist on it, in order. ``functions`` and ``operators`` have users'
    own by name, which may take the place of PostgreSQL's; ``sets`` the functions that give rows;
    ``casts`` the types that a user's own cast leads to; ``row_security`` the tables that
    have such; ``around`` tells of each view what is beneath it. Its repr holds none of them:
    tools print it with a traceback's locals, and a view's text may hold values.
    """

    database: str
    role: str
    search_path: tuple[str, ...]
    relations: Mapping[int, Relation] = field(repr=False)
    functions: Mapping[str, tuple[Overload, ...]] = field(default_factory=dict, repr=False)
    operators: Mapping[str, tuple[Overload, ...]] = field(default_factory=dict, repr=False)
    types: tuple[Type, ...] = field(default=(), repr=False)
    constraints: frozenset[str] = field(default=frozenset(), repr=False)
    definitions: Mapping[int, Definition] = field(default_factory=dict, repr=False)
    casts: frozenset[str] = field(default=frozenset(), repr=False)
    sets: frozenset[str] = field(default=frozenset(), repr=False)
    row_security: Mapping[int, RowSecurity] = field(default_factory=dict, repr=False)
    around: Mapping[int, Beneath] = field(default_factory=dict, repr=False)
    version: int = 0
    system: str = ""
    followed: dict[Any, Any] = field(default_factory=dict, repr=False, compare=False)
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

    def type_of(self, column: tuple[int, int]) -> int:
        """Give the oid of a column's type, by its relation's oid and its number; 0 for a row."""
        columns = self.relations[column[0]].columns
        return next((each.type for each in columns if each.attnum == column[1]), 0)

    def type_named(self, schema: str | None, name: str) -> Type | None:
        """Give the user's type that a name means, or None where it means none of a user's."""
        return self._types.get((schema, name))

    @cached_property
    def _types(self) -> Mapping[tuple[str | None, str], Type]:
        known: dict[tuple[str | None, str], Type] = {(t.schema, t.name): t for t in self.types}
        known.update(((None, t.name), t) for t in self.types if t.visible)
        return known

    @cached_property
    def texts(self) -> frozenset[int]:
        """Give the oids of users' types that are spelled as texts are."""
        return frozenset(each.text for each in self.types if each.text)

    @cached_property
    def bare(self) -> Catalog:
        """The same catalog as views are told in: nothing of a user's is on the path."""
        return replace(
            self,
            search_path=("pg_catalog",),
            functions={name: _hidden(of) for name, of in self.functions.items()},
            operators={name: _hidden(of) for name, of in self.operators.items()},
            types=_hidden(self.types),
        )

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
    found = tuple(answers)
    settings, relations, functions, operators, types, constraints, views, casts = found[:8]
    tables, around = found[8:]
    where = msgspec.json.decode(settings, type=_Settings)
    known = msgspec.json.decode(relations, type=list[Relation])
    told = msgspec.json.decode(views, type=list[Definition])
    return Catalog(
        database=where.database,
        role=where.role,
        system=where.system or "",
        search_path=where.path,
        relations={relation.oid: relation for relation in known},
        functions=_overloads(functions),
        operators=_overloads(operators),
        types=msgspec.json.decode(types, type=tuple[Type, ...]),
        constraints=_names(constraints),
        definitions={definition.oid: definition for definition in told},
        casts=_names(casts),
        sets=where.sets,
        row_security={t.oid: t for t in msgspec.json.decode(tables, type=list[RowSecurity])},
        around={v.oid: v for v in msgspec.json.decode(around, type=list[Beneath])},
        version=hash(found),
        _names={(relation.schema, relation.name): relation for relation in known},
    )


def _hidden(of: tuple[Known, ...]) -> tuple[Known, ...]:
    return tuple(msgspec.structs.replace(known, visible=False) for known in of)


def _names(answer: bytes) -> frozenset[str]:
    return frozenset(msgspec.json.decode(answer, type=list[str]))


def _overloads(answer: bytes) -> Mapping[str, tuple[Overload, ...]]:
    found: dict[str, tuple[Overload, ...]] = {}
    for overload in msgspec.json.decode(answer, type=list[Overload]):
        found[overload.name] = (*found.get(overload.name, ()), overload)
    return found
