"""How to reach somebody or something: e-mail addresses, telephone numbers, IP addresses."""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType

from tracewall.masking import confirm
from tracewall.masking.shape import ANY, DIGITS, LEFT, Shape, Verdict, after_escape, stands_alone

_EMAIL = rb"[A-Za-z0-9_%+'\x80-\xbf-](?:@|%40)[A-Za-z0-9.\x80-\xff-]{1,64}\.[A-Za-z\x80-\xff]{2}"
_HOST = re.compile(
    rb"(?:@|%40)((?>(?:[A-Za-z0-9\x80-\xff][A-Za-z0-9\x80-\xff-]{0,62}\.){1,20}"
    rb"(?:xn--[A-Za-z0-9-]{2,59}|[A-Za-z\x80-\xff]{2,63}[A-Za-z0-9]*)))(?![(\[])"
)
# Letters beyond ASCII only up to U+07FF: scripts above put no blank before an address.
_LOCAL = re.compile(rb"(?:[A-Za-z0-9._%+'-]|[\x80-\xbf][\xc3-\xdf]){1,256}")
_NO_DOMAINS = frozenset(
    b"png jpg jpeg gif svg webp ico css html htm txt json yaml yml xml pdf csv lock map"
    b" tsx jsx js ts whl tgz gz tar bz2 shape dtype item".split()
)


def _email(data: bytes, start: int, floor: int) -> Verdict:
    if data[start + 1 : start + 2] not in (b"@", b"%"):
        return None
    host = _HOST.match(data, start + 1)
    local = _LOCAL.match(data[max(floor, start - 255) : start + 1][::-1]) if host else None
    if host is None or local is None:
        return start + 2
    if host[1].rpartition(b".")[2].lower() in _NO_DOMAINS:
        return start + 2
    first = after_escape(data, start + 1 - local.end(), floor)
    name = data[first : start + 1].lstrip(b".'%")
    # git@host:path is how repositories are addressed.
    if not name or (name == b"git" and data[host.end() : host.end() + 1] in (b":", b"/")):
        return start + 2
    return start + 1 - len(name), host.end(), "email"


# Telephone numbers

_PLUS = rb"\+[1-9](?:[ ().-]{0,2}[0-9]){6}"
_NATIONAL = (
    rb"(?:(?:1[ .-])?[0-9]{3}[.-][0-9]{3}[.-][0-9]{4}|0[1-9](?:[ .-][0-9]{2}){4}"
    rb"|0[0-9]{2,4}[ -][0-9]{3,4}[ -][0-9]{3,4}|0[0-9]{4} [0-9]{6}"
    rb"|00[1-9][0-9]{0,2}(?:[ -][0-9]{2,5}){2})"
)
_AREA = rb"\(0?[0-9]{2,4}\)[ -]?[0-9]{3,4}[ .-]?[0-9]{3,4}"
_NAMES = (
    rb"(?i:phone|mobile|whatsapp|hotline|\btel|\bcell|\bfax|\bcall|\bsms)"
    rb"(?i:[ _-]?(?:ephone|numbers?|num|no|nr|me|us|him|her|at|on|is)){0,4}[\"'\\.:=# ]{1,5}"
)
_NAME_ANCHORS = tuple(b"phone mobile whatsapp hotline tel cell fax call sms".split())
_NAMED = _NAMES + rb"[(]?[0-9][0-9 ().-]{5}"

_PLUS_NUMBER = re.compile(rb"\+[0-9]{1,15}(?:[ .()/-]{1,3}[0-9]{1,12}){0,7}")
_LAST_GROUP = re.compile(rb"[ .()/-]{1,3}[0-9]+\Z")
_AMERICAN = re.compile(rb"(?:1[ .-])?([0-9]{3})([.-])([0-9]{3})\2([0-9]{4})")
_ZERO = re.compile(
    rb"0[1-9]([ .-])[0-9]{2}(?:\1[0-9]{2}){3}|0[0-9]{4} [0-9]{6}"
    rb"|0[0-9]{2,4}(?P<other>[ -])[0-9]{3,4}(?P=other)[0-9]{3,4}"
)
_ZEROS = re.compile(rb"00[1-9][0-9]{0,2}(?:[ -][0-9]{2,5}){2,5}")
_AREA_NUMBER = re.compile(rb"\(([0-9]{2,5})\)[ -]?([0-9]{3,4})[ .-]?([0-9]{3,4})(?![0-9])")
_NAMED_NUMBER = re.compile(
    _NAMES + rb"(?P<number>\(?[0-9][0-9 ().-]{5,18}[0-9])(?![0-9A-Za-z=+*/%<>])"
)
_SPLIT = re.compile(rb".*\(.*|[0-9]{3}[-.][0-9]{4}|[0-9]+(?:[ .-][0-9]+){2,}")
_NO_NUMBER = re.compile(
    rb"[0-9]{4}-[0-9]{2}-[0-9]{2}.*|[0-9]{1,2}([./-])[0-9]{1,2}\1[0-9]{2,4}.*"
    rb"|[0-9]+\.[0-9]+|[0-9]{1,3}(?:\.[0-9]{1,3}){3}"
)
_IN_SERIES = re.compile(rb"(?:[0-9][ .-]?|[A-Za-z.-])\Z")
_IN_WORD = re.compile(rb"[0-9A-Za-z.-]\Z")
_NO_DIGITS = bytes(byte for byte in ANY if byte not in DIGITS)


def _digits(text: bytes) -> bytes:
    return text.translate(None, _NO_DIGITS)


def _plus(data: bytes, start: int, floor: int) -> Verdict:
    hit = _PLUS_NUMBER.match(data, start)
    # After a digit, a letter or a bracket the plus is an addition.
    before = data[max(floor, start - 1) : start]
    if hit is None or before.isalnum() or before == b")":
        return start + 1
    text = hit[0]
    while not confirm.international(_digits(text)):
        shorter = _LAST_GROUP.sub(b"", text)
        if shorter == text:
            return start + 1
        text = shorter
    return start, start + len(text), "phone"


def _national(data: bytes, start: int, floor: int) -> Verdict:
    hit = _ZEROS.match(data, start) or _ZERO.match(data, start) or _AMERICAN.match(data, start)
    if hit is None:
        return None
    digits = _digits(hit[0])
    good = (
        confirm.international(digits[2:])
        if hit.re is _ZEROS
        else confirm.north_american(digits[-10:])
        if hit.re is _AMERICAN
        else len(digits) in (10, 11) and len(set(digits)) > 2
    )
    alone = stands_alone(data, start, hit.end(), floor)
    # Pairs after a nought, and five digits and six, are told from any other groups.
    edge = _IN_WORD if hit.re is _ZERO and hit["other"] is None else _IN_SERIES
    series = edge.search(data[max(floor, start - 2) : start])
    trailing = re.match(rb"[.-][0-9]", data[hit.end() : hit.end() + 2])
    if good and alone and not series and not trailing:
        return start, hit.end(), "phone"
    return start + 1


def _area(data: bytes, start: int, floor: int) -> Verdict:
    hit = _AREA_NUMBER.match(data, start)
    if hit is None:
        return start + 1
    digits = b"".join(hit.groups())
    good = confirm.north_american(digits) or (digits[:1] == b"0" and len(digits) in (10, 11))
    if not good or data[max(floor, start - 1) : start].isalnum():
        return start + 1
    return start, hit.end(), "phone"


def _named(data: bytes, start: int, floor: int) -> Verdict:
    hit = _NAMED_NUMBER.match(data, start)
    if hit is None:
        return None
    number = hit["number"]
    digits = _digits(number)
    if not 7 <= len(digits) <= 15 or _NO_NUMBER.fullmatch(number):
        return start + 1
    domestic = digits[0] == 0x30 and 9 <= len(digits) <= 11
    split = _SPLIT.fullmatch(number)
    foreign = number == digits and len(digits) > 10 and confirm.international(digits)
    if domestic or split or foreign or confirm.north_american(digits):
        return hit.start("number"), hit.end("number"), "phone"
    return start + 1


# IP addresses

_IPV4 = rb"[0-9]{1,3}\.[0-9]{1,3}\.[0-9]{1,3}\.[0-9]{1,3}"
_DOTTED = re.compile(rb"[0-9.]+")
# Read backwards: "version: ", "==", "Chrome/", "pkg-", "pkg@", "^".
_VERSION_BEFORE = re.compile(
    rb"[\"']?\s?[:=]?\s?[\"'\\]{0,2}(?:v|rev|noisrev|snoisrev|esaeler|dliub|ver|noisiver"
    rb"|noitces|nohtyp|retpahc)(?:[^a-z]|\Z)|[\"']?\s?=[=~<>!]|[/@-][a-z]|\^",
    re.IGNORECASE,
)
_VERSION_AFTER = re.compile(rb"[A-Za-z_]|-[A-Za-z]|\.(?:tar|zip|gz|whl|jar|dll|so|exe|deb|rpm)\b")


def _ipv4(data: bytes, start: int, floor: int) -> Verdict:
    run = _DOTTED.match(data, start)
    if run is None or run[0].count(b".") < 3:
        return None
    text = run[0].rstrip(b".")
    end = start + len(text)
    before = data[max(floor, start - 16) : start][::-1]
    if (
        confirm.ipv4(text)
        and before[:1] != b"."
        and not _VERSION_AFTER.match(data, end)
        and not _VERSION_BEFORE.match(before)
    ):
        return start, end, "ip"
    return max(run.end() - 1, start + 1)


_IPV6 = rb"(?:[23]H{3}|[Ff][C-Fc-f]H{2}|64)(?:(?::H{1,4}){0,6}::|(?::H{1,4}){7})".replace(
    b"H", rb"[0-9A-Fa-f]"
)
_IPV6_SHAPE = re.compile(_IPV6)
_COLONS = re.compile(rb"[0-9A-Fa-f:]{2,64}(?:(?:\.[0-9]{1,3}){3})?")
_HEX_BEFORE = re.compile(rb"(?:\A|[^0-9A-Za-z])[0-9A-Fa-f]{1,4}:\Z")
_SLICE = re.compile(rb"\[[0-9]+::[0-9]*\]")


def _ipv6(data: bytes, start: int, floor: int) -> Verdict:
    shape = _IPV6_SHAPE.match(data, start)
    if shape is None:
        return None
    # Nothing else starts among groups of hex digits, except in the last.
    onward = max(shape.end() - 5, start + 4)
    text = _one_address(data, start)
    end = start + len(text)
    fingerprint = _HEX_BEFORE.search(data[max(floor, start - 6) : start])
    if fingerprint or data[end : end + 1].isalnum() or _slices(data, start, floor):
        return onward
    return (start, end, "ip") if confirm.ipv6(text) else onward


def _one_address(data: bytes, start: int) -> bytes:
    """Take hex digits and colons up to where a second ``::`` would begin another address."""
    hit = _COLONS.match(data, start)
    text = hit[0] if hit else b""
    first, _, rest = text.partition(b"::")
    if b"::" in rest:
        return first + b"::" + rest.partition(b"::")[0]
    return text if text.endswith(b"::") else text.rstrip(b":")


def _slices(data: bytes, start: int, floor: int) -> bool:
    """Tell whether ``[2000::2]`` is a slice, not a host in a URL."""
    before = data[max(floor, start - 2) : start]
    return before[-1:] == b"[" and before != b"/[" and bool(_SLICE.match(data, start - 1))


SHAPES: Mapping[str, tuple[Shape, ...]] = MappingProxyType(
    {
        "email": (Shape(_EMAIL, ANY, _email, (b"@", b"%40"), 1),),
        "phone": (
            Shape(_PLUS, b"+", _plus, (b"+",)),
            Shape(LEFT + _NATIONAL, DIGITS, _national, (b"0 00",), 6),
            Shape(_AREA, b"(", _area, (b"(",)),
            Shape(_NAMED, b"pmwhtcfsPMWHTCFS", _named, _NAME_ANCHORS),
        ),
        "ip": (
            Shape(LEFT + _IPV4, DIGITS, _ipv4),
            Shape(LEFT + _IPV6, b"236fF", _ipv6),
        ),
    }
)
"""The shapes of the detectors of addresses."""
