"""Whole-value masks: a value goes in, a value of the same Python type or None comes out.

1. NULL stays NULL; the original never comes back because something failed.
2. A type that a method has no form for is redacted: text and bytes to a marker, the rest to None.
3. Lists, tuples and dicts keep their shape and their keys; their leaves are masked.
4. Whatever is unforeseen raises `MaskFailed`, and the caller withholds the row set.
"""

from __future__ import annotations

import importlib
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal, localcontext
from enum import Enum
from ipaddress import (
    IPv4Address,
    IPv4Interface,
    IPv4Network,
    IPv6Address,
    IPv6Interface,
    IPv6Network,
)
from types import MappingProxyType
from typing import Any, TypeAlias, cast
from uuid import UUID

from tracewall.masking.config import Method
from tracewall.masking.markers import PLAIN, Mark
from tracewall.masking.pseudonyms import MIN_KEY, pseudonyms

Mask: TypeAlias = Callable[[object], object]
Leaf: TypeAlias = Callable[[Any], object]

MAX_DEPTH = 128
"""How deep lists, tuples and dicts may be nested in a masked value."""

_SCALARS: tuple[type, ...] = (
    str, bytes, int, float, Decimal, bool, date, time, datetime, timedelta, UUID,
    IPv4Address, IPv4Interface, IPv4Network, IPv6Address, IPv6Interface, IPv6Network,
)  # fmt: skip
_KINDS: tuple[type, ...] = (*_SCALARS, type(None))
_EMAIL = re.compile(r"([^\s@]{1,64})@([^\s@.]+(?:\.[^\s@.]+)+)")


class MaskFailed(Exception):
    """A value could not be masked; it holds nothing of the value."""

    def __init__(self, reason: str = "a value could not be masked") -> None:
        super().__init__(reason)


@dataclass(frozen=True, slots=True)
class Fixed:
    """A masked value that is the same for every original."""

    value: object


def masker(method: Method, key: bytes, purpose: str, mark: Mark = PLAIN) -> Mask:
    """Give the function that masks one value by `method`.

    `key` (at least 16 bytes) and `purpose` are used by ``hash`` alone: equal values have
    equal pseudonyms under the same key and purpose. `mark` is what masked text shows. The
    function returns a value of the value's own type or None, and raises nothing but
    `MaskFailed`; `ValueError` is raised here when the method's own settings make no sense.
    """
    _check(method, key)
    if method.name == "null":
        return _nothing
    if method.name == "callable":
        return _guarded(_typed(_named(method.callable)))
    table, rest = _FORMS[method.name](method, key, purpose, mark)
    walk = _walker(table, rest, bounds=method.name in ("date", "number"))
    fixed = {kind: made.value for kind in _KINDS if (made := fixed_value(method, kind, mark))}

    def mask(value: object) -> object:
        kind = type(value)
        return fixed[kind] if kind in fixed else walk(value, 0)

    return _guarded(mask)


def _guarded(mask: Mask) -> Mask:
    def guarded(value: object) -> object:
        try:
            return mask(value)
        except Exception:
            # Raised outside the handler: the cause may quote the value.
            value = None
        raise MaskFailed

    return guarded


def of_text(method: Method, key: bytes, purpose: str, mark: Mark = PLAIN) -> Leaf | None:
    """Give the shortest way to mask what is surely a str; it may raise anything."""
    if method.name not in ("partial", "email", "hash"):
        return None
    _check(method, key)
    return _FORMS[method.name](method, key, purpose, mark)[0][str]


def fixed_value(method: Method, kind: type, mark: Mark = PLAIN) -> Fixed | None:
    """Tell what every value of exactly the type `kind` becomes, or None where it depends on it.

    A loader that knows its column's type need not even decode what is replaced anyway.
    """
    if method.name == "null" or kind is type(None):
        return Fixed(None)
    if method.name == "redact" and kind in _KINDS:
        return Fixed(_redaction(kind, mark))
    if method.name == "constant" and kind in _KINDS and kind is not datetime:
        return Fixed(_parsed(method.value, kind))
    return None


def _redaction(kind: type, mark: Mark) -> object:
    return mark.whole if kind is str else mark.whole.encode() if kind is bytes else None


# The policy's own function


def _named(path: str) -> Leaf:
    """Import ``package.module:function``; raises ValueError where there is none."""
    module, _, name = path.partition(":")
    try:
        found = getattr(importlib.import_module(module), name)
    except Exception as ex:
        # An import runs the module, which may raise anything.
        raise ValueError(f"there is no function {path!r} ({type(ex).__name__})") from None
    if not callable(found):
        raise ValueError(f"{path!r} is no function")
    return found  # type: ignore[no-any-return]  # callable, as was looked


def _typed(function: Leaf) -> Mask:
    def mask(value: object) -> object:
        if value is None:
            return None
        # The original is compared by identity alone: an equal value may be a mask's intent.
        made = function(value)
        if made is not None and type(made) is not type(value):
            raise MaskFailed
        return made

    return mask


def _nothing(value: object) -> None:
    return None


def _check(method: Method, key: bytes) -> None:
    if method.name not in ("null", "callable", *_FORMS):
        raise ValueError(f"no such masking method: {method.name}")
    if method.name == "hash" and len(key) < MIN_KEY:
        raise ValueError(f"the method hash needs a key of at least {MIN_KEY} bytes")
    if method.name == "partial" and (method.keep_first < 0 or method.keep_last < 0):
        raise ValueError("keep_first and keep_last must not be negative")
    if method.name == "number" and not 0 < method.bucket < math.inf:
        raise ValueError("bucket must be a positive number")
    if method.name == "date" and method.unit not in _UNITS:
        raise ValueError(f"no such unit: {method.unit}")


# The walk over containers


def _walker(table: Mapping[type, Leaf], rest: Leaf, *, bounds: bool) -> Callable[[Any, int], Any]:
    def walk(value: Any, depth: int) -> Any:
        kind = type(value)
        leaf = table.get(kind)
        if leaf is not None:
            return leaf(value)
        if value is None or isinstance(value, Enum):
            return None
        if depth >= MAX_DEPTH:
            raise MaskFailed
        below = depth + 1
        if kind is list:
            return [walk(item, below) for item in value]
        if kind is dict:
            return {name: walk(item, below) for name, item in value.items()}
        if isinstance(value, tuple):
            return rebuilt(value, [walk(item, below) for item in value])
        if _psycopg_class(kind, "Range"):
            return _bounds(value, lambda bound: walk(bound, below)) if bounds else None
        if _psycopg_class(kind, "Multirange"):
            return None
        return rest(value)

    return walk


def rebuilt(value: Any, items: list[Any]) -> Any:
    """Give items as the list, tuple or named tuple that `value` is; any other type fails."""
    kind = type(value)
    return kind(items) if kind in (list, tuple) else kind._make(items)


def _psycopg_class(kind: type, name: str) -> bool:
    # By name, for this room does not import psycopg.
    return any(
        base.__name__ == name and base.__module__.startswith("psycopg.") for base in kind.__mro__
    )


def _bounds(value: Any, mask: Mask) -> object:
    """Mask a range's bounds; None when one is lost, for it would read as infinite."""
    if value.isempty:
        return None
    lower, upper = mask(value.lower), mask(value.upper)
    if (lower is None) is not (value.lower is None) or (upper is None) is not (value.upper is None):
        return None
    return type(value)(lower, upper, value.bounds)


def _unknown(value: object) -> None:
    raise MaskFailed


def _redactions(forms: Mapping[type, Leaf], mark: Mark) -> dict[type, Leaf]:
    """Complete `forms` by redacting every other scalar type."""
    return {kind: _always(_redaction(kind, mark)) for kind in _KINDS} | dict(forms)


def _always(made: object) -> Leaf:
    return lambda value: made


Forms: TypeAlias = tuple[Mapping[type, Leaf], Leaf]


def _redact(method: Method, key: bytes, purpose: str, mark: Mark) -> Forms:
    return _redactions({}, mark), _nothing


def _constant(method: Method, key: bytes, purpose: str, mark: Mark) -> Forms:
    parsed = {kind: _parsed(method.value, kind) for kind in _KINDS}
    table = {kind: _always(made) for kind, made in parsed.items()}
    moment = parsed[datetime]
    if isinstance(moment, datetime):
        table[datetime] = lambda value: _zoned(moment, value)
    return table, _nothing


def _zoned(moment: datetime, like: datetime) -> datetime | None:
    """Give `moment` as aware or as naive as `like` is, so that the two can be compared."""
    if (moment.tzinfo is None) is (like.tzinfo is None):
        return moment
    return moment.replace(tzinfo=like.tzinfo) if moment.tzinfo is None else None


def _parsed(text: str, kind: type) -> object:
    if kind is bool:
        return {"true": True, "false": False}.get(text.lower())
    parse = _PARSERS.get(kind, _nothing)
    try:
        return parse(text)
    except (ValueError, ArithmeticError):
        return None


_PARSERS: Mapping[type, Leaf] = MappingProxyType(
    {
        str: str, bytes: str.encode, int: int, float: float, Decimal: Decimal, UUID: UUID,
        date: date.fromisoformat, time: time.fromisoformat, datetime: datetime.fromisoformat,
        IPv4Address: IPv4Address, IPv4Interface: IPv4Interface, IPv4Network: IPv4Network,
        IPv6Address: IPv6Address, IPv6Interface: IPv6Interface, IPv6Network: IPv6Network,
    }
)  # fmt: skip


def _partial(method: Method, key: bytes, purpose: str, mark: Mark) -> Forms:
    first, last, middle = method.keep_first, method.keep_last, mark.middle
    kept, redacted = first + last, mark.whole

    def text(value: str) -> str:
        end = len(value) - last
        if value == redacted or (kept and value[first:end] == middle):
            return value
        hidden = len(value) - kept
        if hidden < 4 or hidden < kept:
            return redacted
        return value[:first] + middle + value[end:]

    return _redactions({str: text}, mark), _unknown


def _email(method: Method, key: bytes, purpose: str, mark: Mark) -> Forms:
    local, redacted = mark.local, mark.whole

    def text(value: str) -> str:
        found = _EMAIL.fullmatch(value)
        if found is None:
            return redacted
        name, domain = found.groups()
        if name.endswith(local):
            return value if len(name) - len(local) < 2 else f"{local}@{domain}"
        # One letter of two would be half of the name.
        return f"{name[0] if len(name) > 2 else ''}{local}@{domain}"

    return _redactions({str: text}, mark), _unknown


def _hash(method: Method, key: bytes, purpose: str, mark: Mark) -> Forms:
    return _redactions(pseudonyms(key, purpose, mark), mark), _unknown


_UNITS = ("hour", "day", "month", "year")


def _date(method: Method, key: bytes, purpose: str, mark: Mark) -> Forms:
    size = _UNITS.index(method.unit)
    clock = {"minute": 0, "second": 0, "microsecond": 0} | ({"hour": 0} if size else {})
    calendar = dict.fromkeys(("day", "month")[: max(size - 1, 0)], 1)

    def cut(value: Any) -> Any:
        return value.replace(**clock, **calendar)

    def moment(value: datetime) -> datetime | None:
        if value.tzinfo is None:
            return cast(datetime, cut(value))
        try:
            # In one zone always: who may choose it could tell by it where a day begins.
            return cast(datetime, cut(value.astimezone(UTC)).astimezone(value.tzinfo))
        except OverflowError:
            return None

    forms: dict[type, Leaf] = {
        date: lambda value: value.replace(**calendar),
        datetime: moment,
    }
    return _redactions(forms, mark), _unknown


def _number(method: Method, key: bytes, purpose: str, mark: Mark) -> Forms:
    bucket = method.bucket
    whole = int(bucket) if bucket == int(bucket) else 0
    exact = Decimal(whole) if whole else Decimal(repr(bucket))

    def integer(value: int) -> int:
        # A bucket with a fraction is rounded down to a whole number once more.
        return value - value % whole if whole else math.floor(_floored(Decimal(value), exact))

    def floating(value: float) -> float | None:
        # By way of the shortest decimal: 0.3 is three buckets of 0.1, in binary it is not.
        made = decimal(Decimal(repr(value)))
        return None if made is None else float(made)

    def decimal(value: Decimal) -> Decimal | None:
        return _floored(value, exact) if value.is_finite() else None

    forms: dict[type, Leaf] = {int: integer, float: floating, Decimal: decimal}
    return _redactions(forms, mark), _unknown


def _floored(value: Decimal, bucket: Decimal) -> Decimal:
    digits = len(value.as_tuple().digits) + len(bucket.as_tuple().digits)
    with localcontext() as context:
        # Enough for an exact remainder: a rounded quotient could round up.
        context.prec = digits + abs(value.adjusted()) + abs(bucket.adjusted()) + 8
        rest = value % bucket
        # With the bucket's digits: how many the value has after the point would tell of it.
        return (value - (rest + bucket if rest < 0 else rest)).quantize(bucket)


_FORMS: Mapping[str, Callable[[Method, bytes, str, Mark], Forms]] = MappingProxyType(
    {
        "redact": _redact,
        "constant": _constant,
        "partial": _partial,
        "email": _email,
        "hash": _hash,
        "date": _date,
        "number": _number,
    }
)
