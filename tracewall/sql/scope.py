"""Which names a statement can see where: FROM items, their columns, and what a name means.

Name look-up follows PostgreSQL (parse_relation.c): a bare name is a column of the
innermost level that has one; only then may it be a whole row. Where more than one column
answers, the union of their flows does.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from tracewall.sql.catalog import Relation
from tracewall.sql.flow import NOTHING, Column, Flow, How, Source, among


class Unknowable(Exception):
    """The reader met something that it does not understand; the statement is refused.

    ``reason`` is one sentence that holds no literal; ``action`` is what a policy must
    grant for the statement to be sent all the same.
    """

    def __init__(self, reason: str, action: str = "anything") -> None:
        super().__init__(reason)
        self.reason, self.action = reason, action


class Named(msgspec.Struct, frozen=True):
    """A column that a FROM item or a subquery offers: its name and its flow.

    ``base`` is the base column it names directly, None for computed ones.
    """

    name: str
    flow: Flow
    base: Column | None = None


class Item(msgspec.Struct, frozen=True):
    """A FROM item: the columns that bare names and ``*`` see, and its tables by name.

    ``phantom`` is true for a relation that is unknown: it answers to every name, so that
    what does not exist is refused where and how a forbidden relation is. ``scalar`` is
    true for a function's one column, which its name means too. ``index`` has the columns
    by name, where it was worth making.
    """

    columns: tuple[Named, ...]
    tables: Mapping[str, Item] = {}  # msgspec copies it
    relation: Relation | None = None
    spelled: str = ""
    phantom: bool = False
    scalar: bool = False
    index: Mapping[str, tuple[Named, ...]] | None = None

    def named(self, name: str) -> tuple[Named, ...]:
        """Give the columns of that name."""
        if self.index is not None:
            return self.index.get(name, ())
        return tuple([column for column in self.columns if column.name == name])

    def is_relation(self, schema: str, name: str) -> bool:
        """Tell whether this is the relation of that schema and name."""
        relation = self.relation
        return relation is not None and (relation.schema, relation.name) == (schema, name)


class Scope(msgspec.Struct, frozen=True):
    """The FROM items of one query level, the CTEs it can name, and the level around it.

    A CTE that can be named but is not read yet is None.
    """

    items: tuple[Item, ...] = ()
    ctes: Mapping[str, tuple[Named, ...] | None] = {}  # the same
    outer: Scope | None = None

    def inner(self) -> Scope:
        """Give a level inside this one, without items of its own."""
        return Scope((), self.ctes, self)

    def beside(self, item: Item) -> Scope:
        """Give this level with one more FROM item."""
        return Scope((*self.items, item), self.ctes, self.outer)

    def knowing(self, name: str, columns: tuple[Named, ...] | None) -> Scope:
        """Give this level with one more CTE."""
        return Scope(self.items, {**self.ctes, name: columns}, self.outer)

    def own_columns_named(self, name: str) -> list[Named]:
        """Give the columns of that name on this level alone."""
        return [column for item in self.items for column in item.named(name)]

    def columns_named(self, name: str) -> list[Named]:
        """Give the columns a bare name means: of the innermost level that has any."""
        level: Scope | None = self
        while level is not None:
            found = level.own_columns_named(name)
            if found:
                return found
            level = level.outer
        return []

    def table_named(self, name: str) -> Item | None:
        """Give the FROM item of that name, looked up from the innermost level out."""
        level: Scope | None = self
        while level is not None:
            for item in level.items:
                if name in item.tables:
                    return item.tables[name]
            level = level.outer
        return None

    def relation_named(self, schema: str, name: str) -> Item | None:
        """Give the FROM item of a relation that is not renamed, by its schema and name."""
        level: Scope | None = self
        while level is not None:
            for item in level.items:
                table = item.tables.get(name)
                if table is not None and (table.phantom or table.is_relation(schema, name)):
                    return table
            level = level.outer
        return None

    def phantom(self) -> Item | None:
        """Give an unknown relation that a bare name may be a column of, if there is one."""
        level: Scope | None = self
        while level is not None:
            for item in level.items:
                if any(table.phantom for table in item.tables.values()):
                    return item
            level = level.outer
        return None

    def with_system_columns(self) -> Item | None:
        """Give the relation that a bare system column is one of, from the innermost level out."""
        level: Scope | None = self
        while level is not None:
            # What is seen by its table's name only (excluded, old, new) has no bare columns.
            seen = [item for item in level.items if item.columns or item.relation is not None]
            tables = [table for item in seen for table in item.tables.values()]
            found = [table for table in tables if table.relation is not None]
            if found:
                return found[0] if len(found) == 1 else None
            level = level.outer
        return None

    @property
    def star(self) -> tuple[Named, ...]:
        """What ``*`` expands to on this level."""
        return tuple(column for item in self.items for column in item.columns)


def table(
    relation: Relation, spelled: str, aliases: list[str], beneath: Mapping[int, Flow] | None = None
) -> Item:
    """Give the FROM item of a relation, its first columns renamed by `aliases`.

    `beneath` has what flows into a view's columns, by attribute number.
    """
    if len(aliases) > len(relation.columns):
        raise Unknowable("it names more columns than the relation has")
    names = aliases + [column.name for column in relation.columns[len(aliases) :]]
    columns = []
    for name, column in zip(names, relation.columns, strict=True):
        base = (relation.oid, column.attnum)
        flow = {Source(base, How.EXACT)}
        # A generated column shows what it is computed from.
        flow |= {Source((relation.oid, used), How.INHERITED) for used in column.uses}
        flow |= (beneath or {}).get(column.attnum, NOTHING)
        columns.append(Named(name, frozenset(flow), base))
    index: dict[str, tuple[Named, ...]] = {}
    for named in columns:
        index[named.name] = (*index.get(named.name, ()), named)
    return Item(tuple(columns), relation=relation, spelled=spelled, index=index)


def derived(columns: tuple[Named, ...], aliases: list[str]) -> tuple[Named, ...]:
    """Give a subquery's columns, the first ones renamed by `aliases`."""
    if len(aliases) > len(columns):
        raise Unknowable("it names more columns than there are")
    renamed = tuple(
        Named(alias, column.flow, column.base)
        for alias, column in zip(aliases, columns, strict=False)
    )
    return renamed + columns[len(aliases) :]


def under(item: Item, name: str) -> Item:
    """Give the same item, known as the table `name`."""
    columns, relation, index = item.columns, item.relation, item.index
    bare = Item(columns, {}, relation, item.spelled, item.phantom, item.scalar, index)
    return Item(columns, {name: bare}, relation, item.spelled, item.phantom, item.scalar, index)


def joined(left: Item, right: Item, using: list[str], natural: bool) -> Item:
    """Give the FROM item that joins two, with the columns of USING or NATURAL merged first."""
    if natural:
        theirs = {column.name for column in right.columns}
        using = [column.name for column in left.columns if column.name in theirs]
    tables = {**left.tables, **right.tables}
    if not using:
        return Item(left.columns + right.columns, tables)
    both = tuple(_both(left, right, name) for name in using)
    rest = [c for side in (left, right) for c in side.columns if c.name not in using]
    return Item(both + tuple(rest), tables)


def _both(left: Item, right: Item, name: str) -> Named:
    sides = (*left.columns, *right.columns)
    flows = [column.flow for column in sides if column.name == name]
    return Named(name, among(flows))


def column_names(node: Mapping[str, object]) -> list[str]:
    """Give the column aliases of an Alias node."""
    found = node.get("colnames") or []
    assert isinstance(found, list)
    return [entry["String"]["sval"] for entry in found]
