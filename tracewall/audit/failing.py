"""How the log fails: what can't be encoded, written or synced becomes `AuditUnavailable`."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Final

from tracewall.audit.file import AppendedFile
from tracewall.audit.record import LONGEST
from tracewall.errors import AuditUnavailable

LATE: Final = (
    "the audit log could not be written within the policy's audit.deadline: "
    "its disk or database is slow, or hangs"
)
"""What is said of a record that was waited for too long."""


def nobody_hears(what: str) -> None:
    """Take a failure of an anchor when the log is closed already."""


def encoded(encode: Callable[[], bytes]) -> bytes:
    """Encode what a record says, or refuse."""
    told = b""
    with contextlib.suppress(ValueError, TypeError):
        told = encode()
    # Out here, for the codec's error holds the text and would travel along as the context.
    if not told:
        raise AuditUnavailable("the audit record could not be encoded")
    if len(told) > LONGEST // 4:
        raise AuditUnavailable("the audit record would be too long")
    return told


def sync(file: AppendedFile | None, mark: int) -> None:
    """Return when the first `mark` bytes are on the disk; raise `AuditUnavailable` if not."""
    try:
        if file:
            file.sync(mark)
    except OSError as error:
        raise unavailable(error) from error


def unavailable(error: OSError) -> AuditUnavailable:
    """Give the error for a write that failed."""
    return AuditUnavailable(f"the audit log could not be written: {error.strerror}")


def at_once(write: Callable[[], None]) -> None:
    """Do what is due by who finds it due."""
    write()
