"""What the server says by itself: notices without its words, notifications where granted.

1. A notification is for whoever holds the connection, if ``listen`` on its channel is
   granted to them; anybody else never learns that it came.
2. Its payload is free text of whoever sent it: every scan of the policy searches it.
3. A handler of the caller's gets what is left, and nothing that libpq holds.
"""

from __future__ import annotations

import logging
from collections import deque
from contextlib import suppress
from time import monotonic
from typing import TYPE_CHECKING, Any
from weakref import ReferenceType, ref

from psycopg import Notify
from psycopg import errors as e
from psycopg.waiting import Wait

from tracewall.errors import AuditUnavailable, Forbidden, TokenRejected
from tracewall.scrubbing import scrubbed_notice

if TYPE_CHECKING:
    from psycopg.abc import PQGen
    from psycopg.pq import PGnotify
    from psycopg.pq.abc import PGresult

    from tracewall.session import Session

_log = logging.getLogger("tracewall.hearing")


def take_notice(weak: ReferenceType[Any], result: PGresult) -> None:
    """Hand a notice to the connection's handlers, without the server's words."""
    connection = weak()
    if connection is None:
        return
    session: Session | None = connection._session
    taping = session.taping if session is not None else None
    if taping is not None:
        found = e.Diagnostic(result, connection._wire._encoding)
        # A notice has no way to refuse anything: the next statement is refused instead.
        with suppress(AuditUnavailable):
            taping.notice(*_class_of(found))
    if not connection._notice_handlers:
        return
    told: Any = e.Diagnostic(result, connection._wire._encoding)
    if session is None or not session.trusted:
        told = scrubbed_notice(told, session.catalog if session else None)
    for callback in connection._notice_handlers:
        try:
            callback(told)
        except Exception as error:
            # As psycopg does, but for the error's words, which may be anything.
            _log.error("a notice handler failed with %s", type(error).__name__)


def _class_of(told: e.Diagnostic) -> tuple[str, str]:
    shown = scrubbed_notice(told, None)
    return shown.severity_nonlocalized or "", shown.sqlstate or ""


def take_notification(weak: ReferenceType[Any], told: PGnotify) -> None:
    """Hand a notification to handlers, to `notifies`, or keep it until one of them asks."""
    connection = weak()
    if connection is None:
        return
    heard = _heard(connection, told)
    if heard is None:
        return
    if connection._hearing is not None:
        connection._hearing.append(heard)
    if connection._notify_handlers:
        for callback in connection._notify_handlers:
            callback(heard)
    elif connection._hearing is None:
        connection._notifies_backlog.append(heard)


def _heard(connection: Any, told: PGnotify) -> Notify | None:
    """Give what whoever acts may hear of a notification; None: nothing."""
    session: Session | None = connection._session
    if session is None:
        return None
    channel, payload = (str(part, "utf-8", "replace") for part in (told.relname, told.extra))
    try:
        _, judge = session._ready(b"LISTEN")
    except (TokenRejected, Forbidden):
        return None
    if session.newcomer() is not None:
        return None
    shown = judge.hear(channel, payload)
    return None if shown is None else Notify(channel, shown, told.be_pid)


def left_over(connection: Any) -> deque[Notify]:
    """Take what was heard and not handed out yet, and hear on."""
    backlog = connection._notifies_backlog
    connection._notifies_backlog = deque()
    found: deque[Notify] = backlog if backlog is not None else deque()
    return found


def hear_gen(connection: Any, deadline: float | None) -> PQGen[bool]:
    """Wait for the server to say something, and take it; False: the deadline came first."""
    while not (yield Wait.R):
        if deadline is not None and monotonic() >= deadline:
            return False
    connection._wire.consume_input()
    while told := connection._wire.notifies():
        take_notification(ref(connection), told)
    return True
