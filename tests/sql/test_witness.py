"""The server as witness: what it says of a statement is never more than what was understood."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tracewall.sql.catalog import QUERIES, Catalog, read
from tracewall.sql.statement import Statement, understand

HERE = Path(__file__).parent / "witness"


def statements(name: str) -> list[str]:
    """Give the statements of a file, which end in a semicolon at the end of a line."""
    return (HERE / f"{name}.sql").read_text("utf-8").removesuffix(";\n").split(";\n")


SELECTS, WRITES, NAMES, RETURNING, LATEST = map(
    statements, ("selects", "writes", "names", "returning", "latest")
)


@dataclass(frozen=True)
class Witness:
    """A server with the schema, its catalog as it was read, and its notices."""

    conn: psycopg.Connection[Any]
    catalog: Catalog
    notices: list[str]

    def described(self, sql: str) -> list[tuple[str, tuple[int, int]]]:
        """Give each output's name and base column as RowDescription tells them."""
        pgconn = self.conn.pgconn
        self.notices.clear()
        pgconn.prepare(b"", sql.encode())
        result = pgconn.describe_prepared(b"")
        assert not result.error_message, result.error_message.decode()
        return [
            ((result.fname(at) or b"").decode(), (result.ftable(at), result.ftablecol(at)))
            for at in range(result.nfields)
        ]

    def rights(self, sql: str) -> set[tuple[str, int, int]]:
        """Give the rights that the server checks: action, relation and column (0: the relation)."""
        self.described(sql)
        found: set[tuple[str, int, int]] = set()
        # The server breaks its lines where it has blanks or brackets.
        told = " ".join(self.notices).replace("\n", " ")
        for entry in re.findall(r"\{RTEPERMISSIONINFO(.*?)\}", told):
            oid, asked = (
                int(re.search(rf":{key} (\d+)", entry)[1]) for key in ("relid", "requiredPerms")
            )
            for bit, action, columns in ACTIONS:
                listed = (
                    re.search(rf":{columns} \(b([ \d]*)\)", entry)[1].split() if columns else []
                )
                # The right to a column implies the one to look at its relation.
                attnums = [int(at) + LOWEST for at in listed]
                if asked & bit:
                    found |= set(self.columns(action, oid, attnums)) or {(action, oid, 0)}
        return found

    def columns(self, action: str, oid: int, attnums: list[int]) -> Iterator[tuple[str, int, int]]:
        """Give the rights on columns; a whole row, column 0, is all of them."""
        for attnum in attnums:
            if attnum < 0:
                # The right to look at a relation is the one to its system columns.
                yield action, oid, 0
                continue
            every = [column.attnum for column in self.catalog.relations[oid].columns]
            yield from ((action, oid, number) for number in (every if attnum == 0 else [attnum]))


# FirstLowInvalidHeapAttributeNumber: the server's sets of columns start there.
LOWEST = -7
# AclMode's bits (parsenodes.h) and the set of columns that goes with each.
ACTIONS = (
    (1, "insert", "insertedCols"),
    (2, "select", "selectedCols"),
    (4, "update", "updatedCols"),
    (8, "delete", ""),
)


@pytest.fixture(scope="module")
def witness(admin_dsn: str) -> Iterator[Witness]:
    """The schema on a server, in a transaction that is rolled back."""
    with psycopg.connect(admin_dsn) as conn:
        conn.execute((HERE / "schema.sql").read_text("utf-8"))
        answers = [conn.execute(question).pgresult.get_value(0, 0) for question in QUERIES]
        notices: list[str] = []
        conn.add_notice_handler(lambda told: notices.append(told.message_detail or ""))
        for setting in ("debug_print_rewritten = on", "client_min_messages = log"):
            conn.execute(f"SET {setting}")
        yield Witness(conn, read(answers), notices)
        conn.rollback()


def understood(witness: Witness, sql: str) -> Statement:
    """Give a statement that must be understood."""
    found = understand(sql.encode(), witness.catalog)
    assert isinstance(found, Statement), found
    return found


@pytest.mark.parametrize("sql", SELECTS + WRITES + NAMES)
def test_outputs_are_those_of_the_server(witness: Witness, sql: str) -> None:
    """The server gives as many outputs, of the same names, from columns within each lineage."""
    columns = understood(witness, sql).columns
    described = witness.described(sql)
    assert [name for name, _ in columns] == [name for name, _ in described]
    for (name, flow), (_, origin) in zip(columns, described, strict=True):
        if origin[0]:
            assert origin in {source.column for source in flow}, name


@pytest.mark.parametrize("sql", SELECTS + WRITES)
def test_rights_cover_those_of_the_server(witness: Witness, sql: str) -> None:
    """Each right that the server itself would check, by relation and column, is asked for."""
    if witness.conn.info.server_version < 160000:
        pytest.skip("the server prints what it checks from version 16 on")
    asked = {(a.action, a.relation, a.attnum) for a in understood(witness, sql).accesses}
    missing = witness.rights(sql) - asked
    assert not missing


@pytest.mark.parametrize("sql", RETURNING)
def test_old_and_new_rows_are_those_of_the_server(witness: Witness, sql: str) -> None:
    """RETURNING old and new gives the server's columns, and asks for the rights to them."""
    if witness.conn.info.server_version < 180000:
        pytest.skip("RETURNING has old and new from version 18 on")
    test_outputs_are_those_of_the_server(witness, sql)
    test_rights_cover_those_of_the_server(witness, sql)


@pytest.mark.parametrize("sql", LATEST)
def test_later_constructs_are_those_of_the_server(witness: Witness, sql: str) -> None:
    """SQL/JSON, MERGE and whatever came with later versions is read as the server reads it."""
    if witness.conn.info.server_version < 180000:
        pytest.skip("some of it came with version 18")
    test_outputs_are_those_of_the_server(witness, sql)
    test_rights_cover_those_of_the_server(witness, sql)


def test_the_witness_tells_of_columns(witness: Witness) -> None:
    """The server's own list of rights is really read: it has a column that only WHERE names."""
    if witness.conn.info.server_version < 160000:
        pytest.skip("the server prints what it checks from version 16 on")
    users = witness.catalog.find("w", "users")
    assert users is not None
    told = witness.rights("SELECT name FROM users WHERE secret = 'a'")
    attnums = {users.column(name).attnum for name in ("name", "secret")}
    assert told == {("select", users.oid, attnum) for attnum in attnums}


def test_the_corpus_is_large_enough() -> None:
    """There are at least 150 SELECTs and 25 writing statements."""
    assert len(SELECTS) >= 150
    assert len(WRITES) >= 25


@pytest.mark.parametrize(
    ("column", "expected"),
    [
        ("users.tail", {"users.tail", "users.secret"}),
        ("events.payload", {"events.payload"}),
        ("dogs.name", {"dogs.name"}),
    ],
)
def test_the_catalog_knows_what_generated_columns_use(
    witness: Witness, column: str, expected: set[str]
) -> None:
    """The catalog that is read from the server lists what a generated column is made of."""
    table, name = column.split(".")
    ((_, flow),) = understood(witness, f"SELECT {name} FROM {table}").columns
    relations = witness.catalog.relations
    named = {
        f"{relations[oid].name}.{next(c.name for c in relations[oid].columns if c.attnum == at)}"
        for (oid, at), _ in flow
    }
    assert named == expected


def test_the_catalog_knows_families(witness: Witness) -> None:
    """Partitions and heirs are of one family with their parents, whatever their columns' order."""
    catalog = witness.catalog
    for parent, children in (("events", {"events_2024", "events_2025"}), ("animals", {"dogs"})):
        relation = catalog.find("w", parent)
        assert relation is not None
        assert {kin.name for kin in catalog.family[relation.oid]} == {parent, *children}


OWN = """
CREATE TYPE w.mood AS ENUM ('good', 'bad');
CREATE FUNCTION w.upper(w.mood) RETURNS text LANGUAGE sql RETURN 'own';
CREATE FUNCTION w.lower(text) RETURNS text LANGUAGE sql RETURN 'own';
CREATE FUNCTION w.md5(int) RETURNS text LANGUAGE sql RETURN 'own';
CREATE FUNCTION w.plus(w.mood, int) RETURNS int LANGUAGE sql RETURN 1;
CREATE FUNCTION w.minus(int, text) RETURNS int LANGUAGE sql RETURN 1;
CREATE OPERATOR w.+ (LEFTARG = w.mood, RIGHTARG = int, FUNCTION = w.plus);
CREATE OPERATOR w.- (LEFTARG = int, RIGHTARG = text, FUNCTION = w.minus);
"""


def test_only_what_could_be_meant_stands_in_the_way(witness: Witness) -> None:
    """A user's function or operator is feared where PostgreSQL could choose it, and only there."""
    with witness.conn.transaction(force_rollback=True):
        witness.conn.execute(OWN)
        catalog = read([witness.conn.execute(q).pgresult.get_value(0, 0) for q in QUERIES])
    for expression, understood in (
        ("upper(1::text)", True),
        ("upper('a')", False),
        ("lower('a')", True),
        ("md5(1)", False),
        ("md5(1::text, 2)", True),
        ("pg_catalog.lower('a')", True),
        ("1 + 1", True),
        ("1 - 1", False),
    ):
        found = understand(f"SELECT {expression}".encode(), catalog)
        assert isinstance(found, Statement) is understood, expression


@pytest.mark.parametrize("extension", ["citext", "vector", "hstore", "ltree"])
def test_extensions_leave_plain_statements_readable(scratch_dsn: str, extension: str) -> None:
    """With an extension that brings operators of common names, plain statements are read."""
    with psycopg.connect(scratch_dsn) as conn:
        known = "SELECT FROM pg_available_extensions WHERE name = %s"
        if not conn.execute(known, (extension,)).rowcount:
            pytest.skip(f"the server has no {extension}")
        conn.execute(f"CREATE EXTENSION {extension}")
        conn.execute("CREATE TABLE t (id int, name text, doc jsonb)")
        catalog = read([conn.execute(question).pgresult.get_value(0, 0) for question in QUERIES])
    for sql in (
        "SELECT id FROM t WHERE id = 1 AND name <> 'a' ORDER BY name",
        "SELECT sum(id), max(name), avg(id + 1 - 2) FROM t WHERE name LIKE 'a%' AND id < 3",
        "SELECT doc -> 'a', doc @> '{}', name || 'a', replace(name, 'a', 'b') FROM t",
        "SELECT id FROM t WHERE id IN (1, 2) AND id BETWEEN 1 AND 2 AND name ~ 'a'",
    ):
        assert isinstance(understand(sql.encode(), catalog), Statement), sql
