"""What a column's name means, and the rights that reading it needs."""

from __future__ import annotations

from collections.abc import Sequence

from tracewall.sql.calls import string
from tracewall.sql.flow import NOTHING, UNKNOWN, Flow, How, Source, merged
from tracewall.sql.grammar import Node
from tracewall.sql.reading import Reading
from tracewall.sql.scope import Item, Named, Scope, Unknowable
from tracewall.sql.system import SYSTEM_COLUMNS


def read_columns(columns: Sequence[Named], spelled: str, log: Reading) -> None:
    """Record that base columns are read, by their name or by a star."""
    for column in columns:
        if column.base:
            log.need("select", *column.base, spelled or column.name)


def refuse_stars(cells: list[Node]) -> None:
    """Refuse stars in a list of values, where each would become several of them."""
    for cell in cells:
        fields = cell.get("ColumnRef", {}).get("fields", [])
        steps = cell.get("A_Indirection", {}).get("indirection", [])
        if any("A_Star" in part for part in (*fields, *steps)):
            raise Unknowable("a star stands where one value is expected; name the column")


def column_of(body: Node, scope: Scope, log: Reading) -> Flow:
    """Give the flow of a ColumnRef that stands where one value is expected."""
    fields = body["fields"]
    if len(fields) == 1:
        return _bare(string(fields[0]), scope, log)
    if "A_Star" in fields[-1]:
        # Outside of a list of outputs t.* is the whole row.
        return _whole_row(qualifier([string(part) for part in fields[:-1]], scope), log)
    names = [string(part) for part in fields]
    item = qualifier(names[:-1], scope)
    return of_table(item, names[-1], log)


def _bare(name: str, scope: Scope, log: Reading) -> Flow:
    found = scope.columns_named(name)
    if found:
        return _read(found, log)
    row = scope.table_named(name)
    if row is not None:
        return _whole_row(row, log)
    item = scope.with_system_columns() if name in SYSTEM_COLUMNS else None
    if item is not None:
        return _system_column(item, name, log)
    if scope.phantom() is None:
        log.need("select", 0, UNKNOWN, name)
    return NOTHING


def qualifier(names: list[str], scope: Scope) -> Item:
    """Give the FROM item that a qualified name, or a qualified star, names."""
    if len(names) == 1:
        item = scope.table_named(names[0])
    else:
        item = scope.relation_named(*names) if len(names) == 2 else None
    if item is None:
        raise Unknowable("a column's table is not among those the statement reads")
    return item


def of_table(item: Item, name: str, log: Reading) -> Flow:
    """Give the flow of a FROM item's column."""
    found = item.named(name)
    if not found and name in SYSTEM_COLUMNS and item.relation:
        return _system_column(item, name, log)
    if not found and not item.phantom:
        # What is no column could be a function over the row, f(t) written t.f.
        log.need("select", 0, UNKNOWN, name)
    return _read(found, log)


def _read(found: Sequence[Named], log: Reading) -> Flow:
    read_columns(found, "", log)
    return found[0].flow if len(found) == 1 else NOTHING.union(*[c.flow for c in found])


def _system_column(item: Item, name: str, log: Reading) -> Flow:
    assert item.relation is not None
    oid = item.relation.oid
    if name == "tableoid" and len(log.catalog.family[oid]) > 1:
        # It tells which partition a row is in, and so what its key is.
        raise Unknowable("tableoid of a partitioned or inherited table is not understood")
    log.need("select", oid, 0, item.spelled)
    return frozenset({Source((oid, SYSTEM_COLUMNS[name]), How.EXACT)})


def _whole_row(item: Item, log: Reading) -> Flow:
    read_columns(item.columns, "*", log)
    if item.scalar:
        return item.columns[0].flow
    # The server tells of a table's whole row as of its column 0.
    row = [frozenset({Source((item.relation.oid, 0), How.DERIVED)})] if item.relation else []
    return merged([*row, *(column.flow for column in item.columns)], How.DERIVED)


def row_of(node: Node, scope: Scope) -> Item | None:
    """Give the FROM item whose whole row an expression is, if it is one's."""
    fields = node.get("ColumnRef", {}).get("fields", [])
    if len(fields) != 1 or "String" not in fields[0]:
        return None
    name = string(fields[0])
    item = None if scope.columns_named(name) else scope.table_named(name)
    return None if item is None or item.scalar else item
