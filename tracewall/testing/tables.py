"""The tables that a `FakeBackend` pretends to have, as the catalog tells of them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

from tracewall.sql.catalog import FINGERPRINT, QUERIES, Catalog, read
from tracewall.sql.flow import Flow, How
from tracewall.sql.statement import Statement, understand
from tracewall.testing.values import type_oid
from tracewall.testing.wire import Field

Tables: TypeAlias = Mapping[str, Mapping[str, str]]
"""Tables by their qualified name (``shop.orders``): each maps columns to types (``int8``)."""

_FIRST_OID = 16384


class Pretended:
    """A catalog of pretended tables: what is answered of it, and what a statement selects.

    Args:
        tables: what there is.
        database: the name of the database.
        role: as whom the wall logs in.
        answers: what a real server answered to `QUERIES`; it takes the place of all the others.
    """

    def __init__(
        self, tables: Tables, database: str, role: str, answers: Sequence[bytes] = ()
    ) -> None:
        numbered = enumerate(tables.items(), _FIRST_OID)
        relations = [_relation(oid, name, columns) for oid, (name, columns) in numbered]
        settings = {"database": database, "role": role, "path": ["pg_catalog", "public"]}
        empty: list[Any] = []
        made = [settings, relations, *[empty] * (len(QUERIES) - 2)]
        told = [answer.decode() for answer in answers] or [json.dumps(each) for each in made]
        self.answers = dict(zip((_bare(query) for query in QUERIES), told, strict=True))
        self.catalog: Catalog = read([answer.encode() for answer in self.answers.values()])
        self._fingerprint = json.dumps(settings)

    def answer(self, sql: bytes) -> str | None:
        """Give the answer to a question about the catalog; None if it is none."""
        bare = _bare(sql)
        return self._fingerprint if bare == _bare(FINGERPRINT) else self.answers.get(bare)

    def base(self, name: str) -> Field:
        """Give a base column by its name, ``schema.table.column``.

        Raises:
            ValueError: there is no such column.
        """
        for relation in self.catalog.relations.values():
            for column in relation.columns:
                if f"{relation.qualified}.{column.name}" == name:
                    return Field(column.name, column.type, relation.oid, column.attnum)
        raise ValueError(f"the fake backend has no column {name!r}: give it by tables={{...}}")

    def selected(self, sql: str) -> list[tuple[str, Field | None]]:
        """Give the columns a statement selects: names, and where it is plain what they are."""
        understood = understand(sql.encode(), self.catalog)
        if not isinstance(understood, Statement):
            return []
        return [(name, self._plain(name, flow)) for name, flow in understood.columns]

    def _plain(self, name: str, flow: Flow) -> Field | None:
        sources = list(flow)
        if len(sources) != 1 or sources[0].how is not How.EXACT:
            return None
        oid, attnum = sources[0].column
        relation = self.catalog.relations[oid]
        column = next(column for column in relation.columns if column.attnum == attnum)
        return Field(name, column.type, oid, attnum)


def _relation(oid: int, name: str, columns: Mapping[str, str]) -> dict[str, Any]:
    schema, dot, table = name.partition(".")
    if not dot:
        schema, table = "public", name
    told = [
        {"attnum": at, "name": column, "type": type_oid(kind)}
        for at, (column, kind) in enumerate(columns.items(), 1)
    ]
    return {"oid": oid, "schema": schema, "name": table, "kind": "r", "columns": told}


def _bare(sql: bytes) -> bytes:
    return b" ".join(sql.split())
