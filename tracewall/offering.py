"""Waiting for the record where a session's log is told by threads: before anything leaves.

1. What waits is a generator, so that whoever runs it holds up no event loop.
2. A statement whose intent is not kept, or whose task is cancelled before it is, never leaves.
3. A refusal is raised only after it is kept, as everywhere.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

from tracewall.admission import Admission
from tracewall.budgets import Aside
from tracewall.ledger import Ledger


def kept_gen(session: Ledger, admission: Admission) -> Generator[Any, Any, None]:
    """Return when the intent of an admitted statement is kept.

    Raises:
        AuditUnavailable: it is not; nothing was sent.
    """
    offering = session.offering
    if admission.intent >= 0 or offering is None:
        return
    try:
        yield Aside(lambda: None, offering.offered(admission.intent), offering.patience)
        admission.intent = offering.kept(admission.intent)
    except BaseException as ex:
        session.give_up(admission, ex)
        raise


def told_gen(session: Ledger) -> Generator[Any, Any, None]:
    """Return when what was told last is kept; raises AuditUnavailable."""
    offering = session.offering
    if offering is not None and offering.last is not None:
        yield Aside(lambda: None, offering.last, offering.patience)


def keep_now(session: Ledger, admission: Admission) -> None:
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
