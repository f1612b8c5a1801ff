"""Pieces of scanned text: refused, unless the policy allows them."""

from __future__ import annotations

from typing import Any

import pytest

PIECES = ["left(notes, 9)", "substr(notes, 2)", "split_part(notes, ' ', 1)"]
PIECES += ["string_to_array(notes, ' ')", "regexp_match(coalesce(notes, name), 'k.*')"]
MORE = ["upper(notes)", "left(upper(notes), 9)", "notes || 'x'", "replace(notes, '-', '')"]
MORE += ["substr(name, ascii(notes))", "reverse(left(notes, 9))", "length(left(notes, 9))"]


@pytest.mark.parametrize("piece", PIECES)
def test_a_piece_is_refused_by_default(judge: Any, words: Any, piece: str) -> None:
    """A piece of a scanned text is refused, and scanned where slices are allowed."""
    grant, sql = words.grant(), f"SELECT {piece} FROM people"
    refused = judge(sql, grant, words.scan("shop.people.notes"))
    assert (refused.outcome, refused.rule) == ("forbidden", "scans.scan")
    allowed = judge(sql, grant, words.scan("shop.people.notes", slices="allow"))
    assert [column.rule for column in allowed.columns] == ["scans.scan"]


@pytest.mark.parametrize("expression", MORE)
def test_what_is_no_piece_stays_refused(judge: Any, words: Any, expression: str) -> None:
    """Where slices are allowed, what changes the characters or measures pieces is refused."""
    allowing = words.scan("shop.people.notes", slices="allow")
    assert not judge(f"SELECT {expression} FROM people", words.grant(), allowing).allowed


def test_every_scan_must_allow_it(judge: Any, words: Any) -> None:
    """Of two scans on a column, the stricter decides."""
    rules = [
        words.scan("shop.people.notes", name=n, slices=s)
        for n, s in (("a", "allow"), ("b", "refuse"))
    ]
    for ordered in (rules, rules[::-1]):
        refused = judge("SELECT left(notes, 9) FROM people", words.grant(), *ordered)
        assert refused.rule == "scans.b"


def test_a_piece_is_not_written_elsewhere(judge: Any, words: Any) -> None:
    """A piece of a scanned text is written only into what is scanned alike."""
    rules = (words.grant("shop.*", "all"), words.scan("shop.people.notes", slices="allow"))
    copy = "INSERT INTO notes (line) SELECT left(notes, 9) FROM people"
    assert not judge(copy, *rules).allowed
    assert judge(copy, *rules, words.scan("shop.notes.line", name="other")).rule == "scans.scan"
    both = words.scan("shop.people.notes shop.notes.line", slices="allow")
    assert judge(copy, words.grant("shop.*", "all"), both).allowed


def test_a_piece_of_a_masked_column_is_no_piece(judge: Any, words: Any) -> None:
    """Slices are about scans: a masked column's piece is refused, or a constant."""
    sql = "SELECT left(token, 3) FROM people"
    assert not judge(sql, words.grant(), words.mask("shop.people.token")).allowed
    constant = judge(sql, words.grant(), words.mask("shop.people.token", expressions="mask"))
    assert constant.columns[0].shows == "redact"
