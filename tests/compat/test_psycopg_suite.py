"""psycopg's own suite, plainly and with tracewall's classes in psycopg's place.

Runs where ``--psycopg-checkout`` names a checkout of psycopg, by the tag of the version
that is installed.
"""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo

# Test folders are not on sys.path.
DIFFERENT: dict[str, str] = runpy.run_path(str(Path(__file__).parent / "psycopg_differences.py"))[
    "DIFFERENT"
]
OPTIONS = (
    # In the same order each time; a cursor that a failed test leaves behind fails no other.
    "-p no:randomly -W ignore::pytest.PytestUnraisableExceptionWarning"
).split()


def test_every_difference_is_explained(
    run: Any, lost: Any, scratch_dsn: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """What passes plainly passes guarded, but for what is listed with its reason."""
    folder = request.config.getoption("--psycopg-checkout", default=None)
    if not folder:
        pytest.skip("--psycopg-checkout names no checkout of psycopg")
    checkout = Path(folder).resolve()
    found = []
    for name, options in (("plain", []), ("guarded", ["-p", "swap"])):
        database = f"{name}_of_suite"
        with psycopg.connect(scratch_dsn, autocommit=True) as conn:
            conn.execute(sql.SQL("DROP DATABASE IF EXISTS {}").format(sql.Identifier(database)))
            conn.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(database)))
        dsn = make_conninfo(scratch_dsn, dbname=database)
        line = [*OPTIONS, *options, "-m", "not slow", "--test-dsn", dsn, "-o"]
        line += [f"cache_dir={tmp_path / name}", "tests"]
        found.append(run(checkout, *line, paths=(checkout,)).outcomes())
    unexplained = {case.split("[")[0] for case in lost(*found)} - DIFFERENT.keys()
    assert unexplained == set()
    assert sum(outcome == "passed" for outcome in found[1].values()) > 4_500


def test_no_reason_is_empty() -> None:
    """Each difference says why it is one."""
    assert all(len(reason) > 30 for reason in DIFFERENT.values())
