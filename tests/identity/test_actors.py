"""Who acts for another (RFC 8693): a chain of actors may do what each of its links may."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracewall.identity import (
    Actor,
    ActorRights,
    Principal,
    Rejection,
    TrustedIssuer,
    Verifier,
)
from tracewall.policy.load import loads
from tracewall.policy.model import Grant
from tracewall.policy.rights import Rights
from tracewall.sql.catalog import Attribute, Catalog, Relation

NOW = 1_800_000_000.0
Verify = Callable[..., Principal | Rejection]


@pytest.fixture
def verify(ring: Any, trusted: TrustedIssuer) -> Verify:
    """Verify a token with that ``act``, where agents named agent-* are known."""
    known = [
        ActorRights(lambda name: name.startswith("agent-"), frozenset({"agents"})),
        ActorRights(lambda name: name == "agent-7", frozenset({"trusted"})),
        ActorRights(lambda name: name == "robot", frozenset({"robots"}), "https://other.test"),
    ]

    def run(act: Any, **changes: Any) -> Principal | Rejection:
        verifier = Verifier([replace(trusted, **changes)], actors=known, clock=lambda: 0.0)
        verifier.refresh()
        claims = {"act": act}
        token = ring.issuer.mint("alice", ["analysts"], audience="warehouse", claims=claims)
        return verifier.verify(token, NOW)

    return run


def actors(answer: Principal | Rejection) -> tuple[Actor, ...]:
    """Return the actors of a token that must be accepted."""
    assert isinstance(answer, Principal), answer
    return answer.actors


def test_an_actor_has_the_groups_of_every_rule_that_names_it(verify: Verify) -> None:
    """An actor is in the groups of all rules that match, and never in the subject's."""
    issuer = "https://issuer.test"
    assert actors(verify({"sub": "agent-1"})) == (Actor(issuer, "agent-1", frozenset({"agents"})),)
    (both,) = actors(verify({"sub": "agent-7"}))
    assert both.groups == {"agents", "trusted"}


def test_an_actor_may_claim_groups_where_the_policy_says_so(verify: Verify) -> None:
    """``actor_groups_claim`` leads to an actor's groups; without it ``act`` lists nothing."""
    act = {"sub": "stranger", "groups": ["readers"]}
    (stranger,) = actors(verify(act, actor_groups_claim="groups"))
    assert stranger.groups == {"readers"}
    (prefixed,) = actors(verify(act, actor_groups_claim="groups", groups_prefix="main:"))
    assert prefixed.groups == {"main:readers"}
    answer = verify(act)
    assert isinstance(answer, Rejection)
    assert answer.reason == "delegation"


def test_a_chain_keeps_each_link(verify: Verify) -> None:
    """Nested actors are all there, the current one first."""
    chain = actors(verify({"sub": "agent-7", "act": {"sub": "agent-1"}}))
    assert [actor.subject for actor in chain] == ["agent-7", "agent-1"]


def test_an_actor_of_another_issuer_is_another_actor(verify: Verify) -> None:
    """A rule is for the actors of one issuer; the same name of another issuer is unknown."""
    (robot,) = actors(verify({"iss": "https://other.test", "sub": "robot"}))
    assert robot.groups == {"robots"}
    for act in ({"sub": "robot"}, {"iss": "https://other.test", "sub": "agent-7"}):
        answer = verify(act)
        assert isinstance(answer, Rejection)
        assert answer.reason == "delegation"


def nested(depth: int) -> dict[str, Any]:
    """Return a chain of so many known actors."""
    act: dict[str, Any] = {"sub": "agent-1"}
    for _ in range(depth - 1):
        act = {"sub": "agent-1", "act": act}
    return act


@pytest.mark.parametrize(
    ("act", "reason"),
    [
        ({"sub": "stranger"}, "delegation"),
        ({"sub": "agent-7", "act": {"sub": "stranger"}}, "delegation"),
        ({"sub": ""}, "delegation"),
        ({"sub": "agent-7\0"}, "delegation"),
        ({"sub": ["agent-7"]}, "delegation"),
        ({"sub": "agent-7", "iss": 7}, "delegation"),
        ({}, "delegation"),
        ("agent-7", "delegation"),
        (["agent-7"], "delegation"),
        (True, "delegation"),
        ({"sub": "agent-7", "act": "agent-1"}, "delegation"),
        (nested(9), "delegation"),
        ({"sub": "agent-7", "cnf": {"jkt": "x"}}, "proof_required"),
        ({"sub": "agent-7", "roles": "admins"}, "bad_groups"),
        ({"sub": "agent-7", "roles": [""]}, "bad_groups"),
    ],
)
def test_an_actor_that_is_not_known_is_refused(verify: Verify, act: Any, reason: str) -> None:
    """A chain with one link whose rights nobody knows gives no principal."""
    answer = verify(act, actor_groups_claim="roles")
    assert isinstance(answer, Rejection)
    assert answer.reason == reason
    assert len(actors(verify(nested(8)))) == 8


POLICY = loads(
    """
version = 1
[[issuers]]
issuer = "https://issuer.test"
audience = "warehouse"
[[grants]]
name = "humans"
groups = ["h*"]
actions = ["select", "update"]
tables = ["s.t"]
lifts = ["hidden"]
[[grants]]
name = "agents"
groups = ["a*"]
actions = ["select"]
tables = ["s.t"]
[[grants]]
name = "lifted-agents"
groups = ["al"]
actions = ["select"]
tables = ["s.t"]
lifts = ["hidden"]
[[denials]]
name = "never"
groups = ["denied"]
actions = ["select"]
tables = ["s.t"]
[[masks]]
name = "hidden"
columns = ["s.t.c"]
method = "redact"
"""
)
GROUPS = st.frozensets(st.sampled_from(["h1", "h2", "a1", "al", "denied", "nobody"]), max_size=3)


def table_of_one_column() -> Catalog:
    """Return a catalog without a server."""
    table = Relation(1, "s", "t", columns=(Attribute(1, "c"),))
    return Catalog("d", "r", ("s",), {1: table})


@pytest.fixture(scope="module")
def catalog() -> Catalog:
    """Return a catalog with one table of one column."""
    return table_of_one_column()


def rights(catalog: Catalog, groups: set[str], *actors: set[str]) -> Rights:
    """Return the rights of a set of groups, with actors."""
    return Rights(POLICY, catalog, frozenset(groups), tuple(frozenset(a) for a in actors))


def test_both_must_be_granted(catalog: Catalog) -> None:
    """What the human may and the agent may not is not granted, nor the other way round."""
    assert isinstance(rights(catalog, {"h1"}).verdict("update", 1, 1), Grant)
    assert isinstance(rights(catalog, {"h1"}, {"a1"}).verdict("select", 1, 1), Grant)
    assert rights(catalog, {"h1"}, {"a1"}).verdict("update", 1, 1) is None
    assert rights(catalog, {"a1"}, {"h1"}).verdict("update", 1, 1) is None
    assert rights(catalog, {"h1"}, {"h1"}, {"nobody"}).verdict("select", 1, 1) is None
    assert rights(catalog, {"h1"}, set()).verdict("select", 1, 1) is None


def test_a_denial_of_either_refuses(catalog: Catalog) -> None:
    """An actor that is denied something is denied it for whomever it acts."""
    verdict = rights(catalog, {"h1"}, {"a1", "denied"}).verdict("select", 1, 1)
    assert verdict is POLICY.denials[0]


def test_a_mask_is_lifted_only_where_both_have_it_lifted(catalog: Catalog) -> None:
    """An agent never inherits a lift of the human it acts for, nor the human one of its agent."""
    assert not rights(catalog, {"h1"}).shown((1, 1)).masks
    assert rights(catalog, {"h1"}, {"a1"}).shown((1, 1)).masks
    assert rights(catalog, {"a1"}, {"al"}).shown((1, 1)).masks
    assert not rights(catalog, {"h1"}, {"al"}).shown((1, 1)).masks


@given(GROUPS, st.lists(GROUPS, max_size=3))
def test_an_actor_only_ever_narrows(groups: frozenset[str], actors: list[frozenset[str]]) -> None:
    """Allowed is exactly what all alone are allowed, clear is what all alone see clear."""
    catalog = table_of_one_column()
    alone = [Rights(POLICY, catalog, each) for each in (groups, *actors)]
    together = Rights(POLICY, catalog, groups, tuple(actors))
    for action in ("select", "update", "delete"):
        for attnum in (0, 1):
            allowed = [isinstance(one.verdict(action, 1, attnum), Grant) for one in alone]
            assert isinstance(together.verdict(action, 1, attnum), Grant) == all(allowed)
    hidden = [set(one.shown((1, 1)).masks) for one in alone]
    assert set(together.shown((1, 1)).masks) == set().union(*hidden)
