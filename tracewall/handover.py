"""A connection goes from one principal to the next: what the last one left is discarded.

1. Prepared statements, cursors, temporary tables, settings, LISTENs, advisory locks and
   sequences' last values of the last principal are gone before the next one's first
   statement (DISCARD ALL), and so is what psycopg remembers of them.
2. What the wall itself had set is set again, and the server's answer is compared.
3. It takes a connection that is free: in a transaction or a pipeline it is refused.
4. Should any step fail, or be broken off, the connection is closed: it is nobody's.
5. While the principal stays the same, nothing is sent.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from psycopg import errors as e
from psycopg import generators
from psycopg._connection_base import BaseConnection
from psycopg.pq import ExecStatus, TransactionStatus

from tracewall.errors import Forbidden
from tracewall.holder import HELD, Holder
from tracewall.offering import told_gen
from tracewall.sql.rowfilter import SETTING

if TYPE_CHECKING:
    from psycopg.abc import PQGen

    from tracewall.admission import Admission
    from tracewall.session import Session


def is_free(conn: Any) -> bool:
    """Tell whether a connection can go to another principal: no transaction, no pipeline."""
    idle = conn._wire.transaction_status == TransactionStatus.IDLE
    return idle and conn._pipeline is None and conn._tpc is None


def welcome_gen(conn: Any) -> PQGen[None]:
    """Hand a connection to whoever acts now, where that is somebody new and it is free."""
    session: Session | None = conn._session
    newcomer = session.newcomer() if session is not None else None
    if newcomer is not None and is_free(conn):
        yield from hand_over_gen(conn, newcomer)


def turn_over_gen(conn: Any, admission: Admission | None) -> PQGen[None]:
    """Hand a connection to the principal that a statement was admitted for.

    Raises:
        Forbidden: it is not free.
    """
    session: Session = conn._session
    if admission is None or admission.holder is session.holder:
        return
    holder = admission.holder
    told = holder is not None and holder.told
    # In a transaction the setting that row filters go by would be rolled back with it.
    if (session.holder is not None or told) and not is_free(conn):
        raise session.refuse(admission, Forbidden(HELD))
    if holder is not None:
        yield from hand_over_gen(conn, holder)


def hand_over_gen(conn: Any, holder: Holder) -> PQGen[None]:
    """Discard what the last principal left on a free connection, and give it to the next."""
    session: Session = conn._session
    try:
        if session.holder is not None:
            yield from BaseConnection._exec_command(conn, b"DISCARD ALL")
            _forget(conn)
        if session.holder is not None or holder.told:
            yield from pin_gen(conn, holder)
        changed = session.holder is not None
        session.hold(holder)
        if changed:
            yield from told_gen(session)
    except BaseException:
        conn._wire.finish()
        raise


def _forget(conn: Any) -> None:
    """Forget what psycopg keeps of the session that was."""
    conn._prepared.clear()
    conn._prepared._to_flush.clear()
    conn._portals.clear()
    while conn._wire.notifies():
        pass
    if conn._notifies_backlog:
        conn._notifies_backlog.clear()


def _pins(timeout: float, holder: Holder | None) -> list[tuple[str, str]]:
    """Give the settings that the wall wants on a holder's connection, with their values."""
    pinned = [("standard_conforming_strings", "on")]
    if timeout:
        pinned.append(("statement_timeout", str(max(1, round(timeout * 1000)))))
    if holder is not None and holder.told:
        pinned.append((SETTING, holder.told))
    return pinned


def pin_gen(conn: Any, holder: Holder | None = None) -> PQGen[None]:
    """Set what the wall wants set for a holder, and compare the server's answer.

    Raises:
        OperationalError: the server has set something else.
    """
    session: Session = conn._session
    pins = _pins(session.wall.policy.limits.statement_timeout, holder)
    calls = (f"pg_catalog.set_config(${at}, ${at + 1}, false)" for at in range(1, 2 * len(pins), 2))
    values = [part.encode() for pair in pins for part in pair]
    conn._check_connection_ok()
    conn._wire.send_query_params(f"SELECT {', '.join(calls)}".encode(), values)
    (result,) = yield from generators.execute(conn._wire)
    if result.status != ExecStatus.TUPLES_OK:
        raise e.error_from_result(result, encoding="utf-8")
    for at, (name, value) in enumerate(pins):
        # A time comes back in PostgreSQL's own spelling.
        if name != "statement_timeout" and result.get_value(0, at) != value.encode():
            raise e.OperationalError(
                f"the server did not take the setting {name}, on which the guard relies"
            )
