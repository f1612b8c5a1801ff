"""The names PostgreSQL gives to output columns that have none (FigureColname, parse_target.c)."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from tracewall.sql.grammar import Node

UNNAMED = "?column?"


def output_name(target: Node, titles: Mapping[int, str]) -> str:
    """Give the name of a ResTarget's output column.

    `titles` are the names of the subqueries' first columns, by the identity of the nodes.
    """
    explicit = target.get("name")
    return str(explicit) if explicit else _name(target.get("val"), titles)[0]


def _name(node: Node | None, titles: Mapping[int, str]) -> tuple[str, int]:
    """Give the name of an expression and how strongly it is meant (0 none, 1 weak, 2 strong)."""
    if not node:
        return UNNAMED, 0
    ((kind, body),) = node.items()
    namer = _NAMERS.get(kind)
    if namer is not None:
        return namer(body, titles)
    fixed = _FIXED.get(kind)
    return (fixed, 2) if fixed else (UNNAMED, 0)


def _last_string(parts: list[Node]) -> str | None:
    found = (part["String"].get("sval", "") for part in reversed(parts) if "String" in part)
    return next(found, None)


def _strong(parts: list[Node]) -> tuple[str, int]:
    name = _last_string(parts)
    return (UNNAMED, 0) if name is None else (name, 2)


def _indirection(body: Node, titles: Mapping[int, str]) -> tuple[str, int]:
    name = _last_string(body["indirection"])
    return _name(body["arg"], titles) if name is None else (name, 2)


def _cast(body: Node, titles: Mapping[int, str]) -> tuple[str, int]:
    name, strength = _name(body.get("arg"), titles)
    of_type = _last_string(body["typeName"].get("names", []))
    return (name, strength) if strength > 1 or of_type is None else (of_type, 1)


def _case(body: Node, titles: Mapping[int, str]) -> tuple[str, int]:
    name, strength = _name(body.get("defresult"), titles)
    return (name, strength) if strength > 1 else ("case", 1)


def _sublink(body: Node, titles: Mapping[int, str]) -> tuple[str, int]:
    kind = body["subLinkType"]
    if kind in ("EXISTS_SUBLINK", "ARRAY_SUBLINK"):
        return kind.split("_")[0].lower(), 2
    # The server looks at the subquery as it understood it, its star expanded.
    return (titles[id(body)], 2) if kind == "EXPR_SUBLINK" else (UNNAMED, 0)


def _value_function(body: Node, titles: Mapping[int, str]) -> tuple[str, int]:
    # SVFOP_CURRENT_TIMESTAMP_N and the like drop the suffix for a precision.
    name = str(body["op"]).removeprefix("SVFOP_").removesuffix("_N").lower()
    return name, 2


def _extreme(body: Node, titles: Mapping[int, str]) -> tuple[str, int]:
    return "least" if body.get("op") == "IS_LEAST" else "greatest", 2


def _operator(body: Node, titles: Mapping[int, str]) -> tuple[str, int]:
    return ("nullif", 2) if body["kind"] == "AEXPR_NULLIF" else (UNNAMED, 0)


def _json_function(body: Node, titles: Mapping[int, str]) -> tuple[str, int]:
    return str(body["op"]).removesuffix("_OP").lower(), 2


_NAMERS: dict[str, Callable[[Node, Mapping[int, str]], tuple[str, int]]] = {
    "ColumnRef": lambda body, titles: _strong(body["fields"]),
    "A_Indirection": _indirection,
    "FuncCall": lambda body, titles: _strong(body["funcname"]),
    "TypeCast": _cast,
    "CollateClause": lambda body, titles: _name(body["arg"], titles),
    "CaseExpr": _case,
    "SubLink": _sublink,
    "SQLValueFunction": _value_function,
    "MinMaxExpr": _extreme,
    "A_Expr": _operator,
    "JsonFuncExpr": _json_function,
}
_FIXED = {
    "A_ArrayExpr": "array",
    "RowExpr": "row",
    "CoalesceExpr": "coalesce",
    "GroupingFunc": "grouping",
    "MergeSupportFunc": "merge_action",
    "JsonObjectConstructor": "json_object",
    "JsonArrayConstructor": "json_array",
    "JsonArrayQueryConstructor": "json_array",
    "JsonObjectAgg": "json_objectagg",
    "JsonArrayAgg": "json_arrayagg",
    "JsonParseExpr": "json",
    "JsonScalarExpr": "json_scalar",
    "JsonSerializeExpr": "json_serialize",
}
