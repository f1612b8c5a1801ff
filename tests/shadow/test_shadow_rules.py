"""Rules in shadow change nothing, and what they would do is recorded."""

from __future__ import annotations

from typing import Any

import pytest

import tracewall
from tracewall.errors import Forbidden, PolicyError
from tracewall.policy.load import loads
from tracewall.signing import Signer

DENIAL = '[[denials]]\nname = "no-notes"\ncolumns = ["note"]\ntables = ["public.orders"]\n'
MASK = '[[masks]]\nname = "ids"\ncolumns = ["public.orders.id"]\nmethod = "number"\nbucket = 10\n'
SCAN = '[[scans]]\nname = "more"\ncolumns = ["public.orders.id"]\n'
STATEMENTS = [
    "select id, card, note from orders order by id",
    "select note from orders order by id",
    "select id + 1 from orders order by id",
    "select count(*) from orders",
    "select id from orders where note like '%a%'",
]


@pytest.mark.parametrize("rule", [DENIAL, MASK, SCAN])
def test_a_rule_in_shadow_changes_nothing(house: Any, rule: str) -> None:
    """Every statement comes back as without the rule."""

    def given(more: str) -> list[Any]:
        with (
            house.wall(more) as wall,
            tracewall.connect(wall=wall, token=house.token("staff"), autocommit=True) as conn,
        ):
            found: list[Any] = []
            for statement in STATEMENTS:
                try:
                    found.append(conn.execute(statement).fetchall())
                except Forbidden as refused:
                    found.append(str(refused))
        return found

    assert given(rule + "shadow = true\n") == given("")
    assert given(rule) != given("")


def test_what_it_would_do_is_recorded(house: Any) -> None:
    """The record tells what would have been refused or masked, and by which rule."""
    more = DENIAL + "shadow = true\n" + MASK + "shadow = true\n"
    with (
        house.wall(more) as wall,
        tracewall.connect(wall=wall, token=house.token("staff"), autocommit=True) as conn,
    ):
        conn.execute("select note from orders")
        conn.execute("select id from orders")
        conn.execute("select card from orders")
    first, second, third = house.said()
    assert first["decision"] == "allowed"
    assert first["would"]["outcome"] == "would_refuse"
    assert second["would"] == {"outcome": "would_mask", "rule": "masks.ids"}
    assert "would" not in third
    assert third["masked"] == {"0": "masks.cards"}


def test_a_rule_in_shadow_asks_nobody(house: Any) -> None:
    """An approval in shadow lets the statement pass, and it is recorded that people were asked."""
    rule = (
        f'[approval]\nkeys = ["{Signer.make("desk").public}"]\n[[approvals]]\nname = "all"\n'
        'tables = ["public.orders"]\napprovers = ["leads"]\n'
    )
    with (
        house.wall(rule + "shadow = true\n") as wall,
        tracewall.connect(wall=wall, token=house.token("staff"), autocommit=True) as conn,
    ):
        assert len(conn.execute("select id from orders").fetchall()) == 2
    assert house.said()[0]["would"]["outcome"] == "would_ask"
    assert house.said()[0]["would"]["rule"] == "approvals.all"


def test_explain_says_what_the_whole_policy_says(house: Any) -> None:
    """Whoever asks is told how it will be."""
    with (
        house.wall(DENIAL + "shadow = true\n") as wall,
        tracewall.connect(wall=wall, token=house.token("staff")) as conn,
    ):
        assert conn.explain("select note from orders").outcome == "forbidden"
        conn.execute("select note from orders")


def test_a_policy_without_shadows_has_the_hash_it_had() -> None:
    """The keys change no hash where they are not written; where they are, they do."""
    plain = loads("version = 1\n" + DENIAL)
    assert plain.hash == loads("version = 1\n" + DENIAL + "shadow = false\n").hash
    assert plain.hash != loads("version = 1\n" + DENIAL + "shadow = true\n").hash


def test_what_is_enforced_may_filter_rows() -> None:
    """A policy that says itself that it is enforced is held to its filters, and is no fault."""
    text = '[[grants]]\nname = "a"\ngroups = ["a"]\nactions = ["select"]\ntables = ["a.b"]\n'
    rows = "rows = \"a = claim('a')\"\n"
    made = loads('version = 1\n[enforcement]\nmode = "enforce"\n' + text + rows)
    assert made.grants[0].rows is not None and made.enforcement.mode == "enforce"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[enforcement]\nmode = "observe"\n', "there is no end to observing"),
        ("[enforcement]\nuntil = 2030-01-01\n", "goes with observing only"),
        ('[enforcement]\nmasks = "observe"\n', "goes with observing only"),
        ('[enforcement]\nmode = "observe"\nuntil = "2030-01-01"\n', "expected a date"),
        ('[enforcement]\nmode = "observe"\nuntil = 2030-01-01T00:00:00\n', "with its offset"),
        ('[enforcement]\nmode = "shadow"\n', "expected 'enforce' or 'observe'"),
        (
            '[enforcement]\nmode = "observe"\nuntil = 2030-01-01\n[[grants]]\ngroups = ["a"]\n'
            'actions = ["select"]\ntables = ["a.b"]\nrows = "a = claim(\'a\')"\n',
            "row filters can't be held",
        ),
        (
            '[enforcement]\nmode = "observe"\nuntil = 2030-01-01\n[[grants]]\ngroups = ["a"]\n'
            'actions = ["select"]\ntables = ["a.c"]\n[[grants]]\ngroups = ["a"]\n'
            'actions = ["select"]\ntables = ["a.b"]\nrows = "a = claim(\'a\')"\n',
            "row filters can't be held",
        ),
        ('[[grants]]\ngroups = ["a"]\nactions = ["ddl"]\nshadow = true\n', "no key 'shadow'"),
    ],
)
def test_contradictions_are_complaints(text: str, said: str) -> None:
    """What can't be meant is told with its place."""
    with pytest.raises(PolicyError, match=said) as told:
        loads("version = 1\n" + text)
    assert told.value.line
