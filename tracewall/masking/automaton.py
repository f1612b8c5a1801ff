"""google-re2, which alone is imported here: triggers and own patterns in one pass each."""

from __future__ import annotations

from time import thread_time
from typing import Any

from tracewall.masking.config import Pattern
from tracewall.masking.patterns import PatternInvalid, in_marker
from tracewall.masking.shape import Found, Next, Own, Search, Shape

try:
    import re2 as _re2
except ImportError:
    _re2 = None

MAX_MEMORY = 64 << 20
"""How many bytes an automaton may use for its states; they are built as texts need them."""

PATIENCE, PATIENCE_PER_BYTE = 0.2, 1e-6
"""The processor time (seconds, and for each byte) that own patterns may take of one text.

re2 finds one match in linear time, but a text may have as many matches as bytes. What is
left when the time is over is hidden whole.
"""

SAMPLE = (
    b"The quick brown fox, 42 + 17 = 59: <<16-3=13>> (see /usr/lib/x.py:12) a_b-c@d.org "
    b'"key": [1.5, 2e9], f"{x}" # 2024-01-31T12:59:07Z \xc3\xa9\xe2\x80\x94 https://a.b/c?d=e&f '
)
"""Text of many kinds, to warm an automaton with."""


class DetectorsUnavailable(ImportError):
    """google-re2 is not installed, so no text can be searched."""

    def __init__(self) -> None:
        super().__init__("detectors need google-re2: pip install 'pgtracewall[detect]'")


def check_installed() -> None:
    """Raise `DetectorsUnavailable` without google-re2."""
    if _re2 is None:
        raise DetectorsUnavailable


def alternation(shapes: list[Shape]) -> Search:
    """Give the search for the triggers of `shapes`, all at once."""
    return _search(_compiled(b"|".join(dict.fromkeys(shape.trigger for shape in shapes))))


def own(patterns: tuple[Pattern, ...]) -> Own:
    """Give what finds own patterns: searched together, then told apart."""
    each = [(pattern.name, _valid(pattern)) for pattern in patterns]
    union = "|".join(f"(?:{pattern.regex})" for pattern in patterns)
    search = _compiled(union, longest=True).search

    def name(data: bytes, start: int, end: int) -> str:
        for called, regex in each:
            match = regex.match(data, start, end)
            if match and match.end() == end:
                return called
        return each[0][0]

    def found(data: bytes) -> list[Found]:
        made: list[Found] = []
        position, began = 0, thread_time()
        patience = PATIENCE + len(data) * PATIENCE_PER_BYTE
        while hit := search(data, position, len(data)):
            start, end = hit.span()
            if thread_time() - began > patience:
                # A pattern such as a|a[^b]*b reads to the end from each place where it begins.
                made.append((start, len(data), each[0][0]))
                break
            if end > start and not in_marker(data, start, end):
                made.append((start, end, name(data, start, end)))
            position = max(end, start + 1)
        return made

    return found


def _compiled(pattern: str | bytes, *, longest: bool = False) -> Any:
    options = _re2.Options()
    options.max_mem = MAX_MEMORY
    options.never_capture = True
    options.log_errors = False
    options.longest_match = longest
    if isinstance(pattern, bytes):
        options.encoding = _re2.Options.Encoding.LATIN1
    return _re2.compile(pattern, options)


def _search(pattern: Any) -> Search:
    def public(data: bytes) -> Next:
        def following(position: int, end: int) -> int:
            match = pattern.search(data, position, end)
            return int(match.start()) if match else -1

        return following

    # The public method makes a generator and a match object for each call, which costs
    # as much as the search itself. What lies beneath is used if it answers alike.
    try:
        inner, anchor = pattern._regexp.Match, _re2._Anchor.UNANCHORED
        alike = all(
            inner(anchor, text, 0, len(text))[0][0] == public(text)(0, len(text))
            for text in (b"", SAMPLE, b"xx a@b.com 10.1.1.1 password=hunter2 a1")
        )
    except (AttributeError, TypeError, IndexError):
        return public
    if not alike:
        return public
    return lambda data: lambda position, end: inner(anchor, data, position, end)[0][0]


def _valid(pattern: Pattern) -> Any:
    try:
        regex = _compiled(pattern.regex, longest=True)
    except _re2.error as error:
        raise _invalid(pattern, error) from None
    if any(regex.search(text) and not regex.search(text)[0] for text in (b"", b"a", b" ", b"a b")):
        raise PatternInvalid(pattern.name, "it matches the empty text")
    return regex


def _invalid(pattern: Pattern, error: Exception) -> PatternInvalid:
    raw = error.args[0] if error.args else b""
    message = raw.decode(errors="replace") if isinstance(raw, bytes) else str(raw)
    what, _, part = message.partition(": ")
    position = pattern.regex.find(part) if part else -1
    return PatternInvalid(pattern.name, what, position)
