"""Functions in FROM: the columns that each of them gives."""

from __future__ import annotations

from tracewall.sql import sqljson
from tracewall.sql.calls import computed, function_name, string
from tracewall.sql.expressions import flow_of, flows
from tracewall.sql.flow import NOTHING, Flow, How, through
from tracewall.sql.functions import RECORDS, TABLE_FUNCTIONS
from tracewall.sql.grammar import Node
from tracewall.sql.naming import output_name
from tracewall.sql.overloads import type_names
from tracewall.sql.reading import Reading
from tracewall.sql.scope import (
    Item,
    Named,
    Scope,
    Unknowable,
    column_names,
    derived,
    under,
)


def function_item(body: Node, level: Scope, log: Reading) -> Item:
    """Read a function, or some of them in ROWS FROM, that stand in FROM."""
    alias = body.get("alias", {})
    calls = [entry["List"]["items"] for entry in body["functions"]]
    called = alias.get("aliasname") or output_name({"val": calls[0][0]}, log.titles)
    columns: list[Named] = []
    for call, *rest in calls:
        listed = rest[0].get("List", {}).get("items", []) if rest else []
        title = called if len(calls) == 1 else output_name({"val": call}, log.titles)
        columns += _columns(call, listed or body.get("coldeflist", []), title, level, log)
    scalar = len(columns) == 1 and not body.get("ordinality")
    if body.get("ordinality"):
        columns.append(Named("ordinality", NOTHING))
    named = derived(tuple(columns), column_names(alias))
    return under(Item(named, scalar=scalar), called)


def _columns(
    call: Node, listed: list[Node], called: str, level: Scope, log: Reading
) -> list[Named]:
    body = call.get("FuncCall")
    if body is None:
        flow = flow_of(call, level.inner(), log)
        _check_width("", [], flow, log)
        return [Named(called, flow)]
    name = function_name(body["funcname"])
    if listed:
        return _defined(name, call, listed, level, log)
    if name in RECORDS:
        raise Unknowable(f"the columns of {name}() are not defined")
    arguments = body.get("args", [])
    if name == "unnest" and len(arguments) > 1:
        return _side_by_side(body, arguments, level, log)
    flow = flow_of(call, level.inner(), log)
    _check_width(name, arguments, flow, log)
    return [Named(label, flow) for label in TABLE_FUNCTIONS.get(name, ()) or (called,)]


_TSVECTOR = 3614
_PLAIN = frozenset({How.EXACT, How.AMONG, How.PART, How.TAKEN})
_FIRST_OF_USERS = 16_384
"""The first oid that the server gives to objects of users (FirstNormalObjectId)."""


def _check_width(name: str, arguments: list[Node], flow: Flow, log: Reading) -> None:
    """Refuse a function in FROM that may give more columns than one, of unknown names.

    A composite value becomes its fields, a text search vector its lexemes: their names
    would mean something else than what is read here.
    """
    for (oid, attnum), how in flow:
        columns = log.catalog.relations[oid].columns
        types = [column.type for column in columns if column.attnum == attnum]
        fields = any(made >= _FIRST_OF_USERS or made == _TSVECTOR for made in types)
        if log.foreign or fields or not attnum:
            raise Unknowable("a function in FROM is given values of a type that may have fields")
        plain = how in _PLAIN or all(map(_is_array, arguments))
        if name == "unnest" and not plain:
            raise Unknowable("unnest() in FROM is given what may be no array")


_ARRAYS = frozenset(
    "string_to_array regexp_split_to_array regexp_match array_append array_cat array_prepend "
    "array_remove array_replace array_reverse array_sort trim_array array_agg array_fill "
    "tsvector_to_array array_positions array_shuffle array_sample".split()
)


def _is_array(node: Node) -> bool:
    ((kind, body),) = node.items()
    if kind == "SubLink":
        return bool(body["subLinkType"] == "ARRAY_SUBLINK")
    if kind == "FuncCall":
        return string(body["funcname"][-1]) in _ARRAYS
    if kind == "TypeCast":
        return "arrayBounds" in body["typeName"]
    return kind == "A_ArrayExpr"


def _defined(name: str, call: Node, listed: list[Node], level: Scope, log: Reading) -> list[Named]:
    if name not in RECORDS:
        raise Unknowable(f"the columns of {name}() may not be defined")
    for entry in listed:
        type_names(entry["ColumnDef"]["typeName"], log)
    flow = flow_of(call, level.inner(), log)
    return [Named(entry["ColumnDef"]["colname"], flow) for entry in listed]


def _side_by_side(body: Node, arguments: list[Node], level: Scope, log: Reading) -> list[Named]:
    log.see(body)
    found = flows(arguments, level.inner(), log)
    for flow in found:
        log.use("compute", flow)
    return [Named("unnest", through(flow, How.TAKEN)) for flow in found]


def json_table(body: Node, level: Scope, log: Reading) -> Item:
    """Read JSON_TABLE: each of its columns is computed from all that goes into it."""
    expressions, types, names = sqljson.table_parts(body)
    for made in types:
        type_names(made, log)
    flow = computed(flows(expressions, level.inner(), log), log)
    columns = tuple(Named(name, flow) for name in names)
    alias = body.get("alias", {})
    item = Item(derived(columns, column_names(alias)))
    return under(item, alias.get("aliasname", "json_table"))


def method_of(names: list[Node]) -> str:
    """Give the name of a sampling method, refusing any that is not PostgreSQL's own."""
    listed = [string(part) for part in names]
    if listed[-1] not in ("bernoulli", "system") or listed[:-1] not in ([], ["pg_catalog"]):
        raise Unknowable("a method of TABLESAMPLE is not PostgreSQL's own")
    return listed[-1]
