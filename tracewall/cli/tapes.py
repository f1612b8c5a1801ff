"""How commands find recordings, open them, and read them."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import click

from tracewall.cli.options import FILE
from tracewall.cli.screen import Missing
from tracewall.recording.folder import Folder
from tracewall.recording.reader import Proof, Reading
from tracewall.recording.remote import Remote, RemoteUnavailable
from tracewall.recording.sealing import SealingUnavailable, identities
from tracewall.recording.shown import Seen, assembled
from tracewall.recording.store import Entry, Store

PATH = click.argument("path")
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
        raise Missing(f"--identity: {error.strerror}", str(file)) from None


def every(path: str, id: str = "") -> list[Entry]:
    """Give the recordings whose id begins so, oldest first."""
    try:
        found = [entry for entry in store(path).entries() if entry.id.startswith(id)]
    except OSError as error:
        raise Missing(f"the recordings can't be read: {error.strerror or error}", path) from None
    if id and not found:
        raise Missing(f"there is no recording {id}", "`tracewall sessions list` has their ids")
    return found


def one(path: str, id: str) -> Entry:
    """Give the one recording whose id begins so."""
    found = every(path, id)
    exact = [entry for entry in found if entry.id == id]
    if len(exact or found) != 1:
        raise Missing(f"{len(found)} recordings begin with {id}", "write more of the id")
    return (exact or found)[0]


def lines(path: str, entry: Entry, known: Sequence[Any]) -> Iterator[dict[str, Any]]:
    """Yield the lines of a recording, up to a fault."""
    try:
        with store(path).open(entry) as stream:
            yield from Reading(stream, entry.sealed, known)
    except OSError as error:
        raise Missing(f"the recording can't be read: {error.strerror or error}") from None


def loaded(
    path: str, entry: Entry, known: Sequence[Any], most: int = sys.maxsize
) -> tuple[Seen, Proof]:
    """Give a recorded session put together, and what its lines prove.

    Of each statement so many rows are kept at most, whatever the recording's size.
    """
    try:
        with store(path).open(entry) as stream:
            reading = Reading(stream, entry.sealed, known)
            return assembled(reading, most), reading.proof
    except OSError as error:
        raise Missing(f"the recording can't be read: {error.strerror or error}") from None
