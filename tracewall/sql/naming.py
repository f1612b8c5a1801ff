"""The names PostgreSQL gives to output columns that have none (FigureColname, parse_target.c)."""

from __future__ import annotations

from collections.abc import Callable

from tracewall.sql.grammar import Node

UNNAMED = "?column?"


def output_name(target: Node) -> str:
    """Give the name of a ResTarget's output column."""
    explicit = target.get("name")
    return str(explicit) if explicit else _name(target.get("val"))[0]


def _name(node: Node | None) -> tuple[str, int]:
    """Give the name of an expression and how strongly it is meant (0 none, 1 weak, 2 strong)."""
    if not node:
        return UNNAMED, 0
    ((kind, body),) = node.items()
    namer = _NAMERS.get(kind)
    if namer is not None:
        return namer(body)
    fixed = _FIXED.get(kind)
    return (fixed, 2) if fixed else (UNNAMED, 0)


def _last_string(parts: list[Node], otherwise: Node | None = None) -> tuple[str, int]:
    for part in reversed(parts):
        if "String" in part:
            return str(part["String"].get("sval", "")), 2
    return _name(otherwise)


def _cast(body: Node) -> tuple[str, int]:
    name, strength = _name(body.get("arg"))
    if strength > 1:
        return name, strength
    names = body["typeName"].get("names", [])
    return (_last_string(names)[0], 1) if names else (name, strength)


def _case(body: Node) -> tuple[str, int]:
    name, strength = _name(body.get("defresult"))
    return (name, strength) if strength > 1 else ("case", 1)


def _sublink(body: Node) -> tuple[str, int]:
    kind = body["subLinkType"]
    if kind in ("EXISTS_SUBLINK", "ARRAY_SUBLINK"):
        return kind.split("_")[0].lower(), 2
    select = body["subselect"].get("SelectStmt", {})
    while "larg" in select:
        select = select["larg"]
    targets = select.get("targetList", [])
    if kind != "EXPR_SUBLINK" or not targets:
        return UNNAMED, 0
    target = targets[0]["ResTarget"]
    return (target["name"], 2) if target.get("name") else _name(target.get("val"))


def _value_function(body: Node) -> tuple[str, int]:
    # SVFOP_CURRENT_TIMESTAMP_N and the like drop the suffix for a precision.
    name = str(body["op"]).removeprefix("SVFOP_").removesuffix("_N").lower()
    return name, 2


_NAMERS: dict[str, Callable[[Node], tuple[str, int]]] = {
    "ColumnRef": lambda body: _last_string(body["fields"]),
    "A_Indirection": lambda body: _last_string(body["indirection"], body["arg"]),
    "FuncCall": lambda body: _last_string(body["funcname"]),
    "TypeCast": _cast,
    "CollateClause": lambda body: _name(body["arg"]),
    "CaseExpr": _case,
    "SubLink": _sublink,
    "SQLValueFunction": _value_function,
    "MinMaxExpr": lambda body: ("least" if body.get("op") == "IS_LEAST" else "greatest", 2),
    "A_Expr": lambda body: ("nullif", 2) if body["kind"] == "AEXPR_NULLIF" else (UNNAMED, 0),
}
_FIXED = {"A_ArrayExpr": "array", "RowExpr": "row", "CoalesceExpr": "coalesce"}
