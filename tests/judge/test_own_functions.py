"""Functions of users' own: refused, unless the policy vouches for them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest

from tracewall.policy.decide import decide
from tracewall.policy.model import Decision, Glob, Trust
from tracewall.policy.rights import Rights
from tracewall.sql.catalog import Catalog, Overload
from tracewall.sql.statement import understand

KNOWN = {
    "slug": (Overload("slug", "app", shared=False),),
    "twice": (
        Overload("twice", "app", shared=False),
        Overload("twice", "lib", shared=False),
    ),
    "query_to_xml": (Overload("query_to_xml", "app", shared=True),),
    "far": (Overload("far", "app", visible=False, shared=False),),
}
HELPERS = Trust("helpers", (Glob("app.*"),), (Glob("people", dots=True),))


@pytest.fixture
def called(catalog: Catalog, words: Any) -> Callable[..., Decision]:
    """Give the decision on a statement where users made some functions."""
    beside = dataclasses.replace(catalog, functions=KNOWN)

    def decided(sql: str, *rules: Any, trust: tuple[Trust, ...] = (HELPERS,)) -> Decision:
        policy = dataclasses.replace(words.policy(words.grant(), *rules), functions=trust)
        rights = Rights(policy, beside, frozenset({"people"}))
        return decide(understand(sql.encode(), beside, calls=rights.calls), rights)

    return decided


def test_what_is_vouched_for_may_be_called(called: Any) -> None:
    """With its schema or without, where nothing else can be meant."""
    for sql in ("SELECT slug(name) FROM people", "SELECT id FROM people WHERE app.slug(name) = $1"):
        assert called(sql).allowed, sql
        assert not called(sql, trust=()).allowed
    assert called("SELECT app.far(1)").allowed
    assert called("SELECT slug(name) FROM people").columns[0].lineage == (
        ("shop.people.name", "derived"),
    )


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT lib.slug(name) FROM people",
        "SELECT twice(1)",
        "SELECT query_to_xml('SELECT token FROM people')",
        "SELECT pg_catalog.query_to_xml('SELECT token FROM people')",
        "SELECT far(1)",
        "SELECT nofunction(1)",
        "SELECT app.nofunction(1)",
        "SELECT * FROM app.slug('x')",
        "SELECT db.app.slug('x')",
    ],
)
def test_what_else_could_be_meant_is_refused(called: Any, sql: str) -> None:
    """Another schema, an overload that nobody vouches for, PostgreSQL's own of that name."""
    assert called(sql).outcome == "forbidden"


def test_others_may_not_call_it(called: Any) -> None:
    """A rule holds for its groups."""
    others = dataclasses.replace(HELPERS, groups=(Glob("strangers", dots=True),))
    assert not called("SELECT slug(name) FROM people", trust=(others,)).allowed


def test_its_result_is_computed_from_its_arguments(called: Any, words: Any) -> None:
    """A protected argument is refused as in any expression that may fail."""
    mask = words.mask("shop.people.token", expressions="mask")
    for sql in (
        "SELECT slug(token) FROM people",
        "SELECT app.slug(people) FROM people",
        "SELECT id FROM people WHERE slug(token) = 'a'",
        "SELECT id FROM people ORDER BY slug(token)",
        "SELECT 1 FROM (SELECT slug(token) FROM people) q",
    ):
        assert called(sql, mask).outcome == "forbidden", sql
    assert called("SELECT slug(name), token FROM people", mask).allowed
