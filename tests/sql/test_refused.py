"""What is refused because it is not understood, and that nothing crashes, hangs or slips."""

from __future__ import annotations

import subprocess
import sys
import time
from typing import Any

import pytest

from tracewall.sql import grammar
from tracewall.sql.catalog import Catalog
from tracewall.sql.statement import Misunderstood, Statement, understand

PATIENCE = 3.0
"""Seconds of processor time that no statement of 64 KiB may take; most take a hundredth."""

STATEMENTS = """
CREATE TABLE t (a int)
CREATE TABLE t AS SELECT 1
SELECT 1 INTO t
SELECT * INTO TEMP t FROM users
CREATE VIEW v AS SELECT 1
CREATE TEMP TABLE t (a int)
CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'
CREATE EXTENSION dblink
CREATE ROLE r
CREATE RULE r AS ON SELECT TO users DO INSTEAD SELECT 1
ALTER TABLE users ADD a int
ALTER ROLE service SUPERUSER
ALTER SYSTEM SET a = 1
DROP TABLE users
TRUNCATE users CASCADE
GRANT ALL ON users TO public
REVOKE ALL ON users FROM public
COMMENT ON TABLE users IS ''
COPY users TO PROGRAM 'id'
COPY users TO '/tmp/x'
SET search_path = public
SET LOCAL role = 'postgres'
SET SESSION AUTHORIZATION postgres
SET bytea_output = 'escape'
SET a.b = 'c'
SET lock_timeout FROM CURRENT
SET DateStyle = 'SQL, DMY'
SET client_min_messages = 'log'
SET TRANSACTION SNAPSHOT 'a'
SET CONSTRAINTS a DEFERRED
RESET ALL
RESET ROLE
SHOW ALL
SHOW data_directory
PREPARE TRANSACTION 'a'
COMMIT PREPARED 'a'
ROLLBACK PREPARED 'a'
PREPARE p AS SELECT 1
EXECUTE p
DEALLOCATE p
DECLARE c BINARY CURSOR FOR SELECT 1
DO 'BEGIN END'
CALL p()
EXPLAIN ANALYZE SELECT 1
EXPLAIN (ANALYZE, ANALYZE off) SELECT 1
EXPLAIN (WAL) SELECT 1
EXPLAIN EXECUTE p
EXPLAIN ANALYZE DELETE FROM users
VACUUM
ANALYZE users
CLUSTER users
REINDEX TABLE users
CHECKPOINT
LOAD 'x'
DISCARD ALL
REFRESH MATERIALIZED VIEW v
IMPORT FOREIGN SCHEMA a FROM SERVER b INTO c
SECURITY LABEL ON TABLE users IS ''
REASSIGN OWNED BY a TO b
UPDATE users SET id = 1 WHERE CURRENT OF c
"""

FUNCTIONS = """
pg_sleep(1)
set_config('role', 'postgres', false)
current_setting('data_directory')
pg_read_file('x')
pg_ls_dir('.')
pg_stat_file('x')
lo_import('x')
lo_export(1, 'x')
lo_get(1)
lo_from_bytea(0, 'a')
loread(1, 1)
lastval()
pg_terminate_backend(1)
pg_cancel_backend(1)
pg_reload_conf()
query_to_xml('SELECT 1', true, true, '')
table_to_xml('users', true, true, '')
database_to_xml(true, true, '')
cursor_to_xml('c', 1, true, true, '')
ts_stat('SELECT 1')
ts_rewrite('a', 'SELECT 1')
dblink('a', 'SELECT 1')
crosstab('SELECT 1')
pg_input_is_valid('a', 'int')
pg_input_error_info('a', 'int')
has_table_privilege('users', 'select')
has_column_privilege('users', 'secret', 'select')
jsonb_populate_record(NULL::users, '{}')
pg_logical_emit_message(true, 'a', 'b')
pg_export_snapshot()
inet_server_addr()
pg_relation_size('users')
pg_column_compression(secret)
pg_collation_for(secret)
xmlparse(document 'a')
xpath('/a', 'a')
secret(users)
anything(secret)
text(secret)
int4(secret)
app.lower(secret)
"""

SHAPES = """
SELECT (SELECT token FROM unnest(ARRAY(SELECT d FROM decoy d)) x LIMIT 1) FROM users
INSERT INTO users (secret, name) SELECT * FROM unnest(ARRAY(SELECT d FROM decoy d))
SELECT x.* FROM coalesce((SELECT d FROM decoy d LIMIT 1)) x
SELECT (SELECT token FROM unnest(to_tsvector(u.notes)) x LIMIT 1) FROM users u
SELECT * FROM users u, unnest(strip(to_tsvector(u.notes))) x
SELECT * FROM current_date
SELECT * FROM users u, LATERAL (VALUES (u.*, 1)) v
SELECT * FROM users u, LATERAL (VALUES ((u).*, 1)) v
UPDATE users u SET (id, name) = ROW (u.*)
INSERT INTO decoy SELECT * FROM (VALUES (1, 2, 3)) v, LATERAL (VALUES (v.*)) w
MERGE INTO decoy d USING users u ON true WHEN NOT MATCHED THEN INSERT VALUES (u.*)
MERGE INTO decoy d USING users u ON true WHEN NOT MATCHED THEN INSERT (id) VALUES (1, 2)
SELECT tableoid FROM logs
SELECT * FROM users TABLESAMPLE tsm_system_rows (1)
SELECT * FROM users u, decoy TABLESAMPLE SYSTEM (u.ssn)
SELECT * FROM jsonb_to_record('{}')
SELECT * FROM lower('a') AS (b text)
SELECT 'x'::regconfig
SELECT id FROM users FOR UPDATE OF decoy
SELECT set_config('search_path', 'a', false)
SELECT set_config('a.b', 'c', false)
SELECT set_config('DateStyle', $1, false)
SELECT set_config('application_name', name, false) FROM users
SELECT set_config(name, 'a', false) FROM users
SELECT current_setting(name) FROM users
SELECT current_setting('a.b', true)
SELECT nextval(name) FROM users
SELECT nextval('a.b.c')
SELECT nextval('s'::text)
SELECT pg_notify('c', name) FROM users
SELECT pg_notify(name, 'a') FROM users
SELECT pg_advisory_lock(ssn) FROM users
SELECT * FROM XMLTABLE('/a' PASSING '<a/>' COLUMNS b int)
SELECT XMLELEMENT(name a)
SELECT 'a' IS DOCUMENT
SELECT 1 FROM users ORDER BY id USING <
SELECT 1 FROM users ORDER BY 2
SELECT 1 FROM users GROUP BY 2
SELECT secret::app.users FROM users
SELECT '<a/>'::xml
SELECT secret::users.token%TYPE FROM users
SELECT 1 OPERATOR(app.+) 1
SELECT 1 === 1
SELECT secret <#> 'a' FROM users
SELECT * FROM people
INSERT INTO ruled VALUES (1)
UPDATE ruled SET x = 1
DELETE FROM ruled
INSERT INTO people (id) VALUES (1)
DELETE FROM people
INSERT INTO people (id) VALUES (1)
UPDATE people SET id = 1
DELETE FROM ruled
SELECT nowhere.id FROM users
SELECT users.id FROM users u
SELECT app.u.id FROM users u
SELECT a.b.c.d FROM users
SELECT nowhere.* FROM users
SELECT * FROM users x (a, b, c, d, e, f, g, h, i)
SELECT * FROM (SELECT 1) x (a, b)
SELECT 1 UNION SELECT 1, 2
VALUES (1), (1, 2)
INSERT INTO decoy VALUES (1, 2, 3, 4)
UPDATE users SET (name, notes) = ROW ('a')
WITH RECURSIVE a AS (SELECT * FROM b), b AS (SELECT 1) TABLE a
WITH RECURSIVE a AS (SELECT * FROM a) TABLE a
"""


@pytest.mark.parametrize("sql", STATEMENTS.strip().splitlines())
def test_only_listed_kinds_of_statement_are_read(reader: Any, sql: Any) -> None:
    """What defines data, runs code, reaches files or what it does not name is refused."""
    assert isinstance(reader.anyhow(sql), Misunderstood)


@pytest.mark.parametrize("call", FUNCTIONS.strip().splitlines())
@pytest.mark.parametrize("place", ["SELECT {}", "SELECT 1 FROM users WHERE {}", "SELECT * FROM {}"])
def test_functions_that_are_not_listed_are_refused(reader: Any, call: Any, place: Any) -> None:
    """What reads files, settings, sequences or SQL as text, or is unknown, is refused."""
    assert isinstance(reader.anyhow(place.format(call)), Misunderstood)
    qualified = place.format(f"pg_catalog.{call}")
    assert isinstance(reader.anyhow(qualified), Misunderstood)


@pytest.mark.parametrize("sql", SHAPES.strip().splitlines())
def test_shapes_that_are_not_listed_are_refused(reader: Any, sql: Any) -> None:
    """A construct that the reader does not know, or that can't be right, is refused."""
    assert isinstance(reader.anyhow(sql), Misunderstood)


@pytest.mark.parametrize(
    ("sql", "word"),
    [
        ("SELECT XMLELEMENT(name a)", "XML is"),
        ("SELECT XMLSERIALIZE(content x AS text) FROM (SELECT 'a') q (x)", "XML is"),
        ("SELECT * FROM XMLTABLE('/a' PASSING '<a/>' COLUMNS b int)", "XMLTABLE is"),
        ("UPDATE users SET id = 1 WHERE CURRENT OF c", "which row"),
    ],
)
def test_what_will_not_be_understood_is_told_why(reader: Any, sql: Any, word: Any) -> None:
    """The reason against XML and WHERE CURRENT OF says what stands against them."""
    understood = reader.anyhow(sql)
    assert isinstance(understood, Misunderstood)
    assert word in understood.reason


def test_a_users_function_in_place_of_a_listed_one_is_refused(reader_beside: Any) -> None:
    """Where users defined a function of a listed name, only the qualified one may be called."""
    beside = reader_beside(functions=["lower", "count", "generate_series"])
    for call in ("lower('a')", "count(*)"):
        assert isinstance(beside.anyhow(f"SELECT {call}"), Misunderstood)
        assert isinstance(beside.anyhow(f"SELECT pg_catalog.{call}"), Statement)
    assert isinstance(beside.anyhow("SELECT * FROM generate_series(1, 2)"), Misunderstood)
    assert isinstance(beside.anyhow("SELECT upper('a')"), Statement)


def test_a_users_operator_in_place_of_a_listed_one_is_refused(reader_beside: Any) -> None:
    """Where users defined an operator of a listed name, no unqualified one may be used."""
    beside = reader_beside(operators=["=", "<="])
    for sql in (
        "SELECT 1 FROM users WHERE id = 1",
        "SELECT 1 FROM users WHERE id IN (1)",
        "SELECT 1 FROM users WHERE id BETWEEN 1 AND 2",
        "SELECT 1 FROM users WHERE id NOT BETWEEN SYMMETRIC 1 AND 2",
        "SELECT nullif(1, 2)",
        "SELECT 1 FROM users WHERE id IS DISTINCT FROM 1",
        "SELECT 1 FROM users WHERE id = ANY ('{1}')",
        "SELECT 1 FROM users WHERE id IN (SELECT 1)",
    ):
        assert isinstance(beside.anyhow(sql), Misunderstood), sql
    assert isinstance(beside.anyhow("SELECT 1 FROM users WHERE id > 1"), Statement)


def test_a_users_type_in_place_of_a_systems_is_refused(reader_beside: Any) -> None:
    """A cast to a type of a name that users defined is refused."""
    beside = reader_beside(types=["text", "mood"])
    assert isinstance(beside.anyhow("SELECT 1::text"), Misunderstood)
    assert isinstance(beside.anyhow("SELECT 'a'::mood"), Misunderstood)
    assert isinstance(beside.anyhow("SELECT 1::int"), Statement)


@pytest.mark.parametrize(
    "sql",
    [
        b"SELECT 1; SELECT 2",
        b"SELECT 1;; SELECT 2",
        b"SELECT 1; -- x\nDROP TABLE users",
        b"SELECT 1; /* x */ DELETE FROM users;",
        b"-- nothing",
        b"/* nothing */",
        b"SELECT",
        b"SELECT 1 FROM",
        b"SELECT '",
        b'SELECT "',
        b"SELECT $a$",
        b"SELECT /* x",
        b"SELECT 1)",
        b"\\d",
        b"SELECT 1 \\gexec",
        b"SELECT 1\0",
        b"SELECT 1\0; DROP TABLE users",
        b"SELECT '\xff'",
        b"SELECT '\xc0\xaf'",
        b"SELECT \xed\xa0\x80",
        b"\xef\xbb\xbfSELECT 1",
        b'SELECT U&"\\0061"',
        b"SELECT u&'\\0061'",
        b"SELECT U&\"d!0061t!+000061\" UESCAPE '!'",
        b"SELECT '(u&\"' -- in a literal too",
        b"SELECT %s",
        b"SELECT :name",
        b"SELECT ?",
    ],
)
def test_bytes_that_are_no_single_plain_statement_are_refused(reader: Any, sql: Any) -> None:
    """Several statements, none, broken ones, NULs, U& and what is no UTF-8 are refused."""
    if sql != b"SELECT":
        assert isinstance(reader.anyhow(sql), Misunderstood)


@pytest.mark.parametrize("sql", [b"SELECT 1;", b" \n SELECT 1 ; ", b"/* a */ SELECT 1 -- b"])
def test_one_statement_may_end_in_a_semicolon(reader: Any, sql: Any) -> None:
    """Blanks, comments and one closing semicolon around a statement change nothing."""
    assert reader.anyhow(sql).kind == "select"


@pytest.mark.parametrize("sql", [b"", b" ", b"\n\t"])
def test_blanks_are_the_empty_statement(reader: Any, sql: Any) -> None:
    """Nothing but blanks is the empty statement, which needs no right."""
    assert reader.anyhow(sql) == Statement("empty", "", "")


def test_identifiers_have_at_most_63_bytes(reader: Any) -> None:
    """PostgreSQL cuts a longer name; a statement that has one is refused, literals may be long."""
    for name in ("a" * 63, '"' + "a" * 63 + '"', '"' + '""' * 63 + '"', "é" * 31, "a.b" * 40):
        assert not isinstance(reader.anyhow(f"SELECT 1 AS {name}"), Misunderstood) or "." in name
    for name in ("a" * 64, '"' + "a" * 64 + '"', '"' + '""' * 64 + '"', "é" * 32):
        for sql in (f"SELECT 1 AS {name}", f"SELECT {name} FROM users", f"SELECT * FROM {name}"):
            assert "longer than 63" in reader.anyhow(sql).reason
    long = "a" * 70
    for literal in (f"'{long}'", f"$${long}$$", f"$t${long}$t$", f"E'{long}'", "1" * 70):
        assert isinstance(reader.anyhow(f"SELECT {literal} -- {long}\n/* {long} */"), Statement)


def test_a_statement_has_at_most_64_kib(reader: Any) -> None:
    """A statement of 64 KiB is read; one byte more is refused."""
    fits = "SELECT '" + "x" * (grammar.MAX_BYTES - 9) + "'"
    assert isinstance(reader.anyhow(fits), Statement)
    assert "longer than" in reader.anyhow(fits + " ").reason


OPENING = {
    "parentheses": ("SELECT ", "(", "1", ")", ""),
    "subqueries": ("SELECT ", "(SELECT ", "1", ")", ""),
    "FROM": ("SELECT * FROM ", "(SELECT * FROM ", "users", ") q", ""),
    "joins": ("SELECT 1 FROM ", "(", "users", ")", ""),
    "CASE": ("SELECT ", "CASE WHEN ", "true", " THEN 1 END", ""),
    "ELSE": ("SELECT ", "CASE WHEN true THEN 1 ELSE ", "1", " END", ""),
    "calls": ("SELECT ", "lower(", "'a'", ")", ""),
    "arrays": ("SELECT ", "ARRAY[", "1", "]", ""),
    "ANY": ("SELECT ", "1 = ANY (ARRAY[", "1", "])", ""),
    "LIMIT": ("", "SELECT 1 LIMIT (", "1", ")", ""),
    "types": ("SELECT ", "numeric(", "1", ")", ""),
    "struct": ("SELECT ", "struct(", "1", ")", ""),
    "rows": ("SELECT ", "ROW(", "1", ")", ""),
    "unions": ("", "(", "SELECT 1", " UNION SELECT 1)", ""),
    "WITH": ("", "WITH q AS (", "SELECT 1", ") SELECT 1", ""),
    "RECURSIVE": ("", "WITH RECURSIVE r AS ((", "SELECT 1", ") UNION SELECT 1) TABLE r", ""),
    "recursion": ("", "WITH RECURSIVE r AS (SELECT 1 UNION (", "SELECT 1", ")) TABLE r", ""),
    "EXISTS": ("SELECT 1 WHERE ", "EXISTS (SELECT 1 WHERE ", "true", ")", ""),
    "comments": ("SELECT 1 ", "/*", "", "*/", ""),
    "operators": ("SELECT 1", "+1", "", "", ""),
    "minus": ("SELECT ", "- ", "1", "", ""),
    "NOT": ("SELECT ", "NOT ", "true", "", ""),
    "AND": ("SELECT 1 FROM users WHERE true", " AND id = 1", "", "", ""),
    "OR": ("SELECT 1 FROM users WHERE ", "(id = 1 OR ", "true", ")", ""),
    "casts": ("SELECT 'a'", "::text", "", "", ""),
    "arrows": ("SELECT doc", " -> 'a'", "", "", " FROM users"),
    "steps": ("SELECT doc", "[1]", "", "", " FROM users"),
    "dots": ("SELECT a", ".a", "", "", ""),
    "IN": ("SELECT 1 FROM users WHERE id IN (1", ", 1", "", "", ")"),
    "columns": ("SELECT 1", ", id", "", "", " FROM users"),
    "stars": ("SELECT *", ", *", "", "", " FROM users"),
    "tables": ("SELECT * FROM users", ", users", "", "", ""),
    "USING": ("SELECT * FROM users", " JOIN users USING (id)", "", "", ""),
    "NATURAL": ("SELECT * FROM users", " NATURAL JOIN users", "", "", ""),
    "rows of VALUES": ("VALUES (1)", ", (1)", "", "", ""),
    "set operations": ("SELECT 1", " UNION SELECT 1", "", "", ""),
    "ORDER BY": ("SELECT 1 FROM users ORDER BY id", ", id", "", "", ""),
    "quotes": ("SELECT ", '"', "", "", ""),
    "strings": ("SELECT ", "'", "", "", ""),
    "dollars": ("SELECT ", "$a$", "", "", ""),
    "statements": ("SELECT 1", "; SELECT 1", "", "", ""),
    "assignments": ("UPDATE users SET name = 'a'", ", name = 'a'", "", "", ""),
    "windows": ("SELECT 1 FROM users WINDOW w AS ()", ", w AS (ORDER BY id)", "", "", ""),
}


def grown(kind: str, times: int) -> str:
    """Give a statement that has one thing many times over, or inside itself."""
    head, opening, core, closing, tail = OPENING[kind]
    return head + opening * times + core + closing * times + tail


@pytest.mark.parametrize("kind", OPENING)
def test_no_repetition_crashes_or_hangs(reader: Any, kind: Any) -> None:
    """Nested or repeated up to 100,000 times, anything is answered, and soon."""
    _, opening, _, closing, _ = OPENING[kind]
    most = (grammar.MAX_BYTES - 100) // len(opening + closing)
    started = time.process_time()
    for times in (8, 25, 90, 300, 1_000, 8_000, most, 100_000):
        before = time.process_time()
        found = reader.anyhow(grown(kind, times))
        assert time.process_time() - before < PATIENCE, times
        assert isinstance(found, Statement if times == 8 else (Statement, Misunderstood)) or (
            kind in ("comments", "quotes", "strings", "dollars", "statements", "dots")
            or "struct" in kind
            or isinstance(found, Misunderstood)
        )
    assert time.process_time() - started < 2 * PATIENCE


def test_a_thread_with_a_small_stack_is_no_danger() -> None:
    """Deep nesting is refused in a thread of 512 KiB of stack too, where it could overflow."""
    program = """
import sys, threading
from tracewall.sql.catalog import Catalog
from tracewall.sql.statement import understand

catalog = Catalog("d", "r", (), {})
done = []

def ask():
    for opening, closing in (("(", ")"), ("(SELECT ", ")"), ("ARRAY[", "]"), ("NOT ", "")):
        for times in (50, 200, 1_000, 60_000 // len(opening + closing)):
            understand(("SELECT " + opening * times + "1" + closing * times).encode(), catalog)
    understand(("SELECT 1" + "+1" * 32_000).encode(), catalog)
    done.append(True)

threading.stack_size(512 * 1024)
thread = threading.Thread(target=ask)
thread.start()
thread.join()
sys.exit(0 if done else 1)
"""
    assert subprocess.run([sys.executable, "-c", program], timeout=60).returncode == 0


def test_depth_is_that_of_the_tree(monkeypatch: pytest.MonkeyPatch) -> None:
    """Python 3.12 and 3.13 leave it to us: deep trees are refused."""
    monkeypatch.setattr("tracewall.sql.grammar._COUNTS_ON_THE_STACK", True)
    catalog = Catalog("d", "r", (), {})
    for deep in ("SELECT " + "NOT " * 900 + "true", "SELECT 1" + "+1" * 900):
        found = understand(deep.encode(), catalog)
        assert isinstance(found, Misunderstood) and "nested too deeply" in found.reason
    for flat in ("SELECT " + "NOT " * 90 + "true", "SELECT '" + '{\\"' * 5_000 + "'"):
        assert isinstance(understand(flat.encode(), catalog), Statement)


def test_a_reason_says_what_to_send_instead(reader: Any) -> None:
    """Where another spelling would be understood, the reason of a refusal names it."""
    for sql, instead in (
        ("COPY users TO STDOUT (FORMAT parquet)", "text, csv and binary"),
        ("COPY users TO STDOUT (ENCODING 'LATIN1')", "leave ENCODING out"),
        ("COPY users TO STDOUT (BOGUS 'x')", "force_quote"),
        ("EXPLAIN (BOGUS) SELECT 1", "costs"),
        ("TRUNCATE users CASCADE", "leave CASCADE out"),
        ("SET CONSTRAINTS a DEFERRED", "SET CONSTRAINTS ALL"),
        (f"SELECT '{'x' * 70_000}'", "as parameters"),
    ):
        found = reader.anyhow(sql)
        assert isinstance(found, Misunderstood) and instead in found.reason


def test_a_reason_holds_nothing_of_the_statement(reader: Any) -> None:
    """Why a statement is refused is told without its literals."""
    for sql in (
        "SELECT pg_sleep(4242)",
        "SELECT 'hush' SELECT",
        "SET x = 'hush'",
        "SELECT 'hush'::regclass",
        "SELECT 'hush' === 4242",
    ):
        found = reader.anyhow(sql)
        assert "hush" not in repr(found)
        assert "4242" not in repr(found)


@pytest.mark.parametrize(
    ("sql", "named"),
    [
        ("SET bytea_output = 'hush'", "the parameter bytea_output"),
        ("RESET role", "the parameter role"),
        ("SHOW data_directory", "the parameter data_directory"),
        ("SELECT set_config('hush', 'hush', false)", "a parameter"),
        ("SELECT pg_sleep(1)", "the function pg_sleep()"),
        ("SELECT 1 @#@ 2", "the operator @#@"),
        ("SELECT ''::xml", "the type xml"),
        ("SELECT ''::no_such.kind", "the type kind"),
    ],
)
def test_a_reason_names_what_is_not_on_a_list(reader: Any, sql: str, named: str) -> None:
    """What is not on a list is named where the statement has it as a name, not as a literal."""
    reason = reader.anyhow(sql).reason
    assert named in reason and "hush" not in reason


def test_strict_refuses_what_only_one_parser_reads(reader: Any) -> None:
    """With strict, what the second parser can't read is refused; without it, it is read."""
    from tracewall.sql.statement import understand

    sql = b"INSERT INTO users (doc['a']) VALUES ('1')"
    lenient, strict = (understand(sql, reader.catalog, strict=strict) for strict in (False, True))
    assert isinstance(lenient, Statement)
    assert isinstance(strict, Misunderstood)
