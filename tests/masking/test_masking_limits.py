"""Every type is masked, to the limit of nesting and no further; documents by the same limits."""

from __future__ import annotations

import json
from collections import namedtuple
from collections.abc import Callable
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from ipaddress import (
    IPv4Address,
    IPv4Interface,
    IPv4Network,
    IPv6Address,
    IPv6Interface,
    IPv6Network,
)
from typing import Any
from uuid import UUID

import pytest
from psycopg.types.range import Range

from tracewall.masking.config import Method
from tracewall.masking.documents import is_secret, mask_document
from tracewall.masking.markers import PLAIN, mark
from tracewall.masking.methods import (
    MAX_DEPTH,
    Fixed,
    MaskFailed,
    fixed_value,
    masker,
)

KEY = b"0123456789abcdef"
Point = namedtuple("Point", ["x", "label"])
METHODS = [
    Method("redact"),
    Method("null"),
    Method("constant", value="42"),
    Method("partial", keep_first=2, keep_last=3),
    Method("email"),
    Method("hash"),
    Method("date", unit="month"),
    Method("number", bucket=10),
]

SCALAR_VALUES = [
    "a", b"a", 1, 1.5, Decimal(1), True, date(2024, 2, 3), time(1), datetime(2024, 2, 3),
    timedelta(1), UUID(int=1), IPv4Address("10.0.0.1"), IPv4Network("10.0.0.0/8"),
    IPv4Interface("10.0.0.1/8"), IPv6Address("::1"), IPv6Interface("::1/64"), IPv6Network("::/64"),
]  # fmt: skip


@pytest.mark.parametrize("value", SCALAR_VALUES, ids=lambda value: type(value).__name__)
def test_each_type_that_a_column_has_is_masked_by_every_method(value: object) -> None:
    """None of them fails for a type of PostgreSQL's own; what has no other form becomes NULL."""
    for method in METHODS:
        made = masker(method, KEY, "p")(value)
        assert made is None or type(made) is type(value)
    foretold = fixed_value(Method("redact"), type(value))
    assert foretold == Fixed(masker(Method("redact"), KEY, "p")(value))


@pytest.mark.parametrize("shape", [list, dict, tuple, Point])
def test_nesting_is_followed_to_its_limit(shape: Any) -> None:
    """So many lists, objects, tuples or records are rebuilt as they were, and not one more."""

    def nested(depth: int, inmost: object) -> Any:
        value = inmost
        for _ in range(depth):
            if shape is Point:
                value = Point(value, None)
            else:
                value = {"x": value} if shape is dict else shape([value])
        return value

    mask = masker(Method("constant", value="7"), KEY, "p")
    assert mask(nested(MAX_DEPTH, 5)) == nested(MAX_DEPTH, 7)
    assert type(mask(nested(1, 5))) is shape
    with pytest.raises(MaskFailed):
        mask(nested(MAX_DEPTH + 1, 5))


@pytest.mark.parametrize("method", [m for m in METHODS if m.name not in ("date", "number")])
def test_a_range_is_hidden_where_its_bounds_are_not_rounded(method: Method) -> None:
    """A range of masked bounds would be another range, or an infinite one."""
    assert masker(method, KEY, "p")(Range(1, 5)) is None
    assert masker(method, KEY, "p")([Range("a", "b")]) in ([None], None)


@pytest.mark.parametrize(
    ("address", "masked"),
    [
        ("***@b.test", "***@b.test"),
        ("a***@b.test", "a***@b.test"),
        ("ab***@b.test", "***@b.test"),
        ("abc***@b.test", "***@b.test"),
    ],
)
def test_what_ends_as_a_masked_name_shows_one_letter_at_most(address: str, masked: str) -> None:
    """Whoever writes a mark into a name does not show the rest of the name with it."""
    assert masker(Method("email"), KEY, "p")(address) == masked


def test_without_a_key_marks_are_plain() -> None:
    """A wall without a key has marks that anybody knows."""
    assert mark(b"", "m") is PLAIN


# --- documents ------------------------------------------------------------------------


def none(text: str) -> tuple[str, int]:
    """Mask no text."""
    return text, 0


def exactly(*found: str) -> Callable[[str], tuple[str, int]]:
    """Give what masks the texts that are exactly one of some."""
    return lambda text: ("[x]", 1) if text in found else (text, 0)


@pytest.mark.parametrize("value", [True, False, None])
def test_what_is_no_number_is_not_searched(value: Any) -> None:
    """True, false and null tell nothing, by themselves or under a telling key."""
    masks = exactly("1", "0", "True", "None", ": 1", "a: 1")
    assert mask_document(value, masks) == (value, 0)
    assert mask_document({"a": value, "password": value}, masks) == (
        {"a": value, "password": value},
        0,
    )


@pytest.mark.parametrize(
    ("number", "masks", "made"),
    [
        (1_000_000, exactly("1000000"), None),
        (-1_000_000, exactly("1000000"), None),
        (999_999, exactly("999999"), 999_999),
        (-999_999, exactly("999999"), -999_999),
        (1_000_000, exactly("a: 1000000"), None),
        (1_000_000, exactly("b: 1000000"), 1_000_000),
    ],
)
def test_a_long_number_is_searched_alone_and_beside_its_key(
    number: int, masks: Any, made: Any
) -> None:
    """Seven digits are long; either way of finding it is enough."""
    told = mask_document({"a": number}, masks, long_numbers=True)
    assert told == ({"a": made}, int(made is None))


def test_masked_keys_are_numbered_from_two() -> None:
    """Members whose keys are masked alike keep their order, each under a name of its own."""
    value = {"k1": "a", "[x] 3": "b", "k2": "c", "k3": "d"}
    made, count = mask_document(value, exactly("k1", "k2", "k3"))
    assert made == {"[x]": "a", "[x] 3": "b", "[x] 2": "c", "[x] 4": "d"} and count == 3
    assert list(made.values()) == ["a", "b", "c", "d"]


def test_a_value_goes_by_a_name_that_says_something() -> None:
    """A value without a name beside it, or with an empty one, is not judged by it."""
    for value in ({"value": "ab"}, {"name": "", "value": "ab"}, {"name": 7, "value": "ab"}):
        assert mask_document(value, none, lambda key, item: key == "") == (value, 0)
    told = mask_document({"name": "n", "value": "ab"}, none, lambda key, item: key == "n")
    assert told[0]["value"] == "[secret]" and told[1] >= 1


@pytest.mark.parametrize("hidden", [False, True])
@pytest.mark.parametrize("shape", [list, dict, tuple])
def test_documents_are_followed_to_their_limit(shape: Any, hidden: bool) -> None:
    """So deep a document is masked, under a telling key or not; one deeper is withheld."""

    def nested(depth: int) -> Any:
        value: Any = 1234
        for _ in range(depth):
            value = {"x": value} if shape is dict else shape([value])
        return {"password": value} if hidden else {"a": value}

    made, count = mask_document(nested(MAX_DEPTH - 1), exactly("1234"))
    assert count == 1 and "1234" not in str(made)
    with pytest.raises(MaskFailed):
        mask_document(nested(MAX_DEPTH), exactly("1234"))


def test_a_document_in_a_text_is_followed_to_the_same_limit() -> None:
    """What lies deeper in it than that is searched as the text it is."""
    for depth, masked in ((MAX_DEPTH - 3, True), (MAX_DEPTH, False)):
        value: Any = {"password": "secret words"}
        for _ in range(depth):
            value = [value]
        assert ("secret words" not in mask_document(json.dumps(value), none)[0]) is masked


@pytest.mark.parametrize(
    ("number", "fails"),
    [("1e131072", False), ("1e131073", True), ("1e-131072", False), ("1e-131073", True)],
)
def test_a_number_that_no_column_holds_is_withheld(number: str, fails: bool) -> None:
    """PostgreSQL's numeric has 131072 digits before the point (chapter 8.1.2)."""
    if fails:
        with pytest.raises(MaskFailed):
            mask_document(Decimal(number), none)
    else:
        assert mask_document(Decimal(number), none) == (Decimal(number), 0)


@pytest.mark.parametrize(
    ("text", "made"),
    [
        ('{"é": "x", "password": "y"}', '{"é":"x","password":"[secret]"}'),
        ('{"é": "\\ud800", "password": "y"}', '{"\\u00e9":"\\ud800","password":"[secret]"}'),
        ('{"e": "\\ud800", "password": "y"}', '{"e":"\\ud800","password":"[secret]"}'),
    ],
)
def test_what_is_written_anew_can_be_encoded(text: str, made: str) -> None:
    """Escapes of what is no character stay escapes, and other scripts stay readable."""
    told = mask_document(text, none)[0]
    assert told == made and told.encode()


@pytest.mark.parametrize("key", ["password", "token"])
def test_a_schema_of_a_secret_is_no_secret(key: str) -> None:
    """A JSON Schema of it says nothing, whatever it says; an object like it may."""
    for more in ("description", "title", "format", "minLength", "maxLength", "nullable", "pattern"):
        assert is_secret(key, {"type": "string", more: 7}) is False
    assert is_secret(key, {"type": "string", "default": "x"}) is True
    assert is_secret(key, {"type": "Bearer"}) is True
    assert is_secret("colour", {"a": 1}) is False
