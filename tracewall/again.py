"""A statement that this connection has sent before, sent once more by a short way.

1. The way is for a text that psycopg has prepared on this connection, under the judgement that
   it was sent by then: what its parameters, the time or people have a say in goes the long way.
2. A ticket keeps what follows from the text alone. All that may have changed is looked at each
   time: who acts, whether they still may, the catalog, the pinned settings, the result.
3. Whatever is not as it was goes the long way, with the parameters as they were dumped: they
   are dumped once.
4. It stands in for functions of psycopg's, and for ours around them, where a class of cursors
   has no others; `tracewall.waist` sees that psycopg's are those that it was written after.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import msgspec
import psycopg
from psycopg import errors as e
from psycopg._cursor_base import BaseCursor
from psycopg._queries import PostgresQuery
from psycopg.abc import Params, PQGen, Query
from psycopg.generators import execute
from psycopg.pq import ConnStatus, ExecStatus, TransactionStatus
from psycopg.rows import Row

from tracewall.asked import NOTHING
from tracewall.commands import ENDS
from tracewall.events import Who
from tracewall.judge import Judged, remember
from tracewall.learning import refresh_gen
from tracewall.recorded_rows import transformer
from tracewall.rows import Transformer
from tracewall.sending import ENCODING, STRINGS, check_types, fix
from tracewall.session import Admission, Session
from tracewall.showing import Showing
from tracewall.waist import KNOWN_DEALINGS, dealings

if TYPE_CHECKING:
    from psycopg._queries import QueryPart
    from psycopg.adapt import PyFormat
    from psycopg.pq.abc import PGresult

_MOST = 256
"""How many tickets a connection keeps; psycopg keeps a hundred statements prepared."""

_PLAIN = (BaseCursor, psycopg.Cursor, psycopg.AsyncCursor)
_BY_POSITION = (tuple, list)
_OK, _TUPLES = ConnStatus.OK, ExecStatus.TUPLES_OK
_IDLE, _ACTIVE = TransactionStatus.IDLE, TransactionStatus.ACTIVE


_KNOWN = dealings() in KNOWN_DEALINGS

_STEPS = (
    "execute _query_cls _start_query _reset _convert_query _get_prepared _maybe_prepare_gen "
    "_execute_gen _executemany_gen_pipeline _send_query_prepared _check_results _set_results "
    "_select_current_result _make_row_maker"
).split()
"""What of a class of cursors the short way stands in for."""


class Ticket(msgspec.Struct, frozen=True, eq=False):
    """What follows from a statement's text, once it was judged for whoever acts.

    ``key`` is what psycopg knows it by once it is prepared: the bytes and the parameters' types.
    ``wanted``, ``parts`` and ``order`` are what psycopg made of its placeholders; ``count`` is
    how many parameters it takes by position (-1: it takes none at all, or by name).
    """

    who: Who
    judged: Judged
    key: tuple[bytes, tuple[int, ...]]
    wanted: list[PyFormat] | None
    parts: list[QueryPart]
    order: list[str] | None
    count: int


class Again(Showing[Row]):
    """The part of a guarded cursor that sends what was sent before."""

    _admission: Admission | None = None
    _shown: Any = None
    _plain: Any = None
    _taped: bool = False
    _row_factory: Any
    _short: ClassVar[bool] = False
    """True where the short way does what the class's own functions would."""

    def __init_subclass__(cls, **options: Any) -> None:
        """Find out whether a class has functions of its own where the short way calls none."""
        super().__init_subclass__(**options)
        cls._short = _KNOWN and all(
            _is_known(kind, name) for kind in cls.__mro__ for name in _STEPS
        )

    def _remember(self, query: Query, rendered: PostgresQuery, admission: Admission) -> None:
        """Write a ticket for a statement that went well, where it may go the short way."""
        conn, key = self._conn, (rendered.query, rendered.types)
        if type(query) is not str or not self._short or key not in conn._prepared._names:
            return
        session = self._guarded_by()
        who = admission.who
        if who is None or not may_come_again(session, admission):
            return
        bare, parts = rendered._want_formats is None, getattr(rendered, "_parts", [])
        count = -1 if bare or rendered._order is not None else len(parts) - 1
        made = Ticket(
            who,
            admission.judged,
            key,
            rendered._want_formats,
            parts,
            rendered._order,
            count,
        )
        remember(conn._tickets, query, made, _MOST)

    def _send_gen(self, query: Query, rendered: PostgresQuery) -> PQGen[None]:
        """Have a statement judged that was rendered, and send it: the long way."""
        # Of the cursor that this is a part of, which comes before it.
        raise NotImplementedError

    def _again_gen(self, query: Query, params: Params | None, ticket: Ticket) -> PQGen[None]:
        # In few functions, for each call that is left out here is felt by a lookup.
        conn = self._conn
        session, wire = conn._session, conn._wire
        if session.known.outdated():
            yield from refresh_gen(conn)
        if self._closed:
            raise e.InterfaceError("the cursor is closed")
        if wire.status != _OK:
            conn._check_connection_ok()
        if (params is None) is not (ticket.wanted is None):
            # Only with parameters a percent sign is psycopg's to read: it is another text.
            yield from self._execute_gen(query, params)
            return
        shown = self._begin_again(query, ticket)
        plain, key, values = self._plain, ticket.key, None
        if params is not None and ticket.wanted is not None:
            values = self._dumped(plain, params, ticket)
        if self._closed:
            # A dumper of the caller's may do anything meanwhile.
            raise e.InterfaceError("the cursor is closed")
        types = plain.types or () if values is not None else ()
        formats = plain.formats if values is not None else None
        admission = self._admit_again(ticket) if types == key[1] else None
        if admission is None:
            rendered = _rendered(ticket, plain, values, types)
            fix(rendered)
            check_types(rendered, session)
            yield from self._send_gen(query, rendered)
            return
        left = False
        try:
            session.fresh = None
            self._admission = admission
            pgconn, names = self._pgconn, conn._prepared._names
            pgconn.send_query_prepared(
                names[key], values, param_formats=formats, result_format=self.format
            )
            left = True
            # The server is at work on it by now.
            session.meanwhile(admission)
            names.move_to_end(key)
            if shown is None:
                self._shown = shown = transformer(self, admission, plain)
            self._tx = shown
            results = yield from execute(pgconn)
            self._show_again(admission, results, shown)
            session._end(admission, "ok")
        except BaseException as ex:
            self._fail_again(admission, ex, left=left)
            raise
        self._last_query = query
        if conn._prepared._to_flush:
            yield from conn._prepared.maintain_gen(conn)

    def _begin_again(self, query: Query, ticket: Ticket) -> Any:
        """Forget the last result, as psycopg does; give what shows the next one, if it is there."""
        last, shown = self._admission, None
        # As BaseCursor._reset does.
        self._results = []
        self.pgresult = self._query = self._statusmessage = self._execmany_returning = None
        self._pos = self._iresult = 0
        self._rowcount = -1
        self._admission = self._owners = None
        if last is not None and last.judged is ticket.judged and self._last_query is query:
            shown = self._shown
        if shown is None or self._taped:
            self._last_query = self._shown = shown = None
            self._taped = False
            self._plain = Transformer(self)
        # Parameters are dumped as psycopg would, whatever hid the last result.
        self._tx = self._plain
        return shown

    def _dumped(self, plain: Any, params: Params, ticket: Ticket) -> Any:
        """Dump parameters; their types and formats are the transformer's then."""
        if type(params) not in _BY_POSITION or len(params) != ticket.count:
            params = PostgresQuery.validate_and_reorder_params(ticket.parts, params, ticket.order)
        return plain.dump_sequence(params, ticket.wanted)

    def _admit_again(self, ticket: Ticket) -> Admission | None:
        """Have it recorded that what is prepared is sent; None: it has to go the long way."""
        conn, prepared = self._conn, self._conn._prepared
        session, told = conn._session, conn._wire.parameter_status
        idle = conn._wire.transaction_status == _IDLE
        if (
            ticket.key not in prepared._names
            or prepared.prepare_threshold is None
            or told(STRINGS) != b"on"
            or told(ENCODING) != b"UTF8"
            or conn._pipeline is not None
            or (idle and not conn._autocommit)
        ):
            return None
        transactions = session.transactions
        number = transactions.within(idle, True) if not idle or transactions.kept else 0
        found: Admission | None = session.again(ticket.key[0], ticket.who, ticket.judged, number)
        return found

    def _fail_again(self, admission: Admission, error: BaseException, *, left: bool) -> None:
        """Record that it failed; it may have `left`."""
        wire = self._conn._wire
        if not left:
            self._conn._session.meanwhile(admission)
        elif wire.transaction_status == _ACTIVE and isinstance(error, Exception):
            # A handler's, before anybody waited for an answer, which nobody would take now.
            wire.finish()
        self._drop(admission, error)

    def _show_again(self, admission: Admission, results: list[PGresult], shown: Any) -> None:
        """Look at what came, then have it shown."""
        result = results[0] if len(results) == 1 else None
        if result is None or result.status != _TUPLES:
            self._check_results(results)
            self._set_results(results)
            return
        self._conn._session.observe(admission, result)
        # As BaseCursor._select_current_result does.
        self._results = results
        # A loader of the caller's that is made meanwhile sees no result.
        shown.set_pgresult(result)
        self.pgresult = result
        self._rowcount = admission.rows
        self._statusmessage = result.command_status
        plain = shown is self._plain
        self._make_row = self._row_factory(self) if plain else self._make_row_maker()


def _rendered(ticket: Ticket, plain: Any, values: Any, types: tuple[int, ...]) -> PostgresQuery:
    """Give what psycopg would have made of a statement whose parameters are dumped."""
    made = PostgresQuery(plain)
    made.query, made._want_formats = ticket.key[0], ticket.wanted
    made._parts, made._order = ticket.parts, ticket.order
    made.params, made.types = values, types
    made.formats = plain.formats if values is not None else None
    return made


def _is_known(kind: type[Any], name: str) -> bool:
    """Tell whether a class has nothing of its own by a name, or psycopg's or ours."""
    ours = kind.__module__.partition(".")[0] == __name__.partition(".")[0]
    return name not in vars(kind) or ours or kind in _PLAIN


def may_come_again(session: Session, admission: Admission) -> bool:
    """Tell whether a statement that has ended well may go the short way, by what it is."""
    judged, judge = admission.judged, session._judge
    decision = judged.decision
    # A judge that only observes, or for whom something was revealed, is to be asked anew.
    known = judge is not None and judge.said.get(admission.sql) is judged
    alone = session.taping is None and session._person is None and not session.known.is_watched
    # A log that is told by threads has to be waited for.
    alone = alone and session.offering is None and admission.intent >= 0
    plain = not (judged.writes or judged.door or judged.what.kept or decision.approvals)
    plain = plain and decision.outcome == "allowed" and not decision.unfollowed
    plain = plain and decision.summary not in ENDS and admission.meter is None
    return known and alone and plain and not session._observed and admission.said is NOTHING
