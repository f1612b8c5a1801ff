"""Python values to the server's wire formats and back, by psycopg's own adapters."""

from __future__ import annotations

import datetime
import decimal
import ipaddress
import struct
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

import psycopg
from psycopg.adapt import PyFormat, Transformer
from psycopg.pq import Format
from psycopg.types.json import Json, Jsonb

_TEXT = 25
_GUESSES: tuple[tuple[type, str], ...] = (
    (bool, "bool"),
    (int, "int8"),
    (float, "float8"),
    (decimal.Decimal, "numeric"),
    (str, "text"),
    (bytes, "bytea"),
    (datetime.datetime, "timestamptz"),
    (datetime.date, "date"),
    (datetime.time, "time"),
    (datetime.timedelta, "interval"),
    (uuid.UUID, "uuid"),
    (ipaddress.IPv4Address, "inet"),
    (ipaddress.IPv6Address, "inet"),
    (Mapping, "jsonb"),
)


def type_oid(name: str) -> int:
    """Give the oid of a built-in type by its name (``int8``, ``bigint``, ``text[]``).

    Raises:
        ValueError: psycopg knows no type of that name.
    """
    bare, array = (name[:-2], True) if name.endswith("[]") else (name, False)
    info = psycopg.adapters.types.get(bare.strip().lower())
    oid = (info.array_oid if array else info.oid) if info is not None else 0
    if not oid:
        raise ValueError(f"there is no built-in type {name!r}; write int8, text, jsonb, text[] …")
    return oid


def guessed_oid(values: Sequence[object]) -> int:
    """Give the oid of the type that fits a column's first value that is not None."""
    first = next((value for value in values if value is not None), None)
    if isinstance(first, list):
        element = psycopg.adapters.types.get(guessed_oid(first))
        return element.array_oid if element is not None else _TEXT
    found = next((name for kind, name in _GUESSES if isinstance(first, kind)), "text")
    return type_oid(found)


def encoded(value: Any, oid: int, binary: bool) -> bytes | None:
    """Give a value as the server sends one of that type; a string may be its text form.

    Raises:
        ValueError: it can't be written as that type.
    """
    if value is None:
        return None
    info = psycopg.adapters.types.get(oid)
    name = info.name if info is not None else ""
    try:
        if info is not None and oid == info.array_oid and binary:
            return _array(value, info.oid)
        return _scalar(value, oid, name, binary)
    except Exception as ex:
        # A dumper raises what it likes about a value that is not of its type.
        form = "binary" if binary else "text"
        raise ValueError(
            f"a {type(value).__name__} can't be sent as {name or oid} in {form} format"
        ) from ex


def _scalar(value: Any, oid: int, name: str, binary: bool) -> bytes | None:
    if isinstance(value, str) and name not in ("json", "jsonb"):
        if binary and not _is_text(name):
            raise TypeError("a text form has no binary format")
        return value.encode()
    if not binary and isinstance(value, bytes):
        return b"\\x" + value.hex().encode()
    if not binary and isinstance(value, uuid.UUID):
        return str(value).encode()
    form = Format.BINARY if binary else Format.TEXT
    given = _wrapped(value, name)
    kind = psycopg.adapters.get_dumper_by_oid(oid, form)
    dumper: Any = kind(type(given))
    if isinstance(given, list):
        dumper = dumper.upgrade(given, PyFormat.from_pq(form))
    dumped = dumper.dump(given)
    return None if dumped is None else bytes(dumped)


def _array(values: list[Any], element: int) -> bytes:
    """Give an array in binary format (PostgreSQL's src/backend/utils/adt/arrayfuncs.c)."""
    flat: list[Any] = values
    while flat and isinstance(flat[0], list):
        flat = [value for part in flat for value in part]
    dimensions = _dimensions(values)
    body = struct.pack("!iiI", len(dimensions), int(None in flat), element)
    body += b"".join(struct.pack("!ii", size, 1) for size in dimensions)
    for value in flat:
        data = encoded(value, element, True)
        body += struct.pack("!i", -1) if data is None else struct.pack("!i", len(data)) + data
    return body


def _dimensions(values: list[Any]) -> list[int]:
    if not values:
        return []
    inner = values[0]
    return [len(values), *(_dimensions(inner) if isinstance(inner, list) else [])]


def _is_text(name: str) -> bool:
    return name in ("text", "varchar", "bpchar", "name", "xml", "unknown", '"char"', "")


def decoded(data: bytes | None, oid: int, binary: bool) -> Any:
    """Give a parameter's value as Python has it; of an unknown type as text or bytes."""
    if data is None:
        return None
    if not oid and not binary:
        return data.decode()
    form = Format.BINARY if binary else Format.TEXT
    loader = Transformer().get_loader(oid, form)
    return loader.load(data)


def _wrapped(value: Any, name: str) -> Any:
    if name in ("json", "jsonb"):
        return Json(value) if name == "json" else Jsonb(value)
    if name in ("float4", "float8") and isinstance(value, int):
        return float(value)
    if name == "numeric" and isinstance(value, int | float):
        return decimal.Decimal(str(value))
    return value
