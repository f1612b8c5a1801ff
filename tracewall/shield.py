"""What hides a masked column: the policy's masks and scans, made into functions over values."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import TypeAlias

from tracewall.errors import PolicyError
from tracewall.masking.detectors import (
    Detectors,
    DetectorsUnavailable,
    DetectorUnknown,
    PatternInvalid,
    detectors,
)
from tracewall.masking.documents import is_secret, mask_document
from tracewall.masking.methods import MaskFailed, masker
from tracewall.policy.model import Mask, OutputColumn, Policy, Scan

Hide: TypeAlias = Callable[[object], object]
"""Takes a value as psycopg loads it, gives what may be shown instead."""

_SHORTEST_KEY = 16
_OPAQUE = "an-opaque-text"


@dataclass(frozen=True, slots=True, eq=False)
class Veil:
    """What hides one output position: ``hide`` over values, by the rules named in ``rule``.

    ``constant`` is true when every value of one type looks the same behind it.
    """

    rule: str
    hide: Hide
    constant: bool = False


def hidden_member(key: str) -> bool:
    """Tell whether masking a document hides what is under a key of that name."""
    return is_secret(key, _OPAQUE) or is_secret(key, [])


class Shield:
    """Makes the veils of a policy, each rule's function once.

    Raises:
        PolicyError: a mask needs a key and there is none, or the detectors' library is
            missing.
    """

    __slots__ = ("_hiders", "_key", "_path")

    def __init__(self, policy: Policy, key: bytes) -> None:
        self._key = key
        self._path = policy.path
        self._hiders: dict[tuple[str, ...], Hide] = {}
        for mask in policy.masks:
            if mask.method.name == "hash" and len(key) < _SHORTEST_KEY:
                raise _no_key(mask, policy)
        for scan in policy.scans:
            self._scanner(scan)

    def veils(self, masked: Mapping[int, OutputColumn]) -> Mapping[int, Veil]:
        """Give the veils over the masked ones of a statement's output positions."""
        return {at: self._veil(column) for at, column in masked.items()}

    def _veil(self, column: OutputColumn) -> Veil:
        mask = column.mask
        if mask is not None:
            constant = mask.method.name in ("redact", "null", "constant")
            return Veil(column.rule, self._masker(mask), constant)
        scanners = [self._scanner(scan) for scan in column.scans]
        return Veil(column.rule, scanners[0] if len(scanners) == 1 else _in_turn(scanners))

    def _masker(self, mask: Mask) -> Hide:
        return masker(mask.method, self._key, mask.name)

    def _scanner(self, scan: Scan) -> Hide:
        key = ("scan", scan.name)
        if key not in self._hiders:
            found_by = _detectors(scan, self._path)
            self._hiders[key] = scanned(found_by, long_numbers=not scan.patterns)
        return self._hiders[key]


def scanned(found_by: Detectors, *, long_numbers: bool = False) -> Hide:
    """Give a function that masks what the detectors find in texts and JSON documents.

    Numbers are searched as the text they would be (with `long_numbers` those of seven digits
    and more); truth values, dates and the like are given back as they are; what can't be
    searched (bytes) is hidden.
    """

    def hide(value: object) -> object:
        if isinstance(value, str | dict | list | tuple | int | float | Decimal):
            # A text may hold a document too: the arguments of a tool call do.
            return mask_document(value, found_by.mask, long_numbers=long_numbers)[0]
        if isinstance(value, bytes | bytearray | memoryview):
            return None
        return value

    return hide


def _in_turn(hiders: list[Hide]) -> Hide:
    def hide(value: object) -> object:
        for each in hiders:
            value = each(value)
        return value

    return hide


def _detectors(scan: Scan, path: str) -> Detectors:
    try:
        return detectors(scan.detectors, scan.patterns)
    except (DetectorsUnavailable, DetectorUnknown, PatternInvalid) as ex:
        raise PolicyError(
            f'scan "{scan.name}" can\'t be held: {ex}',
            path=path,
            line=scan.line,
            help='detectors come with the extra: pip install "pgtracewall[detect]"'
            if isinstance(ex, DetectorsUnavailable)
            else "",
        ) from None


def _no_key(mask: Mask, policy: Policy) -> PolicyError:
    return PolicyError(
        f'mask "{mask.name}" needs a key and there is none',
        path=policy.path,
        line=mask.line,
        help=f"set TRACEWALL_MASK_KEY to at least {_SHORTEST_KEY} characters, or pass mask_key=",
    )


__all__ = ["Hide", "MaskFailed", "Shield", "Veil", "hidden_member", "scanned"]
