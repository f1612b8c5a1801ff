"""A policy's own patterns by either engine: which made a find, and what each class means."""

from __future__ import annotations

import string
from types import SimpleNamespace
from typing import Any

import pytest

from tracewall.masking import automaton
from tracewall.masking.config import Pattern
from tracewall.masking.detectors import Detectors, PatternInvalid, detectors


@pytest.fixture(params=["builtin", "re2"])
def engine(request: pytest.FixtureRequest) -> Any:
    """Each of the two engines."""
    if request.param == "re2":
        pytest.importorskip("re2", reason="needs google-re2, the extra 'detect'")
    return request.param


def own(engine: Any, *regexes: str) -> Detectors:
    """Give detectors of patterns called a, b, c …"""
    patterns = zip("abcd", regexes, strict=False)
    return detectors((), tuple(Pattern(*each) for each in patterns), engine=engine)


@pytest.mark.parametrize(
    ("regexes", "text", "shown"),
    [
        (("ab$", "ab"), "abx ab", "[b]x [a]"),
        (("ab$", "ab"), "xab", "x[a]"),
        ((r"x", r"ab\B"), "abc ab", "[b]c ab"),
        ((r"ab\b", r"ab"), "abc ab", "[b]c [a]"),
        ((r"(?m)^ab$", "ab"), "ab\nab\nxab\naby\nab", "[a]\n[a]\nx[b]\n[b]y\n[a]"),
        (("ab", "abc"), "abcd ab", "[b]d [a]"),
        (("SO-[0-9]+",), "[email] SO-12345678 [SO-1] [so-1]", "[email] [a] [[a]] [so-1]"),
        (("[a-z]+",), "[email]abc", "[email][a]"),
    ],
)
def test_a_find_is_named_after_the_pattern_that_made_it(
    engine: Any, regexes: tuple[str, ...], text: str, shown: str
) -> None:
    """What stands after a find decides as much as in the search: ends of texts, lines and words."""
    assert own(engine, *regexes).mask(text)[0] == shown


CLASSES = {
    r"\d": string.digits,
    r"\w": string.ascii_letters + string.digits + "_",
    r"\s": " \t\n\r\f",
    "[[:alnum:]]": string.ascii_letters + string.digits,
    "[[:alpha:]]": string.ascii_letters,
    "[[:digit:]]": string.digits,
    "[[:lower:]]": string.ascii_lowercase,
    "[[:upper:]]": string.ascii_uppercase,
    "[[:punct:]]": string.punctuation,
    "[[:space:]]": string.whitespace,
    "[[:word:]]": string.ascii_letters + string.digits + "_",
    "[[:xdigit:]]": string.hexdigits,
    r"[\t\n\v\f\r\a]": "\t\n\v\f\r\a",
    r"\x{41}|\x{00000042}|\x43|\x{df}": "ABCß",
}


@pytest.mark.parametrize(("regex", "signs"), CLASSES.items(), ids=CLASSES)
def test_a_class_has_its_characters_and_no_other(engine: Any, regex: str, signs: str) -> None:
    """As RE2 documents them: of ASCII alone, each to its last."""
    found_by = own(engine, regex)
    assert {sign for sign in [*map(chr, range(128)), *"éß日"] if found_by.find(sign)} == set(signs)


@pytest.mark.parametrize("sign", ["t", "n", "v", "f", "r", "a"])
def test_each_control_character_has_its_escape(engine: Any, sign: str) -> None:
    """Each is one character, and the same for both."""
    found_by = own(engine, f"\\{sign}")
    meant = {"t": "\t", "n": "\n", "v": "\v", "f": "\f", "r": "\r", "a": "\a"}[sign]
    assert [each for each in map(chr, range(128)) if found_by.find(each)] == [meant]


@pytest.mark.parametrize("regex", ["^$", r"(?i", r"(?i-", r"a{1001}", r"\x{110000}"])
def test_what_neither_engine_reads_is_refused_by_both(engine: Any, regex: str) -> None:
    """Nothing to find, flags without an end, too many repeats, numbers of no character."""
    with pytest.raises(PatternInvalid):
        own(engine, regex)


def test_a_pattern_may_repeat_a_thousand_times(engine: Any) -> None:
    """As often as RE2 allows, and no more."""
    assert own(engine, "a{1000}").mask("a" * 1000 + "b") == ("[a]b", 1)


def test_many_finds_of_an_own_pattern_are_all_told_apart(engine: Any) -> None:
    """Short finds are no attack, however many there are."""
    shown, count = own(engine, "SO-[0-9]{4}").mask("SO-1234, " * 5_000)
    assert (shown, count) == ("[a], " * 5_000, 5_000)


@pytest.mark.parametrize("missing", ["anchor", "answer"])
def test_other_versions_of_re2_find_the_same(missing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where what lies beneath its public methods is not there, or answers otherwise, they serve."""
    re2: Any = pytest.importorskip("re2", reason="needs google-re2, the extra 'detect'")
    other = SimpleNamespace(Options=re2.Options, compile=re2.compile, error=re2.error)
    if missing == "answer":
        other._Anchor = SimpleNamespace(UNANCHORED=re2._Anchor.ANCHOR_BOTH)
    monkeypatch.setattr(automaton, "_re2", other)
    texts = ("", "x", "to ann@example.com and 4111111111111111!", "password=hunter2x")
    shown = ["", "x", "to [email] and [card]!", "password=[password]"]
    assert [detectors(("*",)).mask(text)[0] for text in texts] == shown
