"""Masking on the way in: what a cursor loads values with, chosen once per result, by position.

psycopg's row factories are here too, for programs that say ``import tracewall as psycopg``.

A masked column gets a loader of ours, made of psycopg's own loader for the column's type
and the column's veil: neither loaders nor callbacks that the caller registered ever see
the raw value. Clear columns keep psycopg's loaders; NULL reaches no loader at all.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

from psycopg import errors as e
from psycopg import rows as _psycopg
from psycopg.abc import AdaptContext
from psycopg.abc import Loader as AnyLoader
from psycopg.pq import Format
from psycopg.pq.abc import PGresult
from psycopg.rows import AsyncRowFactory as AsyncRowFactory
from psycopg.rows import BaseRowFactory as BaseRowFactory
from psycopg.rows import DictRow as DictRow
from psycopg.rows import Row as Row
from psycopg.rows import RowFactory as RowFactory
from psycopg.rows import RowMaker as RowMaker
from psycopg.rows import TupleRow as TupleRow
from psycopg.rows import args_row as args_row
from psycopg.rows import class_row as class_row
from psycopg.rows import dict_row as dict_row
from psycopg.rows import kwargs_row as kwargs_row
from psycopg.rows import namedtuple_row as namedtuple_row
from psycopg.rows import scalar_row as scalar_row
from psycopg.rows import tuple_row as tuple_row

from tracewall.errors import Withheld
from tracewall.facade import ShownResult
from tracewall.joining import bare, joined, side_by_side
from tracewall.loaders import PRISTINE as PRISTINE
from tracewall.loaders import TEXT_OIDS as TEXT_OIDS
from tracewall.loaders import Apart as Apart
from tracewall.loaders import Own as Own
from tracewall.loaders import Transformer as Transformer
from tracewall.loaders import as_texts, loader, rewriting
from tracewall.locks import RLock
from tracewall.rewriting import BATCH, Rewriting
from tracewall.session import Admission
from tracewall.shield import MaskFailed, Veil

_EXCHANGED = "the result was replaced while its rows were loaded; execute the statement again"
_UNMASKED = "a value could not be masked, so the rows are withheld"
_NO_LOADERS: Mapping[int, type[AnyLoader]] = MappingProxyType({})
_FIRST_PSEUDO_OID = 0xF000_0000


class Way(NamedTuple):
    """One way of loading: the columns' types, and what rewrites the rows that these give."""

    types: list[int]
    wire: Format
    rewriting: Rewriting | None


class GuardedTransformer(Transformer):
    """Loads a masked statement's results; without an admission it loads no result at all."""

    def __init__(self, context: AdaptContext | None = None) -> None:
        if Transformer.__init__ is not object.__init__:
            # psycopg's Python implementation; the C one is made before this is called.
            super().__init__(context)
        self.veils: Mapping[int, Veil] | None = None
        self.own: Apart | None = None
        self.most = 0
        self.texts: frozenset[int] = frozenset()
        self._pseudo: dict[tuple[int, int, Format, bool], int] = {}
        self._turning = RLock()
        self._way: Way | None = None
        self._quick = Way([], Format.TEXT, None)
        self._exact = self._quick
        self._laid: tuple[int, ...] | None = None

    @property
    def pgresult(self) -> Any:
        """The result to load from, which dumpers and loaders of the caller may ask for."""
        found = super().pgresult
        return ShownResult(found, frozenset(self.veils or ())) if found is not None else None

    def set_pgresult(
        self,
        result: PGresult | None,
        *,
        set_loaders: bool = True,
        format: Format | None = None,
    ) -> None:
        """Take a result to load rows from, its masked columns by loaders of ours."""
        shows_values = result is not None and result.nfields > 0
        if shows_values and self.veils is None:
            super().set_pgresult(None)
            raise Withheld(
                "a result came that belongs to no judged statement; nothing of it is handed out"
            )
        masks = shows_values and set_loaders
        if masks:
            # What is being loaded meanwhile, by a loader's doing or a thread's, is not shown.
            self._way = None
        elif set_loaders:
            self._laid = None
        super().set_pgresult(result, set_loaders=set_loaders and not masks, format=format)
        if result is not None and masks:
            told = result.fformat(0) if format is None else format
            self._mask(result, Format.BINARY if told == Format.BINARY else Format.TEXT)

    def load_row(self, row: int, make_row: Any) -> Any:
        """Load one row, or None."""
        way = self._way
        try:
            found = self._rewritten_row(way, super().load_row(row, tuple))
        except BaseException as ex:
            met = _told(ex, way)
        else:
            return make_row(found) if found else found
        # Out here, so that neither context nor traceback of the error holds a value.
        return make_row(self._loaded_otherwise(row, row + 1, way, met)[0])

    def load_rows(self, row0: int, row1: int, make_row: Any) -> list[Any]:
        """Load the rows from `row0` up to `row1`."""
        made = list[Any]()
        for first in range(row0, row1, BATCH):
            last = min(first + BATCH, row1)
            way = self._way
            try:
                made += self._rewritten(way, super().load_rows(first, last, tuple))
            except BaseException as ex:
                met = _told(ex, way)
            else:
                continue
            # Out here, so that neither context nor traceback of the error holds a value.
            made += self._loaded_otherwise(first, last, way, met)
        return made if make_row is tuple else list(map(make_row, made))

    def _rewritten_row(self, way: Way | None, values: Any) -> Any:
        if way is None or way is not self._way:
            raise Withheld(_EXCHANGED)
        return way.rewriting.row(values) if values and way.rewriting is not None else values

    def _rewritten(self, way: Way | None, rows: list[Any]) -> list[Any]:
        if way is None or way is not self._way:
            raise Withheld(_EXCHANGED)
        return way.rewriting.rows(rows) if way.rewriting is not None else rows

    def _loaded_otherwise(
        self, first: int, last: int, way: Way | None, met: BaseException
    ) -> list[Any]:
        """Load rows value by value, where it is a value that could not be loaded at once."""
        if way is None or way.rewriting is None or _is_silent(met):
            raise met
        if isinstance(met, e.Error) or self._fails_again(first, last, way):
            return self._loaded_exactly(first, last)
        # A signal's handler raised it meanwhile, in the middle of a mask maybe.
        raise Withheld(_UNMASKED) if isinstance(met, MaskFailed) else met

    def _fails_again(self, first: int, last: int, way: Way) -> bool:
        try:
            self._rewritten(way, super().load_rows(first, last, tuple))
        except Exception:
            return True
        except BaseException as ex:
            stopped = bare(ex)
        else:
            return False
        raise stopped

    def _loaded_exactly(self, first: int, last: int) -> list[Any]:
        way = self._turn(self._exact)
        try:
            return self._rewritten(way, super().load_rows(first, last, tuple))
        except BaseException as ex:
            refused = bare(ex) if _is_silent(ex) else ex
        finally:
            self._turn(self._quick)
        raise refused

    def _mask(self, result: PGresult, wire: Format) -> None:
        assert self.veils is not None
        found = tuple(map(result.ftype, range(result.nfields)))
        with self._turning:
            if found == self._laid and wire is self._quick.wire:
                # The loaders in place are those of the last result, which had the same types.
                self._way = Way(*self._quick)
                return
        oids = as_texts(found, self.veils, self.texts, wire)
        rewrites, loaders = rewriting(self.veils, oids, wire, self.most) or (None, {})
        self._exact = Way(oids, wire, None)
        self._quick = Way(self._types(oids, wire, loaders), wire, rewrites)
        self._turn(self._quick, found)

    def _turn(self, to: Way, laid: tuple[int, ...] | None = None) -> Way:
        """Load by a way from now on; what was begun by another is not shown.

        ``laid`` are the types of the result, where the next one of the same may go on by it.
        """
        with self._turning:
            self._way = self._laid = None
            types = to.types if to is not self._exact else self._types(to.types, to.wire)
            self.set_loader_types(types, to.wire)
            self._way = way = to._replace()
            self._laid = laid
        return way

    def set_loader_types(self, types: Sequence[int], format: Format) -> None:
        """Load by other types from now on."""
        self._laid = None
        super().set_loader_types(types, format)

    def _types(
        self, oids: list[int], wire: Format, loaders: Mapping[int, type[AnyLoader]] = _NO_LOADERS
    ) -> list[int]:
        """Give types under which the masked columns' loaders are known, and no others."""
        assert self.own is not None and self.veils is not None
        types = list(oids)
        for at, veil in self.veils.items():
            # One for each type that a column had: what was loaded by it once stays with it.
            key = (at, oids[at], wire, at in loaders)
            pseudo = self._pseudo.get(key)
            if pseudo is None:
                pseudo = self._pseudo[key] = _FIRST_PSEUDO_OID + len(self._pseudo)
                loads = loaders.get(at) or loader(veil, oids[at], wire, self.most)
                self.own.own(pseudo, loads)
            types[at] = pseudo
        return types


def _told(error: BaseException, way: Way | None) -> BaseException:
    """Give an error as it may be told: without frames where these may hold values."""
    exact = way is None or way.rewriting is None
    return error if exact and not _is_silent(error) else bare(error)


def _is_silent(error: BaseException) -> bool:
    """Tell whether an error is to be raised as it is, but may have values in its frames."""
    return isinstance(error, Withheld | e.InterfaceError) or not isinstance(error, Exception)


class JoiningTransformer(GuardedTransformer):
    """Hides besides what is cut by the boundary of two searched texts, side by side."""

    _runs: Sequence[list[int]] = ()

    def set_pgresult(
        self,
        result: PGresult | None,
        *,
        set_loaders: bool = True,
        format: Format | None = None,
    ) -> None:
        """Take a result to load rows from; the next batch of a stream or a cursor is another."""
        super().set_pgresult(result, set_loaders=set_loaders, format=format)
        self._raw: Any = result

    def _mask(self, result: PGresult, wire: Format) -> None:
        super()._mask(result, wire)
        veils = self.veils or {}
        texts = {at: veil for at, veil in veils.items() if result.ftype(at) in TEXT_OIDS}
        self._runs = side_by_side(texts)

    def load_row(self, row: int, make_row: Any) -> Any:
        """Load one row, or None."""
        found = super().load_row(row, tuple)
        return make_row(self._all_joined(row, [found])[0]) if found else found

    def load_rows(self, row0: int, row1: int, make_row: Any) -> list[Any]:
        """Load the rows from `row0` up to `row1`."""
        found = self._all_joined(row0, super().load_rows(row0, row1, tuple))
        return found if make_row is tuple else list(map(make_row, found))

    def _all_joined(self, first: int, rows: list[Any]) -> list[Any]:
        try:
            return [self._joined(first + at, values) for at, values in enumerate(rows)]
        except BaseException as ex:
            refused = bare(ex)
        raise refused

    def _joined(self, row: int, values: Any) -> Any:
        shown, veils = list(values), self.veils or {}
        for run in self._runs:
            raw = [self._raw.get_value(row, at) for at in run]
            for at, text in joined(veils, run, raw).items():
                shown[at] = text
        return tuple(shown)


def transformer(cursor: Any, admission: Admission, plain: Any) -> Any:
    """Give what loads an admitted statement's results: `plain` where nothing is masked."""
    veils = admission.judged.veils
    if not veils:
        return plain
    own = Apart(cursor.adapters, cursor.connection)
    kind = JoiningTransformer if side_by_side(veils) else GuardedTransformer
    made = kind(Own(own, cursor.connection))
    made.own, made.veils = own, veils
    made.most, made.texts = admission.judged.most, admission.judged.texts
    return made


class MaskedColumn(NamedTuple):
    """A column of a result that was masked: where it stands, by which rules, how many values.

    ``position`` counts from 0; ``rules`` are named as in the policy, with their section;
    ``values`` are those of the result at hand that are not NULL.
    """

    position: int
    name: str
    rules: tuple[str, ...]
    values: int


def masked_columns(cursor: Any) -> tuple[MaskedColumn, ...]:
    """Tell which columns of a cursor's current result are masked, by what, how many values."""
    admission: Admission | None = cursor._admission
    result: object = cursor.pgresult
    if admission is None or not isinstance(result, ShownResult):
        return ()
    columns = admission.judged.decision.columns
    return tuple(
        MaskedColumn(at, columns[at].name, tuple(veil.rule.split(", ")), result.filled(at))
        for at, veil in sorted(admission.judged.veils.items())
    )


def __getattr__(name: str) -> Any:
    """Give psycopg's names that not every release of it has."""
    return getattr(_psycopg, name)
