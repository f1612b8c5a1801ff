"""What every guarded cursor does, in either colour: judge, send what was judged, mask.

1. A statement is rendered once, from the caller's query and parameters; those bytes are
   judged, and only those bytes may leave.
2. A refusal comes before anything is sent, the transaction's BEGIN included.
3. Statements go by the extended protocol, one at a time.
4. A result is loaded by a transformer that knows which admission it belongs to; in a
   pipeline, where results come later, each waits with its own.
5. A result that is withheld leaves nothing on the cursor.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice
from typing import TYPE_CHECKING, Any
from weakref import ReferenceType

from psycopg import errors as e
from psycopg._connection_base import BaseConnection
from psycopg.abc import Params, PQGen, Query
from psycopg.client_cursor import ClientCursorMixin
from psycopg.rows import Row, RowMaker

from tracewall.approval.desk import Permit
from tracewall.approving import UNASKABLE, clear_gen, fenced_gen, metered_gen, size_of
from tracewall.budgets import count_gen
from tracewall.copy_base import CopyDoor
from tracewall.errors import AuditUnavailable, Forbidden, TokenRejected, Withheld
from tracewall.facade import ShownResult
from tracewall.handover import turn_over_gen
from tracewall.holder import HELD
from tracewall.learning import confirm_gen, learn_gen, refresh_gen
from tracewall.queueing import Queueing
from tracewall.recorded_rows import RecordedResult, renew_loaders, transformer
from tracewall.rows import GuardedTransformer, Transformer, masked_columns
from tracewall.sending import break_if_stuck, check_pins, check_types
from tracewall.session import Admission, Session
from tracewall.sql.statement import is_empty
from tracewall.waist import check, drift, overridden

if TYPE_CHECKING:
    from psycopg._queries import PostgresQuery
    from psycopg.pq.abc import PGresult


check(drift())


class GuardedCursor(CopyDoor[Row], Queueing):
    """The guard of a cursor class; put it before psycopg's own in the list of bases."""

    _admission: Admission | None = None
    _permit: Permit | None = None
    _rendered: PostgresQuery | None = None
    _shown: Any = None
    _plain: Any = None
    _taped: bool = False
    _uncounted: Sequence[PGresult] = ()
    _owners: list[tuple[PGresult, Admission, Any]] | None = None

    def __init_subclass__(cls, **options: Any) -> None:
        """Refuse a class that would look on while results are set. Raises TypeError."""
        super().__init_subclass__(**options)
        if wrong := overridden(cls):
            raise TypeError(f"a guarded cursor keeps psycopg's own {', '.join(wrong)}")

    def _guarded_by(self) -> Session:
        session: Session | None = self._conn._session
        if session is None:
            raise Forbidden("this cursor's connection is not guarded by a wall")
        return session

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
        rendered, admission = yield from self._judge_gen(query, params)
        try:
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
        if conn._prepared._to_flush:
            yield from conn._prepared.maintain_gen(conn)

    def _judge_gen(
        self, query: Query, params: Params | None, door: str = ""
    ) -> PQGen[tuple[PostgresQuery, Admission]]:
        """Render a statement and have it judged, by a catalog read anew where that may help."""
        conn, session = self._conn, self._guarded_by()
        if session.known.outdated():
            yield from refresh_gen(conn)
        rendered = self._render(query, params)
        try:
            return rendered, self._admit(session, rendered, door=door)
        except Forbidden:
            if not session.may_learn():
                raise
        # The catalog may have changed since it was read: look again, and judge anew.
        yield from learn_gen(conn)
        return rendered, self._admit(session, rendered, door=door)

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
        check_types(rendered, self._guarded_by())
        if type(rendered.query) is not bytes:
            # A subclass of bytes may answer differently the next time; its buffer can't.
            rendered.query = bytes(memoryview(rendered.query))
        return rendered

    def _admit(
        self, session: Session, rendered: PostgresQuery, batch: int = 0, door: str = ""
    ) -> Admission:
        """Have a rendered statement judged, and choose what its results are loaded with."""
        check_pins(self._conn._wire, session)
        transaction = self._conn._transaction()
        admission = session.admit(rendered.query, batch, rendered.params or (), door, transaction)
        self._admission = admission
        shown, veils = self._shown, admission.judged.veils or None
        taped = admission.take is not None
        if shown is None or taped or getattr(shown, "veils", None) is not veils:
            self._taped = taped
            self._shown = transformer(self, admission, self._plain or Transformer(self))
        self._tx = self._shown
        return admission

    def _admit_now(
        self, query: Query, params: Params | None, batch: int = 0, door: str = "executemany"
    ) -> PQGen[None]:
        """Render a statement and have it judged; what psycopg converts next is that."""
        self._rendered = None
        rendered = self._render(query, params)
        admission = self._admit(self._guarded_by(), rendered, batch)
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
        params_seq = yield from self._admit_many(query, params_seq)
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
            batch = len(params_seq) if type(params_seq) in (list, tuple) else 0  # type: ignore[arg-type]
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
        self._check_leaving(query)
        super()._send_prepare(name, query)
        if self._conn._pipeline:
            self._make_sure()

    def _send_query_prepared(
        self, name: bytes, pgq: PostgresQuery, *, binary: bool | None = None
    ) -> None:
        self._check_leaving(pgq)
        super()._send_query_prepared(name, pgq, binary=binary)
        if self._conn._pipeline:
            self._queued()

    def _check_leaving(self, query: PostgresQuery) -> None:
        admission = self._admission
        if self._execmany_returning is not None:
            check_types(query, self._guarded_by())
        if admission is not None and query.query == admission.sql:
            if not admission.cleared:
                raise Withheld("the statement that was about to leave waits for approval")
            self._check_holder(admission)
            if self._execmany_returning is not None:
                self._guarded_by().check_written(admission, query.params or ())
            return
        if admission is None or not self._binds_again():
            raise Withheld("the statement that was about to leave is not the one that was judged")
        if not self._conn._pipeline:
            self._finish(admission)
        fresh = self._admit(self._guarded_by(), query)
        if not fresh.cleared:
            raise self._guarded_by().refuse(fresh, Forbidden(UNASKABLE))
        self._check_holder(fresh)

    def _check_holder(self, admission: Admission) -> None:
        # An empty statement, by which pools look whether the server is there, is nobody's.
        if admission.holder is not self._guarded_by().holder and not is_empty(admission.sql):
            raise self._guarded_by().refuse(admission, Forbidden(HELD))

    def _binds_again(self) -> bool:
        """Tell whether each row of an executemany is a text of its own, to be judged anew."""
        return self._execmany_returning is not None and isinstance(self, ClientCursorMixin)

    # --- out ------------------------------------------------------------------------

    def _check_results(self, results: list[PGresult]) -> None:
        late = self._next_waiting() if self._waiting else None
        try:
            super()._check_results(results)
        except BaseException as ex:
            if late is not None:
                self._guarded_by().fail(late, ex)
            raise

    def _set_results(self, results: list[PGresult]) -> None:
        session, admission = self._guarded_by(), self._admission
        try:
            for result in results:
                session.observe(admission, result)
            if admission is not None and admission.meter is not None:
                # Counted before they are set, by whoever sends.
                self._uncounted = results
                return
            if self._conn._pipeline:
                # Results of several statements may gather here, each shown in its own way.
                self._owners = self._owners or []
                assert admission is not None
                self._owners += [(result, admission, self._shown) for result in results]
            super()._set_results(results)
        except BaseException as ex:
            self._drop(admission, ex)
            raise
        alone = self._execmany_returning is None or self._binds_again()
        if admission is not None and alone and self._conn._pipeline:
            self._finish(admission)

    def _select_current_result(self, i: int, format: Any = None) -> None:
        if self._owners is not None:
            chosen = self._results[i]
            shown = [shown for result, _, shown in self._owners if result is chosen]
            self._tx = shown[0] if shown else GuardedTransformer(self)
        super()._select_current_result(i, format)

    def _make_row_maker(self) -> RowMaker[Row]:
        # Before any row factory looks at the cursor.
        self._cover_result()
        return super()._make_row_maker()

    def _cover_result(self) -> None:
        """Put a facade in place of a result that holds raw values of masked columns."""
        result: Any = self.pgresult
        veils = getattr(self._tx, "veils", None)
        recorded = hasattr(self._tx, "take")
        if (veils or recorded) and result is not None and not isinstance(result, ShownResult):
            kind = RecordedResult if recorded else ShownResult
            covered: Any = kind(result, frozenset(veils or ()))
            self.pgresult = covered

    def _stream_fetchone_gen(self, first: bool) -> PQGen[PGresult | None]:
        result = yield from super()._stream_fetchone_gen(first)
        admission = self._admission
        if admission is not None and admission.ended:
            # psycopg drains what was withheld: there is nothing more to show or to record.
            self.pgresult = None
        elif result is not None:
            session = self._guarded_by()
            try:
                # Each time, for a consumer may let hours pass between two rows.
                session.recheck()
                if first or admission is None:
                    session.observe(admission, result)
                else:
                    # Each result of a stream has the columns that its first one had.
                    session.count(admission, result.ntuples)
                if admission is not None and admission.meter is not None:
                    yield from count_gen(admission.meter, *size_of(result), ahead=True)
            except (Forbidden, TokenRejected) as ex:
                self._drop(admission, ex)
                raise
            self._cover_result()
        return result

    def _drop(self, admission: Admission | None, error: BaseException) -> None:
        self._results = []
        self.pgresult = None
        if admission is not None:
            self._guarded_by().fail(admission, error)

    def _finish(self, admission: Admission) -> None:
        """Record that a statement ended well, or break the connection: what it did is done."""
        try:
            self._guarded_by().finish(admission)
        except AuditUnavailable:
            self._conn._wire.finish()
            raise

    def _done(self, error: BaseException | None = None) -> None:
        """Record the outcome of what took more than one step (executemany, stream)."""
        admission = self._admission
        if admission is None:
            return
        session = self._guarded_by()
        if error is None or isinstance(error, GeneratorExit):
            # An early break out of a stream is a normal end.
            self._finish(admission)
        else:
            session.fail(admission, error)
        if error is not None and self._conn._pipeline is None:
            # It had a pipeline of its own, of which nothing more will come.
            session.abandon(queued=True)
            break_if_stuck(self._conn)

    @classmethod
    def _loaders_changed(cls, wself: ReferenceType[Any], oid: int, loader: Any) -> None:
        cursor = wself()
        if cursor is not None:
            renew_loaders(cursor)
