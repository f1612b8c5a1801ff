"""How many rows a statement can give or change, as far as its text alone says so.

1. What bounds rows here bounds them surely: a LIMIT of its own, VALUES, one aggregate
   over all there is, unique keys. Nothing is estimated.
2. A statement whose rows can't be counted by looking at its result says so: it changes
   rows in a WITH clause, or gathers rows into values, itself or by a view.
3. A condition that compares no column with anything but itself is none.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from tracewall.sql.catalog import Catalog
from tracewall.sql.conditions import Changed, conditional
from tracewall.sql.gathering import gathers
from tracewall.sql.grammar import Node, Text
from tracewall.sql.keys import NUMBERS, SENT_AS_TEXT, Keyed, keyed, named

_SINGLE = frozenset("count sum avg min max bool_and bool_or every stddev variance".split())
_CHANGING = {"InsertStmt": "insert", "UpdateStmt": "update", "DeleteStmt": "delete"}
_MERGED = {"CMD_UPDATE": "update", "CMD_DELETE": "delete"}
_SYSTEM = frozenset({"ctid", "tableoid", "xmin", "xmax", "cmin", "cmax"})
# Casts to these leave a whole number as it is.
_PLAIN = frozenset({"int2", "int4", "int8", "numeric"})


class Extent(NamedTuple):
    """How far a statement reaches.

    ``most`` rows at most come back or are changed (-1: nobody knows); where ``parameter``
    is a number from 1, so many as this parameter says, where it is sent as one of the types
    ``typed`` (oids); ``keyed`` is a bound by unique keys (None: there is none).
    ``unconditional`` are the actions that are done to every row of a relation; ``uncounted``
    tells that its result does not tell how many rows it is about.
    """

    most: int = -1
    parameter: int = 0
    unconditional: frozenset[str] = frozenset()
    uncounted: bool = False
    keyed: Keyed | None = None
    typed: frozenset[int] = frozenset()


UNKNOWN_EXTENT = Extent()
"""That of a statement of which nothing is known."""


def extent(tree: Node, catalog: Catalog, views: Iterable[int] = ()) -> Extent:
    """Look how far a statement reaches.

    Args:
        tree: the statement.
        catalog: what the server's catalog says.
        views: the oids of the views that it reads.
    """
    ((kind, body),) = tree.items()
    if kind == "TruncateStmt":
        return Extent(unconditional=frozenset({"truncate"}), uncounted=True)
    inner = body.get("query") if isinstance(body.get("query"), dict) else None
    if kind in ("DeclareCursorStmt", "CopyStmt") and inner:
        return extent(inner, catalog, views)
    nodes = list(named(tree))
    unconditional = frozenset(
        action for name, node in nodes for action in _unconditional(name, node, catalog)
    )
    hidden = sum(name in _CHANGING or name == "MergeStmt" for name, _ in nodes)
    hidden -= kind in _CHANGING or kind == "MergeStmt"
    uncounted = hidden > 0 or any(gathers(name, node) for name, node in nodes)
    uncounted = uncounted or any(_view_gathers(oid, catalog) for oid in views)
    most, parameter = _bound(kind, body, catalog)
    # Used elsewhere too, the server may take it for something else than a number.
    alone = sum(name == "ParamRef" and node.get("number") == parameter for name, node in nodes) == 1
    keys = _by_keys(kind, body, tree, catalog)
    typed = NUMBERS | SENT_AS_TEXT if alone else NUMBERS
    return Extent(most, parameter, unconditional, uncounted, keys, typed)


def _by_keys(kind: str, body: Node, tree: Node, catalog: Catalog) -> Keyed | None:
    source = body.get("selectStmt") if kind == "InsertStmt" else None
    if source:
        ((kind, body),) = source.items()
    return keyed(kind, body, tree, catalog)


def _unconditional(name: str, node: Any, catalog: Catalog) -> Iterator[str]:
    """Yield what a part of a statement does to rows without a condition on them."""
    if name in ("UpdateStmt", "DeleteStmt"):
        if not conditional(node.get("whereClause"), _changed(node["relation"], catalog)):
            yield _CHANGING[name]
    elif name == "MergeStmt":
        target, join = _changed(node["relation"], catalog), node["joinCondition"]
        for clause in (each["MergeWhenClause"] for each in node["mergeWhenClauses"]):
            # What no row of the source matches was not chosen by how they are joined.
            joined = clause["matchKind"] == "MERGE_WHEN_MATCHED" and conditional(join, target)
            if not (joined or conditional(clause.get("condition"), target)):
                yield from (_MERGED[each] for each in (clause["commandType"],) if each in _MERGED)


def _changed(target: Node, catalog: Catalog) -> Changed:
    found = catalog.find(target.get("schemaname"), target["relname"])
    keys = {attnum for key in found.keys for attnum in key} if found else set()
    columns = {column.name: column.attnum for column in found.columns} if found else {}
    # Whether a column of a key may be NULL is not known; of a primary key's none may.
    filled = {name for name, attnum in columns.items() if attnum in keys} | _SYSTEM
    name = target.get("alias", {}).get("aliasname") or target["relname"]
    return Changed(name, target["relname"], frozenset(filled), frozenset(columns) | _SYSTEM)


def _view_gathers(oid: int, catalog: Catalog) -> bool:
    """Tell whether a view, or one beneath it, gathers rows into values."""
    known = catalog.followed.get(("gathers", oid))
    if known is None:
        known = catalog.followed["gathers", oid] = _looks_gathering(oid, catalog)
    return bool(known)


def _looks_gathering(oid: int, catalog: Catalog) -> bool:
    definition = catalog.definitions.get(oid)
    if definition is None:
        return False
    nodes = list(named(Text((definition.text or "").encode()).parse()))
    if any(gathers(name, node) for name, node in nodes):
        return True
    beneath = (
        catalog.find(node.get("schemaname"), node["relname"])
        for name, node in nodes
        if name == "RangeVar"
    )
    return any(
        _view_gathers(view.oid, catalog) for view in beneath if view is not None and view.oid != oid
    )


def _bound(kind: str, body: Node, catalog: Catalog) -> tuple[int, int]:
    if kind == "InsertStmt":
        source = body.get("selectStmt")
        rows = source["SelectStmt"].get("valuesLists", ()) if source else ()
        if len(rows) == 1 and _multiplies(rows, catalog):
            # PostgreSQL takes one row of VALUES for the targets of a SELECT.
            return -1, 0
        return _bound("SelectStmt", source["SelectStmt"], catalog) if source else (1, 0)
    if kind != "SelectStmt":
        return -1, 0
    if "valuesLists" in body:
        return len(body["valuesLists"]), 0
    if body.get("limitOption") == "LIMIT_OPTION_COUNT" and "limitCount" in body:
        return _limit(body["limitCount"], catalog)
    return (1, 0) if _is_single(body, catalog) else (-1, 0)


def _multiplies(part: Any, catalog: Catalog) -> bool:
    """Tell whether a function in a part may give several rows."""
    return any(
        (name == "FuncCall" and node["funcname"][-1]["String"]["sval"] in catalog.sets)
        or (name == "A_Expr" and node["name"][-1]["String"]["sval"] in catalog.operators)
        for name, node in named(part)
    )


def _limit(node: Node, catalog: Catalog) -> tuple[int, int]:
    while "TypeCast" in node:
        if not _is_plain(node["TypeCast"]["typeName"], catalog):
            return -1, 0
        node = node["TypeCast"]["arg"]
    if "ParamRef" in node:
        return -1, int(node["ParamRef"].get("number", 0))
    constant = node.get("A_Const", {})
    if "ival" in constant:
        return int(constant["ival"].get("ival", 0)), 0
    return -1, 0


def _is_plain(type: Node, catalog: Catalog) -> bool:
    """Tell whether a cast leads to a type of PostgreSQL's in which a number stays the same."""
    names = [each["String"]["sval"] for each in type.get("names", ())]
    own = names[:-1] == ["pg_catalog"] or (
        len(names) == 1 and catalog.type_named(None, names[0]) is None
    )
    return own and names[-1] in _PLAIN and not (type.get("typmods") or type.get("arrayBounds"))


def _is_single(body: Node, catalog: Catalog) -> bool:
    """Tell whether a SELECT gives one row: an aggregate over everything, and nothing else."""
    targets = [entry["ResTarget"].get("val", {}) for entry in body.get("targetList", [])]
    if body.get("groupClause") or body.get("op", "SETOP_NONE") != "SETOP_NONE" or not targets:
        return False
    return all(map(_is_aggregate, targets)) and not _multiplies(targets, catalog)


def _is_aggregate(target: Node) -> bool:
    call = target.get("FuncCall")
    if not call or "over" in call or call["funcname"][-1]["String"]["sval"] not in _SINGLE:
        return False
    # A function that gives rows can't stand among an aggregate's arguments.
    return len(call["funcname"]) == 1 or call["funcname"][0]["String"]["sval"] == "pg_catalog"
