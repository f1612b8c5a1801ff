"""What every guarded cursor does, in either colour: judge, and send what was judged.

1. A statement is rendered once, from the caller's query and parameters; those bytes are
   judged, and only those bytes may leave.
2. A refusal comes before anything is sent, the transaction's BEGIN included.
3. Statements go by the extended protocol, one at a time.
4. A result is loaded by a transformer that knows which admission it belongs to.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain, islice
from typing import TYPE_CHECKING, Any

from psycopg import errors as e
from psycopg._connection_base import BaseConnection
from psycopg.abc import Params, PQGen, Query
from psycopg.rows import Row

from tracewall.again import Again
from tracewall.approval.desk import Permit
from tracewall.approving import UNASKABLE, clear_gen, fenced_gen, look_at, metered_gen
from tracewall.batching import sets_gen
from tracewall.copy_base import CopyDoor
from tracewall.errors import Forbidden, TokenRejected, Withheld
from tracewall.handover import turn_over_gen
from tracewall.holder import HELD
from tracewall.learning import confirm_gen, learn_gen, may_ask, refresh_gen
from tracewall.offering import keep_now, told_gen
from tracewall.queueing import even_gen
from tracewall.recorded_rows import transformer
from tracewall.rows import GuardedTransformer, Transformer, masked_columns
from tracewall.sending import check_pins, check_types, fix
from tracewall.session import Admission, Session
from tracewall.sql.statement import is_empty
from tracewall.waist import check, drift, overridden

if TYPE_CHECKING:
    from psycopg._queries import PostgresQuery


check(drift())

_AT_HAND = (list, tuple)


class GuardedCursor(CopyDoor[Row], Again[Row]):
    """The guard of a cursor class; put it before psycopg's own in the list of bases."""

    _permit: Permit | None = None
    _rendered: PostgresQuery | None = None
    _seen: Any = None
    """The parameters that were there when the statement was judged."""

    def __init_subclass__(cls, **options: Any) -> None:
        """Refuse a class that would look on while results are set. Raises TypeError."""
        super().__init_subclass__(**options)
        if wrong := overridden(cls):
            raise TypeError(
                f"a subclass of a guarded cursor keeps psycopg's own {', '.join(wrong)}"
            )

    masking = property(masked_columns)

    # --- in -------------------------------------------------------------------------

    def _execute_gen(
        self,
        query: Query,
        params: Params | None = None,
        *,
        prepare: bool | None = None,
        binary: bool | None = None,
    ) -> PQGen[None]:
        # This stands in for psycopg's own, which would render the query a second time.
        conn, session = self._conn, self._guarded_by()
        if session.known.outdated():
            yield from refresh_gen(conn)
        yield from self._send_gen(query, self._render(query, params), prepare, binary)

    def _send_gen(
        self,
        query: Query,
        rendered: PostgresQuery,
        prepare: bool | None = None,
        binary: bool | None = None,
    ) -> PQGen[None]:
        conn, session = self._conn, self._guarded_by()
        admission = yield from self._admit_gen(session, rendered)
        try:
            session.fresh = None
            if admission.holder is not session.holder:
                yield from turn_over_gen(conn, admission)
            if not admission.cleared:
                yield from clear_gen(self, rendered, admission, "execute")
            if not conn._autocommit:
                yield from BaseConnection._start_query(conn)
            sending = self._maybe_prepare_gen(rendered, prepare=prepare, binary=binary)
            if admission.meter is not None:
                sending = metered_gen(self, admission, sending)
            yield from fenced_gen(conn, sending) if admission.fenced else sending
            if conn._pipeline:
                yield from conn._pipeline._communicate_gen()
            else:
                if session.known.is_watched and self.description:
                    yield from confirm_gen(conn, admission)
                self._finish(admission)
        except BaseException as ex:
            self._drop(admission, ex)
            raise
        self._last_query = query
        self._remember(query, rendered, admission)
        if conn._prepared._to_flush:
            yield from conn._prepared.maintain_gen(conn)

    def _judge_gen(
        self, query: Query, params: Params | None, door: str
    ) -> PQGen[tuple[PostgresQuery, Admission]]:
        """Render a statement and have it judged, by a catalog read anew where that may help."""
        conn, session = self._conn, self._guarded_by()
        if session.known.outdated():
            yield from refresh_gen(conn)
        rendered = self._render(query, params)
        return rendered, (yield from self._admit_gen(session, rendered, door))

    def _admit_gen(
        self, session: Session, rendered: PostgresQuery, door: str = ""
    ) -> PQGen[Admission]:
        """Have a statement judged; a refusal stands once the catalog is known to be the same."""
        try:
            return self._admit(session, rendered, door=door)
        except (Forbidden, TokenRejected) as ex:
            known = session.catalog
            yield from told_gen(session)
            if not (isinstance(ex, Forbidden) and session.may_learn() and may_ask(self._conn)):
                raise
            yield from learn_gen(self._conn)
            if session.catalog is known:
                raise
        return (yield from self._told_gen(session, rendered, door=door))

    def _told_gen(
        self, session: Session, rendered: PostgresQuery, batch: int = 0, door: str = ""
    ) -> PQGen[Admission]:
        """Have a statement judged; a refusal is raised once it is kept."""
        try:
            return self._admit(session, rendered, batch, door)
        except (Forbidden, TokenRejected):
            yield from told_gen(session)
            raise

    def _render(self, query: Query, params: Params | None) -> PostgresQuery:
        """Render a statement, once, and freeze it."""
        if self._closed:
            raise e.InterfaceError("the cursor is closed")
        self._conn._check_connection_ok()
        self._reset()
        self._admission = self._owners = None
        if self._last_query is not query or self._shown is None or self._taped:
            self._last_query = None
            self._shown = None
            self._taped = False
            self._plain = Transformer(self)
        # Parameters are dumped as psycopg would, whatever hid the last result.
        self._tx = self._plain
        rendered = super()._convert_query(query, params)
        if self._closed:
            # A dumper of the caller's may do anything meanwhile.
            raise e.InterfaceError("the cursor is closed")
        fix(rendered)
        if rendered.types:
            check_types(rendered, self._conn._session)
        if type(rendered.query) is not bytes:
            # A subclass of bytes may answer differently the next time; its buffer can't.
            rendered.query = bytes(memoryview(rendered.query))
        return rendered

    def _admit(
        self, session: Session, rendered: PostgresQuery, batch: int = 0, door: str = ""
    ) -> Admission:
        """Have a rendered statement judged, and choose what its results are loaded with."""
        conn, written = self._conn, rendered.params or ()
        check_pins(conn._wire, session)
        admission = session.admit(rendered.query, batch, written, door, conn._transaction())
        shown, veils = self._shown, admission.judged.veils or None
        taped = admission.take is not None
        if shown is None or taped or getattr(shown, "veils", None) is not veils:
            self._taped = taped
            self._shown = transformer(self, admission, self._plain or Transformer(self))
        self._tx = self._shown
        # After what shows its results: an interrupt leaves no cursor that has another's.
        self._admission, self._seen = admission, rendered.params
        return admission

    def _admit_now(
        self, query: Query, params: Params | None, batch: int = 0, door: str = "executemany"
    ) -> PQGen[None]:
        """Render a statement and have it judged; what psycopg converts next is that."""
        self._rendered = None
        rendered = self._render(query, params)
        session = self._guarded_by()
        admission = yield from self._told_gen(session, rendered, batch)
        session.fresh = None
        yield from turn_over_gen(self._conn, admission)
        yield from clear_gen(self, rendered, admission, door, batch)
        self._rendered = rendered

    def _convert_query(self, query: Query, params: Params | None = None) -> PostgresQuery:
        rendered, self._rendered = self._rendered, None
        return rendered if rendered is not None else super()._convert_query(query, params)

    def _executemany_gen_pipeline(
        self, query: Query, params_seq: Iterable[Params], returning: bool
    ) -> PQGen[None]:
        yield from refresh_gen(self._conn)
        known = type(params_seq) in _AT_HAND
        params_seq = yield from self._admit_many(query, params_seq)
        if self._short:
            yield from sets_gen(self, query, params_seq, returning, known=known)
        else:
            yield from super()._executemany_gen_pipeline(query, params_seq, returning)

    def _executemany_gen_no_pipeline(
        self, query: Query, params_seq: Iterable[Params], returning: bool
    ) -> PQGen[None]:
        yield from refresh_gen(self._conn)
        params_seq = yield from self._admit_many(query, params_seq)
        yield from super()._executemany_gen_no_pipeline(query, params_seq, returning)

    def _admit_many(self, query: Query, params_seq: Iterable[Params]) -> PQGen[Iterator[Params]]:
        rest = iter(params_seq)
        for first in rest:
            # Only of these it is certain how many there are.
            batch = len(params_seq) if type(params_seq) in _AT_HAND else 0  # type: ignore[arg-type]  # one of these
            yield from self._admit_now(query, first, batch)
            return chain((first,), islice(rest, batch - 1) if batch else rest)
        self._admission = None
        return iter(())

    def _stream_send_gen(
        self, query: Query, params: Params | None = None, *, binary: bool | None = None, size: int
    ) -> PQGen[None]:
        yield from refresh_gen(self._conn)
        yield from self._admit_now(query, params, 1, "stream")
        self._conn._flowing = self._admission
        yield from super()._stream_send_gen(query, params, binary=binary, size=size)

    def _start_query(self, query: Query | None = None) -> PQGen[None]:
        try:
            self._conn._let_in()
            yield from super()._start_query(query)
        finally:
            self._conn._shut()
        # psycopg has just made a transformer of its own, which masks nothing.
        shown = self._shown if self._admission is not None else None
        self._tx = shown if shown is not None else GuardedTransformer(self)

    # --- the low seam ---------------------------------------------------------------

    def _maybe_prepare_gen(
        self, pgq: PostgresQuery, *, prepare: bool | None = None, binary: bool | None = None
    ) -> PQGen[None]:
        sending = super()._maybe_prepare_gen(pgq, prepare=prepare, binary=binary)
        pipeline = self._conn._pipeline
        return sending if pipeline is None else even_gen(pipeline, self._pgconn, sending)

    def _execute_send(
        self, query: PostgresQuery, *, force_extended: bool = False, binary: bool | None = None
    ) -> None:
        self._check_leaving(query)
        assert self._admission is not None
        # What can't be followed may be more than one statement, which psycopg sends simply.
        alone = force_extended or not self._admission.judged.decision.unfollowed
        super()._execute_send(query, force_extended=alone, binary=binary)
        if self._conn._pipeline:
            self._queued()

    def _send_prepare(self, name: bytes, query: PostgresQuery) -> None:
        self._check_leaving(query, parsed=True)
        super()._send_prepare(name, query)
        if self._conn._pipeline:
            self._make_sure(self._conn._pipeline)

    def _send_query_prepared(
        self, name: bytes, pgq: PostgresQuery, *, binary: bool | None = None
    ) -> None:
        self._check_leaving(pgq)
        super()._send_query_prepared(name, pgq, binary=binary)
        if self._conn._pipeline:
            self._queued()

    def _check_leaving(self, query: PostgresQuery, *, parsed: bool = False) -> None:
        admission, session = self._admission, self._conn._session
        # What psycopg knows of a batch is gone where its own sets have closed the cursor.
        many = self._execmany_returning is not None or query.params is not self._seen
        if many and self._closed:
            raise e.InterfaceError("the cursor is closed")
        if many and query.types:
            fix(query)
            check_types(query, session, admission)
        if admission is not None and query.query == admission.sql:
            if not admission.cleared:
                raise Withheld("the statement that was about to leave waits for approval")
            if admission.holder is not session.holder:
                self._check_holder(admission)
            if many:
                session.recheck(admission)
                look_at(session, admission, query)
                if not parsed:
                    session.leaves(admission, query.params or ())
            return
        if admission is None or not self._binds_again():
            raise Withheld("the statement that was about to leave is not the one that was judged")
        if not self._conn._pipeline:
            self._finish(admission)
        session = self._guarded_by()
        fresh = self._admit(session, query)
        session.fresh = None
        # psycopg is in the middle of sending: here the loop is held up.
        keep_now(session, fresh)
        if not fresh.cleared:
            raise self._guarded_by().refuse(fresh, Forbidden(UNASKABLE))
        self._check_holder(fresh)

    def _check_holder(self, admission: Admission) -> None:
        # An empty statement, by which pools look whether the server is there, is nobody's.
        if admission.holder is not self._guarded_by().holder and not is_empty(admission.sql):
            raise self._guarded_by().refuse(admission, Forbidden(HELD))
