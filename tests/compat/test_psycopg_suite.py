"""psycopg's own suite, plainly and with tracewall's classes in psycopg's place.

Runs where ``--psycopg-checkout=FOLDER`` (with the equals sign, or pytest takes the folder for
tests of ours) names a checkout of psycopg, by the tag of the version that is installed.
"""

from __future__ import annotations

import runpy
from functools import partial
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
    begin = partial(_begin, run, scratch_dsn, tmp_path, Path(folder).resolve())
    plain, guarded = begin("plain", "tests"), begin("guarded", "tests", "-p", "swap")
    suspects = {case for case in lost(plain, guarded) if case.split("[")[0] not in DIFFERENT}
    if suspects:
        # On a busy machine some of them fail by chance, with psycopg too.
        places = sorted({_place(case) for case in suspects})
        suspects &= lost(plain, begin("guarded", *places, "-p", "swap"))
    assert suspects == set()
    assert sum(outcome == "passed" for outcome in guarded.values()) > 4_500


def _begin(
    run: Any, scratch_dsn: str, tmp_path: Path, checkout: Path, name: str, *arguments: str
) -> Any:
    """Run tests of the checkout in a database of their own, and give what came of them."""
    database = sql.Identifier(f"{name}_of_suite")
    with psycopg.connect(scratch_dsn, autocommit=True) as conn:
        conn.execute(sql.SQL("DROP DATABASE IF EXISTS {}").format(database))
        conn.execute(sql.SQL("CREATE DATABASE {}").format(database))
    dsn = make_conninfo(scratch_dsn, dbname=f"{name}_of_suite")
    line = [*OPTIONS, "-m", "not slow", "--test-dsn", dsn, "-o", f"cache_dir={tmp_path / name}"]
    return run(checkout, *line, *arguments, paths=(checkout,)).outcomes()


def _place(case: str) -> str:
    """Give the address of a test, without its parameters, by its name in a report."""
    module, _, test = case.partition("::")
    return f"{module.replace('.', '/')}.py::{test.split('[')[0]}"


def test_no_reason_is_empty() -> None:
    """Each difference says why it is one."""
    assert all(len(reason) > 30 for reason in DIFFERENT.values())
