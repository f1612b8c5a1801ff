"""tracewall approvals: people decide by their own tokens, and it is recorded."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tracewall.approval.request import Act, Parameter, Person, Request, Requirement, Shown
from tracewall.approval.sqlite import SqliteStore
from tracewall.signing import Signer
from tracewall.testing import TokenIssuer

POLICY = """
version = 1
[approval]
keys = ["{key}"]
[[issuers]]
name = "test"
issuer = "https://idp.test"
audience = "notes"
keys = "jwks.json"
algorithms = ["ES256"]
[[approvals]]
name = "export"
rows = 10
approvers = ["boss"]
"""
HOSTILE = "gather\x1b]0;owned\x07\u202e"
NOW = 2_000_000_000


@pytest.fixture
def asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Callable[..., str]]:
    """A policy with one request, `apr_1`, of ann's; and what mints tokens."""
    issuer, signer = TokenIssuer("https://idp.test"), Signer.make("desk")
    issuer.write_jwks(tmp_path / "jwks.json")
    policy = tmp_path / "policy.toml"
    policy.write_text(POLICY.format(key=signer.public))
    monkeypatch.setenv("TRACEWALL_APPROVAL_KEY", signer.secret())
    act = Act(
        text="select * from note where id > $1 -- \x1b[2J",
        parameters=(Parameter.of(21, 1, b"\x00\x07"), Parameter.of(25, 0, None)),
        door="execute",
        issuer="https://idp.test",
        subject="ann",
        actors=(Person("https://idp.test", "agent"),),
        purpose="",
        policy="p",
        server="1",
        database="d",
        role="r",
        login="r",
        search_path="public",
    )
    request = Request(
        "apr_1",
        act,
        (Requirement("export", ("boss",)),),
        act.text,
        Shown("SELECT note", (("public.note", ("select",)),)),
        1_000,
        NOW,
        HOSTILE,
    )
    SqliteStore(tmp_path / "approvals.db").add("apr_1", "a", request.encoded(), NOW, used=False)

    def token(subject: str, *groups: str, **claims: Any) -> str:
        return issuer.mint(subject, list(groups), audience="notes", **claims)

    return policy, token


def test_a_request_is_shown_harmlessly(run: Any, asked: Any) -> None:
    """Lists and pages show who asks what with which values, and steer no terminal."""
    policy, _ = asked
    listed = run("approvals", "list", "--config", policy).output
    shown = run("approvals", "show", "apr_1", "--config", policy).output
    assert "apr_1  pending" in listed and "ann" in listed
    for part in ("$1 = 7", "$2 = NULL", "public.note: select", "by agent", "until: 2033"):
        assert part in shown
    assert "\x1b" not in listed + shown and "\u202e" not in listed + shown
    told = json.loads(run("approvals", "show", "apr_1", "--config", policy, "--json").output)
    assert told["state"] == "pending" and told["request"]["act"]["subject"] == "ann"
    assert run("approvals", "watch", "--timeout", "0.1", "--config", policy).output == listed


def test_people_decide_by_their_own_tokens(
    run: Any, asked: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """An approver's token and key decide; nobody else's do, and what was decided is recorded."""
    policy, token = asked
    approve = ("approvals", "approve", "apr_1", "--config", policy, "--reason", "fine")
    assert run(*approve).exit_code == 2
    for wrong, word in (
        ("nonsense", "refused"),
        (token("ann", "boss"), "ask for"),
        (token("agent", "boss"), "ask for"),
        (token("eve", "staff"), "approvers"),
        (token("bob", "boss", lifetime=-60), "refused"),
    ):
        monkeypatch.setenv("TRACEWALL_TOKEN", wrong)
        result = run(*approve)
        assert result.exit_code == 1 and word in result.output
    monkeypatch.setenv("TRACEWALL_TOKEN", token("bob", "boss"))
    other = tmp_path / "other.key"
    other.write_text(Signer.make("desk").secret())
    assert "not one of those under [approval] keys" in run(*approve, "--key-file", other).output
    assert "approved" in run(*approve).output
    log = "".join(path.read_text() for path in (tmp_path / "audit").glob("*"))
    assert "approval_decided" in log and '"subject":"bob"' in log and "fine" in log
    assert run("approvals", "revoke", "apr_1", "--config", policy).exit_code == 0
    assert run(*approve).exit_code == 1
    assert "revoked" in run("approvals", "list", "--all", "--config", policy).output
    assert run("approvals", "list", "--config", policy).output == "nothing waits for approval\n"
    (tmp_path / "approvals.db").unlink()
    assert run("approvals", "list", "--all", "--config", policy).output == "there are no requests\n"


def test_nobody_decides_for_another(run: Any, asked: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A token in which somebody acts for an approver decides nothing, known or not."""
    policy, token = asked
    actors = '[[actors]]\nname = "bots"\nsubjects = ["bot"]\ngroups = ["boss"]\n'
    policy.write_text(policy.read_text() + actors)
    monkeypatch.setenv("TRACEWALL_TOKEN", token("bob", "boss", claims={"act": {"sub": "bot"}}))
    for kind in ("approve", "deny"):
        told = run("approvals", kind, "apr_1", "--config", policy, "--reason", "fine")
        assert told.exit_code == 1 and "in person" in told.output
    assert "pending" in run("approvals", "list", "--config", policy).output


def test_an_erasable_record_has_whoever_decides_by_a_pseudonym(
    run: Any, asked: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With `[audit] erasable` a decision is recorded, and its record names nobody."""
    policy, token = asked
    policy.write_text(policy.read_text() + "[audit]\nerasable = true\n")
    monkeypatch.setenv("TRACEWALL_TOKEN", token("bob", "boss"))
    told = run("approvals", "approve", "apr_1", "--config", policy, "--reason", "fine")
    assert told.exit_code == 0, told.output
    log = "".join(path.read_text() for path in (policy.parent / "audit").glob("*.jsonl*"))
    assert "approval_decided" in log and "bob" not in log


def test_the_migration_is_printed(run: Any) -> None:
    """The SQL of the store quotes the roles that it is for."""
    printed = run("approvals", "migration", "--asking", 'a"b').output
    assert 'TO "a""b";' in printed and "SECURITY DEFINER" in printed


def test_what_is_over_is_pruned(run: Any, asked: Any) -> None:
    """`prune` deletes what has been over for long, says how many, and records it."""
    policy, _ = asked
    store = SqliteStore(policy.parent / "approvals.db")
    for id in ("old", "older"):
        store.add(id, id, b"content", 1_000.0, used=False)
    done = run("approvals", "prune", "--config", policy)
    assert (done.exit_code, done.output) == (0, "2 requests deleted\n")
    assert [kept.id for kept in store.all()] == ["apr_1"]
    again = run("approvals", "prune", "--config", policy, "--older-than", "0.5")
    assert again.output == "0 requests deleted\n"
    log = "".join(path.read_text() for path in (policy.parent / "audit").glob("*"))
    assert "approvals_pruned" in log
