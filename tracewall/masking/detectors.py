"""Free text: find what detectors know, and mask it.

1. One automaton of google-re2 reads the text once, as UTF-8, for the triggers of all
   detectors; what it hits is judged by `shape.Judge` functions. Time is linear in the text.
2. Text with odd characters is read a second time as it looks (`folding`).
3. Finds never overlap: where they would, they become one, named after the first.
4. What a mask left is never found again: masking a masked text changes nothing.
5. Without google-re2 there are no detectors: `DetectorsUnavailable`, never something weaker.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from difflib import get_close_matches
from itertools import accumulate
from types import MappingProxyType
from typing import Any, NamedTuple, TypeAlias

from tracewall.masking import contacts, credentials, folding, keys, payments
from tracewall.masking.config import DETECTORS, Pattern
from tracewall.masking.shape import Found, Judge, Shape

try:
    import re2 as _re2
except ImportError:
    _re2 = None

Search: TypeAlias = Callable[[bytes, int, int], tuple[int, int]]
Table: TypeAlias = tuple[tuple[Judge, ...], ...]

MAX_MEMORY = 64 << 20
"""How many bytes an automaton may use for its states; they are built as texts need them."""

# Who is asked first at one place: the more special before the more general.
_ORDER = (
    "ip", "card", "iban", "phone", "jwt", "pem", "aws", "gcp", "azure", "github", "slack",
    "stripe", "anthropic", "openai", "token", "password", "email",
)  # fmt: skip
_ROOMS = (keys.SHAPES, payments.SHAPES, contacts.SHAPES, credentials.SHAPES)
_SHAPES: Mapping[str, tuple[Shape, ...]] = MappingProxyType(
    {name: tuple(s for room in _ROOMS for s in room.get(name, ())) for name in _ORDER}
)
_ROUNDS = 8
_MARKER = re.compile(rb"\[[a-z0-9_-]+\]")
_NAME = re.compile(r"[a-z][a-z0-9_-]{0,30}")
_SURROGATE = re.compile("[\ud800-\udfff]")
_SAMPLE = (
    b"The quick brown fox, 42 + 17 = 59: <<16-3=13>> (see /usr/lib/x.py:12) a_b-c@d.org "
    b'"key": [1.5, 2e9], f"{x}" # 2024-01-31T12:59:07Z \xc3\xa9\xe2\x80\x94 https://a.b/c?d=e&f '
)


class DetectorsUnavailable(ImportError):
    """google-re2 is not installed, so no text can be searched."""

    def __init__(self) -> None:
        super().__init__("detectors need google-re2: pip install 'pgtracewall[detect]'")


class DetectorUnknown(ValueError):
    """A policy names a detector that there is none of; ``suggestion`` may be empty."""

    def __init__(self, name: str) -> None:
        close = get_close_matches(name, DETECTORS, n=1)
        self.name = name
        self.suggestion = close[0] if close else ""
        super().__init__(f"unknown detector {name!r}")


class PatternInvalid(ValueError):
    """A policy's own pattern can't be used.

    ``name`` is the pattern's, ``message`` says what is wrong, ``position`` (characters
    from 0) where in the regex, or -1 where that is unknown.
    """

    def __init__(self, name: str, message: str, position: int = -1) -> None:
        self.name = name
        self.message = message
        self.position = position
        super().__init__(f"pattern {name!r}: {message}")


class Find(NamedTuple):
    """``text[start:end]`` was found by the detector ``name``."""

    start: int
    end: int
    name: str


class Detectors:
    """Finds and masks secrets in text; made by `detectors`, immutable, safe to share."""

    __slots__ = ("_fold", "_own", "_search", "_table", "names")

    def __init__(self, names: tuple[str, ...], patterns: tuple[Pattern, ...]) -> None:
        if _re2 is None:
            raise DetectorsUnavailable
        shapes = [shape for name in names for shape in _SHAPES[name]]
        self.names = (*names, *(pattern.name for pattern in patterns))
        self._search = _alternation(shapes) if shapes else None
        self._table = _table(names)
        self._own = _OwnPatterns(patterns) if patterns else None
        self._fold = folding.folder()
        # The automaton builds its states while it reads.
        for _ in range(2):
            self.mask((_SAMPLE * 8).decode())

    def find(self, text: str) -> tuple[Find, ...]:
        """Find every secret in `text`: spans in characters, in order, without overlaps.

        This is one reading; `mask` reads again what it has masked.
        """
        return tuple(Find(*found) for found in self._found(text))

    def mask(self, text: str) -> tuple[str, int]:
        """Replace every secret in `text` by ``[detector]``; give the text and how many.

        With nothing to mask the very same object comes back, and 0.
        """
        count = 0
        # A mask changes what stands beside it: a number may now stand alone, a value may
        # have lost its blanks. So whatever was masked is read again.
        for _ in range(_ROUNDS):
            found = self._found(text)
            if not found:
                break
            text = _replaced(text, found)
            count += len(found)
        return text, count

    def _found(self, text: str) -> list[Found]:
        if text.isascii():
            return self._found_in(text.encode())
        try:
            found = self._in_characters(text)
        except UnicodeEncodeError:
            # Half a surrogate pair can't be encoded; any other character does for it.
            return self._found(_SURROGATE.sub("\ufffd", text))
        folded = self._fold(text)
        if folded is not None:
            for start, end, name in self._in_characters(folded.text):
                found.append((*folded.original(start, end), name))
        return _merged(found)

    def _in_characters(self, text: str) -> list[Found]:
        data = text.encode()
        found = self._found_in(data)
        if not found or len(data) == len(text):
            return found
        found = [(_edge(data, start, -1), _edge(data, end, 1), name) for start, end, name in found]
        edges = sorted({edge for start, end, _ in found for edge in (start, end)})
        sizes = (
            len(data[first:last].decode()) for first, last in zip([0, *edges], edges, strict=False)
        )
        offsets = dict(zip(edges, accumulate(sizes), strict=True))
        return [(offsets[start], offsets[end], name) for start, end, name in found]

    def _found_in(self, data: bytes) -> list[Found]:
        found = self._scan(data, 0, len(data)) if self._search else []
        if self._own is not None:
            found = _merged(found + self._own.found(data))
        return found

    def _scan(self, data: bytes, position: int, end: int) -> list[Found]:
        search, table = self._search, self._table
        found: list[Found] = []
        floor = position
        while search is not None:
            hit = search(data, position, end)[0]
            if hit < 0:
                break
            verdict = _judged(table, data, hit, floor)
            if isinstance(verdict, int):
                position = verdict
                continue
            if verdict[2] == "password":
                if data[hit] == 0x3A:
                    # Between "://" and the password stands the user, or a token.
                    user = self._scan(data, hit + 1, verdict[0])
                    found += [each for each in user if each[1] <= verdict[0]]
                verdict = _specific(table, data, verdict)
            found.append(verdict)
            position = floor = verdict[1]
        return found


def detectors(names: tuple[str, ...], patterns: tuple[Pattern, ...] = ()) -> Detectors:
    """Build the detectors called `names` (``*``: all that are built in) and the own `patterns`.

    Takes some 50 ms, so build once. Raises `DetectorsUnavailable` without google-re2,
    `DetectorUnknown` for a name and `PatternInvalid` for a pattern that can't be used.
    """
    unknown = [name for name in names if name not in (*DETECTORS, "*")]
    if unknown:
        raise DetectorUnknown(unknown[0])
    every = "*" in names
    return Detectors(tuple(name for name in DETECTORS if every or name in names), patterns)


def _table(names: Iterable[str]) -> Table:
    """Sort judges by the first byte of what they judge."""
    shapes = [shape for name in _ORDER if name in names for shape in _SHAPES[name]]
    return tuple(
        tuple(shape.judge for shape in shapes if byte in shape.starts) for byte in range(256)
    )


def _judged(table: Table, data: bytes, hit: int, floor: int) -> Found | int:
    """Give what the first judge finds at `hit`, or where to go on."""
    start = hit
    byte = data[hit]
    if byte in b"_\\" and data[hit + 1] not in b"@%":
        # The left edge of a number: see `shape.LEFT`.
        start += 1 if byte == 0x5F else 2
    onward = 0
    for judge in table[data[start]]:
        verdict = judge(data, start, floor)
        if isinstance(verdict, tuple):
            return verdict
        if verdict is not None and (verdict < onward or not onward):
            onward = verdict
    return max(onward, hit + 1)


def _specific(table: Table, data: bytes, password: Found) -> Found:
    """Prefer a detector that knows the password's own form, if it takes all of it."""
    verdict = _judged(table, data, password[0], password[0])
    if isinstance(verdict, int) or verdict[0] != password[0] or verdict[1] < password[1]:
        return password
    return verdict


def _edge(data: bytes, offset: int, step: int) -> int:
    """Move from the middle of a character to its edge: some judges count in bytes."""
    while 0 < offset < len(data) and data[offset] & 0xC0 == 0x80:
        offset += step
    return offset


def _merged(found: list[Found]) -> list[Found]:
    """Make one of finds that overlap, so that no part of any stays readable."""
    merged: list[Found] = []
    for start, end, name in sorted(found, key=lambda each: (each[0], -each[1])):
        if merged and start < merged[-1][1]:
            first, last, kept = merged[-1]
            merged[-1] = (first, max(last, end), kept)
        else:
            merged.append((start, end, name))
    return merged


def _replaced(text: str, found: list[Found]) -> str:
    pieces: list[str] = []
    last = 0
    for start, end, name in found:
        pieces += (text[last:start], "[", name, "]")
        last = end
    pieces.append(text[last:])
    return "".join(pieces)


# The automaton


def _compiled(pattern: str | bytes, *, longest: bool = False) -> Any:
    options = _re2.Options()
    options.max_mem = MAX_MEMORY
    options.never_capture = True
    options.log_errors = False
    options.longest_match = longest
    if isinstance(pattern, bytes):
        options.encoding = _re2.Options.Encoding.LATIN1
    return _re2.compile(pattern, options)


def _alternation(shapes: list[Shape]) -> Search:
    return _search(_compiled(b"|".join(dict.fromkeys(shape.trigger for shape in shapes))))


def _search(pattern: Any) -> Search:
    """Give the leftmost match's span, (-1, -1) without one, by the shortest way there is."""

    def search(data: bytes, position: int, end: int) -> tuple[int, int]:
        match = pattern.search(data, position, end)
        return match.span() if match else (-1, -1)

    # The public method makes a generator and a match object for each call, which costs
    # as much as the search itself. What lies beneath is used if it answers alike.
    try:
        inner, anchor = pattern._regexp.Match, _re2._Anchor.UNANCHORED
        alike = all(
            inner(anchor, text, 0, len(text))[0] == search(text, 0, len(text))
            for text in (b"", _SAMPLE, b"xx a@b.com 10.1.1.1 password=hunter2 a1")
        )
    except (AttributeError, TypeError):
        return search
    return (lambda data, position, end: inner(anchor, data, position, end)[0]) if alike else search


class _OwnPatterns:
    """The patterns of a policy, searched together, then told apart."""

    __slots__ = ("_each", "_search")

    def __init__(self, patterns: tuple[Pattern, ...]) -> None:
        self._each = [(pattern.name, _valid(pattern)) for pattern in patterns]
        names = [name for name, _ in self._each]
        for name in names:
            if names.count(name) > 1 or name in DETECTORS:
                raise PatternInvalid(name, "the name is taken")
        union = "|".join(f"(?:{pattern.regex})" for pattern in patterns)
        self._search = _search(_compiled(union, longest=True))

    def found(self, data: bytes) -> list[Found]:
        found: list[Found] = []
        position = 0
        while True:
            start, end = self._search(data, position, len(data))
            if start < 0:
                return found
            if end > start and not _in_marker(data, start, end):
                found.append((start, end, self._name(data, start, end)))
            position = max(end, start + 1)

    def _name(self, data: bytes, start: int, end: int) -> str:
        for name, regex in self._each:
            match = regex.match(data, start, end)
            if match and match.end() == end:
                return name
        return self._each[0][0]


def _in_marker(data: bytes, start: int, end: int) -> bool:
    opening = data.rfind(b"[", max(0, start - 40), start + 1)
    marker = _MARKER.match(data, opening) if opening >= 0 else None
    return marker is not None and marker.end() >= end


def _valid(pattern: Pattern) -> Any:
    if not _NAME.fullmatch(pattern.name):
        raise PatternInvalid(pattern.name, "a name is lower-case letters, digits, - and _")
    try:
        regex = _compiled(pattern.regex, longest=True)
    except _re2.error as error:
        raise _invalid(pattern, error) from None
    except UnicodeEncodeError as error:
        raise PatternInvalid(pattern.name, "no valid text", error.start) from None
    if any(regex.search(text) and not regex.search(text)[0] for text in (b"", b"a", b" ", b"a b")):
        raise PatternInvalid(pattern.name, "it matches the empty text")
    return regex


def _invalid(pattern: Pattern, error: Exception) -> PatternInvalid:
    raw = error.args[0] if error.args else b""
    message = raw.decode(errors="replace") if isinstance(raw, bytes) else str(raw)
    what, _, part = message.partition(": ")
    position = pattern.regex.find(part) if part else -1
    return PatternInvalid(pattern.name, what, position)
