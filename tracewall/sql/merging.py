"""MERGE: what each of its actions needs and writes, and what RETURNING gives back.

Which action a row takes tells whether it is matched: the join and every condition are
comparisons, as in a WHERE.
"""

from __future__ import annotations

from tracewall.sql.columns import refuse_stars
from tracewall.sql.expressions import condition, flow_of
from tracewall.sql.grammar import Node
from tracewall.sql.lineage import with_clause
from tracewall.sql.modifying import assignments, place_of, returning, target_of, write
from tracewall.sql.reading import Reading
from tracewall.sql.relations import from_item
from tracewall.sql.scope import Item, Named, Scope, Unknowable


def merge(body: Node, scope: Scope, log: Reading) -> tuple[Named, ...]:
    """Read a MERGE; give the columns of its RETURNING."""
    scope = with_clause(body, scope, log)
    clauses = [entry["MergeWhenClause"] for entry in body["mergeWhenClauses"]]
    log.see(body["relation"])
    actions = [_ACTIONS[clause["commandType"]] for clause in clauses]
    # Doing nothing still tells what is there: it takes the right to look.
    needed = dict.fromkeys(action or "select" for action in actions)
    for action in needed:
        target = target_of(body["relation"], action, log)
    source = from_item(body["sourceRelation"], scope.inner(), log)
    both = scope.inner().beside(target).beside(source)
    condition(body["joinCondition"], both, log)
    for clause, action in zip(clauses, actions, strict=True):
        level = _seen_by(clause["matchKind"], target, source, scope, both)
        condition(clause.get("condition"), level, log)
        if action == "update":
            assignments(clause["targetList"], target, level, log)
        elif action == "insert":
            _insert(clause, target, level, log)
    # A star stands for the source's columns first.
    return returning(body, target, scope.inner().beside(source).beside(target), log)


_ACTIONS = {
    "CMD_UPDATE": "update",
    "CMD_DELETE": "delete",
    "CMD_INSERT": "insert",
    "CMD_NOTHING": "",
}


def _seen_by(kind: str, target: Item, source: Item, scope: Scope, both: Scope) -> Scope:
    if kind == "MERGE_WHEN_NOT_MATCHED_BY_TARGET":
        return scope.inner().beside(source)
    if kind == "MERGE_WHEN_NOT_MATCHED_BY_SOURCE":
        return scope.inner().beside(target)
    return both


def _insert(clause: Node, target: Item, level: Scope, log: Reading) -> None:
    values = clause.get("values", [])
    refuse_stars(values)
    if "targetList" in clause:
        listed = [entry["ResTarget"] for entry in clause["targetList"]]
        if any("indirection" in entry for entry in listed):
            raise Unknowable("MERGE writes into a part of a column")
        places = [place_of(entry, target, "insert", log) for entry in listed]
    else:
        places = list(target.columns)
    if len(values) > len(places) and not target.phantom:
        raise Unknowable("MERGE has more values than columns")
    for place, value in zip(places, values, strict=False):
        write(place, flow_of(value, level, log), "insert", log)
    for value in values[len(places) :]:
        flow_of(value, level, log)
