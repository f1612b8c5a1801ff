"""The sets of an executemany, sent with few steps for each that is like the one before.

1. The first set goes psycopg's way, through the low seam; so does any other whose parameters
   have types that the statement was not prepared for.
2. Any other leaves by the prepared statement's name, which is looked up by the bytes that were
   judged, in that moment: nothing else can be sent so.
3. Sets that are all at hand leave together, some at a time. psycopg waits for the connection
   twice for each.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias

from tracewall.approving import look_at
from tracewall.sending import fix, looks_up, send_or_break

if TYPE_CHECKING:
    from psycopg._queries import PostgresQuery
    from psycopg.abc import Params, PQGen, Query

_MOST = 16
"""How many sets leave together."""

_LARGEST = 16_384
"""From how many bytes of parameters on no further set is waited for."""

_Set: TypeAlias = "tuple[Any, Any]"
"""A set's values as they will leave, and their formats."""


class Together:
    """Sets that are like the one that was queued before them.

    ``open`` takes another set until they have left or are enough; each is in the pipeline's
    queue, in its order, from when it is taken.
    """

    __slots__ = ("_cursor", "_enough", "_names", "_pipeline", "key", "open", "size")

    def __init__(self, cursor: Any, key: Any, *, alone: bool) -> None:
        self._cursor, self.key = cursor, key
        self._pipeline = cursor._conn._pipeline
        self._names = cursor._conn._prepared._names
        self._enough = 1 if alone else _MOST
        self.open: list[_Set] = []
        self.size = 0

    def take(self, rendered: PostgresQuery) -> bool:
        """Take a set as it will leave; False: it has to go psycopg's way.

        Raises:
            Forbidden: a mask's mark is in it.
        """
        cursor, key = self._cursor, self.key
        admission, session = cursor._admission, cursor._conn._session
        fix(rendered)
        if rendered.types != key[1] or admission is None or admission.sql is not key[0]:
            return False
        name = self._names.get(key)
        if name is None or not admission.cleared or admission.holder is not session.holder:
            return False
        if cursor._closed:
            return False
        if not self.open:
            # Sets that come slowly leave one by one, so that none waits long after this.
            session.recheck(admission)
        values: Any = rendered.params or []
        look_at(session, admission, rendered)
        session.leaves(admission, values)
        try:
            if not self.open:
                self._begin(name)
            self.open.append((values, rendered.formats))
            self.size += sum(map(len, filter(None, values)))
            cursor._waiting.append((self._pipeline, admission, cursor._shown))
            self._pipeline.result_queue.append((cursor, None))
        except BaseException:
            # Of what was half done each later result would be another's.
            cursor._pgconn.finish()
            raise
        return True

    def _begin(self, name: bytes) -> None:
        self.open, self.size = [], 0
        pgconn = self._cursor._pgconn
        send = partial(_leave, pgconn, name, self._cursor.format, self.open)
        self._pipeline.command_queue.append(partial(send_or_break, pgconn, send))

    def enough(self) -> bool:
        """Tell whether they are to leave now, and take no other if so."""
        enough = len(self.open) >= self._enough or self.size >= _LARGEST
        if enough:
            self.open = []
        return enough


def _leave(pgconn: Any, name: bytes, result_format: Any, sets: list[_Set]) -> None:
    for values, formats in sets:
        pgconn.send_query_prepared(name, values, param_formats=formats, result_format=result_format)


def sets_gen(
    cursor: Any, query: Query, sets: Iterable[Params], returning: bool, *, known: bool
) -> PQGen[None]:
    """Send an admitted executemany in a pipeline, as psycopg does it.

    ``known`` says that all sets are at hand, so that none has to be waited for.
    """
    conn = cursor._conn
    yield from cursor._start_query(query)
    if not returning:
        cursor._rowcount = 0
    cursor._execmany_returning = returning
    pipeline, rendered, together = conn._pipeline, None, None
    for each in sets:
        if rendered is None:
            rendered = cursor._query = cursor._convert_query(query, each)
        else:
            rendered.dump(each)
        if together is not None and together.take(rendered):
            if not together.enough():
                continue
        else:
            yield from cursor._maybe_prepare_gen(rendered, prepare=True)
            together = _like(cursor, rendered, alone=not known)
        yield from pipeline._communicate_gen()
    if pipeline.command_queue:
        yield from pipeline._communicate_gen()
    cursor._last_query = query
    if returning:
        yield from pipeline._fetch_gen(flush=True)
    yield from conn._prepared.maintain_gen(conn)


def _like(cursor: Any, rendered: PostgresQuery, *, alone: bool) -> Together | None:
    """Give what takes sets that are like the one that was just queued; None: none go so."""
    admission, prepared = cursor._admission, cursor._conn._prepared
    if admission is None or prepared.prepare_threshold is None or looks_up(rendered):
        return None
    key = (admission.sql, rendered.types)
    return Together(cursor, key, alone=alone) if key in prepared._names else None
