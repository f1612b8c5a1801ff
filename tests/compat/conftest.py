"""How the suites of others are run: twice, with plain psycopg and guarded, each in a process.

- ``--compat-whole``: all of SQLAlchemy's compliance suite, not only what takes seconds.
- ``--psycopg-checkout=FOLDER``: psycopg's own suite, from a checkout of the tag of the
  version that is installed. It needs what psycopg's ``test`` extra installs.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

import tracewall

HERE = Path(__file__).parent
collect_ignore = ["sqlalchemy_suite"]


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the two options."""
    group = parser.getgroup("compat")
    group.addoption("--compat-whole", action="store_true", help="run suites of others whole")
    group.addoption("--psycopg-checkout", metavar="FOLDER", help="run psycopg's own suite of tests")


class Run:
    """A run of pytest in a process of its own, in the folder of a suite."""

    def __init__(self, report: Path, folder: Path, *arguments: str, paths: tuple[Path, ...] = ()):
        installed = Path(str(tracewall.__file__)).parents[1]
        # What stands there already may be another version of what the suite is of.
        given = filter(None, [os.environ.get("PYTHONPATH")])
        environment = os.environ | {
            "PYTHONPATH": os.pathsep.join([*given, *map(str, (installed, HERE, *paths))])
        }
        # The suites' modules are found beside them.
        environment.pop("PYTHONSAFEPATH", None)
        line = [sys.executable, "-m", "pytest", "-q", "-p", "no:asyncio", "-p", "no:tracewall"]
        line += [f"--junitxml={report}", "--tb=line", *arguments]
        self._report = report
        self._process = subprocess.Popen(
            line,
            cwd=folder,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def outcomes(self) -> Mapping[str, str]:
        """Wait for its end, and give what came of each test: passed, failed, error or skipped."""
        told, _ = self._process.communicate()
        assert self._report.exists(), told[-3000:]
        cases = ElementTree.parse(self._report).iter("testcase")
        found = {f"{case.get('classname')}::{case.get('name')}": _outcome(case) for case in cases}
        assert found, told[-3000:]
        return found

    def end(self) -> None:
        """End it if it still runs."""
        if self._process.poll() is None:
            self._process.kill()
            self._process.communicate()


def _outcome(case: ElementTree.Element) -> str:
    told = {"failure": "failed", "error": "error", "skipped": "skipped"}
    return next((told[part.tag] for part in case if part.tag in told), "passed")


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Any]:
    """Give the function that begins a run; what runs at the end of the test is ended."""
    begun: list[Run] = []

    def begin(folder: Path, *arguments: str, paths: tuple[Path, ...] = ()) -> Run:
        begun.append(Run(tmp_path / f"{len(begun)}.xml", folder, *arguments, paths=paths))
        return begun[-1]

    yield begin
    for each in begun:
        each.end()


def passes(outcomes: Mapping[str, str]) -> set[str]:
    """Give the names of the tests that passed."""
    return {name for name, outcome in outcomes.items() if outcome == "passed"}


@pytest.fixture
def lost() -> Any:
    """Give the function that names what passes plainly, and not guarded."""

    def compare(plain: Mapping[str, str], guarded: Mapping[str, str]) -> set[str]:
        return passes(plain) - passes(guarded)

    return compare
