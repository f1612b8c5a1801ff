"""``tracewall audit migration`` and ``fetch``: a log that is kept in PostgreSQL."""

from __future__ import annotations

import os
import re
from pathlib import Path

import click
import psycopg
from psycopg import sql

from tracewall.audit.migration import migration as written
from tracewall.audit.postgres import SCHEMA
from tracewall.cli.screen import Missing, plain

_SCHEMA = click.option("--schema", default=SCHEMA, show_default=True, help="The log's schema.")
_WRITER = re.compile(r"[0-9TZ.]+-[0-9]+-[0-9a-f]+")


@click.command()
@click.option("--role", required=True, help="The role that the log logs in as.")
@_SCHEMA
def migration(role: str, schema: str) -> None:
    """Print the SQL that makes a place for the record in a database.

    Run it as another role than ROLE, which may append then, and neither read, change nor
    delete.
    """
    plain(written(role, schema))


@click.command()
@click.argument("path", type=click.Path(file_okay=False, path_type=Path))
@click.option("--conninfo", default="", help="A libpq connection string of who may read the log.")
@_SCHEMA
def fetch(path: Path, conninfo: str, schema: str) -> None:
    """Write the files of a log that is kept in PostgreSQL, for `verify` and `search`.

    PATH is a new directory.
    """
    query = sql.SQL("SELECT writer, line FROM {}.records ORDER BY writer, n").format(
        sql.Identifier(schema)
    )
    try:
        path.mkdir(mode=0o700)
        with psycopg.connect(conninfo) as conn, conn.cursor("tracewall_fetch") as cursor:
            count = sum(_kept(path, *row) for row in cursor.execute(query))
    except psycopg.Error as error:
        raise Missing(f"the log can't be read: {str(error).strip()}") from None
    except OSError as error:
        raise Missing(f"the log can't be written: {error.strerror}", str(path)) from None
    plain(f"{count} records")


def _kept(path: Path, writer: str, line: str) -> int:
    if not _WRITER.fullmatch(writer):
        # A name that leads elsewhere must not become a file.
        raise Missing("the log names a writer as tracewall does not")
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT
    with open(os.open(path / f"{writer}.jsonl", flags, 0o600), "w", encoding="utf-8") as stream:
        stream.write(line + "\n")
    return 1
