"""Walls over a scratch database, each with the masks that a test wants."""

from __future__ import annotations

import importlib.util
import secrets
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

import tracewall
from tracewall.testing import TokenIssuer

HEAD = """
version = 1

[database]
conninfo = "{conninfo}"

[audit]
directory = "{audit}"

[[issuers]]
issuer = "https://idp.test"
audience = "zoo"
keys = "jwks.json"
algorithms = ["ES256"]

[[grants]]
groups = ["*"]
actions = ["select", "insert", "update", "delete"]
tables = ["zoo.*"]
"""
KEY = b"a key that only this test knows!"


@dataclass
class Zoo:
    """A database with a schema of its own, to fill and to guard."""

    dsn: str
    folder: Path
    issuer: TokenIssuer
    plain: psycopg.Connection[Any]
    stack: ExitStack = field(default_factory=ExitStack)
    made: int = 0

    def load(self, rules: str, **options: Any) -> tracewall.Wall:
        """Make a wall of some rules."""
        self.made += 1
        path = self.folder / f"policy{self.made}.toml"
        path.write_text(HEAD.format(conninfo=self.dsn, audit=f"audit{self.made}") + rules)
        return self.stack.enter_context(tracewall.Wall.load(path, **options))

    def connect(self, wall: tracewall.Wall, *groups: str) -> tracewall.Connection[Any]:
        """Connect a member of some groups."""
        token = self.issuer.mint("ann", list(groups or ("staff",)), audience="zoo")
        made = tracewall.connect(wall=wall, token=token, autocommit=True)
        return self.stack.enter_context(made)

    def guarded(self, rules: str, *groups: str, **options: Any) -> tracewall.Connection[Any]:
        """Connect through a wall of some rules."""
        return self.connect(self.load(rules, **options), *groups)

    def recorded(self) -> str:
        """Give what the walls recorded."""
        return "".join(path.read_text() for path in self.folder.glob("audit*/*"))


@contextmanager
def _zoo(admin_dsn: str, folder: Path) -> Iterator[Zoo]:
    name = f"zoo_{secrets.token_hex(6)}"
    issuer = TokenIssuer("https://idp.test")
    issuer.write_jwks(folder / "jwks.json")
    with psycopg.connect(admin_dsn, autocommit=True) as admin:
        admin.execute(f"CREATE DATABASE {name}")
        try:
            dsn = make_conninfo(admin_dsn, dbname=name)
            with psycopg.connect(dsn, autocommit=True) as plain:
                plain.execute("CREATE SCHEMA zoo")
                zoo = Zoo(dsn, folder, issuer, plain)
                with zoo.stack:
                    yield zoo
        finally:
            admin.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(scope="module")
def zoo(admin_dsn: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Zoo]:
    """A database for the tests of one module."""
    with _zoo(admin_dsn, tmp_path_factory.mktemp("zoo")) as made:
        yield made


@pytest.fixture(scope="session", autouse=True)
def zookeeper() -> Iterator[str]:
    """Make the functions of `zookeeper` importable under that name."""
    spec = importlib.util.spec_from_file_location(
        "zookeeper", Path(__file__).parent / "zookeeper.py"
    )
    assert spec is not None and spec.loader is not None
    module = sys.modules["zookeeper"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    yield "zookeeper"
    del sys.modules["zookeeper"]
