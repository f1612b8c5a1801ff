"""What every guarded COPY does, in either colour: describe, send what was judged, mask rows."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from psycopg import errors as e
from psycopg import generators
from psycopg._connection_base import BaseConnection
from psycopg._copy_base import BaseCopy
from psycopg._cursor_base import BaseCursor
from psycopg._queries import PostgresClientQuery
from psycopg.abc import Params, PQGen, Query
from psycopg.pq import ExecStatus, Format
from psycopg.rows import Row
from psycopg.waiting import Wait

from tracewall.admission import too_big
from tracewall.approving import clear_gen
from tracewall.budgets import count_gen
from tracewall.copy_rows import Cover, cover
from tracewall.errors import Forbidden, TokenRejected, Withheld
from tracewall.handover import turn_over_gen
from tracewall.joining import bare
from tracewall.learning import confirm_gen
from tracewall.loaders import as_texts
from tracewall.rows import Transformer
from tracewall.session import Admission, Session

if TYPE_CHECKING:
    from psycopg.abc import Buffer
    from psycopg.pq.abc import PGresult

_MOST_AHEAD = 64
"""How many rows are read before they are asked for, at most."""

_LOOK_EVERY = _MOST_AHEAD
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
        self._withheld: e.Error | None = None
        self._ahead: deque[bytes] = deque()
        self._drained = False
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
            session.writes(admission, data)
            if admission.judged.writes:
                joined = last + bytes(data)
                session.check_written(admission, (joined,))
                last = joined[-_LONGEST_MARK:]
            return write(data)

        return checked

    def _read_gen(self) -> PQGen[Buffer]:
        copying = self._copying
        if copying is None:
            return (yield from super()._read_gen())
        if not self._ahead and not self._finished:
            if self._withheld is not None:
                raise self._withheld
            stopped: BaseException | None = None
            try:
                yield from self._fill_gen(copying)
            except BaseException as ex:
                stopped = ex if copying.cover is None else bare(ex)
            if stopped is not None:
                # Out here, so that neither context nor traceback of it holds a row.
                raise stopped
        return self._ahead.popleft() if self._ahead else b""

    def _fill_gen(self, copying: Copying) -> PQGen[None]:
        """Read what has come, a little ahead: one wait then serves many rows."""
        found = b"" if self._drained else (yield from self._message_gen())
        while found:
            try:
                row = self._shown(found, copying)
                if copying.admission.meter is not None and self._is_row(found, copying):
                    yield from count_gen(copying.admission.meter, 1, len(found), ahead=True)
                self._ahead.append(row)
            except (Withheld, Forbidden, TokenRejected) as ex:
                # What came before it may be handed out still.
                self._withheld = bare(ex)
                break
            found = self._message() if len(self._ahead) < _MOST_AHEAD else b""
        take = copying.admission.take
        if take is not None and self._ahead:
            take.copied(self._ahead, binary=copying.binary)
        if not self._ahead:
            if self._withheld is not None:
                raise self._withheld
            yield from self._finish_gen()

    def _message_gen(self) -> PQGen[bytes]:
        while not (found := self._message()) and not self._drained:
            while not (yield Wait.R):
                continue
            self._pgconn.consume_input()
        return found

    def _message(self) -> bytes:
        """Give a message that has come; empty: none yet, or (`_drained`) no more."""
        length, data = self._pgconn.get_copy_data(1)
        self._drained = length < 0
        return bytes(data) if length > 0 else b""

    def _finish_gen(self) -> PQGen[None]:
        results = yield from generators.fetch_many(self._pgconn)
        self._finished = True
        if results[0].status != ExecStatus.COMMAND_OK:
            raise e.error_from_result(results[0], encoding=self._pgconn._encoding)
        if len(results) > 1:
            raise e.ProgrammingError("COPY cannot be mixed with other operations")
        rows = results[0].command_tuples
        cast(Any, self.cursor)._rowcount = rows if rows is not None else -1

    def _shown(self, row: bytes, copying: Copying) -> bytes:
        self._messages = at = self._messages + 1
        copying.admission.bytes = max(copying.admission.bytes, 0) + len(row)
        if self._is_row(row, copying):
            copying.session.count(copying.admission, 1)
            if (excess := too_big(copying.admission)) is not None:
                raise excess
        if at % _LOOK_EVERY == 0:
            copying.session.go_on(copying.admission)
        return row if copying.cover is None else copying.cover(row)

    def _is_row(self, row: bytes, copying: Copying) -> bool:
        """Tell whether the message just come is one, or a heading or trailer."""
        at = self._messages
        # Binary rows have no trailer of their own unless there are none.
        empty = at == 1 and len(row) == _NO_ROWS and row.endswith(b"\xff\xff")
        trailer = copying.binary and (row == b"\xff\xff" or empty)
        return at > copying.preface and not trailer

    def _complain(self) -> None:
        """Raise again what withheld the rows, if the block went on in spite of it."""
        if self._withheld is not None:
            raise self._withheld

    def _end_copy_out_gen(self) -> PQGen[None]:
        if self._copying is None:
            yield from super()._end_copy_out_gen()
            return
        self._ahead.clear()
        with suppress(e.QueryCanceled):
            while not self._drained:
                yield from self._message_gen()
            if not self._finished:
                yield from self._finish_gen()


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
        try:
            conn._session.fresh, conn._flowing = None, admission
            # Rows come masked already.
            cursor._shown = self._tx = Transformer(self)
            yield from turn_over_gen(conn, admission)
            yield from clear_gen(cursor, rendered, admission, "copy")
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
        wire = Format.BINARY if spelling.format == "binary" else Format.TEXT
        found = [results[0].ftype(at) for at in range(results[0].nfields)]
        oids = as_texts(found, judged.veils, judged.texts, wire)
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
