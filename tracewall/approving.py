"""How guarded cursors clear a statement that people may have to approve, in either colour.

1. The server is asked where this would be done, for that is what people are asked about.
2. The planner's estimate only says whether people are asked before instead of after: rows
   are counted in any case.
3. What changes rows is undone where they turn out too many: in a transaction of ours, or
   by a savepoint in the caller's.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import msgspec
from psycopg import errors as e
from psycopg import generators
from psycopg._connection_base import BaseConnection
from psycopg._cursor_base import BaseCursor
from psycopg.client_cursor import ClientCursorMixin
from psycopg.pq import ExecStatus, Format, TransactionStatus

from tracewall.admission import size_of
from tracewall.approval.request import Parameter
from tracewall.asked import Place
from tracewall.budgets import count_gen
from tracewall.clearance import Clearance
from tracewall.offering import kept_gen

if TYPE_CHECKING:
    from psycopg._queries import PostgresQuery
    from psycopg.abc import PQGen

    from tracewall.admission import Admission
    from tracewall.session import Session

_PLACE = (
    b"SELECT (SELECT system_identifier FROM pg_catalog.pg_control_system())::text,"
    b" pg_catalog.current_database()::text, current_user::text, session_user::text,"
    b" pg_catalog.current_setting('search_path')"
)
UNASKABLE = "people can't be asked about a batch of a ClientCursor: use execute()"

_FENCE = b'"tracewall_fence"'


def parameters(rendered: PostgresQuery) -> tuple[Parameter, ...]:
    """Give the parameters of a rendered statement as they will leave."""
    values: Sequence[Any] = rendered.params or ()
    types = rendered.types or (0,) * len(values)
    formats = rendered.formats or [Format.TEXT] * len(values)
    return tuple(
        Parameter.of(oid, int(format), None if value is None else bytes(value))
        for oid, format, value in zip(types, formats, values, strict=True)
    )


def clear_gen(
    cursor: Any, rendered: PostgresQuery, admission: Admission, door: str, batch: int = 1
) -> PQGen[None]:
    """Clear a statement, or raise that people have to be asked.

    Raises:
        ApprovalRequired: they have to be; nothing was sent.
        Forbidden: they can't be.
    """
    if admission.cleared:
        return
    conn = cursor._conn
    session = cursor._guarded_by()
    yield from kept_gen(session, admission)
    permit, cursor._permit = cursor._permit, None
    clearance = Clearance(session, admission, parameters(rendered), door, batch)
    if permit is None and not clearance.asks:
        admission.cleared = True
        return
    clearance.check(pipeline=conn._pipeline is not None)
    try:
        act = clearance.act((yield from place_gen(conn)))
        clearance.settle(act, permit)
        if clearance.estimable and permit is None:
            query = clearance.estimable.encode()
            bound = isinstance(cursor, ClientCursorMixin)
            sent = None if bound else rendered
            clearance.weigh(act, (yield from _estimate_gen(conn, query, sent)))
        yield from clearance.run_gen()
    except BaseException as ex:
        session.fail(admission, ex)
        raise


def look_at(session: Session, admission: Admission, rendered: PostgresQuery) -> None:
    """Look at a set of a batch that is about to leave; twice does no harm.

    Raises:
        Forbidden: a mask's mark is in it, or people would have to be asked.
    """
    if admission.judged.writes:
        session.check_written(admission, rendered.params or ())
    if admission.tally is not None:
        admission.promised = admission.tally.take(admission.sets, parameters(rendered))


def place_gen(conn: Any) -> PQGen[Place]:
    """Ask the server where a statement of this connection would be done."""
    result = yield from BaseConnection._exec_command(conn, _PLACE)
    values = [result.get_value(0, at) for at in range(5)] if result is not None else []
    if None in values or len(values) != 5:
        raise e.OperationalError(
            "the server did not say which it is, so no request can be bound to it"
        )
    return Place(*(bytes(value or b"").decode() for value in values))


def _estimate_gen(conn: Any, query: bytes, sent: PostgresQuery | None) -> PQGen[int]:
    """Ask the planner about a query with its parameters (None: the client has bound them)."""
    conn._check_connection_ok()
    conn._wire.send_query_params(
        b"EXPLAIN (FORMAT JSON) " + query,
        (sent and sent.params) or None,
        param_types=(sent and sent.types) or None,
        param_formats=(sent and sent.formats) or None,
    )
    (result,) = yield from generators.execute(conn._wire)
    if result.status != ExecStatus.TUPLES_OK:
        raise e.error_from_result(result, encoding="utf-8")
    (plan,) = msgspec.json.decode(result.get_value(0, 0) or b"[{}]")
    return _rows(plan["Plan"])


def _rows(plan: Any) -> int:
    # A statement that changes rows gives none: those that it takes in are what it changes.
    if plan["Node Type"] == "ModifyTable" and plan.get("Plans"):
        return max(int(plan["Plan Rows"]), *(int(each["Plan Rows"]) for each in plan["Plans"]))
    return int(plan["Plan Rows"])


def fenced_gen(conn: Any, sending: PQGen[None]) -> PQGen[None]:
    """Send a statement so that it is undone where it turns out to change too much."""
    end = yield from begin_gen(conn)
    try:
        yield from sending
    except Exception:
        yield from undo_gen(conn, end)
        raise
    yield from leave_gen(conn, end)


def begin_gen(conn: Any) -> PQGen[bytes]:
    """Begin what can be undone; give what ends it well."""
    alone = conn._wire.transaction_status == TransactionStatus.IDLE
    command = b"BEGIN" if alone else b"SAVEPOINT " + _FENCE
    yield from conn._exec_command(command)
    return b"COMMIT" if alone else b"RELEASE " + _FENCE


def leave_gen(conn: Any, end: bytes) -> PQGen[None]:
    """End well what `begin_gen` began."""
    yield from conn._exec_command(end)


def undo_gen(conn: Any, end: bytes) -> PQGen[None]:
    """Undo what `begin_gen` began; a connection where that fails is closed."""
    status = conn._wire.transaction_status
    if end == b"COMMIT":
        commands = [b"ROLLBACK"]
    elif status == TransactionStatus.INERROR:
        # The caller's transaction has failed, by the server's word: that stays theirs to see.
        return
    else:
        commands = [b"ROLLBACK TO " + _FENCE, b"RELEASE " + _FENCE]
    with suppress(e.Error):
        for command in commands:
            yield from conn._exec_command(command)
        return
    conn._wire.finish()


def metered_gen(cursor: Any, admission: Admission, sending: PQGen[None]) -> PQGen[None]:
    """Send a statement, and count its results before anybody can look at them.

    Raises:
        ApprovalRequired: a budget would be passed.
    """
    yield from sending
    results, cursor._uncounted = cursor._uncounted, []
    try:
        for result in results:
            yield from count_gen(admission.meter, *size_of(result))
        BaseCursor._set_results(cursor, results)
    except BaseException as ex:
        cursor._drop(admission, ex)
        raise
