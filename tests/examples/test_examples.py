"""The shorter examples, each run as a reader would run it."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from importlib.resources import files
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
PLACE = str(Path(str(files("tracewall"))).parent)
REGISTERED = """
import runpy, sys
from sqlalchemy.dialects import registry
registry.register("postgresql.tracewall", "tracewall.sqlalchemy", "TracewallDialect")
runpy.run_path(sys.argv[1], run_name="__main__")
"""
"""Lets SQLAlchemy find the dialect where the package is not installed, but on the path."""

FASTAPI = """\
ana: GET 200 {'id': 1, 'name': 'Ada', 'email': 'a***@example.com'}
eve: GET 403 {'title': 'This is not for you', 'status': 403, 'rule': 'default', \
'detail': 'relation "people" does not exist or is not granted to you for select'}
ana: DELETE 403 {'title': 'This is not for you', 'status': 403, 'rule': 'default', \
'detail': 'relation "people" does not exist or is not granted to you for delete'}
root: DELETE 403 {'title': 'This has to be approved of first', 'status': 403, \
'rule': 'approvals.deleting', 'detail': 'people have to approve of this first'}
late: GET 401 Bearer realm="people", error="invalid_token", error_description="expired"
nobody: GET 401 Bearer realm="people"
"""
POOL = """\
staff: a***@example.com
support: ada@example.com
strangers: Forbidden
"""
ORM = """\
ana
  Ada a***@example.com [20, 5]
  Bob b***@example.org [42]
  refused by masks.emails
  not sold
sam
  Ada a***@example.com [20, 5]
  Bob b***@example.org [42]
  refused by masks.emails
  sold
"""
FAKE = """\
Hello Ada <a***@example.com>
Hello, whoever you are
failed with 57014
refused by default
3 statements arrived
"""


def shown_by(tmp_path: Path, *arguments: str, code: int = 0) -> str:
    """Run Python in an empty directory, which stays empty, and give what it prints."""
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": PLACE, "PYTHONWARNINGS": "error"},
        capture_output=True,
        text=True,
        timeout=180,
    )
    assert (done.returncode, done.stderr) == (code, "")
    assert list(tmp_path.iterdir()) == []
    return done.stdout


def needs(*modules: str) -> None:
    """Skip where an optional library is missing."""
    for module in modules:
        if importlib.util.find_spec(module) is None:
            pytest.skip(f"{module} is not installed")


def test_requests_act_under_their_own_tokens(tmp_path: Path) -> None:
    """FastAPI: masked rows, 401 with a challenge, 403 as problem documents."""
    needs("fastapi", "httpx2")
    assert shown_by(tmp_path, str(EXAMPLES / "fastapi_service.py")) == FASTAPI


def test_tasks_share_a_pool_and_no_rights(tmp_path: Path) -> None:
    """Sixty tasks of three kinds on two connections: each kind gets its own answer only."""
    assert shown_by(tmp_path, str(EXAMPLES / "asyncio_pool.py")) == POOL


def test_models_are_guarded(tmp_path: Path) -> None:
    """SQLAlchemy: masked attributes, lazy loads, refusals that leave the session whole."""
    needs("sqlalchemy")
    assert shown_by(tmp_path, "-c", REGISTERED, str(EXAMPLES / "sqlalchemy_orm.py")) == ORM


def test_code_is_tested_without_a_server(tmp_path: Path) -> None:
    """The fake backend: rows, none, an error, and a refusal that never arrives."""
    assert shown_by(tmp_path, str(EXAMPLES / "fake_backend.py")) == FAKE


def test_an_incident_is_replayed(tmp_path: Path) -> None:
    """The recording is proved, shown, and judged by a stricter policy."""
    told = shown_by(tmp_path, str(EXAMPLES / "replay.py"))
    assert re.search(r"^  2\S+  7 lines, closed, head [0-9a-f]{64}$", told, re.MULTILINE)
    assert "  Ada  | a***@example.com\n" in told
    assert '  forbidden by default: relation "people" does not exist' in told
    assert told.endswith(
        "    - allowed, masks email by masks.emails\n"
        "    + allowed, masks name by masks.names, email by masks.emails\n"
        "  2 statements judged, 1 would change\n"
    )


def test_an_agent_gets_useful_answers_and_no_secret(tmp_path: Path) -> None:
    """Each misuse is refused with its reason, people are asked, and the work gets done."""
    told = shown_by(tmp_path, str(EXAMPLES / "agent_sql_tool.py"))
    answers = dict(re.findall(r"^(\S.*)\n  > .*\n  < (.*)$", told, re.MULTILINE))
    done = {
        "reads what it should work on",
        "looks up the customer",
        "takes everything",
        "hides it in a union",
        "does its work after all",
    }
    assert len(answers) == 20
    assert {what for what, answer in answers.items() if '"error"' not in answer} == done
    assert all(re.search('"(rule|advice)": ', a) for w, a in answers.items() if w not in done)
    assert '"waits for people"' in answers["cleans up behind itself"]
    assert '"rule": "masks.secrets"' in answers["writes back what it was shown"]
    # Nothing tells a table that is not there from one that is not granted.
    assert (
        answers["tries another table"].replace("salaries", "salary")
        == (answers["tries one that is not there"])
    )
    assert set(re.findall(r"\[\w+\]", answers["hides it in a union"])) <= {"[redacted]"}
    for secret in ("sk-live-", "4111111111111111", "ada@example.com"):
        assert not any(secret in answer for answer in answers.values())
    assert told.endswith("20 statements, and none of 3 secrets was told\n")


def test_the_policy_tests_pass(tmp_path: Path) -> None:
    """By the command and by pytest, which collects the TOML and a test in Python.

    It needs none of the plugins that the project's own settings are for.
    """
    folder = str(EXAMPLES / "policy_tests")
    assert shown_by(tmp_path, "-m", "tracewall", "test", "-q", folder) == "8 passed, 0 failed\n"
    plugins = ["-p", "no:cacheprovider", "-p", "no:tracewall_trials", "-p", "no:asyncio"]
    line = ["-B", "-m", "pytest", "-q", *plugins, "-p", "tracewall.trials.plugin", folder]
    told = shown_by(tmp_path, *line)
    assert "9 passed" in told
