"""The reference of the command line says what the commands say."""

from __future__ import annotations

import inspect
import json
import re
from pathlib import Path
from typing import Any

import cli_reference
import click
import psycopg
import pytest
from click.testing import CliRunner

import tracewall as tracewall_package
from tracewall.cli import doctor_here, doctor_keys, doctor_reach, doctor_role, doctor_server
from tracewall.cli.commands import tracewall
from tracewall.policy.model import Decision
from tracewall.trials.differences import Difference
from tracewall.trials.run import Mismatch, Result
from tracewall.trials.shown import as_json
from tracewall.trials.watched import Watched

POLICY = """
version = 1
[[grants]]
groups = ["a"]
actions = ["select"]
tables = ["pg_catalog.pg_class"]
"""


def test_every_command_is_told_as_its_help_says() -> None:
    """Each command, its options and defaults; `python tools/cli_reference.py` writes them."""
    assert cli_reference.main(["--check"]) == 0


def test_every_command_has_help() -> None:
    """--help works everywhere, and every option says what it does."""
    for name, command in cli_reference.commands():
        result = CliRunner().invoke(tracewall, [*name.split()[1:], "--help"])
        assert result.exit_code == 0 and command.help, name
        options = [each for each in command.params if isinstance(each, click.Option)]
        assert all(option.help for option in options), name


def keys(pages: Any, heading: str, *, inside: bool = False) -> set[str]:
    """Give the keys of the table under a heading of the page, and of the objects inside."""
    page = pages["docs/reference/cli.md"].text
    section = page.partition(f"### {heading}\n")[2].partition("\n#")[0].partition("\n\n| Check")[0]
    first = r"^\| (`.*? \| .*?) \|" if inside else r"^\| (`.*?) \|"
    rows = re.findall(first, section, re.MULTILINE)
    return {name for row in rows for name in re.findall(r"`(\w+)`", row)}


@pytest.mark.parametrize("text", [POLICY, "version = 2"])
def test_the_json_of_check_is_as_told(
    pages: Any, admin_dsn: str, tmp_path: Path, text: str
) -> None:
    """Of a policy that can be read, and of one that can't."""
    path = tmp_path / "p.toml"
    path.write_text(text, "utf-8")
    result = CliRunner().invoke(tracewall, ["check", str(path), "--dsn", admin_dsn, "--json"])
    told = json.loads(result.stdout)
    assert told.keys() <= keys(pages, "JSON of check")
    for found in told["findings"]:
        assert found.keys() == keys(pages, "Findings")


def test_the_json_of_explain_is_as_told(pages: Any, admin_dsn: str, tmp_path: Path) -> None:
    """Key for key."""
    path = tmp_path / "p.toml"
    path.write_text(POLICY, "utf-8")
    line = ["explain", "SELECT relname FROM pg_class", "--config", str(path), "--dsn", admin_dsn]
    told = json.loads(CliRunner().invoke(tracewall, [*line, "--groups", "a", "--json"]).stdout)
    (column,) = told["columns"]
    (source,) = column["lineage"]
    found = told.keys() | column.keys() | source.keys()
    assert found == keys(pages, "JSON of explain", inside=True)


def test_the_json_of_grants_is_as_told(pages: Any, admin_dsn: str, tmp_path: Path) -> None:
    """Key for key, those of a privilege too."""
    path = tmp_path / "p.toml"
    path.write_text(POLICY, "utf-8")
    line = ["grants", str(path), "--dsn", admin_dsn, "--role", "x", "--json"]
    told = json.loads(CliRunner().invoke(tracewall, line).stdout)
    found = told.keys() | {key for privilege in told["needs"] for key in privilege}
    assert found == keys(pages, "JSON of grants", inside=True)


def test_the_json_of_tests_and_differences_is_as_told(pages: Any) -> None:
    """The keys of a test's result and of a difference are those of their tables."""
    group = Watched("would_ask", "x").as_json()
    assert keys(pages, "JSON of shadow report") == group.keys()
    assert keys(pages, "JSON of diff") == {*Difference._fields, "loosens", "times"}
    decision = Decision("allowed", "grants.all")
    mismatch = Mismatch("rule", "a", "b", 1, 1)
    result = as_json(Result("x", "ana", decision, (mismatch,), 1, 0.1), "x.toml")
    assert keys(pages, "JSON of test") == result.keys()


def test_the_json_and_the_checks_of_doctor_are_as_told(
    pages: Any, admin_dsn: str, tmp_path: Path
) -> None:
    """Key for key; and the page has every check that the code can find, and no other."""
    path = tmp_path / "p.toml"
    path.write_text(POLICY, "utf-8")
    line = ["doctor", str(path), "--dsn", admin_dsn, "--json"]
    told = json.loads(CliRunner().invoke(tracewall, line).stdout)
    assert told.keys() == keys(pages, "JSON of doctor")
    page = pages["docs/reference/cli.md"].text.partition("### JSON of doctor")[2]
    groups = "role|server|install|keys|files|audit|recording|approvals|console"
    section = page.partition("### JSON of grants")[0]
    listed = set(re.findall(rf"`((?:{groups})\.[\w-]+)`", section))
    found = set()
    for module in (doctor_role, doctor_server, doctor_here, doctor_keys, doctor_reach):
        source = inspect.getsource(module)
        found |= set(re.findall(r'Finding\(\s*"([\w.-]+)"', source))
        for made in re.findall(r'Finding\(\s*f"\{check\}\.([\w-]+)"', source):
            found |= {f"{check}.{made}" for check in ("audit", "recording")}
        found |= set(re.findall(r'^        \("([\w.-]+)", ', source, re.MULTILINE))
        found |= set(re.findall(r'yield "([\w.-]+)"', source))
    found |= {f"role.{power}" for power in doctor_role.POWERS} | {"approvals.mode"}
    found |= {"audit.store", "approvals.store", "recording.url"}
    assert listed == found


def test_the_json_of_init_is_as_told(pages: Any, scratch_dsn: str) -> None:
    """Key for key, those of what is hidden and of tenants too."""
    with psycopg.connect(scratch_dsn) as conn:
        conn.execute("CREATE TABLE a (tenant_id int, email text); CREATE TABLE b (tenant_id int)")
    line = ["init", scratch_dsn, "--out", "-", "--yes", "--json"]
    told = json.loads(CliRunner().invoke(tracewall, line).stdout)
    found = told.keys() | told["hidden"][0].keys() | told["tenants"][0].keys()
    assert found == keys(pages, "JSON of init", inside=True)


def test_every_variable_of_our_own_is_told(pages: Any) -> None:
    """The page has each name that the code reads by itself, and no other."""
    page = pages["docs/reference/cli.md"].text.partition("## Environment variables\n")[2]
    told = set(re.findall(r"^\| `(TRACEWALL_\w+)`", page.partition("\n## ")[0], re.MULTILINE))
    package = Path(str(tracewall_package.__file__)).parent
    sources = (path.read_text("utf-8") for path in package.rglob("*.py"))
    read = {name for source in sources for name in re.findall(r'"(TRACEWALL_[A-Z_]+)"', source)}
    # What `tracewall init` writes into a policy, and the demo's own policy names.
    named = {"TRACEWALL_DB_PASSWORD", "TRACEWALL_AUDIT_KEY", "TRACEWALL_DEMO_PASSWORD"}
    assert told == read - named
