"""The second parser (sqlglot): what it sees of a statement must not contradict the grammar.

It may see less, for the grammar is the authority; it must not see a relation that the
grammar did not.
"""

from __future__ import annotations

import logging
from typing import Literal, TypeAlias

from sqlglot import exp
from sqlglot.dialects.postgres import Postgres

Opinion: TypeAlias = Literal["agrees", "contradicts", "silent"]

_KINDS: dict[type[exp.Expression], str] = {
    exp.Select: "select",
    exp.SetOperation: "select",
    exp.Subquery: "select",
    exp.Values: "select",
    exp.Insert: "insert",
    exp.Update: "update",
    exp.Delete: "delete",
    exp.Merge: "merge",
}

_POSTGRES = Postgres()
_NODES_PER_CHARACTER = 2
_FEWEST_NODES, _MOST_NODES = 1_000, 30_000

# What sqlglot can't parse is told by the opinion; its warnings would repeat the statement.
logging.getLogger("sqlglot").addHandler(logging.NullHandler())
logging.getLogger("sqlglot").propagate = False


def second_opinion(sql: str, kind: str, relations: frozenset[str]) -> Opinion:
    """Tell whether sqlglot's reading contradicts the grammar's.

    Args:
        sql: the statement.
        kind: what the grammar says it is (``select``, ``insert``, ``update``, ``delete``).
        relations: bare names of the relations that the grammar saw, CTEs' and table
            functions' names among them.
    """
    try:
        trees = _POSTGRES.parse(sql, max_nodes=_most_nodes(sql))
    except Exception:
        # Besides its own errors it raises whatever its parser stumbles over.
        return "silent"
    if len(trees) != 1 or trees[0] is None:
        return "contradicts"
    tree = trees[0]
    seen = next((name for type_, name in _KINDS.items() if isinstance(tree, type_)), "")
    if not seen:
        return "silent"
    tables = {table.name for table in tree.find_all(exp.Table) if table.name}
    folded = {name.casefold() for name in relations}
    agrees = seen == kind and all(name.casefold() in folded for name in tables)
    return "agrees" if agrees else "contradicts"


def _most_nodes(sql: str) -> int:
    # It goes back and tries again where brackets are nested, twice as often for each level:
    # what takes many more nodes than it has characters is left to the grammar alone.
    return min(_FEWEST_NODES + _NODES_PER_CHARACTER * len(sql), _MOST_NODES)
