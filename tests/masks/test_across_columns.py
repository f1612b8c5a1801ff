"""Keys that are cut by the boundary of two columns of a row are hidden in both."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from psycopg.rows import class_row, dict_row, scalar_row

from tracewall.copy_rows import cover
from tracewall.masking.detectors import detectors
from tracewall.masking.joined import KEYS, crossing, joining, without
from tracewall.shield import Veil
from tracewall.sql.copying import CopyFormat
from tracewall.testing import Bench, FakeBackend

KEY = "ghp_" + "aZ3kQ9xW7vB2nM5tR8yU1iO4pL6sD0fG3hJk"
TABLES = {"app.notes": {"id": "int8", "head": "text", "body": "text", "tail": "text", "n": "int8"}}
POLICY = """
version = 1
[[issuers]]
issuer = "https://idp.test"
audience = "app"
keys = "k.json"
[[grants]]
name = "read"
groups = ["g"]
actions = ["select"]
tables = ["app.notes"]
[[scans]]
name = "texts"
columns = ["app.notes.head", "app.notes.body", "app.notes.tail"]
{more}
"""
SELECT = "select head, body, tail from app.notes"


def leaks(shown: object) -> bool:
    """Tell whether eight characters of the key in a row are readable."""
    text = repr(shown)
    return any(KEY[at : at + 8] in text for at in range(4, len(KEY) - 8))


@pytest.fixture
def fetched(tmp_path: Path) -> Iterator[Any]:
    """Give what a guarded cursor shows of scripted rows."""
    with FakeBackend(TABLES) as backend:

        def fetch(rows: list[Any], sql: str = SELECT, more: str = "", **options: Any) -> list[Any]:
            (tmp_path / "policy.toml").write_text(POLICY.format(more=more))
            backend.reset()
            backend.on(sql).rows(rows)
            with Bench.load(tmp_path / "policy.toml", backend) as bench:
                with bench.connect("g") as conn:
                    cursor = conn.cursor(**options)
                    cursor.execute(sql)
                    return [cursor.fetchone(), *cursor.fetchmany(1), *cursor.fetchall()]

        yield fetch


@pytest.mark.parametrize("binary", [False, True])
@pytest.mark.parametrize("cut", [2, 5, 12, 20, len(KEY) - 2])
def test_a_key_cut_in_two_is_hidden_in_both(fetched: Any, cut: int, binary: bool) -> None:
    """Wherever a key is cut, neither half of it is readable; the words beside it are."""
    row = (f"the key is {KEY[:cut]}", f"{KEY[cut:]} and more", "clear")
    for shown in fetched([row] * 3, binary=binary):
        assert not leaks(shown)
        assert shown == ("the key is [github]", "[github] and more", "clear")


def test_a_key_in_a_later_row_of_a_stream_is_hidden(tmp_path: Path) -> None:
    """Each row of a stream is a result of its own, and is searched as such."""
    rows = [("clear", "words", "here"), (f"a {KEY[:12]}", f"{KEY[12:]} b", "c")]
    (tmp_path / "policy.toml").write_text(POLICY.format(more=""))
    with FakeBackend(TABLES) as backend:
        backend.on(SELECT).rows(rows)
        with Bench.load(tmp_path / "policy.toml", backend) as bench, bench.connect("g") as conn:
            shown = list(conn.cursor().stream(SELECT))
    assert shown == [rows[0], ("a [github]", "[github] b", "c")]


def test_a_key_over_three_columns_is_hidden_in_all(fetched: Any) -> None:
    """The piece in the middle is hidden whole."""
    (shown, *_) = fetched([(f"a {KEY[:10]}", KEY[10:20], f"{KEY[20:]} b")])
    assert shown == ("a [github]", "[github]", "[github] b")


def test_nothing_else_changes(fetched: Any) -> None:
    """NULL, empty and clear texts stay, and finds inside one text are masked as ever."""
    rows = [
        (None, None, None),
        ("", "", ""),
        ("call", "ann@example.com", None),
        ("12345678", "90123456", "2024"),
    ]
    assert fetched(rows) == [rows[0], rows[1], ("call", "[email]", None), rows[3]]
    assert leaks(fetched([(KEY[:20], None, KEY[20:])])) is False


def test_long_texts_are_searched_at_their_edges(fetched: Any) -> None:
    """A key at the end of a long text and the beginning of another is hidden."""
    (shown, *_) = fetched([("x " * 5000 + KEY[:15], KEY[15:] + " y" * 5000, "")])
    assert not leaks(shown)
    assert shown[0].startswith("x x") and shown[1].endswith("y y")


@pytest.mark.parametrize("options", ["", " (format csv)", " (format binary)"])
def test_copy_hides_what_is_cut(tmp_path: Path, options: str) -> None:
    """COPY hides the two halves too, in each format."""
    veils = {at: Veil("scans.texts", masked, joins=FOUND_BY) for at in (0, 1)}
    kind = options.removeprefix(" (format ").removesuffix(")")
    first, second = f"x {KEY[:15]}".encode(), f"{KEY[15:]} y".encode()
    if kind == "binary":
        sized = b"".join(len(each).to_bytes(4, "big") + each for each in (first, second))
        row = b"PGCOPY\n\xff\r\n\0" + bytes(8) + (2).to_bytes(2, "big") + sized
        spelling = CopyFormat("binary")
    else:
        between = b"," if kind == "csv" else b"\t"
        row = first + between + second + b"\n"
        spelling = CopyFormat("csv", ",", "") if kind == "csv" else CopyFormat()
    shown = cover(spelling, [25, 25], veils, None)(row)
    assert not leaks(shown.decode("latin1"))
    assert b"x [github]" in shown and b"[github] y" in shown


@pytest.mark.parametrize("factory", [dict_row, scalar_row, class_row(dict)])
def test_row_factories_see_masked_rows_only(fetched: Any, factory: Any) -> None:
    """Whatever makes the rows gets them hidden."""
    assert not leaks(fetched([(KEY[:15], KEY[15:], "")], row_factory=factory))


def test_columns_that_are_apart_are_not_joined(fetched: Any) -> None:
    """Texts with another column between them are not side by side: documented as not found."""
    sql = "select head, n, body from app.notes"
    assert fetched([("see 12", 3, "45")], sql)[0] == ("see 12", 3, "45")


def test_it_can_be_switched_off(fetched: Any) -> None:
    """With across = false each column is searched by itself."""
    row = (KEY[:15], KEY[15:], "")
    assert fetched([row], more="across = false")[0] == row


def test_only_keys_are_joined() -> None:
    """Numbers side by side make no payment card; what a scan does not look for is not joined."""
    assert joining(("*",)) == tuple(sorted(KEYS))
    assert joining(("card", "email")) == ()
    found_by = detectors(joining(("*",)))
    assert crossing(["41111111", "11111111"], found_by) == [[], []]


@given(st.lists(st.text(max_size=20), min_size=2, max_size=5), st.data())
def test_a_planted_key_is_never_readable(texts: list[str], data: st.DataObject) -> None:
    """However a key is spread over columns that stand side by side, it is hidden in each."""
    found_by = FOUND_BY
    cut = data.draw(st.integers(1, len(KEY) - 1))
    at = data.draw(st.integers(0, len(texts) - 2))
    spread = [*texts]
    spread[at], spread[at + 1] = f"{texts[at]} {KEY[:cut]}", f"{KEY[cut:]} {texts[at + 1]}"
    shown = [
        without(text, spans, lambda value: found_by.mask(str(value))[0])
        for text, spans in zip(spread, crossing(spread, found_by), strict=True)
    ]
    assert not leaks(shown)


FOUND_BY = detectors(joining(("*",)))


def masked(value: object) -> object:
    return FOUND_BY.mask(str(value))[0]
