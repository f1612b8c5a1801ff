"""Yes or no: does what looks like a secret hold up to a closer look.

Plain functions over ASCII bytes, each with a bounded cost. They know nothing of the text
around what they judge.
"""

from __future__ import annotations

import base64
import binascii
import ipaddress
import re
from collections.abc import Mapping
from types import MappingProxyType

_DOUBLED = bytes.maketrans(b"0123456789", bytes([0, 2, 4, 6, 8, 1, 3, 5, 7, 9]))
_PLAIN = bytes.maketrans(b"0123456789", bytes(range(10)))

_ISSUERS = re.compile(
    rb"4(?:\d{12}|\d{15}|\d{18})"  # Visa
    rb"|5[1-5]\d{14}|2(?:22[1-9]|2[3-9]\d|[3-6]\d\d|7[01]\d|720)\d{12}"  # Mastercard
    rb"|3[47]\d{13}|3(?:0[0-5]|[689]\d)\d{11}"  # American Express, Diners Club
    rb"|(?:6011|64[4-9]\d|65\d\d|62\d\d|8[12]\d\d)\d{12,15}"  # Discover, UnionPay, RuPay
    rb"|35(?:2[89]|[3-8]\d)\d{12,15}|220[0-4]\d{12,15}"  # JCB, Mir
    rb"|(?:50|5[6-8]|63|67)\d{11,17}"  # Maestro
)

IBAN_LENGTHS: Mapping[bytes, int] = MappingProxyType(
    {
        pair[:2].encode(): int(pair[2:])
        for pair in (
            "AD24 AE23 AL28 AT20 AZ28 BA20 BE16 BG22 BH22 BI27 BR29 BY28 CH21 CR22 CY28 CZ24 DE22"
            " DJ27 DK18 DO28 EE20 EG29 ES24 FI18 FK18 FO18 FR27 GB22 GE22 GI23 GL18 GR27 GT28 HN28"
            " HR21 HU28 IE22 IL23 IQ23 IS26 IT27 JO30 KW30 KZ20 LB28 LC32 LI21 LT20 LU20 LV21 LY25"
            " MC27 MD24 ME22 MK19 MN20 MR27 MT31 MU30 NI28 NL18 NO15 OM23 PK24 PL28 PS29 PT25 QA29"
            " RO24 RS22 RU33 SA24 SC31 SD18 SE24 SI19 SK24 SM27 SO23 ST25 SV28 TL23 TN24 TR26 UA29"
            " VA22 VG24 XK20 YE30"
        ).split()
    }
)
"""How many characters an IBAN of a country has, by the ISO 13616 registry."""

_CALLING_CODES = re.compile(
    rb"1|7|2(?:0|7|1[1-368]|[2-4]\d|5[0-8]|6\d|9[0178])|3(?:[0-469]|5\d|7\d|8[0-57-9])"
    rb"|4(?:[013-9]|2[0-3])|5(?:[1-8]|0\d|9\d)|6(?:[0-6]|7[02-9]|8\d|9[0-2])"
    rb"|8(?:[1246]|0[08]|5[02356]|7[08]|8[0-368])|9(?:[0-58]|6[0-8]|7[0-79]|9[2-68])"
)

_DIGIT_AND_LETTER = re.compile(rb"[^0-9A-Za-z]*+(?:[0-9][^A-Za-z]*+[A-Za-z]|[A-Za-z][^0-9]*+[0-9])")


def luhn(digits: bytes) -> bool:
    """Tell whether `digits` end in their right Luhn check digit."""
    backwards = digits[::-1]
    total = sum(backwards[::2].translate(_PLAIN)) + sum(backwards[1::2].translate(_DOUBLED))
    return total % 10 == 0


def card(digits: bytes) -> bool:
    """Tell whether `digits` are a card's number: of a known issuer, its check digit right."""
    return _ISSUERS.fullmatch(digits) is not None and len(set(digits)) > 1 and luhn(digits)


def iban(text: bytes) -> bool:
    """Tell whether `text`, in capitals and without blanks, is an IBAN by length and mod 97."""
    if IBAN_LENGTHS.get(text[:2]) != len(text):
        return False
    return int("".join(str(int(chr(byte), 36)) for byte in text[4:] + text[:4])) % 97 == 1


def international(digits: bytes) -> bool:
    """Tell whether `digits` (after a plus) can be a telephone number of ITU E.164."""
    if digits[:1] == b"1":
        return north_american(digits[1:])
    code = _CALLING_CODES.match(digits)
    return code is not None and 8 <= len(digits) <= 15 and len(set(digits)) > 2


def north_american(digits: bytes) -> bool:
    """Tell whether ten `digits` keep the rules of the North American numbering plan."""
    return len(digits) == 10 and digits[0] >= 0x32 and digits[3] >= 0x32 and digits[1:3] != b"11"


def ipv4(text: bytes) -> bool:
    """Tell whether `text` is an IPv4 address that names some machine.

    The local host (127.0.…), the unspecified address and netmasks (255.…) name none.
    """
    parts = text.split(b".")
    if len(parts) != 4 or any(len(part) > 1 and part[:1] == b"0" for part in parts):
        return False
    nobody = parts[0] in (b"0", b"255") or parts[:2] == [b"127", b"0"]
    return not nobody and all(int(part) < 256 for part in parts)


def ipv6(text: bytes) -> bool:
    """Tell whether `text` is an IPv6 address."""
    try:
        ipaddress.IPv6Address(text.decode("ascii"))
    except ValueError:
        return False
    return True


def decoded(segment: bytes) -> bytes:
    """Decode base64 in either alphabet, without padding; empty when it is none."""
    segment = segment.rstrip(b"=").translate(bytes.maketrans(b"-_", b"+/"))
    if len(segment) % 4 == 1:
        segment = segment[:-1]
    try:
        return base64.b64decode(segment + b"=" * (-len(segment) % 4), validate=True)
    except binascii.Error:
        return b""


def jose_header(segment: bytes) -> bool:
    """Tell whether `segment` is the base64url of a JSON object that names an algorithm."""
    plain = decoded(segment)
    return plain.lstrip()[:1] == b"{" and (
        b'"alg"' in plain or b'"enc"' in plain or b'"typ"' in plain
    )


def basic(credentials: bytes) -> bool:
    """Tell whether `credentials` are those of HTTP's Basic scheme: base64 of ``user:password``."""
    plain = decoded(credentials)
    return b":" in plain and plain.isascii() and plain.decode().isprintable()


def mixed(text: bytes) -> bool:
    """Tell whether `text` looks random: letters and digits, at least eight different ones."""
    return _DIGIT_AND_LETTER.match(text) is not None and len(set(text[:128])) >= 8
