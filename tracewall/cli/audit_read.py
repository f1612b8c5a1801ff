"""``tracewall audit tail``, ``search``, ``export`` and ``erase``: reading the record, on record.

Each of them, where it reads a log's directory, keeps a record of that in the directory
``reads`` in it: a log of the same form, which ``tracewall audit verify`` proves.
"""

from __future__ import annotations

import csv
import getpass
import io
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

import click
from rich.text import Text

from tracewall.audit.follow import Follower, decoded, latest
from tracewall.audit.people import FILE, People, Person
from tracewall.audit.reads import filters_told, note
from tracewall.audit.record import plain as ascii_json
from tracewall.audit.search import Asked, found, part
from tracewall.audit.verify import records
from tracewall.cli.audit_database import (
    Following,
    PlaceOrFolder,
    database,
    erased,
    log_path,
    names,
    of_schema,
    present,
)
from tracewall.cli.audit_database import note as note_there
from tracewall.cli.entries import entry
from tracewall.cli.options import JSON, SINCE, UNTIL, json_option
from tracewall.cli.screen import Missing, console, either, plain
from tracewall.errors import AuditUnavailable
from tracewall.events import Incident

_POLL_SECONDS = 0.5


_FILTERS = [
    click.option("--who", default="", help="A subject or an actor; * stands for any text."),
    click.option("--table", default="", help="A relation, as schema.table; * for any text."),
    click.option("--column", default="", help="A column of it."),
    click.option("--rule", default="", help="A rule that decided or masked, as grants.read."),
    click.option("--decision", default="", help="allowed, asks or forbidden."),
    click.option("--status", default="", help="How it ended, as ok, error, refused or open."),
    click.option("--session", default="", help="The id of a guarded connection."),
    click.option("--kind", default="", help="A kind of incident, as token_rejected."),
    click.option("--statement", default="", help="The exact text of a statement."),
    SINCE,
    UNTIL,
]


def _filtered(command: Callable[..., None]) -> Callable[..., None]:
    for option in reversed(_FILTERS):
        command = option(command)
    return command


@click.command()
@log_path
@_filtered
@json_option("Print one JSON object for each.")
def search(path: Path, as_json: bool, **filters: Any) -> None:
    """Find statements and incidents in a log, each with how it ended.

    All filters must fit. One process's records come after another's, each in its order.
    Nothing is proved by it: see `verify`. Where the record has pseudonyms, names are shown as
    long as they are not erased.
    """
    present(path)
    people = _people(path)
    _on_record(path, "search", filters, people)
    out = console()
    for each in _found(path, filters, people):
        if as_json:
            plain(ascii_json(each).decode())
        else:
            out.print(_line(each), soft_wrap=True)


@click.command()
@log_path
@_filtered
@click.option(
    "--format",
    "form",
    type=click.Choice(["json", "csv"]),
    default="json",
    show_default=True,
    help="Lines of JSON, or comma separated values.",
)
@json_option("The same as --format json.")
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help="A new file.")
def export(path: Path, form: str, as_json: bool, out: Path | None, **filters: Any) -> None:
    """Write statements and incidents of a log for other programs; filters as of `search`."""
    form = "json" if as_json else form
    present(path)
    people = _people(path)
    _on_record(path, "export", filters, people)
    try:
        # Nobody's file is overwritten.
        with out.open("x", encoding="utf-8", newline="") if out else _stdout() as stream:
            _write(form, _found(path, filters, people), stream)
    except BrokenPipeError:
        raise
    except OSError as error:
        raise Missing(f"the export can't be written: {error.strerror}", str(out or "")) from None


@click.command()
@log_path
@click.option(
    "-n", "count", type=click.IntRange(min=0), default=10, show_default=True, help="How many."
)
@click.option("-f", "--follow", is_flag=True, help="Go on with those that come, until Ctrl-C.")
@json_option("Print one JSON object for each record.")
def tail(path: Path, count: int, follow: bool, as_json: bool) -> None:
    """Print the last records of a log, of all who write to it, oldest first.

    Nothing is proved by it.
    """
    if not follow:
        present(path)
    _on_record(path, "tail", {"follow": "yes" if follow else ""}, {})
    try:
        place = database()
        follower = (Following(place) if place else Follower(path)) if follow else None
        for record in latest(records(path), count):
            _print(record, as_json)
        while follower is not None:
            for each in follower.new():
                _print(decoded(each) if isinstance(each, bytes) else each, as_json)
            sys.stdout.flush()
            time.sleep(_POLL_SECONDS)
    except KeyboardInterrupt:
        return
    except BrokenPipeError:
        raise
    except OSError as error:
        raise Missing(
            f"the log can't be read: {error.strerror}", str(error.filename or "")
        ) from None


@click.command()
@click.argument("path", type=PlaceOrFolder())
@of_schema
@click.option("--subject", required=True, help="Whose data: the token's `sub`.")
@click.option("--issuer", default="", help="The token's `iss`; left out: any issuer's.")
@JSON
def erase(path: Path, subject: str, issuer: str, as_json: bool) -> None:
    """Make a person's records nobody's: forget which pseudonym is theirs.

    PATH is the log's directory, or the URI of its database by its owner's login. For a log
    with `erasable = true`. The records stay, and the chain with them; the person's pseudonym
    and salt are overwritten, so that nobody can tell any more who they were. Processes that
    know them go on under the old pseudonym for a minute at most.
    """
    place = database()
    try:
        gone = erased(place, subject, issuer) if place else People(path).erase(subject, issuer)
    except OSError as error:
        raise Missing(f"nothing is erased: {error}") from None
    if not gone:
        raise Missing("nobody of that name is in this log", "is it kept with erasable = true?")
    _note(path, Incident(kind="erased", detail=f"by {_user()}: {', '.join(gone)}"))
    either(as_json, {"erased": list(gone)}, f"erased: {', '.join(gone)}")


def _people(path: Path) -> dict[str, Person]:
    if place := database():
        return names(place)
    try:
        return People(path if path.is_dir() else path.parent).all()
    except OSError:
        raise Missing("the names can't be read", str(path / FILE)) from None


def _found(
    path: Path, filters: Mapping[str, Any], people: Mapping[str, Person]
) -> Iterator[dict[str, Any]]:
    try:
        for each in found(records(path), Asked(**filters), people):
            yield {**each, "kind": "statement"} if "ended" in each else each
    except OSError as error:
        raise Missing(
            f"the log can't be read: {error.strerror}", str(error.filename or "")
        ) from None


def _line(each: Mapping[str, Any]) -> Text:
    if "name" in each:
        return entry({**each, "who": {**part(each, "who"), "subject": each["name"]}})
    return entry(each)


def _print(record: Mapping[str, Any], as_json: bool) -> None:
    if as_json:
        plain(ascii_json(record).decode())
    else:
        console().print(entry(record), soft_wrap=True)


def _on_record(
    path: Path, command: str, filters: Mapping[str, Any], people: Mapping[str, Person]
) -> None:
    """Record that the record is read, and by which filters; whom by, as the record names them."""
    said = filters_told(filters, people)
    if path.is_dir() or database():
        _note(path, Incident(kind="audit_read", detail=f"{command} by {_user()}{said}"))


def _note(path: Path, incident: Incident) -> None:
    try:
        if place := database():
            note_there(place, incident)
        else:
            note(path, incident)
    except AuditUnavailable:
        click.echo("note: this reading is not recorded, for the log can't be written", err=True)


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return "?"


def _stdout() -> IO[str]:
    # A copy, so that closing it leaves standard output open.
    return open(sys.stdout.fileno(), "w", encoding="utf-8", newline="", closefd=False)


_COLUMNS = (
    "at writer n kind issuer subject name actor purpose session system database role transaction "
    "summary decision rule reason tables columns masked status sqlstate rows seconds text detail"
).split()


def _write(form: str, entries: Iterator[dict[str, Any]], stream: IO[str]) -> None:
    if form == "json":
        stream.writelines(ascii_json(each).decode() + "\n" for each in entries)
        return
    buffer = io.StringIO()
    rows = csv.writer(buffer, lineterminator="\r\n")
    rows.writerow(_COLUMNS)
    for each in entries:
        told = _flat(each)
        rows.writerow([_cell(told.get(column)) for column in _COLUMNS])
        stream.write(buffer.getvalue())
        buffer.seek(0)
        buffer.truncate()
    stream.write(buffer.getvalue())


def _flat(each: Mapping[str, Any]) -> dict[str, Any]:
    incident, what = part(each, "incident"), part(each, "what")
    columns, masked = part(what, "columns"), part(what, "masked")
    return {
        **each,
        **(part(each, "who") or part(incident, "who")),
        **what,
        **part(each, "ended"),
        "at": _moment(each["at"]),
        "kind": incident.get("kind") or each["kind"],
        "detail": incident.get("detail"),
        "tables": " ".join(part(what, "relations")),
        "columns": " ".join(
            f"{table}.{name}" for table in columns for name in _names(columns, table)
        ),
        "masked": " ".join(dict.fromkeys(map(str, masked.values()))),
    }


def _names(columns: Mapping[str, Any], table: str) -> list[Any]:
    names = columns[table]
    return names if isinstance(names, list) else []


def _moment(at: float) -> str:
    try:
        return datetime.fromtimestamp(at, UTC).isoformat()
    except (ValueError, OverflowError, OSError):
        return ""


def _cell(value: object) -> str:
    """Give a cell that no spreadsheet takes for a formula, and no terminal for a command."""
    try:
        text = "" if value is None else ascii_json(str(value)).decode()[1:-1].replace('\\"', '"')
    except ValueError:
        # Python does not spell out a number of thousands of digits.
        return "?"
    return f"'{text}" if text[:1] in "=+-@" and text[:1] and not _is_number(text) else text


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
