"""Text as it looks: which characters become ASCII, which vanish, and what they are called."""

from __future__ import annotations

import sys
import unicodedata
from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tracewall.masking.folding import Fold, folder

ALIKE = {
    "ΑАΒВСϹΕЕΗНΙІӀЈͿΚКΜМΝΟОΡРЅΤТΧХΥҮΖ": "AABBCCEEHHIIIJJKKMMNOOPPSTTXXYYZ",
    "аɑсϲԁеɡһіıјϳκοоρрԛѕυνѵԝхуү": "aaccdeghiijjkooppqsuvvwxyy",
    "\u2010\u2011\u2012\u2013\u2015\u2212\u1680\u2254\u2255": "------ ==",
    "０１２３４５６７８９ＡＺａｚ＠．－＿＋：／＝％＂＇\u3000": "0123456789AZaz@.-_+:/=%\"' ",
    "𝐀𝒛𝟎𝟿²₃④ⓐℋ": "Az0923" + "4aH",
    "ſ\u212a\u00a0\u2009": "sK  ",
}
VANISHING = (
    "\u0300\u036f\u115f\u1160\u17b4\u17b5\u180b\u180f\u20d0\u20ff\u3164\ufe00\ufe0f\uffa0"
    "\U000e0000\U000e01ef\u00ad\u200b\u200d\u2060\ufeff\u202e\U000e0041"
)
STAYING = (
    "\u02ff\u0370\u115e\u1161\u17b3\u17b6\u180a\u1806\u20cf\u2100\u3163\u3165\ufdff\ufe10\uff9f"
    "\uffa1\U000dffff\U000e01f0éßΩ日한가\u212b\u2126！"
)


@pytest.mark.parametrize(("odd", "plain"), ALIKE.items())
def test_what_looks_like_ascii_is_read_as_ascii(odd: str, plain: str) -> None:
    """Letters of other scripts, widths and styles, blanks, dashes and signs."""
    fold = folder()
    for sign, meant in zip(odd, plain, strict=True):
        folded = fold(f"é{sign}x")
        assert folded is not None and folded.text == f"é{meant}x", sign
        assert folded.original(1, 2) == (1, 2)


def test_capitals_in_shapes_and_flags_are_read_as_capitals() -> None:
    """White on a disc, on a square, and the letters of flags: all of each alphabet."""
    fold = folder()
    for first in (0x1F150, 0x1F170, 0x1F1E6):
        folded = fold("".join(chr(first + at) for at in range(26)))
        assert folded is not None and folded.text == "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


def test_every_digit_is_read_as_its_figure() -> None:
    """Whichever script of Unicode it is of, to the last."""
    fold = folder()
    for code in range(0x80, sys.maxunicode + 1):
        figure = unicodedata.decimal(chr(code), None)
        if figure is not None:
            folded = fold(f"{chr(code)}é")
            assert folded is not None and folded.text == f"{figure}é", hex(code)


def test_what_has_no_width_vanishes_and_its_neighbours_stay() -> None:
    """Each range to its ends; what stands beside it in Unicode, and other letters, are kept."""
    fold = folder()
    for sign in VANISHING:
        folded = fold(f"a{sign}b{sign}{sign}c")
        assert folded is not None and folded.text == "abc", ascii(sign)
        assert folded.original(1, 2) == (2, 3) and folded.original(0, 3) == (0, 6)
    for sign in STAYING:
        assert fold(f"a{sign}b") is None, ascii(sign)


@cache
def made() -> Fold:
    """Give what folds; whoever changes the module while this runs clears caches."""
    return folder()


@settings(deadline=None)
@given(
    st.lists(st.sampled_from(["a", "b", "é", "日", "\u200b", "\u0301", "\U000e0041"])), st.data()
)
def test_a_span_of_folded_text_is_always_that_of_the_original(
    signs: list[str], data: st.DataObject
) -> None:
    """It begins and ends with a character that is seen, and has those of the span between."""
    text = "".join(signs)
    seen = "".join(sign for sign in signs if sign in "abé日")
    folded = made()(text)
    if folded is None:
        assert text == seen
    elif seen:
        assert folded.text == seen
        start = data.draw(st.integers(0, len(seen) - 1))
        end = data.draw(st.integers(start + 1, len(seen)))
        first, last = folded.original(start, end)
        assert text[first] == seen[start] and text[last - 1] == seen[end - 1]
        assert "".join(sign for sign in text[first:last] if sign in "abé日") == seen[start:end]
