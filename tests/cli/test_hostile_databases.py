"""Names in a database are whoever's: no command lets one of them steer a terminal."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql

HOSTILE = "e\x1b]0;owned\x07\u202email\x9b2J\x7f\ny\"'; --"
STEERING = set("\x1b\x07\u202e\x9b\x7f")
POLICY = """
version = 1
[[issuers]]
issuer = "https://i.test"
audience = "a"
[[grants]]
name = "all"
groups = ["*"]
actions = ["select", "update"]
tables = ["*.*"]
[[grants]]
name = "more"
groups = ["a"]
actions = ["select"]
tables = ["shop.*"]
rows = "tenant = claim('tenant')"
[[masks]]
name = "keys"
columns = ["shop.plain.email"]
method = "redact"
"""
COMMANDS: dict[str, tuple[str, ...]] = {
    "check": ("check", "{policy}", "--dsn", "{dsn}"),
    "doctor": ("doctor", "{policy}", "--dsn", "{dsn}", "--role", HOSTILE),
    "doctor --sql": ("doctor", "{policy}", "--dsn", "{dsn}", "--role", HOSTILE, "--sql"),
    "grants": ("grants", "{policy}", "--dsn", "{dsn}", "--role", HOSTILE),
    "rls": ("rls", "{policy}", "--dsn", "{dsn}", "--role", HOSTILE),
    "explain": ("explain", "SELECT * FROM shop.plain", "--config", "{policy}", "--dsn", "{dsn}"),
    "explain a table": ("explain", "{table}", "--config", "{policy}", "--dsn", "{dsn}"),
    "diff": ("diff", "{other}", "{policy}", "--dsn", "{dsn}"),
    "scan": ("scan", "{dsn}"),
    "init": ("init", "{dsn}", "--yes", "--out", "-"),
    "catalog": ("catalog", "{dsn}"),
}


@pytest.fixture(scope="module")
def hostile(module_dsn: str) -> Iterator[str]:
    """A database whose tables, columns, functions and role bear such names."""
    name = sql.Identifier(HOSTILE)
    with psycopg.connect(module_dsn, autocommit=True) as conn:
        for statement in (
            "CREATE SCHEMA shop", "CREATE ROLE {} LOGIN CREATEDB",
            "CREATE TABLE shop.plain (id int PRIMARY KEY, email text, tenant text, {} text)",
            "CREATE TABLE shop.{} (id int REFERENCES shop.plain, {} text, email text, tenant text)",
            "CREATE SCHEMA {}", "CREATE TABLE {}.{} (email text, tenant text)",
            "INSERT INTO shop.{} VALUES (NULL, 'ann@example.org', 'bob@example.org', 't')",
            "GRANT ALL ON ALL TABLES IN SCHEMA shop TO {}", "ALTER TABLE {}.{} OWNER TO {}",
            "CREATE FUNCTION shop.{}() RETURNS int LANGUAGE sql AS 'SELECT 1'",
        ):  # fmt: skip
            conn.execute(sql.SQL(statement).format(*[name] * 3))
        yield module_dsn
        conn.execute(sql.SQL("DROP OWNED BY {} CASCADE").format(name))
        conn.execute(sql.SQL("DROP ROLE {}").format(name))


@pytest.mark.parametrize("name", COMMANDS)
@pytest.mark.parametrize("more", [(), ("--json",)], ids=["words", "json"])
def test_no_name_of_a_database_steers_a_terminal(
    run: Any, hostile: str, tmp_path: Path, name: str, more: tuple[str, ...]
) -> None:
    """Neither in words nor in SQL, TOML or JSON; and each command does its work."""
    policy, other = tmp_path / "p.toml", tmp_path / "other.toml"
    policy.write_text(POLICY, "utf-8")
    other.write_text("version = 1", "utf-8")
    quoted = '"' + HOSTILE.replace('"', '""') + '"'
    known = {"policy": policy, "other": other, "dsn": hostile}
    known["table"] = f"SELECT *, {quoted} AS {quoted} FROM shop.{quoted}"
    result = run(*(known.get(each.strip("{}"), each) for each in COMMANDS[name]), *more)
    assert result.exit_code in (0, 1), result.output
    assert not STEERING.intersection(result.output)
    if more or name == "catalog":
        assert result.stdout.isascii()
