r"""Text spelt in another way: JSON and URL escapes, HTML references, quoted-printable, base64.

1. `unspelt` reads escapes once; what is found in its text is pointed out in the original,
   escapes and all. It costs next to nothing where there are none.
2. `BASE64` hits where certain words stand in base64; the whole run is decoded and searched.
   Keys and passwords are found so, addresses and numbers are not.
3. `continued` follows a key that breaks off at a line's end, or a quote's, into the next.
"""

from __future__ import annotations

import base64
import re
from bisect import bisect_right
from dataclasses import dataclass
from typing import TypeAlias

from tracewall.masking import joints
from tracewall.masking.shape import Shape, Verdict

# The padding at the end of base64 is no soft break.
_BREAK = re.compile(r"=\r?\n(?!-----)(?<!==\n)(?<!==\r\n)(?P<name>)")
# Each begins with the sign that tells it: `re` leaps from one to the next.
_ESCAPES = (
    (
        "\\",
        re.compile(
            r"\\\\*(?:(?:u00|x|U000000)(?P<hex>[2-7][0-9A-Fa-f])|(?P<octal>[01][0-7]{2})"
            r"|u\{0{0,4}(?P<braced>[2-7][0-9A-Fa-f])\}|(?P<name>/))"
        ),
    ),
    ("%", re.compile(r"%(?P<hex>[2-7][0-9A-Fa-f])")),
    (
        "&",
        re.compile(
            r"&(?:#x(?P<hex>[2-7][0-9A-Fa-f])|#0{0,2}(?P<code>[0-9]{2,3})"
            r"|(?P<name>amp|commat|period|colon|sol));"
        ),
    ),
    ("=", _BREAK),
)
_PRINTABLE = re.compile(r"=(?P<hex>[2-7][0-9A-F])")
_NAMED = {"amp": "&", "commat": "@", "period": ".", "colon": ":", "sol": "/", "/": "/", "": ""}


@dataclass(frozen=True, slots=True)
class Unspelt:
    """``text`` without escapes, in stretches: where each begins here and in the original.

    A stretch is one character that was an escape (``size`` of it) or text as it is (0).
    """

    text: str
    begins: list[int]
    origins: list[int]
    sizes: list[int]

    def original(self, start: int, end: int) -> tuple[int, int]:
        """Give the original's span of ``text[start:end]``, which is not empty."""
        first = bisect_right(self.begins, start) - 1
        last = bisect_right(self.begins, end - 1) - 1
        moved = self.origins[last] + (self.sizes[last] or end - self.begins[last])
        return self.origins[first] + start - self.begins[first], moved


Escape: TypeAlias = tuple[int, int, str]


def unspelt(text: str, *, broken: bool) -> Unspelt | None:
    """Read the escapes of `text`; None where it has none. ``broken``: it has `SOFT` breaks."""
    if not broken and "%" not in text and "\\" not in text and "&" not in text:
        return None
    escapes = _escapes(text)
    if not escapes:
        return None
    begins, origins, sizes, pieces = [], [], [], []
    at = last = 0
    for start, end, char in (*sorted(escapes), (len(text), len(text), "")):
        if start < last:
            continue  # a backslash of the escape before
        for piece, origin, size in ((text[last:start], last, 0), (char, start, end - start)):
            if piece:
                begins.append(at)
                origins.append(origin)
                sizes.append(size)
                pieces.append(piece)
                at += len(piece)
        last = end
    return Unspelt("".join(pieces), begins, origins, sizes)


def _escapes(text: str) -> list[Escape]:
    found: list[Escape] = []
    for sign, pattern in _ESCAPES:
        if sign in text:
            found += map(_escape, pattern.finditer(text))
    if found and any(not char for _, _, char in found):
        found += map(_escape, _PRINTABLE.finditer(text))
    return found


def _escape(hit: re.Match[str]) -> Escape:
    """Give where an escape stands, and the character it stands for: none for a soft break."""
    parts = hit.groupdict()
    if (name := parts.get("name")) is not None:
        return hit.start(), hit.end(), _NAMED[name]
    text, octal = parts.get("hex") or parts.get("braced"), parts.get("octal")
    code = int(text, 16) if text else int(parts["octal"], 8) if octal else int(parts["code"])
    return hit.start(), hit.end(), chr(code) if 0x20 <= code < 0x7F else hit[0]


# Base64

_WORDS = (
    "password PASSWORD Password passwd secret SECRET api_key API_KEY apikey access_key"
    " token= github_pat_ sk-ant- sk-proj- xoxb- xoxp- glpat- ghp_ gho_ ghs_ AKIA AIza"
    " sk_live_ AccountKey -----BEGIN eyJhbGciOi postgres:// postgresql:// Bearer"
).split()
_LONGEST = 8192
_RUN = re.compile(rb"[A-Za-z0-9+/_-]{0,8192}={0,2}")
_BACK = re.compile(rb"[A-Za-z0-9+/_-]{0,8192}")
ENCODED = "base64"
"""What a find is called of which only the wrapping is known."""


def _spellings(word: str) -> dict[bytes, int]:
    """Give what of a word is seen in base64, and how far into a group of four that begins."""
    made = {}
    for skipped in range(3):
        data = b"\0" * skipped + word.encode()
        first = (skipped * 8 + 5) // 6
        made[base64.b64encode(data)[first : len(data) * 8 // 6]] = first
    return made


def _base64(data: bytes, start: int, floor: int) -> Verdict:
    word = _SPELT.match(data, start)
    run = _RUN.match(data, start)
    before = _BACK.match(data[max(floor, start - _LONGEST) : start][::-1])
    if word is None or run is None or before is None:
        return None
    # Whole groups only: what stands before may belong to no base64.
    back = before.end() - (before.end() - _WITHIN[word[0]]) % 4
    return max(start - back, floor), run.end(), ENCODED


_WITHIN = {text: at for word in _WORDS for text, at in _spellings(word).items()}
_SPELT = re.compile(b"|".join(map(re.escape, _WITHIN)))
BASE64 = Shape(
    _SPELT.pattern,
    bytes({each[0] for each in _WITHIN}),
    _base64,
    tuple(dict.fromkeys(each.lower() for each in _WITHIN)),
)
"""Hits where one of certain words stands in base64."""


def _soft(data: bytes, start: int, floor: int) -> Verdict:
    return (start, start + 1, SOFT) if data.startswith((b"=\n", b"=\r\n"), start) else None


SOFT = "soft break"
"""What a hit is called that tells of quoted-printable."""
SOFT_BREAK = Shape(rb"=\r?\n", b"=", _soft, (b"=\n", b"=\r\n"))
"""Hits where quoted-printable breaks a line: cheaper than to look for it in every text."""


# Lines

_NEXT_LINE = re.compile(rb"(?:=?\r?\n|(?:\\+r)?\\+n)[ \t>]{0,16}([A-Za-z0-9_+/=-]{4,512})")
_MIXED = re.compile(rb"(?=[^0-9]*[0-9])(?=[^A-Za-z]*[A-Za-z])(?=[^A-Z]*[A-Z]|.{16})")


def continued(data: bytes, end: int) -> int:
    """Give where a key that ends at `end`, at the end of a line, really ends."""
    while hit := _NEXT_LINE.match(data, end) or joints.NEXT.match(data, end):
        if not _MIXED.match(hit[1]):
            break
        end = hit.end()
    return end
