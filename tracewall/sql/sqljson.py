"""SQL/JSON: which expressions its constructors, functions and tables are made of."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from tracewall.sql.grammar import Node


def parts(kind: str, body: Node) -> list[Node]:
    """Give the expressions that a SQL/JSON expression is computed from."""
    return [node for node in _PARTS[kind](body) if node]


def types(body: Node) -> list[Node]:
    """Give the types that it gives its result as."""
    output = body.get("output") or body.get("constructor", {}).get("output") or {}
    return [output["typeName"]] if "typeName" in output else []


def _value(item: Any) -> Any:
    return item.get("JsonValueExpr", item).get("raw_expr")


def _function(body: Node) -> Iterator[Any]:
    yield _value(body["context_item"])
    yield body.get("pathspec")
    for argument in body.get("passing", []):
        yield _value(argument["JsonArgument"]["val"])
    yield from behaviours(body)


def behaviours(body: Node) -> Iterator[Any]:
    """Give the expressions of ON EMPTY and ON ERROR."""
    for key in ("on_empty", "on_error"):
        yield body.get(key, {}).get("expr")


def _pair(body: Node) -> Iterator[Any]:
    yield body["key"]
    yield _value(body["value"])


def _object(body: Node) -> Iterator[Any]:
    for pair in body.get("exprs", []):
        yield from _pair(pair["JsonKeyValue"])


def _array(body: Node) -> Iterator[Any]:
    yield from map(_value, body.get("exprs", []))


def _one(body: Node) -> Iterator[Any]:
    inner = body["expr"]
    yield inner.get("raw_expr", inner)


def _object_agg(body: Node) -> Iterator[Any]:
    yield from _pair(body["arg"])


def _array_agg(body: Node) -> Iterator[Any]:
    yield _value(body["arg"])


_PARTS: dict[str, Callable[[Node], Iterator[Any]]] = {
    "JsonFuncExpr": _function,
    "JsonObjectConstructor": _object,
    "JsonArrayConstructor": _array,
    "JsonIsPredicate": _one,
    "JsonParseExpr": _one,
    "JsonScalarExpr": _one,
    "JsonSerializeExpr": _one,
    "JsonObjectAgg": _object_agg,
    "JsonArrayAgg": _array_agg,
}
KINDS = tuple(_PARTS)
"""Kinds of nodes that `parts` knows."""


def table_parts(body: Node) -> tuple[list[Node], list[Node], list[str]]:
    """Give JSON_TABLE's expressions, its columns' types, and its columns' names in order."""
    found: list[Any] = [_value(body["context_item"]), body["pathspec"].get("string")]
    for argument in body.get("passing", []):
        found.append(_value(argument["JsonArgument"]["val"]))
    found += behaviours(body)
    made: list[Node] = []
    names: list[str] = []
    for column in _columns(body):
        found += [column.get("pathspec", {}).get("string"), *behaviours(column)]
        made += [column["typeName"]] if "typeName" in column else []
        names += [column["name"]] if column["coltype"] != "JTC_NESTED" else []
    return [node for node in found if node], made, names


def _columns(body: Node) -> Iterator[Node]:
    columns = [entry["JsonTableColumn"] for entry in body.get("columns", [])]
    # Nested columns come after the others of their level (parse_jsontable.c).
    yield from columns
    for column in columns:
        yield from _columns(column)
