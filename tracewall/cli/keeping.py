"""``tracewall sessions hold|release|prune|ship``: what becomes of recordings."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from tracewall.cli.options import json_option, policy_option
from tracewall.cli.reading import read
from tracewall.cli.screen import Missing, Refused, answer, plain, safe
from tracewall.cli.tapes import ID, PATH, one, reason, store
from tracewall.recording.folder import Folder
from tracewall.recording.remote import Remote
from tracewall.recording.shipping import ship as send
from tracewall.recording.store import Entry, prunable

_A_DAY = 86_400
_JSON = json_option("Print one JSON object for each recording.")


@click.command()
@PATH
@ID
@click.option("--why", default="", help="What the recording is kept for.")
@_JSON
def hold(path: str, id: str, why: str, as_json: bool) -> None:
    """Keep a recording from being pruned, until it is released."""
    with _done():
        place = store(path)
        entry = one(place, id)
        place.hold(entry, why)
    if as_json:
        answer(_named(entry, held=True))


@click.command()
@PATH
@ID
@_JSON
def release(path: str, id: str, as_json: bool) -> None:
    """Let a recording be pruned again that was held."""
    with _done():
        place = store(path)
        entry = one(place, id)
        place.release(entry)
    if as_json:
        answer(_named(entry, held=False))


@click.command()
@PATH
@policy_option("The policy file, whose keep_for says how long recordings stay.")
@click.option("--dry-run", is_flag=True, help="Only print what would go.")
@_JSON
def prune(path: str, policy: Path, dry_run: bool, as_json: bool) -> None:
    """Delete recordings whose time has come: not those on hold, nor of rules that are gone."""
    keep = {rule.name: rule.keep_for for rule in read(policy).recordings}
    place = store(path)
    with _done():
        for entry in list(prunable(place, keep, time.time())):
            if not dry_run:
                place.remove(entry)
            if as_json:
                answer(_named(entry, deleted=not dry_run))
            else:
                plain(safe(f"{entry.rule}/{entry.id}"))
        if not dry_run:
            place.sweep(time.time() - _A_DAY)


@click.command()
@PATH
@click.argument("url")
@click.option("--remove", is_flag=True, help="Delete here what has arrived there.")
@_JSON
def ship(path: str, url: str, remove: bool, as_json: bool) -> None:
    """Copy recordings that nobody writes to any more to a URL that fsspec knows.

    With --remove, what is on hold stays here as well.
    """
    place = store(path)
    if not isinstance(place, Folder):
        raise Missing("recordings are shipped from a directory", "give the directory first")
    target = store(url)
    if not isinstance(target, Remote):
        raise Missing("recordings are shipped to a URL", 'write "s3://bucket/prefix"')
    with _done():
        for entry in list(place.entries()):
            if entry.open:
                continue
            copied = bool(send(place, target, url, entry, remove=remove))
            if as_json:
                answer(_named(entry, copied=copied, removed=remove and not entry.held))
            elif copied:
                plain(safe(f"{entry.rule}/{entry.id}"))


@contextmanager
def _done() -> Iterator[None]:
    """Tell of what a store could not do."""
    try:
        yield
    except OSError as error:
        raise Refused(f"it could not be done: {reason(error)}") from None


def _named(entry: Entry, **done: bool) -> dict[str, object]:
    """Give what was done to a recording, for programs."""
    return {"id": entry.id, "rule": entry.rule, **done}
