"""An audit log whose record is mirrored elsewhere, once it is kept."""

from __future__ import annotations

from tracewall.audit.offering import patience
from tracewall.audit.store import AuditLog
from tracewall.errors import AuditUnavailable
from tracewall.events import Ended, Incident, Moment, What, Who
from tracewall.telemetry.mirror import Mirror


class MirroredLog:
    """Tells a mirror what a log has kept; what the log refuses is mirrored as little as it is kept.

    Args:
        log: what keeps the record, and whose word counts.
        mirror: what is told besides.
    """

    def __init__(self, log: AuditLog, mirror: Mirror) -> None:
        self.log = log
        self.patience = patience(log)
        self._mirror = mirror

    def intent(self, who: Who, what: What, moment: Moment | None = None) -> int:
        """Record what is about to be sent; raise `AuditUnavailable` unless it is kept."""
        number = self.log.intent(who, what, moment)
        try:
            self._mirror.intent(number, who, what, moment)
        except BaseException:
            # An interrupt: whoever got no number can't tell the end of what has one.
            self.log.outcome(number, Ended(status="abandoned"))
            raise
        return number

    def outcome(self, intent: int, ended: Ended) -> None:
        """Record how the statement of an intent ended; never raise."""
        self.log.outcome(intent, ended)
        self._mirror.outcome(intent, ended)

    def incident(self, incident: Incident) -> None:
        """Record anything else at once; raise `AuditUnavailable` unless it is kept."""
        self.log.incident(incident)
        self._mirror.incident(incident)

    def flush(self, kept: str = "") -> None:
        """Write everything pending; raise `AuditUnavailable` if it can't be."""
        self.log.flush(kept)

    def head(self) -> object:
        """Give the head of the log, where it has one; raise `AuditUnavailable` where not."""
        head = getattr(self.log, "head", None)
        if head is None:
            raise AuditUnavailable("this audit log keeps no chain, so it has no head")
        return head()

    def close(self) -> None:
        """Write everything pending and end the log."""
        try:
            self.log.close()
        finally:
            self._mirror.close()
