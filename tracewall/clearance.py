"""Between admission and departure: which rules ask, whom that would bind, what a permit clears.

1. Nothing that a rule may ask about leaves before it is cleared here.
2. A permit clears its own act only, and only of the rules that people were asked about.
3. The desk is asked by the doors, never while a connection is locked.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import msgspec

from tracewall.admission import Admission
from tracewall.approval.desk import Desk, NotGranted, Permit
from tracewall.approval.request import Act, NotEncodable, Parameter, Request
from tracewall.approval.store import Spending, StoreUnavailable
from tracewall.asked import (
    Pending,
    Place,
    act_of,
    asked,
    bounded,
    check_words,
    counting,
    due,
    may_break_glass,
    most_rows,
    pending,
    requirements,
    satisfies,
    shown_of,
)
from tracewall.errors import (
    ApprovalRequired,
    AuditUnavailable,
    Forbidden,
    PolicyError,
    TokenRejected,
    Withheld,
)
from tracewall.events import Incident
from tracewall.identity.principal import Principal
from tracewall.policy.model import Approval, Decision
from tracewall.session import Session
from tracewall.telling import who_told

_READS = frozenset({"select", "explain"})


class Clearance:
    """What one admitted statement needs before it may leave.

    Args:
        session: of its connection.
        admission: the statement.
        parameters: as they will leave.
        door: ``execute``, ``stream``, ``copy``, ``declare`` or ``executemany``.
        batch: how many times it is sent; 0: nobody knows.
    """

    def __init__(
        self,
        session: Session,
        admission: Admission,
        parameters: Sequence[Parameter],
        door: str,
        batch: int = 1,
    ) -> None:
        self.session, self.admission, self.door = session, admission, door
        self.parameters = tuple(parameters)
        now, judged = session.wall.clock(), admission.judged
        self.rules = due(judged, now)
        self.counting = tuple(rule for rule in counting(judged, now) if rule not in self.rules)
        values = [each.bytes for each in self.parameters]
        most = bounded(judged, values, [each.format for each in self.parameters])
        self._most = most * batch if batch else -1

    @property
    def asks(self) -> bool:
        """True where a rule asks whatever comes, or may ask when rows are counted."""
        return bool(self.rules or self.counted)

    @property
    def counted(self) -> tuple[Approval, ...]:
        """The rules whose number of rows the statement's own text does not keep."""
        kept = self._most >= 0
        return tuple(
            rule for rule in self.counting if rule.per or not (kept and self._most <= rule.rows)
        )

    @property
    def changes(self) -> bool:
        """True where rows are changed, which has to be undone if they are too many."""
        relations = self.admission.judged.decision.relations
        return any(not _READS.issuperset(actions) for _, actions in relations)

    @property
    def estimable(self) -> str:
        """The query whose rows the planner is to be asked for; empty: there is no need."""
        return self.admission.judged.query if most_rows(self.counted) else ""

    def check(self, *, pipeline: bool) -> None:
        """Return where people can be asked about the statement this way.

        Raises:
            Forbidden: they can't, for nobody would know what they are asked.
        """
        what = ""
        if self.door == "executemany":
            what = "for a batch: use execute()"
        elif pipeline:
            what = "in a pipeline"
        elif self.changes and self.door != "execute":
            what = f"for what changes rows by {self.door}(): use execute()"
        if what:
            rule = (self.rules or self.counted)[0]
            text = f"people can't be asked {what} (rule approvals.{rule.name})"
            raise self.session.refuse(self.admission, Forbidden(text))

    def act(self, place: Place) -> Act:
        """Give what would be done.

        Raises:
            Forbidden: it can't be spelled out, so nobody can be asked.
        """
        admission = self.admission
        try:
            statement = admission.sql.decode()
        except UnicodeDecodeError:
            raise self.session.refuse(
                admission, Forbidden("the statement is no text that people could be shown")
            ) from None
        return act_of(
            admission.judged,
            self.session.principal(),
            place,
            self.parameters,
            statement,
            self.door,
            admission.said,
        )

    def settle(self, act: Act, permit: Permit | None) -> None:
        """Clear what needs no people, or what a permit is for.

        Raises:
            ApprovalRequired: people have to be asked.
            Forbidden: the permit is for something else.
        """
        admission = self.admission
        counted = self.counted
        if permit is not None:
            if not satisfies(permit, act, ()):
                text = "the approval is for something else than what was about to leave"
                raise self.session.refuse(admission, Forbidden(text))
            self.rules = tuple(rule for rule in self.rules if rule.name not in permit.rules)
            counted = tuple(rule for rule in counted if rule.name not in permit.rules)
            if admission.take is not None:
                people = [f"{person.issuer} {person.subject}" for person in permit.people]
                rules = sorted(permit.rules)
                admission.take.note("approval", request=permit.id, rules=rules, people=people)
        if permit is None and admission.said.approval:
            raise self.pend(act, self.rules, "", -1)
        if self.rules:
            raise self.pend(act, self.rules, "the rule asks for every such statement", -1)
        admission.act, admission.over, admission.most = act, counted, most_rows(counted)
        admission.fenced = self.changes and bool(counted or admission.said.rows)
        admission.flows = self.door != "execute"
        admission.cleared = True

    def weigh(self, act: Act, estimate: int) -> None:
        """Take the planner's estimate of how many rows there will be.

        Raises:
            ApprovalRequired: they would be too many.
        """
        over = tuple(rule for rule in self.admission.over if 0 < rule.rows < estimate)
        over = tuple(rule for rule in over if not rule.per)
        if over:
            self.admission.cleared = False
            raise self.pend(act, over, f"the planner expects {estimate} rows", estimate)

    def pend(self, act: Act, rules: tuple[Approval, ...], why: str, estimate: int) -> Forbidden:
        """Give the error that has people asked; nothing was sent."""
        decision = self.admission.judged.decision
        shown = shown_of(decision, why, estimate)
        error = pending(decision, act, rules, self.admission.sql, shown, self.admission.said)
        return self.session.refuse(self.admission, error)


def explained(session: Session, sql: bytes) -> Decision:
    """Judge a statement for whoever acts, without recording or sending it.

    Raises:
        TokenRejected: nobody acts, or their token is refused.
        Forbidden: the connection's catalog is not known.
    """
    return session.judge(sql, asked().reveal).judge(sql).decision.for_caller()


# --- the desk: what blocks, outside of every lock -------------------------------------


def desk_of(session: Session) -> Desk:
    """Give the wall's desk.

    Raises:
        Forbidden: it can't be opened.
    """
    try:
        return session.wall.desk
    except StoreUnavailable as ex:
        reason = str(ex)
    except PolicyError:
        reason = "the policy's secrets are not in their place"
    raise Forbidden(f"nobody can be asked for approval: {reason}")


def submit(session: Session, found: Pending) -> Permit | ApprovalRequired:
    """Have people asked; give the error that says so, or the permit of who goes on alone.

    Raises:
        Forbidden: a reason or a ticket is missing, or the request can't be kept.
        TokenRejected: nobody acts any more.
    """
    principal = session.principal()
    said = found.said
    check_words(found.rules, said)
    desk, wanted = desk_of(session), requirements(found.rules)
    words = {"statement": found.statement, "reason": said.reason, "ticket": said.ticket}
    failure = ""
    try:
        if said.break_glass:
            if not may_break_glass(found.rules, principal) or not said.reason.strip():
                raise Forbidden(
                    "you may not go on alone here, or not without a reason "
                    f"(rule approvals.{found.rules[0].name})"
                )
            permit = desk.break_glass(found.act, wanted, found.shown, **words)
            _record(
                session,
                principal,
                Incident(kind="glass_broken", detail=f"{permit.id}: {said.reason!r}"),
            )
            return permit
        request = desk.ask(found.act, wanted, found.shown, **words)
    except (StoreUnavailable, NotEncodable) as ex:
        failure = str(ex)
    if failure:
        raise Forbidden(f"nobody can be asked for approval: {failure}")
    rules = ", ".join(rule.rule for rule in request.requirements)
    _record(
        session,
        principal,
        Incident(kind="approval_requested", detail=f"{request.id} by approvals {rules}"),
    )
    return _required(found, request)


def claim(session: Session, id: str, act: Act, rules: tuple[Approval, ...]) -> Permit:
    """Use a grant for an act; it has to be done now.

    Raises:
        Forbidden: there is none, or it is for something else.
    """
    why, state, permit = "", "", None
    try:
        permit = desk_of(session).claim(id, act)
    except NotGranted as ex:
        why, state = str(ex), ex.state
    except StoreUnavailable as ex:
        why = str(ex)
    principal = session.principal()
    if permit is None:
        _record(session, principal, Incident(kind="approval_refused", detail=f"{id[:64]}: {state}"))
        if state == "pending":
            raise ApprovalRequired(f"{why} (request {id})", request_id=id)
        raise Forbidden(f"{why} (request {id[:64]})")
    if not {rule.name for rule in rules} <= permit.rules:
        settle(session, permit, "not sent")
        raise Forbidden(f"other rules ask by now than people were asked about (request {id})")
    people = ", ".join(person.subject for person in permit.people)
    _record(
        session, principal, Incident(kind="approval_used", detail=f"{id}, approved by {people}")
    )
    return permit


def settle(session: Session, permit: Permit, outcome: str) -> None:
    """Keep what became of a permit; where that fails, its outcome stays unknown."""
    try:
        desk_of(session).settle(permit, outcome)
    except StoreUnavailable:
        _record(
            session, None, Incident(kind="approval_unsettled", detail=f"{permit.id}: {outcome}")
        )


def submit_late(session: Session, found: Pending) -> ApprovalRequired:
    """Have people asked about a statement that was cut short, and can't go on.

    Raises:
        Forbidden: a reason or a ticket is missing, or the request can't be kept.
    """
    found.said = replace(found.said, break_glass=False)
    answer = submit(session, found)
    assert isinstance(answer, ApprovalRequired)
    return answer


def wait(session: Session, id: str, seconds: float) -> None:
    """Wait until something about a request may have changed, or so long."""
    try:
        desk_of(session).store.wait(id, seconds)
    except StoreUnavailable:
        time.sleep(seconds)


def ending(conn: Any, error: BaseException) -> str:
    """Tell what became of a permit's use that ended by an error; empty: nobody knows."""
    if isinstance(error, GeneratorExit):
        return "done"
    if isinstance(error, Withheld | Pending):
        return "failed"
    if isinstance(error, Forbidden | TokenRejected | AuditUnavailable):
        return "not sent"
    # The server said so: what it refuses it does not do.
    state = getattr(error, "sqlstate", None)
    return "failed" if state and not conn.closed else ""


def is_pending(session: Session, id: str) -> bool:
    """Tell whether a request waits still; a store out of reach is asked again."""
    try:
        return desk_of(session).is_pending(id)
    except StoreUnavailable:
        return True
    except NotGranted:
        return False


def charge(session: Session, admission: Admission, rows: int, size: int) -> None:
    """Count rows and bytes that came against the budgets of whoever acts.

    Raises:
        ApprovalRequired: a budget would be passed; what came is withheld.
        Forbidden: nobody can count.
    """
    over = []
    for rule in admission.over:
        if not rule.per:
            continue
        act = admission.act
        assert act is not None
        budget = f"approvals.{rule.name}"
        spending = Spending(act.requester.key, budget, rule.per, rows, size, rule.rows, rule.bytes)
        failure = ""
        try:
            if not desk_of(session).spend(spending):
                over.append(rule)
        except StoreUnavailable as ex:
            failure = str(ex)
        if failure:
            raise Forbidden(f"nobody can count what you may have: {failure}")
    if over:
        assert admission.act is not None
        decision = admission.judged.decision
        shown = shown_of(decision, "the budget of rows or bytes is used up", -1)
        sql, said = admission.sql, admission.said
        raise pending(decision, admission.act, tuple(over), sql, shown, said, late=admission.flows)


def _required(found: Pending, request: Request) -> ApprovalRequired:
    until = "nothing more is handed out" if found.late else "nothing is handed out"
    names = ", ".join(f"approvals.{rule.rule}" for rule in request.requirements)
    return ApprovalRequired(
        f"people have to approve of this first, and {until}: request {request.id} (rule {names})",
        decision=found.decision,
        request_id=request.id,
        expires_at=float(request.expires_at),
    )


def _record(session: Session, principal: Principal | None, incident: Incident) -> None:
    who = who_told(principal, session.catalog, session.id)
    policy = session.wall.policy.hash
    session.wall.audit.incident(msgspec.structs.replace(incident, who=who, policy=policy))
