"""What hides a masked column: the policy's masks and scans, made into functions over values."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import TypeAlias

from tracewall.errors import PolicyError
from tracewall.masking.config import Method
from tracewall.masking.detectors import (
    Detectors,
    DetectorsUnavailable,
    DetectorUnknown,
    Patience,
    PatternInvalid,
    detectors,
)
from tracewall.masking.documents import is_secret, mask_document
from tracewall.masking.joined import joining
from tracewall.masking.markers import PLAIN, Mark, Recogniser, mark
from tracewall.masking.messages import MessageMask
from tracewall.masking.methods import Fixed, MaskFailed, fixed_value, masker
from tracewall.masking.paths import PathMask, names, parsed, path_mask
from tracewall.masking.placeholders import placeholders
from tracewall.masking.pseudonyms import MIN_KEY
from tracewall.masking.quick import Column, Make, text_by_text, text_column
from tracewall.masking.replacing import OVERSIZED, marks, within
from tracewall.places import beside
from tracewall.policy.covering import classes
from tracewall.policy.model import Decision, Mask, OutputColumn, Policy, Scan
from tracewall.policy.model import MaskKey as PolicyKey
from tracewall.policy.rights import Rights
from tracewall.sql.flow import Column as BaseColumn

MaskKey: TypeAlias = bytes | Callable[[str], bytes] | None
"""The wall's own key, or a function that gives the key of an id; None: look where is said."""

MASK_KEY_VARIABLE = "TRACEWALL_MASK_KEY"
"""The environment variable that holds the wall's own key (at least 16 characters)."""

Written: TypeAlias = Iterable[bytes | bytearray | memoryview | None]
"""What leaves for the server as parameters."""

Hide: TypeAlias = Callable[[object], object]
"""Takes a value as psycopg loads it, gives what may be shown instead."""

_MOST_VEILS = 1_000
_OPAQUE = "an-opaque-text"
_WRITING = frozenset(("insert", "update"))


@dataclass(frozen=True, slots=True, eq=False)
class Veil:
    """What hides one output position: ``hide`` over values, by the rules named in ``rule``.

    A mask of whole values has its ``method`` and ``mark``, by which a loader that knows its
    type may do with less; ``text`` makes, for one cursor's statement, what masks a column
    of texts at once. ``joins`` finds keys that go on in the text beside it.
    """

    rule: str
    hide: Hide
    method: Method | None = None
    mark: Mark = PLAIN
    text: Make | None = None
    joins: Detectors | None = None

    def fixed(self, kind: type) -> Fixed | None:
        """Tell what all values of a type look like behind it, None where that depends."""
        return fixed_value(self.method, kind, self.mark) if self.method is not None else None

    def column(self, longest: int) -> Column:
        """Make what masks a column of texts, none of them longer than so many characters."""
        return self.text(longest) if self.text is not None else text_by_text(self.hide, longest)


def hidden_member(key: str) -> bool:
    """Tell whether a scan of a document hides what is under a key of that name."""
    return is_secret(key, _OPAQUE) or is_secret(key, [])


def hides(rights: Rights) -> Callable[[BaseColumn, str], bool]:
    """Give what tells whether a column's masks and scans hide what is under a key."""

    def hidden(column: BaseColumn, key: str) -> bool:
        protection = rights.shown(column)
        if protection.scans and hidden_member(key):
            return True
        return any(
            bool(mask.preset) or key in names(map(parsed, mask.paths)) for mask in protection.masks
        )

    return hidden


class Shield:
    """Makes the veils of a policy, each rule's function once.

    Args:
        policy: whose masks and scans.
        keys: the keys of pseudonyms and marks, by id; the wall's own has no id ("").

    Raises:
        PolicyError: a mask needs a key or a function and there is none, or the detectors'
            library is missing.
    """

    __slots__ = ("_detect", "_hiders", "_joiners", "_keys", "_path", "_placeholders", "_scans",
                 "_veils", "marks")  # fmt: skip

    def __init__(self, policy: Policy, keys: Mapping[str, bytes]) -> None:
        self._keys = keys
        self._path = policy.path
        self._detect = policy.detect
        self._hiders: dict[tuple[str, ...], Hide] = {}
        self._joiners: dict[tuple[tuple[str, ...], tuple[str, ...]], Detectors] = {}
        self._veils: dict[tuple[str, int, bool], tuple[OutputColumn, Veil]] = {}
        for mask in policy.masks:
            self._try(mask)
        self._scans = policy.scans
        for scan in policy.scans:
            self._scanner(scan)
        self.marks = Recogniser([mask.name for mask in policy.masks], keys.values())
        self._placeholders = {
            scan: placeholders(scan.detectors, scan.patterns, scan.masks) for scan in policy.scans
        }

    def under(self, policy: Policy) -> Shield:
        """Make the veils of another policy, with the same keys."""
        return Shield(policy, self._keys)

    def veils(self, masked: Mapping[int, OutputColumn]) -> Mapping[int, Veil]:
        """Give the veils over the masked ones of a statement's output positions."""
        return {at: self._known_veil(column) for at, column in masked.items()}

    def searched(self, text: str) -> str:
        """Give a text of unknown origin with what any scan of the policy finds in it masked.

        What can't be searched is withheld whole: empty.
        """
        shown: object = text
        for scan in self._scans:
            try:
                shown = self._scanner(scan)(shown)
            except Exception:
                # Unforeseen, so withheld; the error may quote the text.
                return ""
        return shown if isinstance(shown, str) else ""

    def marks_matter(self, decision: Decision) -> bool:
        """Tell whether a statement writes, and a mark could be known in what it writes."""
        writes = (action in _WRITING for _, actions in decision.relations for action in actions)
        return bool(self.marks) and any(writes)

    def written_back(self, decision: Decision, scans: Iterable[Scan], data: Written) -> str:
        """Name the rule whose marks a statement would write, among `data` or else "".

        `scans` are those whose marks it may not write.
        """
        marked = self.marks_matter(decision)
        for each in map(bytes, filter(None, data)):
            if marked and (mask := self.marks.found(each)):
                return f"masks.{mask}" if mask != "hash" else "masks"
            for scan in scans:
                if self._placeholders[scan].search(each):
                    return f"scans.{scan.name}"
        return ""

    def _known_veil(self, column: OutputColumn) -> Veil:
        """Give the veil that hid a column under the same rules before, or else make it."""
        # The column is kept with it, so that no other mask can have the identity of its mask.
        key = (column.rule, id(column.mask), column.part)
        known = self._veils.get(key)
        if known is None or known[0].scans != column.scans:
            if len(self._veils) >= _MOST_VEILS:
                self._veils.clear()
            known = self._veils[key] = column, self._veil(column)
        return known[1]

    def _veil(self, column: OutputColumn) -> Veil:
        scanners = [self._scanner(scan) for scan in column.scans]
        mask = column.mask
        if mask is None:
            return Veil(column.rule, _in_turn(scanners), joins=self._joins(column.scans))
        if mask.inside:
            return Veil(column.rule, _in_turn([self._inside(mask, part=column.part), *scanners]))
        key, mark = self._key(mask), self._mark(mask)
        return Veil(
            column.rule,
            masker(mask.method, key, mask.name, mark),
            mask.method,
            mark,
            text_column(mask.method, key, mask.name, mark),
        )

    def _key(self, mask: Mask) -> bytes:
        return self._keys.get(mask.method.key, b"")

    def _mark(self, mask: Mask) -> Mark:
        return mark(self._key(mask), mask.name)

    def _inside(self, mask: Mask, *, part: bool) -> Hide:
        leaf = masker(mask.method, self._key(mask), mask.name, self._mark(mask))
        made: PathMask | MessageMask = (
            MessageMask(frozenset(classes(mask)), leaf)
            if mask.preset
            else path_mask(mask.paths, leaf)
        )
        return _first(made.part if part else made.whole)

    def _try(self, mask: Mask) -> None:
        """Complain at once of what would fail at the first value."""
        key = self._key(mask)
        if (mask.method.name == "hash" or mask.method.key) and len(key) < MIN_KEY:
            raise _no_key(mask, self._path)
        try:
            masker(mask.method, key, mask.name)
        except ValueError as ex:
            raise PolicyError(
                f'mask "{mask.name}" can\'t be used: {ex}',
                path=self._path,
                line=mask.line,
                help="the function has to be importable where the wall is loaded",
            ) from None

    def _joins(self, scans: Iterable[Scan]) -> Detectors | None:
        """Give what finds keys across the boundary of two columns under these scans."""
        chosen = joining(name for scan in scans if scan.across for name in scan.detectors)
        if not chosen:
            return None
        allow = tuple(dict.fromkeys(each for scan in scans for each in scan.allow))
        key = (chosen, allow)
        if key not in self._joiners:
            self._joiners[key] = detectors(chosen, engine=self._detect.engine, allow=allow)
        return self._joiners[key]

    def _scanner(self, scan: Scan) -> Hide:
        key = ("scan", scan.name)
        if key not in self._hiders:
            hide = scanned(self._detectors(scan), long_numbers=not scan.patterns)
            self._hiders[key] = _limited(hide, scan.longest) if scan.longest else hide
        return self._hiders[key]

    def _detectors(self, scan: Scan) -> Detectors:
        key = self._keys.get("", b"")
        if len(key) < MIN_KEY and any(each.method.name == "hash" for each in scan.masks):
            raise PolicyError(
                f'scan "{scan.name}" needs a key of at least {MIN_KEY} bytes and there is none',
                path=self._path,
                line=scan.line,
                help=f"set {MASK_KEY_VARIABLE} to at least {MIN_KEY} characters, or pass mask_key=",
            )
        try:
            return detectors(
                scan.detectors,
                scan.patterns,
                engine=self._detect.engine,
                allow=scan.allow,
                marks=marks(scan.masks, key, scan.name),
                places=self._detect.places,
            )
        except (DetectorsUnavailable, DetectorUnknown, PatternInvalid) as ex:
            raise PolicyError(
                f'scan "{scan.name}" can\'t be used: {ex}',
                path=self._path,
                line=scan.line,
                help='or choose engine = "builtin" under [detect]'
                if isinstance(ex, DetectorsUnavailable)
                else "",
            ) from None


def _limited(hide: Hide, longest: int) -> Hide:
    def limited(value: object) -> object:
        if within(value, longest):
            return hide(value)
        return OVERSIZED if isinstance(value, str) else None

    return limited


def _first(mask: Callable[[object], tuple[object, int]]) -> Hide:
    def hide(value: object) -> object:
        if isinstance(value, bytes | bytearray | memoryview):
            return None
        return mask(value)[0]

    return hide


def keyring(policy: Policy, given: MaskKey) -> Mapping[str, bytes]:
    """Gather the keys of pseudonyms and marks, by id.

    Raises:
        PolicyError: a key is not where the policy says.
    """
    if callable(given):
        return {id: given(id) for id in ("", *(key.id for key in policy.keys))}
    own = given or os.environ.get(MASK_KEY_VARIABLE, "").encode()
    return {"": own} | {key.id: _key(key, policy) for key in policy.keys}


def _key(key: PolicyKey, policy: Policy) -> bytes:
    found, where = b"", key.env or key.file or f"keys.{key.id}"
    if key.env:
        found = os.environ.get(key.env, "").encode()
    elif key.file:
        with suppress(OSError):
            found = beside(policy, key.file).read_bytes().rstrip(b"\r\n")
    if len(found) >= MIN_KEY:
        return found
    raise PolicyError(
        f"the key {key.id!r} of at least {MIN_KEY} bytes is not in {where}",
        path=policy.path,
        line=key.line,
        help="keys are in an environment variable (env), a file, or given by mask_key=",
    )


def written_back(decision: Decision, rule: str) -> Decision:
    """Give the decision against a statement that would write a rule's marks over a value."""
    scan = rule.startswith("scans.")
    return replace(
        decision,
        outcome="forbidden",
        rule=rule,
        reason="what would be written holds a mark that stands for what a scan has hidden"
        if scan
        else "what would be written is a masked value, not the value itself",
        hint="leave the searched columns out of the statement: they keep their values; where such "
        'words are real text, the policy says write_back = "allow" of the scan'
        if scan
        else "leave the masked columns out of the statement: they keep their values",
        columns=(),
    )


def scanned(found_by: Detectors, *, long_numbers: bool = False) -> Hide:
    """Give a function that masks what the detectors find in texts and JSON documents.

    Numbers are searched as the text they would be (with `long_numbers` those of seven digits
    and more); truth values, dates and the like are given back as they are; what can't be
    searched (bytes) is hidden.
    """

    def hide(value: object) -> object:
        if isinstance(value, str | dict | list | tuple | int | float | Decimal):
            # A text may hold a document too: the arguments of a tool call do.
            patience = Patience(found_by.places)
            return mask_document(
                value, lambda text: found_by.mask(text, patience), long_numbers=long_numbers
            )[0]
        if isinstance(value, bytes | bytearray | memoryview):
            return None
        return value

    return hide


def _in_turn(hiders: list[Hide]) -> Hide:
    if len(hiders) == 1:
        return hiders[0]

    def hide(value: object) -> object:
        for each in hiders:
            value = each(value)
        return value

    return hide


def _no_key(mask: Mask, path: str) -> PolicyError:
    id = mask.method.key
    what = f"the key {id!r}" if id else "a key"
    return PolicyError(
        f'mask "{mask.name}" needs {what} of at least {MIN_KEY} bytes and there is none',
        path=path,
        line=mask.line,
        help="look at [[keys]] with this id, or pass mask_key="
        if id
        else f"set {MASK_KEY_VARIABLE} to at least {MIN_KEY} characters, or pass mask_key=",
    )


__all__ = ["Fixed", "Hide", "MaskFailed", "Shield", "Veil", "hidden_member", "hides", "scanned"]
