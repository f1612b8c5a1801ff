"""What a statement reads, compares, writes and gives back, read from PostgreSQL's own tree.

1. SELECT, INSERT, UPDATE and DELETE are read; any other statement is refused.
2. Every FROM item is a table, a CTE, a subquery, a join, or a listed function.
3. Each relation needs every action that is done to it; each column that is named, or
   that a star stands for, needs to be readable.
4. Each output position knows which base columns can show there, and how.
5. What orders, groups, joins or filters rows is a use of the columns it looks at.
6. A name that is unknown is no error here: it becomes a right that nobody has.
7. What is not understood is refused; nothing is guessed.
"""

from __future__ import annotations

from tracewall.sql.calls import string
from tracewall.sql.columns import qualifier, read_columns, refuse_stars, row_of
from tracewall.sql.expressions import compared, condition, flow_of, window
from tracewall.sql.flow import NOTHING, Flow, How, among, through
from tracewall.sql.grammar import Node
from tracewall.sql.naming import output_name
from tracewall.sql.reading import Reading
from tracewall.sql.relations import from_clause
from tracewall.sql.scope import Item, Named, Scope, Unknowable, derived


def select(body: Node, scope: Scope, log: Reading) -> tuple[Named, ...]:
    """Read a SELECT, VALUES or set operation; give its output columns."""
    log.enter_query()
    if "intoClause" in body:
        temporary = body["intoClause"]["rel"]["relpersistence"] == "t"
        raise Unknowable("SELECT INTO makes a table", "temp" if temporary else "ddl")
    scope = with_clause(body, scope, log)
    if "valuesLists" in body:
        columns = _values(body["valuesLists"], scope, log)
    elif body.get("op", "SETOP_NONE") != "SETOP_NONE":
        columns = _set_operation(body, scope, log)
    else:
        return _plain_select(body, scope, log)
    _order_by_output(body.get("sortClause"), columns, scope.inner(), log)
    _limits(body, scope, log)
    return columns


def _plain_select(body: Node, scope: Scope, log: Reading) -> tuple[Named, ...]:
    scope = from_clause(body.get("fromClause"), scope, log)
    condition(body.get("whereClause"), scope, log)
    columns = targets_of(body.get("targetList"), scope, log)
    _grouping(body.get("groupClause"), columns, scope, log)
    condition(body.get("havingClause"), scope, log)
    for entry in body.get("windowClause", []):
        window(entry["WindowDef"], scope, log)
    _order_by_output(body.get("sortClause"), columns, scope, log)
    _distinct(body.get("distinctClause"), columns, scope, log)
    _limits(body, scope, log)
    _locks(body.get("lockingClause"), scope, log)
    return columns


MOST_OUTPUTS = 1_664
"""How many columns PostgreSQL gives out (MaxTupleAttributeNumber)."""


def targets_of(targets: list[Node] | None, scope: Scope, log: Reading) -> tuple[Named, ...]:
    """Read a list of outputs, its stars expanded."""
    columns: list[Named] = []
    for entry in targets or []:
        target = entry["ResTarget"]
        star = _star(target.get("val"), scope, log)
        if star is not None:
            log.see(next(iter(target["val"].values())))
            read_columns(star, "*", log)
            columns += (Named(column.name, column.flow) for column in star)
        else:
            flow = flow_of(target["val"], scope, log)
            columns.append(Named(output_name(target, log.titles), flow))
        if len(columns) > MOST_OUTPUTS:
            raise Unknowable("it has more output columns than PostgreSQL gives")
    return tuple(columns)


def _star(value: Node | None, scope: Scope, log: Reading) -> tuple[Named, ...] | None:
    if not value:
        return None
    if "A_Indirection" in value:
        row = _starred_row(value, scope, log)
        return None if row is None else row.columns
    fields = value["ColumnRef"]["fields"] if "ColumnRef" in value else []
    if not fields or "A_Star" not in fields[-1]:
        return None
    if len(fields) == 1:
        return scope.star
    item = qualifier([string(part) for part in fields[:-1]], scope)
    return item.columns


def _starred_row(value: Node, scope: Scope, log: Reading) -> Item | None:
    """Give the item that ``(t).*`` stands for."""
    steps = value.get("A_Indirection", {}).get("indirection", [])
    if len(steps) != 1 or "A_Star" not in steps[0]:
        return None
    body = value["A_Indirection"]
    row = row_of(body["arg"], scope)
    if row is not None:
        log.see(body)
        log.see(body["arg"]["ColumnRef"])
    return row


def _grouping(
    nodes: list[Node] | None, columns: tuple[Named, ...], scope: Scope, log: Reading
) -> None:
    for node in nodes or []:
        if "GroupingSet" in node:
            _grouping(node["GroupingSet"].get("content"), columns, scope, log)
        elif "RowExpr" in node:
            _grouping(node["RowExpr"].get("args"), columns, scope, log)
        else:
            # GROUP BY prefers an input column's name to an output's, on its own level.
            bare = _bare_name(node)
            known = bare is not None and bool(scope.own_columns_named(bare))
            log.use("group", _output_or_flow(node, () if known else columns, columns, scope, log))


def _order_by_output(
    nodes: list[Node] | None, columns: tuple[Named, ...], scope: Scope, log: Reading
) -> None:
    for node in nodes or []:
        by = node["SortBy"]
        if by.get("useOp"):
            raise Unknowable("ORDER BY USING is not understood; write ASC or DESC")
        log.use("sort", _output_or_flow(by["node"], columns, columns, scope, log))


def _output_or_flow(
    node: Node, named: tuple[Named, ...], numbered: tuple[Named, ...], scope: Scope, log: Reading
) -> Flow:
    constant = node.get("A_Const", {})
    if "ival" in constant:
        position = constant["ival"].get("ival", 0)
        if not 0 < position <= len(numbered):
            raise Unknowable("a position in ORDER BY or GROUP BY is out of range")
        chosen: Flow = numbered[position - 1].flow
        return chosen
    bare = _bare_name(node)
    found = [column.flow for column in named if column.name == bare]
    if not found:
        return flow_of(node, scope, log)
    log.see(node["ColumnRef"])
    return NOTHING.union(*found)


def _bare_name(node: Node) -> str | None:
    fields = node.get("ColumnRef", {}).get("fields", [])
    return string(fields[0]) if len(fields) == 1 and "String" in fields[0] else None


def _distinct(
    nodes: list[Node] | None, columns: tuple[Named, ...], scope: Scope, log: Reading
) -> None:
    for node in nodes or []:
        if node:
            log.use("group", _output_or_flow(node, columns, columns, scope, log))
        else:
            # A plain DISTINCT is a list of one empty node: it compares every output.
            log.use("group", NOTHING.union(*(column.flow for column in columns)))


def _limits(body: Node, scope: Scope, log: Reading) -> None:
    compared([body[key] for key in ("limitCount", "limitOffset") if key in body], scope, log)


def _locks(nodes: list[Node] | None, scope: Scope, log: Reading) -> None:
    for node in nodes or []:
        clause = node["LockingClause"]
        locked = [entry["RangeVar"] for entry in clause.get("lockedRels", [])]
        for body in locked:
            log.see(body)
        named = {body["relname"] for body in locked}
        known = {name for item in scope.items for name in item.tables}
        if not named <= known:
            raise Unknowable("it locks a table that it does not read")
        for item in scope.items:
            for name, table in item.tables.items():
                if not named or name in named:
                    _lock(table, log)


def _lock(item: Item, log: Reading) -> None:
    if item.relation:
        log.need("update", item.relation.oid, 0, item.spelled)
        return
    # A lock reaches through a subquery to the tables in it; which they are is not known here.
    for access in list(log.accesses):
        if access.action == "select" and not access.attnum:
            log.accesses[access._replace(action="update")] = None


def _values(rows: list[Node], scope: Scope, log: Reading) -> tuple[Named, ...]:
    for row in rows:
        refuse_stars(row["List"]["items"])
    read = [[flow_of(cell, scope, log) for cell in row["List"]["items"]] for row in rows]
    if len({len(row) for row in read}) != 1:
        raise Unknowable("the rows of VALUES differ in length")
    return tuple(
        Named(f"column{at}", among(cells))
        for at, cells in enumerate(zip(*read, strict=True), start=1)
    )


def _set_operation(body: Node, scope: Scope, log: Reading) -> tuple[Named, ...]:
    left = select(body["larg"], scope.inner(), log)
    right = select(body["rarg"], scope.inner(), log)
    if len(left) != len(right):
        raise Unknowable("the sides of a set operation differ in their number of columns")
    columns = tuple(
        Named(a.name, among((a.flow, b.flow))) for a, b in zip(left, right, strict=True)
    )
    if body["op"] != "SETOP_UNION" or not body.get("all"):
        log.use("group", NOTHING.union(*(column.flow for column in columns)))
    return columns


def with_clause(body: Node, scope: Scope, log: Reading) -> Scope:
    """Read a WITH clause; give the scope that knows its CTEs."""
    clause = body.get("withClause")
    if not clause:
        return scope
    ctes = [entry["CommonTableExpr"] for entry in clause["ctes"]]
    recursive = bool(clause.get("recursive"))
    if recursive:
        # All of them can be named in each of them.
        for cte in ctes:
            scope = scope.knowing(cte["ctename"], None)
    for cte in ctes:
        columns = _cte(cte, recursive, scope, log)
        scope = scope.knowing(cte["ctename"], columns + _followed(cte, columns, scope, log))
    return scope


def _cte(cte: Node, recursive: bool, scope: Scope, log: Reading) -> tuple[Named, ...]:
    aliases = [string(part) for part in cte.get("aliascolnames", [])]
    select = cte["ctequery"].get("SelectStmt", {})
    if not (recursive and select.get("op") == "SETOP_UNION"):
        return derived(log.query(cte["ctequery"], scope.inner(), log), aliases)
    known = derived(_first_term(select, scope, log), aliases)
    while True:
        # Each round can only add sources, of which there are finitely many.
        around = scope.knowing(cte["ctename"], known).inner()
        again = derived(log.query(cte["ctequery"], around, log), aliases)
        grown = tuple(Named(a.name, a.flow | b.flow) for a, b in zip(known, again, strict=True))
        if grown == known:
            return known
        known = grown


def _followed(
    cte: Node, columns: tuple[Named, ...], scope: Scope, log: Reading
) -> tuple[Named, ...]:
    """Give the columns that SEARCH and CYCLE add: they hold what they order and compare."""
    made: list[Named] = []
    search, cycle = cte.get("search_clause"), cte.get("cycle_clause")
    if search:
        order = _tracked(search["search_col_list"], columns, log)
        made.append(Named(search["search_seq_column"], order))
    if cycle:
        path = _tracked(cycle["cycle_col_list"], columns, log)
        marks = [cycle.get(key) for key in ("cycle_mark_value", "cycle_mark_default")]
        mark = NOTHING.union(*(flow_of(node, scope, log) for node in marks))
        made.append(Named(cycle["cycle_mark_column"], mark | through(path, How.DERIVED)))
        made.append(Named(cycle["cycle_path_column"], path))
    return tuple(made)


def _tracked(names: list[Node], columns: tuple[Named, ...], log: Reading) -> Flow:
    listed = [string(part) for part in names]
    flow = NOTHING.union(*(column.flow for column in columns if column.name in listed))
    log.use("compare", flow)
    return through(flow, How.DERIVED)


def _first_term(term: Node, scope: Scope, log: Reading) -> tuple[Named, ...]:
    return select(term["larg"], with_clause(term, scope, log).inner(), log)
