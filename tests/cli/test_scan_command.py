"""``tracewall scan``: what is found, what is proposed, and that no value is ever told."""

from __future__ import annotations

import json
from typing import Any

import psycopg
import pytest

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
    assert result.exit_code == 2 and "can't be asked" in result.output
