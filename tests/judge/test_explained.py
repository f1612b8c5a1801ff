"""Decisions explain themselves, and a refusal tells nothing of what there is."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from tracewall.policy.model import Decision

GRANTED = "shop.people"


def test_a_decision_can_t_be_changed(judge: Any) -> None:
    """A decision and its columns are frozen."""
    decision = judge("SELECT 1")
    with pytest.raises(dataclasses.FrozenInstanceError):
        decision.outcome = "allowed"
    with pytest.raises(dataclasses.FrozenInstanceError):
        decision.columns[0].mask = None


@pytest.mark.parametrize(
    ("sql", "lineage"),
    [
        ("SELECT token AS t FROM people", [("shop.people.token", "exact")]),
        ("SELECT tail FROM people", [("shop.people.token", "inherited")]),
        ("SELECT upper(name) FROM people", [("shop.people.name", "derived")]),
        ("SELECT length(name) FROM people", [("shop.people.name", "measured")]),
        ("SELECT doc -> 'k' FROM people", [("shop.people.doc", "taken")]),
        ("SELECT name FROM people UNION SELECT 'x'", [("shop.people.name", "among")]),
        ("SELECT 1 FROM people", []),
        (
            "SELECT coalesce(p.name, p.email) FROM people p",
            [("shop.people.name", "part"), ("shop.people.email", "part")],
        ),
    ],
)
def test_each_output_tells_its_lineage(judge: Any, words: Any, sql: str, lineage: Any) -> None:
    """Each output position names the base columns its value comes from, and how."""
    decision = judge(sql, words.grant())
    assert set(lineage) <= set(decision.columns[0].lineage)
    assert len(lineage) == len(decision.columns[0].lineage) or "tail" in sql


def test_it_reads_well(judge: Any, words: Any) -> None:
    """A decision as a text has its outcome, rule, relations, columns with lineage and masks."""
    rules = (words.grant(name="read"), words.mask("shop.people.token", name="keys"))
    scanned = words.scan("shop.people.notes", name="texts")
    decision = judge("SELECT id, token, notes FROM people", *rules, scanned)
    assert str(decision) == (
        "allowed by grants.read\n"
        "  shop.people: select\n"
        "  column id     shop.people.id (exact)  clear\n"
        "  column token  shop.people.token (exact)  redact by masks.keys\n"
        "  column notes  shop.people.notes (exact)  scanned by scans.texts"
    )
    refused = judge("SELECT email FROM people", words.grant(columns="id"))
    assert str(refused) == (
        "forbidden by default\n"
        '  reason: column "email" does not exist or is not granted to you for select\n'
        "  hint: columns of shop.people for you to select: id"
    )


def as_told(decision: Decision, name: str) -> str:
    """Give all that a caller has of a decision, a name in it blotted out."""
    told = decision.for_caller()
    return repr(dataclasses.replace(told, policy_hash="")).replace(name, "?")


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT id FROM {}",
        "SELECT * FROM {}",
        "SELECT count(*) FROM {}",
        "SELECT a.id FROM accounts a JOIN {} USING (id)",
        "SELECT id FROM accounts WHERE EXISTS (SELECT FROM {})",
        "INSERT INTO {} (id) VALUES (1)",
        "UPDATE {} SET id = 1 WHERE id = 2",
        "DELETE FROM {} USING accounts",
        "TRUNCATE {}",
        "LOCK TABLE {}",
        "EXPLAIN SELECT id FROM {}",
        "SELECT nofunction(id) FROM {}",
        "CREATE TABLE t AS SELECT id FROM {}",
        "WITH q AS (SELECT id FROM {}) SELECT 1",
    ],
)
def test_a_forbidden_table_is_like_one_that_is_not_there(judge: Any, words: Any, sql: str) -> None:
    """Whatever the statement, all a caller has of the refusal is the same for both."""
    rules = (words.grant("shop.accounts", "all"), words.mask("shop.people.token"))
    told = [
        as_told(judge(sql.format(name), *rules), name) for name in ("people", "nowhere", "paople")
    ]
    assert told[0] == told[1] == told[2]
    assert "forbidden" in told[0]
    silent = judge(sql.format("people"), *rules, words.denial("shop.people", name="hush"))
    assert as_told(silent, "people") == told[0]


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT {} FROM people",
        "SELECT id FROM people WHERE {} = 'a'",
        "SELECT id FROM people ORDER BY {}",
        "SELECT upper(people.{}) FROM people",
        "INSERT INTO people ({}) VALUES ('a')",
        "UPDATE people SET {} = 'a'",
        "DELETE FROM people WHERE {} IS NULL",
        "SELECT a.id FROM accounts a JOIN people p ON p.{} = a.id",
    ],
)
def test_a_forbidden_column_is_like_one_that_is_not_there(judge: Any, words: Any, sql: str) -> None:
    """A masked, a denied, an ungranted and a missing column are refused in the same words."""
    rules = (
        words.grant("shop.accounts shop.people", "all", columns="id name"),
        words.mask("shop.people.token", predicates="none"),
        words.scan("shop.people.notes"),
        words.denial("shop.people", "all", columns="email"),
    )
    names = ("token", "notes", "email", "ssn", "nocolumn")
    told = {as_told(judge(sql.format(name), *rules), name) for name in names}
    assert len(told) == 1 and "forbidden" in told.pop()


def test_a_refusal_lists_nothing_that_it_touches(judge: Any, words: Any) -> None:
    """The relations a refused statement names are for the record, not for its caller."""
    decision = judge("SELECT id FROM people", words.grant("shop.accounts"))
    assert decision.relations == (("shop.people", ("select",)),)
    told = decision.for_caller()
    assert (told.relations, told.summary, told.unknown) == ((), "SELECT", False)
    assert judge("SELECT id FROM nowhere", words.grant("shop.accounts")).unknown
    allowed = judge("SELECT 1")
    assert allowed.for_caller() is allowed
