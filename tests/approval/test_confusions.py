"""What was approved is the very same, by the same person, in the same place; nothing else goes."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from msgspec.structs import replace
from psycopg.types.numeric import Int4, Int8

import tracewall
from tracewall.approval.desk import Desk, NotGranted
from tracewall.approval.request import Parameter, Person
from tracewall.asked import asking, requirements
from tracewall.counter import matches
from tracewall.errors import ApprovalRequired, Forbidden
from tracewall.signing import Signer

RULE = """
[[approvals]]
name = "export"
rows = 10
approvers = ["boss"]
"""
VALUES = (Int4(0), Int4(99))
QUERY = "select id, body from note where id > %s and id < %s and body <> 'caf\u00e9'"


def ask(conn: Any, query: str = QUERY, values: Any = VALUES, **words: Any) -> str:
    with pytest.raises(ApprovalRequired) as asked:
        conn.execute(query, values, **words)
    return str(asked.value.request_id)


def by_name(conn: Any) -> None:
    with conn.cursor("n", withhold=True) as cursor:
        cursor.execute(QUERY, VALUES)


CHANGED: dict[str, Callable[[Any, str], Any]] = {
    "another type": lambda c, id: c.execute(QUERY, (Int8(0), Int4(99)), approval=id),
    "no type": lambda c, id: c.execute(QUERY, ("0", Int4(99)), approval=id),
    "another order": lambda c, id: c.execute(QUERY, (Int4(99), Int4(0)), approval=id),
    "NULL": lambda c, id: c.execute(QUERY, (None, Int4(99)), approval=id),
    "another format": lambda c, id: c.execute(QUERY.replace("> %s", "> %t"), (Int4(0), Int4(99)),
                                      approval=id),
    "a blank": lambda c, id: c.execute(QUERY + " ", VALUES, approval=id),
    "a comment": lambda c, id: c.execute(QUERY + "/**/", VALUES, approval=id),
    "other case": lambda c, id: c.execute(QUERY.replace("select", "SELECT"), VALUES, approval=id),
    "other Unicode": lambda c, id: c.execute(QUERY.replace("\u00e9", "e\u0301"),
                                             VALUES, approval=id),
    "bound by the client": lambda c, id: tracewall.ClientCursor(c).execute(
        QUERY, (0, 99), approval=id),
    "a stream": lambda c, id: list(c.cursor().stream(QUERY, (Int4(0), Int4(99)))),
    "a cursor by name": lambda c, id: by_name(c),
    "a batch": lambda c, id: c.cursor().executemany(QUERY, [(Int4(0), Int4(99))]),
    "rows": lambda c, id: c.execute(QUERY, VALUES, approval=id, rows=99),
}  # fmt: skip


def test_whatever_is_changed_is_something_else(office: Any) -> None:
    """Text, types, formats, order, encoding, door or number of rows: none may differ."""
    wall = office.wall(RULE)
    with office.connect(wall) as conn:
        id = ask(conn)
        office.decide(wall, id)
        for name, changed in CHANGED.items():
            with asking(approval=id), pytest.raises(Forbidden) as refused:
                changed(conn, id)
            assert not isinstance(refused.value, ApprovalRequired), name
            assert wall.desk.case(id).state == "approved", name
        raw = tracewall.RawCursor(conn)
        text = QUERY.replace("%s", "$1", 1).replace("%s", "$2")
        # The same bytes by another way of writing them, prepared: that is the very same.
        raw.execute(text, (Int4(0), Int4(99)), prepare=True, approval=id)
        assert len(raw.fetchall()) == 40
        assert wall.desk.case(id).state == "done"


def test_another_role_or_database_is_another_place(office: Any, server: Any) -> None:
    """Who the server takes the connection for counts, not only who has logged in."""
    wall = office.wall(RULE)
    with office.connect(wall) as conn:
        id = ask(conn)
    office.decide(wall, id)
    role = wall.policy.database.conninfo.split("user=")[1].split()[0]
    other = role + "_other"
    office.raw(f"create role {other}")
    office.raw(f"grant {other} to {role}")
    office.raw(f"grant select on note to {other}")
    try:
        office.raw(f"alter role {role} set role = '{other}'")
        with office.connect(wall) as conn, pytest.raises(Forbidden, match=r"something else .*role"):
            conn.execute(QUERY, VALUES, approval=id)
        office.raw(f"alter role {role} reset role")
        with office.connect(wall) as conn:
            conn.execute(QUERY, VALUES, approval=id)
    finally:
        office.raw(f"drop owned by {other}")
        office.raw(f"drop role {other}")


ACTORS = """
[[actors]]
name = "bots"
subjects = ["bot", "tool"]
groups = ["staff"]
"""


def test_a_delegated_request_stays_its_own(office: Any) -> None:
    """Asked for by who acts for another, it is approved by a third and done by just these two."""
    wall = office.wall(RULE + ACTORS)

    def connect(**claims: Any) -> Any:
        token = office.issuer.mint("ann", ["staff", "boss"], audience="notes", claims=claims)
        return tracewall.connect(wall=wall, token=token, autocommit=True)

    with connect(act={"sub": "bot"}) as conn:
        id = ask(conn)
        for party in ("ann", "bot"):
            with pytest.raises(NotGranted, match="act for"):
                office.decide(wall, id, party)
        office.decide(wall, id)
        with connect() as own, pytest.raises(Forbidden, match=r"something else .*actors"):
            own.execute(QUERY, VALUES, approval=id)
        with connect(act={"sub": "tool"}) as tool, pytest.raises(Forbidden, match="actors"):
            tool.execute(QUERY, VALUES, approval=id)
        assert len(conn.execute(QUERY, VALUES, approval=id).fetchall()) == 40


def test_one_person_counts_once(office: Any) -> None:
    """Two groups, or two issuers with one subject, make nobody two people, nor another."""
    wall = office.wall(RULE + "people = 2\n")
    with office.connect(wall) as conn:
        id = ask(conn)
    office.decide(wall, id, "bob")
    elsewhere = Person("https://other.test", "bob")
    groups, signer = frozenset({"boss"}), office.signer
    assert wall.desk.decide(id, "approve", elsewhere, groups, signer).state == "pending"
    with pytest.raises(NotGranted, match="ask for"):
        wall.desk.decide(id, "approve", Person("https://other.test", "ann"), groups, signer)
    assert office.decide(wall, id, "cat").state == "approved"


def test_a_decision_stands_as_it_was_made(office: Any) -> None:
    """Who left the approvers since has decided all the same, and any approver takes it back."""
    wall = office.wall(RULE)
    with office.connect(wall) as conn:
        id = ask(conn)
        office.decide(wall, id, "bob")
        with pytest.raises(NotGranted, match="approvers"):
            office.decide(wall, id, "bob", "deny", "staff")
        office.decide(wall, id, "cat", "revoke")
        with pytest.raises(Forbidden, match="taken back"):
            conn.execute(QUERY, VALUES, approval=id)


def test_a_key_that_was_taken_away_decides_nothing(office: Any) -> None:
    """Where the policy names another key, what the old one signed does not count."""
    wall = office.wall(RULE)
    with office.connect(wall) as conn:
        id = ask(conn)
    office.decide(wall, id)
    old, office.signer = office.signer, Signer.make("new")
    renewed = office.wall(RULE)
    assert renewed.desk.case(id).state == "pending"
    with office.connect(renewed) as conn, pytest.raises(Forbidden):
        conn.execute(QUERY, VALUES, approval=id)
    with pytest.raises(NotGranted, match="key"):
        renewed.desk.decide(id, "approve", Person("i", "cat"), frozenset({"boss"}), old)


@pytest.mark.parametrize(
    ("approver", "user", "state"),
    [
        (0, 0, "approved"),
        (50, 0, "approved"),
        (-50, 0, "approved"),
        (70, 0, "pending"),
        (-70, 0, "pending"),
        (0, 119, "approved"),
        (0, 121, "expired"),
        (0, -70, "pending"),
        (50, 169, "approved"),
        (50, 171, "expired"),
    ],
)
def test_clocks_may_differ_by_a_minute(
    office: Any, make_store: Any, approver: float, user: float, state: str
) -> None:
    """A verdict counts where its clock is no more than a minute off; then it ends by its own."""
    wall = office.wall(RULE + 'valid = "2min"\nexpires = "1h"\n', approvals=make_store())
    with office.connect(wall) as conn:
        id = ask(conn)
    now = time.time()

    def desk(ahead: float) -> Desk:
        keys = [office.signer.public]
        return Desk(wall.desk.store, keys, matches, clock=lambda: now + ahead)

    person = Person("https://idp.test", "bob")
    desk(approver).decide(id, "approve", person, frozenset({"boss"}), office.signer)
    case = desk(user).case(id)
    assert case is not None and case.state == state
    if state != "approved":
        with pytest.raises(NotGranted):
            desk(user).claim(id, case.request.act, requirements(wall.policy.approvals))


def test_the_store_tells_nobody_whose_request_it_is(office: Any, make_store: Any) -> None:
    """An id alone, guessed or overheard, gives nothing: not by another person nor password."""
    wall = office.wall(RULE, approvals=make_store())
    with office.connect(wall) as conn:
        id = ask(conn)
    office.decide(wall, id)
    with office.connect(wall, "eve") as conn:
        for other in (id, id.upper(), id + " ", "apr_" + "a" * 26):
            with pytest.raises(Forbidden) as refused:
                conn.execute(QUERY, (Int4(0), Int4(99)), approval=other)
            assert "note" not in str(refused.value)
    assert wall.desk.case(id).state == "approved"


FORGED: dict[str, Callable[[Any], Any]] = {
    "nobody has to agree": lambda r: replace(
        r, requirements=tuple(replace(rule, people=0) for rule in r.requirements)
    ),
    "no rule asks": lambda r: replace(r, requirements=()),
    "others may agree": lambda r: replace(
        r, requirements=tuple(replace(rule, approvers=("staff",)) for rule in r.requirements)
    ),
    "it is valid for long": lambda r: replace(
        r, requirements=tuple(replace(rule, valid=1e9) for rule in r.requirements)
    ),
    "another statement is shown": lambda r: replace(r, statement="select 1"),
}


@pytest.mark.parametrize("forged", FORGED.values(), ids=FORGED)
def test_a_request_written_by_hand_is_none(office: Any, make_store: Any, forged: Any) -> None:
    """What is written into the store asks by the policy's own rules, or not at all."""
    store = make_store()
    wall = office.wall(RULE, approvals=store)
    with office.connect(wall) as conn:
        real = wall.desk.case(ask(conn))
        made = replace(forged(real.request), id="apr_forged")
        store.add(made.id, made.id, made.encoded(), made.expires_at, used=False)
        # A colleague who is no approver by the policy, and an approver who is shown a lie.
        for who, group in (("eve", "staff"), ("bob", "boss")):
            with suppress(NotGranted):
                office.decide(wall, made.id, who, "approve", group)
        with pytest.raises(Forbidden) as refused:
            conn.execute(QUERY, VALUES, approval=made.id)
        assert not isinstance(refused.value, ApprovalRequired)
    assert store.get(made.id).uses == 0


def test_a_request_that_is_none_hides_no_other(office: Any) -> None:
    """What somebody has put into the store by hand does not keep approvers from the rest."""
    wall = office.wall(RULE)
    with office.connect(wall) as conn:
        real = wall.desk.case(ask(conn)).request
    act = replace(real.act, parameters=(Parameter(25, 0, "!"),))
    odd = [
        replace(real, requirements=()),
        replace(real, expires_at=2**62),
        replace(real, asked_at=-(2**62)),
        replace(real, act=act),
    ]
    for at, each in enumerate(odd):
        made = replace(each, id=f"apr_odd{at}")
        wall.desk.store.add(made.id, made.id, made.encoded(), 2e9, used=False)
        with pytest.raises(NotGranted):
            office.decide(wall, made.id)
    assert [case.request.id for case in wall.desk.cases()] == [real.id]
