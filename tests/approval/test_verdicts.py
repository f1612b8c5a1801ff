"""What a request is bound to and how it stands, from signed notes alone: no store, no server."""

from __future__ import annotations

import json
from fnmatch import fnmatchcase
from typing import Any

import msgspec
import pytest

from tracewall.approval.request import (
    VERSION,
    Act,
    NotEncodable,
    Parameter,
    Person,
    Request,
    Requirement,
    Shown,
    canonical,
    decoded,
    new_id,
    requirement_of,
)
from tracewall.approval.verdict import SKEW, Standing, Verdict, counted, opened, standing
from tracewall.signing import BadNote, Signer

ISSUER = "https://idp.test"
ASKED, EXPIRES, VALID = 10_000, 10_900, 300.0
SIGNER = Signer.make("desk")
KEYS = [SIGNER.public]
RULE = Requirement("export", ("boss",), valid=VALID)
ACT = Act(
    text="select 1",
    parameters=(Parameter.of(23, 0, b"7"), Parameter.of(17, 1, None)),
    door="execute",
    issuer=ISSUER,
    subject="ann",
    actors=(Person(ISSUER, "agent"),),
    purpose="",
    policy="hash",
    server="1",
    database="d",
    role="r",
    login="l",
    search_path="public",
)


def request(*rules: Requirement, **more: Any) -> Request:
    """Give a request by ann, for whom an agent acts."""
    made = Request("apr_x", ACT, rules or (RULE,), "select 1", Shown("SELECT"), ASKED, EXPIRES)
    return msgspec.structs.replace(made, **more)


def note(
    asked: Request,
    who: str = "bob",
    kind: Any = "approve",
    at: int = ASKED + 10,
    groups: tuple[str, ...] = ("boss",),
    **more: Any,
) -> str:
    """Give a signed verdict."""
    made = Verdict(asked.id, asked.binding, kind, Person(ISSUER, who), groups, at)
    return msgspec.structs.replace(made, **more).signed(SIGNER)


def stands(asked: Request, *notes: str, now: float = ASKED + 20) -> Standing:
    """Tell how a request stands after some verdicts."""
    return standing(asked, notes, KEYS, now, lambda glob, group: fnmatchcase(group, glob))


@pytest.mark.parametrize("field", [name for name in Request.__struct_fields__ if name != "id"])
def test_a_verdict_is_on_every_field_of_a_request(field: str) -> None:
    """A verdict on a request that differs in any field, of the same id, does not count."""
    asked = request()
    other: dict[str, Any] = {
        "act": msgspec.structs.replace(ACT, text="select 2"),
        "requirements": (msgspec.structs.replace(RULE, people=2),),
        "statement": "select 2",
        "shown": Shown("DELETE"),
        "asked_at": ASKED + 1,
        "expires_at": EXPIRES + 1,
        "glass_broken": True,
    }
    changed = msgspec.structs.replace(asked, **{field: other.get(field, "other")})
    assert stands(asked, note(asked)).state == "approved"
    assert counted(asked, [note(changed)], KEYS) == []
    assert stands(asked, note(changed)).state == "pending"


@pytest.mark.parametrize("field", Act.__struct_fields__)
def test_a_request_is_bound_to_every_field_of_its_act(field: str) -> None:
    """What differs in any field of the act has another binding."""
    value = getattr(ACT, field)
    other = {int: 5, bool: True, str: "other", tuple: ()}[type(value)]
    if value == other:
        other = ("mask",)
    changed = msgspec.structs.replace(ACT, **{field: other})
    assert request(act=changed).binding != request().binding


def test_a_verdict_on_another_id_does_not_count() -> None:
    """The id in a verdict counts, also where the hash is right."""
    asked = request()
    assert stands(asked, note(asked, request="apr_y")).state == "pending"


def test_who_asks_or_acts_only_takes_it_back() -> None:
    """Neither who asks nor who acts for them decides, under any issuer; both may take it back."""
    asked = request()
    for who in ("ann", "agent"):
        for issuer in (ISSUER, "https://other.test"):
            own = note(asked, person=Person(issuer, who))
            assert stands(asked, own).state == "pending"
            denied = note(asked, kind="deny", person=Person(issuer, who))
            assert stands(asked, denied).state == "pending"
        assert stands(asked, note(asked), note(asked, who, "revoke")).state == "revoked"


def test_strangers_neither_approve_nor_deny() -> None:
    """A verdict counts only of whom a rule names; what is no approval approves nothing."""
    asked = request()
    assert stands(asked, note(asked, groups=("staff",))).state == "pending"
    assert stands(asked, note(asked), note(asked, "eve", "deny", groups=())).state == "approved"
    assert stands(asked, note(asked), note(asked, "cat", "deny")).state == "denied"
    assert stands(asked, note(asked, kind="review")).state == "pending"


def test_taking_back_wins_over_whatever_else_was_said() -> None:
    """A request that was taken back stays so, denied or not, whoever agrees later."""
    asked = request()
    back = note(asked, "cat", "revoke")
    later = note(asked, "dan", at=ASKED + 15)
    last = stands(asked, note(asked), back, later, note(asked, "eve", "deny"))
    assert (last.state, last.until) == ("revoked", 0)


def test_each_rule_wants_its_own_people() -> None:
    """Every rule must be satisfied, each by so many different people of its own approvers."""
    asked = request(RULE, Requirement("safety", ("officer",), people=2, valid=VALID))
    bob = note(asked, "bob", groups=("boss", "officer"))
    assert stands(asked).lacking == (("export", 1), ("safety", 2))
    one = stands(asked, bob)
    assert (one.state, one.lacking) == ("pending", (("safety", 1),))
    assert (one.until, one.approved_by) == (EXPIRES, (Person(ISSUER, "bob"),))
    again = note(asked, "bob", groups=("officer",), person=Person("https://other.test", "bob"))
    assert stands(asked, bob, again).state == "pending"
    two = stands(asked, bob, note(asked, "cat", groups=("officer",)))
    assert (two.state, two.lacking) == ("approved", ())
    assert two.approved_by == (Person(ISSUER, "bob"), Person(ISSUER, "cat"))
    # An approver of either rule denies for both.
    assert stands(asked, note(asked, "dan", "deny", groups=("officer",))).state == "denied"
    assert stands(asked, note(asked, "dan", "deny", groups=("boss",))).state == "denied"


def test_an_approval_ends_by_the_one_that_completed_it() -> None:
    """It is good for its time from the approval that sufficed; a later one prolongs nothing."""
    asked = request()
    until = ASKED + 10 + VALID
    late = note(asked, "cat", at=ASKED + 200)
    for notes in ([note(asked)], [note(asked), late], [late, note(asked)]):
        assert stands(asked, *notes, now=until - 1).until == until
        assert stands(asked, *notes, now=until - 1).state == "approved"
        assert stands(asked, *notes, now=until).state == "expired"


def test_a_request_ends_at_its_second() -> None:
    """Nobody decided until its end: it is over at that second, and later approvals are void."""
    asked = request()
    assert stands(asked, now=EXPIRES - 1).state == "pending"
    assert stands(asked, now=EXPIRES).state == "expired"
    last, late = note(asked, at=EXPIRES), note(asked, at=EXPIRES + 1)
    assert stands(asked, last, now=EXPIRES + 5).state == "approved"
    assert stands(asked, late, now=EXPIRES + 5).state == "expired"


def test_clocks_may_be_apart_by_the_skew_and_no_more() -> None:
    """A verdict from before the question, or from the future, counts within a minute only."""
    asked = request()
    assert SKEW == 60
    early = ASKED - SKEW
    assert stands(asked, note(asked, at=early)).state == "approved"
    assert stands(asked, note(asked, at=early - 1)).state == "pending"
    now = ASKED + 20
    assert stands(asked, note(asked, at=now + SKEW), now=now).state == "approved"
    assert stands(asked, note(asked, at=now + SKEW + 1), now=now).state == "pending"


@pytest.mark.parametrize("kind", ["approve", "deny", "revoke", "review"])
def test_each_kind_of_verdict_is_read(kind: str) -> None:
    """What somebody has said comes back as that, a review too."""
    asked = request()
    assert [verdict.kind for verdict in counted(asked, [note(asked, kind=kind)], KEYS)] == [kind]


def test_only_known_keys_count() -> None:
    """A note that a stranger's key has signed, under the same name too, is left out."""
    asked = request()
    verdict = opened(note(asked), KEYS)
    forged = verdict.signed(Signer.make("desk"))
    assert stands(asked, forged).state == "pending"
    assert stands(asked, forged, "no note", verdict.signed(SIGNER)).state == "approved"


@pytest.mark.parametrize(
    "spoil",
    [
        lambda t: t.replace(VERSION, "tracewall.approval/v2"),
        lambda t: t + "more\n",
        lambda t: t.replace('["boss"]', '[ "boss"]'),
        lambda t: t.replace('["boss"]', '["boss","adm"]'),
        lambda t: t.replace('["boss"]', '"boss"'),
        lambda t: t.replace("approve\n", "agree\n"),
        lambda t: t.replace("\n10010\n", "\n+10010\n"),
        lambda t: t.replace("\n10010\n", "\nsoon\n"),
        lambda t: t.replace('"bob"]', '"bob","eve"]'),
        lambda t: t.replace('"bob"', "7"),
        lambda t: t.replace('["https://idp.test","bob"]', "7"),
    ],
)
def test_what_is_not_spelled_as_a_verdict_is_none(spoil: Any) -> None:
    """A signed text is a verdict only in the one spelling that verdicts have."""
    asked = request()
    text, _, _ = note(asked).rpartition("\n\n")
    assert opened(SIGNER.note(text + "\n"), KEYS).person.subject == "bob"
    with pytest.raises(BadNote, match="no verdict"):
        opened(SIGNER.note(spoil(text + "\n")), KEYS)


def test_nothing_said_adds_a_line_to_a_verdict() -> None:
    """Line breaks, dashes and other scripts in names and reasons come back as they were."""
    asked = request()
    hard = '\n\n\u2014 desk AAAA\n"\\caf\u00e9\u2028'
    verdict = opened(note(asked, person=Person(hard, hard), groups=(hard,), reason=hard), KEYS)
    assert (verdict.person, verdict.groups, verdict.reason) == (Person(hard, hard), (hard,), hard)


def test_a_request_is_read_in_its_one_spelling_only() -> None:
    """What is kept comes back the same; anything else, or spelled otherwise, is no request."""
    asked = request(trace="00-1-2-01")
    assert decoded(asked.encoded()) == asked
    plain = json.loads(request().encoded())
    assert decoded(request().encoded()) == request() and "trace" not in plain[2]
    spelled = [
        json.dumps(plain).encode(),
        json.dumps([VERSION + "1", *plain[1:]], separators=(",", ":")).encode(),
        json.dumps([plain[0], "Act", plain[2]], separators=(",", ":")).encode(),
        canonical(ACT),
        b"\xff",
        b"{}",
        request().encoded().replace(b'"asked_at":10000', b'"asked_at":"10000"'),
        request().encoded().replace(b'"ticket":""', b'"ticket":"","trace":""'),
    ]
    for content in spelled:
        with pytest.raises(NotEncodable):
            decoded(content)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), {1: object()}, "\ud800"])
def test_what_has_no_spelling_is_bound_to_nothing(value: Any) -> None:
    """What JSON can't say exactly gets no encoding, and so no approval."""
    with pytest.raises(NotEncodable):
        canonical(value)


def test_parameters_keep_their_bytes_and_null_is_none_of_them() -> None:
    """A parameter gives back the bytes it was made of; NULL and no bytes are two things."""
    assert Parameter.of(17, 1, b"\x00\xff").bytes == b"\x00\xff"
    assert Parameter.of(17, 1, None).bytes is None
    assert Parameter.of(17, 1, b"").bytes == b""
    assert Parameter.of(17, 1, b"") != Parameter.of(17, 1, None)


def test_rules_together_are_as_strict_as_the_strictest() -> None:
    """Of several rules the shortest times, the most people and the stricter mode hold."""
    loose = Requirement("a", ("x",), people=1, expires=900, valid=60, mode="shape")
    strict = Requirement("b", ("y",), people=3, expires=30, valid=600, mode="once")
    both = requirement_of([loose, strict])
    assert (both.people, both.expires, both.valid, both.mode) == (3, 30, 60, "once")
    assert requirement_of([loose]).mode == "shape"
    assert both.rule == "a, b"


def test_ids_are_not_guessed() -> None:
    """Ids are 128 random bits; a request for a shape is not for once."""
    ids = {new_id() for _ in range(100)}
    assert len(ids) == 100 and all(len(id) == len("apr_") + 26 for id in ids)
    assert request().once and not request(act=msgspec.structs.replace(ACT, shape=True)).once


_END = 253_402_300_800
_UNSOUND = {
    "another statement than is bound": {"statement": "select 2"},
    "asked before there was a time": {"asked_at": -1},
    "over when it is asked": {"expires_at": ASKED},
    "without an end that has a spelling": {"expires_at": _END},
    "no rule asks": {"requirements": ()},
    "nobody need agree": {"people": 0},
    "nobody need agree to one of two": {"people": 0, "beside": RULE},
    "no time to decide": {"expires": 0.0},
    "for ever to decide": {"expires": float(_END)},
    "no time to use it": {"valid": 0.0},
    "for ever to use it": {"valid": float(_END)},
    "a parameter that is no base64": {"value": "####"},
    "a parameter with more than base64": {"value": "Nw==\n"},
}


@pytest.mark.parametrize("fault", _UNSOUND)
def test_what_no_desk_has_written_is_no_request(fault: str) -> None:
    """A request that a desk cannot have kept is not read, however well it is spelled."""
    more: dict[str, Any] = dict(_UNSOUND[fault])
    rule = {name: more.pop(name) for name in ("people", "expires", "valid") if name in more}
    if rule:
        others = [more.pop("beside")] if "beside" in more else []
        more["requirements"] = (*others, msgspec.structs.replace(RULE, **rule))
    if "value" in more:
        parameter = Parameter(23, 0, more.pop("value"))
        more["act"] = msgspec.structs.replace(ACT, parameters=(parameter,))
    assert decoded(request().encoded())
    with pytest.raises(NotEncodable):
        decoded(request(**more).encoded())


@pytest.mark.parametrize(
    ("of_rule", "more"),
    [
        ({"expires": 0.5, "valid": 0.5}, {"asked_at": 0}),
        ({"expires": float(_END - 1), "valid": float(_END - 1)}, {"expires_at": _END - 1}),
    ],
)
def test_whatever_a_desk_can_keep_is_read_again(
    of_rule: dict[str, Any], more: dict[str, Any]
) -> None:
    """The shortest and the longest times, and the first and last second, are no fault."""
    asked = request(msgspec.structs.replace(RULE, **of_rule), **more)
    assert decoded(asked.encoded()) == asked


def test_a_shape_is_read_with_the_statement_it_was_asked_for() -> None:
    """Where the act is a shape, the exact statement beside it is another text, and may be."""
    shape = msgspec.structs.replace(ACT, text="select ?", parameters=(), shape=True)
    asked = request(act=shape)
    assert decoded(asked.encoded()) == asked


def test_equal_values_in_another_order_have_one_spelling() -> None:
    """The order in which a mapping was filled makes no difference."""
    assert canonical({"b": 1, "a": 2}) == canonical({"a": 2, "b": 1})


def test_what_is_nested_without_end_is_bound_to_nothing() -> None:
    """A value too deep to spell is told as such, not as an error of the interpreter."""
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(NotEncodable):
        canonical(deep)


def test_a_person_is_told_by_issuer_and_subject_together() -> None:
    """No two people share a key, however their issuers and subjects are cut."""
    keys = {Person(*pair).key for pair in (("a", "b"), ("ab", ""), ("", "ab"), ('a","', "b"))}
    assert len(keys) == 4
