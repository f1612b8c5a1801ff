"""Masking on the way in: what a cursor loads values with, chosen once per result, by position.

psycopg's row factories are here too, for programs that say ``import tracewall as psycopg``.

A masked column gets a loader of ours, made of psycopg's own loader for the column's type
and the column's veil: neither loaders nor callbacks that the caller registered ever see
the raw value. Clear columns keep psycopg's loaders; NULL reaches no loader at all.
"""

from __future__ import annotations

from collections.abc import Mapping
from json import loads
from typing import TYPE_CHECKING, Any, NamedTuple

from psycopg import postgres
from psycopg import rows as _psycopg
from psycopg.abc import AdaptContext, Buffer
from psycopg.abc import Loader as AnyLoader
from psycopg.adapt import AdaptersMap, Loader
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
from psycopg.types import TypesRegistry, json
from psycopg.types.array import register_all_arrays

from tracewall.errors import Withheld
from tracewall.facade import ShownResult
from tracewall.session import Admission
from tracewall.shield import Veil

if TYPE_CHECKING:
    # At run time the name is the C class where there is one.
    from psycopg._py_transformer import Transformer as Transformer
else:
    from psycopg.adapt import Transformer as Transformer


def _pristine() -> AdaptersMap:
    """Make psycopg's default adapters anew, whatever the program has done to the shared ones."""
    adapters = AdaptersMap(types=TypesRegistry())
    postgres.register_default_types(adapters.types)
    postgres.register_default_adapters(adapters)
    register_all_arrays(adapters)
    adapters.register_loader("json", _pinned(json.JsonLoader))
    adapters.register_loader("json", _pinned(json.JsonBinaryLoader))
    adapters.register_loader("jsonb", _pinned(json.JsonbLoader))
    adapters.register_loader("jsonb", _pinned(json.JsonbBinaryLoader))
    return adapters


def _pinned(base: Any) -> Any:
    # set_json_loads() replaces the function on psycopg's own classes.
    return type(base.__name__, (base,), {"_loads": staticmethod(loads)})


PRISTINE = _pristine()
"""psycopg's own adapters, out of reach of what a program registers or replaces."""

_TEXT_OIDS = frozenset({18, 19, 25, 1042, 1043})
"""Types that load as str: "char", name, text, bpchar, varchar (pg_type.dat)."""

_FIRST_PSEUDO_OID = 0xF000_0000


class _Own(NamedTuple):
    """An adaptation context of ours, so that our loaders are nobody else's to replace."""

    adapters: AdaptersMap
    connection: Any


class GuardedTransformer(Transformer):
    """Loads a masked statement's results; without an admission it loads no result at all."""

    def __init__(self, context: AdaptContext | None = None) -> None:
        if Transformer.__init__ is not object.__init__:
            # psycopg's Python implementation; the C one is made before this is called.
            super().__init__(context)
        self.veils: Mapping[int, Veil] | None = None
        self.own: AdaptersMap | None = None

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
            raise Withheld("a result came that belongs to no judged statement")
        super().set_pgresult(result, set_loaders=set_loaders, format=format)
        if result is not None and shows_values and set_loaders:
            self._mask(result, Format(result.fformat(0) if format is None else format))

    def _mask(self, result: PGresult, wire: Format) -> None:
        assert self.own is not None and self.veils is not None
        oids = [result.ftype(at) for at in range(result.nfields)]
        for at, veil in self.veils.items():
            pseudo = _FIRST_PSEUDO_OID + at
            self.own.register_loader(pseudo, _loader(veil, oids[at], wire))
            oids[at] = pseudo
        self.set_loader_types(oids, wire)


def transformer(cursor: Any, admission: Admission, plain: Any) -> Any:
    """Give what loads an admitted statement's results: `plain` where nothing is masked."""
    veils = admission.judged.veils
    if not veils:
        return plain
    own = AdaptersMap(cursor.adapters)
    made = GuardedTransformer(_Own(own, cursor.connection))
    made.own, made.veils = own, veils
    return made


_LOADERS: dict[tuple[Veil, int, Format], type[AnyLoader]] = {}
_MOST_LOADERS = 10_000


def _loader(veil: Veil, oid: int, format: Format) -> type[AnyLoader]:
    key = (veil, oid, format)
    found = _LOADERS.get(key)
    if found is None:
        if len(_LOADERS) >= _MOST_LOADERS:
            _LOADERS.clear()
        found = _LOADERS[key] = _masked_loader(veil, oid, format)
    return found


def _masked_loader(veil: Veil, oid: int, wire: Format) -> type[AnyLoader]:
    base = PRISTINE.get_loader(oid, wire) or PRISTINE.get_loader(0, wire)
    assert base is not None
    hide, known = veil.hide, base

    class MaskedLoader(Loader):
        """Loads a value as psycopg does and gives what may be shown instead."""

        format = wire

        def __init__(self, pseudo: int, context: AdaptContext | None = None) -> None:
            super().__init__(pseudo, context)
            self._base = known(oid, _Own(PRISTINE, context.connection if context else None)).load

        def load(self, data: Buffer) -> Any:
            try:
                return hide(self._base(data))
            except Exception:
                rule = veil.rule
            # Raised out here, so that no context of the error holds the value.
            raise Withheld(f"a value could not be masked, so the rows are withheld (rule {rule})")

    if veil.constant and oid in _TEXT_OIDS:
        return _constant_loader(hide(""), hide("text"), wire) or MaskedLoader
    return MaskedLoader


def _constant_loader(empty: object, shown: object, wire: Format) -> type[AnyLoader] | None:
    if empty != shown:
        return None

    class ConstantLoader(Loader):
        """Gives the same for every value, without looking at it."""

        format = wire

        def load(self, data: Buffer) -> Any:
            return shown

    return ConstantLoader


def __getattr__(name: str) -> Any:
    """Give psycopg's names that not every release of it has."""
    return getattr(_psycopg, name)
