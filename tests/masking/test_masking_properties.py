"""What always holds of masks, whatever the value: little shows, twice is once, shapes stay."""

from __future__ import annotations

import json
from contextlib import suppress
from datetime import timedelta
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from tracewall.masking.config import Method
from tracewall.masking.markers import Recogniser, mark
from tracewall.masking.messages import CLASSES, MessageMask
from tracewall.masking.methods import masker
from tracewall.masking.paths import path_mask
from tracewall.masking.quick import text_column

KEY = b"0123456789abcdef"
MARKS = st.sampled_from([mark(b"", "m"), mark(KEY, "m")])
SCALARS = st.one_of(
    st.text(), st.binary(), st.integers(), st.floats(allow_nan=False), st.decimals(allow_nan=False),
    st.booleans(), st.dates(), st.datetimes(), st.datetimes(timezones=st.timezones()), st.times(),
    st.timedeltas(max_value=timedelta(days=10_000)), st.uuids(), st.ip_addresses(),
    st.emails(), st.from_regex(r"[0-9 -]{12,20}", fullmatch=True),
)  # fmt: skip
VALUES = st.recursive(
    SCALARS, lambda inner: st.one_of(st.lists(inner), st.tuples(inner, inner)), max_leaves=6
)
HIDING = st.one_of(
    st.just(Method("redact")), st.just(Method("null")), st.just(Method("hash")),
    st.just(Method("email")), st.just(Method("constant", value="7")),
    st.builds(Method, st.just("partial"), st.integers(0, 3), st.integers(0, 3)),
)  # fmt: skip
STABLE = st.one_of(
    st.sampled_from([Method("redact"), Method("null"), Method("email")]),
    st.sampled_from([Method("date", unit="month"), Method("number", bucket=10)]),
    st.builds(Method, st.just("partial"), st.integers(0, 6), st.integers(0, 6)),
    st.just(Method("constant", value="2001-01-01")),
)


def texts(value: Any) -> list[str]:
    """Give the texts of the leaves of a value."""
    if isinstance(value, list | tuple):
        return [text for item in value for text in texts(item)]
    return [value if isinstance(value, str) else repr(value)]


def kept(method: Method, text: str) -> str:
    """Give what a method says that it keeps of a text."""
    if method.name == "partial":
        return text[: method.keep_first] + "\0" + text[len(text) - method.keep_last :]
    return text[:1] + "\0" + "".join(text.partition("@")[1:]) if method.name == "email" else ""


@given(VALUES, HIDING, MARKS)
def test_no_four_characters_ever_show_beyond_what_is_kept(
    value: Any, method: Method, marks: Any
) -> None:
    """A run of four characters of the original is not in the masked value."""
    shown = masker(method, KEY, "p", marks)(value)
    if type(shown) is not type(value):
        assert shown is None
        return
    for before, after in zip(texts(value), texts(shown), strict=True):
        rest = after
        for word in (marks.whole, marks.middle, marks.local):
            rest = rest.replace(word, "\0")
        if method.name in ("hash", "constant") or after == "None":
            # A pseudonym is random: what it shares with the original it shares by chance.
            assert before != after or before in ("None", "7", "", "b'7'") or len(before) < 2
            continue
        allowed = kept(method, before)
        runs = {before[at : at + 4] for at in range(len(before) - 3)}
        assert not [run for run in runs if run in rest and run not in allowed and "\0" not in run]


@given(VALUES, STABLE, MARKS)
def test_masking_a_masked_value_always_changes_nothing(
    value: Any, method: Method, marks: Any
) -> None:
    """What a mask leaves is left as it is by the same mask."""
    mask = masker(method, KEY, "p", marks)
    once = mask(value)
    assert mask(once) == once


@given(st.lists(st.one_of(st.none(), st.text(), st.emails()), max_size=5), HIDING, MARKS)
def test_the_short_way_always_gives_what_the_long_one_gives(
    texts: list[str | None], method: Method, marks: Any
) -> None:
    """A mask of columns and one of values agree, also on values that were seen before."""
    made, mask = text_column(method, KEY, "p", marks), masker(method, KEY, "p", marks)
    if made is None:
        return
    column = made(1 << 62)
    mails = ["ada@example.com", "bob@example.com", "carl17@example.com", "no address at all"]
    marked = [mask("long enough to be masked"), marks.whole, marks.middle]
    for values in (mails, texts, mails, [*texts, *mails], marked, texts + marked, mails[:3]):
        if values:
            assert list(column(values)) == [mask(value) for value in values]


@given(st.text(min_size=8), HIDING)
def test_what_a_mask_has_marked_is_always_known(text: str, method: Method) -> None:
    """A mark is found again wherever it stands; the same text under another key is not."""
    shown = masker(method, KEY, "m", mark(KEY, "m"))(text)
    if method.name in ("null", "constant"):
        return
    data = json.dumps({"a": f"x {shown} y"}, ensure_ascii=False).encode("utf-8", "replace")
    assert Recogniser(["m"], [KEY]).found(data) in ("m", "hash")
    assert Recogniser(["m"], [b"another key of length"]).found(data) == ""


KEYS = st.sampled_from(["a", "b", "secret", "parts", "type", "role", "content", "x"])
WORDS = st.sampled_from(
    ["zqk", "text", "reasoning", "tool_call", "system", "user", '{"secret":"zqk"}']
)
JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), WORDS),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(KEYS, inner, max_size=3), inner.map(json.dumps)
    ),
    max_leaves=15,
)
PATHS = st.lists(
    st.sampled_from(["$.a", "$..secret", "$.a.*", "$[*].b", "$.a[0].b", "$.*.secret", "$..a.b"]),
    min_size=1, max_size=3, unique=True,
)  # fmt: skip


def shape(value: Any) -> Any:
    """Give lists and members without what they hold."""
    if isinstance(value, dict):
        return {key: shape(item) for key, item in value.items()}
    return [shape(item) for item in value] if isinstance(value, list) else None


def under(value: Any, key: str) -> list[Any]:
    """Give all that lies under a key, at any depth, inside texts too."""
    if isinstance(value, str) and value[:1] in ('"', "{", "["):
        with suppress(ValueError):
            return under(json.loads(value), key)
    if isinstance(value, dict):
        own = [item for name, item in value.items() if name == key]
        return own + [found for item in value.values() for found in under(item, key)]
    items = value if isinstance(value, list) else []
    return [found for item in items for found in under(item, key)]


@given(JSON, PATHS)
def test_a_documents_shape_is_always_kept_and_twice_is_once(value: Any, paths: list[str]) -> None:
    """Members and elements stay where they are; a mask over its own work changes nothing."""
    mask = path_mask(paths, masker(Method("redact"), b"", "p"))
    for way in (mask.whole, mask.part):
        made, count = way(value)
        assert shape(made) == shape(value)
        assert way(made)[0] == made
        assert count or made == value


@given(JSON)
def test_what_a_deep_path_leads_to_never_shows(value: Any) -> None:
    """Under the key, at any depth and inside texts, nothing is left."""
    made, _ = path_mask(["$..secret"], masker(Method("redact"), b"", "p")).whole(value)
    assert "zqk" not in repr(under(made, "secret"))


@given(JSON)
def test_with_every_class_hidden_no_word_of_a_conversation_shows(value: Any) -> None:
    """Whatever the shape: what is no known word of how it is built is hidden."""
    made, _ = MessageMask(frozenset(CLASSES), masker(Method("redact"), b"", "p")).whole(value)
    assert "zqk" not in json.dumps(made)
    assert shape(made) == shape(value)
