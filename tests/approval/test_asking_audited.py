"""Approvals in the audit log: each step has a record that says who, what and when."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from tracewall.audit.verify import verify
from tracewall.cli import main
from tracewall.errors import ApprovalRequired, Forbidden

RULES = """
[[approvals]]
name = "export"
rows = 10
approvers = ["boss"]
break_glass = ["oncall"]
"""
EVERYTHING = "select id, body from note where body <> 'CANARY'"
STEPS = ("approval_*", "glass_broken")


class Record:
    """What the command line finds in the record of an office."""

    def __init__(self, office: Any, capsys: Any) -> None:
        self.office, self.capsys = office, capsys

    def told(self, *filters: str) -> list[dict[str, Any]]:
        for wall in self.office.walls:
            wall.audit.flush()
        self.capsys.readouterr()
        place = str(self.office.folder / "audit")
        assert main(["audit", "search", place, "--json", *filters]) == 0
        return [json.loads(line) for line in self.capsys.readouterr().out.splitlines()]

    def steps(self) -> list[dict[str, Any]]:
        """Give the incidents of approvals, oldest first."""
        found = [each for kind in STEPS for each in self.told("--kind", kind)]
        return sorted(found, key=lambda each: each["at"])


@pytest.fixture
def record(office: Any, capsys: Any) -> Record:
    return Record(office, capsys)


def asked(conn: Any) -> str:
    with pytest.raises(ApprovalRequired) as caught:
        conn.execute(EVERYTHING)
    assert caught.value.request_id
    return str(caught.value.request_id)


def said(step: dict[str, Any]) -> tuple[str, str, str]:
    incident = step["incident"]
    return incident["kind"], incident["who"]["subject"], incident["detail"]


@pytest.fixture
def by_bob(office: Any, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> Callable[..., int]:
    """Have bob decide by the command line; what is given is its exit code."""
    monkeypatch.setenv("TRACEWALL_TOKEN", office.token("bob", "boss"))
    monkeypatch.setenv("TRACEWALL_APPROVAL_KEY", office.signer.secret())
    policy = str(office.folder / "policy.toml")

    def decide(kind: str, id: str, why: str = "") -> int:
        return main(["approvals", kind, id, "--config", policy, "--reason", why])

    return decide


def test_who_asked_who_decided_and_who_used_it_is_on_record(
    office: Any, record: Record, by_bob: Any
) -> None:
    """Each step is one record, in order: by whom, which request and rule, why, and when."""
    wall = office.wall(RULES)
    began = office.clock()
    with office.connect(wall) as conn:
        id = asked(conn)
        assert by_bob("approve", id, "fine") == 0
        conn.execute(EVERYTHING, approval=id).fetchall()
        with pytest.raises(Forbidden):
            conn.execute(EVERYTHING, approval=id)
    requested, decided, used, again = steps = record.steps()
    assert said(requested) == ("approval_requested", "ann", f"{id} by approvals export")
    binding = wall.desk.case(id).request.binding
    assert said(decided) == ("approval_decided", "bob", f"{id} approve {binding}: 'fine'")
    kind, subject, detail = said(used)
    assert (kind, subject) == ("approval_used", "ann")
    assert detail.startswith(f"{id}, approved by ") and "bob" in detail
    assert said(again) == ("approval_refused", "ann", f"{id}: done")
    assert all(began <= each["at"] <= office.clock() for each in steps)
    assert {each["incident"]["policy"] for each in steps} == {wall.policy.hash}
    assert requested["incident"]["who"]["session"] == used["incident"]["who"]["session"] != ""
    kept = "".join(path.read_text() for path in (office.folder / "audit").rglob("*.jsonl"))
    assert id in kept and "CANARY" not in kept
    assert main(["audit", "search", str(office.folder / "audit"), "--kind", "approval_*"]) == 0
    lines = record.capsys.readouterr().out.splitlines()
    assert {" ".join(line.split()[4:6]) for line in lines} == {
        "approval_requested ann",
        "approval_decided bob",
        "approval_used ann",
        "approval_refused ann",
    }
    assert verify(office.folder / "audit").ok


def test_a_statement_that_asks_is_found_by_its_decision(office: Any, record: Record) -> None:
    """What a rule asks for whatever it returns is told so in the statement's own record."""
    wall = office.wall('[[approvals]]\nname = "gone"\nactions = ["delete"]\napprovers = ["boss"]\n')
    with office.connect(wall) as conn:
        with pytest.raises(ApprovalRequired) as caught:
            conn.execute("delete from note")
        office.decide(wall, str(caught.value.request_id))
        conn.execute("delete from note", approval=caught.value.request_id)
    *_, refused, sent = record.told("--decision", "asks")
    assert refused["what"]["rule"] == sent["what"]["rule"] == "approvals.gone"
    assert (refused["ended"]["status"], sent["ended"]["status"]) == ("refused", "ok")
    assert record.told("--decision", "allowed", "--table", "public.note") == []


@pytest.mark.parametrize("kind", ["deny", "revoke"])
def test_what_was_denied_or_taken_back_is_on_record(
    office: Any, record: Record, by_bob: Any, kind: str
) -> None:
    """A denial, a revocation, and who wanted to go on all the same."""
    wall = office.wall(RULES)
    with office.connect(wall) as conn:
        id = asked(conn)
        if kind == "revoke":
            office.decide(wall, id)
        assert by_bob(kind, id, "no") == 0
        with pytest.raises(Forbidden):
            conn.execute(EVERYTHING, approval=id)
    requested, decided, refused = map(said, record.steps())
    assert requested[0] == "approval_requested"
    assert decided[:2] == ("approval_decided", "bob") and f"{id} {kind} " in decided[2]
    told = {"deny": "denied", "revoke": "revoked"}[kind]
    assert refused == ("approval_refused", "ann", f"{id}: {told}")


@pytest.mark.parametrize("granted", [False, True])
def test_what_has_expired_is_on_record(
    office: Any, record: Record, clock: Any, granted: bool
) -> None:
    """A request, or a grant, whose time is over gives nothing, and the record says so."""
    wall = office.wall(RULES + 'expires = "1min"\nvalid = "1min"\n')
    with office.connect(wall) as conn:
        id = asked(conn)
        if granted:
            office.decide(wall, id)
        clock.ahead = 121
        with pytest.raises(Forbidden, match="expired"):
            conn.execute(EVERYTHING, approval=id)
    assert said(record.steps()[-1]) == ("approval_refused", "ann", f"{id}: expired")


def test_who_wants_to_go_on_by_what_gives_no_right_is_on_record(
    office: Any, record: Record
) -> None:
    """A request that waits, one of another's, and one that never was."""
    wall = office.wall(RULES)
    with office.connect(wall) as conn, office.connect(wall, "eve") as other:
        id = asked(conn)
        with pytest.raises(ApprovalRequired):
            conn.execute(EVERYTHING, approval=id)
        office.decide(wall, id)
        for wrong in (id, "apr_" + "\n" * 100):
            with pytest.raises(Forbidden):
                other.execute(EVERYTHING, approval=wrong)
    _, waits, others, none = map(said, record.steps())
    assert waits == ("approval_refused", "ann", f"{id}: pending")
    assert others == ("approval_refused", "eve", f"{id}: other")
    assert none == ("approval_refused", "eve", "apr_" + "\n" * 60 + ": none")


def test_broken_glass_is_on_record(office: Any, record: Record) -> None:
    """Who went on alone, with the reason given, before the statement; and it was sent."""
    wall = office.wall(RULES)
    with office.connect(wall, "ann", "staff", "oncall") as conn:
        conn.execute(EVERYTHING, break_glass=True, reason="outage\n7 \x1b[2J").fetchall()
    (broken,) = record.steps()
    kind, subject, detail = said(broken)
    assert (kind, subject) == ("glass_broken", "ann")
    assert detail.endswith(r": 'outage\n7 \x1b[2J'")
    *refused, sent = record.told("--table", "public.note")
    assert {each["ended"]["status"] for each in refused} <= {"refused"}
    assert sent["at"] >= broken["at"] and sent["ended"]["status"] == "ok"
    assert sent["who"]["session"] == broken["incident"]["who"]["session"]
