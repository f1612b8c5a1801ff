"""The second parser: what it leaves behind."""

from __future__ import annotations

import gc
from typing import Any

import pytest

from tracewall.sql.second_opinion import second_opinion


@pytest.mark.parametrize(
    ("sql", "opinion"),
    [
        ("SELECT a, (SELECT max(b) FROM u) FROM t JOIN u ON t.a = u.a AND t.b = 'h'", "agrees"),
        ("WITH u AS (SELECT 1) SELECT * FROM t, u UNION SELECT 2, 'h' FROM t", "agrees"),
        ("SELECT * FROM t, elsewhere", "contradicts"),
        ("SELECT * FROM t WHERE ((", "silent"),
    ],
)
def test_nothing_is_left_of_a_statement(sql: Any, opinion: Any) -> None:
    """Its trees and tokens need no collector of garbage, and hold no text of the statement."""
    relations = frozenset({"t", "u", "max"})
    for _ in range(3):
        second_opinion("SELECT 1", "select", relations)
    gc.collect()
    before = set(map(id, _of_sqlglot()))
    gc.disable()
    try:
        assert second_opinion(sql, "select", relations) == opinion
        left = [each for each in _of_sqlglot() if id(each) not in before]
    finally:
        gc.enable()
    assert not [each for each in left if type(each).__name__ == "Token"]
    assert opinion == "silent" or not left


def _of_sqlglot() -> list[Any]:
    kinds = ("sqlglot.expressions", "sqlglot.tokenizer_core")
    return [each for each in gc.get_objects() if str(type(each).__module__).startswith(kinds)]
