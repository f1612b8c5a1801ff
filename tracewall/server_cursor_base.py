"""What every guarded server-side cursor does, in either colour, and how classes are taken in.

1. Its DECLARE is judged like any statement, as the query inside it, and described before
   any row is fetched: the columns must be those that were judged.
2. It fetches from no portal but the one it declared: a name alone tells nothing of what
   somebody else's query puts behind it.
3. Who acts is looked at again for each batch, and rows are counted over all of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from psycopg import errors as e
from psycopg import generators
from psycopg._connection_base import BaseConnection
from psycopg._cursor_base import BaseCursor
from psycopg.abc import Params, PQGen, Query
from psycopg.rows import Row

from tracewall.admission import size_of
from tracewall.approving import clear_gen
from tracewall.budgets import count_gen
from tracewall.cursor_base import GuardedCursor
from tracewall.errors import Forbidden
from tracewall.handover import turn_over_gen
from tracewall.learning import confirm_gen
from tracewall.session import Admission
from tracewall.waist import PINNED

try:
    from psycopg._server_cursor_base import ServerCursorMixin
except ImportError:  # psycopg 3.2
    from psycopg.server_cursor import (  # type: ignore[no-redef,import-not-found]  # only one is there
        ServerCursorMixin,
    )

if TYPE_CHECKING:
    from psycopg.pq.abc import PGresult


class GuardedServerCursor(GuardedCursor[Row], ServerCursorMixin[Any, Row]):
    """The guard of a server-side cursor class."""

    _declared: Admission | None = None

    def _declare_gen(
        self, query: Query, params: Params | None = None, binary: bool | None = None
    ) -> PQGen[None]:
        if self._described:
            # psycopg would close it too late: only then the new one is judged.
            yield from self._close_gen()
        self._end()
        rendered, admission = yield from self._judge_gen(
            self._make_declare_statement(query), params, door="declare"
        )
        try:
            self._guarded_by().fresh = None
            yield from turn_over_gen(self._conn, admission)
            yield from clear_gen(self, rendered, admission, "declare")
            # From here on the name may mean this portal: whoever had it before fetches no more.
            self._conn._portals.pop(self._name, None)
            self._rendered = rendered
            yield from super()._declare_gen(query, params, binary)
        except BaseException as ex:
            self._guarded_by().fail(admission, ex)
            raise

    def _describe_gen(self) -> PQGen[None]:
        admission = self._admission
        if admission is None:
            raise Forbidden(_NOT_YOURS)
        self._pgconn.send_describe_portal(self._name.encode(self._encoding))
        results = yield from generators.execute(self._pgconn)
        self._check_results(results)
        self._guarded_by().observe(admission, results[0])
        yield from confirm_gen(self._conn, admission)
        self._results = results
        BaseCursor._select_current_result(self, 0, format=self._format)
        self._described = True
        self._declared = self._conn._portals[self._name] = admission

    def _fetch_gen(self, num: int | None) -> PQGen[list[Row]]:
        admission = self._own_portal()
        session = self._guarded_by()
        session.go_on(admission)
        limits = (admission.judged.decision.row_limit, admission.most, admission.said.rows)
        limit = min(filter(None, limits), default=0)
        if limit:
            # One row over the limit is enough to know that it is passed.
            most = limit - max(admission.rows, 0) + 1
            num = most if num is None else min(num, most)
        try:
            result = yield from self._portal_gen(
                "FETCH FORWARD {} FROM", "ALL" if num is None else str(int(num))
            )
            session.observe(admission, result)
            yield from count_gen(admission.meter, *size_of(result))
        except BaseException as ex:
            self._drop(admission, ex)
            raise
        self.pgresult = result
        self._tx.set_pgresult(result, set_loaders=False)
        self._cover_result()
        return self._tx.load_rows(0, result.ntuples, self._make_row)

    def _scroll_gen(self, value: int, mode: str) -> PQGen[None]:
        if mode not in ("relative", "absolute"):
            raise ValueError(f"bad mode: {mode}. It should be 'relative' or 'absolute'")
        self._guarded_by().go_on(self._own_portal())
        where = "ABSOLUTE " if mode == "absolute" else ""
        yield from self._portal_gen("MOVE {} FROM", where + str(int(value)))

    def _close_gen(self) -> PQGen[None]:
        portals = self._conn._portals
        declared = self._declared
        if declared is None or portals.get(self._name) is not declared:
            return
        del portals[self._name]
        try:
            yield from super()._close_gen()
        except BaseException:
            # Its portal is forgotten, so that there is nothing left to use, close or warn of.
            self._close()
            raise

    def _close(self) -> None:
        self._end()
        super()._close()

    def _end(self) -> None:
        """Record the outcome of what was declared, once it is over."""
        declared, self._declared = self._declared, None
        self._described = False
        if declared is not None:
            self._guarded_by().finish(declared)

    def _own_portal(self) -> Admission:
        if self._closed:
            raise e.InterfaceError("the cursor is closed")
        declared = self._declared
        if declared is None or self._conn._portals.get(self._name) is not declared:
            raise Forbidden(_NOT_YOURS)
        return declared

    def _portal_gen(self, command: str, argument: str) -> PQGen[PGresult]:
        name = '"' + self._name.replace('"', '""') + '"'
        text = f"{command.format(argument)} {name}".encode()
        result = yield from BaseConnection._exec_command(self._conn, text, self._format)
        assert result is not None
        return result


_NOT_YOURS = "this cursor's query was not judged here; declare it by execute()"

_ADOPTED: dict[tuple[type[Any], type[Any]], type[Any]] = {}


def adopted(kind: type[Any], doors: type[Any]) -> type[Any]:
    """Give a guarded class for a cursor class: itself if it is one, else one made from it.

    Args:
        kind: the cursor class that is wanted.
        doors: the guard of cursor classes of its colour.
    """
    if issubclass(kind, GuardedCursor):
        return kind
    if (kind, doors) not in _ADOPTED:
        # What the class has of its own for these would be shown raw results.
        namespace = {**PINNED, "__module__": kind.__module__, "__doc__": kind.__doc__}
        guards = (GuardedServerCursor,) if issubclass(kind, ServerCursorMixin) else ()
        made = type(kind.__name__, (*guards, doors, kind), namespace)
        _ADOPTED[kind, doors] = made
    return _ADOPTED[kind, doors]
