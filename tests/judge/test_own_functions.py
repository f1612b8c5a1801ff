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
OPERATORS = {
    "<=>": (Overload("<=>", "app", least=2, most=2, shared=False),),
    "<#>": (
        Overload("<#>", "app", least=2, most=2, shared=False),
        Overload("<#>", "lib", least=2, most=2, shared=False),
    ),
    # PostgreSQL has these too.
    "<->": (Overload("<->", "app", least=2, most=2),),
    "=": (Overload("=", "app", visible=False, least=2, most=2),),
    "<": (Overload("<", "app", least=2, most=2),),
    "->": (Overload("->", "app", least=2, most=2),),
}
HELPERS = Trust("helpers", (Glob("app.*"),), (Glob("people", dots=True),))


@pytest.fixture
def called(catalog: Catalog, words: Any) -> Callable[..., Decision]:
    """Give the decision on a statement where users made some functions."""
    beside = dataclasses.replace(catalog, functions=KNOWN, operators=OPERATORS)

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


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT id FROM people ORDER BY name <=> $1 LIMIT 5",
        "SELECT name OPERATOR(app.<=>) $1 FROM people",
        "SELECT id FROM people WHERE name <=> ANY($1)",
        "SELECT name <-> $1 FROM people",
        "SELECT name OPERATOR(app.=) $1 FROM people",
    ],
)
def test_an_operator_is_vouched_for_as_a_function_is(called: Any, sql: str) -> None:
    """It computes from its operands; without a rule it is refused."""
    assert called(sql).allowed
    assert not called(sql, trust=()).allowed


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT name <#> $1 FROM people",
        "SELECT name OPERATOR(lib.<#>) $1 FROM people",
        "SELECT name OPERATOR(pg_catalog.<=>) $1 FROM people",
        "SELECT id FROM people WHERE name < $1",
        "SELECT (name::json) -> $1 FROM people",
        "SELECT name <~> $1 FROM people",
    ],
)
def test_another_operator_that_could_be_meant_is_refused(called: Any, sql: str) -> None:
    """An overload that nobody vouches for, PostgreSQL's own of that name, none at all."""
    assert called(sql).outcome == "forbidden"


def test_an_operators_result_is_computed(called: Any, words: Any) -> None:
    """A protected operand is refused as in any expression, wherever it stands."""
    mask = words.mask("shop.people.token", expressions="mask")
    for sql in (
        "SELECT token <=> $1 FROM people",
        "SELECT id FROM people ORDER BY token <=> $1",
        "SELECT id FROM people WHERE (token OPERATOR(app.<=>) $1) < 1",
        "SELECT id FROM people WHERE token OPERATOR(app.=) $1",
        "SELECT id FROM people WHERE (people OPERATOR(app.<=>) $1) < 1",
    ):
        assert called(sql, mask).outcome == "forbidden", sql
    assert called("SELECT token FROM people ORDER BY name <=> $1", mask).allowed


def test_a_value_of_a_users_type_may_be_anything(catalog: Catalog, words: Any) -> None:
    """What a function vouched for returns may be of a type that a user's operator takes."""
    made = {"mk": (Overload("mk", "app", result=20_000, shared=False),)}
    taken = {"<": (Overload("<", "lib", least=2, most=2, apart=(True, False)),)}
    beside = dataclasses.replace(catalog, functions=made, operators=taken)
    policy = dataclasses.replace(words.policy(words.grant()), functions=(HELPERS,))
    rights = Rights(policy, beside, frozenset({"people"}))
    for sql, allowed in (
        ("SELECT id FROM people WHERE id < 3", True),
        ("SELECT id FROM people WHERE mk(1) < 3", False),
    ):
        found = decide(understand(sql.encode(), beside, calls=rights.calls), rights)
        assert found.allowed is allowed, sql
