"""A shipped policy on the bench: its rules hold, its issuers and database are the test's."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import tracewall
from tracewall.testing import Bench, FakeBackend, FixedClock

TABLES = {"shop.orders": {"id": "int8", "card": "text"}}
POLICY = """
version = 1
[database]
conninfo = "host=db.example.org user=service"
password_env = "NOWHERE"
[audit]
directory = "/var/lib/tracewall"
signing_key_env = "NOWHERE"
[[issuers]]
name = "main"
issuer = "https://login.example.org"
audience = "shop"
{issuer}
[[grants]]
name = "read"
groups = ["analysts"]
actions = ["select"]
tables = ["shop.orders"]
[[masks]]
name = "cards"
columns = ["shop.orders.card"]
method = "redact"
"""
SELECT = "select id, card from shop.orders"


@pytest.fixture
def policy(tmp_path: Path) -> Path:
    """A policy that trusts an issuer somewhere, and logs in to a database somewhere."""
    path = tmp_path / "tracewall.toml"
    path.write_text(POLICY.format(issuer='keys = "https://login.example.org/keys"'))
    return path


def test_the_shipped_rules_hold(policy: Path) -> None:
    """Masks and refusals are the policy's; nothing of the real world around it is needed."""
    with FakeBackend(TABLES) as backend, Bench.load(policy, backend) as bench:
        backend.on(SELECT).rows([(1, "CANARY")])
        with bench.connect("analysts") as conn:
            ((number, card),) = conn.execute(SELECT).fetchall()
            assert (number, "CANARY" in card) == (1, False)
        with bench.connect("others") as conn, pytest.raises(tracewall.Forbidden):
            conn.execute(SELECT)
        recorded = bench.recorded()
    assert '"rule":"grants.read"' in recorded
    assert "CANARY" not in recorded
    assert bench.wall.policy.hash == tracewall.policy.load.load(policy).hash


def test_the_record_on_the_bench_holds_what_the_policy_says(policy: Path) -> None:
    """What a policy wants in its record is there on the bench too: pseudonyms, sizes of results."""
    wanted = "[audit]\nerasable = true\nbytes = true\n"
    policy.write_text(policy.read_text().replace("[audit]\n", wanted))
    with FakeBackend(TABLES) as backend, Bench.load(policy, backend) as bench:
        backend.on(SELECT).rows([(1, "CANARY")])
        with bench.connect("analysts") as conn:
            conn.execute(SELECT).fetchall()
        recorded = bench.recorded()
    assert '"subject":"p-' in recorded
    assert '"bytes":' in recorded


async def test_the_bench_connects_asynchronously(policy: Path) -> None:
    """The asynchronous connection is guarded by the same wall."""
    with FakeBackend(TABLES) as backend, Bench.load(policy, backend) as bench:
        backend.on(SELECT).rows([(1, "CANARY")])
        async with await bench.connect_async("analysts") as conn:
            rows = await (await conn.execute(SELECT)).fetchall()
    assert "CANARY" not in repr(rows)


@pytest.mark.parametrize(
    "issuer",
    [
        'keys = "k.json"',
        'provider = "keycloak"',
        'provider = "okta"',
        'provider = "auth0"\ngroups_claim = "/https:~1~1shop.example.org~1groups"',
        'provider = "cognito"',
        'provider = "generic"\ngroups_claim = "realm.roles"\ntoken_type = "JWT"',
    ],
)
def test_tokens_are_shaped_as_the_policy_expects(tmp_path: Path, issuer: str) -> None:
    """Whatever the provider, a token of the bench is accepted, with its groups."""
    path = tmp_path / "tracewall.toml"
    path.write_text(POLICY.format(issuer=issuer))
    with FakeBackend(TABLES) as backend, Bench.load(path, backend) as bench:
        backend.on(SELECT).rows([(1, "x")])
        with bench.connect("analysts") as conn:
            assert len(conn.execute(SELECT).fetchall()) == 1


def test_tokens_can_be_wrong_on_purpose(policy: Path) -> None:
    """Time, claims and headers of a token are the test's to choose."""
    clock = FixedClock()
    with FakeBackend(TABLES) as backend, Bench.load(policy, backend, clock=clock) as bench:
        for wrong, reason in (
            ({"lifetime": -60}, "expired"),
            ({"claims": {"aud": "other"}}, "wrong_audience"),
            ({"headers": {"typ": "JWT"}}, "wrong_type"),
        ):
            with pytest.raises(tracewall.TokenRejected) as caught:
                bench.connect(token=bench.token("analysts", **wrong))  # type: ignore[arg-type]
            assert caught.value.reason == reason
        token = bench.token("analysts", subject="ana")
        clock.advance(3600)
        with pytest.raises(tracewall.TokenRejected):
            bench.connect(token=token)


def run_pytest(folder: Path, text: str) -> Any:
    (folder / "test_shop.py").write_text(text)
    root = Path(tracewall.__file__).parents[1]
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "tracewall.testing.plugin", "test_shop.py"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(root), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        capture_output=True,
        text=True,
        timeout=120,
    )


def test_the_fixtures_close_what_they_made(policy: Path, tmp_path: Path) -> None:
    """A test with the plugin's fixtures runs; one whose statement nobody scripted fails."""
    text = f"""
TABLES = {TABLES!r}

def test_masked(tracewall_backend, tracewall_bench):
    backend = tracewall_backend(TABLES)
    backend.on({SELECT!r}).rows([(1, "CANARY")])
    with tracewall_bench({str(policy)!r}, backend).connect("analysts") as conn:
        assert "CANARY" not in repr(conn.execute({SELECT!r}).fetchall())
"""
    good = run_pytest(tmp_path, text)
    assert good.returncode == 0, good.stdout
    text = text.replace("backend.on(", "backend.on('other', ) if True else (").replace(
        ".rows(", " or ("
    )
    bad = run_pytest(tmp_path, text)
    assert bad.returncode == 1
    assert "no answer was scripted" in bad.stdout
