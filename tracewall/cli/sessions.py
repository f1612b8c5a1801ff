"""``tracewall sessions``: look at recorded sessions, prove them, keep them, let them go."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import click
from rich.table import Table
from rich.text import Text

from tracewall.audit.verify import records
from tracewall.cli.options import json_option, policy_option
from tracewall.cli.reading import read
from tracewall.cli.rejudge import judge
from tracewall.cli.replay import replay, told
from tracewall.cli.screen import Missing, Refused, answer, console, plain, safe
from tracewall.cli.tapes import KEY, PATH, every, keys, lines, loaded, one, store
from tracewall.recording.page import page
from tracewall.recording.reader import Proof
from tracewall.recording.remote import Remote, RemoteUnavailable
from tracewall.recording.scenes import asciicast, scenes
from tracewall.recording.shown import Seen
from tracewall.recording.store import Entry, prunable
from tracewall.recording.values import encoded

_UNWRAPPED = 10_000
_ID = click.argument("id")
_JSON = json_option("Print one JSON object for each recording.")


@click.group()
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
    if not out.is_terminal:
        out.width = _UNWRAPPED
    for heading in ("id", "rule", "who", "began (UTC)", "seconds", "statements", "state"):
        table.add_column(heading, overflow="fold", no_wrap=heading == "id")
    for entry, seen, proof in _read(path, key):
        if who and seen.header.get("subject") != who:
            continue
        if as_json:
            answer(_summary(entry, seen, proof))
            continue
        began = float(seen.header.get("time") or 0)
        when = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(began)) if began else ""
        count = str(len(seen.statements)) if seen.header else ""
        subject = seen.who if seen.header else ""
        row = (entry.id, entry.rule, subject, when, f"{seen.length:.1f}", count)
        table.add_row(*map(safe, row), _state(entry, proof))
    if not as_json:
        out.print(table)


@sessions.command()
@PATH
@_ID
@KEY
@click.option("--rows", default=50, show_default=True, help="The most rows of a statement.")
@json_option("Print its lines as they are, one JSON object each.")
def show(path: str, id: str, key: Path | None, rows: int, as_json: bool) -> None:
    """Print a session: its statements, decisions, rows and ends."""
    if as_json:
        for line in lines(path, one(path, id), keys(key)):
            answer(line)
        return
    seen, proof = loaded(path, one(path, id), keys(key), rows)
    out = console()
    for scene in scenes(seen, rows):
        told(out, scene)
    _complain(proof)


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
    out, faults = console(), 0
    ends = _ends(audit) if audit else {}
    for entry, _, proof in _read(path, key, id):
        fault = proof.fault
        known = ends.get(f"{entry.rule}/{entry.id}")
        if not fault and proof.closed and audit and known != (proof.lines, proof.head):
            fault = "the audit log does not have it end so"
        elif not fault and not proof.closed and known:
            fault = "its end was cut off"
        faults += bool(fault)
        if as_json:
            answer(_proved(entry, proof, fault))
            continue
        style = "bold red" if fault else "green" if proof.closed else "yellow"
        state = safe(fault) or ("closed" if proof.closed else "not closed")
        where = f" (line {proof.line})" if proof.fault else ""
        told_ = f"{safe(entry.id)}  {proof.lines} lines, {state}{where}, head {proof.head}"
        out.print(Text(told_, style), soft_wrap=True)
    if faults and as_json:
        raise click.exceptions.Exit(1)
    if faults:
        raise Refused(f"{faults} recordings are not what was written")


@sessions.command()
@PATH
@_ID
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
    "--out", type=click.Path(dir_okay=False, path_type=Path), help="The file; else standard output."
)
@json_option("The same as --as json.")
def export(
    path: str, id: str, key: Path | None, form: str, out: Path | None, as_json: bool
) -> None:
    """Write a session as one HTML page, as an asciicast, or as JSON lines."""
    form = "json" if as_json else form
    entry, known = one(path, id), keys(key)
    texts: Iterable[str]
    if form == "json":
        texts = (f"{encoded(line)}\n" for line in lines(path, entry, known))
    else:
        seen, proof = loaded(path, entry, known)
        texts = [page(seen, proof) if form == "html" else asciicast(seen)]
    if out is None:
        for text in texts:
            click.echo(text, nl=False)
        return
    try:
        with out.open("w", encoding="utf-8") as stream:
            stream.writelines(texts)
    except OSError as error:
        raise Missing(f"the file can't be written: {error.strerror}", str(out)) from None


@sessions.command()
@PATH
@_ID
@click.option("--why", default="", help="What the recording is kept for.")
@_JSON
def hold(path: str, id: str, why: str, as_json: bool) -> None:
    """Keep a recording from being pruned, until it is released."""
    entry = one(path, id)
    store(path).hold(entry, why)
    if as_json:
        answer(_named(entry, held=True))


@sessions.command()
@PATH
@_ID
@_JSON
def release(path: str, id: str, as_json: bool) -> None:
    """Let a recording be pruned again that was held."""
    entry = one(path, id)
    store(path).release(entry)
    if as_json:
        answer(_named(entry, held=False))


@sessions.command()
@PATH
@policy_option("The policy file, whose keep_for says how long recordings stay.")
@click.option("--dry-run", is_flag=True, help="Only print what would go.")
@_JSON
def prune(path: str, policy: Path, dry_run: bool, as_json: bool) -> None:
    """Delete recordings whose time has come: not those on hold, nor of rules that are gone."""
    keep = {rule.name: rule.keep_for for rule in read(policy).recordings}
    place = store(path)
    for entry in list(prunable(place, keep, time.time())):
        if not dry_run:
            place.remove(entry)
        if as_json:
            answer(_named(entry, deleted=not dry_run))
        else:
            plain(safe(f"{entry.rule}/{entry.id}"))


@sessions.command()
@PATH
@click.argument("url")
@click.option("--remove", is_flag=True, help="Delete here what has arrived there.")
@_JSON
def ship(path: str, url: str, remove: bool, as_json: bool) -> None:
    """Copy recordings that nobody writes to any more to a URL that fsspec knows.

    With --remove, what is on hold stays here as well.
    """
    place = store(path)
    try:
        target = Remote(url)
        for entry in list(place.entries()):
            if entry.open:
                continue
            copied, removed = target.take(place, entry), remove and not entry.held
            if removed:
                place.remove(entry)
            if as_json:
                answer(_named(entry, copied=copied, removed=removed))
            elif copied:
                plain(safe(f"{entry.rule}/{entry.id}"))
    except RemoteUnavailable as error:
        raise Missing(str(error)) from None
    except OSError as error:
        raise Refused(f"not shipped: {error}") from None


for each in (replay, judge):
    sessions.add_command(each)


def _read(path: str, key: Path | None, id: str = "") -> Iterator[tuple[Entry, Seen, Proof]]:
    known = keys(key)
    for entry in every(path, id):
        yield entry, *loaded(path, entry, known, 0)


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


def _summary(entry: Entry, seen: Seen, proof: Proof) -> dict[str, Any]:
    header = seen.header
    return {
        "id": entry.id,
        "rule": entry.rule,
        "subject": header.get("subject"),
        "issuer": header.get("issuer"),
        "time": header.get("time"),
        "seconds": seen.length,
        "statements": len(seen.statements),
        "closed": proof.closed,
        "open": entry.open,
        "held": entry.held,
        "fault": proof.fault,
        "size": entry.size,
        "head": proof.head,
    }


def _named(entry: Entry, **done: bool) -> dict[str, object]:
    """Give what was done to a recording, for programs."""
    return {"id": entry.id, "rule": entry.rule, **done}


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
