"""Waiting for the record where a session's log is told by threads: before anything leaves.

1. What waits is a generator, so that whoever runs it holds up no event loop.
2. A statement whose intent is not kept, or whose task is cancelled before it is, never leaves.
3. A refusal is raised only after it is kept, as everywhere.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import suppress
from typing import Any

from tracewall.admission import Admission
from tracewall.budgets import Aside
from tracewall.errors import AuditUnavailable
from tracewall.identity.principal import Principal
from tracewall.session import Session


def kept_gen(session: Session, admission: Admission) -> Generator[Any, Any, None]:
    """Return when the intent of an admitted statement is kept.

    Raises:
        AuditUnavailable: it is not; nothing was sent.
    """
    offering = session.offering
    if admission.intent >= 0 or offering is None:
        return
    try:
        yield Aside(lambda: None, offering.offered(admission.intent), offering.longest)
        admission.intent = offering.kept(admission.intent)
    except BaseException as ex:
        session.give_up(admission, ex)
        raise


def told_gen(session: Session) -> Generator[Any, Any, None]:
    """Return when what was told last is kept; raises AuditUnavailable."""
    offering = session.offering
    if offering is not None and offering.last is not None:
        yield Aside(lambda: None, offering.last, offering.longest)


def keep_now(session: Session, admission: Admission) -> None:
    """Return when an intent is kept, where nobody can wait but by blocking.

    Raises:
        AuditUnavailable: it is not; nothing was sent.
    """
    if admission.intent < 0 and session.offering is not None:
        try:
            admission.intent = session.offering.kept(admission.intent)
        except BaseException as ex:
            session.give_up(admission, ex)
            raise
        admission.cleared = not admission.judged.decision.approvals


def strangers(session: Session) -> list[tuple[str, str]]:
    """Give those who act, or will at the next statement, whom the record can't name at once."""
    people, bearer = session.wall._people, session.caller.bearer()
    who = session.wall.identify(bearer) if people is not None and bearer is not None else None
    if people is None or not isinstance(who, Principal):
        return []
    names = [(who.issuer, who.subject)]
    names += [(actor.issuer, actor.subject) for actor in who.actors]
    return [name for name in names if not people.is_fresh(*name)]


def acquaint(session: Session) -> None:
    """Ask for the pseudonyms of whoever acts; blocks, and leaves it to others to fail."""
    people = session.wall._people
    if people is not None:
        with suppress(AuditUnavailable):
            for name in strangers(session):
                people.learn(*name)
