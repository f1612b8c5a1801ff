"""Rights of who asks and of who acts for them, and what grants lift: no server, no statement."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from tracewall.policy.covering import CLASSES, is_on
from tracewall.policy.model import Approval, Denial, Glob, Policy, Trust
from tracewall.policy.rights import Rights
from tracewall.sql.catalog import Attribute, Catalog, Definition, Relation
from tracewall.sql.rowfilter import condition

MINE = condition("owner = claim('sub')")
EMAIL, TOKEN = 3, 4

Make = Callable[..., Rights]


@pytest.fixture
def rights(catalog: Catalog, words: Any) -> Make:
    """Give the rights of ``people``, for whom groups act: rules, or a policy of them."""

    def made(*rules: Any, actors: tuple[str, ...] = ()) -> Rights:
        held = rules[0] if isinstance(rules[0], Policy) else words.policy(*rules)
        acting = tuple(frozenset({actor}) for actor in actors)
        return Rights(held, catalog, frozenset({"people"}), acting)

    return made


@pytest.fixture(scope="module")
def oids(catalog: Catalog) -> dict[str, int]:
    """The oid of each relation by its name."""
    return {relation.qualified: relation.oid for relation in catalog.relations.values()}


# --- who acts for another -----------------------------------------------------------


def test_who_asks_and_each_who_acts_must_be_granted_it(
    rights: Make, words: Any, oids: dict[str, int]
) -> None:
    """An access is granted where a grant to each side gives it; the caller's own is told."""
    people = oids["shop.people"]
    own, bot = words.grant(name="own"), words.grant(name="bot", groups="bot")
    for rules, actors, given in (
        ((own,), (), own),
        ((own, bot), ("bot",), own),
        ((own,), ("bot",), None),
        ((bot,), ("bot",), None),
        ((own, bot), ("bot", "stranger"), None),
    ):
        found = rights(*rules, actors=actors)
        assert found.verdict("select", people, 1) == given, (rules, actors)
        assert found.permitted("select", people, 1) == given


def test_a_denial_of_any_side_is_one(rights: Make, words: Any, oids: dict[str, int]) -> None:
    """What is denied to who asks, or to any who acts, is denied, whatever is granted besides."""
    people = oids["shop.people"]
    grants = (words.grant(), words.grant(name="bot", groups="bot"))
    for group in ("people", "bot", "other"):
        denial = words.denial("shop.people", groups=group)
        actors = ("bot", "other") if group == "other" else ("bot",)
        assert rights(*grants, denial, actors=actors).verdict("select", people, 1) == denial


def test_what_protects_a_column_from_any_side_is_on_it(
    rights: Make, words: Any, oids: dict[str, int]
) -> None:
    """A lift of who asks is none where who acts has none; nor the other way round."""
    column = (oids["shop.people"], TOKEN)
    mask, scan = words.mask("shop.people.token"), words.scan("shop.people.token")
    lifted = frozenset({"mask", "scan"})
    own = words.grant(lifts=lifted)
    bot = words.grant(name="bot", groups="bot", lifts=lifted)
    plain = words.grant(name="bot", groups="bot")
    assert rights(own, mask, scan).shown(column).rules == ()
    assert rights(own, bot, mask, scan, actors=("bot",)).shown(column).rules == ()
    assert rights(own, plain, mask, scan, actors=("bot",)).shown(column).rules == (mask, scan)
    none = words.grant()
    assert rights(none, bot, mask, scan, actors=("bot",)).shown(column).rules == (mask, scan)


def test_whoever_acts_may_stand_against_what_is_not_followed(rights: Make, words: Any) -> None:
    """What is hidden from the second who acts counts, though nothing is from the first."""
    free = words.grant("", "do", groups="people first second")
    hidden = words.denial("shop.logs", groups="second")
    assert rights(free, hidden, actors=("first", "second")).standing == hidden
    assert rights(free, hidden, actors=("first",)).standing is None


def test_a_denial_of_a_channel_stands_against_what_is_not_followed(
    rights: Make, words: Any
) -> None:
    """What can't be followed could listen, too."""
    quiet = words.denial("", "listen", channels=(Glob("pay"),))
    assert rights(words.grant("", "do"), quiet).standing == quiet
    assert rights(words.grant("", "do"), words.denial("", "ddl")).standing is None


def test_a_function_is_called_where_every_side_may(rights: Make, words: Any) -> None:
    """A user's own function is trusted for who asks and for each who acts, by their groups."""

    def trust(*groups: str) -> Trust:
        return Trust(name="own", groups=tuple(map(Glob, groups)), functions=(Glob("shop.price"),))

    def calls(*rules: Trust, actors: tuple[str, ...] = ()) -> bool:
        policy = replace(words.policy(words.grant()), functions=rules)
        return rights(policy, actors=actors).calls("shop.price")

    assert calls(trust("people"))
    assert not calls(trust("others"))
    assert not calls(trust("people"), actors=("bot",))
    assert not calls(trust("bot"), actors=("bot",))
    assert calls(trust("people", "bot"), actors=("bot",))
    assert not calls()


def test_a_rule_asks_for_whom_it_names_on_any_side(rights: Make, words: Any) -> None:
    """A rule that asks concerns who asks and who acts, and nobody else."""

    def asks(group: str) -> Approval:
        return Approval(name=group, groups=(Glob(group),), approvers=(Glob("boss"),))

    rules = (asks("people"), asks("bot"), asks("strangers"))
    policy = replace(words.policy(words.grant()), approvals=rules)
    assert rights(policy).asking == rules[:1]
    assert rights(policy, actors=("bot",)).asking == rules[:2]


def test_nobody_is_trusted_with_anything_where_somebody_is_asked(rights: Make, words: Any) -> None:
    """A rule that asks stands against leave to do anything: it would never be looked at."""
    free = words.grant("", "anything")
    assert rights(free).trusted == free
    rule = Approval(name="all", groups=(Glob("people"),), approvers=(Glob("boss"),))
    assert rights(replace(words.policy(free), approvals=(rule,))).trusted is None
    assert rights(free, words.mask("shop.people.token")).trusted is None
    assert rights(words.grant()).trusted is None


# --- lifts --------------------------------------------------------------------------


def test_a_lift_is_on_the_columns_that_its_grant_names(
    rights: Make, words: Any, oids: dict[str, int]
) -> None:
    """A grant lifts a mask where it gives that column, to be read, and nowhere else."""
    mask = words.mask("shop.people.token shop.people.email")
    people = oids["shop.people"]
    every = words.grant(name="every", actions="all")
    for more, lifted in (
        ({"columns": "email"}, {EMAIL}),
        ({"columns": "*"}, {EMAIL, TOKEN}),
        ({"columns": "*", "actions": "update"}, set()),
        ({"columns": "*", "tables": "shop.accounts"}, set()),
        ({"columns": "*", "groups": "strangers"}, set()),
    ):
        lift = words.grant(name="lift", lifts=frozenset({"mask"}), **more)
        found = rights(every, lift, mask)
        clear = {attnum for attnum in (EMAIL, TOKEN) if not found.shown((people, attnum)).rules}
        assert clear == lifted, more


def test_a_lift_for_some_rows_is_none_where_others_give_more(
    rights: Make, words: Any, oids: dict[str, int]
) -> None:
    """What is lifted on one's own rows stays hidden, where another grant gives all rows."""
    column = (oids["shop.accounts"], 2)
    mask = words.mask("shop.accounts.token", name="a")
    own = words.grant("shop.accounts", name="own", rows=MINE, lifts=frozenset({"a"}))
    assert rights(own, mask).shown(column).rules == ()
    for lifts in (frozenset(), frozenset({"b"})):
        every = words.grant("shop.accounts", name="every", lifts=lifts)
        assert rights(own, every, mask).shown(column).rules == (mask,)


def test_what_is_left_of_a_mask_lies_on_the_column(
    rights: Make, words: Any, oids: dict[str, int]
) -> None:
    """Of a preset whose classes are lifted one by one, the others stay; without any, nothing."""
    mask = replace(words.mask("shop.people.doc"), preset="otel-genai", classes=("text", "tools"))
    column = (oids["shop.people"], 8)

    def left(*names: str) -> list[tuple[str, ...]]:
        lift = words.grant(lifts=frozenset(f"mask.{name}" for name in names))
        return [each.classes for each in rights(lift, mask).shown(column).masks]

    assert left() == [("text", "tools")]
    assert left("text") == [("tools",)]
    assert left("text", "tools") == []


def test_a_class_that_is_lifted_leaves_the_others_of_its_preset(
    rights: Make, words: Any, oids: dict[str, int]
) -> None:
    """A preset that names no classes hides all of them, and each lift takes one away."""
    mask = replace(words.mask("shop.people.doc"), preset="otel-genai")
    lift = words.grant(lifts=frozenset({f"mask.{CLASSES[0]}"}))
    (left,) = rights(lift, mask).shown((oids["shop.people"], 8)).masks
    assert left.classes == CLASSES[1:]
    plain = words.mask("shop.people.doc")
    assert rights(lift, plain).shown((oids["shop.people"], 8)).masks == (plain,)


def test_a_grant_of_everything_is_none_of_the_server_s_own(catalog: Catalog, words: Any) -> None:
    """PostgreSQL's own relations are granted by the name of their schema only."""
    own = Relation(900, "pg_catalog", "pg_class", columns=(Attribute(1, "relname"),))
    for tables, granted in (("*.*", False), ("*", False), ("pg_*.*", False)):
        assert is_on(words.grant(tables), own) == granted, tables
    assert is_on(words.grant("*.* pg_catalog.*"), own)
    assert not is_on(words.grant("*.* pg_catalog.pg_type"), own)


# --- tables, rows, names ------------------------------------------------------------


@pytest.mark.parametrize("action", ["delete", "truncate"])
def test_a_denied_column_stands_against_taking_whole_rows_away(
    rights: Make, words: Any, oids: dict[str, int], action: str
) -> None:
    """Deleting rows and emptying a table take each column's values away."""
    denial = words.denial("shop.people", action, columns="email")
    found = rights(words.grant(actions="all"), denial)
    assert found.verdict(action, oids["shop.people"], 0) == denial
    assert not isinstance(found.verdict("select", oids["shop.people"], 0), Denial)


def test_filters_are_those_of_the_action(rights: Make, words: Any, oids: dict[str, int]) -> None:
    """Rows that may be changed say nothing of those that may be read, nor of their memory."""
    read = words.grant("shop.accounts", rows=MINE)
    change = words.grant("shop.accounts", "update", name="change")
    found = rights(read, change)
    oid = oids["shop.accounts"]
    assert found.filters("select", oid) == {MINE}
    assert found.filters("update", oid) == {None}
    for _ in range(2):
        assert found.rows_problem("update", oid, 1) == ""
        assert found.rows_problem("select", oid, 1) != ""


def test_a_parent_s_filter_leaves_an_heir_that_is_not_filtered(
    catalog: Catalog, words: Any, oids: dict[str, int]
) -> None:
    """An heir that is granted whole, or not at all, does not make the whole table's read fail."""
    for heir in ((), (words.grant("shop.logs_2024", name="heir"),)):
        policy = words.policy(words.grant("shop.logs", name="all"), *heir)
        found = Rights(policy, catalog, frozenset({"people"}))
        assert found.rows_problem("select", oids["shop.logs"], 1) == ""


def test_a_whole_row_is_called_so_and_has_no_type(
    rights: Make, words: Any, oids: dict[str, int]
) -> None:
    """A column is spelled as policies do, all of them together as a whole row."""
    found, people = rights(words.grant()), oids["shop.people"]
    assert found.spelled((people, TOKEN)) == "shop.people.token"
    assert found.spelled((people, 0)) == "a whole row of shop.people"
    assert found.type_of((people, 0)) == 0


def test_what_lies_beneath_a_view_protects_what_it_shows(
    catalog: Catalog, words: Any, oids: dict[str, int]
) -> None:
    """A view's column that shows a base column unchanged lies under its masks and scans."""
    view = oids["shop.faces"]
    text = "SELECT id, name, email, token, ssn, salary, notes, doc FROM shop.people"
    seeing = replace(catalog, definitions={view: Definition(view, text)}, followed={})
    mask, scan = words.mask("shop.people.token"), words.scan("shop.people.token")
    found = Rights(words.policy(words.grant(), mask, scan), seeing, frozenset({"people"}))
    assert found.shown((view, TOKEN)).rules == (mask, scan)
    assert found.stored((view, TOKEN)).rules == (mask, scan)
    assert found.shown((view, 1)).rules == ()
