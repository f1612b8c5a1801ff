"""``tracewall catalog``: a database's catalog as a file, to judge by where there is no server."""

from __future__ import annotations

from pathlib import Path

import click

from tracewall.cli.live import answers
from tracewall.cli.options import json_option
from tracewall.cli.screen import Missing, answer, printable
from tracewall.sql.snapshot import dumps


@click.command()
@click.argument("dsn")
@click.option(
    "-o", "--output", type=click.Path(dir_okay=False, path_type=Path), help="The file to write."
)
@json_option("Print one JSON object on what was written.")
def catalog(dsn: str, output: Path | None, as_json: bool) -> None:
    """Write a snapshot of a database's catalog, as JSON.

    It is what tracewall knows of the database DSN: names of tables, columns, types,
    functions, views and their definitions, row policies, the database and the role; no row
    and no password. Log in as the wall's role, so that bare names mean what they mean to the
    wall. `tracewall test` and `tracewall diff` judge by it.
    """
    text = dumps(answers(dsn))
    if output is None:
        click.echo(printable(text.decode()), nl=False)
        return
    try:
        output.write_bytes(text)
    except OSError as error:
        raise Missing(f"{output} can't be written: {error.strerror}") from None
    if as_json:
        answer({"path": str(output), "bytes": len(text)})
