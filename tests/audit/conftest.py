"""Values to record, and scripts that run in a process of their own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import pytest

import tracewall.audit.log
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
