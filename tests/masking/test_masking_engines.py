"""The engine without google-re2: it finds the same, in linear time, and refuses what it can't."""

from __future__ import annotations

import subprocess
import sys
import time
from functools import cache
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracewall.masking.config import Engine, Pattern
from tracewall.masking.detectors import Detectors, PatternInvalid, detectors

PIECES = (
    "alice@example.com|4111 1111 1111 1111|4111111111111111|+1 212 555 0199|212-555-0199|10.1.2.3"
    "|2001:db8::1|fe80::|password=hunter2x|token: |secret|PASS|pwd:|api key=|auth-key: 'x|is |://a:b@"
    "|Bearer abcdef123456789XYZ|--token |sk-|ghp_0123456789abcdefghijABCDEFGHIJ012345|eyJhbGciOi"
    "|.eyJaaaaa|-----BEGIN PRIVATE KEY-----|DE89370400440532013000|(212) 5|call 1111111 |1Q~|sig="
    "|AKIAIOSFODNN7EXAMPLE|0123 456 7890|01 02 03 04 05 |%40|\\n|\\r|\\|_|\x0b"
    "|?|&|a|Z|9|0|.|:|=|>|\"|'"
    "|(|)| |\n|-|+|\u212a|ſ|é|４|а|\u200b|\ufffd|的|👍"
    "|cGFzc3dvcmQ9aHVudGVyMng=|c2VjcmV0|\\u0040|&#64;|=\n|cGFzc3dvcmQ/"
).split("|")
TEXTS = st.lists(st.one_of(st.sampled_from(PIECES), st.text(max_size=3)), max_size=12).map("".join)

OWN = (
    r"SO-[0-9]{8}", r"(?i)emp[-_ ]?\d{2,4}", r"\b\w+straße \d+", r"a.c|[^a-c\n]x+?", r"^ab|cd$",
    r"(?m)^x.*y$", r"(?s)<.{0,3}>", r"(?:ab|a|b){2,3}c", r"\x41\x{e9}", r"[[:upper:]][\d\-é-ü]",
    r"(?i:Straße|k\.s)", r"\Ba|x\z", r"\A-|(?P<n>y)(?<m>z)", r"a|a[^b]*b", r"[]a]{2}", r"a{,2}|b{",
    r"\Sé\s", r"[^\W\d]_",
)  # fmt: skip


@cache
def own(regex: str, engine: Engine) -> Detectors:
    return detectors((), (Pattern("own", regex),), engine=engine)


@pytest.fixture(scope="session")
def builtin() -> Detectors:
    """All built-in detectors by the engine of our own."""
    return detectors(("*",), engine="builtin")


def test_both_engines_find_the_same_in_the_corpus(
    every: Detectors, builtin: Detectors, made_corpus: list[Any]
) -> None:
    """What one engine finds among made sentences the other finds too, and nothing else."""
    for sample in made_corpus:
        assert builtin.find(sample.text) == every.find(sample.text)


def test_both_engines_find_the_same_in_real_texts(
    every: Detectors, builtin: Detectors, real_sentences: list[str]
) -> None:
    """Real reasoning and tool calls tell the engines apart no more than made ones."""
    for text in real_sentences[::7]:
        assert builtin.find(text) == every.find(text)


@given(TEXTS)
def test_both_engines_always_find_the_same(every: Detectors, builtin: Detectors, text: str) -> None:
    """In any text, pieces of secrets, escapes and odd characters included, the finds agree."""
    assert builtin.find(text) == every.find(text)
    assert builtin.mask(text) == every.mask(text)


@pytest.mark.usefixtures("every")
@pytest.mark.parametrize("regex", OWN)
@given(
    st.lists(st.sampled_from("abcxyzABCEkKsSſ\u212a0123-_. <>]éüßß的\n"), max_size=24).map("".join)
)
def test_own_patterns_always_match_alike(regex: str, text: str) -> None:
    """A policy's pattern finds with tables what it finds with google-re2, the longest first."""
    assert own(regex, "builtin").find(text) == own(regex, "re2").find(text)


@pytest.mark.parametrize(
    ("regex", "position"),
    [
        (r"abc(def", 3), (r"ab[z-a]", 3), (r"ab(?=c)", 2), (r"(a)\1", 3), (r"a*", -1), (r"a)", 1),
        (r"\pL", 0), (r"a**", 2), (r"+", 0), (r"[a", 0), (r"\x{110000}", 0), (r"[[:nope:]]", 1),
        (r"a{2,1}", 0), (r"(?U)a", 0), (r"\b", -1), (r"(" * 200 + "a" + ")" * 200, 101),
        (r"(a|b)*a(a|b){14}", -1), (r"(?:(?:a{99}){99}){99}", -1), (r"\Qa\E", 0), (r"(?<=a)b", 0),
    ],
)  # fmt: skip
def test_a_pattern_that_tables_cannot_hold_is_refused(regex: str, position: int) -> None:
    """What can't be searched in linear time, or is not read, is an error at load with its place."""
    with pytest.raises(PatternInvalid) as caught:
        detectors((), (Pattern("own", regex),), engine="builtin")
    assert caught.value.position == position
    assert caught.value.message


@pytest.mark.parametrize(
    "unit",
    ["1", "token:token:", "pwd='", "a@b.co(", "-----BEGIN PRIVATE KEY-----", "://a:b", "4111 ",
     'password="\\"', "+1", "@", "eyJhbGciOi."],
)  # fmt: skip
def test_time_grows_no_faster_than_the_text(builtin: Detectors, unit: str) -> None:
    """Eight times the text takes at most some sixteen times as long; squared it would be 64."""
    times = []
    for size in (15_000, 120_000):
        text = unit * (size // len(unit))
        started = time.process_time()
        builtin.mask(text)
        times.append(time.process_time() - started)
    assert times[1] < 24 * times[0] + 0.05


@pytest.mark.parametrize("engine", ["re2", "builtin"])
def test_own_patterns_stay_linear_in_hostile_text(engine: Any) -> None:
    """A pattern that looks to the text's end from each of its finds hides the rest instead."""
    started = time.process_time()
    masked, _ = own(r"a|a[^b]*b", engine).mask("ac" * 60_000)
    assert time.process_time() - started < 20
    assert masked.endswith("[own]")
    assert "a" not in masked


def test_the_engine_is_chosen_openly() -> None:
    """Without google-re2 the engine works when it is asked for, and only then."""
    code = (
        "import sys; sys.modules['re2'] = None\n"
        "from tracewall.masking.config import Pattern\n"
        "from tracewall.masking.detectors import DetectorsUnavailable, detectors\n"
        "print(detectors(('*',), (Pattern('so', 'SO-\\\\d+'),), engine='builtin')"
        ".mask('SO-123 alice@example.com'))\n"
        "try: detectors(('email',))\n"
        "except DetectorsUnavailable: print('refused')"
    )
    told = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout
    assert told.splitlines() == ["('[so] [email]', 2)", "refused"]
