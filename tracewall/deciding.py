"""How a person decides on a request, by the command line or the console: on record, or not at all.

1. A decision is made in person: by a token of one's own, in which nobody acts for anybody.
2. What is decided is what was shown: the request's hash is compared again when it is signed.
3. The intention is in the audit record before the desk is asked to keep the decision.
"""

from __future__ import annotations

from contextlib import closing

from tracewall.approval.desk import Case, Desk, NotGranted
from tracewall.approval.request import Person
from tracewall.approval.verdict import Kind
from tracewall.audit.people import pseudonymous
from tracewall.audit.store import AuditLog
from tracewall.events import Incident, Who
from tracewall.identity.principal import Principal
from tracewall.logbook import people_of, plain_log
from tracewall.policy.model import Policy
from tracewall.signing import Signer


def decide(
    policy: Policy,
    desk: Desk,
    case: Case,
    kind: Kind,
    who: Principal,
    signer: Signer,
    reason: str = "",
) -> Case:
    """Record and keep a person's decision on a request as they saw it; give how it stands then.

    Raises:
        NotGranted: it is not theirs to decide, not any more, or not what they saw.
        AuditUnavailable: it can't be recorded, so it was not made.
        StoreUnavailable: the desk's store can't be asked.
    """
    if who.actors:
        why = "decisions are made in person: this token names somebody who acts for you"
        raise NotGranted("delegated", why)
    request = case.request
    told = f"{request.id} {kind} {request.binding}: {reason!r}"
    person = Person(who.issuer, who.subject)
    with closing(plain_log(policy)) as log:
        by = _told(policy, log, who)
        made = Incident(kind="approval_decided", detail=told, who=by, policy=policy.hash)
        log.incident(made)
        return desk.decide(
            request.id, kind, person, who.groups, signer, reason, binding=request.binding
        )


def _told(policy: Policy, log: AuditLog, who: Principal) -> Who:
    """Give a person as the record has them: by a pseudonym, where it is erasable."""
    people = people_of(policy, log)
    if people is None:
        return named(who)
    return pseudonymous(named(who), people.of(who.issuer, who.subject), ())


def named(who: Principal) -> Who:
    """Give a person who is on no connection as the record names them."""
    return Who(
        issuer=who.issuer,
        subject=who.subject,
        session="",
        database="",
        role="",
        token_id=who.token_id,
    )
