"""``tracewall rls``: a migration to read and to run, and nothing done by itself."""

from __future__ import annotations

from pathlib import Path

import psycopg
import pytest
from psycopg import sql

POLICY = """version = 1
[database]
conninfo = "user=somebody"
[[grants]]
name = "own"
groups = ["g"]
actions = ["select", "update"]
tables = ["s.*"]
rows = "tenant = claim('tenant')"
"""


@pytest.fixture
def place(scratch_dsn: str, tmp_path: Path) -> tuple[str, Path]:
    """Give a database with a table, and a policy that filters it."""
    with psycopg.connect(scratch_dsn) as conn:
        conn.execute('create schema s; create table s."odd ""name" (tenant text)')
    path = tmp_path / "policy.toml"
    path.write_text(POLICY)
    return scratch_dsn, path


def test_it_prints_a_migration_and_changes_nothing(run, place) -> None:
    """The output is one transaction for the role that the policy logs in as."""
    dsn, path = place
    result = run("rls", path, "--dsn", dsn)
    assert result.exit_code == 0, result.output
    assert "BEGIN;" in result.stdout and result.stdout.rstrip().endswith("COMMIT;")
    assert 'ON "s"."odd ""name" FOR SELECT TO "somebody"' in result.stdout
    with psycopg.connect(dsn) as conn:
        assert conn.execute("select count(*) from pg_policy").fetchone() == (0,)


def test_what_it_prints_runs_and_can_be_taken_back(run, place) -> None:
    """Once more changes nothing; without the filter in the policy, the table is as it was."""
    dsn, path = place
    with psycopg.connect(dsn) as conn:
        role = conn.execute("select current_user").fetchone()[0]
    path.write_text(POLICY.replace("somebody", role))
    count = "select count(*), bool_and(relrowsecurity) from pg_policy p join pg_class c "
    count += "on c.oid = p.polrelid"
    for _ in range(2):
        printed = run("rls", path, "--dsn", dsn).stdout
        with psycopg.connect(dsn, autocommit=True) as conn:
            conn.execute(printed)
            assert conn.execute(count).fetchone() == (2, True)
    path.write_text(POLICY.replace("rows =", "# rows ="))
    printed = run("rls", path, "--dsn", dsn).stdout
    with psycopg.connect(dsn, autocommit=True) as conn:
        conn.execute(printed)
        assert conn.execute(count).fetchone() == (0, None)
        query = "select relrowsecurity, relforcerowsecurity from pg_class where relname like 'odd%'"
        assert conn.execute(query).fetchone() == (False, False)
    assert "Nothing is filtered" in run("rls", path, "--dsn", dsn).stdout


def test_others_can_be_left_without_rows(run, place) -> None:
    """With --deny-others there is no policy for anybody else."""
    dsn, path = place
    assert "see and write what they do" in run("rls", path, "--dsn", dsn).stdout
    assert (
        "see and write what they do" not in run("rls", path, "--dsn", dsn, "--deny-others").stdout
    )


def test_a_role_must_be_known(run, place) -> None:
    """Without a user in the policy, --role says for whom."""
    dsn, path = place
    path.write_text(POLICY.replace("user=somebody", "dbname=x"))
    assert run("rls", path, "--dsn", dsn).exit_code == 2
    assert 'TO "x y"' in run("rls", path, "--dsn", dsn, "--role", "x y").stdout


NAMES = [
    "$tracewall$; CREATE SCHEMA owned; --", 'quote"s', "it's", "back\\slash", "new\nline",
    "%s {} {0} %I", "$tracewall_$", "$$", "\x1b[31mred", "\u202egnp", "a" * 63, "é",
]  # fmt: skip


def test_a_name_never_leaves_its_quotes(run, scratch_dsn: str, tmp_path: Path) -> None:
    """Who may create tables can't write into the migration that is run, nor hide in it."""
    with psycopg.connect(scratch_dsn, autocommit=True) as conn:
        role = conn.execute("select current_user").fetchone()[0]
        conn.execute("create schema s")
        for name in NAMES:
            table = sql.Identifier("s", name)
            conn.execute(sql.SQL("create table {} (tenant text)").format(table))
        path = tmp_path / "policy.toml"
        path.write_text(POLICY.replace("somebody", role))
        printed = run("rls", path, "--dsn", scratch_dsn).stdout
        assert all(char.isprintable() or char == "\n" for char in printed)
        conn.execute(printed)
        assert conn.execute("select to_regnamespace('owned')").fetchone() == (None,)
        count = "select count(*) from pg_policy p join pg_description d on d.objoid = p.oid"
        assert conn.execute(count).fetchone() == (2 * len(NAMES),)
