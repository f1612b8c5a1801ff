"""``tracewall scan``: which columns hold what detectors find, and which masks would do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import click
import psycopg
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from tracewall.cli.live import TIMEOUT, sealed, unanswered
from tracewall.cli.options import JSON
from tracewall.cli.screen import Missing, answer, plain, safe
from tracewall.cli.survey import Column, Table, proposed, survey, tables
from tracewall.masking.detectors import Detectors, DetectorsUnavailable, detectors


@dataclass(frozen=True)
class Seen:
    """What was looked at, and which tables could not be."""

    columns: list[Column] = field(default_factory=list)
    skipped: dict[str, str] = field(default_factory=dict)
    tables: int = 0


@click.command()
@click.argument("dsn")
@click.option("--rows", default=1000, show_default=True, help="The most rows of one table.",
              type=click.IntRange(1, 1_000_000))  # fmt: skip
@click.option("--seconds", default=10.0, show_default=True, help="The longest time for a table.",
              type=click.FloatRange(0.1, 3600))  # fmt: skip
@click.option(
    "--schema", "schemas", multiple=True, help="Look at this schema only; may be repeated."
)
@JSON
def scan(dsn: str, rows: int, seconds: float, schemas: Sequence[str], as_json: bool) -> None:
    """Sample a database's tables and propose masks.

    DSN is a libpq connection string or URI. Detectors look at the sample. Nothing is written,
    and no value is printed: the masks and scans come as TOML for a policy, with counts above
    each. The exit code is 0 where nothing was found, 1 where something was.
    """
    try:
        finder = detectors(("*",))
    except DetectorsUnavailable as error:
        raise Missing(str(error)) from None
    try:
        with psycopg.connect(dsn, connect_timeout=TIMEOUT, autocommit=True) as conn:
            sealed(conn)
            conn.execute("SELECT set_config('statement_timeout', %s, false)", (
                f"{round(seconds * 1000)}ms",))  # fmt: skip
            seen = look(conn, finder, rows, schemas)
    except psycopg.Error as error:
        raise unanswered(error) from None
    rules = list(proposed(seen.columns))
    _tell(seen, rules, as_json)
    raise click.exceptions.Exit(1 if rules else 0)


def look(conn: psycopg.Connection, finder: Detectors, rows: int, schemas: Sequence[str]) -> Seen:
    """Sample the tables of a database, with a progress bar. Raises psycopg.Error when cut off."""
    chosen = [table for table in tables(conn) if not schemas or table.schema in schemas]
    seen = Seen(tables=len(chosen))
    out = Console(stderr=True, highlight=False)
    layout = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*layout, console=out, transient=True, disable=not out.is_terminal) as progress:
        task = progress.add_task("tables", total=len(chosen))
        for table in chosen:
            progress.update(task, description=safe(table.qualified)[:40])
            _look_at(conn, table, finder, rows, seen)
            progress.advance(task)
    return seen


def _look_at(
    conn: psycopg.Connection, table: Table, finder: Detectors, rows: int, seen: Seen
) -> None:
    if table.lively:
        seen.skipped[table.qualified] = "FunctionsOfUsers"
        return
    try:
        seen.columns.extend(survey(conn, table, finder, rows))
    except psycopg.OperationalError as error:
        if conn.closed:
            raise
        seen.skipped[table.qualified] = type(error).__name__
    except psycopg.Error as error:
        # Its message could quote a value.
        seen.skipped[table.qualified] = type(error).__name__


def _tell(seen: Seen, rules: list[str], as_json: bool) -> None:
    if as_json:
        answer(_told(seen, rules))
        return
    for rule in rules:
        plain(f"{rule}\n")
    looked = len(seen.columns)
    plain(
        f"# {looked} columns of {seen.tables} tables looked at, {len(rules)} with something in them"
    )
    for name, problem in seen.skipped.items():
        plain(f"# not looked at: {safe(name)} ({problem})")


def _told(seen: Seen, rules: list[str]) -> dict[str, object]:
    found = [
        {
            "column": f"{column.table}.{column.name}",
            "type": column.type,
            "values": column.values,
            "whole": column.whole,
            "telling_name": column.telling,
            "found": dict(column.found),
        }
        for column in seen.columns
        if column.found or column.telling
    ]
    return {
        "tables": seen.tables,
        "columns": len(seen.columns),
        "found": found,
        "skipped": seen.skipped,
        "toml": "\n\n".join(rules),
    }
