"""What every guarded COPY does, in either colour: describe, send what was judged, mask rows."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from psycopg import errors as e
from psycopg import generators
from psycopg._connection_base import BaseConnection
from psycopg._copy_base import BaseCopy
from psycopg._cursor_base import BaseCursor
from psycopg._queries import PostgresClientQuery
from psycopg.abc import Params, PQGen, Query
from psycopg.pq import ExecStatus
from psycopg.rows import Row

from tracewall.copy_rows import Cover, cover
from tracewall.errors import Withheld
from tracewall.handover import turn_over_gen
from tracewall.learning import confirm_gen
from tracewall.rows import Transformer
from tracewall.session import Admission, Session

if TYPE_CHECKING:
    from psycopg.abc import Buffer
    from psycopg.pq.abc import PGresult

_LOOK_EVERY = 1_000
"""How many rows go by between two looks at whether the caller's token still holds."""


_LONGEST_MARK = 256
"""How many bytes at the end of a block may be the beginning of a mask's mark."""

_NO_ROWS = 21
"""How long (bytes) a binary COPY without rows is: nineteen of header, two of trailer."""


class Copying(NamedTuple):
    """A COPY that a cursor has begun: what it was judged to be, and what masks its rows."""

    session: Session
    admission: Admission
    wire: Any
    cover: Cover | None = None
    width: int = -1
    binary: bool = False
    preface: int = 0


class GuardedCopy(BaseCopy[Any]):
    """The guard of a copy class; put it before psycopg's own in the list of bases."""

    _write: Any

    def __init__(self, cursor: Any, **options: Any) -> None:
        self._copying: Copying | None = cursor._copying
        self._withheld: Withheld | None = None
        self._messages = 0
        super().__init__(cursor, **options)
        if self._copying is not None:
            # psycopg's own way of asking gives a facade.
            self._pgconn = self._copying.wire
        elif cursor._admission is not None:
            self._write = self._checked(cursor, self._write)

    def _checked(self, cursor: Any, write: Callable[[Buffer], Any]) -> Callable[[Buffer], Any]:
        """Look at what is written, over the edges of blocks: no mask's mark may be in it."""
        session, admission = cursor._conn._session, cursor._admission
        last = b""

        def checked(data: Buffer) -> Any:
            nonlocal last
            if admission.judged.writes:
                joined = last + bytes(data)
                session.check_written(admission, (joined,))
                last = joined[-_LONGEST_MARK:]
            return write(data)

        return checked

    def _read_gen(self) -> PQGen[Buffer]:
        if self._withheld is not None:
            raise self._withheld
        data = yield from super()._read_gen()
        copying = self._copying
        if not data or copying is None:
            return data
        try:
            return self._shown(bytes(data), copying)
        except Withheld as ex:
            self._withheld = ex
            raise

    def _shown(self, row: bytes, copying: Copying) -> bytes:
        self._messages += 1
        # Binary rows have no trailer of their own unless there are none.
        trailer = copying.binary and (row == b"\xff\xff" or len(row) == _NO_ROWS)
        if self._messages > copying.preface and not trailer:
            copying.session.count(copying.admission, 1)
        if self._messages % _LOOK_EVERY == 0:
            copying.session.go_on(copying.admission)
        return row if copying.cover is None else copying.cover(row)

    def _complain(self) -> None:
        """Raise again what withheld the rows, if the block went on in spite of it."""
        if self._withheld is not None:
            raise self._withheld

    def _end_copy_out_gen(self) -> PQGen[None]:
        try:
            while (yield from super()._read_gen()):
                pass
        except e.QueryCanceled:
            pass


class CopyDoor(BaseCursor[Any, Row]):
    """The part of a guarded cursor that begins a COPY."""

    _copying: Copying | None = None

    def _start_copy_gen(self, statement: Query, params: Params | None = None) -> PQGen[None]:
        conn: Any = self._conn
        cursor: Any = self
        if conn._pipeline:
            raise e.NotSupportedError("COPY cannot be used in pipeline mode")
        self._copying = None
        if params or not isinstance(statement, str | bytes):
            # Bound by the client: what is judged is the text that comes of it.
            bound = PostgresClientQuery(Transformer(self))
            bound.convert(statement, params)
            statement = bound.query
        rendered, admission = yield from cursor._judge_gen(statement, None, door="copy")
        # Rows come masked already.
        cursor._shown = self._tx = Transformer(self)
        try:
            yield from turn_over_gen(conn, admission)
            if not conn._autocommit:
                yield from BaseConnection._start_query(conn)
            copying = yield from self._prepare_copy_gen(admission)
            self._execute_send(rendered, binary=False)
            results = yield from generators.execute(self._pgconn)
            if len(results) != 1:
                raise e.ProgrammingError("COPY cannot be mixed with other operations")
            self._check_copy_result(results[0])
            self._copying = self._begun(copying, results[0])
            BaseCursor._set_results(self, results)
        except BaseException as ex:
            cursor._guarded_by().fail(admission, ex)
            raise

    def _prepare_copy_gen(self, admission: Admission) -> PQGen[Copying]:
        """Choose what masks the rows, by types and origins that the server tells of the query.

        COPY's own answer tells neither.
        """
        judged, conn = admission.judged, self._conn
        session: Session = conn._session
        plain = Copying(session, admission, conn._wire)
        spelling = judged.copy
        if not judged.copied or spelling is None:
            return plain
        self._pgconn.send_prepare(b"", judged.copied.encode())
        self._check_results((yield from generators.execute(self._pgconn)))
        self._pgconn.send_describe_prepared(b"")
        results = yield from generators.execute(self._pgconn)
        self._check_results(results)
        session.observe(admission, results[0])
        yield from confirm_gen(conn, admission)
        oids = [results[0].ftype(at) for at in range(results[0].nfields)]
        return plain._replace(
            cover=cover(spelling, oids, judged.veils, conn, judged.most) if judged.veils else None,
            width=len(oids),
            binary=spelling.format == "binary",
            preface=1 if spelling.header == "true" else 0,
        )

    def _begun(self, copying: Copying, result: PGresult) -> Copying | None:
        if result.status != ExecStatus.COPY_OUT:
            return None
        unfollowed = copying.admission.judged.decision.unfollowed
        if not unfollowed and result.nfields != copying.width:
            # Its rows are on their way, and there is no telling what they are.
            self._pgconn.finish()
            raise Withheld("COPY gives out other columns than it was judged to")
        return copying

    def _copied(self) -> None:
        """Take the number of rows that COPY FROM has written, for the record."""
        if self._copying is None and self._rowcount >= 0:
            admission: Admission = cast(Any, self)._admission
            admission.rows = self._rowcount
