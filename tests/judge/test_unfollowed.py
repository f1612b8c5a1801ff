"""Actions without a table: channels, and statements that can't be followed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, replace
from typing import Any

import pytest

from tracewall.policy.decide import decide
from tracewall.policy.model import FREE_ACTIONS, Decision, Glob
from tracewall.policy.rights import Rights
from tracewall.sql.catalog import Catalog
from tracewall.sql.flow import Access
from tracewall.sql.statement import Misunderstood, Statement, Understanding

Told = Callable[..., Decision]


@pytest.fixture
def told(catalog: Catalog, words: Any) -> Told:
    """Give the decision on something understood, under some rules, for a member of people."""

    def decided(understood: Understanding, *rules: Any) -> Decision:
        rights = Rights(words.policy(*rules), catalog, frozenset({"people"}))
        return decide(understood, rights)

    return decided


def unread(action: str, *accesses: Access) -> Misunderstood:
    """Give a statement that can't be followed."""
    return Misunderstood("it is not followed", "DDL", "text", accesses, action)


@pytest.mark.parametrize("action", FREE_ACTIONS)
def test_each_needs_its_action(told: Told, words: Any, action: str) -> None:
    """What can't be followed needs its own action, or ``anything``; no other grant will do."""
    everything = words.grant("*.*", "all")
    others = words.grant("", " ".join({*FREE_ACTIONS} - {action, "anything"}))
    refused = told(unread(action), everything, others)
    assert (refused.outcome, refused.unreadable, refused.unfollowed) == ("forbidden", True, False)
    for granted in (action, "anything"):
        allowed = told(unread(action), words.grant("", granted, name="free"))
        assert (allowed.outcome, allowed.rule) == ("allowed", "grants.free")
        assert (allowed.unfollowed, allowed.columns) == (True, ())


def test_the_refusal_says_which_action_is_needed(told: Told) -> None:
    """A statement whose action is not granted is told which one that is."""
    assert told(unread("ddl")).hint == 'this needs a grant of "ddl"'


@pytest.mark.parametrize("action", ["do", "anything"])
def test_nothing_may_be_protected(told: Told, words: Any, action: str) -> None:
    """A mask, a scan or a denial that reaches the caller stands against what can't be followed."""
    free = words.grant("", action)
    for rule, name in (
        (words.mask("shop.people.token"), "masks.mask"),
        (words.scan("shop.people.notes"), "scans.scan"),
        (words.denial("shop.logs", reason="old"), "denials.denial"),
    ):
        refused = told(unread(action), free, rule)
        assert (refused.outcome, refused.rule) == ("forbidden", name)
        assert name in refused.hint
    silent = told(unread(action), free, words.denial("shop.logs", name="hushed"))
    assert (silent.outcome, silent.rule) == ("forbidden", "unreadable")
    assert "hushed" not in silent.hint


def test_a_silent_denial_gets_the_words_of_what_nothing_grants(told: Told, words: Any) -> None:
    """Who is denied an action without a reason is never told that it is granted to them."""
    mask, free = words.mask("shop.people.token"), words.grant("", "ddl")
    ungranted = told(unread("ddl"), mask)
    denied = told(unread("ddl"), mask, free, words.denial("", "ddl", name="hushed"))
    assert ungranted.hint == 'this needs a grant of "ddl"'
    assert asdict(denied) == asdict(ungranted)


def test_what_does_not_reach_the_caller_stands_against_nothing(told: Told, words: Any) -> None:
    """A mask that a grant lifts everywhere, and a denial to others, stand against nothing."""
    lifted = words.grant("shop.*", "select", lifts=frozenset({"mask"}), name="lift")
    others = words.denial("shop.logs", groups="strangers")
    rules = (words.grant("", "do"), words.mask("shop.people.token"), lifted, others)
    assert told(unread("do"), *rules).allowed
    elsewhere = words.grant("shop.accounts", "select", lifts=frozenset({"mask"}), name="lift")
    assert not told(
        unread("do"), *(elsewhere if rule is lifted else rule for rule in rules)
    ).allowed


def test_a_denial_of_an_action_wins(told: Told, words: Any) -> None:
    """A denied action is refused whatever grants say, and with it what may do anything."""
    no_do = words.denial("", "do", name="no-do", reason="no code here")
    refused = told(unread("do"), words.grant("", "do ddl"), no_do)
    assert (refused.outcome, refused.rule, refused.reason) == (
        "forbidden",
        "denials.no-do",
        "no code here",
    )
    assert told(unread("ddl"), words.grant("", "do ddl"), no_do).allowed
    assert not told(unread("anything"), words.grant("", "anything"), no_do).allowed
    assert not told(unread("ddl"), words.grant("", "ddl"), words.denial("", "anything")).allowed


def test_its_seen_rights_are_needed_too(told: Told, words: Any, catalog: Catalog) -> None:
    """A statement that reads a table while it makes another needs to be let read it."""
    oid = next(r.oid for r in catalog.relations.values() if r.qualified == "shop.people")
    seen = unread("ddl", Access("select", oid, 0, "people"))
    assert not told(seen, words.grant("", "ddl")).allowed
    assert told(seen, words.grant("", "ddl"), words.grant("shop.people", name="read")).allowed


def test_who_may_do_anything_is_asked_for_nothing_else(judge: Any, words: Any) -> None:
    """With ``anything`` and nothing protected, what is unknown or garbled may go too."""
    free = words.grant("", "anything")
    for sql in ("SELECT * FROM nowhere", "SELECT id FROM people", "SELEKT", "SELECT 1; SELECT 2"):
        decision = judge(sql, free)
        assert (decision.allowed, decision.unfollowed, decision.columns) == (True, True, ()), sql
    guarded = judge("SELECT id FROM people", free, words.mask("shop.people.token"))
    assert (guarded.outcome, guarded.rule) == ("forbidden", "default")


def test_the_row_limit_counts(catalog: Catalog, words: Any) -> None:
    """What can't be followed is under the limit of rows like all else."""
    rights = Rights(words.policy(words.grant("", "call"), rows=7), catalog, frozenset({"people"}))
    assert decide(unread("call"), rights).row_limit == 7


def test_channels_are_granted_by_pattern(told: Told, words: Any) -> None:
    """LISTEN and NOTIFY need their action on the channel, and denials win."""
    jobs = words.grant("", "listen", channels=(Glob("jobs*", dots=True),), name="jobs")
    listen = Statement("listen", "LISTEN", "", channels=(("listen", "jobs.new"),))
    assert told(listen, words.grant("*.*", "all")).outcome == "forbidden"
    assert told(listen, jobs).rule == "grants.jobs"
    assert not told(replace(listen, channels=(("notify", "jobs.new"),)), jobs).allowed
    assert not told(replace(listen, channels=(("listen", "pay"),)), jobs).allowed
    quiet = words.denial("", "listen", channels=(Glob("*.new", dots=True),), reason="not yet")
    assert told(listen, jobs, quiet).reason == "not yet"


def test_the_view_s_grant_is_grant_enough(told: Told, words: Any, catalog: Catalog) -> None:
    """What a view reads needs no grant of its own, but a denial of it refuses the view."""
    oids = {r.qualified: r.oid for r in catalog.relations.values()}
    view, base = oids["shop.faces"], oids["shop.people"]
    through = Statement(
        "select",
        "SELECT",
        "",
        (Access("select", view, 1, "id"), Access("select", base, 1, "id", view)),
    )
    face = words.grant("shop.faces", name="face")
    assert told(through, face).rule == "grants.face"
    assert not told(through, words.grant("shop.people")).allowed
    refused = told(through, face, words.denial("shop.people", columns="id"))
    assert refused.reason == 'column "id" does not exist or is not granted to you for select'
    assert "shop.people" not in refused.hint
