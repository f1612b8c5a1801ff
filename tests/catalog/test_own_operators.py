"""Operators of an extension or a user, over a real server: refused, unless the policy vouches."""

from __future__ import annotations

from typing import Any

import pytest

import tracewall

TRUST = """
[[functions]]
name = "distance"
functions = ["public.<=>", "public.<->"]
"""
MADE = (
    "CREATE FUNCTION public.apart(text, text) RETURNS int IMMUTABLE LANGUAGE sql"
    " AS 'SELECT abs(length($1) - length($2))'",
    "CREATE OPERATOR public.<=> (LEFTARG = text, RIGHTARG = text, FUNCTION = public.apart)",
    "CREATE OPERATOR public.<-> (LEFTARG = text, RIGHTARG = text, FUNCTION = public.apart)",
)
NEAREST = "SELECT name FROM shop.people ORDER BY name {} %s, id LIMIT 1"


def test_rows_are_ordered_by_a_distance(shop: Any) -> None:
    """What is vouched for computes, by a name that PostgreSQL has too or by one of its own."""
    shop.change(*MADE)
    with shop.wall() as wall, tracewall.connect(wall=wall, token=shop.token()) as conn:
        with pytest.raises(tracewall.Unreadable):
            conn.execute(NEAREST.format("<=>"), ("bob",))
    with shop.wall(more=TRUST) as wall:
        with tracewall.connect(wall=wall, token=shop.token()) as conn:
            for name in ("<=>", "<->", "OPERATOR(public.<=>)"):
                assert conn.execute(NEAREST.format(name), ("bob",)).fetchone() == ("ada",)


def test_no_operator_tells_of_what_is_masked(shop: Any) -> None:
    """A masked operand is refused as in any expression, wherever the operator stands."""
    shop.change(*MADE)
    with shop.wall(more=TRUST) as wall:
        with tracewall.connect(wall=wall, token=shop.token()) as conn:
            for query in (
                "SELECT secret <=> 'a' FROM shop.people",
                "SELECT id FROM shop.people WHERE token <-> 'a' > 1",
                "SELECT id FROM shop.people ORDER BY secret <=> %s",
                "SELECT id FROM shop.people WHERE secret OPERATOR(public.<=>) ANY (%s) = 1",
                "SELECT p.id FROM shop.people p JOIN shop.other o ON p.secret <=> o.name = 0",
                "UPDATE shop.other SET id = p.secret <=> 'a' FROM shop.people p RETURNING other.id",
            ):
                with pytest.raises(tracewall.Forbidden):
                    conn.execute(query, (("a",),) if "%s" in query else None)
                conn.rollback()
