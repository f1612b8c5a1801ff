"""The flow of an expression: which base columns its value comes from, and how.

1. Every kind of node is listed; one that is not is refused.
2. Functions and operators are listed too, and must not be shadowed by users' own.
3. A comparison is recorded as a use, and its result carries only what the use told.
4. Testing a column for NULL, or counting it, tells nothing that needs protection.
5. Where a name may mean several columns, the flow is the union of theirs.
6. What can fail, or make more rows or fewer, is a use too, whether or not its value is
   ever shown: the failure and the count would tell of it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from tracewall.sql.comparing import Side, comparison, is_constant
from tracewall.sql.flow import NOTHING, UNKNOWN, Flow, How, Source, among, merged, through
from tracewall.sql.functions import (
    COMPARISONS,
    EQUALITIES,
    EXTRACTIONS,
    FUNCTIONS,
    OPERATORS,
    ORDERING_AGGREGATES,
    PATHS,
    TELLING,
)
from tracewall.sql.grammar import Node
from tracewall.sql.overloads import check_function, check_operator, type_names
from tracewall.sql.paths import taken
from tracewall.sql.reading import Reading
from tracewall.sql.scope import Item, Named, Scope, Unknowable


def flow_of(node: Node | None, scope: Scope, log: Reading) -> Flow:
    """Give the flow of an expression, recording what it reads and compares."""
    if not node:
        return NOTHING
    ((kind, body),) = node.items()
    reader = _READERS.get(kind)
    if reader is None:
        raise Unknowable(f"{kind} is not understood")
    log.see(body)
    return reader(body, scope, log)


def flows(nodes: list[Node] | None, scope: Scope, log: Reading) -> list[Flow]:
    """Give the flow of each expression of a list."""
    return [flow_of(node, scope, log) for node in nodes or []]


def condition(node: Node | None, scope: Scope, log: Reading) -> None:
    """Read a condition: what it uses beyond recorded comparisons is a comparison itself."""
    log.use("compare", flow_of(node, scope, log))


def compared(nodes: list[Node] | None, scope: Scope, log: Reading) -> None:
    """Read expressions that rows are ordered, grouped or told apart by."""
    for flow in flows(nodes, scope, log):
        log.use("compare", flow)


def read_columns(columns: tuple[Named, ...], spelled: str, log: Reading) -> None:
    """Record that base columns are read, by their name or by a star."""
    for column in columns:
        if column.base:
            log.need("select", *column.base, spelled or column.name)


def string(node: Node) -> str:
    """Give the text of a String node, refusing any other."""
    if "String" not in node:
        raise Unknowable("a name is not understood")
    text: str = node["String"].get("sval", "")
    return text


def _column(body: Node, scope: Scope, log: Reading) -> Flow:
    fields = body["fields"]
    if any("A_Star" in part for part in fields):
        raise Unknowable("a star stands where one value is expected")
    names = [string(part) for part in fields]
    if len(names) == 1:
        return _bare(names[0], scope, log)
    item = qualifier(names[:-1], scope)
    return _of_table(item, names[-1], log)


def _bare(name: str, scope: Scope, log: Reading) -> Flow:
    found = scope.columns_named(name)
    if found:
        read_columns(tuple(found), "", log)
        return NOTHING.union(*(column.flow for column in found))
    row = scope.table_named(name)
    if row is not None:
        return _whole_row(row, log)
    if scope.phantom() is None:
        log.need("select", 0, UNKNOWN, name)
    return NOTHING


def qualifier(names: list[str], scope: Scope) -> Item:
    """Give the FROM item that a qualified name, or a qualified star, names."""
    if len(names) == 1:
        item = scope.table_named(names[0])
    else:
        item = scope.relation_named(*names) if len(names) == 2 else None
    if item is None:
        raise Unknowable("a column's table is not among those the statement reads")
    return item


def _of_table(item: Item, name: str, log: Reading) -> Flow:
    found = tuple(column for column in item.columns if column.name == name)
    if not found and not item.phantom:
        # What is no column could be a function over the row, f(t) written t.f.
        log.need("select", 0, UNKNOWN, name)
    read_columns(found, "", log)
    return NOTHING.union(*(column.flow for column in found))


def _whole_row(item: Item, log: Reading) -> Flow:
    read_columns(item.columns, "*", log)
    if item.scalar:
        return item.columns[0].flow
    # The server tells of a table's whole row as of its column 0.
    row = [frozenset({Source((item.relation.oid, 0), How.DERIVED)})] if item.relation else []
    return merged([*row, *(column.flow for column in item.columns)], How.DERIVED)


def computed(parts: list[Flow], log: Reading) -> Flow:
    """Give the flow of what is computed from some flows, recording that it is."""
    flow = merged(parts, How.DERIVED)
    log.use("compute", NOTHING.union(*parts))
    return flow


def _constant(body: Node, scope: Scope, log: Reading) -> Flow:
    return NOTHING


def _operator(body: Node, scope: Scope, log: Reading) -> Flow:
    kind, name = body["kind"], _operator_name(body)
    left, right = _side(body.get("lexpr"), scope, log), _side(body.get("rexpr"), scope, log)
    _check_operator(body, [left, right] if "lexpr" in body else [right], log)
    if kind in _COMPARING or (kind in _PLAIN and name in COMPARISONS):
        equality = name in EQUALITIES and kind != "AEXPR_OP_ALL" and "BETWEEN" not in kind
        return comparison(equality, left, right, log)
    if kind == "AEXPR_NULLIF":
        comparison(True, left, right, log)
        return through(left.flow, How.PART)
    if name in EXTRACTIONS:
        part = taken(left.flow, [body.get("rexpr")], log.hides)
        return part | computed([right.flow], log)
    return computed([left.flow, right.flow], log)


_PLAIN = frozenset({"AEXPR_OP", "AEXPR_OP_ANY", "AEXPR_OP_ALL"})
_COMPARING = frozenset({"AEXPR_DISTINCT", "AEXPR_NOT_DISTINCT", "AEXPR_IN", "AEXPR_LIKE"}) | {
    "AEXPR_ILIKE", "AEXPR_SIMILAR", "AEXPR_BETWEEN", "AEXPR_NOT_BETWEEN", "AEXPR_BETWEEN_SYM",
    "AEXPR_NOT_BETWEEN_SYM",
}  # fmt: skip
_NAMED_BY_KIND = frozenset(kind for kind in _COMPARING if "BETWEEN" in kind)


def _operator_name(body: Node) -> str:
    kind, names = body["kind"], [string(part) for part in body["name"]]
    if kind not in _PLAIN | _COMPARING | {"AEXPR_NULLIF"}:
        raise Unknowable("an operator is not understood")
    if kind not in _NAMED_BY_KIND and names[-1] not in OPERATORS:
        raise Unknowable("an operator is not on the list of those that may be used")
    return names[-1]


def _check_operator(body: Node, sides: list[Side], log: Reading) -> None:
    if body["kind"] in _NAMED_BY_KIND:
        # BETWEEN is made of these, which users can define for their own types.
        for meant in ("<=", ">=", "<", ">"):
            check_operator([meant], sides, log)
    else:
        check_operator([string(part) for part in body["name"]], sides, log)


def _side(node: Node | None, scope: Scope, log: Reading) -> Side:
    if not node or "List" not in node:
        return Side(flow_of(node, scope, log), node)
    items = node["List"].get("items", [])
    read = [(flow_of(item, scope, log), item) for item in items]
    # Constants among columns are literals still, but made-up values are not.
    return Side(among([flow for flow, item in read if flow or not is_constant(item)]), node)


def _all_or_any(body: Node, scope: Scope, log: Reading) -> Flow:
    return merged(flows(body["args"], scope, log), How.PART)


def _null_test(body: Node, scope: Scope, log: Reading) -> Flow:
    flow = flow_of(body["arg"], scope, log)
    known = frozenset(source for source in flow if source.how is How.EXACT)
    log.use("compare", flow - known)
    return through(flow - known, How.COMPARED)


def _truth_test(body: Node, scope: Scope, log: Reading) -> Flow:
    flow = flow_of(body["arg"], scope, log)
    log.use("compare", flow)
    return through(flow, How.COMPARED)


def _cast(body: Node, scope: Scope, log: Reading) -> Flow:
    target = body["typeName"]
    name = type_names(target, log)[-1]
    flow = flow_of(body["arg"], scope, log)
    if name in _TEXTUAL and not target.keys() & {"typmods", "arrayBounds"}:
        return through(flow, How.PART)
    if name in _DOCUMENTS and "arrayBounds" not in target:
        log.use("compute", flow)
        return through(flow, How.PART)
    return computed([flow], log)


_TEXTUAL = frozenset({"text", "varchar"})
_DOCUMENTS = frozenset({"json", "jsonb"})


def _function(body: Node, scope: Scope, log: Reading) -> Flow:
    name = function_name(body["funcname"], log)
    arguments = flows(body.get("args"), scope, log)
    disordered = body.get("agg_within_group") or body.get("func_variadic")
    sides = None if disordered else list(map(Side, arguments, body.get("args", [])))
    check_function([string(part) for part in body["funcname"]], sides, log)
    condition(body.get("agg_filter"), scope, log)
    order = [entry["SortBy"]["node"] for entry in body.get("agg_order", [])]
    within = flows(order, scope, log)
    for flow in within:
        log.use("compare", flow)
    if body.get("agg_distinct"):
        log.use("compare", merged(arguments, How.EXACT))
    window(body.get("over"), scope, log)
    if name == "count":
        return _counted(arguments, log)
    if name in ORDERING_AGGREGATES:
        log.use("compare", merged(arguments, How.EXACT))
        return merged(arguments, How.PART)
    ordered_set = within if body.get("agg_within_group") else []
    return _result(name, body.get("args", []), arguments + ordered_set, log)


def _result(name: str, nodes: list[Node], arguments: list[Flow], log: Reading) -> Flow:
    if name in PATHS:
        part = taken(merged(arguments[:1], How.EXACT), nodes[1:], log.hides)
        return part | computed(arguments[1:], log)
    how = FUNCTIONS[name]
    if how is How.DERIVED:
        return computed(arguments, log)
    if name in TELLING:
        log.use("compute", merged(arguments, How.EXACT))
    # The other arguments choose what part it is: a path, an offset, a dimension.
    return merged(arguments[:1], how) | computed(arguments[1:], log)


def _counted(arguments: list[Flow], log: Reading) -> Flow:
    flow = merged(arguments, How.EXACT)
    computed = frozenset(source for source in flow if source.how is not How.EXACT)
    log.use("compare", computed)
    return through(computed, How.COMPARED)


def function_name(parts: list[Node], log: Reading) -> str:
    """Give the name of a built-in function, refusing any that is not listed."""
    names = [string(part) for part in parts]
    name = names[-1]
    if name not in FUNCTIONS and name not in ORDERING_AGGREGATES and name != "count":
        raise Unknowable(f"the function {name}() is not on the list of those that may be called")
    return name


def window(body: Node | None, scope: Scope, log: Reading) -> None:
    """Read a window's definition: it compares what it partitions and orders by."""
    if not body:
        return
    compared(body.get("partitionClause"), scope, log)
    compared([entry["SortBy"]["node"] for entry in body.get("orderClause", [])], scope, log)
    compared([body[edge] for edge in ("startOffset", "endOffset") if edge in body], scope, log)


def _named_argument(body: Node, scope: Scope, log: Reading) -> Flow:
    return flow_of(body["arg"], scope, log)


def _chosen(body: Node, scope: Scope, log: Reading) -> Flow:
    return merged(flows(body["args"], scope, log), How.PART)


def _extreme(body: Node, scope: Scope, log: Reading) -> Flow:
    flow = merged(flows(body["args"], scope, log), How.EXACT)
    log.use("compare", flow)
    return through(flow, How.PART)


def _case(body: Node, scope: Scope, log: Reading) -> Flow:
    tested = _side(body.get("arg"), scope, log)
    results = [flow_of(body.get("defresult"), scope, log)]
    for entry in body["args"]:
        branch = entry["CaseWhen"]
        tests = _side(branch["expr"], scope, log)
        if "arg" in body:
            check_operator(["="], (tested, tests), log)
            comparison(True, tested, tests, log)
        else:
            log.use("compare", tests.flow)
        results.append(flow_of(branch["result"], scope, log))
    return merged(results, How.PART)


def _array(body: Node, scope: Scope, log: Reading) -> Flow:
    return computed(flows(body.get("elements"), scope, log), log)


def _row(body: Node, scope: Scope, log: Reading) -> Flow:
    return merged(flows(body.get("args"), scope, log), How.DERIVED)


def _collation(body: Node, scope: Scope, log: Reading) -> Flow:
    return through(flow_of(body["arg"], scope, log), How.PART)


_MOST_STEPS = 100


def _indirection(body: Node, scope: Scope, log: Reading) -> Flow:
    flow = flow_of(body["arg"], scope, log)
    if len(body["indirection"]) > _MOST_STEPS:
        raise Unknowable(f"it takes more than {_MOST_STEPS} steps into a value")
    whole = True
    for step in body["indirection"]:
        if "A_Indices" in step:
            index = step["A_Indices"]
            edges = [index[edge] for edge in ("lidx", "uidx") if edge in index]
            compared(edges, scope, log)
            flow = taken(flow, edges, log.hides)
        elif "String" in step:
            whole = False
        else:
            raise Unknowable("a star stands where one value is expected")
    return flow if whole else through(flow, How.DERIVED)


def _subquery(body: Node, scope: Scope, log: Reading) -> Flow:
    columns = log.query(body["subselect"], scope.inner(), log)
    flow = NOTHING.union(*(column.flow for column in columns))
    log.titles[id(body)] = columns[0].name if columns else ""
    kind = body["subLinkType"]
    if kind == "EXISTS_SUBLINK":
        return NOTHING
    if kind == "EXPR_SUBLINK":
        return flow
    if kind == "ARRAY_SUBLINK":
        return through(flow, How.PART)
    if kind in ("ANY_SUBLINK", "ALL_SUBLINK"):
        names = body.get("operName") or [{"String": {"sval": "="}}]
        name = _operator_name({"kind": "AEXPR_OP", "name": names})
        equality = kind == "ANY_SUBLINK" and name in EQUALITIES
        tested = _side(body["testexpr"], scope, log)
        check_operator([string(part) for part in names], (tested, Side(flow)), log)
        return comparison(equality, tested, Side(flow), log)
    raise Unknowable("a subquery is not understood")


_READERS: Mapping[str, Callable[[Any, Scope, Reading], Flow]] = {
    "ColumnRef": _column,
    "A_Const": _constant,
    "ParamRef": _constant,
    "SQLValueFunction": _constant,
    "SetToDefault": _constant,
    "A_Expr": _operator,
    "BoolExpr": _all_or_any,
    "NullTest": _null_test,
    "BooleanTest": _truth_test,
    "TypeCast": _cast,
    "FuncCall": _function,
    "NamedArgExpr": _named_argument,
    "CoalesceExpr": _chosen,
    "MinMaxExpr": _extreme,
    "CaseExpr": _case,
    "A_ArrayExpr": _array,
    "RowExpr": _row,
    "CollateClause": _collation,
    "A_Indirection": _indirection,
    "SubLink": _subquery,
}
