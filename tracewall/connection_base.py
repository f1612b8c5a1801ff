"""What every guarded connection does, in either colour: log in for the caller, then guard.

1. The wall logs in; the caller chooses neither where nor as whom, and never sees the
   credential.
2. Nothing but guarded cursors, and psycopg's own transaction commands, sends anything.
3. What the server says in errors and notices is scrubbed before the caller sees it.
"""

from __future__ import annotations

import re
import sys
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, cast
from weakref import ref

from psycopg import Notify
from psycopg import errors as e
from psycopg._connection_base import BaseConnection
from psycopg.adapt import AdaptersMap
from psycopg.conninfo import conninfo_to_dict
from psycopg.pq import ConnStatus, Format, TransactionStatus
from psycopg.rows import Row
from psycopg.sql import Composable

from tracewall.again import Ticket
from tracewall.clearance import explained
from tracewall.commands import commits, verb
from tracewall.errors import AuditUnavailable, Forbidden
from tracewall.facade import KNOWN, ShownConnection, inside
from tracewall.handover import pin_gen, welcome_gen
from tracewall.hearing import take_notice, take_notification
from tracewall.info import GuardedInfo
from tracewall.learning import learn_gen
from tracewall.lending import take_in
from tracewall.offering import kept_gen
from tracewall.policy.model import Decision
from tracewall.scrubbing import scrubbed
from tracewall.server_cursor_base import adopted
from tracewall.session import Admission, Session
from tracewall.telemetry import Span
from tracewall.wall import Wall

if TYPE_CHECKING:
    # Some of these names came with later releases of psycopg.
    from psycopg.abc import ConnDict, Params, PQGen, Query, QueryNoTemplate
    from psycopg.pq.abc import PGconn, PGresult

CALLERS_OPTIONS = frozenset(
    "application_name fallback_application_name connect_timeout keepalives keepalives_idle "
    "keepalives_interval keepalives_count tcp_user_timeout".split()
)
"""The connection options that are the caller's to choose; all others are the wall's."""

_IN_TRANSACTION = (TransactionStatus.INTRANS, TransactionStatus.INERROR)

# psycopg's own commands, as it composes them (_connection_base.py, transaction.py,
# _server_cursor_base.py). Names are quoted by psycopg; nothing else fits.
_NAME = rb'"(?:[^"]|"")*"'
_TEXT = rb"(?:'(?:[^']|'')*'| ?E'(?:[^'\\]|''|\\.)*')"
_COMMANDS = re.compile(
    rb"BEGIN(?: ISOLATION LEVEL (?:READ UNCOMMITTED|READ COMMITTED|REPEATABLE READ|SERIALIZABLE))?"
    rb"(?: READ (?:ONLY|WRITE))?(?: (?:NOT )?DEFERRABLE)?"
    rb"|COMMIT|ROLLBACK|DEALLOCATE ALL|DEALLOCATE _pg3_\d+"
    rb"|(?:SAVEPOINT|RELEASE|ROLLBACK TO|CLOSE) " + _NAME + rb"|PREPARE TRANSACTION " + _TEXT
    + rb"|(?:COMMIT|ROLLBACK) PREPARED " + _TEXT
)  # fmt: skip


def login(wall: Wall, conninfo: str, options: dict[str, Any]) -> ConnDict:
    """Give the parameters to log in with: the wall's own, and the harmless ones of the caller.

    Raises:
        Forbidden: the caller asks for another server, database or role, or brings a
            password.
        PolicyError: the wall's password can't be had.
    """
    asked = conninfo_to_dict(conninfo, **options)
    params = conninfo_to_dict(wall.policy.database.conninfo)
    if wall.unsafe_logins:
        return {**params, **asked}
    for name, value in asked.items():
        if name in CALLERS_OPTIONS:
            params[name] = value
        elif name == "password":
            raise Forbidden("the wall logs in: leave the password out of the connection options")
        elif str(params.get(name, "")) != str(value):
            raise Forbidden(f"the wall logs in: the connection option {name} is not yours to set")
    password = wall._credential()
    if password:
        params["password"] = password
    params["client_encoding"] = "utf8"
    return params


def connecting(wall: Wall, params: ConnDict) -> Span | None:
    """Start the span of a log-in with these parameters, if anybody would record it."""
    host = str(params.get("host") or params.get("hostaddr") or "").partition(",")[0]
    port = str(params.get("port") or "").partition(",")[0]
    database = str(params.get("dbname") or "")
    return wall.telemetry.connecting(host, int(port) if port.isdecimal() else 0, database)


def identify(session: Session, span: Span | None) -> None:
    """Return when it is known who logs in; else the span of the log-in has ended.

    Raises:
        TokenRejected: nobody acts, or their token is refused.
        AuditUnavailable: so, and that can't be recorded.
    """
    try:
        session.principal()
    except BaseException as ex:
        session.wall.telemetry.connected(span, session=session.id, error_type=type(ex).__name__)
        raise


class GuardedConnection(BaseConnection[Row]):
    """The guard of a connection class; put it before psycopg's own in the list of bases."""

    _session: Session | None = None
    _entrance: bool = False
    _doors: ClassVar[type[Any]]
    _portals: dict[str, Admission]
    """The server-side cursors that were declared, by name, each with its admission."""

    _tickets: dict[str, Ticket]
    """What is known of statements that may go the short way, by their texts."""

    _flowing: Admission | None = None
    """The stream or COPY that is or was at work, whose rows come one by one."""

    _hearing: deque[Notify] | None = None
    """What `notifies` has to hand out, while it runs."""

    def __init__(self, pgconn: PGconn, *rest: Any, **options: Any) -> None:
        self._wire = pgconn
        self._portals = {}
        self._tickets = {}
        self._facade: PGconn = cast(Any, ShownConnection(pgconn))
        super().__init__(pgconn, *rest, **options)
        pgconn.notice_handler = partial(take_notice, ref(self))
        pgconn.notify_handler = partial(take_notification, ref(self))

    @property
    def pgconn(self) -> PGconn:
        """The libpq connection for psycopg's own code, a facade of it for everybody else's."""
        frame = sys._getframe(1)
        return self._wire if id(frame.f_globals) in KNOWN or inside(frame) else self._facade

    @pgconn.setter
    def pgconn(self, value: PGconn) -> None:
        if value is not self._wire:
            raise Forbidden("the libpq connection of a guarded connection can't be exchanged")

    @property
    def adapters(self) -> AdaptersMap:
        """psycopg's adapters map of the connection; a cursor that is made by hand is taken in."""
        take_in(sys._getframe(1), self._doors)
        return super().adapters

    @property
    def cursor_factory(self) -> Any:
        """The class of new cursors; another class is taken in, guarded."""
        return self._cursor_factory

    @cursor_factory.setter
    def cursor_factory(self, kind: Any) -> None:
        self._cursor_factory = adopted(kind, self._doors)

    @property
    def server_cursor_factory(self) -> Any:
        """The class of new server-side cursors; another class is taken in, guarded."""
        return self._server_cursor_factory

    @server_cursor_factory.setter
    def server_cursor_factory(self, kind: Any) -> None:
        self._server_cursor_factory = adopted(kind, self._doors)

    @property
    def info(self) -> GuardedInfo:
        """What may be known of the connection; it holds no credential."""
        return GuardedInfo(self._facade)

    def explain(self, query: Query, params: Params | None = None) -> Decision:
        """Say what the policy says of a statement, without sending or recording it.

        Args:
            query: as for ``execute``.
            params: as for ``execute``; they are bound, and play no part in the decision.

        Returns:
            The decision for whoever acts on the connection; `str` of it is for people.

        Raises:
            TokenRejected: nobody acts, or their token is refused.
            Forbidden: the connection's catalog is not known.
        """
        if self._session is None:
            raise Forbidden("this connection is not guarded by a wall")
        cursor: Any = cast(Any, self).cursor()
        return explained(self._session, cursor._render(query, params).query)

    def _guard(self, session: Session) -> None:
        info = self.info
        session.locate(info.host, info.port)
        self._session = session

    def _let_in(self) -> None:
        """Tell that a guarded cursor is about to start a query."""
        self._entrance = True

    def _shut(self) -> None:
        """Take that back, whether or not the query started."""
        self._entrance = False

    def _check_connection_ok(self) -> None:
        if self._wire.status != ConnStatus.OK:
            super()._check_connection_ok()

    def _start_query(self) -> PQGen[None]:
        entered, self._entrance = self._entrance, False
        if not entered:
            raise Forbidden("this cursor is not guarded; use the connection's cursor()")
        yield from super()._start_query()

    def _exec_command(
        self, command: QueryNoTemplate, result_format: Format = Format.TEXT
    ) -> PQGen[PGresult | None]:
        if isinstance(command, Composable):
            command = command.as_bytes(self)
        elif isinstance(command, str):
            command = command.encode()
        command = bytes(memoryview(command))
        if not _COMMANDS.fullmatch(command):
            raise Forbidden("a command was about to leave that was not judged")
        if command.startswith(b"BEGIN"):
            # In the transaction it would be too late for another principal.
            yield from welcome_gen(self)
        admission = yield from self._intend_gen(command)
        try:
            if admission is not None:
                self._told().fresh = None
            result = yield from super()._exec_command(command, result_format)
            if admission is not None:
                self._settled(admission, result)
        except BaseException as ex:
            if admission is not None:
                self._told().fail(admission, ex)
            raise
        return result

    def _told(self) -> Session:
        assert self._session is not None
        return self._session

    def _intend_gen(self, command: bytes) -> PQGen[Admission | None]:
        """Record the intent to send a command; without that, what would commit is rolled back."""
        session = self._session
        if session is None:
            return None
        admission = None
        try:
            admission = session.command(command, self._transaction())
            if admission is not None:
                yield from kept_gen(session, admission)
            return admission
        except (AuditUnavailable, e.QueryCanceled):
            if admission is not None and not commits(verb(command)):
                # What takes changes back is never kept from it.
                return None
            if self._pipeline is not None:
                self._wire.finish()
            elif self._wire.transaction_status in _IN_TRANSACTION:
                yield from super()._exec_command(b"ROLLBACK")
            raise

    def _settled(self, admission: Admission, result: PGresult | None) -> None:
        """Record how a command ended; in a pipeline nobody knows yet."""
        session, asked = self._told(), admission.judged.decision.summary
        if result is None:
            session.unsure(admission)
        elif asked == "COMMIT" and result.command_status == b"ROLLBACK":
            # What the server answers where a statement of the transaction has failed.
            session.rolled_back(admission)
        else:
            session.finish(admission)

    def _transaction(self) -> int:
        """Give the number of the transaction that what leaves next is in."""
        idle = self._wire.transaction_status == TransactionStatus.IDLE
        session: Any = self._session
        number: int = session.transactions.within(idle, self._autocommit)
        return number

    def _settle_gen(self) -> PQGen[None]:
        """Pin what judging depends on, then read the catalog."""
        assert self._session is not None
        yield from pin_gen(self)
        yield from learn_gen(self)

    def _scrubbed(self, error: e.Error) -> e.Error:
        if self._session is not None and self._session.trusted:
            return error
        if self._session is None:
            return scrubbed(error, None)
        return scrubbed(error, self._session.catalog, self._wire.get_error_message())


def _concealed(name: str, shown: Callable[[Any], Any]) -> property:
    def give(self: Any) -> Any:
        found = vars(self)[name]
        return found if inside(sys._getframe(1)) else shown(found)

    return property(give, doc=f"psycopg's {name} for its own code, a harmless one for others.")


class GuardedPipeline:
    """The guard of a pipeline class: neither its connection nor its queues are for others."""

    pgconn = _concealed("pgconn", ShownConnection)
    command_queue = _concealed("command_queue", lambda queue: deque())
    result_queue = _concealed("result_queue", lambda queue: deque())
