"""Which statements a rule asks for, by what they touch: no server, and nobody who is asked."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from tracewall.policy.askings import asked, asking
from tracewall.policy.decide import decide
from tracewall.policy.hours import Hours
from tracewall.policy.model import FREE_ACTIONS, Approval, Decision, Glob
from tracewall.policy.rights import Rights
from tracewall.sql.catalog import Catalog
from tracewall.sql.statement import Misunderstood, understand

Asks = Callable[..., bool]


@pytest.fixture
def asks(catalog: Catalog, words: Any) -> Asks:
    """Tell whether a rule asks for a statement, beside other rules."""

    def told(sql: str, *others: Any, reveal: str = "", **rule: Any) -> bool:
        for key in rule.keys() & {"tables", "columns"}:
            rule[key] = tuple(map(Glob, rule[key].split()))
        for key in rule.keys() & {"actions", "sees"}:
            rule[key] = frozenset(rule[key].split())
        if "sees" in rule:
            rule["reveal"] = rule.pop("sees")
        made = Approval(name="rule", approvers=(Glob("boss"),), **rule)
        policy = replace(words.policy(words.grant("*.*", "all"), *others), approvals=(made,))
        rights = Rights(policy, catalog, frozenset({"people"}))
        understood = understand(sql.encode(), catalog)
        return asking(understood, rights, frozenset(reveal.split())) == (made,)

    return told


@pytest.mark.parametrize(
    ("columns", "sql", "asked"),
    [
        ("shop.people.token", "select token from shop.people", True),
        ("shop.people.token", "select name from shop.people", False),
        ("shop.people.token", "select name from shop.people where token = 'x'", True),
        ("shop.people.token", "select name from shop.people order by token", True),
        ("shop.people.token", "select (p).token from shop.people p", True),
        ("shop.people.token", "select p from shop.people p", True),
        ("shop.people.token", "select count(*) from shop.people", False),
        ("shop.people.token", "select * from shop.people", True),
        ("shop.people.token", "select token from shop.accounts", False),
        ("*.*.token", "select token from shop.accounts", True),
        ("shop.people.token", "update shop.people set token = 'x' where id = 1", True),
        ("shop.people.token", "update shop.people set name = 'x' where id = 1", False),
        ("shop.people.token", "insert into shop.people (token) values ('x')", True),
        ("shop.people.token", "insert into shop.people (id) values (1)", False),
        ("shop.people.token", "insert into shop.people (id) values (1) returning token", True),
        # Each value of a row goes with it.
        ("shop.people.token", "delete from shop.people where id = 1", True),
        ("shop.people.token", "truncate shop.people", True),
        ("shop.people.token", "delete from shop.accounts where id = 1", False),
        # A generated column tells what it is made of.
        ("shop.people.token", "select tail from shop.people", True),
        ("shop.people.email", "select tail from shop.people", False),
        # Rows of a partition are its parent's, and the other way round.
        ("shop.logs.line", "select line from shop.logs_2024_01", True),
        ("shop.logs_2024_01.line", "select line from shop.logs", True),
        ("shop.logs.line", "select actor from shop.logs_2024_01", False),
        ("shop.people.token", "with t as (select token x from shop.people) select 1 from t", True),
        ("shop.people.token", "select 1 where exists (select token from shop.people)", True),
    ],
)
def test_a_rule_for_columns_asks_where_one_is_touched(
    asks: Asks, columns: str, sql: str, asked: bool
) -> None:
    """Read, compared, ordered by, written, deleted, under another name: each is a touch."""
    assert asks(sql, columns=columns) is asked


def test_a_rule_for_what_is_protected_asks_there_alone(asks: Asks, words: Any) -> None:
    """Masked and scanned columns are protected, for whom they are not lifted."""
    rules = (words.mask("shop.people.token"), words.scan("shop.people.notes"))
    for column, meant in (("token", True), ("notes", True), ("tail", True), ("name", False)):
        sql = f"select {column} from shop.people"
        assert asks(sql, *rules, protected=True) is meant, column
        assert not asks(sql, protected=True)
    assert asks("delete from shop.people where id = 1", *rules, protected=True)
    assert not asks("delete from shop.accounts where id = 1", *rules, protected=True)
    lift = words.grant("shop.people", lifts=frozenset({"mask"}))
    assert not asks("select token from shop.people", *rules, lift, protected=True)
    assert asks("select notes from shop.people", *rules, lift, protected=True)


@pytest.mark.parametrize(
    ("tables", "sql", "asked"),
    [
        ("shop.people", "select 1 from shop.people", True),
        ("shop.people", "select 1 from shop.accounts", False),
        ("shop.people", "select 1 from shop.accounts a join shop.people p on true", True),
        ("shop.logs", "select 1 from shop.logs_2025", True),
        ("shop.logs_2025", "select 1 from shop.logs", True),
        ("shop.logs_2025", "select 1 from shop.logs_2024", False),
        ("other.*", "select 1 from shop.people", False),
        ("*.people", "select 1", False),
    ],
)
def test_a_rule_for_tables_asks_for_their_kin(
    asks: Asks, tables: str, sql: str, asked: bool
) -> None:
    """A table, its partitions and its parents hold the same rows; others are not meant."""
    assert asks(sql, tables=tables) is asked


def test_all_that_a_rule_says_has_to_hold_of_one_access(asks: Asks) -> None:
    """The action, the table and the column are of one access, not each of any."""
    both = "update shop.accounts set owner = (select name from shop.people where id = 1)"
    assert asks(both, tables="shop.accounts", actions="update")
    assert not asks(both, tables="shop.people", actions="update")
    assert asks(both, tables="shop.people", actions="select")
    assert not asks(both, tables="shop.people", columns="shop.accounts.owner")
    assert asks(both, tables="shop.accounts", columns="shop.accounts.owner")


def test_a_rule_for_a_reveal_asks_for_it_alone(asks: Asks) -> None:
    """Without the wish to see what is under one of its masks it concerns nobody."""
    sql = "select token from shop.people"
    assert not asks(sql, sees="tokens mails")
    assert not asks(sql, sees="tokens mails", reveal="names")
    assert asks(sql, sees="tokens mails", reveal="names mails")
    assert not asks(sql, sees="tokens", reveal="tokens", columns="shop.people.ssn")


@pytest.mark.parametrize("action", ["update", "delete", "truncate"])
def test_a_rule_for_no_where_asks_for_all_rows(asks: Asks, action: str) -> None:
    """Without a condition, or with one that is always true; not with one that tells rows."""
    sql = {
        "update": "update shop.people set name = 'x'",
        "delete": "delete from shop.people",
        "truncate": "truncate shop.people",
    }[action]
    assert asks(sql, no_where=True)
    if action != "truncate":
        assert asks(f"{sql} where true", no_where=True)
        assert not asks(f"{sql} where id = 1", no_where=True)
    assert not asks(sql, no_where=True, columns="shop.accounts.token")


# --- what is not followed -----------------------------------------------------------

TABLE, FREE = "delete", sorted(FREE_ACTIONS)
ANYTHING = {"anything", "do", "call", "prepare"}
"""What could do any of the others besides."""


def asked_for(action: str, catalog: Catalog, words: Any, **rule: Any) -> bool:
    """Tell whether a rule asks for a statement that is not followed."""
    made = Approval(name="rule", approvers=(Glob("boss"),), **rule)
    policy = replace(words.policy(), approvals=(made,))
    told = Misunderstood("it is not followed", action=action)
    return asking(told, Rights(policy, catalog, frozenset({"people"}))) == (made,)


@pytest.mark.parametrize("action", FREE)
def test_what_is_not_followed_is_asked_for_by_every_rule_about_tables(
    catalog: Catalog, words: Any, action: str
) -> None:
    """It could do anything to any table: also where the rule names other such statements."""
    other = next(each for each in FREE if each not in ANYTHING | {action})
    for actions in ((), (TABLE,), (TABLE, other), (TABLE, action)):
        assert asked_for(action, catalog, words, actions=frozenset(actions))
    assert asked_for(action, catalog, words, rows=5)
    assert asked_for(action, catalog, words, tables=(Glob("shop.people"),))
    assert not asked_for(action, catalog, words, reveal=frozenset({"tokens"}))


@pytest.mark.parametrize("action", FREE)
def test_a_rule_about_what_is_not_followed_asks_for_that(
    catalog: Catalog, words: Any, action: str
) -> None:
    """It asks for what it names, for all where it names anything, and for what could do it."""
    for named in FREE:
        expected = named in (action, "anything") or action in ANYTHING
        assert asked_for(action, catalog, words, actions=frozenset({named})) is expected, named
    assert not asked_for(
        action, catalog, words, actions=frozenset({action}), reveal=frozenset({"tokens"})
    )


# --- what becomes of the decision ---------------------------------------------------

Becomes = Callable[..., Decision]


@pytest.fixture
def becomes(catalog: Catalog, words: Any) -> Becomes:
    """Give the decision on a statement under some rules that ask."""

    def told(understood: Any, *rules: Approval, reveal: str = "", **more: Any) -> Decision:
        if isinstance(understood, str):
            understood = understand(understood.encode(), catalog)
        grants = more.pop("grants", [words.grant("*.*", "all")])
        policy = replace(words.policy(*grants), approvals=rules)
        revealed = frozenset(reveal.split())
        rights = Rights(policy, catalog, frozenset({"people"}), revealed=revealed, **more)
        return asked(decide(understood, rights), understood, rights)

    return told


def rule(name: str = "rule", **more: Any) -> Approval:
    """Give a rule that asks the bosses."""
    return Approval(name=name, approvers=(Glob("boss"),), **more)


READ = "select name from shop.people"


def test_what_is_refused_is_not_asked_for(becomes: Becomes, words: Any) -> None:
    """Nobody can be asked for what no rule grants, or for what is not a statement at all."""
    tables = (Glob("shop.people"),)
    assert becomes(READ, rule(tables=tables)).outcome == "asks"
    others = [words.grant("shop.accounts")]
    for revealed in ("", "tokens"):
        refused = becomes(READ, rule(tables=tables), grants=others, reveal=revealed)
        assert (refused.outcome, refused.rule, refused.approvals) == ("forbidden", "default", ())
    assert becomes("selec", rule(tables=tables), grants=others).outcome == "forbidden"


def test_nobody_is_asked_where_no_rule_is_about_it(becomes: Becomes) -> None:
    """Without a rule, or with one about another table, the decision is what it was."""
    for rules in ((), (rule(tables=(Glob("shop.accounts"),)),)):
        told = becomes(READ, *rules)
        assert (told.outcome, told.rule, told.approvals) == ("allowed", "grants.grant", ())


def test_whoever_acts_for_another_reveals_nothing(becomes: Becomes) -> None:
    """What a mask hides is shown to who asks for it themselves, by a token of their own."""
    seen = rule(reveal=frozenset({"tokens"}))
    agent: dict[str, Any] = {"actors": (frozenset({"people"}),)}
    own = becomes(READ, seen, reveal="tokens")
    assert (own.outcome, own.rule, own.approvals) == ("asks", "approvals.rule", (seen,))
    refused = becomes(READ, seen, reveal="tokens", **agent)
    assert (refused.outcome, refused.rule, refused.columns) == ("forbidden", "approvals", ())
    assert "acts for another" in refused.reason
    assert becomes(READ, rule(no_where=False), **agent).outcome == "asks"


def test_what_no_rule_reveals_is_refused(becomes: Becomes) -> None:
    """Each name has to be in a rule that asks for this statement; the refusal says which is not."""
    elsewhere = rule("far", reveal=frozenset({"mails"}), tables=(Glob("shop.accounts"),))
    for rules in ((), (rule(reveal=frozenset({"tokens"})), elsewhere)):
        refused = becomes(READ, *rules, reveal="tokens mails")
        assert (refused.outcome, refused.rule, refused.columns) == ("forbidden", "approvals", ())
        assert "mails" in refused.reason and ("tokens" in refused.reason) is not bool(rules)


UNCOUNTED = "select array_agg(name) from shop.people"


@pytest.mark.parametrize(
    ("of", "sql", "outcome"),
    [
        ({}, READ, "asks"),
        ({"rows": 5}, READ, "allowed"),
        ({"bytes": 5, "per": 60.0}, READ, "allowed"),
        ({"runs": 5, "per": 60.0}, READ, "allowed"),
        # Any number of rows may be gathered in one.
        ({"rows": 5}, UNCOUNTED, "asks"),
        ({"bytes": 5, "per": 60.0}, UNCOUNTED, "asks"),
        ({"runs": 5, "per": 60.0}, UNCOUNTED, "allowed"),
        ({"rows": 5}, "truncate shop.people", "asks"),
        # The clock is for the session to look at.
        ({"hours": (Hours((0,), 0, 1),)}, READ, "allowed"),
        ({"rows": 5, "hours": (Hours((0,), 0, 1),)}, UNCOUNTED, "allowed"),
    ],
)
def test_rules_that_count_or_look_at_the_clock_ask_later(
    becomes: Becomes, of: dict[str, Any], sql: str, outcome: str
) -> None:
    """What is not known yet is left to the session, with the rule; what can't be counted is not."""
    made = rule(**of)
    told = becomes(sql, made)
    assert (told.outcome, told.approvals) == (outcome, (made,))


def test_rows_of_what_is_not_followed_are_not_counted(becomes: Becomes, words: Any) -> None:
    """A rule that counts rows asks outright for what could read any number of them."""
    free = [words.grant("", "ddl")]
    told = Misunderstood("it is not followed", action="ddl")
    assert becomes(told, rule(rows=5), grants=free).outcome == "asks"
    assert becomes(told, rule(runs=5, per=60.0), grants=free).outcome == "allowed"


def test_a_reveal_is_asked_for_whatever_is_counted(becomes: Becomes) -> None:
    """A rule that shows what is masked asks before the first row, though it counts them."""
    told = becomes(READ, rule(rows=5, reveal=frozenset({"tokens"})), reveal="tokens")
    assert told.outcome == "asks"


def test_the_decision_says_which_rule_asks_and_which_is_strictest(becomes: Becomes) -> None:
    """The first rule that asks for sure is told, and of several the strictest."""
    counting, first, strict = rule("counts", rows=5), rule("first"), rule("strict", people=3)
    one = becomes(READ, first)
    assert (one.rule, one.hint) == ("approvals.first", "")
    three = becomes(READ, counting, first, strict)
    assert (three.rule, three.approvals) == ("approvals.first", (counting, first, strict))
    assert three.hint == "the strictest rule is approvals.strict"
    assert becomes(READ, first, strict).hint == three.hint
    assert three.reason


def test_a_column_that_is_protected_does_not_make_other_columns_asked_for(
    asks: Asks, words: Any
) -> None:
    """A rule for named columns looks at their names alone, and at both where it says so."""
    masked = words.mask("shop.people.token")
    read = "select token from shop.people"
    assert not asks(read, masked, columns="shop.people.email")
    assert asks(read, masked, columns="shop.people.email", protected=True)
    assert asks("select email from shop.people", masked, columns="*.*.email", protected=True)
