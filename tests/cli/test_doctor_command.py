"""``tracewall doctor``: what stands around a wall, each finding with its remedy."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest


def test_a_healthy_place_has_nothing_but_notes(place: Any) -> None:
    """The role has what the policy needs, keys are there, nothing is open: exit code 0."""
    assert place.checks() == set()
    assert place.findings("--strict", code=0)
    out = place.run("doctor", place.policy).stdout
    assert "\x1b" not in out and "\u202e" not in out


ILLS: list[tuple[str, str]] = [
    ("role.superuser", "ALTER ROLE {role} SUPERUSER"),
    ("role.bypassrls", "ALTER ROLE {role} BYPASSRLS"),
    ("role.createrole", "ALTER ROLE {role} CREATEROLE"),
    ("role.replication", "ALTER ROLE {role} REPLICATION"),
    ("role.createdb", "ALTER ROLE {role} CREATEDB"),
    ("role.member", "GRANT pg_read_server_files TO {role}"),
    ("role.member", "GRANT pg_execute_server_program TO {role}"),
    ("role.owner", "ALTER TABLE shop.people OWNER TO {role}"),
    ("role.owner", "ALTER SCHEMA shop OWNER TO {role}"),
    ("role.surplus", "GRANT DELETE ON shop.people TO {role}"),
    ("role.surplus", "GRANT USAGE ON SCHEMA other TO {role}"),
    ("role.surplus", "GRANT SELECT (id) ON other.things TO {role}"),
    ("role.public", "GRANT SELECT ON other.things TO PUBLIC"),
    ("role.lacks", "REVOKE SELECT ON shop.people FROM {role}"),
    ("role.create", "GRANT CREATE ON SCHEMA shop TO {role}"),
    ("role.search-path", "GRANT CREATE ON SCHEMA public TO PUBLIC"),
    (
        "role.search-path",
        "GRANT CREATE ON SCHEMA other TO PUBLIC; ALTER ROLE {role} SET search_path = shop, other",
    ),
    ("server.extension", "CREATE EXTENSION file_fdw"),
    ("server.extension", "CREATE EXTENSION dblink"),
    (
        "server.foreign",
        "CREATE EXTENSION file_fdw; CREATE SERVER f FOREIGN DATA WRAPPER file_fdw;"
        " DROP TABLE shop.people; CREATE FOREIGN TABLE shop.people (id int, name text) SERVER f"
        " OPTIONS (filename '/etc/hostname'); GRANT SELECT ON shop.people TO {role}",
    ),
    ("server.log", "ALTER ROLE {role} SET log_statement = 'all'"),
    ("server.log", "ALTER ROLE {role} SET log_min_duration_statement = 100"),
    ("server.log", "ALTER ROLE {role} SET log_parameter_max_length_on_error = -1"),
]


@pytest.mark.parametrize(("check", "statement"), ILLS)
def test_what_makes_a_server_ill_is_found_with_its_remedy(
    place: Any, check: str, statement: str
) -> None:
    """Each is found by its name, and running what --sql prints, or the remedy, mends it."""
    try:
        place.make(statement)
    except psycopg.errors.FeatureNotSupported as absent:
        pytest.skip(f"this server has no such extension: {absent.sqlstate}")
    found = [each for each in place.findings() if each["check"] == check]
    assert found and all(each["remedy"] for each in found)
    for each in found:
        if each["sql"]:
            with psycopg.connect(place.admin, autocommit=True) as conn:
                conn.execute(each["sql"])
    if all(each["sql"] for each in found):
        assert check not in place.checks()


def test_sql_makes_the_role_the_least_privileged(place: Any) -> None:
    """One script, which may be run as it is, with nothing left that SQL can mend."""
    place.make("""
        GRANT ALL ON shop.people, other.things TO {role}; ALTER ROLE {role} BYPASSRLS CREATEDB;
        GRANT pg_read_all_data TO {role}; ALTER ROLE {role} SET log_statement = 'all';
        GRANT CREATE ON SCHEMA shop TO {role};""")
    printed = place.run("doctor", place.policy, "--sql").stdout
    assert "\x1b" not in printed and "\u202e" not in printed
    with psycopg.connect(place.admin, autocommit=True) as conn:
        conn.execute(printed)
    assert place.checks() == set()


def test_another_login_may_look_at_the_role(place: Any) -> None:
    """With --dsn somebody else looks; the role is the policy's, or --role's."""
    place.make("ALTER ROLE {role} CREATEDB")
    assert "role.createdb" in place.checks("--dsn", place.admin)
    assert "role.missing" in place.checks("--dsn", place.admin, "--role", "nobody_here")
    assert "role.superuser" in place.checks("--dsn", place.admin, "--role", "postgres")


@pytest.mark.skipif(os.name != "posix", reason="modes are POSIX's")
@pytest.mark.parametrize(
    ("check", "ill"),
    [
        ("files.mode", lambda home: (home / "policy.toml").chmod(0o666)),
        ("audit.mode", lambda home: ((home / "audit").mkdir(), (home / "audit").chmod(0o755))),
        ("keys.unreachable", lambda home: (home / "jwks.json").write_text("{}")),
        ("keys.none", lambda home: (home / "jwks.json").write_text('{"keys": []}')),
        ("audit.broken", lambda home: broken(home)),
    ],
)
def test_what_is_wrong_on_this_machine_is_found(
    place: Any, check: str, ill: Callable[[Path], object]
) -> None:
    """Open files, keys that can't be used, a record that does not verify."""
    ill(place.home)
    assert check in place.checks()


def broken(home: Path) -> None:
    """Leave a record that was changed."""
    (home / "audit").mkdir(mode=0o700)
    (home / "audit" / "20260101T000000.000000Z-1-1.jsonl").write_text('{"changed": true}\n' * 2)


def test_keys_of_pseudonyms_are_missed(place: Any, monkeypatch: Any) -> None:
    """A mask that hashes needs a key in the environment, or from the program."""
    monkeypatch.delenv("TRACEWALL_MASK_KEY", raising=False)
    place.write('[[masks]]\nname = "n"\ncolumns = ["shop.people.name"]\nmethod = "hash"\n')
    assert "keys.mask" in place.checks()


def test_checks_can_be_left_out(place: Any) -> None:
    """By name, or by the group before the dot."""
    place.make("ALTER ROLE {role} CREATEDB BYPASSRLS")
    assert place.checks("--ignore", "role.createdb") == {"role.bypassrls"}
    assert place.checks("--ignore", "role") == set()


def test_a_wrong_password_is_told_without_it(place: Any, monkeypatch: Any) -> None:
    """Exit code 3 where the server lets nobody in, 2 where the password is not there."""
    monkeypatch.setenv("DOCTOR_PASSWORD", "CANARY-wrong")
    result = place.run("doctor", place.policy)
    assert (result.exit_code, result.stdout) == (3, "")
    assert "can't be asked" in result.stderr and "CANARY" not in result.stderr
    assert "\x1b" not in result.stderr and "\u202e" not in result.stderr
    monkeypatch.delenv("DOCTOR_PASSWORD")
    result = place.run("doctor", place.policy)
    assert (result.exit_code, "DOCTOR_PASSWORD" in result.stderr) == (2, True)


def test_a_policy_that_can_not_be_read_is_told(place: Any) -> None:
    """As every command tells it that needs one: its place, and exit code 2."""
    place.policy.write_text("version = 2", "utf-8")
    result = place.run("doctor", place.policy)
    assert (result.exit_code, f"{place.policy}:1:" in result.stderr) == (2, True)
