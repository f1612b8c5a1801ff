"""What the parts of the table stand on: one server, policies, connections of both kinds."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, LiteralString

import psycopg
from pairs import apart
from point_lookup import POLICY, SETUP
from psycopg.conninfo import make_conninfo
from psycopg.sql import SQL, Identifier

import tracewall
from tracewall.demo.server import EmbeddedServer, embedded_server
from tracewall.testing import TokenIssuer

_ALL = POLICY[: POLICY.index("[[masks]]")].replace("bench.runs", "bench.*")
UNMASKED = _ALL.replace('["select"]', '["select", "update"]')
MASKED = POLICY[POLICY.index("[[masks]]") :]
SETTINGS: tuple[LiteralString, ...] = (
    "ALTER SYSTEM SET max_connections = 300",
    "ALTER SYSTEM SET fsync = off",
    "ALTER SYSTEM SET full_page_writes = off",
    "ALTER SYSTEM SET synchronous_commit = off",
)


@dataclass(frozen=True, slots=True)
class Scale:
    """How much is done: `rounds` of pairs, `lookups` in one batch, and the sizes of what grows.

    `counted` is how many lookups callgrind counts; 0: it counts none.
    A comparison that takes longer than `seconds` on a busy machine ends with fewer rounds.
    """

    rounds: int
    seconds: float
    lookups: int
    crowds: tuple[int, ...]
    statements: tuple[int, ...]
    rows: tuple[int, ...]
    rules: tuple[int, ...]
    tables: tuple[int, ...]
    connections: int
    remembered: int
    records: int
    counted: int

    @staticmethod
    def whole(rounds: int) -> Scale:
        """The sizes that the table is about."""
        return Scale(
            rounds,
            seconds=rounds / 25,
            lookups=200,
            crowds=(1, 2, 4, 8, 16, 32, 64),
            statements=(1, 10, 100, 1_000, 10_000),
            rows=(1, 10, 100, 1_000, 10_000, 100_000),
            rules=(10, 100, 1_000, 10_000),
            tables=(10, 100, 1_000, 10_000),
            connections=50,
            remembered=2_000,
            records=100_000,
            counted=500,
        )

    @staticmethod
    def tiny() -> Scale:
        """Sizes that show only that a part works."""
        few = (1, 2)
        return Scale(2, 1.0, 3, few, few, few, (10, 20), (10, 20), 2, 20, 100, 0)


@dataclass(frozen=True)
class Ground:
    """A server with the tables, and what is opened on it; all of it is closed with `stack`."""

    server: EmbeddedServer
    folder: Path
    python: str = ""
    traces: Path | None = None
    issuer: TokenIssuer = field(default_factory=lambda: TokenIssuer("https://idp.test"))
    stack: ExitStack = field(default_factory=ExitStack)

    @property
    def conninfo(self) -> str:
        """Logs in as a superuser."""
        return self.server.conninfo

    @property
    def version(self) -> str:
        """The server's version."""
        with psycopg.connect(self.conninfo) as conn:
            return conn.execute("show server_version").fetchone()[0]  # type: ignore[index]

    @property
    def token(self) -> str:
        """The token of an analyst."""
        return self.issuer.mint("ann", ["analysts"], audience="bench")

    def of_its_own(self) -> Ground:
        """Give the same ground with nothing opened on it."""
        return replace(self, stack=ExitStack())

    def wall(
        self,
        *,
        durability: str = "buffered",
        rules: str = "",
        conninfo: str = "",
        mask_key: bytes | None = None,
        telemetry: Any = None,
    ) -> tracewall.Wall:
        """Load a policy that grants everything there is, with more rules where they are given."""
        path = self.policy(durability=durability, rules=rules, conninfo=conninfo)
        wall = tracewall.Wall.load(path, mask_key=mask_key, telemetry=telemetry)
        return self.stack.enter_context(wall)

    def policy(self, *, durability: str = "buffered", rules: str = "", conninfo: str = "") -> Path:
        """Write a policy into a folder of its own."""
        place = Path(tempfile.mkdtemp(dir=self.folder))
        self.issuer.write_jwks(place / "jwks.json")
        path = place / "policy.toml"
        said = UNMASKED.format(conninfo=conninfo or self.conninfo, durability=durability)
        path.write_text(said + rules)
        return path

    def plain(self, conninfo: str = "") -> psycopg.Connection:
        """Connect without a guard."""
        opened = psycopg.connect(conninfo or self.conninfo, autocommit=True)
        return self._apart(self.stack.enter_context(opened))

    def guarded(self, wall: tracewall.Wall) -> Any:
        """Connect behind a wall."""
        opened = tracewall.connect(wall=wall, token=self.token, autocommit=True)
        return self._apart(self.stack.enter_context(opened))

    def database(self, name: str) -> str:
        """Make an empty database, and say how to log in to it."""
        with psycopg.connect(self.conninfo, autocommit=True) as conn:
            conn.execute(SQL("drop database if exists {}").format(Identifier(name)))
            conn.execute(SQL("create database {}").format(Identifier(name)))
        return make_conninfo(self.conninfo, dbname=name)

    def _apart(self, conn: Any) -> Any:
        apart(conn)
        return conn


@contextmanager
def ground(python: str = "", *, traces: Path | None = None, crowd: int = 0) -> Iterator[Ground]:
    """Start a server with the tables, for as long as the block runs.

    `python` is another interpreter, of an environment with what is not in this one; `traces`
    holds real text; `crowd` is how many want to be connected at a time.
    """
    with _server(crowd) as server, tempfile.TemporaryDirectory() as place:
        with psycopg.connect(server.conninfo) as conn:
            conn.execute(SETUP)
        yield Ground(server, Path(place), python, traces)


@contextmanager
def _server(crowd: int) -> Iterator[EmbeddedServer]:
    if crowd < 80:
        with embedded_server() as server:
            yield server
        return
    home = Path(tempfile.mkdtemp(prefix="tracewall-")).resolve()
    try:
        # Started twice: how many may connect is read at the start.
        with (
            embedded_server(home) as server,
            psycopg.connect(server.conninfo, autocommit=True) as conn,
        ):
            for setting in SETTINGS:
                conn.execute(setting)
        with embedded_server(home) as server:
            yield server
    finally:
        shutil.rmtree(home, ignore_errors=True)


def owner(server: EmbeddedServer) -> dict[str, Any]:
    """Give as whom a program has to run beside the server, for `subprocess`; root may be nobody."""
    if os.name != "posix" or os.geteuid() != 0:
        return {}
    held = server.directory.stat()
    return {"user": held.st_uid, "group": held.st_gid, "extra_groups": []}
