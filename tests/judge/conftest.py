"""A small catalog without a server, and policies made of a few words."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import msgspec
import pytest

from tracewall.masking.config import Method
from tracewall.policy.decide import decide
from tracewall.policy.model import (
    TABLE_ACTIONS,
    Decision,
    Denial,
    Glob,
    Grant,
    Limits,
    Mask,
    Policy,
    Scan,
)
from tracewall.policy.rights import Rights
from tracewall.sql.catalog import Attribute, Catalog, Relation, read
from tracewall.sql.statement import understand

TEXT = 25
TABLES = {
    "shop.people": "id name email token ssn salary notes doc",
    "shop.accounts": "id token ssn owner",
    "shop.notes": "id line",
    "shop.logs": "at line actor",
    "shop.logs_2024": "line at actor",
    "shop.logs_2025": "at line actor",
    "shop.logs_2024_01": "at line actor",
    "other.people": "id email",
}


def make_catalog() -> Catalog:
    """Give the catalog: logs has partitions, people a generated column, and there is a view."""
    made = {}
    for oid, (name, columns) in enumerate(TABLES.items(), start=100):
        schema, table = name.split(".")
        listed = tuple(Attribute(at, each, TEXT) for at, each in enumerate(columns.split(), 1))
        made[name] = Relation(oid, schema, table, columns=listed)
    tail = Attribute(9, "tail", TEXT, generated=True, uses=(4,))
    people = made["shop.people"]
    made["shop.people"] = msgspec.structs.replace(people, columns=(*people.columns, tail))
    for child, parent in (
        ("logs_2024", "logs"),
        ("logs_2025", "logs"),
        ("logs_2024_01", "logs_2024"),
    ):
        oid = made[f"shop.{parent}"].oid
        made[f"shop.{child}"] = msgspec.structs.replace(made[f"shop.{child}"], parents=(oid,))
    view = Relation(200, "shop", "faces", kind="v", columns=people.columns)
    settings = {"database": "shop", "role": "service", "path": ["pg_catalog", "shop"]}
    answers = (settings, [*made.values(), view], [], [], [], [], [], [], [], [])
    return read([msgspec.json.encode(answer) for answer in answers])


def globs(*texts: str) -> tuple[Glob, ...]:
    """Give patterns."""
    return tuple(map(Glob, texts))


def grant(
    tables: str = "shop.*", actions: str = "select", columns: str = "*", **more: Any
) -> Grant:
    """Give a grant to the group ``people``, lists written with blanks."""
    groups = tuple(Glob(name, dots=True) for name in more.pop("groups", "people").split())
    name = more.pop("name", "grant")
    listed = frozenset(TABLE_ACTIONS if actions == "all" else actions.split())
    return Grant(name, groups, listed, globs(*tables.split()), globs(*columns.split()), **more)


def denial(tables: str, actions: str = "select", columns: str = "*", **more: Any) -> Denial:
    """Give a denial to everybody, lists written with blanks."""
    groups = tuple(Glob(name, dots=True) for name in more.pop("groups", "*").split())
    name = more.pop("name", "denial")
    listed = frozenset(TABLE_ACTIONS if actions == "all" else actions.split())
    return Denial(name, groups, listed, globs(*tables.split()), globs(*columns.split()), **more)


def mask(
    columns: str, predicates: str = "equality", expressions: str = "refuse", **more: Any
) -> Mask:
    """Give a mask that redacts."""
    method = Method(more.get("method", "redact"), keep_last=more.get("keep_last", 0))
    name = more.get("name", "mask")
    return Mask(name, globs(*columns.split()), method, predicates, expressions)  # type: ignore[arg-type]


def scan(columns: str, predicates: str = "any", name: str = "scan", **more: Any) -> Scan:
    """Give a scan by all detectors."""
    rule = Scan(name, globs(*columns.split()), predicates=predicates)  # type: ignore[arg-type]
    return replace(rule, **more)


def policy(*rules: Grant | Denial | Mask | Scan, rows: int = 0) -> Policy:
    """Give a policy of some rules."""
    return Policy(
        version=1,
        hash="hash",
        grants=tuple(rule for rule in rules if isinstance(rule, Grant)),
        denials=tuple(rule for rule in rules if isinstance(rule, Denial)),
        masks=tuple(rule for rule in rules if isinstance(rule, Mask)),
        scans=tuple(rule for rule in rules if isinstance(rule, Scan)),
        limits=Limits(rows=rows),
    )


@pytest.fixture(scope="session")
def catalog() -> Catalog:
    """The small catalog."""
    return make_catalog()


@pytest.fixture(scope="session")
def words() -> Any:
    """What policies are made of: ``grant``, ``denial``, ``mask``, ``scan``, ``policy``."""

    class Words:
        pass

    for function in (grant, denial, mask, scan, policy):
        setattr(Words, function.__name__, staticmethod(function))
    return Words


@pytest.fixture(scope="session")
def judge(catalog: Catalog) -> Callable[..., Decision]:
    """Give the decision on a statement under some rules, for the members of some groups."""

    def judged(sql: str, *rules: Any, groups: Sequence[str] = ("people",)) -> Decision:
        held = rules[0] if rules and isinstance(rules[0], Policy) else policy(*rules)
        return decide(understand(sql.encode(), catalog), Rights(held, catalog, frozenset(groups)))

    return judged
