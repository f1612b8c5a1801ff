"""Where triggers hit: by either engine, at the first place where `re` itself sees one."""

from __future__ import annotations

import re
from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tracewall.masking import automaton, joints, spelling
from tracewall.masking.anchored import anchored
from tracewall.masking.config import Engine
from tracewall.masking.detectors import Detectors, detectors
from tracewall.masking.judging import SHAPES, edge, judged
from tracewall.masking.shape import Judge, Shape

EVERY = {
    **{f"{name}-{at}": each for name, some in SHAPES.items() for at, each in enumerate(some)},
    **{f"joint-{at}": each for at, each in enumerate(joints.SHAPES)},
    "base64": spelling.BASE64,
    "soft break": spelling.SOFT_BREAK,
}
ENGINES = {"builtin": anchored, "re2": automaton.alternation}
# What tells a number's edge, a word's, an escape's and a line's, and what digits are grouped by.
AROUND = st.lists(
    st.sampled_from([bytes([byte]) for byte in b"_\\nrtbfxA09 .-:[(/@=<*'"])
    | st.sampled_from(
        [b"\\n", b"\\\\t", b"\\_", b"n_", b"\n", b"12 ", b"a1", b"\xc3\xa9", b"--", b"::"]
    )
    | st.binary(max_size=2),
    max_size=4,
).map(b"".join)


def hits(shape: Shape) -> st.SearchStrategy[bytes]:
    """Give what a shape's trigger matches."""
    return st.from_regex(re.compile(shape.trigger), fullmatch=True)


def first(shapes: list[Shape], data: bytes, position: int, end: int) -> int:
    """Give where a trigger hits first, as `re` alone sees it, or -1."""
    found = [re.compile(shape.trigger).search(data, position, end) for shape in shapes]
    return min((hit.start() for hit in found if hit), default=-1)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("shape", EVERY.values(), ids=EVERY)
@settings(max_examples=50, deadline=None)
@given(st.data())
def test_an_engine_always_sees_what_a_trigger_matches(
    engine: str, shape: Shape, data: st.DataObject
) -> None:
    """No anchor, reach or edge is narrower than its trigger; the judge answers within the text."""
    if engine == "re2":
        pytest.importorskip("re2", reason="needs google-re2, the extra 'detect'")
    text = data.draw(AROUND) + data.draw(hits(shape)) + data.draw(AROUND)
    position = data.draw(st.integers(0, len(text)))
    end = data.draw(st.sampled_from([len(text), len(text), max(position, len(text) - 3)]))
    following = ENGINES[engine]([shape])(text)
    assert following(0, len(text)) == first([shape], text, 0, len(text))
    assert following(position, end) == first([shape], text, position, end)
    if (hit := following(0, len(text))) >= 0:
        verdict = judged(((shape.judge,),) * 256, text, hit, 0)
        if isinstance(verdict, int):
            assert verdict > hit
        else:
            assert 0 <= verdict[0] < verdict[1] <= len(text)


@pytest.mark.parametrize("text", [b"0tLS0tQkVHSU", b"0b2tlbj"])
def test_an_anchor_that_begins_with_a_digit_is_no_number(text: bytes) -> None:
    """A private key's first line and `token`, as they stand in base64 from a third byte on."""
    assert anchored([EVERY["base64"]])(b" " + text)(0, len(text) + 1) == 1


@pytest.mark.parametrize("name", ["ip-0", "ip-1", "iban-0"])
def test_the_edge_of_a_number_is_that_of_its_trigger(name: str) -> None:
    """Whichever two signs stand before it: escapes, underscores, letters, figures, none of them."""
    number = {"ip-0": b"10.1.2.3", "ip-1": b"2001:db8::1", "iban-0": b"DE89370400440532013000"}
    signs = [b"", *(bytes([byte]) for byte in b"\\_nrtbfx9. ")]
    for before in (one + other for one in signs for other in signs):
        text = b" " + before + number[name]
        found = anchored([EVERY[name]])(text)
        for start in range(len(text)):
            told = first([EVERY[name]], text, start, len(text))
            assert found(start, len(text)) == told, (before, start)


@cache
def made(engine: Engine) -> Detectors:
    """Give all detectors; whoever changes the modules while this runs clears caches."""
    return detectors(("*",), engine=engine)


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_both_engines_always_find_the_same_in_what_triggers_match(data: st.DataObject) -> None:
    """Hits of several kinds side by side, and whatever stands between them, are judged alike."""
    pytest.importorskip("re2", reason="needs google-re2, the extra 'detect'")
    shapes = st.sampled_from([*EVERY.values()])
    parts = data.draw(st.lists(st.one_of(AROUND, shapes.flatmap(hits)), max_size=5))
    text = b"".join(parts).decode(errors="ignore")
    assert made("builtin").find(text) == made("re2").find(text)
    assert made("builtin").mask(text) == made("re2").mask(text)


@pytest.mark.parametrize("shape", EVERY.values(), ids=EVERY)
@settings(max_examples=50, deadline=None)
@given(st.data())
def test_a_judge_is_always_asked_where_its_trigger_hits(shape: Shape, data: st.DataObject) -> None:
    """What a trigger matches begins, after an edge that is left out, with a byte of its judge."""
    hit, asked = data.draw(hits(shape)), list[int]()
    judge: Judge = lambda data, start, floor: asked.append(start)  # noqa: E731  # a list's None
    judged(tuple((judge,) if byte in shape.starts else () for byte in range(256)), hit, 0, 0)
    assert asked


@pytest.mark.parametrize("verdicts", [(5, 9), (9, 5), (None, 5), (5, None), (9, 5, 7)])
def test_reading_goes_on_at_the_nearest_place(verdicts: tuple[int | None, ...]) -> None:
    """Where several judges tell how far nothing begins, no more is passed over than all allow."""
    judges = tuple(lambda data, start, floor, told=told: told for told in verdicts)
    assert judged((judges,) * 256, b"a" * 20, 0, 0) == 5
    assert judged((judges,) * 256, b"a" * 20, 8, 0) == 9


@given(st.text(), st.data())
def test_a_character_is_never_cut(text: str, data: st.DataObject) -> None:
    """From anywhere in a text's bytes the edges found are those of the character there."""
    encoded = text.encode()
    at = data.draw(st.integers(0, len(encoded)))
    edges = {len(text[:each].encode()) for each in range(len(text) + 1)}
    assert edge(encoded, at, -1) == max(each for each in edges if each <= at)
    assert edge(encoded, at, 1) == min(each for each in edges if each >= at)
