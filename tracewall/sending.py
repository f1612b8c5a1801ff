"""What is looked at when a statement is about to leave, and what becomes of one that can't."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable
from operator import index
from traceback import walk_tb
from typing import TYPE_CHECKING, Any

from psycopg import errors as e
from psycopg.pq import ConnStatus, Format, PipelineStatus, TransactionStatus

from tracewall.errors import Forbidden, TokenRejected

if TYPE_CHECKING:
    from psycopg._queries import PostgresQuery
    from psycopg.pq.abc import PGconn

    from tracewall.admission import Admission
    from tracewall.session import Session

_LOOKING_UP = frozenset(
    {24, 2202, 2203, 2204, 2205, 2206, 3734, 3769, 4089, 4096, 4191, 8326}
    | {1008, 2207, 2208, 2209, 2210, 2211, 3735, 3770, 4090, 4097, 4192, 8327}
)
"""The oids of regproc, regclass, regrole and their like, and of their arrays (pg_type.dat).

The server looks up what a parameter of such a type names, so that its error would tell
what exists.
"""

_LEFT_OPEN = frozenset(
    {
        ("BaseTransaction._enter_gen", "GEN_CREATED"),
        ("BaseTransaction._enter_gen", "GEN_CLOSED"),
        ("BaseTransaction._exit_gen", "GEN_CREATED"),
        ("BasePipeline._enter_gen", "GEN_CLOSED"),
        ("BasePipeline._exit_gen", "GEN_CREATED"),
    }
)
"""psycopg's generators that begin and end transactions and pipelines, where interrupted."""

_FIXED = (bytes, type(None))
_EXACT = frozenset({int})
_FORMATS = frozenset({int, Format})

STRINGS = b"standard_conforming_strings"
ENCODING = b"client_encoding"
# Judging depends on both, and the server reports them by itself whenever they change.


def _exempt(session: Session) -> bool:
    """Tell whether whoever acts may do anything, and nothing is protected from them."""
    try:
        return session._ready(b"-")[1].trusts
    except (TokenRejected, Forbidden):
        return False


def check_pins(pgconn: PGconn, session: Session) -> None:
    """Return when the server reads text as the judge does; nothing is sent for that.

    Raises:
        Forbidden: it does not any more, and whoever acts may not do just anything.
    """
    told = pgconn.parameter_status
    if told(STRINGS) != b"on":
        name = STRINGS.decode()
    elif told(ENCODING) != b"UTF8":
        name = ENCODING.decode()
    else:
        return
    if not _exempt(session):
        reason = (
            f"{name} is not what the wall has pinned, so the server would read "
            "the statement otherwise than it was judged; connect anew"
        )
        raise session.unjudged(Forbidden(reason))


def looks_up(query: PostgresQuery) -> bool:
    """Tell whether a parameter has a type that looks names up."""
    return not _LOOKING_UP.isdisjoint(query.types)


def check_types(query: PostgresQuery, session: Session, admission: Admission | None = None) -> None:
    """Return when no parameter's type looks names up.

    Args:
        query: what is about to be judged, or to leave.
        session: whoever acts on it.
        admission: by which it is about to leave; None: it is not judged yet.

    Raises:
        Forbidden: one does, and whoever acts may not do just anything.
    """
    if looks_up(query) and not _exempt(session):
        error = Forbidden("a parameter has a type that looks names up in the catalog")
        raise error if admission is not None else session.unjudged(error)


def fix(query: PostgresQuery) -> None:
    """Keep parameters as they are now: what a program's dumper gave may answer otherwise later.

    That is a buffer, which may change, and also a number that compares as another than it is.
    """
    if query.params:
        fixed = [
            each if type(each) in _FIXED else bytes(memoryview(each))  # type: ignore[arg-type]  # not None
            for each in query.params
        ]
        # ClientCursor's are a tuple, and whoever reads `_query` afterwards finds them so.
        query.params = tuple(fixed) if type(query.params) is tuple else fixed
    if not _EXACT.issuperset(map(type, query.types)):
        query.types = tuple(map(_exact, query.types))
    if query.formats and not _FORMATS.issuperset(map(type, query.formats)):
        query.formats = [Format(_exact(each)) for each in query.formats]


def _exact(number: Any) -> int:
    """Give a number as libpq will take it, whatever its class says of it."""
    return int.__index__(index(number))


def send_or_break(pgconn: PGconn, command: Callable[[], None]) -> None:
    """Send; a connection over which that failed is closed."""
    try:
        command()
    except BaseException:
        pgconn.finish()
        raise


def broken_off(conn: Any, generator: Any, error: BaseException) -> None:
    """Close a connection if an interrupt has ended the generator that was at work on it.

    What it left half done nobody will end: an answer not taken, a count of transactions, a
    queue. One that came while the generator waited has not ended it, and is dealt with by
    psycopg, which cancels the statement; the rows of a stream or a COPY are taken to their
    end by their door.
    """
    code = getattr(generator, "gi_code", None)
    # An end of a transaction that never ran leaves the count of them wrong, and so does a
    # beginning that nobody knows to have succeeded, or that psycopg takes back though it never ran.
    died = (code and code.co_qualname, _state(generator)) in _LEFT_OPEN
    died = died or any(frame.f_code is code for frame, _ in walk_tb(error.__traceback__))
    # Not every psycopg ends a statement whose cancelling was itself interrupted, and none does
    # where an alarm comes between sending and waiting.
    stuck = conn._wire.transaction_status == TransactionStatus.ACTIVE and conn._pipeline is None
    flowing = conn._flowing is not None and not conn._flowing.ended
    if (stuck or (died and not isinstance(error, Exception))) and not flowing:
        conn._wire.finish()


def _state(generator: Any) -> str:
    return inspect.getgeneratorstate(generator) if inspect.isgenerator(generator) else ""


def check_process(conn: Any) -> None:
    """Return in the process that a connection was made in; in the child of a fork let it go.

    Two processes at one connection would take each other's rows. The server hears nothing
    of it, and the parent goes on.

    Raises:
        OperationalError: this is the child of a fork.
    """
    session = conn._session
    if session is not None and session.is_forked():
        let_go(conn)
        raise e.OperationalError(
            "the connection belongs to the process that this one was forked from; connect anew"
        )


def let_go(conn: Any) -> None:
    """Close a connection without a word to the server."""
    if conn._wire.status == ConnStatus.OK:
        nowhere = os.open(os.devnull, os.O_RDWR)
        os.dup2(nowhere, conn._wire.socket)
        os.close(nowhere)
        conn._wire.finish()


def break_if_piped(conn: Any) -> None:
    """Close a connection that was left in pipeline mode with no pipeline to end it."""
    wire = conn._wire
    if wire.pipeline_status != PipelineStatus.OFF and conn._pipeline is None:
        wire.finish()


def break_if_stuck(conn: Any) -> None:
    """Close a connection that nobody uses and that waits for the end of a command for ever.

    That is left of a stream or a COPY whose end was itself broken off.
    """
    busy = conn._wire.transaction_status == TransactionStatus.ACTIVE
    if busy and not conn.lock.locked():
        conn._wire.finish()
