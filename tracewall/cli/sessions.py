"""``tracewall sessions``: look at recorded sessions, prove them, keep them, let them go."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import click
from rich.console import ConsoleDimensions
from rich.table import Table
from rich.text import Text

from tracewall.audit.verify import records
from tracewall.cli.groups import Group
from tracewall.cli.keeping import hold, prune, release, ship
from tracewall.cli.options import json_option
from tracewall.cli.rejudge import judge
from tracewall.cli.replay import replay, told
from tracewall.cli.screen import Missing, Refused, answer, console, safe, several
from tracewall.cli.tapes import (
    ID,
    KEY,
    PATH,
    every,
    keys,
    one,
    reading,
    reason,
    spelled,
    store,
    summed,
)
from tracewall.recording.course import Course
from tracewall.recording.page import page
from tracewall.recording.reader import Proof
from tracewall.recording.scenes import asciicast, scenes
from tracewall.recording.store import Entry, Store
from tracewall.recording.summary import Summary

# With a height, for a width alone does not count on terminals that are `dumb`.
_UNWRAPPED = ConsoleDimensions(10_000, 25)


@click.group(cls=Group)
def sessions() -> None:
    """Look at recorded sessions, prove them, keep them, let them go.

    PATH is the directory of the recordings, or a URL that fsspec knows. ID is a
    recording's, or the beginning of one.
    """


@sessions.command("list")
@PATH
@KEY
@click.option("--who", default="", help="Only sessions of this subject.")
@json_option("Print one JSON object for each session.")
def list_(path: str, key: Path | None, who: str, as_json: bool) -> None:
    """List recorded sessions, oldest first."""
    out, table = console(), Table(box=None, pad_edge=False)
    # A narrow terminal breaks lines better than a table does within columns of two letters.
    out.size = _UNWRAPPED
    for heading in ("id", "rule", "who", "began (UTC)", "seconds", "statements", "state"):
        table.add_column(heading, overflow="fold", no_wrap=heading == "id")
    for entry, session in _read(store(path), keys(key)):
        if who and session.header.get("subject") != who:
            continue
        if as_json:
            answer(_summary(entry, session))
            continue
        began = float(session.header.get("time") or 0)
        when = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(began)) if began else ""
        count = str(session.statements) if session.header else ""
        subject = session.who if session.header else ""
        row = (entry.id, entry.rule, subject, when, f"{session.length:.1f}", count)
        table.add_row(*map(safe, row), _state(entry, session.proof))
    if not as_json:
        out.print(table)


@sessions.command()
@PATH
@ID
@KEY
@click.option(
    "--rows",
    type=click.IntRange(min=0),
    default=50,
    show_default=True,
    help="The most rows of a statement.",
)
@json_option("Print its lines as they are, one JSON object each.")
def show(path: str, id: str, key: Path | None, rows: int, as_json: bool) -> None:
    """Print a session: its statements, decisions, rows and ends."""
    place, out = store(path), console()
    with reading(place, one(place, id), keys(key)) as lines:
        if as_json:
            _write(spelled(lines), None)
        else:
            for scene in scenes(Course(lines, rows)):
                told(out, scene)
    _complain(lines.proof)


@sessions.command()
@PATH
@click.argument("id", required=False, default="")
@KEY
@click.option(
    "--audit",
    type=click.Path(exists=True, path_type=Path),
    help="The audit log: each recording must end as it says. That the log itself holds is proved "
    "by `tracewall audit verify`.",
)
@json_option("Print one JSON object for each recording.")
def verify(path: str, id: str, key: Path | None, audit: Path | None, as_json: bool) -> None:
    """Check that recordings are what was written. The exit code is 1 when one is not."""
    out, faults, looked_at = console(), 0, 0
    ends = _ends(audit) if audit else {}
    for entry, session in _read(store(path), keys(key), id):
        proof, fault = session.proof, session.proof.fault
        known = ends.get(f"{entry.rule}/{entry.id}")
        if not fault and proof.closed and audit and known != (proof.lines, proof.head):
            fault = "the audit log does not have it end so"
        elif not fault and not proof.closed and known:
            fault = "its end was cut off"
        faults, looked_at = faults + bool(fault), looked_at + 1
        if as_json:
            answer(_proved(entry, proof, fault))
            continue
        style = "bold red" if fault else "green" if proof.closed else "yellow"
        state = safe(fault) or ("closed" if proof.closed else "not closed")
        where = f" (line {proof.line})" if proof.fault else ""
        told_ = f"{safe(entry.id)}  {proof.lines} lines, {state}{where}, head {proof.head}"
        out.print(Text(told_, style), soft_wrap=True)
    if not looked_at:
        raise Missing(f"there is no recording in {path}", "is it the policy's recording.directory?")
    if faults and as_json:
        raise click.exceptions.Exit(1)
    if faults:
        raise Refused(f"{several(faults, 'recording')}: not what was written")


@sessions.command()
@PATH
@ID
@KEY
@click.option(
    "--as",
    "form",
    type=click.Choice(["html", "cast", "json"]),
    default="html",
    show_default=True,
    help="A page for a browser, a recording for asciinema players, or the lines as they are.",
)
@click.option(
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    help="A new file, for its owner alone; without it: standard output.",
)
@click.option(
    "--rows",
    type=click.IntRange(min=0),
    default=200,
    show_default=True,
    help="The most rows of a statement on a page, or in a cast.",
)
@click.option(
    "--statements",
    type=click.IntRange(min=0),
    default=2000,
    show_default=True,
    help="The most statements on a page.",
)
@json_option("The same as --as json.")
def export(
    path: str,
    id: str,
    key: Path | None,
    form: str,
    out: Path | None,
    rows: int,
    statements: int,
    as_json: bool,
) -> None:
    """Write a session as one HTML page, as an asciicast, or as JSON lines.

    What is left out of a page is told on it. Of a damaged recording what stands before the
    damage is written, and the exit code is 1.
    """
    place, known, form = store(path), keys(key), "json" if as_json else form
    entry = one(place, id)
    whole = summed(place, entry, known) if form == "html" else None
    with reading(place, entry, known) as lines:
        texts: Iterable[str]
        if whole is not None:
            # What has been written since it was summed up is not on the page.
            course = Course(islice(lines, whole.proof.lines), rows)
            texts = page(whole, course, statements)
        elif form == "cast":
            texts = asciicast(Course(lines, rows))
        else:
            texts = spelled(lines)
        _write(texts, out)
    _complain(whole.proof if whole else lines.proof)


def _write(texts: Iterable[str], out: Path | None) -> None:
    if out is None:
        for text in texts:
            click.echo(text, nl=False)
        return
    try:
        # What a caller was shown is for whoever exports it alone: a file that is there already
        # may be everybody's to read, and a link may lead anywhere.
        fd = os.open(out, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with open(fd, "w", encoding="utf-8") as stream:
            stream.writelines(texts)
    except OSError as error:
        raise Missing(f"the file can't be written: {reason(error)}", str(out)) from None


for each in (replay, judge, hold, release, prune, ship):
    sessions.add_command(each)


def _read(place: Store, known: Sequence[Any], id: str = "") -> Iterator[tuple[Entry, Summary]]:
    for entry in every(place, id):
        yield entry, summed(place, entry, known)


def _complain(proof: Proof) -> None:
    if proof.fault:
        raise Refused(f"line {proof.line}: {proof.fault}", "what is above it holds")


def _state(entry: Entry, proof: Proof) -> Text:
    if proof.fault:
        state = Text(safe(proof.fault), "bold red")
    elif proof.closed:
        state = Text("closed", "green")
    else:
        state = Text("open" if entry.open else "not closed", "yellow")
    return state.append(", on hold", "bold") if entry.held else state


def _summary(entry: Entry, session: Summary) -> dict[str, Any]:
    header, proof = session.header, session.proof
    return {
        "id": entry.id,
        "rule": entry.rule,
        "subject": header.get("subject"),
        "issuer": header.get("issuer"),
        "time": header.get("time"),
        "seconds": session.length,
        "statements": session.statements,
        "closed": proof.closed,
        "open": entry.open,
        "held": entry.held,
        "fault": proof.fault,
        "size": entry.size,
        "head": proof.head,
    }


def _proved(entry: Entry, proof: Proof, fault: str) -> dict[str, object]:
    return {
        "id": entry.id,
        "rule": entry.rule,
        "lines": proof.lines,
        "head": proof.head,
        "closed": proof.closed,
        "fault": fault,
        "line": proof.line if proof.fault else 0,
    }


def _ends(path: Path) -> dict[str, tuple[int, str]]:
    """Give where the audit log has recordings end: lines and hash, by rule and id."""
    found: dict[str, tuple[int, str]] = {}
    for record in records(path):
        incident = record.get("incident")
        if isinstance(incident, dict) and incident.get("kind") == "recording_ended":
            name, _, rest = str(incident.get("detail", "")).partition(": ")
            lines, _, head = rest.partition(" lines, SHA-256 ")
            if lines.isdigit():
                found[name] = (int(lines), head)
    return found
