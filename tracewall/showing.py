"""What comes back to a guarded cursor: looked at, masked, shown; and how it ended, recorded.

1. A result is looked at before any of it is shown, and loaded as its admission wants.
2. In a pipeline, where results come later, each is shown in its own way.
3. A result that is withheld leaves nothing on the cursor.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any
from weakref import ReferenceType

from psycopg import errors as e
from psycopg import generators
from psycopg._cursor_base import BaseCursor
from psycopg.client_cursor import ClientCursorMixin
from psycopg.pq import ExecStatus
from psycopg.rows import Row, RowMaker

from tracewall.admission import size_of
from tracewall.budgets import count_gen
from tracewall.errors import AuditUnavailable, Forbidden, TokenRejected
from tracewall.facade import ShownResult
from tracewall.queueing import Queueing
from tracewall.recorded_rows import RecordedResult, renew_loaders
from tracewall.rows import GuardedTransformer, Transformer
from tracewall.sending import break_if_stuck
from tracewall.session import Admission, Session

if TYPE_CHECKING:
    from psycopg.abc import PQGen
    from psycopg.pq.abc import PGresult


_FLOWING = (ExecStatus.SINGLE_TUPLE, ExecStatus.TUPLES_CHUNK)
_ENDS = (ExecStatus.TUPLES_OK, ExecStatus.COMMAND_OK)


class Showing(Queueing, BaseCursor[Any, Row]):
    """The part of a guarded cursor that takes results, and tells how statements ended."""

    _uncounted: Sequence[PGresult] = ()
    _owners: list[tuple[PGresult, Admission, Any]] | None = None

    def _guarded_by(self) -> Session:
        session: Session | None = self._conn._session
        if session is None:
            raise Forbidden("this cursor's connection is not guarded by a wall")
        return session

    def _binds_again(self) -> bool:
        """Tell whether each row of an executemany is a text of its own, to be judged anew."""
        return self._execmany_returning is not None and isinstance(self, ClientCursorMixin)

    def _check_results(self, results: list[PGresult]) -> None:
        late = self._next_waiting() if self._waiting else None
        try:
            super()._check_results(results)
        except BaseException as ex:
            if late is not None:
                self._guarded_by().fail(late, ex)
            raise

    def _set_results(self, results: list[PGresult]) -> None:
        conn, admission, many = self._conn, self._admission, self._execmany_returning
        session, pipeline = conn._session, conn._pipeline
        # One that closes its cursor is a batch all the same, though psycopg knows no more of it.
        alone = many is None and (admission is None or not admission.sets)
        try:
            for result in results:
                session.observe(admission, result)
            if admission is not None and admission.meter is not None:
                # Counted before they are set, by whoever sends.
                self._uncounted = results
                return
            if pipeline and many is not False:
                # Results of several statements may gather here, each shown in its own way.
                self._owners = self._owners or []
                assert admission is not None
                self._owners += [(result, admission, self._shown) for result in results]
            super()._set_results(results)
        except BaseException as ex:
            self._drop(admission, ex)
            raise
        # A batch ends with its last set, unless each of them was judged by itself.
        if pipeline and admission is not None and (alone or self._binds_again()):
            self._finish(admission)

    def _select_current_result(self, i: int, format: Any = None) -> None:
        if self._owners is not None:
            chosen = self._results[i]
            shown = [shown for result, _, shown in self._owners if result is chosen]
            self._tx = shown[0] if shown else GuardedTransformer(self)
        if type(self._tx) is not Transformer:
            # psycopg shows the result first: a loader of the caller's that is made then sees it.
            self._tx.set_pgresult(self._results[i], format=format)
        super()._select_current_result(i, format)

    def _make_row_maker(self) -> RowMaker[Row]:
        # Before any row factory looks at the cursor.
        if type(self._tx) is not Transformer:
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
        # This stands in for psycopg's own, which shows a row before anybody could look at it.
        result: PGresult | None = yield from generators.fetch(self._pgconn)
        if result is None or result.status not in _FLOWING:
            return (yield from self._stream_end_gen(result))
        admission = self._admission
        if admission is not None and admission.ended:
            # psycopg drains what was withheld: there is nothing more to show or to record.
            self.pgresult = None
            return result
        try:
            yield from self._look_gen(admission, result, first)
        except (Forbidden, TokenRejected) as ex:
            self._drop(admission, ex)
            raise
        # A loader of the caller's that is made meanwhile sees no result.
        self._tx.set_pgresult(result, set_loaders=first)
        self.pgresult = result
        if first:
            self._make_row = self._make_row_maker()
        self._cover_result()
        return result

    def _look_gen(self, admission: Admission | None, result: PGresult, first: bool) -> PQGen[None]:
        """Look at rows of a stream, and count them, before they are shown."""
        session = self._guarded_by()
        # Each time, for a consumer may let hours pass between two rows.
        session.recheck(admission)
        if first or admission is None:
            session.observe(admission, result)
        else:
            # Each result of a stream has the columns that its first one had.
            session.count(admission, result.ntuples)
            session.weigh(admission, result)
        if admission is not None and admission.meter is not None:
            yield from count_gen(admission.meter, *size_of(result), ahead=True)

    def _stream_end_gen(self, result: PGresult | None) -> PQGen[PGresult | None]:
        """Take the end of a stream, as psycopg does; None: it has ended."""
        if result is None:
            return None
        if result.status not in _ENDS:
            self._raise_for_result(result)
        while (yield from generators.fetch(self._pgconn)) is not None:
            continue
        if result.status != ExecStatus.TUPLES_OK:
            raise e.ProgrammingError("the operation in stream() didn't produce a result")
        return None

    def _drop(self, admission: Admission | None, error: BaseException) -> None:
        self._results = []
        self.pgresult = None
        if admission is not None:
            self._guarded_by().fail(admission, error)

    def _finish(self, admission: Admission) -> None:
        """Record that a statement ended well, or break the connection: what it did is done."""
        try:
            self._conn._session.finish(admission)
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
