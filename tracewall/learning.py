"""Asking the server about its catalog, over the guarded connection and as its role.

1. Nothing is asked in a pipeline, where answers come late, nor in a transaction that has
   failed, where nothing is answered.
2. The fingerprint that goes with the answers is the same before and after they were given.
3. With ``catalog_max_age = 0`` it is the same before and after a statement that gives rows,
   too: no change can come between the look and the statement.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from psycopg import errors as e
from psycopg._connection_base import BaseConnection
from psycopg.pq import TransactionStatus

from tracewall.sql.catalog import FINGERPRINT, QUERIES

if TYPE_CHECKING:
    from psycopg.abc import PQGen

    from tracewall.admission import Admission
    from tracewall.session import Session

MOST_READINGS = 5
"""How often the catalog is read anew because it changed meanwhile, before that is an error."""


def refresh_gen(conn: Any) -> PQGen[None]:
    """Look whether the catalog has changed, where it is time to and the server can answer."""
    session: Session = conn._session
    if session.known.outdated() and may_ask(conn):
        yield from learn_gen(conn)


def may_ask(conn: Any) -> bool:
    """Tell whether the server can answer at once: not in a pipeline or a failed transaction."""
    status = conn.pgconn.transaction_status
    able = status in (TransactionStatus.IDLE, TransactionStatus.INTRANS)
    return able and conn._pipeline is None


def learn_gen(conn: Any) -> PQGen[None]:
    """Ask the server for its catalog's fingerprint, and for the catalog if that is new.

    Raises:
        OperationalError: the server does not answer, or its catalog never stands still.
        Forbidden: the policy does not fit the catalog any more.
    """
    session: Session = conn._session
    fingerprint = yield from _answer_gen(conn, FINGERPRINT)
    for _ in range(MOST_READINGS):
        alone = conn.pgconn.transaction_status == TransactionStatus.IDLE
        if session.know(fingerprint, alone=alone):
            return
        answers = []
        for question in QUERIES:
            answer = yield from _answer_gen(conn, question)
            answers.append(answer)
        before, fingerprint = fingerprint, (yield from _answer_gen(conn, FINGERPRINT))
        if before == fingerprint:
            session.know(fingerprint, answers, alone=alone)
            return
    raise e.OperationalError(
        "the server's catalog changes faster than it can be read; try again when it rests"
    )


def confirm_gen(conn: Any, admission: Admission) -> PQGen[None]:
    """Look whether the catalog is still what a statement was judged by, if the policy asks so.

    Raises:
        Withheld: it changed meanwhile.
    """
    session: Session = conn._session
    if session.known.is_watched and not admission.judged.decision.unfollowed:
        fingerprint = yield from _answer_gen(conn, FINGERPRINT)
        if not session.known.fits(fingerprint):
            raise session.mismatch(admission, "the schema changed meanwhile")


def _answer_gen(conn: Any, question: bytes) -> PQGen[bytes]:
    result = yield from BaseConnection._exec_command(conn, question)
    answer = result.get_value(0, 0) if result is not None else None
    if answer is None:
        raise e.OperationalError(
            "the server did not answer what its catalog holds, so nothing can be judged"
        )
    return bytes(answer)
