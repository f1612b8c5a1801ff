"""What lies at the places that paths lead to is masked, wherever it was put; nothing else is."""

from __future__ import annotations

import json
from collections import namedtuple
from typing import Any

import pytest

from tracewall.masking.config import DETECTORS, Method, Pattern, Replacement
from tracewall.masking.documents import SECRET
from tracewall.masking.markers import PLAIN
from tracewall.masking.methods import MAX_DEPTH, MaskFailed
from tracewall.masking.paths import PathInvalid, parsed, path_mask
from tracewall.masking.placeholders import placeholders
from tracewall.masking.replacing import OVERSIZED, marks, within

Pair = namedtuple("Pair", "left right")


def whole(value: Any, *paths: str) -> Any:
    """Mask a document."""
    return path_mask(paths, lambda _: "-").whole(value)


@pytest.mark.parametrize(
    ("paths", "value", "made", "count"),
    [
        (["$.a"], {"a": 1, "b": 2}, {"a": "-", "b": 2}, 1),
        (["$.a"], {"b": {"a": 1}}, {"b": {"a": 1}}, 0),
        (["$.a"], {"a": None}, {"a": None}, 0),
        (["$.a"], {"a": {"b": [1]}}, {"a": "-"}, 1),
        (["$.a"], [{"a": 1}, {"a": 2, "b": 3}], [{"a": "-"}, {"a": "-", "b": 3}], 2),
        (["$.a"], [[{"a": 1}]], [[{"a": "-"}]], 1),
        (['$."a b"'], {"a b": 1, "a": 2}, {"a b": "-", "a": 2}, 1),
        (['$."a\\"b"'], {'a"b': 1}, {'a"b': "-"}, 1),
        (["$.*.a"], {"x": {"a": 1}, "y": {"b": 1}}, {"x": {"a": "-"}, "y": {"b": 1}}, 1),
        (["$.*.a"], {"a": 1}, {"a": 1}, 0),
        (["$..a"], {"a": 1, "b": [{"c": {"a": 2}}]}, {"a": "-", "b": [{"c": {"a": "-"}}]}, 2),
        (["$..a.b"], {"x": {"a": {"b": 1, "c": 2}}}, {"x": {"a": {"b": "-", "c": 2}}}, 1),
        (["$.a[0]"], {"a": [1, 2]}, {"a": ["-", 2]}, 1),
        (["$.a[1]"], {"a": [1, 2]}, {"a": [1, "-"]}, 1),
        (["$.a[2]"], {"a": [1, 2]}, {"a": [1, 2]}, 0),
        (["$.a[*]"], {"a": [1, 2]}, {"a": ["-", "-"]}, 2),
        (["$.a[*].b"], {"a": [{"b": 1}, {"c": 1}]}, {"a": [{"b": "-"}, {"c": 1}]}, 1),
        (["$[0].a"], [{"a": 1}, {"a": 2}], [{"a": "-"}, {"a": 2}], 1),
        (["$.a", "$.b"], {"a": 1, "b": 2, "c": 3}, {"a": "-", "b": "-", "c": 3}, 2),
        (["$.a"], ({"a": 1}, 2), ({"a": "-"}, 2), 1),
        (["$.a"], Pair({"a": 1}, 2), Pair({"a": "-"}, 2), 1),
        (["$.a"], 7, 7, 0),
        (["$.a"], None, None, 0),
        (["$.a"], "no document", "-", 1),
        (["$.a"], '{"a": 1, "b": 2}', '{"a":"-","b":2}', 1),
        (["$.a"], '{"b": 2}', '{"b": 2}', 0),
        (["$.a"], '{"a": 1', "-", 1),
        (["$.b.a"], {"b": '{"a": 1}'}, {"b": '{"a":"-"}'}, 1),
        (["$.b.a"], {"b": '{"a": 1'}, {"b": "-"}, 1),
        (["$.b.a"], {"b": "plain words"}, {"b": "plain words"}, 0),
        (["$.b.a"], {"b": '{"a": 1, "a": 2}'}, {"b": '{"a":"-"}'}, 1),
        (["$.b.a"], '{"b": {"a": 1}, "b": 5}', '{"b":5}', 1),
        (["$.b.a"], '{"b": 5}', '{"b": 5}', 0),
        (["$.a[1]"], {"a": [[5, 6]]}, {"a": [[5, 6]]}, 0),
        (["$.a"], '{"a": 1, "é": "é"}', '{"a":"-","é":"é"}', 1),
        (["$.a"], '{"a": 1, "c": "\\u00e9"}', '{"a":"-","c":"\\u00e9"}', 1),
    ],
)
def test_what_paths_lead_to_is_masked(paths: list[str], value: Any, made: Any, count: int) -> None:
    """A path's places are masked whole and counted; all else comes back as it was."""
    told = whole(value, *paths)
    assert told == (made, count)
    assert type(told[0]) is type(made)


@pytest.mark.parametrize(
    ("path", "value", "made", "count"),
    [
        ("$.a.b", {"b": 1}, {"b": 1}, 0),
        ("$.a.b", {"a": {"b": 1, "c": 2}}, {"a": {"b": "-", "c": 2}}, 1),
        ("$.*.b", {"b": 1, "c": {"b": 2}}, {"b": "-", "c": {"b": "-"}}, 2),
        ("$[*].b", {"b": 1}, {"b": "-"}, 1),
        ("$[1].b", [{"b": 1}, {"b": 2}], [{"b": "-"}, {"b": "-"}], 2),
        ("$..a.b", {"a": {"b": 1}}, {"a": {"b": "-"}}, 1),
        ("$.a", [[{"a": 1}]], [[{"a": "-"}]], 1),
        ("$.a[1]", {"a": [[5, 6]]}, {"a": [[5, "-"]]}, 1),
        ("$.a[*].b", {"a": [[{"b": 1, "c": 2}]]}, {"a": [[{"b": "-", "c": 2}]]}, 1),
        ("$.a", "words", "words", 0),
    ],
)
def test_a_part_is_masked_by_all_that_may_lead_on(
    path: str, value: Any, made: Any, count: int
) -> None:
    """What was taken out without naming a key may be at any place before the first name."""
    assert path_mask([path], lambda _: "-").part(value) == (made, count)


@pytest.mark.parametrize("kind", [list, dict])
def test_what_is_nested_too_deep_is_not_given_out(kind: type) -> None:
    """Nesting is followed to its limit, and fails beyond it."""

    def nested(depth: int) -> Any:
        value: Any = {"a": 1}
        for _ in range(depth):
            value = [value] if kind is list else {"b": value}
        return value

    assert whole(nested(MAX_DEPTH - 1), "$..a")[1] == 1
    for depth in (MAX_DEPTH, MAX_DEPTH + 1, 2 * MAX_DEPTH):
        with pytest.raises(MaskFailed):
            whole(nested(depth), "$..a")


def test_a_document_in_a_text_is_one_step_deeper() -> None:
    """A text at the limit of nesting is masked still, and the one below it is not given out."""
    value: Any = json.dumps({"a": [1]})
    for _ in range(MAX_DEPTH - 2):
        value = [value]
    assert whole(value, "$.a")[1] == 1
    with pytest.raises(MaskFailed):
        whole([[value]], "$.a")


@pytest.mark.parametrize(
    "path", ["a", "$", "$[0]", "$.*", "$[*]", "$..*", "$.a.", "$.a b", "$[a]", "$[-1]", '$."a']
)
def test_what_is_no_path_is_refused(path: str) -> None:
    """A path is read whole and names a key, or it is none."""
    with pytest.raises(PathInvalid) as caught:
        parsed(path)
    if not path.startswith("$"):
        assert caught.value.position == 0


def test_a_path_has_so_many_steps_at_most() -> None:
    """32 steps are read, 33 are not."""
    assert len(parsed("$" + ".a" * 32)) == 32
    with pytest.raises(PathInvalid, match="at most 32"):
        parsed("$" + ".a" * 33)


# --- what a scan puts in place of finds ---------------------------------------------


def finds(text: str, *names: str, own: tuple[str, ...] = (), replaced: Any = ()) -> bool:
    """Tell whether a text holds what a scan of some detectors puts in place of finds."""
    patterns = [Pattern(name, "x") for name in own]
    return bool(placeholders(names, patterns, replaced).search(text.encode()))


def test_the_words_of_a_scan_are_known_again() -> None:
    """Each of its own detectors' words, and those for what is secret or too long; no others."""
    first, second = sorted(DETECTORS)[:2]
    for word in (f"[{first}]", "[mine]", SECRET, OVERSIZED):
        assert finds(f"a {word} b", first, own=("mine",)), word
    for word in (f"[{second}]", "[theirs]", "mine", first):
        assert not finds(f"a {word} b", first, own=("mine",)), word
    assert all(finds(f"[{name}]", "*") for name in DETECTORS)


@pytest.mark.parametrize(
    ("method", "hit", "missed"),
    [
        (Method("constant", value="gone"), "gone", "[{}]"),
        (Method("constant", value="a.c."), "a.c.", "abcd"),
        (Method("constant", value="abc"), "[secret]", "abc"),
        (Method("hash"), "h_" + "0" * 32, "h_" + "0" * 31 + "g"),
        (Method("partial"), PLAIN.middle, "[{}]"),
        (Method("redact"), PLAIN.whole, "[{}]"),
        (Method("email"), f"a{PLAIN.local}@b.test", "a@b.test"),
    ],
)
def test_the_words_of_a_replacement_are_known_again(method: Method, hit: str, missed: str) -> None:
    """What a method puts in a find's place is looked for instead of the detector's word."""
    name = sorted(DETECTORS)[0]
    replaced = [Replacement((name,), method)]
    assert finds(f"a {SECRET if hit == '[secret]' else hit} b", name, replaced=replaced)
    assert not finds(f"a {missed.format(name)} b", name, replaced=replaced)


def test_a_pseudonym_of_a_find_stays_and_no_other_text_does() -> None:
    """Only a hash leaves alone what looks like a pseudonym; each detector has its own method."""
    made = marks(
        (
            Replacement(("email", "phone"), Method("hash")),
            Replacement(("card",), Method("constant", value="gone")),
        ),
        b"k" * 32,
        "p",
    )
    assert set(made) == {"email", "phone", "card"}
    pseudonym = made["email"]("a@b.test")
    assert pseudonym.startswith("h_") and made["email"](pseudonym) == pseudonym
    assert made["email"](f"{pseudonym} ") != f"{pseudonym} "
    assert made["card"](pseudonym) == "gone"


def test_a_mark_that_is_no_text_fails() -> None:
    """A method that gives no text for a find leaves nothing in its place."""
    made = marks((Replacement(("email",), Method("null")),), b"", "p")
    with pytest.raises(MaskFailed):
        made["email"]("a@b.test")


@pytest.mark.parametrize(
    "value", ["abcd", ["ab", "cd"], {"ab": "cd"}, ("ab", ["c", {"d": 1}]), {"a": ["b", ("cd",)]}]
)
def test_the_texts_of_a_value_are_measured_together(value: Any) -> None:
    """Keys and values, however nested, have so many characters at most."""
    assert within(value, 4) is True
    assert within(value, 3) is False
    assert json.dumps(value) and within(7, 0) is True
