"""The kinds of operators that expressions may have: by which names, and whose."""

from __future__ import annotations

from tracewall.sql.calls import string
from tracewall.sql.comparing import Side
from tracewall.sql.functions import OPERATORS
from tracewall.sql.grammar import Node
from tracewall.sql.overloads import check_operator
from tracewall.sql.reading import Reading
from tracewall.sql.scope import Unknowable

PLAIN = frozenset({"AEXPR_OP", "AEXPR_OP_ANY", "AEXPR_OP_ALL"})
"""Kinds of expressions that are what their operator's name says."""

COMPARING = frozenset({"AEXPR_DISTINCT", "AEXPR_NOT_DISTINCT", "AEXPR_IN", "AEXPR_LIKE"}) | {
    "AEXPR_ILIKE", "AEXPR_SIMILAR", "AEXPR_BETWEEN", "AEXPR_NOT_BETWEEN", "AEXPR_BETWEEN_SYM",
    "AEXPR_NOT_BETWEEN_SYM",
}  # fmt: skip
"""Kinds that compare, whatever their operator's name."""

_KNOWN = PLAIN | COMPARING | {"AEXPR_NULLIF"}
_NAMED_BY_KIND = frozenset(kind for kind in COMPARING if "BETWEEN" in kind)


def operator_names(body: Node) -> list[str]:
    """Give an operator's name, its schema before it if there is one; Unknowable if not listed."""
    kind, names = body["kind"], [string(part) for part in body["name"]]
    if kind not in _KNOWN:
        raise Unknowable("an operator is not understood")
    if kind not in _NAMED_BY_KIND and names[-1] not in OPERATORS:
        raise Unknowable(
            f"the operator {names[-1]} is not on the list of those that may be used; one of your "
            "own that reads nothing but its operands can be put there by [[functions]]"
        )
    return names


def check_meant(kind: str, names: list[str], sides: list[Side], log: Reading) -> None:
    """Refuse an expression of this kind where an operator of a user's may be meant."""
    if kind in _NAMED_BY_KIND:
        # BETWEEN is made of these, which users can define for their own types.
        for meant in ("<=", ">=", "<", ">"):
            check_operator([meant], sides, log)
    else:
        check_operator(names, sides, log)
