"""What a caller says, what people are asked then, and what they are shown: no server."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from tracewall.approval.desk import Case, Permit
from tracewall.approval.facts import facts, moment, value
from tracewall.approval.request import Act, Parameter, Person, Request, Requirement, Shown
from tracewall.approval.store import Kept
from tracewall.approval.verdict import Standing
from tracewall.asked import (
    NOTHING,
    Asked,
    Place,
    act_of,
    asked,
    asking,
    bounded,
    by_keys,
    check_words,
    counting,
    digest_of_run,
    due,
    may_break_glass,
    most_rows,
    pending,
    requirements,
    satisfies,
    shown_of,
)
from tracewall.errors import Forbidden
from tracewall.events import What
from tracewall.identity.principal import Actor, Principal
from tracewall.judge import Judged
from tracewall.masking.config import Method
from tracewall.policy.hours import Hours
from tracewall.policy.model import Approval, Decision, Glob, Mask, OutputColumn
from tracewall.sql.extent import Extent
from tracewall.sql.keys import Keyed

MONDAY = datetime(2026, 11, 23, 12, 0, tzinfo=UTC).timestamp()
NOON, NIGHT = (Hours((0,), 11 * 60, 13 * 60),), (Hours((0,), 0, 60),)
PLACE = Place("7", "shop", "service", "login", "public")
INT4, INT8, TEXT, UUID = 23, 20, 25, 2950
ANN = Principal("https://idp.test", "ann", frozenset({"staff", "oncall"}), 2e9)
AGENT = Actor("https://idp.test", "agent", frozenset({"oncall"}))


def rule(name: str = "rule", **more: Any) -> Approval:
    """Give a rule that asks the bosses."""
    return Approval(name=name, approvers=(Glob("boss"),), **more)


def judged(*rules: Approval, extent: Extent | None = None, **more: Any) -> Judged:
    """Give what is judged, with the rules that may ask."""
    made = {"policy_hash": "hash", "summary": "SELECT note", "text": "select ?"} | more
    decision = Decision("allowed", "grants.all", approvals=rules, **made)
    return Judged(
        decision,
        What(summary="", text="", decision="allowed", rule="grants.all", policy="hash"),
        {},
        extent=extent or Extent(),
    )


def test_what_is_said_holds_for_the_block_and_adds_to_what_was_said() -> None:
    """Each word stays as an outer block says unless it is said anew, and goes with its block."""
    assert asked() is NOTHING and not NOTHING.break_glass
    with asking(reason="export", ticket="T-1", reveal=["b", "a"], wait=1.5, rows=7):
        with asking(approval="apr_x", reason="", break_glass=True, rows=0):
            inner = Asked("apr_x", "", "T-1", frozenset("ab"), 1.5, 0, True)
            assert asked() == inner
        assert asked() == Asked("", "export", "T-1", frozenset("ab"), 1.5, 7)
        with pytest.raises(ValueError, match="mine"), asking(wait=0.0, reveal=[], ticket=""):
            assert asked() == Asked("", "export", rows=7)
            raise ValueError("mine")
        assert asked().wait == 1.5
    assert asked() is NOTHING


def test_what_is_said_is_a_task_s_own() -> None:
    """Tasks that run at the same time don't hear each other's words."""

    async def one(reason: str) -> str:
        with asking(reason=reason):
            await asyncio.sleep(0)
            return asked().reason

    async def both() -> list[str]:
        return list(await asyncio.gather(one("a"), one("b")))

    assert asyncio.run(both()) == ["a", "b"]


def test_a_text_is_no_list_of_names() -> None:
    """Each letter of a name is not a name."""
    with pytest.raises(TypeError, match="list of names"), asking(reveal="tokens"):
        pass


@pytest.mark.parametrize(
    ("of", "uncounted", "is_due", "counts"),
    [
        ({}, False, True, False),
        ({"hours": NOON}, False, False, False),
        ({"hours": NIGHT}, False, True, False),
        ({"rows": 5}, False, False, True),
        ({"rows": 5}, True, True, True),
        ({"rows": 5, "hours": NOON}, True, False, False),
        ({"rows": 5, "hours": NIGHT}, False, False, True),
        ({"bytes": 5, "per": 60.0}, True, True, True),
        ({"runs": 5, "per": 60.0}, True, False, True),
        ({"rows": 5, "reveal": frozenset("a")}, False, True, True),
    ],
)
def test_a_rule_asks_now_or_where_it_counts(
    of: dict[str, Any], uncounted: bool, is_due: bool, counts: bool
) -> None:
    """Outside of its hours, and at once where rows can't be counted."""
    made = rule(**of)
    for told in (
        judged(made, extent=Extent(uncounted=uncounted)),
        judged(made, unfollowed=uncounted),
    ):
        assert (due(told, MONDAY) == (made,)) is is_due
        assert (counting(told, MONDAY) == (made,)) is counts


def test_hours_are_of_the_rule_s_zone() -> None:
    """What is noon in one zone is not in another."""
    assert not due(judged(rule(hours=NOON)), MONDAY)
    assert due(judged(rule(hours=NOON, timezone="Asia/Tokyo")), MONDAY)


def test_the_fewest_rows_of_any_rule_are_the_most() -> None:
    """Rules that look back over a time, or count something else, are no bound of one statement."""
    assert most_rows([]) == most_rows([rule(bytes=5), rule(rows=3, per=60.0)]) == 0
    assert most_rows([rule(rows=9), rule(rows=4), rule(rows=2, per=1.0), rule(runs=1)]) == 4


def sent(type: int, data: bytes | None, format: int = 0) -> Parameter:
    """Give a parameter as it is sent."""
    return Parameter.of(type, format, data)


WHOLE = frozenset({INT8, INT4})
LIMIT = Extent(most=-1, parameter=2, typed=WHOLE | {TEXT})


@pytest.mark.parametrize(
    ("extent", "second", "most"),
    [
        (Extent(most=7), None, 7),
        (Extent(most=0), None, 0),
        (Extent(), None, -1),
        (LIMIT, sent(INT4, b"12"), 12),
        (LIMIT, sent(INT8, b"9" * 18), 10**18 - 1),
        (LIMIT, sent(INT8, b"9" * 19), -1),
        (LIMIT, sent(INT4, b"-3"), -1),
        (LIMIT, sent(INT4, b""), -1),
        (LIMIT, sent(INT4, b" 3"), -1),
        (LIMIT, sent(INT4, b"3\n"), -1),
        (LIMIT, sent(INT4, None), -1),
        (LIMIT, sent(UUID, b"3"), -1),
        (LIMIT, sent(INT4, b"\0\0\1\0", 1), 256),
        (LIMIT, sent(INT4, b"\xff\xff\xff\xff", 1), -1),
        # The bytes of a text are no number.
        (LIMIT, sent(TEXT, b"12"), 12),
        (LIMIT, sent(TEXT, b"12", 1), -1),
        (LIMIT._replace(parameter=3, most=-1), sent(INT4, b"12"), -1),
        (LIMIT._replace(parameter=1), sent(INT4, b"12"), 5),
        (Extent(most=9, keyed=Keyed(4)), None, 4),
        (Extent(most=3, keyed=Keyed(4)), None, 3),
        (Extent(most=-1, keyed=Keyed(4)), None, 4),
        (Extent(most=9, keyed=Keyed(4, ((2, frozenset({UUID})),))), sent(INT4, b"1"), 9),
    ],
)
def test_rows_are_bounded_by_what_is_known_of_them(
    extent: Extent, second: Parameter | None, most: int
) -> None:
    """By a limit as it is sent, in a type that a limit has, or by unique keys; else by nothing."""
    parameters = [sent(INT4, b"5"), second] if second else []
    assert bounded(judged(extent=extent), parameters) == most


@pytest.mark.parametrize(
    ("keyed", "most"),
    [
        (None, -1),
        (Keyed(3), 3),
        (Keyed(3, ((1, WHOLE), (3, frozenset({1016, 0})))), 3),
        (Keyed(3, ((1, frozenset({UUID})),)), -1),
        (Keyed(3, ((1, WHOLE), (3, WHOLE))), -1),
        (Keyed(3, ((0, frozenset({1016})),)), -1),
        (Keyed(3, ((4, frozenset({1016})),)), -1),
        (Keyed(3, (), (3,)), 12),
        (Keyed(3, (), (3, 3)), 48),
        (Keyed(3, (), (0,)), -1),
        (Keyed(3, (), (4,)), -1),
        # An array that is not sent, or is no array, bounds nothing.
        (Keyed(3, (), (2,)), -1),
        (Keyed(3, (), (1,)), -1),
    ],
)
def test_keys_bound_rows_by_what_is_sent(keyed: Keyed | None, most: int) -> None:
    """Each parameter has to be sent in a type that the key is compared in; arrays count."""
    parameters = [sent(INT4, b"\0\0\0\5", 1), sent(1016, None), sent(1016, b"{1,2,3,4}")]
    assert by_keys(keyed, parameters) == most


def test_an_empty_array_is_no_fewer_than_the_rest() -> None:
    """What an empty array keeps from coming is not counted on: other conditions may differ."""
    empty = b"\0\0\0\0" + b"\0" * 8
    assert by_keys(Keyed(3, (), (1,)), [sent(1016, empty, 1)]) == 3


def test_runs_differ_by_text_and_by_each_parameter() -> None:
    """Another text, type, form, value or number of parameters is another run; the same is one."""
    one = [sent(INT4, b"1"), sent(TEXT, None)]
    others: list[tuple[bytes, list[Parameter]]] = [
        (b"select 2", one),
        (b"select 1", []),
        (b"select 1", one[:1]),
        (b"select 1", one[::-1]),
        (b"select 1", [sent(INT8, b"1"), one[1]]),
        (b"select 1", [sent(INT4, b"1", 1), one[1]]),
        (b"select 1", [sent(INT4, b"2"), one[1]]),
        (b"select 1", [one[0], sent(TEXT, b"")]),
        # Whose base64 looks like a word for NULL.
        (b"select 1", [one[0], sent(TEXT, b"\x35\x42\xcb")]),
        (b"select 1", [one[0], sent(TEXT, b"\x36\x89\xde")]),
    ]
    made = {digest_of_run(sql, parameters) for sql, parameters in others}
    first = digest_of_run(b"select 1", one)
    assert first == digest_of_run(b"select 1", list(one)) and len(first) == 32
    assert len(made | {first}) == len(others) + 1


def test_what_rules_want_is_asked_for_whole() -> None:
    """Whose agreement, how many, and in what time: each as the policy has it."""
    made = Approval("a", (Glob("x"), Glob("y*")), people=3, expires=5, valid=6, mode="shape")
    (wanted,) = requirements([made])
    assert wanted == Requirement("a", ("x", "y*"), 3, 5, 6, "shape")


def act(*rules: Approval, said: Asked = NOTHING, by: Principal = ANN, **more: Any) -> Act:
    """Give what would be done."""
    parameters = [sent(INT4, b"5")]
    return act_of(judged(*rules, **more), by, PLACE, parameters, "select 5", "execute", said)


def test_an_act_is_all_that_would_be_done() -> None:
    """The exact statement, its parameters, by whom and for whom, where, and what is revealed."""
    by = Principal("https://idp.test", "ann", frozenset(), 2e9, purpose="audit", actors=(AGENT,))
    said = Asked(reveal=frozenset({"b", "a"}), rows=3)
    assert act(rule(), by=by, said=said, row_limit=9) == Act(
        text="select 5",
        parameters=(sent(INT4, b"5"),),
        door="execute",
        issuer="https://idp.test",
        subject="ann",
        actors=(Person("https://idp.test", "agent"),),
        purpose="audit",
        policy="hash",
        server="7",
        database="shop",
        role="service",
        login="login",
        search_path="public",
        rows=3,
        reveal=("a", "b"),
        shape=False,
    )
    assert act(rule(), row_limit=9).rows == 9
    assert (act(rule()).rows, act(rule()).purpose) == (0, "")


def test_an_act_is_a_shape_where_every_rule_says_so() -> None:
    """One rule that asks for the exact statement is enough for it; so is none."""
    shape = rule(mode="shape")
    made = act(shape, shape)
    assert (made.text, made.parameters, made.shape) == ("select ?", (), True)
    for rules in ((), (shape, rule())):
        made = act(*rules)
        assert (made.text, made.parameters, made.shape) == ("select 5", (sent(INT4, b"5"),), False)


def test_the_error_carries_what_is_asked_and_nothing_to_the_caller() -> None:
    """Who asks hears that people have to approve; the statement is for them only."""
    said, shown = Asked(reason="why"), Shown("SELECT")
    made = pending(judged().decision, act(), (rule(),), b"select 5", shown, said)
    assert (made.act, made.rules, made.statement) == (act(), (rule(),), "select 5")
    assert (made.shown, made.said, made.late) == (shown, said, False)
    assert "select 5" not in str(made)
    late = pending(judged().decision, act(), (), b"", shown, said, late=True)
    assert late.late is True


def test_approvers_are_shown_what_is_masked() -> None:
    """Columns that a rule hides, with the rule; what is touched, why, and how much."""
    hidden = Mask("cards", (Glob("*.*.card"),), Method("redact"))
    columns = (OutputColumn("card", mask=hidden), OutputColumn("id"))
    decision = judged(columns=columns, relations=(("public.note", ("select",)),)).decision
    assert shown_of(decision, "why", 7) == Shown(
        "SELECT note", (("public.note", ("select",)),), (("card", "masks.cards"),), "why", 7
    )


@pytest.mark.parametrize(
    ("of", "said", "wrong"),
    [
        ({}, {}, ""),
        ({"reason": "required"}, {"reason": "why"}, ""),
        ({"reason": "required"}, {"reason": " \t\n"}, "reason="),
        ({"reason": "required"}, {"ticket": "T-1"}, "reason="),
        ({"ticket": "T-[0-9]+"}, {"ticket": "T-12"}, ""),
        ({"ticket": "T-[0-9]+"}, {"ticket": "T-12x"}, "ticket="),
        ({"ticket": "T-[0-9]+"}, {"ticket": "xT-12"}, "ticket="),
        ({"ticket": "T-[0-9]+"}, {}, "ticket="),
        ({}, {"ticket": "x" * 200}, ""),
        ({}, {"ticket": "x" * 201}, "at most 200"),
    ],
)
def test_what_rules_want_to_be_told_has_to_be_said(
    of: dict[str, Any], said: dict[str, Any], wrong: str
) -> None:
    """A reason that says something, and a ticket that is called as the policy says, all of it."""
    rules = [rule("first"), rule("wants", **of)]
    if not wrong:
        check_words(rules, Asked(**said))
        return
    with pytest.raises(Forbidden, match=wrong) as told:
        check_words(rules, Asked(**said))
    assert ("approvals.wants" in str(told.value)) is wrong.endswith("=")


def test_a_ticket_is_never_too_long_where_nobody_asks() -> None:
    """The length is looked at, whatever the rules are."""
    with pytest.raises(Forbidden, match="200"):
        check_words([], Asked(ticket="x" * 201))


def test_the_glass_is_broken_in_person_where_every_rule_lets_one() -> None:
    """One rule that does not name a group of theirs stands against it, and so does an agent."""
    mine, others, none = (
        rule(break_glass=(Glob("night"), Glob("on*"))),
        rule(break_glass=(Glob("lead"),)),
        rule(),
    )
    assert may_break_glass([mine, mine], ANN)
    assert not may_break_glass([mine, others], ANN)
    assert not may_break_glass([none], ANN)
    by = Principal(ANN.issuer, ANN.subject, ANN.groups, 2e9, actors=(AGENT,))
    assert not may_break_glass([mine], by)


def test_a_permit_is_for_its_act_and_its_rules() -> None:
    """Another act, or a rule that nobody was asked about, is not covered."""
    permit = Permit("apr_x", act(), frozenset({"a", "b"}), "binding")
    assert satisfies(permit, act(), []) and satisfies(permit, act(), [rule("a"), rule("b")])
    assert not satisfies(permit, act(), [rule("a"), rule("c")])
    assert not satisfies(permit, msgspec.structs.replace(act(), rows=1), [rule("a")])


# --- what approvers are shown -------------------------------------------------------


def case(standing: Standing, review: str = "", shown: Shown | None = None, **more: Any) -> Case:
    """Give a request as approvers get it."""
    made = msgspec.structs.replace(act(), **more)
    shown = shown or Shown("SELECT")
    asked_for = Request("apr_x", made, (), "select 5", shown, 10, 20, "because", "T-1")
    return Case(asked_for, Kept("apr_x", b"", review=review), standing)


def test_everything_that_is_known_of_a_request_is_shown() -> None:
    """Who asks and for whom, why, what is touched and shown, where, and how it stands."""
    shown = Shown(
        "SELECT",
        (("public.note", ("select", "update")), ("public.other", ("select",))),
        (("card", "masks.cards"), ("pin", "masks.pins")),
        "the rule asks",
    )
    by = (Person("i", "agent"), Person("i", "bot"))
    standing = Standing(
        "pending", 20, (Person("i", "bob"), Person("i", "cat")), (("a", 1), ("b", 2))
    )
    full = case(
        standing, "open", shown, actors=by, purpose="audit", reveal=("x", "y"), rows=7, shape=True
    )
    assert facts(full) == {
        "state": "pending, to be reviewed",
        "asked by": "ann (https://idp.test), by agent, bot",
        "reason": "because",
        "ticket": "T-1",
        "purpose": "audit",
        "why asked": "the rule asks",
        "touches": "public.note: select, update; public.other: select",
        "masked": "card (masks.cards), pin (masks.pins)",
        "reveals": "x, y",
        "shape": "select 5",
        "rows at most": "7",
        "where": "shop as service, search_path public",
        "until": "1970-01-01 00:00:20Z",
        "approved by": "bob, cat",
        "lacking": "1 for a, 2 for b",
        "binding": full.request.binding,
    }


def test_what_is_not_known_of_a_request_is_empty() -> None:
    """Nothing is made up: no agent, no number of rows, no shape, no end."""
    found = facts(case(Standing("denied"), "closed"))
    assert (found["state"], found["asked by"]) == ("denied", "ann (https://idp.test)")
    empty = {name for name, text in found.items() if not text}
    assert {"shape", "rows at most", "until", "approved by", "lacking", "touches"} <= empty
    assert moment(0) == "" and moment(MONDAY) == "2026-11-23 12:00:00Z"


@pytest.mark.parametrize(
    ("type", "format", "data", "shown"),
    [
        (TEXT, 0, None, "NULL"),
        (INT4, 0, b"12", "'12'"),
        (INT4, 1, b"\xff\xff\xff\xfe", "-2"),
        (INT8, 1, b"\0" * 7 + b"\5", "5"),
        (21, 1, b"\0\7", "7"),
        *[(type, 1, b"a\nb", repr("a\nb")) for type in (19, 25, 114, 1042, 1043)],
        (TEXT, 1, b"\xff", repr("\\xff")),
        (3802, 1, b'\x01{"a": 1}', repr('{"a": 1}')),
        (3802, 0, b'\x01{"a": 1}', repr('\x01{"a": 1}')),
        (3802, 1, b'\x02{"a": 1}', repr('\x02{"a": 1}')),
        (UUID, 1, b"\x01\xab", "\\x01ab"),
        (UUID, 0, b"ab", "'ab'"),
        (114, 1, b"\x01x", repr("\x01x")),
    ],
)
def test_a_parameter_is_shown_as_what_it_is(
    type: int, format: int, data: bytes | None, shown: str
) -> None:
    """Whole numbers and texts of either form are read; anything else is shown as its bytes."""
    assert value(sent(type, data, format)) == shown
