"""A command line to try, and an audit log to read by it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import pytest
from click.testing import CliRunner, Result

from tracewall.audit.log import FileLog
from tracewall.cli.commands import tracewall
from tracewall.events import Ended, Incident, What, Who

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
