"""Values to record, and scripts that run in a process of their own."""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeAlias
from urllib.parse import quote, urlencode

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

import tracewall.audit.log
from tracewall.audit.migration import migration
from tracewall.audit.postgres import PostgresLog
from tracewall.audit.verify import records
from tracewall.cli import main
from tracewall.events import Ended, What, Who

Started: TypeAlias = "subprocess.Popen[bytes]"

_HEAD = """
import os, sys, signal, threading, time
from tracewall.audit.log import FileLog
from tracewall.errors import AuditUnavailable
from tracewall.events import Ended, Incident, What, Who
who = Who(issuer="https://issuer.example", subject="ana", session="s1", database="d", role="r")
what = What(summary="SELECT t", text="SELECT ?", sha256="0" * 64, decision="allowed",
            rule="grants.a", policy="1" * 64)
ended = Ended(status="ok", rows=1)
"""


@pytest.fixture
def who() -> Who:
    return Who(issuer="https://issuer.example", subject="ana", session="s1", database="d", role="r")


@pytest.fixture
def what() -> What:
    return What(
        summary="SELECT traces.runs",
        text="SELECT id FROM traces.runs WHERE id = ?",
        sha256="0" * 64,
        decision="allowed",
        rule="grants.analysts",
        policy="1" * 64,
        relations={"traces.runs": ["select"]},
    )


@pytest.fixture
def ended() -> Ended:
    return Ended(status="ok", rows=1, seconds=0.25)


@pytest.fixture
def start() -> Callable[..., Started]:
    """Start a script in a new process; its arguments are in ``sys.argv[1:]``."""
    root = str(Path(tracewall.audit.log.__file__).parents[2])

    def started(script: str, *arguments: object) -> Started:
        return subprocess.Popen(
            [sys.executable, "-W", "error", "-c", _HEAD + script, *map(str, arguments)],
            env={**os.environ, "PYTHONPATH": root},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    return started


@pytest.fixture
def run(start: Callable[..., Started]) -> Callable[..., str]:
    """Run a script in a new process to its good end, and return what it printed."""

    def ran(script: str, *arguments: object) -> str:
        with start(script, *arguments) as process:
            output, errors = process.communicate(timeout=60)
        assert process.returncode == 0, errors.decode()
        return output.decode()

    return ran


class Place:
    """A database with a place for the log, its writer's login and its owner's."""

    def __init__(self, admin: str, role: str) -> None:
        self.admin, self.role = admin, role
        self.writer = make_conninfo(admin, user=role, password="pw")

    @property
    def uri(self) -> str:
        return self.uri_of(self.admin)

    def records(self, folder: Path) -> list[dict[str, Any]]:
        return list(records(self.fetched(folder)))

    def policy(self, folder: Path, keys: str = "") -> Path:
        """Write a policy that keeps its record here, and the password beside it."""
        (folder / "password").write_text("pw")
        path = folder / "policy.toml"
        path.write_text(
            f'version = 1\n[audit]\nconninfo = "{self.writer.replace(" password=pw", "")}"\n'
            f'password_file = "password"\n{keys}\n'
            '[[issuers]]\nname = "t"\nissuer = "https://t.test"\naudience = "a"\n'
            'keys = "jwks.json"\n'
            '[[grants]]\ngroups = ["g"]\nactions = ["select"]\ntables = ["s.*"]\n'
        )
        return path

    def uri_of(self, conninfo: str) -> str:
        """Give a login's connection string as a URI, as commands take it."""
        known = conninfo_to_dict(conninfo)
        rest = {key: value for key, value in known.items() if key not in ("host", "dbname")}
        host, name = quote(str(known["host"]), safe=""), known["dbname"]
        return f"postgresql:///{name}?host={host}&{urlencode(rest)}"

    def log(self, **options: Any) -> PostgresLog:
        return PostgresLog(self.writer, password=lambda: "pw", **options)

    def fetched(self, folder: Path) -> Path:
        folder.mkdir(exist_ok=True)
        assert main(["audit", "fetch", str(folder / "log"), "--conninfo", self.admin]) == 0
        return folder / "log"


@pytest.fixture
def place(scratch_dsn: str) -> Iterator[Place]:
    role = f"audit_{secrets.token_hex(4)}"
    with psycopg.connect(scratch_dsn, autocommit=True) as conn:
        conn.execute(f"create role {role} login password 'pw'")
        conn.execute(migration(role, "tracewall_audit"))
        yield Place(scratch_dsn, role)
        conn.execute(f"drop owned by {role}")
        conn.execute(f"drop role {role}")
