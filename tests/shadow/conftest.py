"""A table with protected columns, and walls that enforce a policy or only observe it."""

from __future__ import annotations

import json
import secrets
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

import tracewall
from tracewall.shadow import ObservedOnly
from tracewall.testing import FixedClock, TokenIssuer

ROWS = [(1, "4111111111111111", "mail a@b.example", "CANARY-7c1"), (2, None, None, "CANARY-7c2")]
POLICY = """
version = 1
[[issuers]]
issuer = "https://issuer.test"
audience = "shop"
keys = "jwks.json"
[[grants]]
name = "read"
groups = ["staff"]
actions = ["select"]
tables = ["public.orders"]
columns = ["id", "card", "note"]
[[masks]]
name = "cards"
columns = ["public.orders.card"]
method = "redact"
[[scans]]
name = "notes"
columns = ["public.orders.note"]
"""


@dataclass
class House:
    """Makes walls over one database, and reads what they recorded."""

    folder: Path
    dsn: str
    admin: str
    password: str
    clock: FixedClock = field(default_factory=FixedClock)
    issuer: TokenIssuer = field(init=False)

    def __post_init__(self) -> None:
        self.issuer = TokenIssuer("https://issuer.test", clock=self.clock)
        self.issuer.write_jwks(self.folder / "jwks.json")

    def write(self, more: str = "", policy: str = POLICY) -> Path:
        """Write a policy file."""
        path = self.folder / "policy.toml"
        login = f"[database]\nconninfo = {json.dumps(self.dsn)}\n"
        path.write_text(policy + login + more, "utf-8")
        return path

    def wall(self, more: str = "", *, policy: str = POLICY, **options: Any) -> tracewall.Wall:
        """Load a wall; that it only observes is agreed to, and warned of."""
        path = self.write(more, policy)
        options = {"unsafe_observe": True, "clock": self.clock} | options
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ObservedOnly)
            return tracewall.Wall.load(path, password=lambda: self.password, **options)

    def token(self, *groups: str, **options: Any) -> str:
        """Mint a token."""
        return self.issuer.mint("ann", list(groups), audience="shop", **options)

    def records(self) -> list[dict[str, Any]]:
        """Give what the audit log holds."""
        found = sorted((self.folder / "audit").glob("*.jsonl"))
        return [json.loads(line) for path in found for line in path.read_text().splitlines()]

    def said(self) -> list[dict[str, Any]]:
        """Give what is recorded of each statement on the tables."""
        told = [record["what"] for record in self.records() if record["kind"] == "intent"]
        return [what for what in told if what["text"]]


def observing(clock: FixedClock, **keys: str) -> str:
    """Write the section that has a policy observed for an hour."""
    end = f"until = {_stamp(clock() + 3600)}\n"
    more = "".join(f'{key} = "{value}"\n' for key, value in keys.items())
    return f'[enforcement]\nmode = "observe"\n{end}{more}'


def _stamp(seconds: float) -> str:
    from datetime import UTC, datetime

    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


@pytest.fixture
def section() -> Callable[..., str]:
    """Write the section that has a policy observed for an hour."""
    return observing


@pytest.fixture(scope="module")
def database(module_dsn: str) -> Iterator[tuple[str, str]]:
    """A table, and a role that may do more to it than any policy here grants."""
    role, password = f"shop_{secrets.token_hex(4)}", secrets.token_urlsafe(12)
    with psycopg.connect(module_dsn, autocommit=True) as conn:
        conn.execute("create table orders (id int primary key, card text, note text, secret text)")
        conn.execute("create table other (id int)")
        conn.cursor().executemany("insert into orders values (%s, %s, %s, %s)", ROWS)
        name = sql.Identifier(role)
        conn.execute(sql.SQL("create role {} login password {}").format(name, password))
        conn.execute(sql.SQL("grant all on orders, other to {}").format(name))
    yield role, password
    with psycopg.connect(module_dsn, autocommit=True) as conn:
        conn.execute(sql.SQL("drop owned by {0}; drop role {0}").format(sql.Identifier(role)))


@pytest.fixture
def house(tmp_path: Path, module_dsn: str, database: tuple[str, str]) -> House:
    """The database, with rows as they were, and a place for walls."""
    role, password = database
    parts: dict[str, Any] = conninfo_to_dict(module_dsn)
    parts.pop("password", None)
    return House(tmp_path, make_conninfo(**{**parts, "user": role}), module_dsn, password)
