"""What one look at every node of a tree tells: names, depth, and whether all of it was read.

1. What can read or compute, and was not read, refuses the statement: it stands where it is
   not understood.
2. Leaves (constants, names of columns and types) hold no other nodes: nobody goes into them.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, NamedTuple

from tracewall.sql.grammar import Node
from tracewall.sql.scope import Unknowable


class Survey(NamedTuple):
    """What a tree holds.

    ``relations`` are the names of relations and CTEs, ``functions`` those of functions;
    ``depth`` counts the levels of nodes and lists.
    """

    relations: frozenset[str]
    functions: frozenset[str]
    depth: int


def survey(tree: Node, seen: Collection[int] | None = None) -> Survey:
    """Look at every node of a tree.

    Args:
        tree: the tree.
        seen: the identities of the nodes that were read; None: they need not be.

    Raises:
        Unknowable: a part of it that can read or compute is not among those.
    """
    relations, functions = set[str](), set[str]()
    depth = 0
    # A list is a level of its own, so that what is in it comes after the nodes beside it.
    level, below = [tree], list[Any]()
    while level or below:
        after: list[Any] = []
        for node in level:
            for key, value in node.items():
                if (kind := type(value)) is dict:
                    if key in _READ and seen is not None and id(value) not in seen:
                        raise Unknowable(
                            "a query or a column stands in a place of it that was not judged"
                        )
                    if key not in _LEAVES:
                        below.append(value)
                elif kind is list:
                    if key == "funcname":
                        functions.add(value[-1]["String"].get("sval", ""))
                    else:
                        after += value
                elif key in _NAMES:
                    relations.add(value)
        level, below = below, after
        depth += 1
    return Survey(frozenset(relations), frozenset(functions), depth)


_NAMES = frozenset({"relname", "ctename"})
_LEAVES = frozenset({"ColumnRef", "A_Const", "ParamRef", "String", "A_Star"})
_READ = frozenset(
    "SelectStmt InsertStmt UpdateStmt DeleteStmt MergeStmt RangeVar RangeSubselect "
    "RangeFunction JoinExpr ColumnRef FuncCall SubLink A_Expr TypeCast A_Indirection CaseExpr "
    "CoalesceExpr".split()
)
