"""Which statements a rule asks for, by what they touch: no server, and nobody who is asked."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from tracewall.policy.askings import asking
from tracewall.policy.model import Approval, Glob
from tracewall.policy.rights import Rights
from tracewall.sql.catalog import Catalog
from tracewall.sql.statement import understand

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
    for column, asked in (("token", True), ("notes", True), ("tail", True), ("name", False)):
        sql = f"select {column} from shop.people"
        assert asks(sql, *rules, protected=True) is asked, column
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
