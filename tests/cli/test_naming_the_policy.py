"""The policy is named in one way everywhere."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

ARGUMENT = {
    "check": [],
    "doctor": [],
    "grants": ["--dsn", "host=/none", "--role", "r"],
    "rls": ["--dsn", "host=/none"],
}
ANY = ARGUMENT | {
    "explain": ["SELECT 1", "--dsn", "host=/none"],
    "console": [],
    "approvals list": [],
    "approvals show": ["apr_1"],
    "approvals watch": [],
    "approvals prune": [],
    "approvals approve": ["apr_1"],
    "approvals deny": ["apr_1"],
    "approvals review": ["apr_1"],
    "approvals revoke": ["apr_1"],
    "audit prune": [],
    "sessions prune": ["."],
    "sessions judge": [".", "--dsn", "host=/none"],
}


@pytest.fixture(autouse=True)
def _unnamed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TRACEWALL_CONFIG", raising=False)


@pytest.fixture
def broken(tmp_path: Path) -> Path:
    """A policy by whose complaint is seen that it was read."""
    path = tmp_path / "mine.toml"
    path.write_text("version = 9", "utf-8")
    return path


@pytest.mark.parametrize("command", ANY)
def test_a_policy_is_named_by_option_or_environment(
    run: Any, broken: Path, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    """--config and TRACEWALL_CONFIG name it to every command, and the option goes first."""
    line = [*command.split(), *ANY[command]]
    code = 1 if command == "check" else 2
    result = run(*line, "--config", broken)
    assert (result.exit_code, "mine.toml:1:" in result.stderr) == (code, True)
    monkeypatch.setenv("TRACEWALL_CONFIG", str(broken))
    result = run(*line)
    assert (result.exit_code, "mine.toml:1:" in result.stderr) == (code, True)
    result = run(*line, "--config", "other.toml")
    assert (result.exit_code, "other.toml" in result.stderr) == (2, True)


@pytest.mark.parametrize("command", ANY)
def test_without_a_policy_it_is_told_how_to_name_one(run: Any, command: str) -> None:
    """The same sentence everywhere, and exit code 2."""
    result = run(*command.split(), *ANY[command])
    assert result.exit_code == 2
    assert result.stderr == (
        "error: no policy is named\n  help: name its file by --config, or by TRACEWALL_CONFIG\n"
    )


@pytest.mark.parametrize("command", ARGUMENT)
def test_a_command_about_a_policy_takes_it_as_its_argument(
    run: Any, broken: Path, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    """The argument goes before the environment; two names at once are one too many."""
    monkeypatch.setenv("TRACEWALL_CONFIG", "other.toml")
    result = run(command, *ARGUMENT[command], broken)
    assert "mine.toml:1:" in result.stderr
    result = run(command, *ARGUMENT[command], broken, "--config", "other.toml")
    assert (result.exit_code, "named twice" in result.stderr) == (2, True)


def test_the_old_policy_of_a_comparison_may_be_the_one_in_use(
    run: Any, broken: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, admin_dsn: str
) -> None:
    """`diff NEW` compares with --config or TRACEWALL_CONFIG; `diff OLD NEW` with neither."""
    new = tmp_path / "new.toml"
    new.write_text("version = 1", "utf-8")
    assert run("diff", new, "--dsn", admin_dsn).exit_code == 2
    assert "mine.toml:1:" in run("diff", new, "--config", broken, "--dsn", admin_dsn).stderr
    monkeypatch.setenv("TRACEWALL_CONFIG", str(broken))
    assert "mine.toml:1:" in run("diff", new, "--dsn", admin_dsn).stderr
    assert run("diff", new, new, "--dsn", admin_dsn).exit_code == 0
    assert run("diff", new, new, "--config", new, "--dsn", admin_dsn).exit_code == 2
    assert run("diff", new, new, new, "--dsn", admin_dsn).exit_code == 2


def test_the_other_name_of_a_judging_policy_stays(run: Any, broken: Path) -> None:
    """`sessions judge --policy` is the same as --config."""
    result = run("sessions", "judge", ".", "--policy", broken, "--dsn", "host=/none")
    assert "mine.toml:1:" in result.stderr


@pytest.mark.parametrize("command", ["explain", "grants", "rls", "doctor", "sessions judge"])
def test_without_a_dsn_the_database_is_the_policys_own(
    run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    """It is logged in to as the wall does; where the policy names none, that is told."""
    for variable in ("PGHOST", "PGHOSTADDR", "PGDATABASE", "PGSERVICE"):
        monkeypatch.delenv(variable, raising=False)
    more = {"explain": ["SELECT 1"], "grants": ["--role", "r"], "sessions judge": ["."]}
    path = tmp_path / "p.toml"
    line = [*command.split(), *more.get(command, []), "--config", path]
    path.write_text("version = 1", "utf-8")
    result = run(*line)
    assert (result.exit_code, "no database is named" in result.stderr) == (2, True)
    path.write_text('version = 1\n[database]\nconninfo = "host=/of-policy dbname=d"\n', "utf-8")
    result = run(*line)
    assert (result.exit_code, "/of-policy/" in result.stderr) == (3, True)
    result = run(*line, "--dsn", "host=/another dbname=d")
    assert (result.exit_code, "/another/" in result.stderr) == (3, True)
