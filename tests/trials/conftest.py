"""A policy of a small shop, and files of tests of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import pytest
from click.testing import CliRunner, Result

from tracewall.cli.commands import tracewall

Run: TypeAlias = Callable[..., Result]
Write: TypeAlias = Callable[..., Path]

POLICY = """
version = 1
[[issuers]]
issuer = "https://issuer.test"
audience = "shop"
keys = "jwks.json"
[[grants]]
name = "analysts"
groups = ["analysts"]
actions = ["select"]
tables = ["shop.*"]
[[grants]]
name = "clerks"
groups = ["clerks"]
actions = ["select", "update"]
tables = ["shop.orders"]
columns = ["id", "note"]
[[masks]]
name = "cards"
columns = ["shop.orders.card"]
method = "partial"
keep_last = 4
[[scans]]
name = "notes"
columns = ["shop.orders.note"]
"""
HEAD = """
version = 1
policy = "policy.toml"
[tables]
"shop.orders" = { id = "int8", card = "text", note = "text", at = "timestamptz" }
[[principals]]
name = "ana"
groups = ["analysts"]
[[principals]]
name = "cleo"
groups = ["clerks"]
"""


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run the command with arguments, in the directory of the test."""
    monkeypatch.chdir(tmp_path)

    def invoke(*arguments: Any) -> Result:
        result = CliRunner().invoke(tracewall, [str(each) for each in arguments])
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    return invoke


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write a file of tests, and the policy beside it."""
    (tmp_path / "policy.toml").write_text(POLICY, "utf-8")

    def written(
        tests: str, *, head: str = "", more: str = "", name: str = "shop.tracewall.toml"
    ) -> Path:
        path = tmp_path / name
        path.write_text((head or HEAD) + more + tests, "utf-8")
        return path

    return written
