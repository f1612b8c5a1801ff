"""Text as it looks, not as it is spelt: for secrets that hide behind odd characters.

Full-width, mathematical and other scripts' digits and letters, Cyrillic and Greek letters
that look Latin, odd blanks and dashes become ASCII; characters of no width and combining
marks vanish. What is found in folded text is then pointed out in the original.
"""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_right
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeAlias

# After Unicode's table of confusable characters: what looks the same in common typefaces.
_ALIKE = {
    "A": "\u0391\u0410", "B": "\u0392\u0412", "C": "\u0421\u03f9", "E": "\u0395\u0415",
    "H": "\u0397\u041d", "I": "\u0399\u0406\u04c0", "J": "\u0408\u037f", "K": "\u039a\u041a",
    "M": "\u039c\u041c", "N": "\u039d", "O": "\u039f\u041e", "P": "\u03a1\u0420", "S": "\u0405",
    "T": "\u03a4\u0422", "X": "\u03a7\u0425", "Y": "\u03a5\u04ae", "Z": "\u0396",
    "a": "\u0430\u0251", "c": "\u0441\u03f2", "d": "\u0501", "e": "\u0435", "g": "\u0261",
    "h": "\u04bb", "i": "\u0456\u0131", "j": "\u0458\u03f3", "k": "\u03ba", "o": "\u03bf\u043e",
    "p": "\u03c1\u0440", "q": "\u051b", "s": "\u0455", "u": "\u03c5", "v": "\u03bd\u0475",
    "w": "\u051d", "x": "\u0445", "y": "\u0443\u04af", "-": "\u2010\u2011\u2012\u2013\u2015\u2212",
    " ": "\u1680", "=": "\u2254\u2255",
}  # fmt: skip
_VANISHING = (
    (0x0300, 0x036F), (0x115F, 0x1160), (0x17B4, 0x17B5), (0x180B, 0x180F), (0x20D0, 0x20FF),
    (0x3164, 0x3164), (0xFE00, 0xFE0F), (0xFFA0, 0xFFA0), (0xE0000, 0xE01EF),
)  # fmt: skip
# Han, Hangul and the like have no compatibility forms of ASCII.
_SEARCHED = (range(0x80, 0x3400), range(0xA000, 0xAC00), range(0xF900, 0x12000),
             range(0x13400, 0x13500), range(0x16100, 0x16140), range(0x16A00, 0x16C00),
             range(0x16D00, 0x16E00), range(0x1BC00, 0x1BD00), range(0x1CC00, 0x20000))  # fmt: skip
_IN_SHAPES = (0x1F150, 0x1F170, 0x1F1E6)
"""Where the capitals begin that are white on a disc, on a square, and those of flags."""
_PUNCTUATION = "@.-_+:/=% \"'"

Fold: TypeAlias = "Callable[[str], Folded | None]"


@dataclass(frozen=True, slots=True)
class Folded:
    """Folded text, and the way from its offsets to those of the original.

    ``breaks`` are the offsets in ``text`` where the distance to the original changes,
    ``shifts`` the distances from there on.
    """

    text: str
    breaks: tuple[int, ...] = (0,)
    shifts: tuple[int, ...] = (0,)

    def original(self, start: int, end: int) -> tuple[int, int]:
        """Give the original's span of ``text[start:end]``, which is not empty."""
        return self._shifted(start), self._shifted(end - 1) + 1

    def _shifted(self, offset: int) -> int:
        return offset + self.shifts[bisect_right(self.breaks, offset) - 1]


def folder() -> Fold:
    """Build the function that folds a text, or gives None where there is nothing to fold.

    Building takes some 20 ms, for it asks Unicode's database.
    """
    swapped = {chr(code): plain for code, plain in _swaps()}
    vanishing = set(_vanishing())
    vanish = re.compile(_class(vanishing) + "+")
    # Past U+FFFF `re` is slow over scattered characters, so all of them are looked at.
    narrow = {code for code in (*map(ord, swapped), *vanishing) if code <= 0xFFFF}
    odd = re.compile(_class(narrow, "\U00010000-\U0010ffff"))

    def swap(hit: re.Match[str]) -> str:
        return swapped.get(hit[0], hit[0])

    def fold(text: str) -> Folded | None:
        if odd.search(text) is None:
            return None
        pieces, breaks, shifts = [], [0], [0]
        last = 0
        for hit in vanish.finditer(text):
            pieces.append(text[last : hit.start()])
            last = hit.end()
            breaks.append(hit.start() - shifts[-1])
            shifts.append(shifts[-1] + len(hit[0]))
        pieces.append(text[last:])
        folded = odd.sub(swap, "".join(pieces))
        return None if folded == text else Folded(folded, tuple(breaks), tuple(shifts))

    return fold


def _swaps() -> Iterator[tuple[int, str]]:
    for block in _SEARCHED:
        for code in block:
            plain = unicodedata.normalize("NFKC", chr(code))
            digit = unicodedata.digit(chr(code), None)
            if digit is not None:
                yield code, str(digit)
            elif len(plain) == 1 and plain.isascii() and (plain.isalnum() or plain in _PUNCTUATION):
                yield code, plain
    for first in _IN_SHAPES:
        yield from ((first + at, chr(0x41 + at)) for at in range(26))
    for plain, others in _ALIKE.items():
        for other in others:
            yield ord(other), plain


def _vanishing() -> Iterator[int]:
    for first, last in _VANISHING:
        yield from range(first, last + 1)
    for block in _SEARCHED:
        yield from (code for code in block if unicodedata.category(chr(code)) == "Cf")


def _class(codes: set[int], further: str = "") -> str:
    """Write a character class of `codes` in ranges."""
    ranges: list[list[int]] = []
    for code in sorted(codes):
        if ranges and ranges[-1][1] == code - 1:
            ranges[-1][1] = code
        else:
            ranges.append([code, code])
    return f"[{''.join(f'{chr(first)}-{chr(last)}' for first, last in ranges)}{further}]"
