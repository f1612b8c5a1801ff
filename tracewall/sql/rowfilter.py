"""The condition of a row filter: a small part of SQL, read by PostgreSQL's own grammar.

What is not listed here is refused. A condition is written anew from its tree, so that
what a migration holds is what was read: columns quoted, claims as subqueries that the
server evaluates once for a statement, of a setting that only the wall sends.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from tracewall.sql.grammar import Node, Unparsable, parse

SETTING = "tracewall.principal"
"""The setting by which the server knows for whom a statement is: a JSON object."""

PRINCIPAL = f"NULLIF(current_setting('{SETTING}', true), '')::jsonb"
"""The SQL of its value; null where the wall has sent none."""

_HEAD = "SELECT WHERE (\n"
_OPERATORS = frozenset("= <> < > <= >= ~~ !~~ ~~* !~~* + - || -> ->> #>> @> <@ && ? ?| ?&".split())
_FUNCTIONS = frozenset(
    "lower upper btrim length left right starts_with split_part date_trunc now".split()
)
_TYPES = frozenset(
    "text varchar bpchar bool int2 int4 int8 numeric float8 uuid date timestamp timestamptz "
    "interval inet jsonb".split()
)
_LIST_TYPES = frozenset("text int4 int8 uuid".split())
_LIKES = {"AEXPR_LIKE": "LIKE", "AEXPR_ILIKE": "ILIKE"}
_DISTINCT = {
    "AEXPR_DISTINCT": "IS DISTINCT FROM",
    "AEXPR_NOT_DISTINCT": "IS NOT DISTINCT FROM",
}


class Unfit(Exception):
    """A text is no condition of a row filter.

    ``reason`` says why, ``at`` is the offset of the part that it is about (characters;
    -1: the whole).
    """

    def __init__(self, reason: str, at: int = -1) -> None:
        super().__init__(reason)
        self.reason, self.at = reason, at


@dataclass(frozen=True, slots=True)
class Condition:
    """Which rows a grant is about: ``sql``, over the ``columns`` that a table must have.

    ``claims`` are the names of the token's claims that it needs.
    """

    sql: str
    columns: tuple[str, ...] = ()
    claims: tuple[str, ...] = ()


def condition(text: str) -> Condition:
    """Read a condition.

    Raises:
        Unfit: it is none, or holds what row filters do not understand.
    """
    writer = _Writer(text)
    return Condition(writer.whole(), tuple(writer.columns), tuple(writer.claims))


class _Writer:
    """Writes one condition anew, and notes what it needs."""

    def __init__(self, text: str) -> None:
        self._text = text
        self.columns: dict[str, None] = {}
        self.claims: dict[str, None] = {}

    def whole(self) -> str:
        try:
            # The line break ends a comment that would hide the bracket.
            tree = parse(f"{_HEAD}{self._text}\n)".encode())
        except (Unparsable, UnicodeEncodeError) as ex:
            reason = getattr(ex, "reason", "it is no text")
            raise Unfit(f"this is no SQL condition: {reason}") from None
        body = tree.get("SelectStmt", {})
        usual = {"whereClause", "limitOption", "op"}
        if set(body) != usual or body["op"] != "SETOP_NONE":
            raise Unfit("this is more than one SQL condition")
        if body["limitOption"] != "LIMIT_OPTION_DEFAULT":
            raise Unfit("this is more than one SQL condition")
        return self.of(body["whereClause"])

    def of(self, node: Node) -> str:
        """Write an expression."""
        ((kind, body),) = node.items()
        write = _WRITERS.get(kind)
        if write is None:
            raise self.unfit("a row filter can't hold this", body)
        return write(self, body)

    def unfit(self, reason: str, body: Any) -> Unfit:
        location = body.get("location", -1) if isinstance(body, dict) else -1
        if location < len(_HEAD):
            return Unfit(reason)
        before = self._text.encode()[: location - len(_HEAD)]
        return Unfit(reason, len(before.decode("utf-8", "replace")))

    def column(self, body: Node) -> str:
        fields = body["fields"]
        name = fields[0].get("String", {}).get("sval", "")
        if len(fields) != 1 or not name:
            raise self.unfit("name a column of the table alone, without a table before it", body)
        self.columns[name] = None
        return _quoted(name)

    def constant(self, body: Node) -> str:
        if body.get("isnull"):
            return "NULL"
        ((kind, inner),) = ((key, body[key]) for key in body if key != "location")
        if kind == "sval":
            return _literal(inner.get("sval", ""))
        if kind == "boolval":
            return "true" if inner.get("boolval") else "false"
        if kind not in ("ival", "fval"):
            raise self.unfit("a row filter can't hold this constant", body)
        number = str(inner.get(kind, 0))
        return f"({number})" if number.startswith("-") else number

    def boolean(self, body: Node) -> str:
        parts = [self.of(part) for part in body["args"]]
        if body["boolop"] == "NOT_EXPR":
            return f"(NOT {parts[0]})"
        return f"({(' AND ' if body['boolop'] == 'AND_EXPR' else ' OR ').join(parts)})"

    def operation(self, body: Node) -> str:
        kind, names = body["kind"], [part["String"]["sval"] for part in body["name"]]
        if len(names) != 1 or "lexpr" not in body:
            raise self.unfit("a row filter can't hold this operator", body)
        left = self.of(body["lexpr"])
        if kind in ("AEXPR_BETWEEN", "AEXPR_NOT_BETWEEN"):
            low, high = (self.of(part) for part in body["rexpr"]["List"]["items"])
            no = "NOT " if kind == "AEXPR_NOT_BETWEEN" else ""
            return f"({left} {no}BETWEEN {low} AND {high})"
        operator = names[0]
        if operator not in _OPERATORS:
            raise self.unfit(f"a row filter can't hold the operator {operator}", body)
        if kind == "AEXPR_IN":
            listed = ", ".join(self.of(part) for part in body["rexpr"]["List"]["items"])
            return f"({left} {'IN' if operator == '=' else 'NOT IN'} ({listed}))"
        right = self.of(body["rexpr"])
        if kind == "AEXPR_OP_ANY":
            return f"({left} {operator} ANY ({right}))"
        if kind in _DISTINCT:
            return f"({left} {_DISTINCT[kind]} {right})"
        if kind != "AEXPR_OP" and kind not in _LIKES:
            raise self.unfit("a row filter can't hold this operator", body)
        return f"({left} {operator} {right})"

    def null_test(self, body: Node) -> str:
        no = "" if body["nulltesttype"] == "IS_NULL" else "NOT "
        return f"({self.of(body['arg'])} IS {no}NULL)"

    def truth_test(self, body: Node) -> str:
        return f"({self.of(body['arg'])} {body['booltesttype'].replace('_', ' ')})"

    def cast(self, body: Node) -> str:
        named = body["typeName"]
        names = [part["String"]["sval"] for part in named["names"]]
        kind = names[-1]
        known = kind in (_LIST_TYPES if "arrayBounds" in named else _TYPES)
        plain = not ({"typmods", "setof", "pct_type"} & named.keys())
        if not (known and plain and names[:-1] in ([], ["pg_catalog"])):
            raise self.unfit("a row filter can't cast to this type", body)
        brackets = "[]" if "arrayBounds" in named else ""
        return f"({self.of(body['arg'])})::{kind}{brackets}"

    def call(self, body: Node) -> str:
        names = [part["String"]["sval"] for part in body["funcname"]]
        args, name = body.get("args", []), names[-1]
        if set(body) - {"funcname", "args", "funcformat", "location"} or len(names) != 1:
            raise self.unfit("a row filter can't hold this call", body)
        if name in ("claim", "claims"):
            return self.claim(name, args, body)
        if name not in _FUNCTIONS:
            raise self.unfit(f"a row filter can't call {name}()", body)
        return f"{name}({', '.join(self.of(arg) for arg in args)})"

    def claim(self, name: str, args: list[Node], body: Node) -> str:
        called = args[0].get("A_Const", {}).get("sval", {}).get("sval") if args else None
        if len(args) != 1 or not called:
            raise self.unfit(f"write {name}('name'), with the claim's name as a literal", body)
        self.claims[called] = None
        if name == "claim":
            return f"(SELECT {PRINCIPAL} -> 'claims' ->> {_literal(called)})"
        listed = f"{PRINCIPAL} -> 'lists' -> {_literal(called)}"
        return f"ARRAY(SELECT jsonb_array_elements_text({listed}))"

    def coalesce(self, body: Node) -> str:
        return f"COALESCE({', '.join(self.of(arg) for arg in body['args'])})"

    def array(self, body: Node) -> str:
        return f"ARRAY[{', '.join(self.of(part) for part in body['elements'])}]"

    def now(self, body: Node) -> str:
        if body["op"] not in ("SVFOP_CURRENT_DATE", "SVFOP_CURRENT_TIMESTAMP"):
            raise self.unfit("a row filter can't hold this value", body)
        return str(body["op"]).removeprefix("SVFOP_").lower()


_WRITERS: Mapping[str, Callable[[_Writer, Any], str]] = {
    "ColumnRef": _Writer.column,
    "A_Const": _Writer.constant,
    "BoolExpr": _Writer.boolean,
    "A_Expr": _Writer.operation,
    "NullTest": _Writer.null_test,
    "BooleanTest": _Writer.truth_test,
    "TypeCast": _Writer.cast,
    "FuncCall": _Writer.call,
    "CoalesceExpr": _Writer.coalesce,
    "A_ArrayExpr": _Writer.array,
    "SQLValueFunction": _Writer.now,
}


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _literal(text: str) -> str:
    # E'': the text means the same whatever standard_conforming_strings is.
    if "\\" in text:
        return " E'" + text.replace("\\", "\\\\").replace("'", "''") + "'"
    return "'" + text.replace("'", "''") + "'"
