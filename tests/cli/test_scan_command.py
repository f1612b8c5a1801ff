"""``tracewall scan``: what is found, what is proposed, and that no value is ever told."""

from __future__ import annotations

import json
import secrets
from typing import Any

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo

from tracewall.policy.load import loads
from tracewall.policy.match import unmatched

SETUP = r'''
    CREATE SCHEMA shop;
    CREATE TABLE shop.customers (id int, email text, note text, card varchar(30), doc jsonb,
        password text, "Odd.name" text, "it's ""odd""" text, seen inet, tags text[], plain text);
    INSERT INTO shop.customers SELECT i, 'canary' || i || '@example.com',
        CASE WHEN i % 10 = 0 THEN 'call +1 415 555 2671 or canary@example.com' ELSE 'nothing' END,
        '4111 1111 1111 1111', jsonb_build_object('k', jsonb_build_array('canary@example.org')),
        'hunter-canary', 'canary@example.com', 'canary@example.com', '192.0.2.17',
        ARRAY['canary@example.com'], 'words' FROM generate_series(1, 40) i;
    CREATE TABLE shop.large (id int, mail text);
    INSERT INTO shop.large SELECT i, 'canary' || i || '@example.com' || repeat('x', 200)
        FROM generate_series(1, 20000) i;
    CREATE TABLE shop.nothing (id int, words text);
    CREATE TABLE shop.parts (id int, mail text) PARTITION BY LIST (id);
    CREATE TABLE shop.part1 PARTITION OF shop.parts FOR VALUES IN (1);
    INSERT INTO shop.parts VALUES (1, 'canary@example.com');
    ANALYZE;
'''


@pytest.fixture
def shop(scratch_dsn: str) -> str:
    """A shop's database, with something to find in it."""
    with psycopg.connect(scratch_dsn, autocommit=True) as conn:
        conn.execute(SETUP)
    return scratch_dsn


def test_what_is_found_is_proposed_and_no_value_is_told(run: Any, shop: str) -> None:
    """Whole values get masks, texts get scans; the rules load and match the database."""
    result = run("scan", shop)
    assert result.exit_code == 1
    assert "canary" not in result.output and "4111" not in result.output
    policy = loads("version = 1\n" + result.output)
    masks = {mask.columns[0].text: mask.method.name for mask in policy.masks}
    assert masks == {
        "shop.customers.email": "email",
        "shop.customers.card": "partial",
        "shop.customers.password": "redact",
        "shop.customers.seen": "hash",
        "shop.large.mail": "email",
        "shop.parts.mail": "email",
    }
    scans = {scan.columns[0].text for scan in policy.scans}
    assert {"shop.customers.note", "shop.customers.doc", "shop.customers.tags"} <= scans
    with psycopg.connect(shop) as conn:
        columns = conn.execute(
            "SELECT table_schema || '.' || table_name, array_agg(column_name::text)"
            " FROM information_schema.columns WHERE table_schema = 'shop' GROUP BY 1"
        ).fetchall()
    assert unmatched(policy, dict(columns)) is None
    assert "# 40 values looked at: 4 with" in result.output
    assert "not to be named in a policy" in result.output


def test_programs_get_one_object(run: Any, shop: str) -> None:
    """The same as JSON: counts, columns, the TOML."""
    result = run("scan", shop, "--json", "--schema", "shop", "--rows", "15")
    told = json.loads(result.output)
    assert "canary" not in result.output and told["skipped"] == {}
    email = next(each for each in told["found"] if each["column"] == "shop.customers.email")
    assert email == {
        "column": "shop.customers.email", "type": "text", "values": 15, "whole": 15,
        "telling_name": False, "found": {"email": 15},
    }  # fmt: skip
    assert loads("version = 1\n" + told["toml"]).masks


def test_nothing_to_find_is_well(run: Any, scratch_dsn: str) -> None:
    """An empty database, or a schema that is not there, is no fault."""
    result = run("scan", scratch_dsn)
    assert result.exit_code == 0 and "0 columns of 0 tables" in result.output


def test_what_can_not_be_read_is_told(run: Any, shop: str) -> None:
    """A table without the right to read it is skipped, and the others are looked at."""
    with psycopg.connect(shop, autocommit=True) as conn:
        role = f"scanner_{conn.info.backend_pid}"
        conn.execute(f"CREATE ROLE {role} LOGIN PASSWORD 'hush'")
        try:
            conn.execute(f"GRANT USAGE ON SCHEMA shop TO {role}")
            conn.execute(f"GRANT SELECT ON shop.customers TO {role}")
            result = run("scan", psycopg.conninfo.make_conninfo(shop, user=role, password="hush"))
            assert "# not looked at: shop.large (InsufficientPrivilege)" in result.output
            assert "shop.customers.email" in result.output
        finally:
            conn.execute(f"DROP OWNED BY {role}")
            conn.execute(f"DROP ROLE {role}")


def test_a_server_that_does_not_answer_is_told(run: Any) -> None:
    """Exit code 2, and no traceback."""
    result = run("scan", "host=127.0.0.1 port=1 dbname=none")
    assert result.exit_code == 3 and "can't be asked" in result.output


OWNER = """
    CREATE SCHEMA app AUTHORIZATION {role};
    SET ROLE {role};
    CREATE TABLE app.victims (who text);
    CREATE TYPE app.json AS (x text);
    CREATE FUNCTION app.spelled(app.json) RETURNS text LANGUAGE plpgsql AS
        $$ BEGIN INSERT INTO app.victims VALUES (current_user); RETURN 'fooled'; END $$;
    CREATE CAST (app.json AS text) WITH FUNCTION app.spelled(app.json) AS IMPLICIT;
    CREATE TABLE app.docs (doc app.json, docs app.json[]);
    INSERT INTO app.docs VALUES (row('canary@example.com'), ARRAY[row('a')::app.json]);
    RESET ROLE;
    GRANT CREATE ON SCHEMA public TO {role};
    SET ROLE {role};
    CREATE FUNCTION public.squat(a name, b name) RETURNS bool LANGUAGE plpgsql AS
        $$ BEGIN RAISE 'squatted by %', current_user; END $$;
    CREATE OPERATOR public.!~ (leftarg = name, rightarg = name, function = public.squat);
    CREATE FUNCTION public.left(text, int) RETURNS text LANGUAGE plpgsql AS
        $$ BEGIN RAISE 'squatted'; END $$;
    RESET ROLE;
"""


def test_nothing_of_a_users_runs_as_whoever_scans(run: Any, scratch_dsn: str) -> None:
    """Functions behind casts and operators that others own are not called: a scan may be root's."""
    role = f"owner_{secrets.token_hex(4)}"
    with psycopg.connect(scratch_dsn, autocommit=True) as conn:
        conn.execute(f"CREATE ROLE {role}")
        try:
            conn.execute(OWNER.format(role=role))
            result = run("scan", scratch_dsn, "--json")
            assert json.loads(result.output)["skipped"] == {}
            found = {each["column"]: each["found"] for each in json.loads(result.output)["found"]}
            assert found["app.docs.doc"] == {"email": 1}
            assert conn.execute("SELECT count(*) FROM app.victims").fetchone() == (0,)
        finally:
            conn.execute(f"DROP OWNED BY {role} CASCADE; DROP ROLE {role}")


def test_a_connection_string_that_cant_be_read_is_not_quoted(run: Any) -> None:
    """A password with a blank in it is not told piece by piece."""
    result = run("scan", "host=localhost password=correct horse")
    assert result.exit_code == 2
    assert "horse" not in result.output
    result = run("scan", "postgresql://somebody:battery@staple@host.invalid/db")
    assert result.exit_code == 3
    assert "staple" not in result.output and "battery" not in result.output


NAMES = [
    'quote"s', "it's", "$tracewall$; CREATE TABLE public.owned (); --", "back\\slash", "new\nline",
    "%s {} {0}", "\x1b[31mred", "\u202egnp", "a" * 63, "*", "x$tracewall_$", "--",
    "/* */", "ünïcode",
]  # fmt: skip


def test_odd_names_are_only_names(run: Any, scratch_dsn: str) -> None:
    """Whatever tables and columns are called: they are scanned, and nothing steers a terminal."""
    with psycopg.connect(scratch_dsn, autocommit=True) as conn:
        for name in NAMES:
            table = sql.Identifier(name)
            conn.execute(sql.SQL("CREATE TABLE {0} ({0} text)").format(table))
            conn.execute(sql.SQL("INSERT INTO {0} VALUES ('a@example.com')").format(table))
    result = run("scan", scratch_dsn)
    assert result.exit_code == 1, result.output
    assert f"{len(NAMES)} columns of {len(NAMES)} tables" in result.output
    assert "not looked at" not in result.output
    assert not any(ord(char) < 32 and char != "\n" for char in result.output)
    assert "\u202e" not in result.output
    loads("version = 1\n" + result.output)


def test_no_policy_of_a_tables_owner_runs_as_who_scans(run: Any, shop: str) -> None:
    """Row-level security calls its owner's functions: such a table is told, and not looked at."""
    name = f"scanner_{secrets.token_hex(4)}"
    with psycopg.connect(shop, autocommit=True) as conn:
        conn.execute(f"""
            CREATE ROLE {name} LOGIN PASSWORD 'pw'; GRANT USAGE ON SCHEMA shop TO {name};
            CREATE TABLE shop.trap (mail text); INSERT INTO shop.trap VALUES ('canary@example.com');
            CREATE FUNCTION shop.spring() RETURNS bool LANGUAGE plpgsql AS $$ BEGIN
                PERFORM pg_catalog.set_config('application_name', 'sprung', false);
                RETURN true; END $$;
            ALTER TABLE shop.trap ENABLE ROW LEVEL SECURITY;
            CREATE POLICY p ON shop.trap USING (shop.spring());
            GRANT SELECT ON shop.trap TO {name};""")
    try:
        dsn = make_conninfo(shop, user=name, password="pw")
        told = json.loads(run("scan", dsn, "--schema", "shop", "--json").stdout)
        assert told["skipped"]["shop.trap"] == "InsufficientPrivilege"
    finally:
        with psycopg.connect(shop, autocommit=True) as conn:
            conn.execute(f"DROP OWNED BY {name}; DROP ROLE {name}")


PLANNED = """
    CREATE SCHEMA app;
    CREATE FUNCTION app.spring(text) RETURNS bool IMMUTABLE LANGUAGE plpgsql AS $$ BEGIN
        RAISE 'sprung by %', current_user; END $$;
    CREATE TABLE app.safe (mail text);
    INSERT INTO app.safe VALUES ('canary@example.com');
"""
TRAPS = [
    "CREATE INDEX ON app.trap (mail) WHERE app.spring('x')",
    "CREATE INDEX ON app.trap ((app.spring('x')))",
    "CREATE STATISTICS app.s ON (app.spring('x')), mail FROM app.trap",
    "CREATE TABLE app.heir (CHECK (app.spring('x'))) INHERITS (app.trap)",
]


@pytest.mark.parametrize("trap", TRAPS)
@pytest.mark.parametrize("parted", [False, True])
def test_nothing_that_planning_runs_runs_as_who_scans(
    run: Any, scratch_dsn: str, trap: str, parted: bool
) -> None:
    """The planner calls functions of indexes and statistics: such tables are not looked at."""
    by = " PARTITION BY LIST (mail)" if parted else ""
    if parted and "INHERITS" in trap:
        pytest.skip("a partitioned table has no heirs")
    with psycopg.connect(scratch_dsn, autocommit=True) as conn:
        conn.execute(PLANNED)
        conn.execute(f"CREATE TABLE app.trap (mail text){by}")
        if parted:
            conn.execute("CREATE TABLE app.leaf PARTITION OF app.trap DEFAULT")
            trap = trap.replace("app.trap", "app.leaf")
        conn.execute("CREATE OR REPLACE FUNCTION app.spring(text) RETURNS bool IMMUTABLE"
                     " LANGUAGE sql AS 'SELECT true'")  # fmt: skip
        conn.execute(trap)
        conn.execute("CREATE OR REPLACE FUNCTION app.spring(text) RETURNS bool IMMUTABLE LANGUAGE"
                     " plpgsql AS $$ BEGIN RAISE 'sprung by %', current_user; END $$")  # fmt: skip
    told = json.loads(run("scan", scratch_dsn, "--json").stdout)
    assert told["skipped"].get("app.trap") in (None, "FunctionsOfUsers")
    assert {each["column"] for each in told["found"]} == {"app.safe.mail"}
