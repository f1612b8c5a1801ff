"""Whole-value masks: typed, never the original, never an error that tells."""

from __future__ import annotations

import re
import traceback
from collections import namedtuple
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum, StrEnum
from fractions import Fraction
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
from hypothesis import given
from hypothesis import strategies as st
from psycopg.types.multirange import Multirange
from psycopg.types.range import Range

from tracewall.masking.config import Method
from tracewall.masking.markers import PLAIN
from tracewall.masking.methods import (
    MAX_DEPTH,
    Fixed,
    MaskFailed,
    fixed_value,
    masker,
)

KEY = b"0123456789abcdef"
Point = namedtuple("Point", ["x", "label"])


class Mood(Enum):
    SAD = "sad"


class StrMood(StrEnum):
    SAD = "sad secret"


METHODS = [
    Method("redact"),
    Method("null"),
    Method("constant", value="42"),
    Method("constant", value="no number at all"),
    Method("constant", value="2024-02-03"),
    Method("partial", keep_first=2, keep_last=3),
    Method("partial"),
    Method("email"),
    Method("hash"),
    Method("date", unit="month"),
    Method("date", unit="hour"),
    Method("number", bucket=10),
    Method("number", bucket=0.25),
]
SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.emails(), st.binary(),
    st.decimals(), st.dates(), st.times(), st.timedeltas(), st.uuids(version=4), st.uuids(),
    st.datetimes(), st.datetimes(timezones=st.just(UTC)), st.ip_addresses(), st.sampled_from(Mood),
    st.sampled_from(StrMood), st.just(IPv4Network("10.0.0.0/8")), st.just(IPv6Interface("::1/64")),
    st.builds(Range, st.integers(), st.none()), st.just(Range(empty=True)),
    st.just(Multirange([Range(1, 2)])), st.text(alphabet=st.characters(categories=["Cs", "Lu"])),
)  # fmt: skip
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.text(max_size=3), inner, max_size=3),
        st.tuples(inner, inner),
        st.builds(Point, inner, inner),
    ),
    max_leaves=8,
)


def mask(method: Method, value: object) -> Any:
    """Mask one value."""
    return masker(method, KEY, "support")(value)


def same_shape(value: object, masked: object) -> bool:
    """Tell whether types are kept (None is always right) and containers have their members."""
    if masked is None:
        return True
    if type(masked) is not type(value):
        return False
    if isinstance(value, dict) and isinstance(masked, dict):
        return list(value) == list(masked) and all(same_shape(value[k], masked[k]) for k in value)
    if isinstance(value, list | tuple) and isinstance(masked, list | tuple):
        pairs = zip(value, masked, strict=True)
        return all(same_shape(left, right) for left, right in pairs)
    return True


@given(VALUES, st.sampled_from(METHODS))
def test_a_masked_value_always_has_the_values_type_or_is_none(
    value: object, method: Method
) -> None:
    """Whatever goes in, what comes out has its type and shape or is None, and nothing is raised."""
    assert same_shape(value, mask(method, value))


@given(st.sampled_from(METHODS))
def test_null_stays_null(method: Method) -> None:
    """NULL tells nothing, so it is shown; inside containers too."""
    assert mask(method, None) is None
    if method.name != "null":
        assert mask(method, [None, {"a": None}]) == [None, {"a": None}]


@given(st.text(min_size=4), st.integers(0, 6), st.integers(0, 6))
def test_partial_never_shows_more_than_it_keeps(text: str, first: int, last: int) -> None:
    """Shown are the ends and a marker of fixed length, or nothing where too little is hidden."""
    masked = mask(Method("partial", keep_first=first, keep_last=last), text)
    whole = text[:first] + PLAIN.middle + (text[-last:] if last else "")
    hidden = len(text) - first - last
    assert masked == (whole if hidden >= 4 and hidden >= first + last else "[redacted]")


@given(
    st.text(alphabet=st.characters(categories=["Lu", "Lo"]), min_size=4),
    st.sampled_from([m for m in METHODS if m.name not in ("partial", "constant")]),
)
def test_nothing_of_a_text_is_ever_left(text: str, method: Method) -> None:
    """No four characters that follow one another survive a mask that keeps none."""
    masked = mask(method, text) or ""
    assert not any(text[at : at + 4] in masked for at in range(len(text) - 3))


@pytest.mark.parametrize(
    ("address", "masked"),
    [
        ("alice@example.com", "a***@example.com"),
        ("ab@example.com", "***@example.com"),
        ("a@b.co", "***@b.co"),
        ("a***@example.com", "a***@example.com"),
        ("***@example.com", "***@example.com"),
        ("Alice <alice@example.com>", "[redacted]"),
        ("alice@localhost", "[redacted]"),
        ("a@b@example.com", "[redacted]"),
        ("secret", "[redacted]"),
        ("alice@example.com\n", "[redacted]"),
        ("x" * 65 + "@example.com", "[redacted]"),
    ],
)
def test_an_email_keeps_its_first_letter_and_domain(address: str, masked: str) -> None:
    """The rest of the name is hidden; a name too short is hidden whole, what is no address too."""
    assert mask(Method("email"), address) == masked


@given(st.one_of(st.text(), st.integers(), st.binary(), st.uuids()))
def test_equal_values_have_equal_pseudonyms(value: object) -> None:
    """Under one key and purpose a value is always hidden as the same one, so joins still work."""
    made = masker(Method("hash"), KEY, "support")(value)
    assert made == masker(Method("hash"), KEY, "support")(value)
    assert made != masker(Method("hash"), KEY, "billing")(value)
    assert made != masker(Method("hash"), b"f" + KEY, "support")(value)


@given(st.lists(st.one_of(st.text(), st.integers(), st.binary()), unique=True, max_size=20))
def test_different_values_have_different_pseudonyms(values: list[object]) -> None:
    """Two values are not hidden as one, and lists are hidden item by item."""
    masked = mask(Method("hash"), values)
    assert len(set(masked)) == len(set(values))


@given(st.integers(), st.uuids())
def test_pseudonyms_are_valid_and_cannot_be_real_small_ids(number: int, unique: UUID) -> None:
    """A number's lies in 2**52 to 2**53, exact as a float; a UUID's is of version 8."""
    assert 2**52 <= mask(Method("hash"), number) < 2**53
    assert mask(Method("hash"), unique).version == 8
    assert mask(Method("hash"), unique).variant == UUID(int=0x8 << 76 | 0x2 << 62).variant


def test_a_texts_pseudonym_is_known_by_its_prefix() -> None:
    """128 bits in hex after ``h_``."""
    assert re.fullmatch(r"h_[0-9a-f]{32}", mask(Method("hash"), "alice"))


@pytest.mark.parametrize("key", [b"", b"short", b"x" * 15])
def test_a_weak_key_is_refused(key: bytes) -> None:
    """Without 16 bytes of key there are no pseudonyms: they could be guessed."""
    with pytest.raises(ValueError, match="16 bytes"):
        masker(Method("hash"), key, "support")


@pytest.mark.parametrize(
    "method",
    [
        Method("partial", keep_first=-1),
        Method("partial", keep_last=-4),
        Method("number"),
        Method("number", bucket=-1),
        Method("number", bucket=float("nan")),
        Method("number", bucket=float("inf")),
        Method("date", unit="week"),  # type: ignore[arg-type]
        Method("rot13"),  # type: ignore[arg-type]
    ],
)
def test_settings_that_make_no_sense_are_refused(method: Method) -> None:
    """A mask that can't hide is refused when it is built, not when a row comes."""
    with pytest.raises(ValueError, match=r"."):
        masker(method, KEY, "support")


@pytest.mark.parametrize(
    ("value", "constant"),
    [
        ("x", "42"), (7, 42), (1.5, 42.0), (Decimal(1), Decimal(42)), (b"x", b"42"), (True, None),
        (UUID(int=1), None), (date(2024, 1, 1), None), (IPv4Address("10.0.0.1"), None),
        (timedelta(1), None), (Mood.SAD, None), ([1, "a"], [42, "42"]), ((1,), (42,)),
    ],
)  # fmt: skip
def test_a_constant_is_given_in_the_values_type(value: object, constant: object) -> None:
    """The policy's text is parsed to the value's type; where it can't be, None is given."""
    assert mask(Method("constant", value="42"), value) == constant


@pytest.mark.parametrize(
    "like",
    ["x", b"x", 1, 1.0, Decimal(1), UUID(int=1), date(2024, 1, 2), time(1), datetime(2024, 1, 2),
     IPv4Address("10.0.0.1"), IPv4Interface("10.0.0.1/8"), IPv4Network("10.0.0.0/8"),
     IPv6Address("::1"), IPv6Interface("::1/64"), IPv6Network("::/64")],
)  # fmt: skip
def test_a_constant_can_be_given_in_each_type(like: object) -> None:
    """Where the policy's text is a value of the column's type, that value is what is shown."""
    text = like.decode() if isinstance(like, bytes) else str(like)
    shown = mask(Method("constant", value=text), like)
    assert (type(shown), shown) == (type(like), like)


def test_a_constant_moment_is_as_aware_as_the_value() -> None:
    """A naive constant takes the value's zone; an aware one is not shown for a naive value."""
    aware = datetime(2024, 5, 17, 9, 30, tzinfo=timezone(timedelta(hours=2)))
    naive = Method("constant", value="2000-01-01T00:00:00")
    assert mask(naive, aware) == datetime(2000, 1, 1, tzinfo=aware.tzinfo)
    assert mask(naive, aware.replace(tzinfo=None)) == datetime(2000, 1, 1)
    zoned = Method("constant", value="2000-01-01T00:00:00+00:00")
    assert mask(zoned, aware.replace(tzinfo=None)) is None


@pytest.mark.parametrize(
    ("unit", "moment", "day"),
    [
        ("hour", datetime(2024, 5, 17, 9, tzinfo=UTC), date(2024, 5, 17)),
        ("day", datetime(2024, 5, 17, tzinfo=UTC), date(2024, 5, 17)),
        ("month", datetime(2024, 5, 1, tzinfo=UTC), date(2024, 5, 1)),
        ("year", datetime(2024, 1, 1, tzinfo=UTC), date(2024, 1, 1)),
    ],
)
def test_dates_are_cut_to_their_unit(unit: Any, moment: datetime, day: date) -> None:
    """Whatever is smaller than the unit is gone, the zone stays."""
    method = Method("date", unit=unit)
    assert mask(method, datetime(2024, 5, 17, 9, 30, 12, 345, tzinfo=UTC)) == moment
    assert mask(method, date(2024, 5, 17)) == day
    assert mask(method, time(9, 30)) is None
    assert mask(method, "2024-05-17") == "[redacted]"


FINITE = st.one_of(
    st.integers(),
    st.floats(allow_nan=False, allow_infinity=False),
    st.decimals(allow_nan=False, allow_infinity=False),
)


@given(FINITE, st.sampled_from([0.1, 0.25, 1, 7, 1000, 2.5, 1e9]))
def test_numbers_are_always_rounded_down_to_a_bucket(
    value: int | float | Decimal, bucket: float
) -> None:
    """The result is at most the value, less than a bucket away, and a multiple of the bucket."""
    masked = mask(Method("number", bucket=bucket), value)
    exact, original, result = (Fraction(repr(number)) if isinstance(number, float) else
                               Fraction(number) for number in (bucket, value, masked))  # fmt: skip
    if isinstance(value, float):
        # Written in binary the multiple may be a hair beside itself.
        assert abs(result - original // exact * exact) <= abs(original) / 10**15 + Fraction(
            1, 10**300
        )
    elif isinstance(value, int):
        assert result == original // exact * exact // 1
    else:
        assert result == original // exact * exact


@pytest.mark.parametrize(
    "value", [float("nan"), float("inf"), Decimal("NaN"), Decimal("-Infinity")]
)
def test_what_no_bucket_holds_is_hidden(value: object) -> None:
    """Infinite and undefined numbers become None."""
    assert mask(Method("number", bucket=10), value) is None


def test_ranges_are_rounded_bound_by_bound_or_hidden() -> None:
    """A bound that is lost hides the range, for without it the range would read as infinite."""
    number = Method("number", bucket=100)
    assert mask(number, Range(123, 456, "[)")) == Range(100, 400, "[)")
    assert mask(number, Range(None, 456)) == Range(None, 400)
    assert mask(number, Range("a", "b")) == Range("[redacted]", "[redacted]")
    assert mask(number, Range(True, 9)) is None
    assert mask(number, Range(empty=True)) is None
    assert mask(Method("redact"), Range(1, 2)) is None
    assert mask(Method("hash"), Multirange([Range(1, 2)])) is None


def test_documents_keep_keys_and_lose_leaves() -> None:
    """JSON keeps its shape; texts are masked, what has no room for a marker is null."""
    value = {"a": ["x", 1, True, None, {"b": 2.5}], "c": ("y", b"z")}
    masked = {
        "a": ["[redacted]", None, None, None, {"b": None}],
        "c": ("[redacted]", b"[redacted]"),
    }
    assert mask(Method("redact"), value) == masked


@pytest.mark.parametrize("method", [m for m in METHODS if m.name != "null"])
def test_nesting_without_end_fails_closed(method: Method) -> None:
    """A value nested too deeply, or into itself, raises `MaskFailed` and nothing else."""
    deep: list[Any] = ["secret"]
    for _ in range(100_000):
        deep = [deep]
    circle: dict[str, Any] = {}
    circle["self"] = circle
    for value in (deep, circle):
        with pytest.raises(MaskFailed):
            masker(method, KEY, "support")(value)
    while deep and isinstance(deep[0], list):
        deep = deep[0]  # taken apart by hand: the interpreter's own way down is recursive
    fitting: Any = "secret"
    for _ in range(MAX_DEPTH):
        fitting = [fitting]
    assert "secret" not in str(masker(method, KEY, "support")(fitting))


class Hostile(str):
    def __eq__(self, other: object) -> bool:
        raise RuntimeError("hunter2")

    __hash__ = str.__hash__


@pytest.mark.parametrize("name", ["partial", "email", "hash", "date", "number"])
@pytest.mark.parametrize(
    "value", [object(), Hostile("hunter2"), {1, 2}, [Hostile("hunter2")], 3 + 4j]
)
def test_unknown_types_fail_closed_and_the_error_tells_nothing(name: Any, value: object) -> None:
    """A type that no rule knows withholds the value; the error holds nothing of it."""
    method = Method(name, keep_first=1, bucket=10)
    with pytest.raises(MaskFailed) as caught:
        mask(method, value)
    assert "hunter2" not in "".join(traceback.format_exception(caught.value))
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None


@given(VALUES, st.sampled_from(METHODS))
def test_what_is_foretold_is_what_comes(value: object, method: Method) -> None:
    """Where `fixed_value` names a type's result, the mask gives it for every value of the type."""
    foretold = fixed_value(method, type(value))
    if foretold is not None:
        assert foretold == Fixed(mask(method, value))


def test_results_that_depend_on_the_value_are_not_foretold() -> None:
    """Only constants are."""
    assert fixed_value(Method("hash"), str) is None
    assert fixed_value(Method("constant", value="x"), list) is None
    assert fixed_value(Method("redact"), str) == Fixed("[redacted]")
    assert fixed_value(Method("redact"), type("New", (), {})) is None
    assert fixed_value(Method("null"), dict) == Fixed(None)


@given(st.text(), st.sampled_from([m for m in METHODS if m.name not in ("hash",)]))
def test_masking_a_masked_text_changes_nothing(text: str, method: Method) -> None:
    """Masks of text are idempotent, all but pseudonyms, which hide what they are given."""
    once = mask(method, text)
    assert mask(method, once) == once


@given(
    st.datetimes(datetime(2, 1, 1), datetime(9998, 1, 1), timezones=st.just(UTC)),
    st.integers(-86_399, 86_399),
    st.sampled_from(("hour", "day", "month", "year")),
)
def test_a_moment_is_cut_the_same_in_every_zone(moment: Any, offset: int, unit: Any) -> None:
    """The zone of the session tells nothing of what was cut off: a cut moment is one instant."""
    method = Method("date", unit=unit)
    elsewhere = moment.astimezone(timezone(timedelta(seconds=offset)))
    assert mask(method, elsewhere) == mask(method, moment)


@pytest.mark.parametrize("bucket", [1000.0, 0.5, 1e20])
def test_a_bucket_tells_nothing_of_the_digits(bucket: float) -> None:
    """Numbers of one bucket look the same, however many digits they were written with."""
    mask = masker(Method("number", bucket=bucket), b"", "p")
    for low, high in (("0", "0.4999999"), ("1e-300", "0.1"), ("-0.25", "-0.0001")):
        assert str(mask(Decimal(low))) == str(mask(Decimal(high)))
    assert mask(Decimal("-1e-300")) == -Decimal(repr(bucket))
    assert mask(Decimal("9" * 400 + ".75")) <= Decimal("9" * 400 + ".75")
