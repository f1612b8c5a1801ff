"""FROM: the tables, CTEs, subqueries, joins and listed functions that a level reads."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from tracewall.sql import views
from tracewall.sql.calls import string
from tracewall.sql.catalog import Catalog, Relation
from tracewall.sql.columns import read_columns
from tracewall.sql.comparing import Side, comparison
from tracewall.sql.expressions import compared, condition
from tracewall.sql.flow import NOTHING, UNKNOWN
from tracewall.sql.grammar import Node
from tracewall.sql.overloads import check_operator
from tracewall.sql.reading import Reading
from tracewall.sql.scope import (
    Item,
    Named,
    Scope,
    Unknowable,
    column_names,
    derived,
    joined,
    table,
    under,
)
from tracewall.sql.system import HOLDING, OWN, UNREADABLE
from tracewall.sql.tables import function_item, json_table, method_of

READABLE_KINDS = frozenset({"r", "p", "f"})
"""Kinds of relation (pg_class.relkind) with rows of their own: tables, partitioned and
foreign ones."""


def from_clause(nodes: list[Node] | None, scope: Scope, log: Reading) -> Scope:
    """Read a FROM clause; give the level that sees its items."""
    level = scope.inner()
    for node in nodes or []:
        level = level.beside(from_item(node, level, log))
    return level


def from_item(node: Node, level: Scope, log: Reading) -> Item:
    """Read one item of a FROM clause."""
    log.enter_item()
    ((kind, body),) = node.items()
    reader = _FROM.get(kind)
    if reader is None:
        raise Unknowable(f"{kind} in FROM is not understood")
    log.see(body)
    return reader(body, level, log)


def _range_table(body: Node, level: Scope, log: Reading) -> Item:
    name, alias = body["relname"], body.get("alias", {})
    if "schemaname" not in body and name in level.ctes:
        known = level.ctes[name]
        if known is None:
            raise Unknowable("it uses a CTE of WITH RECURSIVE before that is read")
        return under(Item(derived(known, column_names(alias))), alias.get("aliasname", name))
    return under(base_relation(body, "select", log), alias.get("aliasname", name))


def base_relation(body: Node, action: str, log: Reading) -> Item:
    """Give the item of a RangeVar that names a relation, recording the right it needs."""
    spelled = ".".join(body[key] for key in ("schemaname", "relname") if key in body)
    aliases = column_names(body.get("alias", {}))
    relation = None if "catalogname" in body else _find(body, log.catalog)
    if relation is None:
        log.need(action, 0, 0, spelled)
        return Item((), spelled=spelled, phantom=True)
    log.need(action, relation.oid, 0, spelled)
    if relation.schema in OWN:
        # Views of the server's own are taken as they are, for what they read is known.
        if relation.name in UNREADABLE or action != "select":
            raise Unknowable("it does to a relation of the server's own what is not allowed")
        return _without_values(table(relation, spelled, aliases))
    views.check_mapped(relation, action, log)
    if views.is_view(relation):
        return table(relation, spelled, aliases, views.flows(relation, log))
    if relation.kind not in READABLE_KINDS:
        log.refuse("it uses what is neither a table nor a view")
    return _remembered(relation, spelled, log) if not aliases else table(relation, spelled, aliases)


def _without_values(item: Item) -> Item:
    """Give a relation of the server's own, its columns with values of rows like unknown ones."""
    relation = item.relation
    assert relation is not None
    columns = tuple(
        Named(named.name, named.flow, (0, UNKNOWN))
        if (relation.name, column.name) in HOLDING
        else named
        for named, column in zip(item.columns, relation.columns, strict=True)
    )
    # Without the index: that would still have what is left out here.
    return Item(columns, relation=relation, spelled=item.spelled)


def _remembered(relation: Relation, spelled: str, log: Reading) -> Item:
    # A table's columns are the same each time: making them anew is a good part of the work.
    memory = log.catalog.followed
    item = memory.get(("table", relation.oid))
    if item is None:
        item = memory["table", relation.oid] = table(relation, spelled, [])
    known: Item = item
    return Item(known.columns, relation=relation, spelled=spelled, index=known.index)


def _find(body: Node, catalog: Catalog) -> Relation | None:
    return catalog.find(body.get("schemaname"), body["relname"])


def _range_subquery(body: Node, level: Scope, log: Reading) -> Item:
    around = level.inner() if body.get("lateral") else Scope((), level.ctes, level.outer)
    alias = body.get("alias", {})
    columns = derived(log.query(body["subquery"], around, log), column_names(alias))
    item = Item(columns)
    return under(item, alias["aliasname"]) if alias else item


def _join(body: Node, level: Scope, log: Reading) -> Item:
    left = from_item(body["larg"], level, log)
    right = from_item(body["rarg"], level.beside(left), log)
    using = [string(part) for part in body.get("usingClause", [])]
    item = joined(left, right, using, bool(body.get("isNatural")))
    shared = using or ([c.name for c in item.columns] if body.get("isNatural") else [])
    for name in shared:
        _join_columns(name, left, right, log)
    # ON sees the two sides and what is around the level, but nothing beside the join.
    condition(body.get("quals"), Scope((item,), level.ctes, level.outer), log)
    return _join_alias(body, item, using)


def _join_columns(name: str, left: Item, right: Item, log: Reading) -> None:
    sides = [tuple(c for c in side.columns if c.name == name) for side in (left, right)]
    if not all(sides):
        return
    for found in sides:
        read_columns(found, "", log)
    first, second = (NOTHING.union(*(c.flow for c in found)) for found in sides)
    check_operator(["="], (Side(first), Side(second)), log)
    comparison(True, Side(first), Side(second), log)


def _join_alias(body: Node, item: Item, using: list[str]) -> Item:
    alias = body.get("alias")
    if alias:
        return under(Item(derived(item.columns, column_names(alias))), alias["aliasname"])
    merged_alias = body.get("join_using_alias")
    if merged_alias:
        own = Item(item.columns[: len(using)])
        return Item(item.columns, {**item.tables, merged_alias["aliasname"]: own})
    return item


def _sampled(body: Node, level: Scope, log: Reading) -> Item:
    method_of(body["method"])
    # What chooses the rows can see nothing of the level that it is in.
    around = Scope((), level.ctes, level.outer)
    compared([*body.get("args", []), *filter(None, [body.get("repeatable")])], around, log)
    return from_item(body["relation"], level, log)


def _xml_table(body: Node, level: Scope, log: Reading) -> Item:
    raise Unknowable("XMLTABLE is not understood: XPath could take a value apart past any mask")


_FROM: Mapping[str, Callable[[Any, Scope, Reading], Item]] = {
    "RangeVar": _range_table,
    "RangeSubselect": _range_subquery,
    "JoinExpr": _join,
    "RangeFunction": function_item,
    "JsonTable": json_table,
    "RangeTableFunc": _xml_table,
    "RangeTableSample": _sampled,
}
