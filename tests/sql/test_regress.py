"""All statements of PostgreSQL's own regression suite: each gets a decision, and soon."""

from __future__ import annotations

import gzip
import json
import os
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tracewall.masking.config import Method
from tracewall.policy.decide import decide
from tracewall.policy.model import TABLE_ACTIONS, Decision, Glob, Grant, Mask, Policy, Scan
from tracewall.policy.rights import Rights
from tracewall.sql import grammar
from tracewall.sql.catalog import Attribute, Catalog, Relation, read
from tracewall.sql.statement import Statement, Understanding, understand

LIMIT = 0.05
"""Seconds that judging one statement may take."""

MANY = 14_000
"""How many of the statements must be read, so that the replay means something."""


@pytest.fixture(scope="module")
def corpus() -> list[str]:
    """The statements; the tests are skipped where they are not at hand."""
    named = os.environ.get("TRACEWALL_SHARED_DATA")
    data = Path(named) if named else Path(__file__).parents[3] / "shared" / "data"
    path = data / "pg_regress.jsonl.gz"
    if not path.exists():
        pytest.skip("no regression statements here: set TRACEWALL_SHARED_DATA to their directory")
    with gzip.open(path, "rt") as lines:
        return [json.loads(line)["sql"] for line in lines]


@pytest.fixture(scope="module")
def catalog(corpus: list[str]) -> Catalog:
    """A catalog that has each relation that is named, with the columns named beside it."""
    columns: dict[str, dict[str, None]] = defaultdict(dict)
    for sql in corpus:
        try:
            relations, names = named_in(grammar.parse(sql.encode()))
        except grammar.Unparsable:
            continue
        for relation in relations:
            columns[relation].update(names)
    known = [
        Relation(oid, "public", name, columns=tuple(map(Attribute, range(1, 61), listed)))
        for oid, (name, listed) in enumerate(columns.items(), start=1_000)
    ]
    settings = {"database": "d", "role": "r", "path": ["pg_catalog", "public"]}
    answers: tuple[Any, ...] = (settings, known, [], [], [], [], [], [], [], [])
    return read([msgspec.json.encode(answer) for answer in answers])


def named_in(tree: grammar.Node) -> tuple[set[str], dict[str, None]]:
    """Give the relations and the columns that a tree names."""
    relations: set[str] = set()
    columns: dict[str, None] = {}
    queue: list[Any] = [tree]
    while queue:
        node = queue.pop()
        if isinstance(node, dict):
            if "relname" in node:
                relations.add(node["relname"])
            last = node.get("ColumnRef", {}).get("fields", [{}])[-1]
            for name in (last.get("String", {}).get("sval"), node.get("colname")):
                if isinstance(name, str):
                    columns[name] = None
            queue += node.values()
        elif isinstance(node, list):
            queue += node
    return relations, columns


def policies() -> Iterator[Policy]:
    """Give a policy that grants nothing, one that grants all, and one that protects much."""
    everything = Grant("all", (Glob("*", dots=True),), frozenset(TABLE_ACTIONS), (Glob("*.*"),))
    redact = Method("redact")
    masks = (
        Mask("none", (Glob("*.*.a"), Glob("*.*.f1")), redact, predicates="none"),
        Mask("equality", (Glob("*.*.b"), Glob("*.*.id")), redact, expressions="mask"),
        Mask("any", (Glob("*.*.c"), Glob("*.*.x")), redact, predicates="any"),
    )
    scans = (Scan("texts", (Glob("*.*.t"), Glob("*.*.d"))),)
    yield Policy(1, "nothing")
    yield Policy(1, "everything", grants=(everything,))
    yield Policy(1, "much", grants=(everything,), masks=masks, scans=scans)


@pytest.fixture(scope="module")
def replayed(corpus: list[str], catalog: Catalog) -> list[tuple[str, Understanding, float]]:
    """Each statement, what it was understood as, and the processor time that took."""
    replay = []
    for sql in corpus:
        started = time.process_time()
        understood = understand(sql.encode(), catalog)
        replay.append((sql, understood, time.process_time() - started))
    return replay


def test_each_statement_gets_a_decision(replayed: Any, catalog: Catalog) -> None:
    """Whatever the statement, it is read and decided on under any policy, and nothing raises."""
    judges = [Rights(policy, catalog, frozenset({"people"})) for policy in policies()]
    counts: dict[tuple[str, str], int] = defaultdict(int)
    for _, understood, _ in replayed:
        for rights in judges:
            decision = decide(understood, rights)
            assert isinstance(decision, Decision)
            counts[rights.policy.hash, decision.outcome] += 1
            if isinstance(understood, Statement) and decision.allowed:
                assert len(decision.columns) == len(understood.columns)
    nothing, much, everything = (
        counts[name, "allowed"] for name in ("nothing", "much", "everything")
    )
    # Where nothing is granted, only what reads no relation at all is allowed.
    assert nothing < much < everything
    assert everything > MANY


def test_each_statement_is_read_in_time(replayed: Any, catalog: Catalog) -> None:
    """No statement of the suite takes longer than 50 ms of processor time."""
    slowest = 0.0
    for sql, _, took in replayed:
        if took > LIMIT / 5:
            # The collector of garbage, or another process, may have taken part of it.
            took = min(took, *(timed(sql, catalog) for _ in range(5)))
        slowest = max(slowest, took)
        assert took < LIMIT, sql
    print(f"the slowest of {len(replayed)} statements took {slowest * 1000:.1f} ms")


def timed(sql: str, catalog: Catalog) -> float:
    """Give the processor time that reading takes, in seconds."""
    started = time.process_time()
    understand(sql.encode(), catalog)
    return time.process_time() - started


def test_reading_is_deterministic(replayed: Any, catalog: Catalog) -> None:
    """The same statement is understood the same each time."""
    for sql, understood, _ in replayed[::7]:
        assert understand(sql.encode(), catalog) == understood
