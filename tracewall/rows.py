"""Masking on the way in: what a cursor loads values with, chosen once per result, by position.

psycopg's row factories are here too, for programs that say ``import tracewall as psycopg``.

A masked column gets a loader of ours, made of psycopg's own loader for the column's type
and the column's veil: neither loaders nor callbacks that the caller registered ever see
the raw value. Clear columns keep psycopg's loaders; NULL reaches no loader at all.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import date, time, timedelta
from decimal import Decimal
from functools import partial
from json import loads
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple
from uuid import UUID

from psycopg import errors as e
from psycopg import postgres
from psycopg import rows as _psycopg
from psycopg.abc import AdaptContext, Buffer
from psycopg.abc import Loader as AnyLoader
from psycopg.adapt import AdaptersMap, Loader, PyFormat
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
from tracewall.joining import joined, side_by_side, withheld
from tracewall.session import Admission
from tracewall.shield import Fixed, Veil

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

TEXT_OIDS = frozenset({18, 19, 25, 1042, 1043})
"""Types that load as str: "char", name, text, bpchar, varchar (pg_type.dat)."""

_KINDS: Mapping[int, type] = MappingProxyType(
    dict.fromkeys(TEXT_OIDS, str)
    | {16: bool, 17: bytes, 20: int, 21: int, 23: int, 26: int, 700: float, 701: float}
    | {1082: date, 1083: time, 1266: time, 1186: timedelta, 1700: Decimal, 2950: UUID}
)
"""What psycopg loads the commonest types as, by their oids (pg_type.dat)."""

_TEXT = 25
"""The oid of text (pg_type.dat)."""

_FIRST_PSEUDO_OID = 0xF000_0000


class Own(NamedTuple):
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
        self.most = 0
        self._pseudo: dict[tuple[int, int, Format], int] = {}

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
        masks = shows_values and set_loaders
        super().set_pgresult(result, set_loaders=set_loaders and not masks, format=format)
        if result is not None and masks:
            self._mask(result, Format(result.fformat(0) if format is None else format))

    def _mask(self, result: PGresult, wire: Format) -> None:
        assert self.own is not None and self.veils is not None
        oids = [result.ftype(at) for at in range(result.nfields)]
        for at, veil in self.veils.items():
            # One for each type that a column had: what was loaded by it once stays with it.
            key = (at, oids[at], wire)
            pseudo = self._pseudo.get(key)
            if pseudo is None:
                pseudo = self._pseudo[key] = _FIRST_PSEUDO_OID + len(self._pseudo)
                self.own.register_loader(pseudo, _loader(veil, oids[at], wire, self.most))
            oids[at] = pseudo
        self.set_loader_types(oids, wire)


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
        return make_row(self._joined(row, found)) if found else found

    def load_rows(self, row0: int, row1: int, make_row: Any) -> list[Any]:
        """Load the rows from `row0` up to `row1`."""
        found = super().load_rows(row0, row1, tuple)
        return [make_row(self._joined(row0 + at, values)) for at, values in enumerate(found)]

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
    own = AdaptersMap(cursor.adapters)
    kind = JoiningTransformer if side_by_side(veils) else GuardedTransformer
    made = kind(Own(own, cursor.connection))
    made.own, made.veils = own, veils
    made.most = admission.judged.most
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


_LOADERS: dict[tuple[Veil, int, Format, int], type[AnyLoader]] = {}
_MOST_LOADERS = 10_000


def _loader(veil: Veil, oid: int, format: Format, most: int) -> type[AnyLoader]:
    key = (veil, oid, format, most)
    found = _LOADERS.get(key)
    if found is None:
        if len(_LOADERS) >= _MOST_LOADERS:
            _LOADERS.clear()
        found = _LOADERS[key] = _masked_loader(veil, oid, format, most)
    return found


def _masked_loader(veil: Veil, oid: int, wire: Format, most: int) -> type[AnyLoader]:
    base = PRISTINE.get_loader(oid, wire)
    if veil.method is not None:
        kind = object if base is None else _KINDS.get(oid)
        fixed = _opaque(veil, wire) if base is None else kind and veil.fixed(kind)
        if fixed:
            return _constant_loader(fixed.value, wire)
        refuse = partial(withheld, veil, most)
        make = veil.text(most, refuse) if veil.text is not None and oid in TEXT_OIDS else None
        if make is not None:
            return _text_loader(make, wire)
    return _value_loader(veil, oid, wire, most)


def _opaque(veil: Veil, wire: Format) -> Fixed:
    """Give what hides a value of a type that psycopg itself does not know: an enum, say.

    Only a constant can be right for such a type, as the policy's author knows it.
    """
    assert veil.method is not None
    constant = veil.method.name == "constant"
    found = veil.fixed(str if wire is Format.TEXT else bytes) if constant else None
    return found or Fixed(None)


def _value_loader(veil: Veil, oid: int, wire: Format, most: int) -> type[AnyLoader]:
    found = PRISTINE.get_loader(oid, wire) or PRISTINE.get_loader(0, wire)
    assert found is not None
    base, hide = found, veil.hide

    class MaskedLoader(Loader):
        """Loads a value as psycopg does and gives what may be shown instead."""

        format = wire

        def __init__(self, pseudo: int, context: AdaptContext | None = None) -> None:
            super().__init__(pseudo, context)
            self._base = base(oid, Own(PRISTINE, context.connection if context else None)).load

        def load(self, data: Buffer) -> Any:
            too_large = 0 < most < len(data)
            if not too_large:
                with suppress(Exception):
                    return hide(self._base(data))
            # Raised out here, so that no context of the error holds the value.
            raise withheld(veil, most, too_large)

    return MaskedLoader


def _text_loader(make: Callable[[], Callable[[Any], object]], wire: Format) -> type[AnyLoader]:
    class TextLoader(Loader):
        """Masks a text by the shortest way there is."""

        format = wire

        def __init__(self, pseudo: int, context: AdaptContext | None = None) -> None:
            super().__init__(pseudo, context)
            # Not a method: psycopg's C code calls it for each value.
            self.load = make()  # type: ignore[method-assign,assignment]

        def load(self, data: Buffer) -> Any:
            """Mask a text; each instance has this as a plain function."""
            return make()(data)

    return TextLoader


def _constant_loader(shown: object, wire: Format) -> type[AnyLoader]:
    # dict.get(key, default) is C all the way, and a key that is there needs no default.
    load = partial({None: shown}.get, None)

    class ConstantLoader(Loader):
        """Gives the same for every value, without looking at it."""

        format = wire

        def __init__(self, pseudo: int, context: AdaptContext | None = None) -> None:
            super().__init__(pseudo, context)
            self.load = load  # type: ignore[method-assign]

        def load(self, data: Buffer) -> Any:
            """Give what is shown; each instance has this as a function in C."""
            return shown

    return ConstantLoader


def value_mask(
    veil: Veil, oid: int, wire: Format, connection: Any, most: int = 0
) -> Callable[[bytes], bytes | None]:
    """Give what masks one column's values where they stay as the server sends them (COPY).

    Args:
        veil: what hides the column.
        oid: its type.
        wire: the format of the values that go in and come out.
        connection: where settings that values depend on are looked up.
        most: how many bytes a value may have that is read to be masked (0: no limit).
    """
    own = Own(PRISTINE, connection)
    load = _loader(veil, oid, wire, most)(oid, own).load
    spelled_as = _dumped_as(oid, wire)
    speller = Transformer(own)
    speller.set_dumper_types([spelled_as or _TEXT], wire)
    formats = [PyFormat.from_pq(wire)]

    def mask(value: bytes) -> bytes | None:
        shown = load(value)
        if shown is None:
            return None
        spelled = None
        if spelled_as is not None:
            with suppress(Exception):
                spelled = speller.dump_sequence([shown], formats)[0]
        elif isinstance(shown, bytes):
            # A constant for a type that psycopg does not know: its author knows it.
            spelled = shown
        if spelled is not None:
            return bytes(spelled)
        # Raised out here, so that no context of the error holds the value.
        raise Withheld(
            f"a masked value can't be spelled as its column's type is, so the rows are "
            f"withheld (rule {veil.rule})"
        )

    return mask


def _dumped_as(oid: int, wire: Format) -> int | None:
    if oid in TEXT_OIDS or (wire is Format.TEXT and PRISTINE.get_loader(oid, wire) is None):
        # What psycopg does not know it loads as text.
        return _TEXT
    try:
        PRISTINE.get_dumper_by_oid(oid, wire)
    except e.ProgrammingError:
        return None
    return oid


def __getattr__(name: str) -> Any:
    """Give psycopg's names that not every release of it has."""
    return getattr(_psycopg, name)
