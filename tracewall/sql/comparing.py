"""What a comparison tells of the two sides that it compares.

1. Equality with a constant tells whether a value is the one that the caller knows.
2. Equality of two columns tells which rows share a value.
3. Anything else, equality with what is neither among it, counts as a full comparison: a
   column of made-up values (``generate_series``) would tell every value it is equal to.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from tracewall.sql.flow import Flow, How, through, uncompared
from tracewall.sql.functions import SINGLE_VALUED
from tracewall.sql.grammar import Node
from tracewall.sql.reading import Reading


class Side(NamedTuple):
    """One side of a comparison: its flow, and the expression it is, if it is one."""

    flow: Flow
    expression: Node | None = None

    def is_constant(self) -> bool:
        """Tell whether it is one constant for all rows."""
        # What has a flow is looked at no further: long chains would be walked again and again.
        return not self.flow and self.expression is not None and is_constant(self.expression)


def comparison(equality: bool, left: Side, right: Side, log: Reading) -> Flow:
    """Record a comparison and give the flow of its result."""
    both = left.flow | right.flow if left.flow and right.flow else left.flow or right.flow
    if not both:
        return both
    how = _how(equality, left, right)
    if how == "join":
        log.use(how, left.flow, right.flow)
    else:
        log.use(how, both)
    return through(both, How.COMPARED)


def _how(equality: bool, left: Side, right: Side) -> str:
    mine, theirs = uncompared(left.flow), uncompared(right.flow)
    if not equality or any(how is not How.EXACT for side in (mine, theirs) for _, how in side):
        return "compare"
    if mine and theirs:
        return "join"
    return "equality" if right.is_constant() or left.is_constant() else "compare"


def is_constant(node: Node) -> bool:
    """Tell whether an expression is made of literals and parameters alone, and not volatile."""
    ((kind, body),) = node.items()
    if kind in ("A_Const", "ParamRef", "SQLValueFunction", "SetToDefault"):
        return True
    if kind == "FuncCall":
        return _is_constant_call(body)
    return kind in _PARTS and all(is_constant(part) for part in _parts(body, _PARTS[kind]))


_PARTS = {
    "TypeCast": ("arg",),
    "CollateClause": ("arg",),
    "List": ("items",),
    "A_ArrayExpr": ("elements",),
    "A_Expr": ("lexpr", "rexpr"),
}


def _parts(body: Node, keys: tuple[str, ...]) -> list[Node]:
    found: list[Any] = [body[key] for key in keys if key in body]
    return [node for part in found for node in (part if isinstance(part, list) else [part])]


def _is_constant_call(body: Node) -> bool:
    name = body["funcname"][-1].get("String", {}).get("sval", "")
    return name in SINGLE_VALUED and all(is_constant(part) for part in body.get("args", []))
