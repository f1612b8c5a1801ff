"""Who reads the record is on record, in a log of its own: readers need not write the log itself."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from tracewall.audit.log import FileLog
from tracewall.audit.people import Person
from tracewall.errors import AuditUnavailable
from tracewall.events import Incident
from tracewall.locks import Lock

READS = "reads"
"""The directory, in that of a log, of the log of who has read it."""


def note(directory: Path, incident: Incident) -> None:
    """Record that the log in a directory, or what belongs to it, is read.

    Raises:
        AuditUnavailable: it can't be recorded.
    """
    with _log_of(directory) as log:
        log.incident(incident)


def _log_of(directory: Path) -> FileLog:
    place = directory / READS
    if place.is_symlink():
        # Who may write to the log's directory could have its readers write anywhere.
        raise AuditUnavailable("the directory of readings is a link")
    return FileLog(place)


class Reads:
    """The log of who has read a log: opened at the first reading, and kept open.

    Safe to use from many threads.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._log: FileLog | None = None
        self._lock = Lock()

    def note(self, incident: Incident) -> None:
        """Record a reading.

        Raises:
            AuditUnavailable: it can't be recorded.
        """
        with self._lock:
            if self._log is None:
                self._log = _log_of(self._directory)
            try:
                self._log.incident(incident)
            except AuditUnavailable:
                # What is wrong may be over when the next reader comes.
                self._dropped()
                raise

    def close(self) -> None:
        """Close the log."""
        with self._lock:
            self._dropped()

    def _dropped(self) -> None:
        log, self._log = self._log, None
        if log is not None:
            with suppress(AuditUnavailable):
                log.close()


def filters_told(filters: Mapping[str, Any], people: Mapping[str, Person]) -> str:
    """Say by which filters the record is searched; of people as the record names them.

    Args:
        filters: those of `tracewall.audit.search.Asked`, by name.
        people: whom pseudonyms stand for, where the record has them.
    """
    pseudonyms = {person.subject: person.pseudonym for person in people.values()}
    asked = {name: value for name, value in filters.items() if value not in ("", None)}
    if "who" in asked:
        asked["who"] = pseudonyms.get(asked["who"], "a pattern" if people else asked["who"])
    if "statement" in asked:
        asked["statement"] = "given"
    return "".join(f" {name}={value}" for name, value in asked.items())
