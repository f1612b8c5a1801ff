"""Which methods of masking suit which types: what does not suit shows nothing at all."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from ipaddress import IPv4Address, IPv4Network
from types import MappingProxyType
from typing import Literal, NamedTuple, TypeAlias
from uuid import UUID

from tracewall.masking.config import Method
from tracewall.masking.methods import masker

Fit: TypeAlias = Literal["", "none", "redacted"]
"""What becomes of a value: what the method makes of it, None, or a mark in place of all of it."""

_KEY = b"only to see what is made of it"
_TEXT = "somebody@example.com"
_SAMPLES: Mapping[int, object] = MappingProxyType(
    # By their oids (pg_type.dat).
    dict.fromkeys((18, 19, 25, 1042, 1043), _TEXT)
    | dict.fromkeys((20, 21, 23, 26), 73_519)
    | dict.fromkeys((700, 701), 73_519.5)
    | {16: True, 17: b"73519", 1700: Decimal("73519.25"), 2950: UUID(int=73_519)}
    | {1082: date(2001, 7, 19), 1083: time(7, 35), 1266: time(7, 35), 1186: timedelta(73_519)}
    | {1114: datetime(2001, 7, 19, 7, 35, 19), 1184: datetime(2001, 7, 19, 7, 35, tzinfo=UTC)}
    | {869: IPv4Address("192.0.2.17"), 650: IPv4Network("192.0.2.0/24")}
    | {114: {"it": _TEXT}, 3802: {"it": _TEXT}}
)
_BOUNDS: Mapping[int, int] = MappingProxyType(
    {3904: 23, 3926: 20, 3906: 1700, 3912: 1082, 3908: 1114, 3910: 1184}
)
"""The types of the ranges' bounds."""
_MULTIRANGES = frozenset({4451, 4532, 4533, 4534, 4535, 4536})
_VECTORS = frozenset({22, 30})
"""int2vector and oidvector: arrays to the server, not to psycopg."""
_FIRST_OF_USERS = 16_384


class ColumnType(NamedTuple):
    """A column's type: its ``name`` and oid below any domain, and of an array the ``item``'s."""

    name: str
    base: int
    item: int = 0


def fit(method: Method, type: ColumnType) -> Fit:
    """Tell what `method` makes of a column's values, as psycopg loads them."""
    if method.name in ("null", "callable"):
        return ""
    item = type.item if type.base not in _VECTORS else 0
    oid = item or type.base
    if oid in _BOUNDS:
        bounded = method.name in ("date", "number")
        return fit(method, ColumnType(type.name, _BOUNDS[oid])) if bounded else "none"
    if oid not in _SAMPLES and (oid >= _FIRST_OF_USERS or not item):
        # psycopg gives what it has no form for as text, which would be no value of the type.
        return "" if method.name == "constant" and oid not in _MULTIRANGES else "none"
    sample = _SAMPLES.get(oid, _TEXT)
    made = masker(method, _KEY, "")(sample)
    if made is None:
        return "none"
    same = made == masker(Method("redact"), _KEY, "")(sample)
    return "redacted" if same and method.name not in ("redact", "constant") else ""
