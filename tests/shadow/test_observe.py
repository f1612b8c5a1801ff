"""Observing: what is refused by rules is sent and recorded; all else is enforced as ever."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.resources import files
from pathlib import Path
from typing import Any

import psycopg
import pytest

import tracewall
from tracewall.errors import Forbidden, PolicyError, TokenRejected, Withheld
from tracewall.shadow import ObservedOnly
from tracewall.signing import Signer

REFUSED = [
    "select secret from orders",
    "select * from other",
    "insert into other values (1)",
    "update orders set secret = secret",
    "listen news",
]

CARD = "select card from orders where id = 1"


def connected(wall: Any, token: str, **options: Any) -> Any:
    return tracewall.connect(wall=wall, token=token, autocommit=True, **options)


def test_what_rules_refuse_is_sent_and_recorded(house: Any, section: Any) -> None:
    """Each statement runs; the record tells that it would be refused, by which rule and why."""
    with house.wall(section(house.clock)) as wall, connected(wall, house.token("staff")) as conn:
        for statement in REFUSED:
            conn.execute(statement)
        assert conn.execute("select secret from orders order by id").fetchall()[0] == (
            "CANARY-7c1",
        )
    told = house.said()
    assert {what["would"]["outcome"] for what in told} == {"would_refuse"}
    assert {what["decision"] for what in told} == {"allowed"}
    assert {what["would"]["rule"] for what in told} == {"default"}
    assert all(what["would"]["reason"] for what in told)


def test_masks_and_scans_stay(house: Any, section: Any) -> None:
    """Masking goes on, and what would show more of a protected value is refused as ever."""
    with house.wall(section(house.clock)) as wall, connected(wall, house.token("staff")) as conn:
        rows = conn.execute("select card, note, secret from orders order by id").fetchall()
        assert rows[0] == ("[redacted]", "mail [email]", "CANARY-7c1")
        for statement in (
            "select upper(card) from orders",
            "select left(note, 3) from orders",
            "select orders::text from orders",
            "copy orders (card) to stdout (format binary)",
            "do $$ begin perform 1; end $$",
            "create table x as select card from orders",
            "set role postgres",
            "select query_to_xml('select card from orders', true, true, '')",
            "select 1; select card from orders",
        ):
            with pytest.raises(Forbidden):
                conn.execute(statement)
        with conn.cursor().copy("copy orders (id, card) to stdout") as copy:
            assert b"4111" not in b"".join(bytes(block) for block in copy)


def test_masks_are_off_only_where_that_is_said(house: Any, section: Any) -> None:
    """With masks = "observe" values come in clear, and what would be masked is recorded."""
    more = section(house.clock, masks="observe")
    with house.wall(more) as wall, connected(wall, house.token("staff")) as conn:
        assert conn.execute("select card from orders where id = 1").fetchall() == [
            ("4111111111111111",)
        ]
        assert conn.execute("select upper(note) from orders where id = 1").fetchone() is not None
    first, second = house.said()[:2]
    assert first["would"] == {"outcome": "would_mask", "rule": "masks.cards"}
    assert (second["would"]["outcome"], second["would"]["rule"]) == ("would_refuse", "scans.notes")


def test_who_has_no_group_is_observed_and_gets_no_lift(house: Any, section: Any) -> None:
    """A token without groups may do what others may; a lift for every group is not theirs."""
    lift = (
        '[[grants]]\ngroups = ["*"]\nactions = ["select"]\ntables = ["public.orders"]\n'
        'lifts = ["cards"]\n'
    )
    with house.wall(lift + section(house.clock)) as wall:
        with connected(wall, house.token()) as conn:
            assert conn.execute("select card from orders where id = 1").fetchone() == (
                "[redacted]",
            )
        with connected(wall, house.token("x")) as conn:
            assert conn.execute("select card from orders where id = 1").fetchone() != (
                "[redacted]",
            )
    assert house.said()[0]["would"]["outcome"] == "would_refuse"


def test_tokens_limits_and_the_record_stay(house: Any, section: Any) -> None:
    """A bad token sends nothing, limits hold, and without a record nothing is sent."""
    more = "[limits]\nrows = 1\n" + section(house.clock)
    with house.wall(more) as wall:
        for token in (
            house.token("staff", lifetime=-60),
            "x.y.z",
            house.issuer.mint("a", [], audience="others"),
        ):
            with pytest.raises(TokenRejected):
                connected(wall, token).execute("select 1")
        with connected(wall, house.token("staff")) as conn:
            with pytest.raises(Withheld):
                conn.execute("select secret from orders")
    with pytest.raises(tracewall.Error):
        connected(wall, house.token("staff")).execute("select secret from orders")


def test_it_ends_by_itself(house: Any, section: Any) -> None:
    """After the moment that is written every statement is enforced, on open connections too."""
    for keys in ({}, {"masks": "observe"}):
        more = section(house.clock, **keys)
        with house.wall(more) as wall:
            with connected(wall, house.token("staff", lifetime=9_000)) as conn:
                conn.execute("select secret from orders")
                cursor = conn.execute("select card from orders where id = 1")
                shown = cursor.fetchone()
                house.clock.advance(3601)
                with pytest.raises(Forbidden):
                    conn.execute("select secret from orders")
                assert conn.execute("select card from orders where id = 1").fetchone() == (
                    "[redacted]",
                )
                assert (shown == ("[redacted]",)) == (not keys)
                assert "would" not in house_last(house, wall)


def house_last(house: Any, wall: Any) -> dict[str, Any]:
    wall.audit.flush()
    told: dict[str, Any] = house.said()[-1]
    return told


def test_it_is_loud(house: Any, section: Any) -> None:
    """Making such a wall warns, and writes an incident; one that is over says nothing."""
    path = house.write(section(house.clock))
    with pytest.warns(ObservedOnly, match="only observed until"):
        tracewall.Wall.load(path, unsafe_observe=True, clock=house.clock).close()
    unsafe = [
        r["incident"] for r in house.records() if r.get("incident", {}).get("kind") == "unsafe"
    ]
    assert "only observed until" in unsafe[0]["detail"]
    house.clock.advance(3601)
    tracewall.Wall.load(path, unsafe_observe=True, clock=house.clock).close()


# --- who would turn it on ----------------------------------------------------------------


def test_a_policy_file_alone_turns_nothing_off(house: Any, section: Any) -> None:
    """Without the program's word a policy that says so is not loaded at all."""
    with pytest.raises(PolicyError, match="has not agreed"):
        house.wall(section(house.clock), unsafe_observe=False)


def test_the_programs_word_alone_turns_nothing_off(house: Any) -> None:
    """A wall that would agree enforces a policy that does not say so."""
    with house.wall(unsafe_observe=True) as wall, connected(wall, house.token("staff")) as conn:
        with pytest.raises(Forbidden):
            conn.execute("select secret from orders")


@pytest.mark.parametrize("value", ["", "0", "true", "yes", "1 "])
def test_the_environment_agrees_by_one_word(
    house: Any, section: Any, monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    """Anything but 1 is no agreement, and a wall that the program loads itself asks no variable."""
    path = house.write(section(house.clock))
    monkeypatch.setenv("TRACEWALL_CONFIG", str(path))
    monkeypatch.setenv("TRACEWALL_UNSAFE_OBSERVE", value)
    with pytest.raises(PolicyError, match="has not agreed"):
        tracewall.Wall.from_environment()
    monkeypatch.setenv("TRACEWALL_UNSAFE_OBSERVE", "1")
    with pytest.raises(PolicyError, match="has not agreed"):
        tracewall.Wall.load(path)


def test_the_environment_can_agree(house: Any, section: Any) -> None:
    """Beside TRACEWALL_CONFIG the variable counts: in a process of its own."""
    import time

    house.clock.advance(time.time() - house.clock())
    path = house.write(section(house.clock))
    program = (
        "import os, warnings, tracewall\n"
        "warnings.simplefilter('ignore')\n"
        "conn = tracewall.connect(token=os.environ['TOKEN'])\n"
        "print(conn.execute('select secret from orders order by id').fetchone()[0])\n"
    )
    path.write_text(path.read_text().replace("[database]\n", '[database]\npassword_env = "PW"\n'))
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=os.environ
        | {
            "TRACEWALL_CONFIG": str(path),
            "TRACEWALL_UNSAFE_OBSERVE": "1",
            "PW": house.password,
            "TOKEN": house.token("staff"),
            "PYTHONPATH": str(Path(str(files("tracewall"))).parent),
        },
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stdout == "CANARY-7c1\n", done.stderr


def test_no_caller_turns_it_on(house: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither connection strings, options, tokens, settings nor statements have a say."""
    monkeypatch.setenv("TRACEWALL_UNSAFE_OBSERVE", "1")
    claims = {"enforcement": "observe", "unsafe_observe": True}
    token = house.token("staff", "(observe)", "nobody", claims=claims)
    forged = house.token("staff", "\0nobody")
    with house.wall(unsafe_observe=True) as wall:
        for options in ({"options": "-c tracewall.mode=observe"}, {"unsafe_observe": True}):
            with pytest.raises((tracewall.Error, TypeError, PolicyError)):
                connected(wall, token, **options).execute("select secret from orders")
        with pytest.raises(TokenRejected):
            connected(wall, forged)
        with connected(wall, token) as conn:
            for statement in (
                "set tracewall.mode = 'observe'",
                "select set_config('tracewall.mode', 'observe', false)",
                "/* observe */ select secret from orders",
                "select secret from orders -- mode = observe",
            ):
                with pytest.raises(Forbidden):
                    conn.execute(statement)
        for each in house.said():
            assert "would" not in each


def test_nothing_is_changed_by_observing_for_those_who_may(house: Any, section: Any) -> None:
    """What the policy allows comes back the same, observed or not."""
    given = []
    for more in ("", section(house.clock)):
        with house.wall(more) as wall, connected(wall, house.token("staff")) as conn:
            given.append(conn.execute("select id, card, note from orders order by id").fetchall())
    assert given[0] == given[1]
    with psycopg.connect(house.admin) as plain:
        assert given[0] != plain.execute("select id, card, note from orders order by id").fetchall()


REVEAL = (
    '[approval]\nkeys = ["{key}"]\n[[approvals]]\nname = "look"\nreveal = ["cards"]\n'
    'approvers = ["leads"]\n'
)


def test_nobody_reveals_without_being_asked(house: Any, section: Any) -> None:
    """Lifting a mask once is for people to decide: while observing, or in shadow, nobody does."""
    rule = REVEAL.format(key=Signer.make("desk").public)
    for more in (rule + section(house.clock), rule + "shadow = true\n"):
        with house.wall(more) as wall, connected(wall, house.token("staff")) as conn:
            with pytest.raises(Forbidden, match="no rule lets anybody reveal") as refused:
                conn.execute(CARD, reveal=["cards"], reason="to look")
            assert not isinstance(refused.value, tracewall.ApprovalRequired)
            assert conn.execute(CARD).fetchone() == ("[redacted]",)


def test_who_acts_for_another_is_observed_too(house: Any, section: Any) -> None:
    """An actor without groups is let through as all are; masks are those of both."""
    lift = (
        '[[actors]]\nsubjects = ["bot"]\ngroups = ["bots"]\n[[grants]]\ngroups = ["leads"]\n'
        'actions = ["select"]\ntables = ["public.orders"]\nlifts = ["cards"]\n'
    )
    token = house.token("leads", claims={"act": {"sub": "bot"}})
    with house.wall(lift + section(house.clock)) as wall, connected(wall, token) as conn:
        assert conn.execute("select secret from orders where id = 1").fetchone() == ("CANARY-7c1",)
        assert conn.execute(CARD).fetchone() == ("[redacted]",)


def test_a_connection_that_changes_hands_is_observed_for_each(house: Any, section: Any) -> None:
    """Each principal's statements are judged and recorded as theirs."""
    with house.wall(section(house.clock, masks="observe")) as wall:
        with tracewall.connect(wall=wall, autocommit=True) as conn:
            for name in ("ann", "bob"):
                token = house.issuer.mint(name, ["staff"], audience="shop")
                with wall.acting_as(token):
                    conn.execute("set application_name = 'left behind'")
                    conn.execute("select secret from orders")
            with pytest.raises(TokenRejected):
                conn.execute("select 1")
    told = [r for r in house.records() if r["kind"] == "intent" and "secret" in r["what"]["text"]]
    assert [record["who"]["subject"] for record in told] == ["ann", "bob"]
    changed = [
        r for r in house.records() if r.get("incident", {}).get("kind") == "principal_changed"
    ]
    assert len(changed) == 1


def test_nothing_that_was_done_while_observed_outlasts_it(house: Any, section: Any) -> None:
    """Settings, cursors and temporary tables of that time are gone at the next statement."""
    more = section(house.clock, masks="observe")
    with house.wall(more) as wall:
        with connected(wall, house.token("staff", lifetime=9_000)) as conn:
            conn.execute("create temp table orders as select card as id, card, note from orders")
            conn.execute("set search_path = pg_temp, public")
            shown = conn.cursor("shown", withhold=True)
            shown.execute("select id, card from public.orders order by id")
            assert shown.fetchone() == (1, "4111111111111111")
            house.clock.advance(3601)
            with pytest.raises(Forbidden):
                shown.fetchall()
            assert conn.execute("select id + 0, card from orders order by 1").fetchone() == (
                1,
                "[redacted]",
            )
            shown.close()
