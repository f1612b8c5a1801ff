"""At the desk: having people asked, and using what they granted.

1. What is here blocks: it is called outside of every lock, and of every event loop.
2. A grant is used up before the statement leaves, and settled after it has ended.
3. Where nobody can tell what became of a use, nobody does: its outcome stays unknown.
"""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import msgspec

from tracewall.approval.desk import Desk, NotGranted, Permit
from tracewall.approval.request import Act, NotEncodable, Request
from tracewall.approval.store import Spending, StoreUnavailable
from tracewall.asked import Pending, check_words, may_break_glass, requirements
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
from tracewall.policy.model import Approval
from tracewall.session import Session


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
        reason = "a secret that the policy names is missing or can't be read"
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
    failure, telemetry = "", session.wall.telemetry
    asking, trace = telemetry.asking(session.id)
    known = ""
    try:
        if said.break_glass:
            if not may_break_glass(found.rules, principal) or not said.reason.strip():
                raise Forbidden(
                    "you may not go on alone here, or not without a reason: ask for approval "
                    f"(rule approvals.{found.rules[0].name})"
                )
            permit = desk.break_glass(found.act, wanted, found.shown, **words)
            known = permit.id
            _record(
                session,
                principal,
                Incident(kind="glass_broken", detail=f"{permit.id}: {said.reason!r}"),
            )
            return msgspec.structs.replace(permit, trace=trace)
        request = desk.ask(found.act, wanted, found.shown, **words, trace=trace)
        known = request.id
    except (StoreUnavailable, NotEncodable, NotGranted) as ex:
        failure = str(ex)
    finally:
        telemetry.asked(asking, known)
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
        # Who can write to the store could have asked by rules of their own.
        known = requirements(session.wall.policy.approvals)
        permit = desk_of(session).claim(id, act, known)
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
        raise Forbidden(f"more rules ask for approval by now: ask again (request {id})")
    people = ", ".join(session.named(person.issuer, person.subject) for person in permit.people)
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


def spent(session: Session, spending: Spending, at: float) -> bool:
    """Count against a budget; False: it would be passed.

    Raises:
        Forbidden: nobody can count.
    """
    try:
        return desk_of(session).spend(spending, at)
    except StoreUnavailable as ex:
        failure = str(ex)
    raise Forbidden(f"nobody can count what you have had so far: {failure}")


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
    who = session.told_who(principal)
    policy = session.wall.policy.hash
    session.wall.audit.incident(msgspec.structs.replace(incident, who=who, policy=policy))
