"""Statements that are no queries: what they are understood as, and what they need."""

from __future__ import annotations

from typing import Any

import pytest

from tracewall.sql.copying import CopyFormat
from tracewall.sql.statement import Misunderstood, Statement, understand


@pytest.mark.parametrize(
    ("sql", "kind"),
    [
        ("BEGIN", "begin"),
        ("BEGIN ISOLATION LEVEL SERIALIZABLE, READ ONLY, DEFERRABLE", "begin"),
        ("START TRANSACTION READ WRITE", "begin"),
        ("COMMIT AND CHAIN", "commit"),
        ("END", "commit"),
        ("ROLLBACK AND NO CHAIN", "rollback"),
        ("ABORT", "rollback"),
        ("SAVEPOINT a", "savepoint"),
        ("RELEASE SAVEPOINT a", "release"),
        ("ROLLBACK TO a", "rollback_to"),
        ("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ", "set"),
        ("SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY", "set"),
        ("SET CONSTRAINTS ALL DEFERRED", "set"),
        ("RESET statement_timeout", "reset"),
        ("UNLISTEN *", "unlisten"),
        ("CLOSE ALL", "close"),
    ],
)
def test_commands_without_objects_need_no_right(reader: Any, sql: str, kind: str) -> None:
    """Transactions and the like are told by their kind, and need no right."""
    found = reader.statement(sql)
    assert (found.kind, found.accesses, found.columns) == (kind, (), ())


@pytest.mark.parametrize(
    ("sql", "settings"),
    [
        ("SET statement_timeout = 500", [("statement_timeout", "500")]),
        ("SET LOCAL statement_timeout TO '5s'", [("statement_timeout", "5s")]),
        ("SET TIME ZONE 'UTC'", [("timezone", "UTC")]),
        ("SET TIME ZONE DEFAULT", [("timezone", None)]),
        ("SET TIME ZONE INTERVAL '-08:00' HOUR TO MINUTE", [("timezone", "-08:00")]),
        ("SET DateStyle TO ISO, DMY", [("datestyle", "iso, dmy")]),
        ("SET enable_nestloop = off", [("enable_nestloop", "off")]),
        ("RESET work_mem", [("work_mem", None)]),
    ],
)
def test_listed_parameters_may_be_set(reader: Any, sql: str, settings: Any) -> None:
    """A listed parameter is told with its new value, so that a policy can limit it."""
    assert list(reader.statement(sql).settings) == settings


def test_listed_parameters_may_be_shown(reader: Any) -> None:
    """SHOW of a listed parameter gives one column without a source, titled as the server does."""
    for sql, title in (
        ("SHOW TIME ZONE", "TimeZone"),
        ("SHOW transaction_isolation", "transaction_isolation"),
        ("SHOW standard_conforming_strings", "standard_conforming_strings"),
        ("SHOW search_path", "search_path"),
    ):
        assert reader.outputs(sql) == [(title, set())]


@pytest.mark.parametrize(
    ("sql", "channels"),
    [("LISTEN a", ("listen", "a")), ("NOTIFY \"A b\", 'x'", ("notify", "A b"))],
)
def test_channels_are_told_with_their_action(reader: Any, sql: str, channels: Any) -> None:
    """LISTEN and NOTIFY name the channel that a policy must grant."""
    assert reader.statement(sql).channels == (channels,)


def test_locks_and_truncations_need_their_action_on_each_relation(reader: Any) -> None:
    """LOCK needs lock and TRUNCATE truncate, also on what does not exist."""
    assert reader.rights("LOCK users, decoy IN SHARE MODE") == {"lock users", "lock decoy"}
    assert reader.rights("TRUNCATE users, nowhere") == {"truncate users", "truncate ?"}


def test_copy_to_is_judged_as_the_select_of_its_columns(reader: Any) -> None:
    """COPY of a table gives out its columns but for generated ones, that of a query the query's."""
    columns = [(name, {f"users.{name} EXACT"}) for name in "id name secret token ssn notes".split()]
    columns.append(("doc", {"users.doc EXACT"}))
    assert reader.outputs("COPY users TO STDOUT") == columns
    assert reader.outputs("COPY users (ssn, id) TO STDOUT") == [columns[4], columns[0]]
    assert reader.rights("COPY users (id) TO STDOUT") == {"select users", "select users.id"}
    assert "select ?" in reader.rights("COPY users (id, nowhere) TO STDOUT")
    assert reader.outputs("COPY (SELECT secret || 'a' FROM users) TO STDOUT") == [
        ("?column?", {"users.secret DERIVED"})
    ]
    returned = reader.statement("COPY (DELETE FROM users RETURNING secret) TO STDOUT")
    assert returned.kind == "copy_to" and returned.accesses[0].action == "delete"


def test_copy_from_is_judged_as_the_insert_into_its_columns(reader: Any) -> None:
    """COPY FROM needs insert on what it fills, generated columns left out, and reads its WHERE."""
    sql = "COPY users (id, secret) FROM STDIN WHERE token = 'a'"
    assert reader.rights(sql) == {
        "insert users", "insert users.id", "insert users.secret", "select users.token",
    }  # fmt: skip
    assert reader.writes(sql) == [("users.id", set()), ("users.secret", set())]
    assert "insert users.tail" not in reader.rights("COPY users FROM STDIN")


def test_copy_tells_how_values_are_spelled(reader: Any) -> None:
    """The options of COPY are told with their defaults filled in, in either syntax."""
    for sql, spelling in (
        ("COPY users TO STDOUT", CopyFormat()),
        ("COPY users TO STDOUT BINARY", CopyFormat("binary")),
        ("COPY users TO STDOUT CSV HEADER", CopyFormat("csv", ",", "", "true")),
        (
            "COPY users TO STDOUT (FORMAT 'csv', QUOTE '''', DELIMITER ';', FORCE_QUOTE (id, doc))",
            CopyFormat("csv", ";", "", quote="'", escape="'", force_quote=("id", "doc")),
        ),
        (
            "COPY users FROM STDIN (FORMAT csv, HEADER match, NULL 'x', FORCE_NULL *, DEFAULT 'd')",
            CopyFormat("csv", ",", "x", "match", default="d", force_null=("*",)),
        ),
    ):
        assert reader.statement(sql).copy == spelling
    for option in ("ENCODING 'latin1'", "FREEZE", "FORMAT xml", "NULL 'a', NULL 'b'", "HEADER 2"):
        assert isinstance(reader.anyhow(f"COPY users FROM STDIN ({option})"), Misunderstood)


def test_a_cursor_is_judged_as_its_query(reader: Any) -> None:
    """DECLARE gives its cursor's name and its query's outputs; FETCH and MOVE the name alone."""
    for options in ("", "SCROLL ", "NO SCROLL ", "INSENSITIVE "):
        for hold in ("", "WITH HOLD ", "WITHOUT HOLD "):
            sql = f'DECLARE "for" {options}CURSOR {hold}FOR SELECT secret FROM users'
            found = reader.statement(sql)
            assert (found.kind, found.cursor) == ("declare", "for")
            assert reader.outputs(sql) == [("secret", {"users.secret EXACT"})]
    for sql, kind in (("FETCH 5 FROM c", "fetch"), ("MOVE ALL IN c", "move"), ("CLOSE c", "close")):
        assert (reader.statement(sql).kind, reader.statement(sql).cursor) == (kind, "c")


def test_explain_needs_explain_and_counts_what_it_compares_as_computed(reader: Any) -> None:
    """A plan shows estimates of what is compared, and how wide what is read is on average."""
    rights = {"select users", "select users.id", "select users.secret", "explain users"}
    for options in ("", "(COSTS off, FORMAT json) ", "(GENERIC_PLAN, SUMMARY off) "):
        sql = f"EXPLAIN {options}SELECT id FROM users WHERE secret = 'a'"
        assert reader.rights(sql) == rights
        assert ("compute", "users.secret") in reader.uses(sql)
        assert ("compute", "users.id") in reader.uses(sql) or "COSTS off" in options
        assert reader.outputs(sql) == [("QUERY PLAN", set())]
    assert "explain users.token" in reader.rights("EXPLAIN VERBOSE SELECT id FROM users")
    assert "update users.id" in reader.rights("EXPLAIN UPDATE users SET id = 1")


@pytest.mark.parametrize(
    ("sql", "action"),
    [
        ("CREATE TABLE t (a int)", "ddl"),
        ("CREATE TABLE t AS SELECT 1", "ddl"),
        ("SELECT 1 INTO t", "ddl"),
        ("CREATE INDEX ON users (id)", "ddl"),
        ("CREATE VIEW v AS SELECT 1", "ddl"),
        ("CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'", "ddl"),
        ("ALTER TABLE users ADD a int", "ddl"),
        ("ALTER TABLE users RENAME id TO a", "ddl"),
        ("DROP TABLE users", "ddl"),
        ("COMMENT ON TABLE users IS ''", "ddl"),
        ("GRANT SELECT ON users TO public", "ddl"),
        ("CREATE RULE r AS ON INSERT TO users DO NOTHING", "ddl"),
        ("CREATE TEMP TABLE t (a int)", "temp"),
        ("CREATE TEMP TABLE t AS SELECT 1", "temp"),
        ("CREATE TEMP VIEW v AS SELECT 1", "temp"),
        ("CREATE TEMP SEQUENCE s", "temp"),
        ("SELECT 1 INTO TEMP t", "temp"),
        ("DO 'BEGIN END'", "do"),
        ("CALL p()", "call"),
        ("PREPARE p AS SELECT 1", "prepare"),
        ("EXECUTE p", "prepare"),
        ("DEALLOCATE p", "prepare"),
        ("VACUUM users", "maintain"),
        ("ANALYZE users", "maintain"),
        ("REINDEX TABLE users", "maintain"),
        ("CLUSTER users", "maintain"),
        ("REFRESH MATERIALIZED VIEW v", "maintain"),
        ("CHECKPOINT", "maintain"),
        ("CREATE ROLE r", "anything"),
        ("ALTER SYSTEM SET a = 1", "anything"),
        ("ALTER ROLE r SUPERUSER", "anything"),
        ("SET search_path = a", "anything"),
        ("SET ROLE a", "anything"),
        ("RESET ALL", "anything"),
        ("DISCARD ALL", "anything"),
        ("LOAD 'x'", "anything"),
        ("COPY users TO PROGRAM 'id'", "anything"),
        ("PREPARE TRANSACTION 'a'", "anything"),
        ("EXPLAIN ANALYZE SELECT 1", "anything"),
        ("SELECT pg_sleep(1)", "anything"),
        ("nonsense", "anything"),
    ],
)
def test_what_is_not_followed_names_the_action_it_takes(reader: Any, sql: str, action: str) -> None:
    """A statement that is not followed tells which action a policy must grant for it."""
    found = reader.anyhow(sql)
    assert isinstance(found, Misunderstood)
    assert found.action == action


@pytest.mark.parametrize(
    "sql",
    [
        "BEGIN",
        "SHOW search_path",
        "COPY users TO STDOUT",
        "COPY (SELECT id FROM users WHERE (id) = 1) TO STDOUT (FORMAT csv)",
        "DECLARE a CURSOR /* FOR */ WITH HOLD FOR SELECT id FROM users",
        "EXPLAIN SELECT id FROM users",
        "EXPLAIN (VERBOSE) (SELECT id FROM users)",
        "EXPLAIN VERBOSE SELECT id FROM users",
    ],
)
def test_strict_asks_about_the_query_within(reader: Any, sql: str) -> None:
    """The second parser reads the query inside of a command; a command without one it need not."""
    assert isinstance(understand(sql.encode(), reader.catalog, strict=True), Statement)
