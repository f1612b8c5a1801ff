"""How commands find recordings, open them, and read them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from tracewall.cli.options import FILE
from tracewall.cli.screen import Missing, Unanswered, safe
from tracewall.recording.course import Course
from tracewall.recording.folder import Folder
from tracewall.recording.reader import Proof, Reading
from tracewall.recording.remote import Remote, RemoteUnavailable
from tracewall.recording.sealing import SealingUnavailable, identities
from tracewall.recording.store import Entry, Store
from tracewall.recording.summary import Summary

PATH = click.argument("path")
ID = click.argument("id")
KEY = click.option(
    "--identity",
    "key",
    type=FILE,
    help="The file with the age identity (or SSH key) that opens encrypted recordings.",
)


def store(path: str) -> Store:
    """Give the store that a path or a URL names."""
    if "://" in path:
        try:
            return Remote(path)
        except RemoteUnavailable as error:
            raise Missing(str(error)) from None
        except OSError as error:
            raise Unanswered(f"the store is out of reach: {reason(error)}") from None
    if not Path(path).is_dir():
        raise Missing(f"there is no directory {path}", "it is the policy's recording.directory")
    return Folder(path)


def keys(file: Path | None) -> Sequence[Any]:
    """Read the identities in a file."""
    if file is None:
        return ()
    try:
        return identities(file.read_text("utf-8"))
    except (SealingUnavailable, ValueError) as error:
        raise Missing(f"--identity: {error}") from None
    except OSError as error:
        raise Missing(f"--identity: {reason(error)}", str(file)) from None


def every(place: Store, id: str = "") -> list[Entry]:
    """Give the recordings whose id begins so, oldest first."""
    try:
        found = [entry for entry in place.entries() if entry.id.startswith(id)]
    except OSError as error:
        kind = Missing if isinstance(place, Folder) else Unanswered
        raise kind(f"the recordings can't be read: {reason(error)}") from None
    if id and not found:
        raise Missing(f"there is no recording {id}", "`tracewall sessions list` has their ids")
    return found


def one(place: Store, id: str) -> Entry:
    """Give the one recording whose id begins so."""
    found = every(place, id)
    exact = [entry for entry in found if entry.id == id]
    if len(exact or found) != 1:
        raise Missing(f"{len(found)} recordings begin with {id}", "write more of the id")
    return (exact or found)[0]


@contextmanager
def reading(place: Store, entry: Entry, known: Sequence[Any]) -> Iterator[Reading]:
    """Open a recording; one that can't be opened has that for a fault."""
    try:
        with place.open(entry) as stream:
            yield Reading(stream, entry.sealed, known, entry=entry)
    except OSError as error:
        kind = Unanswered if _no_answer(place, error) else Missing
        raise kind(f"the recording can't be read: {reason(error)}", entry.id) from None


def spelled(lines: Reading) -> Iterator[str]:
    """Yield lines as they were written: those are ASCII; what somebody made up may not be."""
    for _ in lines:
        yield f"{safe(lines.raw.decode(errors='replace'))}\n"


def summed(place: Store, entry: Entry, known: Sequence[Any]) -> Summary:
    """Sum a session up; one that can't be read has that for a fault.

    Raises Unanswered where its store gives no answer: that says nothing of the recording.
    """
    try:
        with place.open(entry) as stream:
            return Summary.of(Course(Reading(stream, entry.sealed, known, entry=entry), 0))
    except OSError as error:
        if _no_answer(place, error):
            raise Unanswered(f"the store is out of reach: {reason(error)}") from None
        return Summary(proof=Proof(fault=f"it can't be read: {reason(error)}"))


def _no_answer(place: Store, error: OSError) -> bool:
    """Whether a server failed, and not one recording that is gone or not to be read."""
    return isinstance(place, Remote) and not isinstance(error, FileNotFoundError | PermissionError)


def reason(error: OSError) -> str:
    """Say why something failed; no path and no URL, which may hold a secret."""
    return error.strerror or type(error).__name__
