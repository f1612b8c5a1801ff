"""Free text: find what detectors know, and mask it.

1. One automaton of google-re2 reads the text once, as UTF-8, for the triggers of all
   detectors; what it hits is judged by `shape.Judge` functions. Time is linear in the text.
   The engine ``builtin`` finds the same hits without google-re2, several times slower.
2. Text with odd characters is read a second time as it looks (`folding`).
3. Finds never overlap: where they would, they become one, named after the strongest: a
   policy's own pattern, then what says most of whom it belongs to.
4. What a mask left is never found again: masking a masked text changes nothing.
5. Only so many places of one value are judged. Where a text has more, made to take long or
   not, it is hidden from its last find on, and so are further texts of its document with a hit.
6. Without google-re2 there are no detectors: `DetectorsUnavailable`, unless ``builtin`` was
   chosen. Nothing is ever weaker by itself.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from difflib import get_close_matches
from itertools import accumulate
from types import MappingProxyType
from typing import NamedTuple, TypeAlias

from tracewall.masking import automaton, confirm, folding, joints, keys, spelling
from tracewall.masking.anchored import anchored
from tracewall.masking.automaton import DetectorsUnavailable
from tracewall.masking.config import DETECTORS, PLACES, Engine, Pattern
from tracewall.masking.judging import SHAPES, edge, judged, merged, specific, strength, table
from tracewall.masking.patterns import PatternInvalid, check, tables
from tracewall.masking.shape import Found, Next

__all__ = [
    "DetectorUnknown", "Detectors", "DetectorsUnavailable", "Find", "PatternInvalid", "detectors",
]  # fmt: skip

Mark: TypeAlias = Callable[[str], str]
"""Takes what was found, gives what stands in its place."""

_BROKEN = keys.SHAPES.keys() - {"pem"}
"""The detectors of keys that are followed where a line or a quote breaks them off."""

_RUN = r"[^\s@,;/]*"
_ROUNDS = 8
OVERSIZED = "oversized"
"""What the rest of a text is called that has too many places to judge."""
_SURROGATE = re.compile("[\ud800-\udfff]")


class DetectorUnknown(ValueError):
    """A policy names a detector that there is none of; ``suggestion`` may be empty."""

    def __init__(self, name: str) -> None:
        close = get_close_matches(name, DETECTORS, n=1)
        self.name = name
        self.suggestion = close[0] if close else ""
        super().__init__(f"unknown detector {name!r}")


class Find(NamedTuple):
    """``text[start:end]`` was found by the detector ``name``."""

    start: int
    end: int
    name: str


class Patience:
    """How many places of one value may still be judged, over all its texts."""

    __slots__ = ("broken", "left", "spent")

    def __init__(self, places: int) -> None:
        self.left, self.spent, self.broken = places, 0, False


class Detectors:
    """Finds and masks secrets in text; made by `detectors`, immutable, safe to share."""

    __slots__ = ("_allowed", "_fold", "_marks", "_own", "_search", "_table", "names", "places")

    def __init__(
        self,
        names: tuple[str, ...],
        patterns: tuple[Pattern, ...],
        engine: Engine,
        allow: tuple[str, ...] = (),
        marks: Mapping[str, Mark] = MappingProxyType({}),
        places: int = PLACES,
    ) -> None:
        check(patterns)
        if engine == "re2":
            automaton.check_installed()
        alternation, own = (
            (anchored, tables) if engine == "builtin" else (automaton.alternation, automaton.own)
        )
        shapes = [shape for name in names for shape in SHAPES[name]]
        if not _BROKEN.isdisjoint(names) or "password" in names:
            shapes.append(spelling.BASE64)
        shapes += (spelling.SOFT_BREAK, *(joints.SHAPES if names else ()))
        self.names = (*names, *(pattern.name for pattern in patterns))
        self._search = alternation(shapes)
        self._table = table(names)
        self._own = own(patterns) if patterns else None
        self._allowed = _allowed(allow)
        self._marks = marks
        self.places = places
        self._fold = folding.folder()
        # The automaton builds its states while it reads.
        for _ in range(2):
            self.mask((automaton.SAMPLE * 8).decode())

    def find(self, text: str) -> tuple[Find, ...]:
        """Find every secret in `text`: spans in characters, in order, without overlaps.

        This is one reading; `mask` reads again what it has masked.
        """
        return tuple(Find(*found) for found in self._found(text, Patience(self.places)))

    def mask(self, text: str, patience: Patience | None = None) -> tuple[str, int]:
        """Replace every secret in `text` by its mark; give the text and how many.

        With nothing to mask the very same object comes back, and 0. Texts of one value share
        a `patience`.
        """
        count, patience = 0, patience or Patience(self.places)
        # A mask changes what stands beside it: a number may now stand alone, a value may
        # have lost its blanks. So whatever was masked is read again.
        for _ in range(_ROUNDS):
            found = self._found(text, patience)
            if found and self._marks:
                # What a method left as it is was masked by it before.
                found = [
                    each for each in found if self._mark(text, each) != text[each[0] : each[1]]
                ]
            if not found:
                break
            text = self._replaced(text, found)
            count += len(found)
        # Each reading has what the text before has left: the places are the same ones.
        patience.left, patience.spent = max(patience.left - patience.spent, 0), 0
        return text, count

    def _mark(self, text: str, find: Found) -> str:
        mark = self._marks.get(find[2])
        return mark(text[find[0] : find[1]]) if mark else f"[{find[2]}]"

    def _replaced(self, text: str, found: list[Found]) -> str:
        pieces: list[str] = []
        last = 0
        for find in found:
            pieces += (text[last : find[0]], self._mark(text, find))
            last = find[1]
        pieces.append(text[last:])
        return "".join(pieces)

    def _found(self, text: str, patience: Patience) -> list[Found]:
        found = self._read(text, patience)
        if self._allowed is None:
            return found
        return [
            each
            for each in found
            if each[2] == OVERSIZED or not self._is_allowed(text[each[0] : each[1]])
        ]

    def _is_allowed(self, found: str) -> bool:
        """Tell whether a find is no secret: a name before an at-sign may still be one."""
        if self._allowed is None or not self._allowed.fullmatch(found):
            return False
        patience = Patience(self.places)
        return "@" not in found or not any(self._read(part, patience) for part in found.split("@"))

    def _read(self, text: str, patience: Patience) -> list[Found]:
        patience.broken = False
        found = self._as_it_is(text, patience)
        plain = spelling.unspelt(text, broken=patience.broken)
        if plain is None:
            return found
        meant = [
            (*plain.original(start, end), name)
            for start, end, name in self._as_it_is(plain.text, patience)
        ]
        return merged(found + meant)

    def _as_it_is(self, text: str, patience: Patience) -> list[Found]:
        if text.isascii():
            return self._found_in(text.encode(), patience)
        try:
            found = self._in_characters(text, patience)
        except UnicodeEncodeError:
            # Half a surrogate pair can't be encoded; any other character does for it.
            return self._as_it_is(_SURROGATE.sub("\ufffd", text), patience)
        folded = self._fold(text)
        if folded is not None:
            for start, end, name in self._in_characters(folded.text, patience):
                found.append((*folded.original(start, end), name))
        return merged(found)

    def _in_characters(self, text: str, patience: Patience) -> list[Found]:
        data = text.encode()
        found = self._found_in(data, patience)
        if not found or len(data) == len(text):
            return found
        found = [(edge(data, start, -1), edge(data, end, 1), name) for start, end, name in found]
        edges = sorted({at for start, end, _ in found for at in (start, end)})
        sizes = (
            len(data[first:last].decode()) for first, last in zip([0, *edges], edges, strict=False)
        )
        offsets = dict(zip(edges, accumulate(sizes), strict=True))
        return [(offsets[start], offsets[end], name) for start, end, name in found]

    def _found_in(self, data: bytes, patience: Patience) -> list[Found]:
        found: list[Found] = []
        left = self._scan(data, self._search(data), 0, len(data), found, patience.left)
        patience.spent = max(patience.spent, patience.left - left)
        if any(name == spelling.SOFT for _, _, name in found):
            patience.broken = True
            found = [each for each in found if each[2] != spelling.SOFT]
        if self._own is not None:
            found = merged(found + self._own(data))
        return found

    def _scan(
        self, data: bytes, following: Next, position: int, end: int, found: list[Found], left: int
    ) -> int:
        """Add to `found` what is between two offsets; give how many more places may be judged."""
        floor, vain = position, set[int]()
        while (hit := following(position, end)) >= 0:
            left -= 1
            if left < 0:
                # From the last find on: a judge may find what begins before its place.
                found.append((floor, end, OVERSIZED))
                return 0
            verdict = judged(self._table, data, hit, floor)
            if isinstance(verdict, tuple):
                if verdict[2] == "password" and data[hit] == 0x3A:
                    # Between "://" and the password stands the user, or a token.
                    user: list[Found] = []
                    left = self._scan(data, following, hit + 1, verdict[0], user, left)
                    found += [each for each in user if each[1] <= verdict[0]]
                verdict = self._known(data, verdict, hit, floor, left, vain)
            if isinstance(verdict, int):
                position = verdict
            else:
                found.append(verdict)
                position = floor = verdict[1]
        return left

    def _known(
        self, data: bytes, find: Found, hit: int, floor: int, left: int, vain: set[int]
    ) -> Found | int:
        """Give a find by its own name and to its real end, or where to go on if it is none."""
        start, end, name = find
        if name == "password":
            start, end, name = specific(self._table, data, find)
        elif name == spelling.ENCODED:
            # A run that holds nothing is decoded once, however many words it has.
            name = "" if end in vain else self._inside(data, find, left)
            if not name:
                vain.add(end)
                return hit + 4
        elif name == joints.JOINT:
            crossing = self._across(joints.around(data, start, floor), left)
            if crossing is None:
                return end
            start, end, name = crossing
        return start, spelling.continued(data, end) if name in _BROKEN else end, name

    def _across(self, joined: joints.Joined, left: int) -> Found | None:
        """Give what is found in text without its joints and lies on both sides of one."""
        inside: list[Found] = []
        if len(joined.begins) > 1:
            data = joined.data
            self._scan(data, self._search(data), 0, len(data), inside, left)
        found = [
            joined.original(each)
            for each in inside
            if each[2] != spelling.SOFT and joined.crosses(each)
        ]
        if not found:
            return None
        name = min((each[2] for each in found), key=strength)
        return found[0][0], found[-1][1], name

    def _inside(self, data: bytes, run: Found, left: int) -> str:
        """Name the strongest of what a run of base64 holds."""
        plain = confirm.decoded(data[run[0] : run[1]])
        inside: list[Found] = []
        self._scan(plain, self._search(plain), 0, len(plain), inside, left)
        names = (name for _, _, name in inside if name != spelling.SOFT)
        return min(names, key=strength, default="")


def detectors(
    names: tuple[str, ...],
    patterns: tuple[Pattern, ...] = (),
    *,
    engine: Engine = "re2",
    allow: tuple[str, ...] = (),
    marks: Mapping[str, Mark] = MappingProxyType({}),
    places: int = PLACES,
) -> Detectors:
    """Build the detectors called `names` (``*``: all that are built in) and the own `patterns`.

    What wholly is one of `allow`, in whatever case, is not found; ``*`` in them stands for any
    run of characters but blanks, ``@``, ``,``, ``;`` and ``/``. `marks` gives by detector what
    makes the mark of a find; else it is ``[detector]``. A mark made twice must be the same. Of one
    value at most `places` are judged; where there are more it is hidden.

    Takes some 50 ms, so build once. Raises `DetectorsUnavailable` without google-re2,
    `DetectorUnknown` for a name and `PatternInvalid` for a pattern that can't be used.
    """
    unknown = [name for name in names if name not in (*DETECTORS, "*")]
    if unknown:
        raise DetectorUnknown(unknown[0])
    every = "*" in names
    chosen = tuple(name for name in DETECTORS if every or name in names)
    return Detectors(chosen, patterns, engine, allow, marks, places)


def _allowed(allow: tuple[str, ...]) -> re.Pattern[str] | None:
    """Make one expression of what is allowed; no star comes back, so that it stays linear."""
    if not allow:
        return None
    globs = (_glob(each) for each in allow)
    return re.compile("|".join(globs), re.IGNORECASE | re.ASCII)


def _glob(text: str) -> str:
    first, *rest = (re.escape(part) for part in text.split("*"))
    if not rest:
        return first
    *inner, last = rest
    steps = "".join(f"(?>{_RUN}?{part})" for part in inner if part)
    return f"(?:{first}{steps}{_RUN}{last})"
