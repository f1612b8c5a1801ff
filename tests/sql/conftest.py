"""A small catalog without a server, and short words for what a statement was understood as."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import msgspec
import pytest

from tracewall.sql.catalog import Attribute, Catalog, Relation, read
from tracewall.sql.flow import Flow
from tracewall.sql.statement import Misunderstood, Statement, understand

TABLES: dict[str, str] = {
    "app.users": "id name secret token ssn notes doc",
    "app.orders": "id user_id total secret",
    "app.decoy": "id secret x",
    "app.logs": "at line",
    "app.logs_2024": "at line",
    "public.users": "id motto",
    "public.pg_class": "oid trap",
}
TEXT, NUMBER, JSON = 25, 23, 3802
TYPES = {"id": NUMBER, "user_id": NUMBER, "total": NUMBER, "ssn": NUMBER, "doc": JSON}


def relations() -> list[Relation]:
    """Give the tables, numbered from 100, and beside them a view and a generated column."""
    made = []
    for oid, (name, columns) in enumerate(TABLES.items(), start=100):
        schema, table = name.split(".")
        listed = tuple(
            Attribute(at, column, TYPES.get(column, TEXT))
            for at, column in enumerate(columns.split(), start=1)
        )
        made.append(Relation(oid, schema, table, columns=listed))
    tail = Attribute(8, "tail", TEXT, generated=True, uses=(3,))
    made[0] = msgspec.structs.replace(made[0], columns=(*made[0].columns, tail))
    made[4] = msgspec.structs.replace(made[4], parents=(made[3].oid,))
    view = Relation(200, "app", "people", kind="v", columns=made[0].columns)
    rules = ("insert", "update", "delete")
    ruled = Relation(201, "app", "ruled", rules=rules, columns=made[2].columns)
    return [*made, view, ruled]


def make_catalog(
    *,
    functions: Sequence[str] = (),
    operators: Sequence[str] = (),
    types: Sequence[str] = (),
    path: Sequence[str] = ("pg_catalog", "app", "public"),
) -> Catalog:
    """Give a catalog of the tables above, with what users defined beside them."""
    settings = {"database": "shop", "role": "service", "path": path}
    named = ([{"name": name} for name in names] for names in (functions, operators))
    own = [{"schema": "app", "name": name} for name in types]
    answers = (settings, relations(), *named, own, [], [], [], [], [])
    return read([msgspec.json.encode(answer) for answer in answers])


@dataclass(frozen=True)
class Reader:
    """Understands statements over one catalog, and says in words what it found."""

    catalog: Catalog

    def statement(self, sql: str | bytes) -> Statement:
        """Give a statement that is understood."""
        found = self.anyhow(sql)
        assert isinstance(found, Statement), found
        return found

    def anyhow(self, sql: str | bytes) -> Statement | Misunderstood:
        """Give what becomes of a statement."""
        return understand(sql.encode() if isinstance(sql, str) else sql, self.catalog)

    def outputs(self, sql: str) -> list[tuple[str, set[str]]]:
        """Give the name of each output and its sources, as ``users.secret EXACT``."""
        return [(name, self.words(flow)) for name, flow in self.statement(sql).columns]

    def flows(self, sql: str) -> list[set[str]]:
        """Give the sources of each output."""
        return [words for _, words in self.outputs(sql)]

    def names(self, sql: str) -> list[str]:
        """Give the name of each output."""
        return [name for name, _ in self.outputs(sql)]

    def uses(self, sql: str) -> set[tuple[str, str]]:
        """Give what is used how, as ``("equality", "users.token")``; each column by itself."""
        return {
            (use.how, self.column(source.column))
            for use in self.statement(sql).uses
            for source in (*use.flow, *use.other)
        }

    def rights(self, sql: str) -> set[str]:
        """Give the rights it needs, as ``select users`` and ``select users.id``."""
        return {
            f"{access.action} {self.column((access.relation, access.attnum))}"
            for access in self.statement(sql).accesses
        }

    def writes(self, sql: str) -> list[tuple[str, set[str]]]:
        """Give the columns it writes and what flows into each."""
        found = self.statement(sql).writes
        return [(self.column(write.target), self.words(write.flow)) for write in found]

    def words(self, flow: Flow) -> set[str]:
        """Give the sources of a flow in words."""
        return {f"{self.column(source.column)} {source.how.name}" for source in flow}

    def column(self, column: tuple[int, int]) -> str:
        """Give a column in words: ``?`` for what is unknown."""
        oid, attnum = column
        if not oid:
            return "?"
        relation = self.catalog.relations[oid]
        schema = "" if relation.schema == "app" else f"{relation.schema}."
        names = {0: "", **{c.attnum: f".{c.name}" for c in relation.columns}}
        return f"{schema}{relation.name}{names[attnum]}"


@pytest.fixture(scope="session")
def reader() -> Reader:
    """A reader of statements over the small catalog."""
    return Reader(make_catalog())


@pytest.fixture(scope="session")
def reader_beside() -> Callable[..., Reader]:
    """Give a reader over the same catalog with functions, operators or types of users."""
    return lambda **own: Reader(make_catalog(**own))
