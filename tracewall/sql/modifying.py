"""INSERT, UPDATE and DELETE: what is written where, and what RETURNING gives back."""

from __future__ import annotations

from tracewall.sql.columns import read_columns, refuse_stars
from tracewall.sql.comparing import is_constant
from tracewall.sql.expressions import compared, condition, flow_of, flows
from tracewall.sql.flow import NOTHING, UNKNOWN, Flow, How, Write, merged, through
from tracewall.sql.grammar import Node
from tracewall.sql.lineage import targets_of, with_clause
from tracewall.sql.reading import Reading
from tracewall.sql.relations import base_relation, from_item
from tracewall.sql.scope import Item, Named, Scope, Unknowable, under


def insert(body: Node, scope: Scope, log: Reading) -> tuple[Named, ...]:
    """Read an INSERT; give the columns of its RETURNING."""
    scope = with_clause(body, scope, log)
    target = target_of(body["relation"], "insert", log)
    for entry in body.get("cols", []):
        compared(_indices(entry["ResTarget"]), scope.inner(), log)
    places = _insert_columns(body, target, log)
    values = log.query(body["selectStmt"], scope.inner(), log) if "selectStmt" in body else ()
    if places is not None and len(values) > len(places):
        raise Unknowable("INSERT has more values than columns")
    listed = [entry["ResTarget"] for entry in body.get("cols", [{"ResTarget": {}}] * len(values))]
    for place, entry, value in zip(places or (), listed, values, strict=False):
        write(place, _placed(entry, value.flow), "insert", log)
    level = scope.inner().beside(target)
    known = _is_constant_source(body.get("selectStmt"))
    _on_conflict(body.get("onConflictClause"), known, places or [], target, level, log)
    return returning(body, target, level, log)


def _insert_columns(body: Node, target: Item, log: Reading) -> list[Named] | None:
    if target.phantom:
        return None
    if "cols" not in body:
        return list(target.columns)
    return [place_of(entry["ResTarget"], target, "insert", log) for entry in body["cols"]]


def place_of(entry: Node, target: Item, action: str, log: Reading) -> Named:
    """Give the target's column that a ResTarget names, refusing what it has not."""
    found = next((column for column in target.columns if column.name == entry["name"]), None)
    if found is None:
        if not target.phantom:
            log.need(action, 0, UNKNOWN, entry["name"])
        return Named(entry["name"], NOTHING)
    return found


def write(place: Named, flow: Flow, action: str, log: Reading) -> None:
    """Record that a value is written into a column."""
    if place.base:
        log.need(action, *place.base, place.name)
        log.writes.append(Write(place.base, flow))


def _is_constant_source(source: Node | None) -> bool:
    rows = (source or {}).get("SelectStmt", {}).get("valuesLists", [])
    cells = [cell for row in rows for cell in row["List"]["items"]]
    return not source or (bool(cells) and all(is_constant(cell) for cell in cells))


def _on_conflict(
    clause: Node | None,
    known: bool,
    places: list[Named],
    target: Item,
    level: Scope,
    log: Reading,
) -> None:
    if not clause:
        return
    # Whether a row was in the way tells whether a value is there.
    how = "equality" if known else "compare"
    log.use(how, NOTHING.union(*(place.flow for place in places)))
    infer = clause.get("infer", {})
    if "conname" in infer:
        # The server asks for the right to look at the constraint's columns.
        read_columns(target.columns, "*", log)
    for entry in infer.get("indexElems", []):
        element = entry["IndexElem"]
        named = {"ColumnRef": {"fields": [{"String": {"sval": element.get("name", "")}}]}}
        node = element.get("expr") or named
        log.use(how, flow_of(node, level, log))
    condition(infer.get("whereClause"), level, log)
    if clause["action"] == "ONCONFLICT_UPDATE":
        excluded = under(Item(target.columns, {}, target.relation, target.spelled), "excluded")
        assignments(clause["targetList"], target, level.beside(_hidden(excluded)), log)
        condition(clause.get("whereClause"), level.beside(_hidden(excluded)), log)


def _hidden(item: Item) -> Item:
    """Give the same item, seen by its table's name only."""
    return Item((), item.tables)


def update(body: Node, scope: Scope, log: Reading) -> tuple[Named, ...]:
    """Read an UPDATE; give the columns of its RETURNING."""
    scope = with_clause(body, scope, log)
    target = target_of(body["relation"], "update", log)
    level = _beside_target(body.get("fromClause"), target, scope, log)
    assignments(body["targetList"], target, level, log)
    condition(body.get("whereClause"), level, log)
    return returning(body, target, level, log)


def delete(body: Node, scope: Scope, log: Reading) -> tuple[Named, ...]:
    """Read a DELETE; give the columns of its RETURNING."""
    scope = with_clause(body, scope, log)
    target = target_of(body["relation"], "delete", log)
    level = _beside_target(body.get("usingClause"), target, scope, log)
    condition(body.get("whereClause"), level, log)
    return returning(body, target, level, log)


def target_of(body: Node, action: str, log: Reading) -> Item:
    """Give the relation that a statement changes, recording the right it needs."""
    item = base_relation(body, action, log)
    return under(item, body.get("alias", {}).get("aliasname", body["relname"]))


def _beside_target(nodes: list[Node] | None, target: Item, scope: Scope, log: Reading) -> Scope:
    level = scope.inner().beside(target)
    for node in nodes or []:
        level = level.beside(from_item(node, level, log))
    return level


def assignments(targets: list[Node], target: Item, level: Scope, log: Reading) -> None:
    """Read the assignments of a SET."""
    for entry in targets:
        place = place_of(entry["ResTarget"], target, "update", log)
        compared(_indices(entry["ResTarget"]), level, log)
        flow = _assigned(entry["ResTarget"]["val"], level, log)
        write(place, _placed(entry["ResTarget"], flow), "update", log)


def _placed(target: Node, flow: Flow) -> Flow:
    """Give what becomes of a value where it is written: inside of another one it is a new one."""
    return through(flow, How.DERIVED) if "indirection" in target else flow


def _indices(target: Node) -> list[Node]:
    steps = [step["A_Indices"] for step in target.get("indirection", []) if "A_Indices" in step]
    return [step[edge] for step in steps for edge in ("lidx", "uidx") if edge in step]


def _assigned(value: Node, level: Scope, log: Reading) -> Flow:
    if "MultiAssignRef" not in value:
        return flow_of(value, level, log)
    source, at = value["MultiAssignRef"]["source"], value["MultiAssignRef"]["colno"]
    if "RowExpr" in source:
        # The tree repeats the whole row for each column that it is written to.
        log.see(source["RowExpr"])
        refuse_stars(source["RowExpr"].get("args", []))
        chosen: Flow = flows(source["RowExpr"].get("args"), level, log)[at - 1]
        return chosen
    return merged([flow_of(source, level, log)], How.DERIVED)


def returning(body: Node, target: Item, level: Scope, log: Reading) -> tuple[Named, ...]:
    """Read a RETURNING clause; give its columns."""
    clause = body.get("returningClause")
    if not clause:
        return ()
    own = Item(target.columns, {}, target.relation, target.spelled, target.phantom)
    names = {"RETURNING_OPTION_OLD": "old", "RETURNING_OPTION_NEW": "new"}
    for entry in clause.get("options", []):
        option = entry["ReturningOption"]
        names[option["option"]] = option["value"]
    taken = {name for item in level.items for name in item.tables}
    # A table of the statement's own that is called old or new hides the row of that name.
    both = Item((), {name: own for name in names.values() if name not in taken})
    return targets_of(clause["exprs"], level.beside(both), log)
