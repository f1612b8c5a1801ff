"""Pseudonyms: equal values get equal ones, of their own type, that tell nothing of the value.

1. HMAC-SHA-256, truncated, under a key of the wall and a purpose, so that pseudonyms of
   two purposes can't be laid side by side.
2. Numbers that Python holds for equal have equal pseudonyms, whatever their type: columns
   of different widths can still be joined.
3. None is ever taken for a value that could be real: integers are beyond every int4,
   addresses in ranges that are given to nobody, UUIDs of version 8.
4. A type with too few values to hide among (truth values, dates, times) has none.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable, Mapping
from decimal import Decimal
from ipaddress import (
    IPv4Address,
    IPv4Interface,
    IPv4Network,
    IPv6Address,
    IPv6Interface,
    IPv6Network,
)
from typing import Any, TypeAlias
from uuid import UUID

from tracewall.masking.markers import Mark

MIN_KEY = 16
"""The least length, in bytes, of a key for the method ``hash``."""

_Made: TypeAlias = Callable[[bytes, bytes], int]
"""Takes what kind of value it is and its bytes, gives 128 bits of the digest."""

_CLASS_E = 0xF000_0000  # 240.0.0.0/4, reserved (RFC 1112)
_DOCUMENTATION = 0x2001_0DB8 << 96  # 2001:db8::/32 (RFC 3849)


def digester(
    key: bytes, purpose: str, prefix: bytes = b""
) -> Callable[[bytes | bytearray | memoryview], bytes]:
    """Give HMAC-SHA-256 (RFC 2104) of `prefix` and data, under a key derived for a purpose."""
    block = hmac.digest(key, b"tracewall hash\0" + purpose.encode(), "sha256").ljust(64, b"\0")
    # Both halves begin with a block that depends on the key alone: hashed once, then copied,
    # which takes a third of the time of hmac.digest().
    inner = hashlib.sha256(bytes(byte ^ 0x36 for byte in block) + prefix).copy
    outer = hashlib.sha256(bytes(byte ^ 0x5C for byte in block)).copy

    def digest(data: bytes | bytearray | memoryview) -> bytes:
        within, around = inner(), outer()
        within.update(data)
        around.update(within.digest())
        return around.digest()

    return digest


def text_pseudonym(key: bytes, purpose: str, mark: Mark) -> Callable[[str], str]:
    """Give what makes the pseudonym of a text, its ``h_`` and its tag too, by the shortest way."""
    digest, spelled = digester(key, purpose, b"s"), mark.speller()

    def pseudonym(value: str) -> str:
        return spelled(digest(value.encode("utf-8", "surrogatepass")))

    return pseudonym


def pseudonyms(key: bytes, purpose: str, mark: Mark) -> Mapping[type, Callable[[Any], object]]:
    """Give for each type that has pseudonyms the function that makes them."""
    digest = digester(key, purpose)

    def made(kind: bytes, data: bytes) -> int:
        return int.from_bytes(digest(kind + data)[:16], "big")

    def unique(value: UUID) -> UUID:
        bits = made(b"u", value.bytes)
        return UUID(int=bits & ~(0xF << 76 | 0x3 << 62) | 0x8 << 76 | 0x2 << 62)

    return {
        str: text_pseudonym(key, purpose, mark),
        bytes: lambda value: digest(b"b" + value)[:16],
        UUID: unique,
        **_numbers(made),
        **_addresses(made),
    }


def _numbers(made: _Made) -> dict[type, Callable[[Any], object]]:
    def number(value: int) -> int:
        size = value.bit_length() // 8 + 1
        # 2**52 to 2**53 - 1: above any int4, so never taken for a real small id, and exact
        # as a float, where JSON readers and data frames put it. Half a chance of one
        # collision among 79 million values.
        return 1 << 52 | made(b"i", value.to_bytes(size, "big", signed=True)) >> 76

    def fraction(value: Decimal) -> int | None:
        if not value.is_finite() or abs(value.adjusted()) > 1_000:
            return None
        top, bottom = value.as_integer_ratio()
        return number(top) if bottom == 1 else 1 << 52 | made(b"n", b"%d/%d" % (top, bottom)) >> 76

    def decimal(value: Decimal) -> Decimal | None:
        found = fraction(value)
        return None if found is None else Decimal(found)

    def floating(value: float) -> float | None:
        found = fraction(Decimal(value))
        return None if found is None else float(found)

    return {int: number, Decimal: decimal, float: floating}


def _addresses(made: _Made) -> dict[type, Callable[[Any], object]]:
    def ipv4(value: IPv4Address) -> IPv4Address:
        return IPv4Address(_CLASS_E | made(b"4", value.packed) >> 100)

    def ipv6(value: IPv6Address) -> IPv6Address:
        return IPv6Address(_DOCUMENTATION | made(b"6", value.packed) >> 32)

    return {
        IPv4Address: ipv4,
        IPv6Address: ipv6,
        # With a netmask, which /32 and /128 would not be: the server drops these, and what
        # was an interface would come back as an address.
        IPv4Interface: lambda value: IPv4Interface((ipv4(value.ip), 4)),
        IPv6Interface: lambda value: IPv6Interface((ipv6(value.ip), 32)),
        IPv4Network: lambda value: IPv4Network(ipv4(value.network_address)),
        IPv6Network: lambda value: IPv6Network(ipv6(value.network_address)),
    }
