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

from collections import deque
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import TYPE_CHECKING, Any
from weakref import ReferenceType

from psycopg import errors as e
from psycopg._cursor_base import BaseCursor
from psycopg.abc import Params, PQGen, Query
from psycopg.rows import Row

from tracewall.errors import Forbidden, Withheld
from tracewall.rows import GuardedTransformer, transformer
from tracewall.session import Admission, Session

if TYPE_CHECKING:
    from psycopg._queries import PostgresQuery
    from psycopg.pq.abc import PGresult

GUARD_SLOTS = ("_admission", "_rendered", "_shown", "_waiting")
"""The attributes that a guarded cursor class has to make room for."""


class GuardedCursor(BaseCursor[Any, Row]):
    """The guard of a cursor class; put it before psycopg's own in the list of bases."""

    __slots__ = ()

    _admission: Admission | None
    _rendered: PostgresQuery | None
    _shown: GuardedTransformer | None
    _waiting: deque[tuple[Any, Admission, GuardedTransformer]]

    def _guarded_by(self) -> Session:
        session = getattr(self._conn, "_session", None)
        if not isinstance(session, Session):
            raise Forbidden("this cursor's connection is not guarded by a wall")
        return session

    # --- in -------------------------------------------------------------------------

    def _learn_gen(self) -> PQGen[None]:
        """Read the catalog again if a mismatch has shown that it is not what it was."""
        if self._guarded_by().catalog is None and not self._conn._pipeline:
            yield from self._conn._learn_gen()

    def _admit(self, query: Query, params: Params | None) -> Admission:
        """Render a statement once, freeze it, and have it judged."""
        if self._closed:
            raise e.InterfaceError("the cursor is closed")
        self._conn._check_connection_ok()
        self._reset()
        self._rendered = self._admission = None
        self._tx = GuardedTransformer(self)
        rendered = self._convert_query(query, params)
        if type(rendered.query) is not bytes:
            # A subclass of bytes may answer differently the next time; its buffer can't.
            rendered.query = bytes(memoryview(rendered.query))
        session = self._guarded_by()
        admission = session.admit(rendered.query)
        self._rendered, self._admission = rendered, admission
        self._shown = transformer(self, session, admission)
        return admission

    def _convert_query(self, query: Query, params: Params | None = None) -> PostgresQuery:
        rendered, self._rendered = getattr(self, "_rendered", None), None
        return rendered if rendered is not None else super()._convert_query(query, params)

    def _execute_gen(
        self,
        query: Query,
        params: Params | None = None,
        *,
        prepare: bool | None = None,
        binary: bool | None = None,
    ) -> PQGen[None]:
        yield from self._learn_gen()
        try:
            admission = self._admit(query, params)
        except Forbidden as refused:
            if not self._guarded_by().may_learn(refused):
                raise
            # The catalog may have changed since it was read: look again, and judge anew.
            yield from self._conn._learn_gen()
            admission = self._admit(query, params)
        try:
            yield from super()._execute_gen(query, params, prepare=prepare, binary=binary)
        except BaseException as ex:
            self._guarded_by().fail(admission, ex)
            raise
        if not self._conn._pipeline:
            self._guarded_by().finish(admission)

    def _executemany_gen_pipeline(
        self, query: Query, params_seq: Iterable[Params], returning: bool
    ) -> PQGen[None]:
        yield from self._learn_gen()
        params_seq = self._admit_many(query, params_seq)
        yield from super()._executemany_gen_pipeline(query, params_seq, returning)

    def _executemany_gen_no_pipeline(
        self, query: Query, params_seq: Iterable[Params], returning: bool
    ) -> PQGen[None]:
        yield from self._learn_gen()
        params_seq = self._admit_many(query, params_seq)
        yield from super()._executemany_gen_no_pipeline(query, params_seq, returning)

    def _admit_many(self, query: Query, params_seq: Iterable[Params]) -> Iterator[Params]:
        rest = iter(params_seq)
        for first in rest:
            self._admit(query, first)
            return chain((first,), rest)
        self._admission = None
        self._shown = transformer(self, None, None)
        return iter(())

    def _stream_send_gen(
        self, query: Query, params: Params | None = None, *, binary: bool | None = None, size: int
    ) -> PQGen[None]:
        yield from self._learn_gen()
        self._admit(query, params)
        yield from super()._stream_send_gen(query, params, binary=binary, size=size)

    def _declare_gen(
        self, query: Query, params: Params | None = None, binary: bool | None = None
    ) -> PQGen[None]:
        yield from self._learn_gen()
        self._admit(self._make_declare_statement(query), params)
        yield from super()._declare_gen(query, params, binary)

    def _start_copy_gen(self, statement: Query, params: Params | None = None) -> PQGen[None]:
        self._admit(statement, None)
        yield from super()._start_copy_gen(statement, params)

    def _start_query(self, query: Query | None = None) -> PQGen[None]:
        self._conn._let_in()
        yield from super()._start_query(query)
        # psycopg has just made a transformer of its own, which masks nothing.
        self._tx = getattr(self, "_shown", None) or transformer(self, None, None)

    # --- the low seam ---------------------------------------------------------------

    def _execute_send(
        self, query: PostgresQuery, *, force_extended: bool = False, binary: bool | None = None
    ) -> None:
        self._check_leaving(query)
        super()._execute_send(query, force_extended=True, binary=binary)

    def _send_prepare(self, name: bytes, query: PostgresQuery) -> None:
        self._check_leaving(query)
        super()._send_prepare(name, query)

    def _send_query_prepared(
        self, name: bytes, pgq: PostgresQuery, *, binary: bool | None = None
    ) -> None:
        self._check_leaving(pgq)
        super()._send_query_prepared(name, pgq, binary=binary)

    def _check_leaving(self, query: PostgresQuery) -> None:
        admission = getattr(self, "_admission", None)
        if admission is None or query.query != admission.sql:
            raise Withheld("the statement that was about to leave is not the one that was judged")
        if self._conn._pipeline:
            waiting = getattr(self, "_waiting", None)
            if waiting is None:
                waiting = self._waiting = deque()
            assert self._shown is not None
            waiting.append((self._conn._pipeline, admission, self._shown))

    # --- out ------------------------------------------------------------------------

    def _check_results(self, results: list[PGresult]) -> None:
        late = self._next_waiting()
        try:
            super()._check_results(results)
        except BaseException as ex:
            if late is not None:
                self._guarded_by().fail(late, ex)
            raise

    def _next_waiting(self) -> Admission | None:
        waiting = getattr(self, "_waiting", None)
        while waiting:
            pipeline, admission, shown = waiting.popleft()
            if pipeline is self._conn._pipeline:
                self._admission, self._shown, self._tx = admission, shown, shown
                found: Admission = admission
                return found
        return None

    def _set_results(self, results: list[PGresult]) -> None:
        admission = getattr(self, "_admission", None)
        try:
            if admission is None:
                raise Withheld("a result came that belongs to no judged statement")
            session = self._guarded_by()
            for result in results:
                session.count(admission, _rows(result))
            super()._set_results(results)
        except BaseException as ex:
            self._drop(admission, ex)
            raise
        if self._conn._pipeline and self._execmany_returning is None:
            session.finish(admission)

    def _select_current_result(self, i: int, format: Any = None) -> None:
        try:
            super()._select_current_result(i, format)
        except Forbidden:
            self._drop(None, None)
            raise

    def _stream_fetchone_gen(self, first: bool) -> PQGen[PGresult | None]:
        try:
            result = yield from super()._stream_fetchone_gen(first)
            if result is not None and self._admission is not None:
                self._guarded_by().count(self._admission, result.ntuples)
        except Withheld as ex:
            self._drop(self._admission, ex)
            raise
        return result

    def _drop(self, admission: Admission | None, error: BaseException | None) -> None:
        self._results = []
        self.pgresult = None
        if admission is not None and error is not None:
            self._guarded_by().fail(admission, error)

    def _done(self, error: BaseException | None = None) -> None:
        """Record the outcome of what took more than one step (executemany, stream)."""
        admission = getattr(self, "_admission", None)
        if admission is None:
            return
        if error is None:
            self._guarded_by().finish(admission)
        else:
            self._guarded_by().fail(admission, error)

    @classmethod
    def _loaders_changed(cls, wself: ReferenceType[Any], oid: int, loader: Any) -> None:
        # psycopg would put a transformer of its own in place of ours; ours takes the
        # caller's new loader for clear columns only.
        cursor = wself()
        if cursor is None:
            return
        admission = getattr(cursor, "_admission", None)
        session = cursor._guarded_by() if admission is not None else None
        cursor._tx = cursor._shown = transformer(cursor, session, admission)
        position = cursor._pos
        if cursor._iresult < len(cursor._results):
            cursor._select_current_result(cursor._iresult)
            cursor._pos = position


def _rows(result: PGresult) -> int:
    if result.nfields:
        return result.ntuples
    changed = result.command_tuples
    return changed if changed is not None else 0


_ADOPTED: dict[type[Any], type[Any]] = {}


def adopted(kind: type[Any]) -> type[Any]:
    """Give a guarded class for a cursor class: itself if it is one, else one made from it."""
    if issubclass(kind, GuardedCursor):
        return kind
    if kind not in _ADOPTED:
        namespace = {"__slots__": GUARD_SLOTS, "__module__": kind.__module__, "__doc__": kind.__doc__}
        _ADOPTED[kind] = type(kind.__name__, (GuardedCursor, kind), namespace)
    return _ADOPTED[kind]
