"""A statement is laid out for reading, and stays what it is."""

from __future__ import annotations

import re

from hypothesis import example, given
from hypothesis import strategies as st

from tracewall.console.layout import laid_out
from tracewall.sql.grammar import Text, Unparsable

LONG = (
    "select c.name, (select max(x) from o where o.c = c.id and x between 1 and 2) from customers c "
    "left join orders o on o.c = c.id where c.name like 'a  from  b' or c.id = $1 order by c.name"
)
WORDS = [
    *"select from where and or on between join left union $1 ( ) , -- /* */ x 1".split(),
    "'a  b'",
]


def text_of(statement: str) -> str:
    """Give a statement as it is laid out."""
    return "".join(piece.text for piece in laid_out(statement))


def test_clauses_begin_lines() -> None:
    """A long statement in one line gets a line for each clause; what is in brackets is deeper."""
    assert text_of(LONG).split("\n") == [
        "select c.name, (select max(x)",
        "  from o",
        "  where o.c = c.id",
        "    and x between 1 and 2)",
        "from customers c",
        "left join orders o",
        "  on o.c = c.id",
        "where c.name like 'a  from  b'",
        "  or c.id = $1",
        "order by c.name",
    ]


def test_lines_of_the_author_stay() -> None:
    """What is short, or has lines already, is not laid out anew."""
    for statement in (
        "select 1 from a where b",
        LONG.replace(" from customers", "\n from customers"),
    ):
        assert text_of(statement) == statement


def test_parts_are_told_apart() -> None:
    """Words, literals, numbers, parameters and comments look different."""
    pieces = laid_out("select 'a', E'b', $$c$$, 1.5, .5, $1, \"from\" -- why\n/* so */")
    kinds = {piece.text: piece.kind for piece in pieces}
    assert kinds["select"] == "word" and kinds['"from"'] == ""
    assert {kinds[each] for each in ("'a'", "E'b'", "$$c$$")} == {"text"}
    assert {kinds[each] for each in ("1.5", ".5")} == {"number"}
    assert kinds["$1"] == "parameter"
    assert {kinds[each] for each in ("-- why", "/* so */")} == {"comment"}


@given(st.lists(st.sampled_from(WORDS), max_size=60).map(" ".join) | st.text(max_size=200))
@example("select '\ud800'")
@example("'never ended")
def test_only_blanks_change(statement: str) -> None:
    """Whatever the text is: each token stands as it was written, in its order."""
    shown = text_of(statement)
    assert re.sub(r"\s", "", shown) == re.sub(r"\s", "", statement) or "\ud800" in statement
    try:
        sql, out = statement.encode(), shown.encode()
        before = [sql[start:end] for start, end in Text(sql).spans()]
        assert [out[start:end] for start, end in Text(out).spans()] == before
    except (Unparsable, UnicodeEncodeError):
        assert "\ud800" in statement or shown == statement
