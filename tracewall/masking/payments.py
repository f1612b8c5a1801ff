"""Numbers that money hangs on: payment cards and IBANs."""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType

from tracewall.masking import confirm
from tracewall.masking.shape import DIGITS, LEFT, Shape, Verdict, stands_alone

_GROUPED = rb"D{4}SD{4}SD{4}SD|D{4}SD{6}SD{4}".replace(b"D", rb"[0-9]")
_CARD = b"|".join(
    (rb"(?:[0-9]{13}", _GROUPED.replace(b"S", rb"[ ._-]"), _GROUPED.replace(b"S", b"  ") + b")")
)
_CARD_ANCHORS = (
    b"0" * 13,
    *(
        gap.join(groups)
        for gap in (b" ", b"  ")
        for groups in ((b"0000", b"0000", b"0000", b"0"), (b"0000", b"000000", b"0000"))
    ),
)
_RUN = re.compile(rb"[0-9]+")
_GROUPS = re.compile(
    rb"[0-9]{4}[ ._-]{1,2}[0-9]{6}[ ._-]{1,2}[0-9]{4}"
    rb"|[0-9]{4}(?:(?:[ ._-]|  )[0-9]{4}(?![0-9]))*(?:(?:[ ._-]|  )[0-9]{1,3})?"
)
# The longer first: what follows a card of four groups may be its fifth, or another number.
_SPLITS = tuple(
    re.compile(pattern.replace(b"D", rb"[0-9]").replace(b"S", rb"([ ._-]|  )"))
    for pattern in (
        rb"D{4}SD{4}\1D{4}\1D{4}\1D{3}(?!D)",
        rb"D{4}SD{4}\1D{4}\1D{1,4}(?!D)",
        rb"D{4}SD{6}\1D{4,5}(?!D)",
    )
)


def _card(data: bytes, start: int, floor: int) -> Verdict:
    run = _RUN.match(data, start)
    if run is None:
        return None
    if len(run[0]) < 13:
        return _split_card(data, start, floor)
    good = confirm.card(run[0]) and stands_alone(data, start, run.end(), floor)
    return (start, run.end(), "card") if good else run.end() - 1


def _split_card(data: bytes, start: int, floor: int) -> Verdict:
    groups = _GROUPS.match(data, start)
    if groups is None or len(groups[0]) < 16:
        return None
    last = start
    # A card may follow other numbers of four digits.
    for last in range(start, groups.end() - 15, 5):
        for pattern in _SPLITS:
            hit = pattern.match(data, last)
            digits = hit[0].replace(hit[1], b"") if hit else b""
            if hit and confirm.card(digits) and stands_alone(data, last, hit.end(), floor):
                return last, hit.end(), "card"
    return last + 4


_IBAN = rb"[A-Za-z]{2}[0-9]{2}[ .-]?W{4}[ .-]?W{4}[ .-]?W{3}".replace(b"W", b"[A-Za-z0-9]")
_BY_LENGTH = {
    size: re.compile(rb"[A-Za-z0-9](?:[ .-]?[A-Za-z0-9]){%d}(?![A-Za-z0-9])" % (size - 1))
    for size in set(confirm.IBAN_LENGTHS.values())
}
_QUARTERS = re.compile(rb"[A-Za-z0-9]{4}(?P<sep>[ .-])(?:[A-Za-z0-9]{4}(?P=sep))*[A-Za-z0-9]{1,4}")


def _iban(data: bytes, start: int, floor: int) -> Verdict:
    if not data[start + 2 : start + 4].isdigit():
        return None
    size = confirm.IBAN_LENGTHS.get(data[start : start + 2].upper())
    hit = _BY_LENGTH[size].match(data, start) if size else None
    if hit is None:
        return None
    text = hit[0]
    compact = re.sub(rb"[ .-]", b"", text)
    if compact not in (compact.upper(), compact.lower()):
        return None
    if len(compact) < len(text) and not _QUARTERS.fullmatch(text):
        return None
    return (start, hit.end(), "iban") if confirm.iban(compact.upper()) else None


_LETTERS = bytes(range(0x41, 0x5B)) + bytes(range(0x61, 0x7B))

SHAPES: Mapping[str, tuple[Shape, ...]] = MappingProxyType(
    {
        "card": (Shape(LEFT + _CARD, DIGITS, _card, _CARD_ANCHORS, 2),),
        "iban": (Shape(LEFT + _IBAN, _LETTERS, _iban),),
    }
)
"""The shapes of the detectors of cards and IBANs."""
