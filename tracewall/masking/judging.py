"""Which judges are asked at a hit, who first, and what becomes of finds that overlap."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import TypeAlias

from tracewall.masking import contacts, credentials, joints, keys, mentions, payments, spelling
from tracewall.masking.shape import Found, Judge, Shape

Table: TypeAlias = tuple[tuple[Judge, ...], ...]
"""The judges of what begins with each byte."""

# Who is asked first at one place: the more special before the more general.
_ORDER = (
    "ip", "card", "iban", "phone", "jwt", "pem", "aws", "gcp", "azure", "github", "slack",
    "stripe", "anthropic", "openai", "token", "password", "email",
)  # fmt: skip
_ROOMS: tuple[Mapping[str, tuple[Shape, ...]], ...] = (
    keys.SHAPES, payments.SHAPES, contacts.SHAPES, credentials.SHAPES,
    {"password": mentions.SHAPES},
)  # fmt: skip
SHAPES: Mapping[str, tuple[Shape, ...]] = MappingProxyType(
    {name: tuple(s for room in _ROOMS for s in room.get(name, ())) for name in _ORDER}
)
_STRENGTH: Mapping[str, int] = MappingProxyType(
    {name: rank for rank, name in enumerate(
        ("pem", "jwt", "aws", "gcp", "azure", "github", "slack", "stripe", "anthropic", "openai",
         "token", "card", "iban", "email", "phone", "ip", "password"), 1)}
)  # fmt: skip


def table(names: Iterable[str]) -> Table:
    """Sort judges by the first byte of what they judge."""
    shapes = [shape for name in _ORDER if name in names for shape in SHAPES[name]]
    shapes += (spelling.BASE64, spelling.SOFT_BREAK, *joints.SHAPES)
    return tuple(
        tuple(shape.judge for shape in shapes if byte in shape.starts) for byte in range(256)
    )


def judged(judges: Table, data: bytes, hit: int, floor: int) -> Found | int:
    """Give what the first judge finds at `hit`, or where to go on."""
    start = hit
    byte = data[hit]
    if byte in b"_\\" and data[hit + 1] not in b"@%":
        # The left edge of a number: see `shape.LEFT`.
        start += 1 if byte == 0x5F else 2
    onward = 0
    for judge in judges[data[start]]:
        verdict = judge(data, start, floor)
        if isinstance(verdict, tuple):
            return verdict
        if verdict is not None and (verdict < onward or not onward):
            onward = verdict
    return max(onward, hit + 1)


def specific(judges: Table, data: bytes, password: Found) -> Found:
    """Prefer a detector that knows the password's own form, if it takes all of it."""
    verdict = judged(judges, data, password[0], password[0])
    if isinstance(verdict, int) or verdict[0] != password[0] or verdict[1] < password[1]:
        return password
    return verdict


def edge(data: bytes, offset: int, step: int) -> int:
    """Move from the middle of a character to its edge: some judges count in bytes."""
    while 0 < offset < len(data) and data[offset] & 0xC0 == 0x80:
        offset += step
    return offset


def strength(name: str) -> int:
    """Give a rank by which the strongest find is the least; own patterns are before all."""
    return _STRENGTH.get(name, 0)


def merged(found: list[Found]) -> list[Found]:
    """Make one of finds that overlap, so that no part of any stays readable."""
    merged: list[Found] = []
    for start, end, name in sorted(found, key=lambda each: (each[0], -each[1])):
        if merged and start < merged[-1][1]:
            first, last, kept = merged[-1]
            stronger = min(kept, name, key=strength)
            merged[-1] = (first, max(last, end), stronger)
        else:
            merged.append((start, end, name))
    return merged
