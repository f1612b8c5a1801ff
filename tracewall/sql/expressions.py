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

from tracewall.sql import sqljson
from tracewall.sql.calls import (
    computed,
    function_name,
    gathered,
    is_granted,
    is_setting,
    result,
    string,
)
from tracewall.sql.columns import column_of, of_table, read_columns, row_of
from tracewall.sql.comparing import Side, comparison, is_constant
from tracewall.sql.flow import NOTHING, Flow, How, among, merged, through
from tracewall.sql.functions import (
    COMPARISONS,
    EQUALITIES,
    EXTRACTIONS,
    SEQUENCES,
)
from tracewall.sql.grammar import Node
from tracewall.sql.operators import COMPARING, PLAIN, check_meant, operator_names
from tracewall.sql.overloads import check_function, check_operator, type_names
from tracewall.sql.paths import taken
from tracewall.sql.reading import Reading
from tracewall.sql.scope import Scope, Unknowable
from tracewall.sql.settings import literal
from tracewall.sql.system import SCHEMA


def flow_of(node: Node | None, scope: Scope, log: Reading) -> Flow:
    """Give the flow of an expression, recording what it reads and compares."""
    if not node:
        return NOTHING
    ((kind, body),) = node.items()
    reader = _READERS.get(kind)
    if reader is None:
        raise Unknowable(f"{kind} is not understood")
    log.seen.add(id(body))
    return reader(body, scope, log)


def flows(nodes: list[Node] | None, scope: Scope, log: Reading) -> list[Flow]:
    """Give the flow of each expression of a list."""
    return [flow_of(node, scope, log) for node in nodes or []]


def condition(node: Node | None, scope: Scope, log: Reading) -> None:
    """Read a condition: what it uses beyond recorded comparisons is a comparison itself."""
    if node:
        log.use("compare", flow_of(node, scope, log))


def compared(nodes: list[Node] | None, scope: Scope, log: Reading, how: str = "compare") -> None:
    """Read expressions that rows are ordered, grouped or told apart by."""
    for flow in flows(nodes, scope, log):
        log.use(how, flow)


def sorted_by(entries: list[Node] | None, scope: Scope, log: Reading) -> None:
    """Read the expressions of an ORDER BY that can name no output column."""
    compared([entry["SortBy"]["node"] for entry in entries or []], scope, log, "sort")


def _constant(body: Node, scope: Scope, log: Reading) -> Flow:
    return NOTHING


def _operator(body: Node, scope: Scope, log: Reading) -> Flow:
    kind = body["kind"]
    if kind in PLAIN and is_granted(body["name"], log.catalog.operators, log):
        given = [flow_of(body[side], scope, log) for side in ("lexpr", "rexpr") if side in body]
        return computed(given, log)
    names = operator_names(body)
    name = names[-1]
    if kind == "AEXPR_OP" and name in EQUALITIES and is_setting(body.get("rexpr"), log):
        return _access_method(body, scope, log)
    left, right = _side(body.get("lexpr"), scope, log), _side(body.get("rexpr"), scope, log)
    check_meant(kind, names, [left, right] if "lexpr" in body else [right], log)
    if kind in COMPARING or (kind in PLAIN and name in COMPARISONS):
        equality = name in EQUALITIES and kind != "AEXPR_OP_ALL" and "BETWEEN" not in kind
        return comparison(equality, left, right, log)
    if kind == "AEXPR_NULLIF":
        comparison(True, left, right, log)
        return through(left.flow, How.PART)
    if name in EXTRACTIONS:
        part = taken(left.flow, [body.get("rexpr")], log.hides)
        return part | computed([right.flow], log)
    return computed([left.flow, right.flow], log)


def _access_method(body: Node, scope: Scope, log: Reading) -> Flow:
    # As SQLAlchemy asks: a setting that a parameter names may be compared to what is no
    # secret and no choice of the caller's, the names of access methods.
    known = log.catalog.find(SCHEMA, "pg_am")
    name = known.column("amname") if known else None
    left = flow_of(body["lexpr"], scope, log)
    if not known or not name or {source.column for source in left} != {(known.oid, name.attnum)}:
        raise Unknowable("a parameter is not on the list of those that may be shown")
    check_operator([string(part) for part in body["name"]], [Side(left), Side(NOTHING)], log)
    return left


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
    if _is_configuration(body):
        return flow_of(body["arg"], scope, log)
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
_CONFIGURATIONS = frozenset(
    "arabic armenian basque catalan danish dutch english estonian finnish french german greek "
    "hindi hungarian indonesian irish italian lithuanian nepali norwegian portuguese romanian "
    "russian serbian simple spanish swedish tamil turkish yiddish".split()
)
"""The configurations of text search that PostgreSQL brings along."""


def _is_configuration(body: Node) -> bool:
    names = [part["String"]["sval"] for part in body["typeName"].get("names", [])]
    plain = names in (["regconfig"], ["pg_catalog", "regconfig"])
    return plain and literal(body["arg"]) in _CONFIGURATIONS


def _function(body: Node, scope: Scope, log: Reading) -> Flow:
    own = is_granted(body["funcname"], log.catalog.functions, log)
    name = "" if own else function_name(body["funcname"])
    arguments = _arguments(name, body.get("args", []), scope, log)
    disordered = body.get("agg_within_group") or body.get("func_variadic")
    sides = None if disordered else list(map(Side, arguments, body.get("args", [])))
    if not own:
        check_function([string(part) for part in body["funcname"]], sides, log)
    condition(body.get("agg_filter"), scope, log)
    order = [entry["SortBy"]["node"] for entry in body.get("agg_order", [])]
    within = flows(order, scope, log)
    for flow in within:
        log.use("sort", flow)
    if body.get("agg_distinct"):
        log.use("group", merged(arguments, How.EXACT))
    window(body.get("over"), scope, log)
    ordered_set = within if body.get("agg_within_group") else []
    if own:
        return computed(arguments + ordered_set, log)
    return result(name, body.get("args", []), arguments, ordered_set, log)


def _arguments(name: str, nodes: list[Node], scope: Scope, log: Reading) -> list[Flow]:
    cast = nodes[0].get("TypeCast") if name in SEQUENCES and nodes else None
    if cast is None or literal(cast["arg"]) is None:
        return flows(nodes, scope, log)
    # A sequence's name, cast to regclass as pg_dump writes it, is read as a name.
    log.see(cast)
    if string(cast["typeName"]["names"][-1]) != "regclass":
        raise Unknowable("a sequence's name is not understood")
    return [NOTHING, *flows(nodes[1:], scope, log)]


def window(body: Node | None, scope: Scope, log: Reading) -> None:
    """Read a window's definition: it compares what it partitions and orders by."""
    if not body:
        return
    compared(body.get("partitionClause"), scope, log, "group")
    sorted_by(body.get("orderClause"), scope, log)
    compared([body[edge] for edge in ("startOffset", "endOffset") if edge in body], scope, log)


def _named_argument(body: Node, scope: Scope, log: Reading) -> Flow:
    return flow_of(body["arg"], scope, log)


def _chosen(body: Node, scope: Scope, log: Reading) -> Flow:
    return merged(flows(body["args"], scope, log), How.PART)


def _extreme(body: Node, scope: Scope, log: Reading) -> Flow:
    flow = merged(flows(body["args"], scope, log), How.EXACT)
    log.use("sort", flow)
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
    steps = body["indirection"]
    if len(steps) > _MOST_STEPS:
        raise Unknowable(f"it takes more than {_MOST_STEPS} steps into a value")
    row = row_of(body["arg"], scope)
    if row is not None and "String" in steps[0]:
        # (t).column is t.column.
        log.see(body["arg"]["ColumnRef"])
        read_columns(row.columns, "*", log)
        flow, steps = of_table(row, string(steps[0]), log), steps[1:]
    else:
        flow = flow_of(body["arg"], scope, log)
    return _stepped(flow, steps, scope, log) if steps else flow


def _stepped(flow: Flow, steps: list[Node], scope: Scope, log: Reading) -> Flow:
    whole = True
    for step in steps:
        if "A_Indices" in step:
            index = step["A_Indices"]
            edges = [index[edge] for edge in ("lidx", "uidx") if edge in index]
            compared(edges, scope, log)
            flow = taken(flow, edges, log.hides)
        elif "String" in step:
            whole = False
        else:
            raise Unknowable("a star stands where one value is expected; name the column")
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
        return gathered(flow, log)
    if kind in ("ANY_SUBLINK", "ALL_SUBLINK"):
        parts = body.get("operName") or [{"String": {"sval": "="}}]
        names = operator_names({"kind": "AEXPR_OP", "name": parts})
        equality = kind == "ANY_SUBLINK" and names[-1] in EQUALITIES
        tested = _side(body["testexpr"], scope, log)
        check_operator(names, (tested, Side(flow)), log)
        return comparison(equality, tested, Side(flow), log)
    raise Unknowable("a subquery is not understood")


def _grouping(body: Node, scope: Scope, log: Reading) -> Flow:
    # It tells which columns a row is grouped by, and nothing of their values.
    flows(body["args"], scope, log)
    return NOTHING


def _current_of(body: Node, scope: Scope, log: Reading) -> Flow:
    raise Unknowable("WHERE CURRENT OF does not say which row it is about")


def _xml(body: Node, scope: Scope, log: Reading) -> Flow:
    raise Unknowable("XML is not understood: XPath could take a value apart past any mask")


def _sql_json(kind: str) -> Callable[[Any, Scope, Reading], Flow]:
    def read(body: Node, scope: Scope, log: Reading) -> Flow:
        for made in sqljson.types(body):
            type_names(made, log)
        found = flows(sqljson.parts(kind, body), scope, log)
        aggregate = body.get("constructor", {})
        condition(aggregate.get("agg_filter"), scope, log)
        sorted_by(aggregate.get("agg_order"), scope, log)
        window(aggregate.get("over"), scope, log)
        return computed(found, log)

    return read


def _json_array_of_query(body: Node, scope: Scope, log: Reading) -> Flow:
    for made in sqljson.types(body):
        type_names(made, log)
    columns = log.query(body["query"], scope.inner(), log)
    return computed([column.flow for column in columns], log)


_READERS: Mapping[str, Callable[[Any, Scope, Reading], Flow]] = {
    "ColumnRef": column_of,
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
    "GroupingFunc": _grouping,
    "MergeSupportFunc": _constant,
    "CurrentOfExpr": _current_of,
    "XmlExpr": _xml,
    "XmlSerialize": _xml,
    "JsonArrayQueryConstructor": _json_array_of_query,
    **{kind: _sql_json(kind) for kind in sqljson.KINDS},
}
