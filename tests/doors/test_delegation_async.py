"""An agent that acts for a person, on a real server: what either may not, neither does."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import tracewall
from tracewall import AsyncConnection, Wall

ACTORS = """
[[actors]]
subjects = ["agent-*"]
groups = ["analysts"]
"""


@pytest.fixture
def wall(guard: Any, tmp_path: Path) -> Iterator[Wall]:
    """Return a wall over the guard's store that knows agents: they are analysts."""
    (tmp_path / "jwks.json").write_text((guard.folder / "jwks.json").read_text())
    text = (guard.folder / "tracewall.toml").read_text() + ACTORS
    (tmp_path / "tracewall.toml").write_text(text)
    with Wall.load(tmp_path / "tracewall.toml", password=lambda: guard.store.password) as made:
        yield made


async def served(wall: Wall, token: str, query: str) -> bool:
    """Tell whether a statement is served under a token."""
    async with await AsyncConnection.connect(wall=wall, token=token) as conn:
        try:
            await conn.execute(query)
        except tracewall.Forbidden:
            return False
        return True


async def test_an_agent_does_only_what_both_may(guard: Any, wall: Wall) -> None:
    """An operator's agent reads as an analyst, and an operator's rights stay with the operator."""
    agent = guard.token("operators", claims={"act": {"sub": "agent-7"}})
    address = "select client_ip from traces.runs limit 1"
    change = "delete from traces.steps where false"
    assert await served(wall, guard.operator, address)
    assert not await served(wall, agent, address)
    assert await served(wall, guard.operator, change)
    assert not await served(wall, agent, change)
    assert await served(wall, agent, "select run_id from traces.runs limit 1")


async def test_an_unknown_agent_does_nothing(guard: Any, wall: Wall) -> None:
    """Where nobody knows the agent's rights the token is refused."""
    token = guard.token("operators", claims={"act": {"sub": "stranger"}})
    with pytest.raises(tracewall.TokenRejected) as caught:
        await AsyncConnection.connect(wall=wall, token=token)
    assert caught.value.reason == "delegation"


async def test_the_record_names_the_agent(guard: Any, wall: Wall, tmp_path: Path) -> None:
    """Who acted, and for whom, is kept."""
    token = guard.token("operators", claims={"act": {"sub": "agent-7", "act": {"sub": "agent-1"}}})
    await served(wall, token, "select run_id from traces.runs limit 1")
    wall.audit.flush()
    kept = "".join(path.read_text() for path in (tmp_path / "audit").glob("*") if path.is_file())
    assert '"actor":"agent-7 < agent-1"' in kept
