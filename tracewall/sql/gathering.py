"""Whether a part of a statement gathers rows into a value, so that they can't be counted.

1. Aggregates that keep what they are given gather, and so do arrays of a query's rows.
2. Recursion gathers where it makes anything new of a row but the next number: whatever joins
   two values may carry all rows before along.
"""

from __future__ import annotations

from typing import Any

from tracewall.sql.grammar import Node
from tracewall.sql.keys import named

_AGGREGATES = frozenset(
    "array_agg string_agg json_agg json_agg_strict jsonb_agg jsonb_agg_strict json_object_agg "
    "json_object_agg_strict json_object_agg_unique json_object_agg_unique_strict "
    "jsonb_object_agg jsonb_object_agg_strict jsonb_object_agg_unique "
    "jsonb_object_agg_unique_strict xmlagg range_agg range_intersect_agg any_value "
    "percentile_cont percentile_disc mode".split()
)
_GATHERED = frozenset({"JsonArrayAgg", "JsonObjectAgg", "JsonArrayQueryConstructor"})
_KEEPING = frozenset(
    "SelectStmt ResTarget ColumnRef String A_Star A_Const ParamRef BoolExpr NullTest BooleanTest "
    "RangeVar RangeSubselect JoinExpr Alias SubLink SortBy CaseExpr CaseWhen CoalesceExpr List "
    "MinMaxExpr Integer TypeName".split()
)
"""Nodes that leave a value as it is, or choose one of several."""
_COMPARING = frozenset({"=", "<>", "!=", "<", ">", "<=", ">=", "~~", "!~~", "~~*", "!~~*"})
_COUNTING = frozenset({"+", "-"})


def gathers(name: str, node: Any) -> bool:
    """Tell whether a node, of this name, gathers rows into a value."""
    if name == "FuncCall":
        return node["funcname"][-1]["String"]["sval"] in _AGGREGATES
    if name == "SubLink":
        return bool(node.get("subLinkType") == "ARRAY_SUBLINK")
    return name in _GATHERED or (name == "CommonTableExpr" and _carries(node))


def _carries(table: Node) -> bool:
    """Tell whether a table of WITH reads itself, and may carry rows along in a value."""
    nodes = list(named(table["ctequery"]))
    if not any(name == "RangeVar" and node["relname"] == table["ctename"] for name, node in nodes):
        return False
    if "search_clause" in table or "cycle_clause" in table:
        return True
    return not all(_keeps(name, node) for name, node in nodes)


def _keeps(name: str, node: Node) -> bool:
    if not name[0].isupper() or name in _KEEPING:
        return True
    if name == "TypeCast":
        return _is_given(node["arg"])
    if name != "A_Expr":
        return False
    operator = node["name"][-1].get("String", {}).get("sval")
    sides = (node.get("lexpr", {}), node.get("rexpr", {}))
    return operator in _COMPARING or (operator in _COUNTING and any(map(_is_given, sides)))


def _is_given(node: Any) -> bool:
    """Tell whether a value is the text's or a parameter's, not a row's."""
    while isinstance(node, dict) and "TypeCast" in node:
        node = node["TypeCast"]["arg"]
    return isinstance(node, dict) and ("A_Const" in node or "ParamRef" in node)
