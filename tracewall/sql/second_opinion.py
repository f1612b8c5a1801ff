"""The second parser (sqlglot): what it sees of a statement must not contradict the grammar.

It may see less, for the grammar is the authority; it must not see a relation that the
grammar did not.
"""

from __future__ import annotations

import logging
import threading
from typing import Literal, TypeAlias

from sqlglot import exp
from sqlglot.dialects.postgres import Postgres

Opinion: TypeAlias = Literal["agrees", "contradicts", "silent"]

_KINDS: dict[type[exp.Expr], str] = {
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


class _Scanner(threading.local):
    """A thread's own tokenizer: making one takes as long as it takes for a short statement."""

    def __init__(self) -> None:
        self.tokenize = _POSTGRES.tokenizer().tokenize


_SCANNER = _Scanner()
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
        tokens = _SCANNER.tokenize(sql)
        trees = _POSTGRES.parser(max_nodes=_most_nodes(sql)).parse(tokens, sql)
    except Exception:
        # Besides its own errors it raises whatever its parser stumbles over.
        return "silent"
    finally:
        # It would keep the statement, and thousands of tokens, until it is given another.
        _SCANNER.tokenize("")
    if len(trees) != 1 or trees[0] is None:
        return "contradicts"
    tree = trees[0]
    seen = _KINDS.get(type(tree)) or _kind(tree)
    if not seen:
        return "silent"
    tables = _tables(tree)
    agrees = seen == kind and (
        tables <= relations or tables <= {name.casefold() for name in relations}
    )
    return "agrees" if agrees else "contradicts"


def _tables(tree: exp.Expr) -> set[str]:
    """Give the tables' names in a tree, and let its nodes go of their parents.

    What held each other in circles would have to wait for the collector of garbage, and
    have it look through all there is the sooner.
    """
    names, nodes = set[str](), [tree]
    while nodes:
        node = nodes.pop()
        node.parent = None
        if isinstance(node, exp.Table):
            names.add(node.name.casefold())
        for held in node.args.values():
            if type(held) is list:
                nodes += [each for each in held if isinstance(each, exp.Expr)]
            elif isinstance(held, exp.Expr):
                nodes.append(held)
    return names - {""}


def _kind(tree: exp.Expr) -> str:
    return next((name for type_, name in _KINDS.items() if isinstance(tree, type_)), "")


def _most_nodes(sql: str) -> int:
    # It goes back and tries again where brackets are nested, twice as often for each level:
    # what takes many more nodes than it has characters is left to the grammar alone.
    return min(_FEWEST_NODES + _NODES_PER_CHARACTER * len(sql), _MOST_NODES)
