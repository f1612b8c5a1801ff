"""What the rest of the house may ask of an audit log, whatever keeps it."""

from __future__ import annotations

from typing import Protocol

from tracewall.events import Ended, Incident, Moment, What, Who


class AuditLog(Protocol):
    """Keeps an intent before each statement is sent, and its outcome after.

    A log may have a ``patience``: how long (seconds) an intent may wait for it. Then event loops
    have threads tell it; without one, or with 0, it is told where it is called.
    """

    def intent(self, who: Who, what: What, moment: Moment | None = None) -> int:
        """Record what is about to be sent; raise `AuditUnavailable` unless it is kept.

        Where ``what.kept`` asks for more than the log's own durability, that is kept to.
        """
        ...

    def outcome(self, intent: int, ended: Ended) -> None:
        """Record how the statement of an intent ended; never raise."""
        ...

    def incident(self, incident: Incident) -> None:
        """Record anything else at once; raise `AuditUnavailable` unless it is kept."""
        ...

    def flush(self, kept: str = "") -> None:
        """Write everything pending; raise `AuditUnavailable` if it can't be.

        ``kept`` is a durability that it shall have at least.
        """
        ...

    def close(self) -> None:
        """Write everything pending and end the log."""
        ...
