"""The short ways for long columns of text give what the long way gives, and no more."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracewall.masking.config import Method
from tracewall.masking.markers import PLAIN, Mark, Recogniser, mark
from tracewall.masking.methods import MaskFailed, masker
from tracewall.masking.quick import text_by_text, text_column

KEY, LONGEST = b"k" * 32, 200
KEYED = mark(b"w" * 32, "m")
METHODS = [
    Method("email"),
    Method("hash"),
    *(Method("partial", keep_first=a, keep_last=b) for a, b in ((0, 0), (2, 0), (0, 3), (2, 3))),
]
IDS = [f"{m.name}-{m.keep_first}-{m.keep_last}" for m in METHODS]
NAMES = st.text("abé._1-", max_size=6) | st.just("a" * 63) | st.just("a" * 64) | st.just("a" * 65)
MAILS = st.builds("{}@{}".format, NAMES, st.sampled_from(["a.test", "b.test", "", "nohost", "@"]))
TEXTS = st.one_of(
    st.none(),
    MAILS,
    st.text(max_size=12),
    st.sampled_from(
        [PLAIN.whole, KEYED.whole, PLAIN.middle, f"x{KEYED.local}@a.test", "abc@a.test"]
    ),
)


def long_way(method: Method, value: str | None, marks: Mark) -> object:
    """Give what the long way makes of a value."""
    return masker(method, KEY, "p", mark=marks)(value)


@pytest.mark.parametrize("marks", [PLAIN, KEYED], ids=["plain", "keyed"])
@pytest.mark.parametrize("method", METHODS, ids=IDS)
@given(columns=st.lists(st.lists(TEXTS, min_size=1, max_size=6), max_size=4))
def test_a_column_is_always_masked_as_its_values_are(
    method: Method, marks: Mark, columns: list[list[str | None]]
) -> None:
    """Whatever was in a call and in those before it, each value shows as it would alone."""
    make = text_column(method, KEY, "p", marks)
    assert make is not None
    masked = make(LONGEST)
    for values in columns:
        assert list(masked(values)) == [long_way(method, value, marks) for value in values]


@pytest.mark.parametrize("method", METHODS, ids=IDS)
def test_ordinary_columns_are_masked_as_their_values_are(method: Method) -> None:
    """Mails of one domain, then names too short or too long, dots, NULL, and what is masked."""
    make = text_column(method, KEY, "p", KEYED)
    assert make is not None
    masked = make(LONGEST)
    plain = [f"person{number}@mail.test" for number in range(5)]
    for odd in (
        [],
        ["abc@mail.test"],
        ["ab@mail.test"],
        ["a@mail.test"],
        ["@mail.test"],
        ["a" * 64 + "@mail.test"],
        ["a" * 65 + "@mail.test"],
        ["first.last@mail.test"],
        ["first last@mail.test"],
        ["no mail at all"],
        [KEYED.whole],
        [f"a{KEYED.local}@mail.test"],
        ["person@elsewhere.test"],
        ["person@mail test"],
        [None],
        [""],
        ["abcd"],
    ):
        for values in (plain + odd, odd + plain, odd or plain, plain):
            told = [long_way(method, value, KEYED) for value in values]
            assert list(masked(values)) == told, odd


@pytest.mark.parametrize("method", METHODS, ids=IDS)
def test_what_is_too_long_is_not_masked_at_all(method: Method) -> None:
    """A text of the greatest length is masked; one longer fails the call, first or remembered."""
    make = text_column(method, KEY, "p", PLAIN)
    assert make is not None
    at_most, longer = "a" * 13 + "@mail.test", "a" * 14 + "@mail.test"
    for before in ([], ["abcdef"], [None], ["abcd", "someone@mail.test"]):
        masked = make(len(at_most))
        assert list(masked([*before, at_most]))[-1] == long_way(method, at_most, PLAIN)
        if method.name == "email":
            # Here no more than a name is looked at, whatever the length of the text.
            continue
        with pytest.raises(MaskFailed):
            masked([*before, longer])


def test_an_address_that_is_too_long_for_a_name_fails_where_it_is_looked_at() -> None:
    """What the shortest way does not take goes by the long one, which has a limit."""
    make = text_column(Method("email"), KEY, "p", PLAIN)
    assert make is not None
    for long in (f"{'a' * 90}@mail.test", f"{'a.' * 45}@mail.test"):
        with pytest.raises(MaskFailed):
            make(50)([long])


@pytest.mark.parametrize("name", ["redact", "constant", "null", "date", "number"])
def test_other_methods_have_no_short_way(name: Any) -> None:
    """What is not made of the text itself is made elsewhere."""
    assert text_column(Method(name, value="x", bucket=1.0), KEY, "p", PLAIN) is None


def test_a_mask_of_each_text_is_for_texts_alone() -> None:
    """NULL stays NULL, each text is masked, and one that is too long fails the call."""
    masked = text_by_text(lambda text: text.upper(), 3)
    assert list(masked(["a", None, "bcd", ""])) == ["A", None, "BCD", ""]
    with pytest.raises(MaskFailed):
        masked(["a", None, "bcde"])


def test_equal_values_have_equal_pseudonyms_beyond_what_is_remembered() -> None:
    """After more values than are remembered, and for long ones, pseudonyms stay what they were."""
    make = text_column(Method("hash"), KEY, "p", KEYED)
    assert make is not None
    masked = make(1_000)
    values: list[str | None] = [f"value {number}" for number in range(1_100)]
    values += ["long " * 40, "long " * 41, None]
    first = list(masked(values))
    assert len(set(first)) == len(values)
    assert list(masked(values)) == first
    assert first[-2] == long_way(Method("hash"), "long " * 41, KEYED)


@pytest.mark.parametrize("name", ["email", "hash"])
def test_what_is_remembered_of_values_is_bounded(name: Any) -> None:
    """Ever new domains and values, and very long ones, take no more memory than the first did."""
    make = text_column(Method(name), KEY, "p", PLAIN)
    assert make is not None
    masked = make(100_000)

    def grown(values: Iterable[str]) -> int:
        before = tracemalloc.get_traced_memory()[0]
        masked([*values, None])
        return tracemalloc.get_traced_memory()[0] - before

    tracemalloc.start()
    try:
        assert grown(f"long{number}@{number}{'x' * 20_000}.test" for number in range(20)) < 20_000
        for start in range(0, 5_000, 500):
            some = range(start, start + 500)
            more = grown(f"name{number}@host{number}.test" for number in some)
        assert more < 5_000
    finally:
        tracemalloc.stop()


# --- marks that are known again -----------------------------------------------------


def test_marks_are_known_again_by_their_key_alone() -> None:
    """Whole, middle and local marks, and pseudonyms, of any of the keys; nothing else."""
    keys = [b"1" * 32, b"2" * 32]
    known = Recogniser(["m", "n"], keys)
    for key in keys:
        made = mark(key, "m")
        pseudonym = made.speller()(b"x" * 32)
        for text, name in (
            (made.whole, "m"),
            (f"ab{made.middle}yz", "m"),
            (f"a{made.local}@b.test", "m"),
            (mark(key, "n").whole, "n"),
            (pseudonym, "hash"),
            (f"{pseudonym[:-1]}{'0' if pseudonym[-1] != '0' else '1'}", ""),
            (made.whole.replace("masked:m", "masked:n"), ""),
        ):
            assert known.found(f"some {text} words".encode()) == name, text
    other = mark(b"3" * 32, "m")
    for text in (other.whole, f"a{other.local}@b", other.speller()(b"x" * 32), "[masked]", "***@"):
        assert known.found(text.encode()) == ""
    both = f"{other.whole} {mark(keys[1], 'm').whole}"
    assert known.found(both.encode()) == "m"
    assert not Recogniser(["m"], [b""]) and Recogniser(["m"], [b""]).found(b"[redacted]") == ""
