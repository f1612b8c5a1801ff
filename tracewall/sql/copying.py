"""COPY: what it gives out or takes in, and how it spells values."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from tracewall.sql.calls import string
from tracewall.sql.catalog import Catalog
from tracewall.sql.columns import read_columns
from tracewall.sql.expressions import condition
from tracewall.sql.flow import NOTHING, UNKNOWN, Write
from tracewall.sql.grammar import Node, Text, Unparsable
from tracewall.sql.quoting import verbatim
from tracewall.sql.reading import Reading
from tracewall.sql.relations import base_relation
from tracewall.sql.scope import Item, Named, Scope, Unknowable, under


@dataclass(frozen=True, slots=True)
class CopyFormat:
    r"""How COPY spells rows (PostgreSQL: COPY, file formats), defaults filled in.

    ``format`` is ``text``, ``csv`` or ``binary``; ``header`` is ``false``, ``true`` or
    ``match``; ``default`` is None where the option is not used. ``force_quote``,
    ``force_not_null`` and ``force_null`` name columns, or hold ``*`` for all of them.
    """

    format: str = "text"
    delimiter: str = "\t"
    null: str = "\\N"
    header: str = "false"
    quote: str = '"'
    escape: str = '"'
    default: str | None = None
    force_quote: tuple[str, ...] = ()
    force_not_null: tuple[str, ...] = ()
    force_null: tuple[str, ...] = ()


def copy(body: Node, scope: Scope, log: Reading) -> tuple[str, tuple[Named, ...], CopyFormat]:
    """Read a COPY; give its kind, what it gives out, and how values are spelled."""
    if body.get("is_program") or "filename" in body:
        raise Unknowable(
            "COPY to or from a file or program of the server is not followed; COPY TO STDOUT and "
            "FROM STDIN go through the cursor"
        )
    spelling = _format(body.get("options", []))
    if body.get("is_from"):
        _copy_from(body, scope, log)
        return "copy_from", (), spelling
    if "query" in body:
        return "copy_to", log.query(body["query"], scope.inner(), log), spelling
    return "copy_to", _copy_table(body, log), spelling


def copied_query(sql: bytes, catalog: Catalog) -> str:
    """Give a query with the columns that a COPY TO gives out, in its order.

    Raises:
        Unparsable: the statement is no COPY TO that was understood.
    """
    text = Text(sql)
    tree = text.parse()
    within = text.query_within(tree)
    if within is not None:
        return within[0]
    body = tree["CopyStmt"]
    schema, name = body["relation"].get("schemaname"), body["relation"]["relname"]
    relation = catalog.find(schema, name)
    if relation is None:
        raise Unparsable("the relation is not known")
    columns = [string(each) for each in body.get("attlist", [])] or [
        column.name for column in relation.columns if not column.generated
    ]
    table = verbatim(relation.schema, relation.name)
    return " ".join(("SELECT", ", ".join(map(verbatim, columns)), "FROM", table))


def _copy_table(body: Node, log: Reading) -> tuple[Named, ...]:
    item = _relation(body, "select", log)
    columns = _columns(body, item, "select", log)
    read_columns(columns, "" if "attlist" in body else "*", log)
    return columns


def _copy_from(body: Node, scope: Scope, log: Reading) -> None:
    item = _relation(body, "insert", log)
    for column in _columns(body, item, "insert", log):
        if column.base:
            log.need("insert", *column.base, column.name)
            log.writes.append(Write(column.base, NOTHING))
    level = scope.inner().beside(under(item, body["relation"]["relname"]))
    condition(body.get("whereClause"), level, log)


def _relation(body: Node, action: str, log: Reading) -> Item:
    log.see(body["relation"])
    return base_relation(body["relation"], action, log)


def _columns(body: Node, item: Item, action: str, log: Reading) -> tuple[Named, ...]:
    if item.phantom:
        return ()
    if "attlist" not in body:
        # Generated columns are neither given out nor taken in.
        generated = {c.name for c in item.relation.columns if c.generated} if item.relation else ()
        return tuple(column for column in item.columns if column.name not in generated)
    found = []
    for name in map(string, body["attlist"]):
        column = next((column for column in item.columns if column.name == name), None)
        if column is None:
            log.need(action, 0, UNKNOWN, name)
        else:
            found.append(column)
    return tuple(found)


_TEXTS = frozenset({"delimiter", "null", "quote", "escape", "default"})
_COLUMNS = frozenset({"force_quote", "force_not_null", "force_null"})
_HARMLESS = frozenset({"on_error", "reject_limit", "log_verbosity"})
_NO_OPTION = (
    "COPY has an option, or the value of one, that is not understood; leave out what is none of "
    + ", ".join(sorted(_TEXTS | _COLUMNS | _HARMLESS | {"format", "header", "encoding"}))
)
_TRUE = frozenset({"true", "on", "1"})
_FALSE = frozenset({"false", "off", "0"})


def _format(options: list[Node]) -> CopyFormat:
    said: dict[str, Any] = {}
    for entry in options:
        option = entry["DefElem"]
        name = option["defname"].lower()
        if name in said:
            raise Unknowable("COPY has an option twice; give it once")
        said[name] = _option(name, option.get("arg"))
    style = said.pop("format", "text")
    if style not in ("text", "csv", "binary"):
        raise Unknowable("COPY takes the formats text, csv and binary")
    if str(said.pop("encoding", "utf8")).lower().replace("-", "") not in ("utf8", "unicode"):
        raise Unknowable("COPY has another encoding than UTF8; leave ENCODING out")
    for name in _HARMLESS:
        said.pop(name, None)
    base = CopyFormat(style)
    if style == "csv":
        base = replace(base, delimiter=",", null="", escape=said.get("quote", '"'))
    return replace(base, **said)


def _option(name: str, value: Node | None) -> Any:
    if name in _COLUMNS:
        return _column_names(value)
    text = _text(value)
    if name == "header":
        return _header(text)
    if name == "format":
        return (text or "").lower()
    if name not in _TEXTS | _HARMLESS | {"encoding"} or text is None:
        raise Unknowable(_NO_OPTION)
    return text


def _header(text: str | None) -> str:
    # Without a value it is meant.
    word = "true" if text is None else text.lower()
    if word in _TRUE:
        return "true"
    if word in _FALSE or word == "match":
        return "match" if word == "match" else "false"
    raise Unknowable("COPY takes true, false or match for its header")


def _text(value: Node | None) -> str | None:
    if not value:
        return None
    ((kind, body),) = value.items()
    keys = {"String": ("sval", ""), "Integer": ("ival", 0), "Boolean": ("boolval", False)}
    if kind not in keys:
        raise Unknowable(_NO_OPTION)
    key, default = keys[kind]
    return str(body.get(key, default)).lower() if kind == "Boolean" else str(body.get(key, default))


def _column_names(value: Node | None) -> tuple[str, ...]:
    if value and "A_Star" in value:
        return ("*",)
    items = (value or {}).get("List", {}).get("items", [])
    return tuple(string(item) for item in items)
