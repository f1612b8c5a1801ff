"""Globs: what a star stands for."""

from __future__ import annotations

import re
import time

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tracewall.policy.load import loads
from tracewall.policy.model import Glob

PATTERNS = st.text(st.sampled_from("ab.*"), max_size=8)
NAMES = st.text(st.sampled_from("ab.\n"), max_size=10)


@settings(max_examples=500, deadline=None)
@given(PATTERNS, NAMES, st.booleans())
@example("*.b*a.*", "a.ba.", False)
def test_glob_agrees_with_a_plain_regex(pattern: str, name: str, dots: bool) -> None:
    """A star is any run of characters but a dot, or of any characters where names have dots."""
    any_run = "[^.]*" if not dots else r"[\s\S]*"
    plain = any_run.join(map(re.escape, pattern.split("*")))
    assert Glob(pattern, dots=dots).matches(name) == bool(re.fullmatch(plain, name))


@pytest.mark.parametrize("dots", [False, True])
def test_many_stars_stay_cheap(dots: bool) -> None:
    """No number of stars makes a long name, which may come from a token, expensive."""
    for stars, length in [(5, 120), (60, 10_000)]:
        glob = Glob("*a" * stars + "b", dots=dots)
        started = time.perf_counter()
        assert not glob.matches("a" * length)
        assert time.perf_counter() - started < 1


@pytest.mark.parametrize("group", ["analysts", "org.team.analysts", "/team/a b", "a\nb", ""])
def test_everybody_is_everybody(group: str) -> None:
    """A denial for all groups holds for groups whose names have dots, blanks or line breaks."""
    policy = loads('version = 1\n[[denials]]\ntables = ["s.t"]')
    assert policy.denials[0].groups[0].matches(group)


def test_written_star_is_everybody() -> None:
    """A star that is written in groups crosses dots like the one by default."""
    policy = loads('version = 1\n[[denials]]\ngroups = ["*"]\ntables = ["s.t"]')
    assert policy.denials[0].groups[0].matches("org.team")
    assert not policy.denials[0].tables[0].matches("s.t.u")


@settings(max_examples=500, deadline=None)
@given(PATTERNS, NAMES, NAMES, NAMES)
@example("a.b.c", "a", "b", "c")
@example("*.*.*", "a.b", "", "c")
@example("*.*", "a", "b", "c")
def test_what_reaches_a_column_begins_with_its_table(
    pattern: str, schema: str, table: str, column: str
) -> None:
    """A pattern that reaches a column is among those on its table; none is that has other parts."""
    glob = Glob(pattern)
    assert glob.begins(schema, table) or not glob.reaches(schema, table, column)
    assert glob.text.count(".") == 2 or not glob.begins(schema, table)


def test_a_pattern_is_no_more_than_its_text_and_its_dots() -> None:
    """Where the policy has it makes no difference; without being told a star stops at dots."""
    assert (Glob("*").line, Glob("*").column, Glob("*").dots) == (0, 0, False)
    assert Glob("a.*", 1, 2) == Glob("a.*", 3, 4) and hash(Glob("a", 1)) == hash(Glob("a", 2))
    assert Glob("a.*") != Glob("a.*", dots=True)
    assert not Glob("a.*").matches("a.b.c") and Glob("a.*", dots=True).matches("a.b.c")


def test_a_part_of_a_pattern_reaches_names_with_dots() -> None:
    """What takes or hides is not escaped by a dot in a name."""
    assert Glob("s.*").reaches("s", "a.b") and Glob("*.t").reaches("a.b", "t")
    assert not Glob("s.*").reaches("s", "a", "b") and not Glob("s.t*").reaches("s", "a.t")
    assert Glob("s.*.c").begins("s", "a.b") and not Glob("s.*").begins("s", "a.b")
