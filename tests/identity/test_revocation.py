"""What is revoked is refused at the next statement, and so is everything where nobody can tell."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracewall import PolicyError, Wall
from tracewall.identity import Actor, ActorRights, Principal, Rejection, TrustedIssuer, Verifier
from tracewall.identity.revocation import RevocationList, read_revoked

NOW = 1_800_000_000.0
ISSUER = "https://issuer.test"
PRINCIPAL = Principal(ISSUER, "alice", frozenset(), NOW + 300, token_id="t-1", issued_at=NOW)


@pytest.mark.parametrize(
    ("text", "covered"),
    [
        ("", False),
        ('[[revoked]]\ntoken_id = "t-1"', True),
        ('[[revoked]]\ntoken_id = "t-2"', False),
        (f'[[revoked]]\ntoken_id = "t-1"\nissuer = "{ISSUER}"', True),
        ('[[revoked]]\ntoken_id = "t-1"\nissuer = "https://other.test"', False),
        ('[[revoked]]\nsubject = "alice"', True),
        ('[[revoked]]\nsubject = "bob"', False),
        ('[[revoked]]\nsubject = "alice"\nissuer = "https://other.test"', False),
        (f'[[revoked]]\nsubject = "alice"\nissued_before = {int(NOW)}', False),
        (f'[[revoked]]\nsubject = "alice"\nissued_before = {int(NOW) + 1}', True),
        ('[[revoked]]\nsubject = "alice"\nissued_before = 2027-01-15T08:00:00Z', False),
        ('[[revoked]]\nsubject = "alice"\nissued_before = 2027-01-15T09:00:01+01:00', True),
        (f"[[revoked]]\nissued_before = {int(NOW) + 1}", True),
        (f"[[revoked]]\nissued_before = {int(NOW)}", False),
        (f'[[revoked]]\nissued_before = {int(NOW) + 1}\nissuer = "{ISSUER}"', True),
        (f'[[revoked]]\nissued_before = {int(NOW) + 1}\nissuer = "https://other.test"', False),
        ('[[revoked]]\nsubject = "agent"', True),
        ('[[revoked]]\nsubject = "alice"\nissued_before = 1\n[[revoked]]\nsubject = "alice"', True),
        ('[[revoked]]\nsubject = "alice"\n[[revoked]]\nsubject = "alice"\nissued_before = 1', True),
    ],
)
def test_a_list_covers_what_it_names(text: str, covered: bool) -> None:
    """By jti, by subject, by the time of issue, for one issuer or all; actors count as well."""
    principal = replace(PRINCIPAL, actors=(Actor(ISSUER, "agent", frozenset()),))
    assert read_revoked(text.encode()).covers(principal) is covered


@pytest.mark.parametrize(
    "text",
    [
        "revoked = 1",
        "[revoked]\ntoken_id = 't'",
        "[[revoked]]",
        "[[revoked]]\nissuer = 'i'",
        "[[revoked]]\ntoken_id = ''",
        "[[revoked]]\ntoken_id = 7",
        "[[revoked]]\ntoken_id = 't'\nsubject = 's'",
        "[[revoked]]\ntoken_id = 't'\nissued_before = 1",
        "[[revoked]]\nsubject = ['s']",
        "[[revoked]]\nsubject = 's'\nissued_befor = 1",
        "[[revoked]]\nissued_before = 'yesterday'",
        "[[revoked]]\nissued_before = nan",
        "[[revoked]]\nissued_before = true",
        "[[revoked]]\nissued_before = 2027-01-15T08:00:00",
        "[[revoked]]\nissued_before = 2027-01-15",
        "revoked = ['t-1']",
        "[[revoke]]\ntoken_id = 't'",
        "not TOML",
        "\udcff",
    ],
)
def test_what_is_no_list_revokes_everything(tmp_path: Path, text: str) -> None:
    """A list that can't be understood is refused as a whole: nobody knows what it meant."""
    path = tmp_path / "revoked.toml"
    path.write_bytes(text.encode(errors="surrogateescape"))
    listed = RevocationList(str(path))
    listed.refresh()
    assert listed.current() is None
    assert listed.problem


@given(st.binary(max_size=60))
def test_no_bytes_are_taken_for_a_list_by_mistake(document: bytes) -> None:
    """Reading gives a list or ValueError, whatever the bytes are."""
    try:
        read_revoked(document)
    except ValueError:
        return


Make = Callable[..., Verifier]


@pytest.fixture
def listed(tmp_path: Path) -> Path:
    """Return the path of a list that is empty."""
    path = tmp_path / "revoked.toml"
    path.write_text("")
    return path


@pytest.fixture
def make(trusted: TrustedIssuer) -> Make:
    """Make a verifier that knows what is revoked."""

    def verifier(**options: Any) -> Verifier:
        made = Verifier([trusted], clock=lambda: 0.0, **options)
        made.refresh()
        return made

    return verifier


def reason(answer: Principal | Rejection | None) -> str:
    """Return a rejection's reason, empty for none."""
    return answer.reason if isinstance(answer, Rejection) else ""


def test_a_changed_list_holds_for_principals_at_work(ring: Any, make: Make, listed: Path) -> None:
    """What is added to the file ends a running principal, and is gone when it is taken out."""
    verifier = make(revocations=RevocationList(str(listed)))
    token = ring.issuer.mint("alice", audience="warehouse")
    principal = verifier.verify(token, NOW)
    assert isinstance(principal, Principal)
    assert verifier.still_valid(principal, NOW) is None
    assert not verifier.needs_refresh()
    listed.write_text('[[revoked]]\nsubject = "alice"')
    assert verifier.needs_refresh()
    verifier.refresh(due_only=True)
    assert reason(verifier.still_valid(principal, NOW)) == "revoked"
    assert reason(verifier.verify(token, NOW)) == "revoked"
    listed.write_text("# nobody")
    verifier.refresh(due_only=True)
    assert verifier.still_valid(principal, NOW) is None


def test_a_list_that_is_gone_revokes_everything(ring: Any, make: Make, listed: Path) -> None:
    """Without the file, or with a broken one, every token is refused, and `problems` says why."""
    verifier = make(revocations=RevocationList(str(listed)))
    principal = verifier.verify(ring.issuer.mint("alice", audience="warehouse"), NOW)
    assert isinstance(principal, Principal)
    listed.unlink()
    assert verifier.needs_refresh()
    verifier.refresh(due_only=True)
    assert reason(verifier.still_valid(principal, NOW)) == "revocations_unavailable"
    assert "can't be read" in verifier.problems()["revocations"]
    listed.write_text("[[revoked]]")
    verifier.refresh(due_only=True)
    assert reason(verifier.still_valid(principal, NOW)) == "revocations_unavailable"
    listed.write_text("")
    verifier.refresh(due_only=True)
    assert verifier.still_valid(principal, NOW) is None
    assert verifier.problems() == {}


def test_a_list_replaced_in_one_step_is_seen(make: Make, listed: Path) -> None:
    """A file of the same size and time under the same name is another file."""
    verifier = make(revocations=RevocationList(str(listed)))
    seen = listed.stat()
    other = listed.with_name("other")
    other.write_text("")
    os.utime(other, ns=(seen.st_atime_ns, seen.st_mtime_ns))
    other.replace(listed)
    assert verifier.needs_refresh()


@pytest.mark.parametrize(
    ("answer", "expected"),
    [(False, ""), (True, "revoked"), (None, "revoked"), (0, "revoked"), ("no", "revoked")],
)
def test_a_callable_is_asked_at_every_look(
    ring: Any, make: Make, answer: Any, expected: str
) -> None:
    """Only False lets a principal go on."""
    verifier = make(revoked=lambda principal: answer)
    assert reason(verifier.verify(ring.issuer.mint("alice", audience="warehouse"), NOW)) == expected


def test_a_callable_that_raises_refuses(ring: Any, make: Make) -> None:
    """An outage of whoever knows is a refusal, and nothing of it shows."""
    broken = [False]

    def revoked(principal: Principal) -> bool:
        if broken[0]:
            raise ConnectionError("canary")
        return False

    verifier = make(revoked=revoked)
    principal = verifier.verify(ring.issuer.mint("alice", audience="warehouse"), NOW)
    assert isinstance(principal, Principal)
    broken[0] = True
    answer = verifier.still_valid(principal, NOW)
    assert reason(answer) == "revocations_unavailable"
    assert "canary" not in repr(answer)


def test_an_actor_that_is_revoked_ends_whom_it_acts_for(
    ring: Any, make: Make, listed: Path
) -> None:
    """A revoked agent's tokens are refused, whoever they are for."""
    listed.write_text('[[revoked]]\nsubject = "agent"')
    actors = [ActorRights(lambda name: True, frozenset({"agents"}))]
    verifier = make(revocations=RevocationList(str(listed)), actors=actors)
    token = ring.issuer.mint("alice", audience="warehouse", claims={"act": {"sub": "agent"}})
    assert reason(verifier.verify(token, NOW)) == "revoked"


POLICY = """
version = 1
[identity]
revocations = "revoked.toml"
[[issuers]]
issuer = "https://issuer.test"
audience = "warehouse"
keys = "jwks.json"
algorithms = ["ES256"]
"""


@pytest.fixture
def policy(ring: Any, listed: Path) -> Iterator[Path]:
    """Return a policy that names the list."""
    ring.issuer.write_jwks(listed.with_name("jwks.json"))
    path = listed.with_name("tracewall.toml")
    path.write_text(POLICY)
    yield path


def test_a_wall_holds_the_policys_list_and_the_services_callable(
    ring: Any, policy: Path, listed: Path
) -> None:
    """Both count, and the wall reads the file again when it has changed."""
    gone: set[str] = set()
    with Wall.load(policy, clock=lambda: NOW, revoked=lambda p: p.subject in gone) as wall:
        alice, bob = (
            wall.bearer(ring.issuer.mint(name, audience="warehouse")) for name in ("alice", "bob")
        )
        assert reason(wall.identify(alice)) == reason(wall.identify(bob)) == ""
        gone.add("bob")
        listed.write_text('[[revoked]]\nsubject = "alice"')
        assert wall.due(alice)
        wall.renew(alice)
        assert reason(wall.identify(alice)) == reason(wall.identify(bob)) == "revoked"


def test_a_wall_without_its_list_is_a_mistake(policy: Path, listed: Path) -> None:
    """A list that can't be read when the policy is loaded is told at once."""
    listed.unlink()
    with pytest.raises(PolicyError, match="what is revoked can't be read"):
        Wall.load(policy)
