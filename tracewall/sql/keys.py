"""How many rows a statement can have at most because its conditions name unique keys.

1. A key counts where PostgreSQL holds it for every row at any time: `Relation.keys` has no
   others. Equality must be the key's own: PostgreSQL's operator, on a type of its own, with
   an operand that leaves the column as it is. Another type's would compare otherwise.
2. A row of a join is one of each of its relations: the bound is the product of theirs. A
   relation is bounded by constants, parameters, or columns of relations that are.
3. What an outer join may leave out bounds only the side that it leaves out.
4. Whatever is not known to keep the bound gives none.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from tracewall.sql.catalog import Catalog, Relation
from tracewall.sql.grammar import Node

WHOLE = frozenset({20, 21, 23})
_TEXTS = frozenset({25, 1043})
# By the type of a column (oid): the types of operands by which it is compared as it is.
_OPERANDS = {
    **dict.fromkeys(WHOLE, WHOLE),
    **dict.fromkeys(_TEXTS, _TEXTS),
    1700: frozenset({1700, *WHOLE}),
    **{oid: frozenset({oid}) for oid in (16, 17, 1042, 1082, 1083, 1114, 1184, 2950)},
}
_ARRAYS = {
    1000: 16, 1001: 17, 1005: 21, 1007: 23, 1009: 25, 1014: 1042, 1015: 1043, 1016: 20,
    1115: 1114, 1182: 1082, 1183: 1083, 1185: 1184, 1231: 1700, 2951: 2950,
}  # fmt: skip
_NAMED = {
    "bool": 16, "bytea": 17, "int8": 20, "int2": 21, "int4": 23, "text": 25, "bpchar": 1042,
    "varchar": 1043, "date": 1082, "time": 1083, "timestamp": 1114, "timestamptz": 1184,
    "numeric": 1700, "uuid": 2950,
}  # fmt: skip
NUMBERS = frozenset({1700, *WHOLE})
_LONG = re.compile(r"-?[0-9]{1,18}")
SENT_AS_TEXT = frozenset({0, 25, 1043})
_MOST = 2**62


class Keyed(NamedTuple):
    """A bound by unique keys: ``most`` rows, times the elements of each of ``arrays``.

    It holds where each parameter in ``typed`` (by number) is sent with one of these types'
    oids, 0 among them where the server finds out the type by itself; ``arrays`` are numbers
    of parameters.
    """

    most: int
    typed: tuple[tuple[int, frozenset[int]], ...] = ()
    arrays: tuple[int, ...] = ()

    def times(self, other: Keyed) -> Keyed:
        """Give the bound of a join."""
        most = min(max(self.most, 1) * max(other.most, 1), _MOST)
        return Keyed(most, self.typed + other.typed, self.arrays + other.arrays)


class _Source(NamedTuple):
    """A relation of FROM, by the name it has there."""

    name: str
    relation: Relation


class _Condition(NamedTuple):
    """A condition that each row fulfils, and the names of the relations it may bound."""

    node: Node
    bounds: frozenset[str] | None


class _Unbounded(Exception):
    """The statement has no bound that is known."""


def keyed(kind: str, body: Node, tree: Node, catalog: Catalog) -> Keyed | None:
    """Give the bound of a SELECT, UPDATE or DELETE by unique keys; None: there is none.

    Args:
        kind: the name of its node.
        body: what is in that.
        tree: all of the statement that it is a part of.
        catalog: what the server's catalog says.
    """
    try:
        return _Reader(tree, catalog).bound(kind, body)
    except _Unbounded:
        return None


class _Reader:
    """Reads one statement."""

    def __init__(self, tree: Node, catalog: Catalog) -> None:
        nodes = list(named(tree))
        self._catalog = catalog
        self._used = [node.get("number", 0) for name, node in nodes if name == "ParamRef"]
        self._ctes = {node["ctename"] for name, node in nodes if name == "CommonTableExpr"}
        for name, node in nodes:
            self._check(name, node)

    def _check(self, name: str, node: Node) -> None:
        """Raise where a node may make many rows of one."""
        called = {"FuncCall": "funcname", "ColumnRef": "fields"}.get(name)
        last = node[called][-1].get("String", {}).get("sval") if called else None
        operator = node.get("name", [{}])[-1] if name == "A_Expr" else {}
        symbol = operator.get("String", {}).get("sval")
        if last in self._catalog.sets or name == "GroupingSet":
            raise _Unbounded
        if symbol != "=" and symbol in self._catalog.operators:
            raise _Unbounded
        for user in self._catalog.operators.get("=", ()):
            if user.visible and not (user.apart and all(user.apart)):
                raise _Unbounded

    def bound(self, kind: str, body: Node) -> Keyed:
        """Give the bound of a statement, or raise."""
        sources: list[_Source] = []
        conditions: list[_Condition] = []
        items = body.get("fromClause", ())
        if kind in ("UpdateStmt", "DeleteStmt"):
            changed = {"RangeVar": body["relation"]}
            items = [changed, *items, *body.get("usingClause", ())]
            if self._relation(body["relation"]).rules:
                raise _Unbounded
        elif kind != "SelectStmt" or body.get("op", "SETOP_NONE") != "SETOP_NONE":
            raise _Unbounded
        for item in items:
            self._from(item, None, sources, conditions)
        names = [source.name for source in sources]
        if not names or len(set(names)) < len(names):
            raise _Unbounded
        conditions += _conjuncts(body.get("whereClause"), None)
        return self._product(sources, conditions)

    def _from(
        self,
        item: Node,
        bounds: frozenset[str] | None,
        sources: list[_Source],
        conditions: list[_Condition],
    ) -> None:
        ((kind, node),) = item.items()
        if kind == "RangeVar" and not node.get("alias", {}).get("colnames"):
            name = node.get("alias", {}).get("aliasname") or node["relname"]
            sources.append(_Source(name, self._relation(node)))
            return
        join = node.get("jointype") if kind == "JoinExpr" else None
        plain = join and not (node.get("alias") or node.get("isNatural") or node.get("usingClause"))
        if not plain or join not in ("JOIN_INNER", "JOIN_LEFT"):
            raise _Unbounded
        self._from(node["larg"], bounds, sources, conditions)
        if join == "JOIN_LEFT":
            # Its condition says nothing of rows for which there is no other.
            bounds = frozenset(_names(node["rarg"]))
        self._from(node["rarg"], bounds, sources, conditions)
        conditions += _conjuncts(node.get("quals"), bounds)

    def _relation(self, node: Node) -> Relation:
        schema = node.get("schemaname")
        found = self._catalog.find(schema, node["relname"])
        if found is None or (schema is None and node["relname"] in self._ctes):
            raise _Unbounded
        return found

    def _product(self, sources: list[_Source], conditions: list[_Condition]) -> Keyed:
        done: dict[str, Keyed] = {}
        waiting = list(sources)
        while waiting:
            for source in waiting:
                bound = self._bounded(source, sources, conditions, done)
                if bound is not None:
                    done[source.name] = bound
                    waiting.remove(source)
                    break
            else:
                raise _Unbounded
        product = Keyed(1)
        for bound in done.values():
            product = product.times(bound)
        return product

    def _bounded(
        self,
        source: _Source,
        sources: list[_Source],
        conditions: list[_Condition],
        done: dict[str, Keyed],
    ) -> Keyed | None:
        pins: dict[int, Keyed] = {}
        for condition in conditions:
            if condition.bounds is None or source.name in condition.bounds:
                for attnum, pin in self._pins(condition.node, source, sources, done):
                    pins.setdefault(attnum, pin)
        for key in source.relation.keys:
            if all(attnum in pins for attnum in key):
                bound = Keyed(1)
                for attnum in key:
                    bound = bound.times(pins[attnum])
                return bound
        return None

    def _pins(
        self, node: Node, source: _Source, sources: list[_Source], done: dict[str, Keyed]
    ) -> Iterator[tuple[int, Keyed]]:
        """Yield the columns of a relation that a condition leaves so many values."""
        test = node.get("A_Expr")
        if not test or not _is_equality(test):
            return
        left, right, kind = test["lexpr"], test["rexpr"], test["kind"]
        for one, other in (
            ((left, right), (right, left)) if kind == "AEXPR_OP" else ((left, right),)
        ):
            found = self._column(one, sources)
            if found is None or found[0] is not source:
                continue
            attnum, type = found[1], _type(source.relation, found[1])
            pin = self._operand(other, kind, type)
            if pin is None and kind == "AEXPR_OP":
                pin = self._joined(other, source.relation, attnum, sources, done)
            if pin is not None:
                yield attnum, pin

    def _column(self, node: Node, sources: list[_Source]) -> tuple[_Source, int] | None:
        fields = [each.get("String", {}).get("sval") for each in _fields(node)]
        if not 1 <= len(fields) <= 2 or None in fields:
            return None
        found = [
            (source, column.attnum)
            for source in sources
            if len(fields) == 1 or source.name == fields[0]
            if (column := source.relation.column(fields[-1])) is not None
        ]
        return found[0] if len(found) == 1 else None

    def _joined(
        self,
        node: Node,
        relation: Relation,
        attnum: int,
        sources: list[_Source],
        done: dict[str, Keyed],
    ) -> Keyed | None:
        found = self._column(node, sources)
        if found is None or found[0].name not in done:
            return None
        other, at = found[0].relation, found[1]
        operands = _OPERANDS.get(_type(relation, attnum), frozenset())
        # Of two collations PostgreSQL takes the one that is not the database's own.
        plain = attnum not in relation.collated and at not in other.collated
        return Keyed(1) if plain and _type(other, at) in operands else None

    def _operand(self, node: Node, kind: str, type: int) -> Keyed | None:
        operands = _OPERANDS.get(type)
        if operands is None:
            return None
        if kind == "AEXPR_IN":
            items = node.get("List", {}).get("items", ())
            return self._several(items, operands, type)
        if kind == "AEXPR_OP_ANY":
            return self._array(node, operands, type)
        return self._one(node, operands, type)

    def _several(self, items: Sequence[Node], operands: frozenset[int], type: int) -> Keyed | None:
        most = Keyed(len(items))
        for item in items:
            one = self._one(item, operands, type)
            if one is None:
                return None
            most = most.times(one)
        return most if items else None

    def _array(self, node: Node, operands: frozenset[int], type: int) -> Keyed | None:
        if "A_ArrayExpr" in node:
            return self._several(node["A_ArrayExpr"].get("elements", ()), operands, type)
        arrays = frozenset(array for array, of in _ARRAYS.items() if of in operands)
        cast = node.get("TypeCast")
        if cast is not None:
            node = cast["arg"]
            if self._cast(cast, array=True) not in arrays:
                return None
        if "ParamRef" in node:
            number = node["ParamRef"].get("number", 0)
            typed = () if cast is not None else ((number, self._allowed(number, arrays)),)
            return Keyed(1, typed, (number,))
        if cast is not None or "A_Const" in node:
            text = node.get("A_Const", {}).get("sval", {}).get("sval")
            return Keyed(text.count(",") + 1) if isinstance(text, str) else None
        return None

    def _one(self, node: Node, operands: frozenset[int], type: int) -> Keyed | None:
        cast = node.get("TypeCast")
        if cast is not None:
            plain = "ParamRef" in cast["arg"] or "A_Const" in cast["arg"]
            return Keyed(1) if plain and self._cast(cast) in operands else None
        if "ParamRef" in node:
            number = node["ParamRef"].get("number", 0)
            return Keyed(1, ((number, self._allowed(number, operands)),))
        constant = node.get("A_Const", {})
        if "sval" in constant:
            return Keyed(1)
        whole = "ival" in constant or _LONG.fullmatch(constant.get("fval", {}).get("fval", ""))
        return Keyed(1) if whole and type in NUMBERS else None

    def _allowed(self, number: int, types: frozenset[int]) -> frozenset[int]:
        # Used once only, the server takes it for what it is compared with.
        return types | {0} if self._used.count(number) == 1 else types

    def _cast(self, cast: Node, *, array: bool = False) -> int:
        """Give the oid of the type that a cast leads to; 0: none that is known."""
        type = cast["typeName"]
        names = [each["String"]["sval"] for each in type.get("names", ())]
        own = names[:-1] == ["pg_catalog"] or (
            len(names) == 1 and self._catalog.type_named(None, names[0]) is None
        )
        oid = _NAMED.get(names[-1], 0) if own and names else 0
        if bool(type.get("arrayBounds")) is not array or type.get("setof"):
            return 0
        if not array or f"_{names[-1]}" in self._catalog.casts:
            return 0 if array else oid
        return next((array_oid for array_oid, of in _ARRAYS.items() if of == oid), 0)


def elements(value: bytes, type: int, format: int) -> int:
    """Give how many elements an array has at most that is sent as a parameter; -1: not known."""
    if not format and type in (SENT_AS_TEXT | _ARRAYS.keys()):
        return value.count(b",") + 1
    if type in SENT_AS_TEXT:
        return value.count(b",") + 1 if type else -1
    if type not in _ARRAYS or len(value) < 12:
        return -1
    # Of PostgreSQL's array_send: the number of dimensions, flags, type; length and bound of each.
    dimensions = int.from_bytes(value[:4])
    if dimensions > 6 or len(value) < 12 + 8 * dimensions:
        return -1
    count = 1 if dimensions else 0
    for at in range(12, 12 + 8 * dimensions, 8):
        count *= int.from_bytes(value[at : at + 4])
    return count


def named(tree: Any) -> Iterator[tuple[str, Any]]:
    """Yield every node of a tree with its name."""
    stack = [tree]
    while stack:
        each = stack.pop()
        if isinstance(each, list):
            stack += each
        elif isinstance(each, dict):
            yield from ((name, node) for name, node in each.items() if isinstance(node, dict))
            stack += each.values()


def _conjuncts(node: Node | None, bounds: frozenset[str] | None) -> list[_Condition]:
    if not node:
        return []
    both = node.get("BoolExpr", {})
    if both.get("boolop") == "AND_EXPR":
        return [each for part in both["args"] for each in _conjuncts(part, bounds)]
    return [_Condition(node, bounds)]


def _is_equality(test: Node) -> bool:
    if test["kind"] not in ("AEXPR_OP", "AEXPR_OP_ANY", "AEXPR_IN") or "lexpr" not in test:
        return False
    names = [each["String"]["sval"] for each in test["name"]]
    return names in (["="], ["pg_catalog", "="])


def _fields(node: Node) -> Sequence[Node]:
    fields: Sequence[Node] = node.get("ColumnRef", {}).get("fields", ())
    return fields


def _type(relation: Relation, attnum: int) -> int:
    return next((column.type for column in relation.columns if column.attnum == attnum), 0)


def _names(item: Node) -> Iterator[str]:
    ((kind, node),) = item.items()
    if kind == "JoinExpr":
        yield from _names(node["larg"])
        yield from _names(node["rarg"])
    elif kind == "RangeVar":
        yield node.get("alias", {}).get("aliasname") or node["relname"]
