"""Pseudonyms are HMAC-SHA-256 of the value, cut, of its type, and never a value that is real."""

from __future__ import annotations

import hmac
from collections.abc import Callable
from decimal import Decimal
from ipaddress import (
    IPv4Address,
    IPv4Interface,
    IPv4Network,
    IPv6Address,
    IPv6Interface,
    IPv6Network,
)
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracewall.masking.markers import PLAIN
from tracewall.masking.pseudonyms import digester, pseudonyms

KEY = b"k" * 32
FINITE = st.integers() | st.floats(allow_nan=False, allow_infinity=False)


def made(value: Any) -> Any:
    """Give a value's pseudonym."""
    return pseudonyms(KEY, "p", PLAIN)[type(value)](value)


def expected(data: bytes, purpose: str = "p") -> bytes:
    """Give the digest by the standard library's own way."""
    key = hmac.digest(KEY, b"tracewall hash\0" + purpose.encode(), "sha256")
    return hmac.digest(key, data, "sha256")


def bits(data: bytes) -> int:
    """Give 128 bits of the digest."""
    return int.from_bytes(expected(data)[:16], "big")


@given(st.binary(max_size=200), st.binary(max_size=3), st.text(max_size=5))
def test_a_digest_is_always_hmac_under_the_purposes_key(
    data: bytes, prefix: bytes, purpose: str
) -> None:
    """The short way gives what RFC 2104 says, whatever the prefix and the purpose."""
    assert digester(KEY, purpose, prefix)(data) == expected(prefix + data, purpose)


@pytest.mark.parametrize(
    ("value", "data"),
    [(0, b"i\0"), (127, b"i\x7f"), (128, b"i\0\x80"), (-1, b"i\xff"), (1 << 64, b"i\1" + bytes(8))],
)
def test_a_number_gets_52_bits_of_its_digest(value: int, data: bytes) -> None:
    """Beyond every int4, exact as a float, and the same in every type that holds the number."""
    number = made(value)
    assert number == 1 << 52 | bits(data) >> 76
    assert 1 << 52 <= number < 1 << 53
    for other in (float(value), Decimal(value)):
        assert made(other) == number and type(made(other)) is type(other)


@given(FINITE)
def test_a_number_always_gets_one_that_is_exact_as_a_float(value: Any) -> None:
    """Whatever finite number it is, within a thousand digits, or it has none."""
    found = made(value)
    assert found is not None and 1 << 52 <= found < 1 << 53
    assert type(found) is type(value) and found == float(found)


def test_a_fraction_gets_its_ratio_s_digest() -> None:
    """Equal fractions have equal pseudonyms in float and numeric; neighbours have others."""
    assert made(0.5) == made(Decimal("0.50")) == 1 << 52 | bits(b"n1/2") >> 76
    assert made(Decimal("1.5")) == 1 << 52 | bits(b"n3/2") >> 76
    assert len({made(number) for number in (0.5, 1.5, -0.5, 0.25, 2, 3)}) == 6


@pytest.mark.parametrize(
    "value",
    [
        float("nan"),
        float("inf"),
        float("-inf"),
        *map(Decimal, ("NaN", "Infinity", "1e1001", "1e-1001")),
    ],
)
def test_what_is_no_number_or_immense_has_none(value: Any) -> None:
    """It is shown as NULL, and nobody waits for a number of a million digits."""
    assert made(value) is None
    assert made(Decimal("1e1000")) is not None


def test_bytes_and_uuids_get_128_bits() -> None:
    """16 bytes, or a UUID of version 8 (RFC 9562) with 122 bits of the digest."""
    assert made(b"abc") == expected(b"babc")[:16]
    value = UUID(int=5)
    told = made(value)
    free = ~(0xF << 76 | 0x3 << 62)
    assert (told.version, told.variant) == (8, "specified in RFC 4122")
    assert told.int & free == bits(b"u" + value.bytes) & free


def of_ipv4(value: Any) -> IPv4Address:
    """Give what stands for an address."""
    return IPv4Address(0xF000_0000 | bits(b"4" + IPv4Address(value).packed) >> 100)


def of_ipv6(value: Any) -> IPv6Address:
    """Give what stands for an address."""
    return IPv6Address(0x2001_0DB8 << 96 | bits(b"6" + IPv6Address(value).packed) >> 32)


@pytest.mark.parametrize(
    ("value", "other"),
    [
        (IPv4Address("10.0.0.1"), of_ipv4("10.0.0.1")),
        (IPv4Interface("10.0.0.1/8"), IPv4Interface((of_ipv4("10.0.0.1"), 4))),
        (IPv4Network("10.0.0.0/8"), IPv4Network(of_ipv4("10.0.0.0"))),
        (IPv6Address("fe80::1"), of_ipv6("fe80::1")),
        (IPv6Interface("fe80::1/64"), IPv6Interface((of_ipv6("fe80::1"), 32))),
        (IPv6Network("fe80::/64"), IPv6Network(of_ipv6("fe80::"))),
    ],
)
def test_an_address_gets_one_that_is_given_to_nobody(value: Any, other: Any) -> None:
    """In 240.0.0.0/4 and 2001:db8::/32, with a netmask where the value had one."""
    told = made(value)
    assert told == other and type(told) is type(value)
    nobody: Callable[[Any], bool] = (
        IPv4Network("240.0.0.0/4") if value.version == 4 else IPv6Network("2001:db8::/32")
    ).__contains__
    assert nobody(getattr(told, "network_address", getattr(told, "ip", told)))


def test_a_text_is_digested_whatever_it_holds() -> None:
    """Even what can't be encoded gets a pseudonym, and each its own."""
    assert made("abc") == PLAIN.speller()(expected(b"sabc"))
    assert made("\ud800") != made("\ud801") != made("?")
