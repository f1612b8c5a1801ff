"""SQLAlchemy's compliance suite for dialects, on its own psycopg dialect and on ours.

With ``--compat-whole``, against PostgreSQL 18: on SQLAlchemy 2.1.9 1,804 pass and 79 are skipped
on either, on 2.0.58 1,488 pass, 77 are skipped and 95 fail on either, which ask for what 2.0
has not. Another version is taken from PYTHONPATH.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

sa = pytest.importorskip("sqlalchemy")

SUITE = Path(__file__).parent / "sqlalchemy_suite"
SPARED = "not test_get_multi"
"""Reflection of many tables at once in all combinations: half of the suite, of one kind."""

DIFFERENT: dict[str, str] = {}
"""Tests that pass with plain psycopg and not with tracewall, each with its reason."""


@pytest.fixture
def databases(admin_dsn: str, scratch_dsn: str) -> Iterator[tuple[str, str]]:
    """Two databases as the suite wants them."""
    second = conninfo_to_dict(scratch_dsn)["dbname"] + "_2"
    with psycopg.connect(admin_dsn, autocommit=True) as conn, ExitStack() as stack:
        conn.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(second)))
        drop = sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(second))
        stack.callback(conn.execute, drop)
        found = scratch_dsn, make_conninfo(scratch_dsn, dbname=second)
        for each in found:
            with psycopg.connect(each, autocommit=True) as made:
                made.execute("CREATE SCHEMA test_schema; CREATE SCHEMA test_schema_2")
                made.execute("CREATE EXTENSION IF NOT EXISTS hstore")
        yield found


def url(driver: str, conninfo: str) -> str:
    """Give SQLAlchemy's URL of a connection string."""
    parts: dict[str, Any] = conninfo_to_dict(conninfo)
    made = sa.URL.create(
        f"postgresql+{driver}",
        parts.pop("user", None),
        parts.pop("password", None),
        database=parts.pop("dbname"),
        query={name: str(value) for name, value in parts.items()},
    )
    return str(made.render_as_string(hide_password=False))


def test_the_same_passes(
    run: Any, lost: Any, databases: Any, request: pytest.FixtureRequest
) -> None:
    """Whatever of SQLAlchemy's suite passes with psycopg passes with tracewall."""
    options = ["-c", "/dev/null", "--rootdir", str(SUITE), "-p", "no:cacheprovider", "suite.py"]
    if not request.config.getoption("--compat-whole", default=False):
        options += ["-k", SPARED]
    plain, guarded = (
        run(SUITE, *options, "--dburi", url(driver, each))
        for driver, each in zip(("psycopg", "tracewall"), databases, strict=True)
    )
    expected, found = plain.outcomes(), guarded.outcomes()
    assert lost(expected, found) - DIFFERENT.keys() == set()
    # So that a suite that runs nothing is noticed.
    assert sum(outcome == "passed" for outcome in found.values()) > 900
