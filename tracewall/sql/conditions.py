"""Whether a condition leaves rows out, as far as its text alone says so.

1. A comparison counts where a column of what is changed is compared with something other
   than itself: a constant, a parameter, another column, a subquery.
2. Of what is joined by AND one part is enough; of what is joined by OR each must count.
3. What always holds for other reasons (``id > -1``) can't be told from what does not.
"""

from __future__ import annotations

from typing import NamedTuple

from tracewall.sql.grammar import Node
from tracewall.sql.keys import named

_SWAPPED = {"AND_EXPR": "OR_EXPR", "OR_EXPR": "AND_EXPR"}
_NEGATING = frozenset({"IS_FALSE", "IS_NOT_TRUE"})


class Changed(NamedTuple):
    """What a statement changes: the name that the relation has in it, and its own.

    That one of the columns ``filled`` is not NULL says nothing. ``columns`` are all it has:
    what names none of them is no condition on its rows.
    """

    name: str
    relation: str
    filled: frozenset[str]
    columns: frozenset[str]


def conditional(where: Node | None, changed: Changed, *, negated: bool = False) -> bool:
    """Tell whether a condition counts as one; ``negated``: it is under NOT."""
    if where is None:
        return False
    ((kind, node),) = where.items()
    if kind == "BoolExpr":
        operator = node["boolop"]
        if operator == "NOT_EXPR":
            return conditional(node["args"][0], changed, negated=not negated)
        operator = _SWAPPED[operator] if negated else operator
        parts = (conditional(each, changed, negated=negated) for each in node["args"])
        return any(parts) if operator == "AND_EXPR" else all(parts)
    if kind == "BooleanTest" and not node["booltesttype"].endswith("UNKNOWN"):
        turned = node["booltesttype"] in _NEGATING
        return conditional(node["arg"], changed, negated=negated is not turned)
    if kind == "NullTest":
        return _is_about(_columns(node["arg"], changed), changed, changed.filled)
    if kind == "A_Expr":
        left, right = (_columns(node.get(side), changed) for side in ("lexpr", "rexpr"))
        return left != right and _is_about(left | right, changed)
    if kind == "SubLink" and _is_all(node["subselect"].get("SelectStmt", {}), changed):
        return False
    return _is_about(_columns(where, changed), changed)


def _is_about(
    columns: set[tuple[str, ...]], changed: Changed, less: frozenset[str] = frozenset()
) -> bool:
    """Tell whether one of the columns is of what is changed, and none of ``less``."""
    own = {fields[0] for fields in columns if len(fields) == 1}
    return bool((own & (changed.columns | {"*", changed.name})) - less)


def _is_all(query: Node, changed: Changed) -> bool:
    """Tell whether a subquery reads all of what is changed, and nothing else."""
    read = [item.get("RangeVar", {}) for item in query.get("fromClause", ())]
    if [each.get("relname") for each in read] != [changed.relation]:
        return False
    here = changed._replace(name=read[0].get("alias", {}).get("aliasname") or changed.relation)
    return not conditional(query.get("whereClause"), here)


def _columns(node: object, changed: Changed) -> set[tuple[str, ...]]:
    """Give the columns that a part names, those of what is changed without its name."""
    found = set()
    for name, each in named(node):
        if name == "ColumnRef":
            fields = tuple(part.get("String", {}).get("sval", "*") for part in each["fields"])
            own = len(fields) > 1 and fields[-2] == changed.name
            found.add(fields[-1:] if own else fields)
    return found
