"""A guarded trace store: a policy, an issuer and a wall, made once for the doors' tests."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tracewall import Wall
from tracewall.testing import TokenIssuer

ISSUER = "https://idp.test"
AUDIENCE = "traces"
POLICY = """
version = 1
name = "doors"

[database]
conninfo = "{conninfo}"

[audit]
directory = "audit"

[limits]
rows = 150

[[issuers]]
name = "test"
issuer = "https://idp.test"
audience = "traces"
keys = "jwks.json"
algorithms = ["ES256"]

[[grants]]
name = "read"
groups = ["analysts", "operators"]
actions = ["select"]
tables = ["traces.*"]

[[grants]]
name = "write"
groups = ["operators"]
actions = ["insert", "update", "delete"]
tables = ["traces.steps"]

[[grants]]
name = "hear"
groups = ["operators"]
actions = ["listen"]
channels = ["gossip"]

[[denials]]
name = "addresses"
groups = ["analysts"]
tables = ["traces.runs"]
columns = ["client_ip"]

[[masks]]
name = "keys"
columns = ["traces.runs.api_key"]
method = "partial"
keep_last = 4

[[masks]]
name = "mail"
columns = ["traces.runs.user_email"]
method = "email"

[[scans]]
name = "text"
columns = ["traces.steps.content", "traces.messages.parts", "traces.tool_calls.*"]
"""


@dataclass(frozen=True)
class Guard:
    """A wall over the trace store, with tokens to show and the raw truth to compare with."""

    wall: Wall
    issuer: TokenIssuer
    folder: Path
    store: Any

    def token(self, *groups: str, **claims: Any) -> str:
        """Mint a token for a member of some groups."""
        return self.issuer.mint("someone", list(groups), audience=AUDIENCE, **claims)

    @property
    def analyst(self) -> str:
        """A token of an analyst."""
        return self.token("analysts")

    @property
    def operator(self) -> str:
        """A token of an operator."""
        return self.token("operators")

    def raw(self, query: str, params: Any = None) -> list[Any]:
        """Give what an unguarded superuser gets."""
        with psycopg.connect(self.store.admin_dsn, autocommit=True) as conn:
            cursor = conn.execute(query, params)
            return cursor.fetchall() if cursor.description else []

    def recorded(self) -> str:
        """Give everything the audit log holds so far."""
        self.wall.audit.flush()
        return "".join(path.read_text() for path in (self.folder / "audit").glob("*"))


@pytest.fixture(scope="session")
def guard(store: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guard]:
    """A guarded trace store that all tests of the doors share."""
    folder = tmp_path_factory.mktemp("wall")
    issuer = TokenIssuer(ISSUER)
    issuer.write_jwks(folder / "jwks.json")
    policy = folder / "tracewall.toml"
    policy.write_text(POLICY.format(conninfo=store.dsn))
    with Wall.load(policy, password=lambda: store.password) as wall:
        yield Guard(wall, issuer, folder, store)
