"""How many rows a statement can give or change, as far as its text alone says so.

1. What bounds rows here bounds them surely: a LIMIT of its own, VALUES, one aggregate
   over all there is, unique keys. Nothing is estimated.
2. A statement whose rows can't be counted by looking at its result says so: it changes
   rows in a WITH clause, or gathers rows into values, itself or by a view.
3. A condition that compares no column with anything but itself is none.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from tracewall.sql.catalog import Catalog
from tracewall.sql.conditions import Changed, conditional
from tracewall.sql.grammar import Node, Text
from tracewall.sql.keys import Keyed, keyed, named

_GATHERING = frozenset(
    "array_agg string_agg json_agg json_agg_strict jsonb_agg jsonb_agg_strict json_object_agg "
    "json_object_agg_strict json_object_agg_unique json_object_agg_unique_strict "
    "jsonb_object_agg jsonb_object_agg_strict jsonb_object_agg_unique "
    "jsonb_object_agg_unique_strict xmlagg range_agg range_intersect_agg any_value "
    "percentile_cont percentile_disc mode".split()
)
_SINGLE = frozenset("count sum avg min max bool_and bool_or every stddev variance".split())
_CHANGING = {"InsertStmt": "insert", "UpdateStmt": "update", "DeleteStmt": "delete"}
_GATHERED = frozenset({"JsonArrayAgg", "JsonObjectAgg", "JsonArrayQueryConstructor"})


class Extent(NamedTuple):
    """How far a statement reaches.

    ``most`` rows at most come back or are changed (-1: nobody knows); where ``parameter``
    is a number from 1, so many as this parameter says; ``keyed`` is a bound by unique keys
    (None: there is none). ``unconditional`` are the actions
    that are done to every row of a relation; ``uncounted`` tells that its result does not
    tell how many rows it is about.
    """

    most: int = -1
    parameter: int = 0
    unconditional: frozenset[str] = frozenset()
    uncounted: bool = False
    keyed: Keyed | None = None


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
        _CHANGING[name]
        for name, node in nodes
        if name in ("UpdateStmt", "DeleteStmt") and not _bounded(node, catalog)
    )
    hidden = sum(name in _CHANGING or name == "MergeStmt" for name, _ in nodes)
    hidden -= kind in _CHANGING or kind == "MergeStmt"
    uncounted = hidden > 0 or any(_gathers(name, node) for name, node in nodes)
    uncounted = uncounted or any(_view_gathers(oid, catalog) for oid in views)
    most, parameter = _bound(kind, body)
    return Extent(most, parameter, unconditional, uncounted, _by_keys(kind, body, tree, catalog))


def _by_keys(kind: str, body: Node, tree: Node, catalog: Catalog) -> Keyed | None:
    source = body.get("selectStmt") if kind == "InsertStmt" else None
    if source:
        ((kind, body),) = source.items()
    return keyed(kind, body, tree, catalog)


def _bounded(node: Node, catalog: Catalog) -> bool:
    """Tell whether an UPDATE or DELETE has a condition on the rows that it changes."""
    target = node["relation"]
    found = catalog.find(target.get("schemaname"), target["relname"])
    keys = {attnum for key in found.keys for attnum in key} if found else set()
    # Whether a column of a key may be NULL is not known; of a primary key's none may.
    filled = {column.name for column in found.columns if column.attnum in keys} if found else set()
    name = target.get("alias", {}).get("aliasname") or target["relname"]
    changed = Changed(name, target["relname"], frozenset(filled))
    return conditional(node.get("whereClause"), changed)


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
    if any(_gathers(name, node) for name, node in nodes):
        return True
    beneath = (
        catalog.find(node.get("schemaname"), node["relname"])
        for name, node in nodes
        if name == "RangeVar"
    )
    return any(
        _view_gathers(view.oid, catalog) for view in beneath if view is not None and view.oid != oid
    )


def _bound(kind: str, body: Node) -> tuple[int, int]:
    if kind == "InsertStmt":
        source = body.get("selectStmt")
        return _bound("SelectStmt", source["SelectStmt"]) if source else (1, 0)
    if kind != "SelectStmt":
        return -1, 0
    if "valuesLists" in body:
        return len(body["valuesLists"]), 0
    if body.get("limitOption") == "LIMIT_OPTION_COUNT" and "limitCount" in body:
        return _limit(body["limitCount"])
    return (1, 0) if _is_single(body) else (-1, 0)


def _limit(node: Node) -> tuple[int, int]:
    while "TypeCast" in node:
        node = node["TypeCast"]["arg"]
    if "ParamRef" in node:
        return -1, int(node["ParamRef"].get("number", 0))
    constant = node.get("A_Const", {})
    if "ival" in constant:
        return int(constant["ival"].get("ival", 0)), 0
    return -1, 0


def _is_single(body: Node) -> bool:
    """Tell whether a SELECT gives one row: an aggregate over everything, and nothing else."""
    targets = [entry["ResTarget"].get("val", {}) for entry in body.get("targetList", [])]
    if body.get("groupClause") or body.get("op", "SETOP_NONE") != "SETOP_NONE" or not targets:
        return False
    return all(_is_aggregate(target) for target in targets)


def _is_aggregate(target: Node) -> bool:
    call = target.get("FuncCall")
    if not call or "over" in call or call["funcname"][-1]["String"]["sval"] not in _SINGLE:
        return False
    # A function that gives rows can't stand among an aggregate's arguments.
    return len(call["funcname"]) == 1 or call["funcname"][0]["String"]["sval"] == "pg_catalog"


def _gathers(name: str, node: Any) -> bool:
    if name == "FuncCall":
        return node["funcname"][-1]["String"]["sval"] in _GATHERING
    return name in _GATHERED or (name == "SubLink" and node.get("subLinkType") == "ARRAY_SUBLINK")
