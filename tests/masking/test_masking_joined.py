"""Texts side by side: what is hidden of each, and what is left to its own mask."""

from __future__ import annotations

import pytest

from tracewall.masking.detectors import detectors
from tracewall.masking.joined import Spans, crossing, without

KEY = "ghp_" + "aZ3kQ9xW7vB2nM5tR8yU1iO4pL6sD0fG3hJk"


def hidden(*texts: str) -> list[Spans]:
    """Give what is hidden of texts side by side."""
    return crossing(texts, detectors(("github", "card"), engine="builtin"))


def test_the_parts_of_a_key_are_hidden_to_the_character() -> None:
    """Of each text its own part, wherever the text is long, and of those between all."""
    ends, begins = f"a {KEY[:15]}", f"{KEY[15:]} b"
    rest = len(KEY) - 15
    assert hidden(ends, begins) == [[(2, 17, "github")], [(0, rest, "github")]]
    assert hidden("x " * 3000 + ends, begins + " y" * 3000) == [
        [(6002, 6017, "github")],
        [(0, rest, "github")],
    ]
    assert hidden(KEY[:10], KEY[10:20], "", KEY[20:]) == [
        [(0, 10, "github")],
        [(0, 10, "github")],
        [],
        [(0, rest - 5, "github")],
    ]


def test_a_text_between_is_searched_whole_up_to_twice_an_edge() -> None:
    """A key may go through all of a text that is no longer."""
    assert hidden(KEY[:20], "a1" * 1024, "b2 c") == [
        [(0, 20, "github")],
        [(0, 2048, "github")],
        [(0, 2, "github")],
    ]


@pytest.mark.parametrize(
    "texts",
    [
        (f" {KEY}", " x"),
        ("x ", f"{KEY} "),
        (f"{KEY} ", f" {KEY}"),
        (KEY, "", None),
        (KEY[:20], "\n", KEY[20:]),
        ("x" * 3000, "y" * 3000),
        (f"{KEY[:20]} " + "x " * 3000, f"{'y ' * 3000}{KEY[20:]}"),
    ],
)
def test_what_lies_in_one_text_is_left_to_its_own_mask(texts: tuple[str | None, ...]) -> None:
    """A key that ends where its text does is no key of two, and nothing else is hidden."""
    assert hidden(*(text or "" for text in texts)) == [[] for _ in texts]


def test_what_is_not_hidden_is_masked_by_itself() -> None:
    """The rest goes through the mask in pieces; what a mask withholds shows as nothing."""
    mask = "<{}>".format
    assert without("abcdef", [(2, 4, "k")], mask) == "<ab>[k]<ef>"
    assert without("abcdef", [(4, 6, "k"), (0, 2, "j")], mask) == "[j]<cd>[k]"
    assert without("abcdef", [(0, 5, "k"), (2, 4, "j")], mask) == "[k][j]<f>"
    assert without("", [], mask) == ""
    assert without("abcdef", [(2, 4, "k")], lambda text: None) == "[k]"
