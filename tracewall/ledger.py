"""What is recorded of the statements of one connection, and how its spans are labelled."""

from __future__ import annotations

import time
from contextlib import suppress
from typing import TypeVar

from tracewall.admission import Admission, Result, too_big, too_many, weighed
from tracewall.asked import NOTHING, Pending
from tracewall.audit.offering import Offering
from tracewall.audit.people import Buffer
from tracewall.audit.store import AuditLog
from tracewall.commands import ENDS, Transactions, commits, judgement, verb
from tracewall.errors import (
    ApprovalRequired,
    AuditUnavailable,
    Forbidden,
    TokenRejected,
    Withheld,
    known_sqlstate,
)
from tracewall.events import Ended, Incident, Moment, What, Who
from tracewall.holder import Holder
from tracewall.identity.principal import Principal
from tracewall.judge import Judged
from tracewall.naming import Naming
from tracewall.shield import Written
from tracewall.taping import Taping
from tracewall.telemetry import Labels
from tracewall.telling import (
    ended_told,
    labels_told,
    outcome_told,
    unjudged_told,
)
from tracewall.wall import Wall

_MOST_LABELS = 4_096
_CANCELLED = "57014"
_Refused = TypeVar("_Refused", TokenRejected, Forbidden)
_MISFITS = frozenset({"0A000", "42P01", "42703", "42883", "42804", "3F000"})
"""What the server says of statements that do not fit its schema (SQLSTATEs)."""


class Ledger(Naming):
    """The record's side of a guarded connection; `tracewall.session.Session` is the judge's.

    ``fresh`` is what was admitted last until a door takes it, which then sees to its end. Where
    it is ``metered``, generators may want something done aside (`tracewall.budgets.Aside`).
    """

    def __init__(self, wall: Wall) -> None:
        super().__init__(wall)
        self.audit: AuditLog = wall.audit
        self.offering: Offering | None = None
        self.metered = any(rule.per for rule in wall.policy.approvals)
        self.transactions = Transactions()
        self.holder: Holder | None = None
        self._acting: Holder | None = None
        self._where = ("", 0)
        self._labels: dict[What, Labels] = {}
        self._open: set[Admission] = set()
        self.fresh: Admission | None = None
        self._process = wall._underway.process
        wall._underway.add(self)
        self._weighs = wall.policy.audit.bytes
        self.taping = Taping(wall.recorder, wall.policy, self.named) if wall.recorder else None

    def offer(self) -> None:
        """Have the record told by threads, where the log may have one wait: in an event loop."""
        self.offering = self.wall._offering()
        self.audit = self.offering or self.wall.audit
        self.metered = self.metered or self.offering is not None

    def locate(self, address: str, port: int) -> None:
        """Take the server's host name (or socket directory) and port, for spans."""
        self._where = (address, port)

    def tell(self, kind: str, detail: str = "") -> None:
        """Record something other than a statement, with whoever acts.

        Raises:
            AuditUnavailable: it can't be recorded.
        """
        who = self._begin_as(self._principal)
        self.audit.incident(Incident(kind=kind, detail=detail, who=who))

    def unjudged(self, error: _Refused, detail: str = "") -> _Refused:
        """Record a refusal of what could not be judged, with a span of its own; give the error.

        Args:
            error: its words hold no value.
            detail: why a token was refused; else the record has the error's words.

        Raises:
            AuditUnavailable: it can't be recorded; the span says that, then.
        """
        started, ending = time.perf_counter(), "AuditUnavailable"
        try:
            if isinstance(error, TokenRejected):
                self.tell("token_rejected", detail)
            else:
                self.tell("unjudged", str(error))
            ending = type(error).__name__
        finally:
            # The span of a log-in tells for itself.
            if self._where[0]:
                self._refused(self._unjudged(), started, 0, ending)
        return error

    def _unjudged(self) -> Labels:
        return unjudged_told(self.catalog, self._where, self.id)

    def _whose(self, who: Who | None, principal: Principal | None) -> Who:
        """Give who acts as the record has them now: anew, where one was erased meanwhile.

        Raises:
            AuditUnavailable: a pseudonym can't be read or written; a span says so.
        """
        started = time.perf_counter()
        try:
            if who is not None and self._still_named(principal):
                return who
            who = self._begin_as(principal)
        except AuditUnavailable as ex:
            self._refused(self._unjudged(), started, 0, type(ex).__name__)
            raise
        self._who = who if self._who is not None else None
        return who

    def command(self, sql: bytes, transaction: int) -> Admission | None:
        """Record the intent to send a command of psycopg's own; None where it needs no record.

        Raises:
            AuditUnavailable: it commits, and the intent can't be recorded.
        """
        name = verb(sql)
        if not name:
            return None
        kept = self.transactions.kept if commits(name) else ""
        judged = judgement(name, sql, self.wall.policy.hash, kept)
        try:
            who = self._whose(self._who, self._principal)
            moment = self._moment(transaction, sql, ())
            return self._intend(sql, who, judged, moment, time.perf_counter())
        except AuditUnavailable:
            if commits(name):
                raise
        # What takes changes back is never kept from it.
        return None

    def _intend(
        self,
        sql: bytes,
        who: Who,
        judged: Judged,
        moment: Moment | None,
        started: float,
        batch: int = 0,
        *,
        spanned: bool = True,
    ) -> Admission:
        if self.fresh is not None:
            self.forsake()
        shown = self._labels.get(judged.what) or self._label(judged)
        try:
            intent = self.audit.intent(who, judged.what, moment)
        except AuditUnavailable as ex:
            self._refused(shown, started, batch, type(ex).__name__)
            raise
        span = None
        try:
            if spanned:
                span = self.wall.telemetry.start(shown, batch=batch)
            holder = self._acting if self._who is not None else self.holder
            admission = Admission(sql, judged, intent, shown, span, started, holder, who)
            self.fresh = admission
            self._open.add(admission)
        except BaseException as ex:
            if self.fresh is None:
                self.audit.outcome(intent, Ended(status="abandoned"))
                self.wall.telemetry.finish(
                    span, shown, started=started, error_type=type(ex).__name__
                )
            else:
                self.forsake()
            raise
        if moment is not None:
            admission.transaction = moment.transaction
            if judged.what.kept:
                self.transactions.keep(judged.what.kept)
        return admission

    def _refused(self, shown: Labels, started: float, batch: int, error_type: str) -> None:
        telemetry = self.wall.telemetry
        at = time.time_ns() - int((time.perf_counter() - started) * 1e9)
        span = telemetry.start(shown, batch=batch, at=at)
        telemetry.finish(span, shown, started=started, error_type=error_type)

    def give_up(self, admission: Admission, error: BaseException) -> None:
        """Record that an admitted statement was not sent, for its intent was not kept in time."""
        self._end(admission, "abandoned", error_type=type(error).__name__)

    def meanwhile(self, admission: Admission) -> None:
        """Begin the span of a statement that has just left, while the server is at work on it."""
        telemetry = self.wall.telemetry
        if telemetry.listens():
            at = time.time_ns() - int((time.perf_counter() - admission.started) * 1e9)
            admission.span = telemetry.start(admission.labels, at=at)

    def forsake(self) -> None:
        """Record that what was admitted last was never sent: no door got to take it."""
        if self.fresh is not None:
            self._end(self.fresh, "abandoned", error_type="abandoned")
            self.fresh = None

    def _label(self, judged: Judged) -> Labels:
        made = labels_told(judged, self.catalog, self._where, self.id)
        if len(self._labels) >= _MOST_LABELS:
            self._labels.clear()
        self._labels[judged.what] = made
        return made

    def leaves(self, admission: Admission, parameters: Written) -> None:
        """Take note that a set of a batch's parameters is about to leave."""
        admission.sets += 1
        if (person := admission.person) is not None:
            admission.written = admission.written or person.committing("sets")
            # How many there are first: two short sets are not one long one.
            values = list(parameters)
            admission.written.take((b"%d" % len(values), *values))

    def writes(self, admission: Admission, data: Buffer) -> None:
        """Take note that a COPY is about to write more."""
        admission.bytes = max(admission.bytes, 0) + memoryview(data).nbytes
        if (person := admission.person) is not None:
            admission.written = admission.written or person.committing("copy")
            admission.written.stream(data)

    def count(self, admission: Admission, rows: int, *, returned: bool = True) -> None:
        """Count rows, of which those that are `returned` are about to be handed out.

        Raises:
            Withheld: they are more than allowed.
        """
        before = admission.rows
        admission.rows = seen = rows if before < 0 else before + rows
        limited = 0 < admission.judged.decision.row_limit < seen or admission.most
        if limited or admission.promised >= 0 or admission.said is not NOTHING:
            excess = too_many(admission, seen, returned=returned)
            if excess is not None:
                raise excess

    def weigh(self, admission: Admission, result: Result) -> None:
        """Count the bytes of a result that is about to be handed out; many are estimated.

        Raises:
            Withheld: they are more than allowed.
        """
        limit = admission.judged.decision.byte_limit
        size, exact = weighed(result, exact=self._weighs or limit > 0)
        admission.bytes = size if admission.bytes < 0 else admission.bytes + size
        admission.estimated = admission.estimated or not exact
        if limit and (excess := too_big(admission)) is not None:
            raise excess

    def finish(self, admission: Admission) -> None:
        """Record that a statement ended well.

        Raises:
            AuditUnavailable: a rule wants its outcome kept at once, it can't be, and what
                it changed can't be taken back: the connection is to be broken.
        """
        self._end(admission, "ok")
        judged = admission.judged
        if judged.decision.summary in ENDS:
            self.transactions.sent(judged.decision.summary)
        if judged.what.kept and judged.changes and not admission.transaction:
            self.audit.flush(judged.what.kept)

    def unsure(self, admission: Admission) -> None:
        """Record that nobody can say how a statement ended."""
        self._end(admission, "unknown")

    def rolled_back(self, admission: Admission) -> None:
        """Record that the server rolled back what it was asked to commit."""
        self._end(admission, "error", "25P02", "InFailedSqlTransaction")
        self.transactions.sent("ROLLBACK")

    def refuse(self, admission: Admission, error: Forbidden) -> Forbidden:
        """Record that an admitted statement is not sent after all, and give the error."""
        self._end(admission, "refused", error_type=_named(error))
        return error

    def fail(self, admission: Admission, error: BaseException) -> None:
        """Record that a statement ended by an error."""
        sqlstate = known_sqlstate(str(getattr(error, "sqlstate", None) or ""))
        withheld = isinstance(error, Withheld | Pending)
        status = "withheld" if withheld else "error" if sqlstate else "unknown"
        status = "cancelled" if sqlstate == _CANCELLED else status
        self._end(admission, status, sqlstate, _named(error))
        if sqlstate in _MISFITS:
            self.known.doubt()

    def is_forked(self) -> bool:
        """Tell whether this process is a child of the one that the connection was made in."""
        return self.wall._underway.process != self._process

    def abandon(self, *, queued: bool = False) -> None:
        """Record that nobody will see how statements end: all that are underway, or `queued`.

        One whose intent is still waited for has not left, and will not.
        """
        # The child of a fork has them from its parent, who will tell.
        if not self.is_forked():
            for admission in list(self._open):
                if admission.queued or not queued:
                    self._end(admission, "unknown" if admission.intent >= 0 else "abandoned")

    def __del__(self) -> None:
        # A connection that was never closed: psycopg warns of it, and the record is whole.
        with suppress(Exception):
            self.abandon()

    def close(self, *, idle: bool = True) -> None:
        """Record that the connection ends, and write what the audit log still holds back.

        Args:
            idle: no transaction is open, so that nothing is rolled back by it.

        Raises:
            AuditUnavailable: it can't be recorded.
        """
        self.abandon()
        if self.taping is not None:
            self.taping.close()
        # The wall may have been closed first; what must be kept is what `flush` complains of.
        with suppress(AuditUnavailable):
            self.tell("disconnected", "" if idle else "what was not committed is rolled back")
        self.audit.flush()

    def _end(
        self, admission: Admission, status: str, sqlstate: str = "", error_type: str = ""
    ) -> None:
        if admission.ended:
            self._close_span(admission)
            return
        # Where an interrupt comes before it is recorded, the next call tells the same end.
        ended = admission.told = admission.told or ended_told(admission, status, sqlstate)
        self.audit.outcome(admission.intent, ended)
        admission.ended = True
        try:
            if admission.judged.decision.unfollowed:
                self.known.doubt()
        finally:
            if admission.span is not None or not self.wall.telemetry.silent:
                self.wall.telemetry.finish(
                    admission.span,
                    admission.labels,
                    started=admission.started,
                    sqlstate=sqlstate,
                    error_type=error_type,
                    rows=admission.rows,
                    masked=ended.masked,
                    counts=ended.counts,
                )
        admission.span = None
        self._open.discard(admission)
        if admission.take is not None:
            admission.take.outcome(status, error=error_type, **outcome_told(ended))

    def _close_span(self, admission: Admission) -> None:
        """End a span that an interrupt has kept from ending with its statement."""
        if admission.span is not None:
            self.wall.telemetry.close(admission.span)
            admission.span = None
        self._open.discard(admission)


def _named(error: BaseException) -> str:
    # Callers know it by the name of what it becomes.
    return ApprovalRequired.__name__ if isinstance(error, Pending) else type(error).__name__
