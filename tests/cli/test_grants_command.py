"""``tracewall grants``: the role can do all that the policy permits, and nothing more."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import errors, sql
from psycopg.conninfo import make_conninfo

from tracewall.cli.live import catalog
from tracewall.judge import decision_on
from tracewall.policy.load import loads

HOSTILE = 'ev"il; DROP TABLE x;--\n\x1b[2J\u202e$tracewall$\\'
SETUP = """
    REVOKE ALL ON DATABASE {database} FROM PUBLIC;
    CREATE SCHEMA shop; CREATE SCHEMA hidden;
    CREATE FUNCTION shop.stamp() RETURNS text LANGUAGE sql AS 'SELECT ''now''';
    CREATE FUNCTION shop.fine(int) RETURNS bool LANGUAGE sql IMMUTABLE AS 'SELECT $1 > 0';
    CREATE FUNCTION shop.double(n int) RETURNS int LANGUAGE sql AS 'SELECT 2 * n';
    CREATE FUNCTION shop.other() RETURNS int LANGUAGE sql AS 'SELECT 1';
    REVOKE EXECUTE ON ALL FUNCTIONS IN SCHEMA shop FROM PUBLIC;
    CREATE TABLE shop.people (id serial PRIMARY KEY, name text, email text, secret text);
    CREATE TABLE shop.orders (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, amount int
        CHECK (shop.fine(amount)), at text DEFAULT shop.stamp(), twice int
        GENERATED ALWAYS AS (amount * 2) STORED);
    CREATE TABLE shop.parts (id int, note text) PARTITION BY LIST (id);
    CREATE TABLE shop.part1 PARTITION OF shop.parts FOR VALUES IN (1);
    CREATE TABLE shop.logs (line text);
    CREATE TABLE hidden.base (id int, shown text, kept text);
    CREATE VIEW shop.seen WITH (security_invoker) AS SELECT id, shown FROM hidden.base;
    CREATE VIEW shop.outer WITH (security_invoker) AS SELECT shown FROM shop.seen;
    CREATE VIEW shop.owners AS SELECT id, kept FROM hidden.base;
    CREATE SEQUENCE shop.numbers;
    CREATE TABLE shop.{hostile} (id int, {hostile} text, b text);
    CREATE TABLE hidden.far (id int);
"""
POLICY = """
version = 1
name = "grants"
[[grants]]
name = "read"
groups = ["staff"]
actions = ["select"]
tables = ["shop.*"]
[[grants]]
name = "people"
groups = ["staff", "clerks"]
actions = ["insert", "update"]
tables = ["shop.people"]
columns = ["name", "email"]
[[grants]]
name = "orders"
groups = ["staff"]
actions = ["insert", "delete", "update"]
tables = ["shop.orders", "shop.parts", "shop.seen"]
[[grants]]
name = "sequence"
groups = ["staff"]
actions = ["update", "truncate"]
tables = ["shop.numbers", "shop.logs"]
[[denials]]
name = "secret"
tables = ["shop.people"]
columns = ["secret"]
[[denials]]
name = "clerks-only"
groups = ["clerks"]
tables = ["shop.orders"]
[[functions]]
functions = ["shop.double"]
"""
PERMITTED = [
    "SELECT id, name, email FROM shop.people",
    "SELECT count(*) FROM shop.people",
    "INSERT INTO shop.people (name, email) VALUES ('a', 'b')",
    "INSERT INTO shop.people (name) VALUES ('a') ON CONFLICT (id) DO UPDATE SET name = 'b'",
    "UPDATE shop.people SET email = 'c' WHERE name = 'a' RETURNING id",
    "SELECT id FROM shop.people FOR UPDATE",
    "SELECT * FROM shop.orders",
    "INSERT INTO shop.orders (amount) VALUES (3) RETURNING twice, at",
    "UPDATE shop.orders SET amount = 4 WHERE id = 1",
    "DELETE FROM shop.orders WHERE id = 1",
    "INSERT INTO shop.parts VALUES (1, 'x')",
    "SELECT * FROM shop.parts",
    "SELECT * FROM shop.part1",
    "DELETE FROM shop.parts",
    "SELECT * FROM shop.seen",
    "SELECT * FROM shop.outer",
    "SELECT * FROM shop.owners",
    "UPDATE shop.seen SET shown = 'y' WHERE id = 1",
    "INSERT INTO shop.seen (id, shown) VALUES (1, 'x')",
    "DELETE FROM shop.seen WHERE id = 1",
    "SELECT nextval('shop.numbers')",
    "TRUNCATE shop.logs",
    "SELECT shop.double(id) FROM shop.people",
]
BEYOND = [
    "SELECT secret FROM shop.people",
    "SELECT * FROM shop.people",
    "UPDATE shop.people SET id = 7",
    "INSERT INTO shop.people (id) VALUES (7)",
    "DELETE FROM shop.people",
    "TRUNCATE shop.people",
    "DELETE FROM shop.logs",
    "INSERT INTO shop.logs VALUES ('x')",
    "SELECT kept FROM hidden.base",
    "SELECT id FROM hidden.far",
    "UPDATE shop.owners SET id = 1",
    "SELECT setval('shop.people_id_seq', 1)",
    "SELECT shop.other()",
    "CREATE TEMP TABLE t (id int)",
    "CREATE TABLE shop.t (id int)",
    "CREATE SCHEMA s",
    "COPY shop.logs TO PROGRAM 'true'",
    "ALTER TABLE shop.logs ADD x int",
    "SELECT * FROM pg_authid",
]


@dataclass(frozen=True)
class Place:
    """A database: the superuser's login, the role's, its name, and the policy's file."""

    admin: str
    dsn: str
    role: str
    path: Path


@pytest.fixture
def place(scratch_dsn: str, tmp_path: Path) -> Iterator[Place]:
    """The database, without the role, whose name is hostile."""
    role = f"{secrets.token_hex(3)}{HOSTILE}"
    path = tmp_path / "policy.toml"
    path.write_text(POLICY, "utf-8")
    with psycopg.connect(scratch_dsn, autocommit=True) as conn:
        names = {"database": sql.Identifier(conn.info.dbname), "hostile": sql.Identifier(HOSTILE)}
        conn.execute(sql.SQL(SETUP).format(**names))
        yield Place(scratch_dsn, make_conninfo(scratch_dsn, user=role, password="pw"), role, path)
        if conn.execute("SELECT FROM pg_roles WHERE rolname = %s", [role]).rowcount:
            conn.execute(sql.SQL("DROP OWNED BY {0}; DROP ROLE {0}").format(sql.Identifier(role)))


def apply(run: Any, place: Place, *options: str) -> str:
    """Print the script, run it, and give the role a password."""
    result = run("grants", place.path, "--dsn", place.admin, "--role", place.role, *options)
    assert (result.exit_code, result.stderr) == (0, "")
    with psycopg.connect(place.admin, autocommit=True) as conn:
        conn.execute(result.stdout)
        name = sql.Identifier(place.role)
        conn.execute(sql.SQL("ALTER ROLE {} PASSWORD 'pw'").format(name))
    return str(result.stdout)


def attempt(conn: psycopg.Connection, statement: str) -> None:
    """Execute a statement and take it back."""
    with conn.transaction(force_rollback=True):
        conn.execute(statement.encode())


def test_the_role_can_do_what_the_policy_permits_and_nothing_more(run: Any, place: Place) -> None:
    """On plain psycopg: what is judged allowed runs, and everything else is the server's 42501."""
    printed = apply(run, place)
    assert "\x1b" not in printed and "\u202e" not in printed
    policy, known = loads(POLICY), catalog(place.admin)
    with psycopg.connect(place.dsn, autocommit=True) as conn:
        for statement in PERMITTED:
            decision = decision_on(statement.encode(), policy, known, frozenset({"staff"}))
            assert decision.allowed, (statement, decision)
            attempt(conn, statement)
        named = sql.SQL("SELECT {0} FROM shop.{0}").format(sql.Identifier(HOSTILE))
        attempt(conn, named.as_string())
        for statement in BEYOND:
            decision = decision_on(statement.encode(), policy, known, frozenset({"staff"}))
            assert not decision.allowed, statement
            with pytest.raises(errors.InsufficientPrivilege):
                attempt(conn, statement)


def test_it_may_be_run_again_and_takes_what_is_too_much(run: Any, place: Place) -> None:
    """What the role has beyond its needs is told as comments, and taken with --revoke."""
    apply(run, place)
    with psycopg.connect(place.admin, autocommit=True) as conn:
        name = sql.Identifier(place.role)
        conn.execute(
            sql.SQL("""
            GRANT SELECT, DELETE ON shop.people TO {0}; GRANT UPDATE (id) ON shop.people TO {0};
            GRANT CREATE ON SCHEMA shop TO {0}; GRANT pg_read_server_files TO {0};
            GRANT EXECUTE ON FUNCTION shop.other() TO {0}; ALTER ROLE {0} CREATEDB BYPASSRLS;
            GRANT USAGE ON SCHEMA hidden TO {0}; GRANT ALL ON hidden.far TO {0};""").format(name)
        )
    told = apply(run, place)
    assert '--   REVOKE SELECT, UPDATE ("id"), DELETE' not in told  # in the order of names
    assert '--   REVOKE DELETE, SELECT, UPDATE ("id") ON TABLE "shop"."people"' in told
    with psycopg.connect(place.dsn, autocommit=True) as conn:
        attempt(conn, "SELECT secret FROM shop.people")
        apply(run, place, "--revoke")
        for statement in BEYOND:
            with pytest.raises(errors.InsufficientPrivilege):
                attempt(conn, statement)
        for statement in PERMITTED:
            attempt(conn, statement)
    told = json.loads(run("grants", place.path, "--dsn", place.admin, "--role", place.role,
                          "--json").stdout)  # fmt: skip
    assert (told["exists"], told["lacks"], told["surplus"]) == (True, [], [])


def test_everybodys_rights_are_taken_when_asked_for(run: Any, place: Place) -> None:
    """--revoke-public takes from PUBLIC what reaches the role, and leaves what it needs."""
    with psycopg.connect(place.admin, autocommit=True) as conn:
        conn.execute("GRANT SELECT, INSERT ON shop.logs, hidden.far TO PUBLIC")
        conn.execute("GRANT CREATE ON SCHEMA shop TO PUBLIC")
    assert "--   REVOKE INSERT, SELECT" in apply(run, place)
    assert "\nREVOKE INSERT, SELECT" in apply(run, place, "--revoke-public")
    with psycopg.connect(place.dsn, autocommit=True) as conn:
        attempt(conn, "SELECT * FROM shop.logs")
        for statement in ("INSERT INTO shop.logs VALUES ('x')", "CREATE TABLE shop.t (id int)"):
            with pytest.raises(errors.InsufficientPrivilege):
                attempt(conn, statement)


@pytest.mark.parametrize(
    ("grant", "expected", "words"),
    [
        ('actions = ["temp"]', "TEMPORARY", ""),
        ('actions = ["ddl", "do"]', "", "what ddl, do needs can't be foreseen"),
        ('actions = ["lock"]\ntables = ["shop.logs"]', "MAINTAIN", ""),
    ],
)
def test_actions_without_columns(
    run: Any, place: Place, grant: str, expected: str, words: str
) -> None:
    """Temporary tables and locks have a privilege; what can't be followed is told."""
    place.path.write_text(f'version = 1\n[[grants]]\nname = "g"\ngroups = ["a"]\n{grant}\n')
    told = run("grants", place.path, "--dsn", place.admin, "--role", "nobody_yet")
    lines = [line for line in told.stdout.splitlines() if line.startswith("GRANT")]
    with psycopg.connect(place.admin) as conn:
        if expected == "MAINTAIN" and conn.info.server_version < 170_000:
            expected, words = "", "needs UPDATE, DELETE or TRUNCATE"
    assert any(expected in line for line in lines)
    assert words in told.stdout


def test_a_server_that_does_not_answer_is_no_verdict(run: Any, place: Place) -> None:
    """Exit code 3, a sentence, and no password."""
    dsn = "host=127.0.0.1 port=1 password=CANARY connect_timeout=1"
    result = run("grants", place.path, "--dsn", dsn, "--role", "x")
    assert (result.exit_code, result.stdout) == (3, "")
    assert "can't be asked" in result.stderr and "CANARY" not in result.stderr
