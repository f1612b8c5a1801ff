"""Rows on their way to a caller who is recorded: they are on tape before they are handed out.

1. What is recorded is made of the result anew, by loaders of ours and the column's veils:
   loaders and row factories of the caller's can't make a recording say something else.
2. The one way to rows is by fetching: a recorded result shows its values to nobody.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from psycopg import errors as e
from psycopg.pq import Format
from psycopg.pq.abc import PGresult

from tracewall import rows
from tracewall.errors import Forbidden, Withheld
from tracewall.facade import ShownResult
from tracewall.recording.recorder import Take
from tracewall.rows import PRISTINE, GuardedTransformer, JoiningTransformer, Transformer
from tracewall.session import Admission


class RecordedResult(ShownResult):
    """A recorded result as outside code may see it: what it is, but none of its values."""

    def get_value(self, row_number: int, column_number: int) -> bytes | None:
        """Refuse.

        Raises:
            Forbidden: always.
        """
        raise Forbidden("this result is recorded; fetch the row")


class RecordedTransformer(JoiningTransformer):
    """Loads rows for the caller, after it has recorded what they show."""

    take: Take
    witness: GuardedTransformer

    @property
    def pgresult(self) -> Any:
        """The result to load from, which dumpers and loaders of the caller may ask for."""
        found = super().pgresult
        return RecordedResult(found._real, frozenset()) if found is not None else None

    def set_pgresult(
        self,
        result: PGresult | None,
        *,
        set_loaders: bool = True,
        format: Format | None = None,
    ) -> None:
        """Take a result to load rows from, and to record them from."""
        super().set_pgresult(result, set_loaders=set_loaders, format=format)
        self.witness.set_pgresult(result, set_loaders=set_loaders, format=format)

    def load_row(self, row: int, make_row: Callable[..., Any]) -> Any:
        """Record a row, then load it; None: there is no such row."""
        self._record(row, row + 1)
        return super().load_row(row, make_row)

    def load_rows(self, row0: int, row1: int, make_row: Callable[..., Any]) -> Any:
        """Record rows, then load them."""
        self._record(row0, row1)
        return super().load_rows(row0, row1, make_row)

    def _record(self, first: int, end: int) -> None:
        shown: Any = GuardedTransformer.pgresult.__get__(self)
        end = min(end, shown._real.ntuples) if shown is not None else 0
        if self.take.cut or not 0 <= first < end:
            return
        try:
            found = self.witness.load_rows(first, end, tuple)
        except Withheld:
            raise
        except e.Error:
            # A value that psycopg can't load, as an infinite date; the caller's loader might.
            found = _spelled(shown._real, first, end, self.veils or {})
        self.take.rows(found)


def _spelled(result: PGresult, first: int, end: int, veils: Any) -> list[tuple[Any, ...]]:
    """Give rows as the server spells them, what is masked without any value."""
    columns = range(result.nfields)
    return [
        tuple("(masked)" if at in veils else _text(result, row, at) for at in columns)
        for row in range(first, end)
    ]


def _text(result: PGresult, row: int, at: int) -> object:
    value = result.get_value(row, at)
    if value is None or result.fformat(at) == Format.BINARY:
        return value
    return value.decode("utf-8", "replace")


def transformer(cursor: Any, admission: Admission, plain: Any) -> Any:
    """Give what loads an admitted statement's results, recorded where that is wanted."""
    take, veils = admission.take, admission.judged.veils
    if take is None:
        return rows.transformer(cursor, admission, plain)
    own = rows.Apart(cursor.adapters, cursor.connection)
    made = RecordedTransformer(rows.Own(own, cursor.connection))
    made.own, made.veils, made.most = own, veils, admission.judged.most
    made.texts = admission.judged.texts
    made.take = take
    seen = rows.Apart(PRISTINE, cursor.connection)
    made.witness = JoiningTransformer(rows.Own(seen, cursor.connection))
    made.witness.own, made.witness.veils, made.witness.most = seen, veils, admission.judged.most
    made.witness.texts = admission.judged.texts
    return made


def renew_loaders(cursor: Any) -> None:
    """Take the caller's new loaders for the clear columns of the result that a cursor shows."""
    # psycopg would put a transformer of its own in place of ours; ours takes the
    # caller's new loader for clear columns only.
    admission = cursor._admission
    if admission is None:
        cursor._shown, cursor._tx = None, GuardedTransformer(cursor)
        return
    cursor._plain = Transformer(cursor)
    if cursor.pgresult is not None and not cursor._results:
        # In the middle of a stream the loaders stay those it began with.
        return
    cursor._owners = cursor._owners and [
        (result, owner, transformer(cursor, owner, Transformer(cursor)))
        for result, owner, _ in cursor._owners
    ]
    cursor._shown = cursor._tx = transformer(cursor, admission, Transformer(cursor))
    position = cursor._pos
    if cursor._iresult < len(cursor._results):
        cursor._select_current_result(cursor._iresult)
        cursor._pos = position
