"""A command line to try, and an audit log to read by it."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeAlias

import psycopg
import pytest
from click.testing import CliRunner, Result
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from tracewall.audit.log import FileLog
from tracewall.cli.commands import tracewall
from tracewall.events import Ended, Incident, What, Who
from tracewall.testing import TokenIssuer

Run: TypeAlias = Callable[..., Result]
HOSTILE = "\u00e9v\u0113\x1b]0;owned\x07\u202e\n\x1b[2J"


@pytest.fixture
def run() -> Run:
    """Run the command with arguments, as on a line that is no terminal."""

    def invoke(*arguments: object) -> Result:
        result = CliRunner().invoke(tracewall, [str(each) for each in arguments])
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    return invoke


def who(subject: str = "ann") -> Who:
    """Make a principal."""
    return Who(issuer="https://i.test", subject=subject, session="s", database="d", role="r")


def what(decision: str = "allowed", summary: str = "SELECT traces.runs") -> What:
    """Make a judged statement."""
    return What(
        summary=summary,
        text="SELECT $1",
        sha256="0" * 64,
        decision=decision,
        rule="grants.all",
        policy="p",
        masked={"0": "masks.keys"},
    )


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """A closed audit log: opened, two incidents, ten statements of which one is refused."""
    directory = tmp_path / "audit"
    with FileLog(directory) as kept:
        kept.incident(Incident(kind="policy_loaded", detail="a policy"))
        kept.incident(Incident(kind="token_rejected", detail=HOSTILE))
        for number in range(9):
            intent = kept.intent(who(), what())
            kept.outcome(intent, Ended(status="ok", rows=number, masked=1, seconds=0.0012))
        intent = kept.intent(who(HOSTILE), what("forbidden", HOSTILE))
        kept.outcome(intent, Ended(status="refused", sqlstate="42501"))
    return directory


@pytest.fixture
def buffered_log(tmp_path: Path) -> Path:
    """A closed audit log of two statements, one refused, that are one record each."""
    directory = tmp_path / "buffered"
    with FileLog(directory, durability="buffered") as kept:
        sent = kept.intent(who(), what())
        kept.outcome(sent, Ended(status="ok", rows=8, seconds=0.0012))
        refused = kept.intent(who(), what("forbidden", "DELETE traces.runs"))
        kept.outcome(refused, Ended(status="refused", seconds=0.0001))
    return directory


HOSTILE_ROLE = "o'dd\"\u202e; --"
SETUP = """
    CREATE SCHEMA shop; CREATE SCHEMA other;
    REVOKE CREATE ON SCHEMA public FROM PUBLIC;
    CREATE TABLE shop.people (id int, name text);
    CREATE TABLE other.things (id int);
    CREATE ROLE {role} LOGIN PASSWORD 'CANARY-pw' NOINHERIT;
    GRANT USAGE ON SCHEMA shop TO {role}; GRANT SELECT ON shop.people TO {role};
    ALTER ROLE {role} SET log_min_error_statement = 'panic';
    ALTER ROLE {role} SET log_statement = 'none';
"""
UNDO = """
    DROP SCHEMA IF EXISTS shop, other CASCADE; DROP EXTENSION IF EXISTS file_fdw, dblink CASCADE;
    DROP OWNED BY {role} CASCADE; DROP ROLE {role};
"""


class Place:
    """A healthy database, policy and role, and how to make each of them ill."""

    def __init__(self, run: Any, admin: str, home: Path) -> None:
        self.run, self.admin, self.home = run, admin, home
        self.role = f"{secrets.token_hex(4)}{HOSTILE_ROLE}"
        self.policy = home / "policy.toml"
        parts = conninfo_to_dict(admin) | {"user": self.role}
        self.conninfo = make_conninfo(**{k: v for k, v in parts.items() if k != "password"})
        TokenIssuer("https://issuer.test").write_jwks(home / "jwks.json")
        for file in ("jwks.json",):
            (home / file).chmod(0o600)
        self.write()

    def write(self, more: str = "") -> None:
        """Write the policy, with more in it."""
        text = f"""
version = 1
[database]
conninfo = {json.dumps(self.conninfo)}
password_env = "DOCTOR_PASSWORD"
[[issuers]]
issuer = "https://issuer.test"
audience = "a"
keys = "jwks.json"
[[grants]]
name = "read"
groups = ["a"]
actions = ["select"]
tables = ["shop.people"]
{more}"""
        self.policy.write_text(text, "utf-8")
        self.policy.chmod(0o600)

    def make(self, statement: str) -> None:
        """Execute as the superuser; ``{role}`` is the role's name."""
        with psycopg.connect(self.admin, autocommit=True) as conn:
            conn.execute(sql.SQL(statement).format(role=sql.Identifier(self.role)))

    def findings(self, *options: str, code: int | None = None) -> list[dict[str, Any]]:
        """Give what is found, as JSON."""
        result = self.run("doctor", self.policy, "--json", *options)
        assert result.stderr == "" and "CANARY" not in result.output
        told = json.loads(result.stdout)
        assert told["ok"] is (result.exit_code == 0)
        assert code is None or result.exit_code == code
        return list(told["findings"])

    def checks(self, *options: str) -> set[str]:
        """Give the names of what is found, but for notes."""
        return {f["check"] for f in self.findings(*options) if f["severity"] != "note"}


@pytest.fixture
def place(run: Any, module_dsn: str, tmp_path: Path, monkeypatch: Any) -> Iterator[Place]:
    """A place where nothing is wrong, in a database that a file of tests shares."""
    monkeypatch.setenv("DOCTOR_PASSWORD", "CANARY-pw")
    tmp_path.chmod(0o700)
    made = Place(run, module_dsn, tmp_path)
    made.make(SETUP)
    yield made
    made.make(UNDO)
