"""A guarded trace store whose sessions are recorded, with a folder of its own for each test."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

import tracewall
from tracewall.recording.folder import Folder
from tracewall.recording.reader import Proof, Reading
from tracewall.recording.store import Entry
from tracewall.testing import TokenIssuer

POLICY = """
version = 1
name = "recorded"

[database]
conninfo = "{conninfo}"

[[issuers]]
name = "test"
issuer = "https://idp.test"
audience = "traces"
keys = "jwks.json"
algorithms = ["ES256"]

[[grants]]
name = "read"
groups = ["analysts"]
actions = ["select", "insert", "update"]
tables = ["traces.*"]

[[masks]]
name = "keys"
columns = ["traces.runs.api_key"]
method = "partial"
keep_last = 4

[[masks]]
name = "mail"
columns = ["traces.runs.user_email"]
method = "redact"
"""
RULE = """
[[recordings]]
name = "all"
"""


@dataclass
class Recorded:
    """A wall that records, and what it has recorded."""

    wall: tracewall.Wall
    issuer: TokenIssuer
    folder: Path
    _open: list[Any] = field(default_factory=list)

    def token(self, subject: str = "ann", groups: tuple[str, ...] = ("analysts",)) -> str:
        """Mint a token."""
        return self.issuer.mint(subject, list(groups), audience="traces")

    def connect(self, **options: Any) -> tracewall.Connection[Any]:
        """Connect as an analyst, in autocommit mode."""
        options = {"token": self.token(), "autocommit": True, **options}
        return tracewall.connect(wall=self.wall, **options)

    @property
    def store(self) -> Folder:
        """The folder of the recordings."""
        return Folder(self.folder / "recordings")

    def entries(self) -> list[Entry]:
        """Give what was recorded so far."""
        return list(self.store.entries())

    def lines(self, *, keys: tuple[Any, ...] = ()) -> list[dict[str, Any]]:
        """Give all lines of all recordings, in order."""
        return [line for entry in self.entries() for line in self.read(entry, keys)[0]]

    def read(self, entry: Entry, keys: Any = ()) -> tuple[list[dict[str, Any]], Proof]:
        """Give the lines of a recording, and what they prove."""
        with self.store.open(entry) as stream:
            reading = Reading(stream, entry.sealed, keys)
            return list(reading), reading.proof

    def of(self, kind: str) -> list[dict[str, Any]]:
        """Give all lines of a kind."""
        return [line for line in self.lines() if line["kind"] == kind]

    def rows(self) -> list[Any]:
        """Give all rows recorded."""
        return [row for line in self.of("rows") for row in line["rows"]]


@pytest.fixture
def recorded(store: Any, tmp_path: Path) -> Iterator[Callable[..., Recorded]]:
    """Makes a wall by some rules for recording."""
    with ExitStack() as stack:

        def make(rules: str = RULE) -> Recorded:
            issuer = TokenIssuer("https://idp.test")
            issuer.write_jwks(tmp_path / "jwks.json")
            policy = tmp_path / "tracewall.toml"
            policy.write_text(POLICY.format(conninfo=store.dsn) + rules)
            wall = tracewall.Wall.load(policy, password=lambda: store.password)
            stack.enter_context(wall)
            return Recorded(wall, issuer, tmp_path)

        yield make
