"""``tracewall audit``: prove an audit log, or read its last records."""

from __future__ import annotations

from collections import deque
from pathlib import Path

import click
import msgspec
from rich.text import Text

from tracewall.audit.record import Head
from tracewall.audit.record import plain as ascii_json
from tracewall.audit.verify import FileReport, Report, records
from tracewall.audit.verify import verify as verified
from tracewall.cli.entries import entry
from tracewall.cli.screen import Missing, Refused, console, plain, safe

_PATH = click.argument("path", type=click.Path(exists=True, path_type=Path))


class _Remembered(msgspec.Struct):
    """What an earlier run of ``verify --json`` printed, as far as it is needed."""

    heads: list[Head]


@click.group()
def audit() -> None:
    """Prove an audit log, or read it."""


@audit.command()
@_PATH
@click.option(
    "--heads",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="What an earlier `verify --json` printed: nothing of that may be missing now.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def verify(path: Path, heads: Path | None, as_json: bool) -> None:
    """Check that no record of a log was changed, moved, added or taken out.

    PATH is the log's directory, or one of its files. The exit code is 1 when something is
    wrong, and the first fault is printed. That the end of the newest file was cut off shows
    only with --heads: keep what --json prints where the log's writers can't write.
    """
    try:
        report = verified(path, head=_heads(heads))
    except OSError as error:
        raise Missing(f"the log can't be read: {error.strerror}", str(error.filename)) from None
    if as_json:
        plain(_json(report))
        raise click.exceptions.Exit(_code(report))
    _tell(report, path)


@audit.command()
@_PATH
@click.option(
    "-n", "count", type=click.IntRange(min=1), default=10, show_default=True, help="How many."
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object for each record.")
def tail(path: Path, count: int, as_json: bool) -> None:
    """Print the last records of a log, oldest first. Nothing is proved by it."""
    try:
        last = deque(records(path), maxlen=count)
    except OSError as error:
        raise Missing(f"the log can't be read: {error.strerror}", str(error.filename)) from None
    out = console()
    for record in last:
        if as_json:
            plain(ascii_json(record).decode())
        else:
            out.print(entry(record), soft_wrap=True)


def _heads(path: Path | None) -> list[Head]:
    if path is None:
        return []
    try:
        return msgspec.json.decode(path.read_bytes(), type=_Remembered).heads
    except (OSError, ValueError, RecursionError):
        raise Missing(f"{path} is not what `verify --json` prints") from None


def _code(report: Report) -> int:
    # Whoever deletes every file must not get away with it.
    return 0 if report.ok and report.files else 1


def _json(report: Report) -> str:
    heads = [file.head for file in report.files if file.head is not None]
    told = {
        "ok": _code(report) == 0,
        "records": report.records,
        "heads": heads,
        "files": [
            {"file": file.file, "ok": file.ok, "records": file.records, "closed": file.closed}
            | {"torn": file.torn, "open_intents": file.open_intents, "fault": file.fault}
            for file in report.files
        ],
    }
    return ascii_json(told).decode()


def _tell(report: Report, path: Path) -> None:
    """Say what holds; raise with the first fault."""
    out = console()
    for file in report.files:
        out.print(_line(file), soft_wrap=True)
    if not report.files:
        raise Refused(f"there is no audit log in {path}", "was it moved, or deleted?")
    faulty = [file for file in report.files if file.fault]
    if faulty and (fault := faulty[0].fault):
        where = f"{faulty[0].file}:{fault.line}" if fault.line else faulty[0].file
        more = f" ({len(faulty)} files have faults)" if len(faulty) > 1 else ""
        raise Refused(
            f"{where}: {fault.what}{more}",
            "records before that line hold; keep the file as it is, for it is evidence",
        )
    out.print(Text(f"{report.records} records hold together", "bold green"))


def _line(file: FileReport) -> Text:
    told = Text.assemble(
        ("ok    " if file.ok else "FAULT ", "green" if file.ok else "bold red"),
        f"{safe(file.file)}  {file.records} records",
    )
    if file.open_intents:
        told.append(f", {len(file.open_intents)} without an outcome", "yellow")
    if file.torn:
        told.append(f", {file.torn} bytes of an unfinished record at the end", "yellow")
    if not file.closed and file.ok:
        told.append(", not closed: in use, or its process died", "dim")
    return told
