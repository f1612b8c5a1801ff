"""Who reads the record is on record, in a log of its own: readers need not write the log itself."""

from __future__ import annotations

from pathlib import Path

from tracewall.audit.log import FileLog
from tracewall.events import Incident

READS = "reads"
"""The directory, in that of a log, of the log of who has read it."""


def note(directory: Path, incident: Incident) -> None:
    """Record that the log in a directory, or what belongs to it, is read.

    Raises:
        AuditUnavailable: it can't be recorded.
    """
    with FileLog(directory / READS) as log:
        log.incident(incident)
