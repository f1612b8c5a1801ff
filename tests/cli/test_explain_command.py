"""``tracewall explain``: the decision on a statement that is never sent."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import psycopg
import pytest

POLICY = """
version = 1
[limits]
rows = 50
[[grants]]
name = "readers"
groups = ["analysts"]
actions = ["select"]
tables = ["traces.runs", "traces.steps"]
[[grants]]
name = "free"
groups = ["owners"]
actions = ["ddl"]
[[masks]]
name = "models"
columns = ["traces.runs.agent_name"]
method = "redact"
"""


@pytest.fixture
def told(run: Any, store: Any, tmp_path: Path) -> Any:
    """Explain a statement over the sample store to the members of some groups."""
    path = tmp_path / "policy.toml"
    with psycopg.connect(store.admin_dsn) as conn:
        found = conn.execute(
            "SELECT column_name FROM information_schema.columns"
            " WHERE table_name = 'runs' AND data_type = 'text'"
        ).fetchall()
    text = POLICY.replace("agent_name", found[0][0])

    def explained(sql: str, *options: str, groups: str = "analysts", policy: str = text) -> Any:
        path.write_text(policy, "utf-8")
        dsn = store.admin_dsn
        line = ("--config", path, "--dsn", dsn, "--groups", groups, *options)
        return run("explain", *line, sql.replace("TEXT", found[0][0]))

    return explained


def test_an_allowed_statement_is_told_as_a_tree(told: Any) -> None:
    """Exit code 0, and the rule, what is touched, each column with its mask and lineage."""
    result = told("SELECT TEXT AS shown, 1 AS one FROM traces.runs")
    lines = [line.strip("├└─│ ") for line in result.stdout.splitlines()]
    assert (result.exit_code, lines[0]) == (0, "allowed by grants.readers")
    assert "traces.runs: select" in lines
    assert "column 1 shown: redact by masks.models" in lines
    assert "column 2 one: clear" in lines
    assert any(line.startswith("traces.runs.") and line.endswith("(exact)") for line in lines)
    assert "at most 50 rows" in lines


def test_a_refused_statement_is_told_why(told: Any) -> None:
    """Exit code 1, with reason and hint; so it is for what is in no group's rights."""
    result = told("DELETE FROM traces.runs")
    assert result.exit_code == 1
    assert "forbidden by default" in result.stdout
    assert "reason: relation" in result.stdout
    assert told("SELECT id FROM traces.runs", groups="").exit_code == 1


def test_a_program_is_told_all(told: Any) -> None:
    """With --json there is one object, with the lineage of each column."""
    result = told("SELECT TEXT FROM traces.runs", "--json", groups=" analysts , others")
    found = json.loads(result.stdout)
    assert (found["outcome"], found["rule"]) == ("allowed", "grants.readers")
    (column,) = found["columns"]
    assert (column["shows"], column["rule"]) == ("redact", "masks.models")
    assert column["lineage"][0]["how"] == "exact"
    assert found["row_limit"] == 50


def test_nothing_is_sent(told: Any, store: Any) -> None:
    """A statement that would write is explained, and has not written."""
    policy = 'version = 1\n[[grants]]\ngroups = ["o"]\nactions = ["ddl"]\n'
    result = told("CREATE TABLE traces.explained ()", groups="o", policy=policy)
    assert result.exit_code == 0
    assert "not followed" in result.stdout
    with psycopg.connect(store.admin_dsn) as conn:
        found = conn.execute("SELECT to_regclass('traces.explained')").fetchone()
    assert found == (None,)


def test_a_policy_at_fault_is_told(told: Any) -> None:
    """A policy that does not load, or does not fit the database, is exit code 2 with its place."""
    broken = told("SELECT 1", policy="version = 2")
    assert (broken.exit_code, "policy.toml:1:11" in broken.stderr) == (2, True)
    misfit = told("SELECT 1", policy=POLICY.replace("traces.steps", "traces.stepz"))
    assert (misfit.exit_code, "did you mean 'traces.steps'?" in misfit.stderr) == (2, True)


def test_no_database_is_told(run: Any, tmp_path: Path) -> None:
    """A server out of reach is exit code 3."""
    (tmp_path / "p.toml").write_text("version = 1", "utf-8")
    dsn = "host=/nowhere dbname=x"
    result = run("explain", "--config", tmp_path / "p.toml", "--dsn", dsn, "SELECT 1")
    assert result.exit_code == 3


def test_the_planner_is_asked_only_when_told_to(told: Any, store: Any) -> None:
    """--estimate adds the planner's guess, for changes too; without it nothing is planned."""
    sql = "SELECT TEXT FROM traces.runs"
    with psycopg.connect(store.admin_dsn, autocommit=True) as conn:
        conn.execute("ANALYZE traces.runs")
        (rows,) = conn.execute("SELECT count(*) FROM traces.runs").fetchone() or (0,)
    assert json.loads(told(sql, "--json").stdout)["rows_estimate"] is None
    assert json.loads(told(sql, "--json", "--estimate").stdout)["rows_estimate"] == rows
    assert f"about {rows} rows, by the server's planner" in told(sql, "--estimate").stdout
    changing = POLICY.replace('["select"]', '["select", "update"]').replace(
        "agent_name", "user_email"
    )
    update = "UPDATE traces.runs SET status = status WHERE started_at IS NOT NULL"
    found = json.loads(told(update, "--json", "--estimate", policy=changing).stdout)
    assert found["outcome"] == "allowed" and found["rows_estimate"] > 0
    one = told("SELECT id FROM traces.runs WHERE id = $1", "--json", "--estimate")
    assert json.loads(one.stdout)["rows_estimate"] in (1, None)


def test_what_is_forbidden_is_never_planned(told: Any) -> None:
    """A statement that planning alone would let do something is not sent."""
    result = told("SELECT pg_sleep(100)", "--estimate")
    assert (result.exit_code, "no estimate" in result.stdout) == (1, True)


def test_who_acts_for_the_caller_counts(told: Any) -> None:
    """--actor: what both may, is allowed."""
    sql = "SELECT TEXT FROM traces.runs"
    assert told(sql, "--actor", "analysts, others").exit_code == 0
    assert told(sql, "--actor", "others").exit_code == 1


def test_a_statement_that_is_no_text_is_told(told: Any) -> None:
    """Bytes that are no UTF-8 are unreadable, and no traceback."""
    result = told("SELECT '\udcff'")
    assert (result.exit_code, "forbidden by unreadable" in result.stdout) == (1, True)
