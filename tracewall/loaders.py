"""What masked values are loaded with: loaders of ours around psycopg's own, by type and veil.

1. psycopg's own loaders are made anew here, so that what a program registers or replaces is
   never asked for a masked column.
2. What can't be masked, or is too large to be read, is refused by an error that holds nothing
   of it.
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
from psycopg.abc import AdaptContext, Buffer
from psycopg.abc import Loader as AnyLoader
from psycopg.adapt import AdaptersMap, Loader, PyFormat
from psycopg.pq import Format
from psycopg.types import TypesRegistry, json
from psycopg.types.array import register_all_arrays
from psycopg.types.range import Range

from tracewall.errors import Withheld
from tracewall.joining import withheld
from tracewall.rewriting import Column, Rewriting
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

_BOOL, _TEXT, _TEXTS = 16, 25, 1009
"""The oids of bool, text and text[] (pg_type.dat)."""

_SHORT = frozenset(
    {16, 20, 21, 23, 26, 700, 701, 829, 869, 1082, 1083, 1114, 1184, 1186, 1266, 1700, 2950}
)
"""Types whose values are short: truth values, numbers, moments, addresses, UUIDs (pg_type.dat)."""

_SHORTEST = 1 << 18
"""More bytes than any value of them is long, numeric included (table 8.2 of the manual)."""

_BITS: Mapping[int, int] = MappingProxyType(
    dict.fromkeys((21, 1005), 16) | dict.fromkeys((23, 1007, 3904, 3905), 32)
)
"""The room of int2 and int4, of their arrays and ranges; psycopg's C dumpers cut what has none."""

_ENDLESS = 1 << 62


class Own(NamedTuple):
    """An adaptation context of ours, so that our loaders are nobody else's to replace."""

    adapters: AdaptersMap
    connection: Any


class Apart(AdaptersMap):
    """A cursor's adapters, whose loaders other than psycopg's own never get hold of its results.

    psycopg hands to each loader, as its context, what loads it: that could be told to load
    masked columns otherwise. The loaders of a program get the cursor's context instead.
    """

    def __init__(self, template: AdaptersMap, connection: Any) -> None:
        super().__init__(template)
        self._context = Own(template, connection)
        self._ours = set[type[AnyLoader]]()

    def own(self, oid: int, loader: type[AnyLoader]) -> None:
        """Take in a loader of ours."""
        self.register_loader(oid, loader)
        self._ours.add(loader)

    def get_loader(self, oid: int, format: Format) -> Any:
        """Give what makes loaders of a type; None: there is nothing."""
        found = super().get_loader(oid, format)
        if found is None or found in self._ours or found is PRISTINE.get_loader(oid, format):
            return found
        context = self._context

        def apart(oid: int, _context: AdaptContext | None = None) -> AnyLoader:
            return found(oid, context)

        return apart


def as_texts(
    oids: Sequence[int], veils: Mapping[int, Veil], texts: frozenset[int], wire: Format
) -> list[int]:
    """Give text as the type of masked columns whose types are spelled so: psycopg loads them so.

    In the binary format psycopg gives the bytes of a type that it does not know, and what
    these mean only the type's maker knows.
    """
    if wire is not Format.TEXT or not texts:
        return list(oids)
    return [_TEXT if oid in texts and at in veils else oid for at, oid in enumerate(oids)]


def rewriting(
    veils: Mapping[int, Veil], oids: Sequence[int], wire: Format, most: int
) -> tuple[Rewriting, Mapping[int, type[AnyLoader]]] | None:
    """Give what rewrites rows by many, and what loads the masked columns until then.

    They are psycopg's own loaders, in C where it has them, or for a column whose values all
    look alike the cheapest of those. Where one of them can't load a value, or a text may be
    too long, the rows have to be loaded anew by the loaders of `loader`, which tell why.
    None: no column can be masked so.
    """
    fixed, columns, loaders = dict[int, object](), dict[int, Column](), {}
    blind = PRISTINE.get_loader(_BOOL, wire)
    for at, veil in veils.items():
        base = PRISTINE.get_loader(oids[at], wire)
        same = _fixed(veil, oids[at], wire, known=base is not None)
        if same is not None and blind is not None:
            fixed[at], loaders[at] = same.value, blind
        elif base is not None and oids[at] in TEXT_OIDS:
            columns[at], loaders[at] = veil.column(most // 4 if most else _ENDLESS), base
        elif base is not None and oids[at] in _SHORT and not 0 < most < _SHORTEST:
            columns[at], loaders[at] = _each(veil.hide), base
    return (Rewriting(len(oids), fixed, columns), loaders) if loaders else None


def _each(hide: Callable[[object], object]) -> Column:
    def column(values: Sequence[object]) -> list[object]:
        return [None if value is None else hide(value) for value in values]

    return column


_LOADERS: dict[tuple[Veil, int, Format, int], type[AnyLoader]] = {}
_MOST_LOADERS = 10_000


def loader(veil: Veil, oid: int, format: Format, most: int) -> type[AnyLoader]:
    """Give what loads a value of a type and masks it; `most` bytes at the most (0: no limit)."""
    key = (veil, oid, format, most)
    found = _LOADERS.get(key)
    if found is None:
        if len(_LOADERS) >= _MOST_LOADERS:
            _LOADERS.clear()
        found = _LOADERS[key] = _masked_loader(veil, oid, format, most)
    return found


def _masked_loader(veil: Veil, oid: int, wire: Format, most: int) -> type[AnyLoader]:
    base = PRISTINE.get_loader(oid, wire)
    fixed = _fixed(veil, oid, wire, known=base is not None)
    if fixed is not None:
        return _constant_loader(fixed.value, wire)
    if oid in TEXT_OIDS:
        return _text_loader(veil, wire, most)
    return _value_loader(veil, oid, wire, most)


def _fixed(veil: Veil, oid: int, wire: Format, *, known: bool) -> Fixed | None:
    """Tell what all values of a column look like behind a veil; None: that depends on them."""
    if veil.method is None:
        return None
    kind = _KINDS.get(oid)
    return (veil.fixed(kind) if kind else None) if known else _opaque(veil, wire)


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


def _text_loader(veil: Veil, wire: Format, most: int) -> type[AnyLoader]:
    class TextLoader(Loader):
        """Masks a text by the way that columns of texts are masked by."""

        format = wire

        def __init__(self, pseudo: int, context: AdaptContext | None = None) -> None:
            super().__init__(pseudo, context)
            self._column = veil.column(_ENDLESS)

        def load(self, data: Buffer) -> Any:
            too_large = 0 < most < len(data)
            if not too_large:
                with suppress(Exception):
                    (shown,) = self._column((str(data, "utf-8"),))
                    return shown
            # Raised out here, so that no context of the error holds the value.
            raise withheld(veil, most, too_large)

    return TextLoader


def _constant_loader(shown: object, wire: Format) -> type[AnyLoader]:
    # dict.get(key, default) is C all the way, and a key that is there needs no default.
    load = partial({None: shown}.get, None)

    class ConstantLoader(Loader):
        """Gives the same for every value, without looking at it."""

        format = wire

        def __init__(self, pseudo: int, context: AdaptContext | None = None) -> None:
            super().__init__(pseudo, context)
            self.load = load  # type: ignore[method-assign]  # C in place of the method

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
    load = loader(veil, oid, wire, most)(oid, own).load
    spelled_as = _dumped_as(oid, wire)
    speller = Transformer(own)
    try:
        speller.set_dumper_types([spelled_as or _TEXT], wire)
    except e.ProgrammingError:
        # An array of what psycopg knows no type of, as money: it is loaded as texts.
        spelled_as = _TEXTS if wire is Format.TEXT else None
        speller.set_dumper_types([spelled_as or _TEXT], wire)
    formats = [PyFormat.from_pq(wire)]
    bits = _BITS.get(oid, 0) if wire is Format.BINARY else 0

    def mask(value: bytes) -> bytes | None:
        shown = load(value)
        if shown is None:
            return None
        spelled = None
        if spelled_as is not None and _fits(shown, bits):
            # What can't be spelled is withheld below.
            with suppress(Exception):
                spelled = speller.dump_sequence([shown], formats)[0]
        elif spelled_as is None and isinstance(shown, bytes):
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


def _fits(shown: object, bits: int) -> bool:
    """Tell whether the integers of a masked value have so many bits at the most (0: any)."""
    if not bits or shown is None:
        return True
    if isinstance(shown, int):
        return -1 << bits - 1 <= shown < 1 << bits - 1
    inner = shown if isinstance(shown, list) else _edges(shown)
    return all(_fits(each, bits) for each in inner)


def _edges(shown: object) -> Sequence[object]:
    return (shown.lower, shown.upper) if isinstance(shown, Range) else ()


def _dumped_as(oid: int, wire: Format) -> int | None:
    if oid in TEXT_OIDS or (wire is Format.TEXT and PRISTINE.get_loader(oid, wire) is None):
        # What psycopg does not know it loads as text.
        return _TEXT
    try:
        PRISTINE.get_dumper_by_oid(oid, wire)
    except e.ProgrammingError:
        return None
    return oid
