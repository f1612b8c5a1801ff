"""What judging costs: first sight of three statements, a repeated one, and what a cache weighs.

Run it on a quiet machine: ``python benchmarks/judge.py``. Times are medians of processor
time. A first sight reads the statement with both parsers and decides on it; it is what a
text that was never seen costs. Goals: under 0.15 ms for a point lookup, 1.5 ms for a
report of six joins, 15 ms for 200 lines of analytics, 3 µs for a repeated statement.
"""

from __future__ import annotations

import statistics
import sys
import time
import tracemalloc
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).parents[1]))  # where tracewall is not installed

from tracewall.masking.config import Method
from tracewall.policy.model import Glob, Grant, Limits, Mask, Policy
from tracewall.shield import Shield
from tracewall.sql.catalog import Attribute, Catalog, Relation
from tracewall.wall import Judge

TABLES = {
    name: "id name owner_id parent_id state created amount note secret doc".split()
    for name in ("runs", "steps", "messages", "calls", "users", "teams", "models", "costs")
}
POINT = "SELECT id, name, secret FROM runs WHERE id = $1"
REPORT = """
SELECT t.name AS team, u.name AS owner, m.name AS model, date_trunc('month', r.created) AS month,
    count(DISTINCT r.id) AS runs, sum(c.amount) AS cost, max(s.created) - min(s.created) AS took,
    count(*) FILTER (WHERE s.state = 'failed') AS failed, avg(k.amount) AS tokens
FROM runs r
JOIN steps s ON s.parent_id = r.id
JOIN calls k ON k.parent_id = s.id
JOIN users u ON u.id = r.owner_id
JOIN teams t ON t.id = u.parent_id
JOIN models m ON m.id = k.owner_id
LEFT JOIN costs c ON c.parent_id = k.id AND c.state = 'billed'
WHERE r.created >= $1 AND r.created < $2 AND t.name = ANY ($3) AND r.note IS NOT NULL
GROUP BY t.name, u.name, m.name, month
HAVING sum(c.amount) > 0
ORDER BY cost DESC NULLS LAST, team LIMIT 100
"""
STAGE = """{name} AS (
    SELECT r.id, r.owner_id, s.state, s.created, k.amount * 1.1 AS amount, p.id AS before,
        row_number() OVER (PARTITION BY r.owner_id ORDER BY s.created DESC) AS nth,
        CASE WHEN s.state = 'failed' THEN 1 WHEN k.amount > 10 THEN 2 ELSE 0 END AS class,
        coalesce(r.name, 'none') || ':' || s.name AS label
    FROM runs r
    JOIN steps s ON s.parent_id = r.id
    LEFT JOIN calls k ON k.parent_id = s.id AND k.state <> 'void'
    LEFT JOIN {before} p ON p.id = r.id
    WHERE r.created > now() - interval '30 days' AND s.amount BETWEEN 1 AND 100
        AND EXISTS (SELECT 1 FROM users u WHERE u.id = r.owner_id AND u.state = 'on')
)"""


def analytics() -> str:
    """Give an analytic query of over 200 lines, each stage reading the one before."""
    names = ["teams", *(f"stage{at}" for at in range(17))]
    stages = [STAGE.format(name=name, before=before) for before, name in pairwise(names)]
    last = f"SELECT class, count(*), sum(amount) FROM {names[-1]}\nGROUP BY class ORDER BY 2 DESC"
    return "WITH " + ",\n".join(stages) + "\n" + last


def catalog() -> Catalog:
    """Give a catalog of eight tables."""
    known = {}
    for oid, (name, columns) in enumerate(TABLES.items(), start=20_000):
        listed = tuple(Attribute(at, column, 25) for at, column in enumerate(columns, start=1))
        known[oid] = Relation(oid, "app", name, columns=listed)
    names = {(relation.schema, relation.name): relation for relation in known.values()}
    return Catalog("bench", "service", ("pg_catalog", "app"), known, version=1, _names=names)


def judge() -> Judge:
    """Give a new judge, which remembers nothing, under a policy with a mask."""
    everything = (Glob("*"),)
    grant = Grant("read", everything, frozenset({"select"}), (Glob("app.*"),))
    mask = Mask("keys", (Glob("app.*.secret"),), Method("redact"), "equality", "refuse")
    policy = Policy(
        version=1, hash="h", grants=(grant,), denials=(), masks=(mask,), scans=(), limits=Limits()
    )
    return Judge(policy, catalog(), frozenset({"team"}), Shield(policy, {}))


def times(action: Callable[[], Any], rounds: int, each: int = 1) -> list[float]:
    """Give the processor time of an action, in seconds, round by round."""
    took = []
    for _ in range(rounds):
        started = time.process_time_ns()
        for _ in range(each):
            action()
        took.append((time.process_time_ns() - started) / each / 1e9)
    return took


def first_sights(share: float = 1.0) -> Iterator[tuple[str, list[float]]]:
    """Give what each statement is called, and the seconds of judging it as never seen before."""
    one = judge()
    for title, statement, rounds in (
        ("point lookup", POINT, 2_000),
        ("report of 6 joins", REPORT, 300),
        (f"analytics of {analytics().count(chr(10)) + 1} lines", analytics(), 50),
    ):
        sql = statement.encode()
        decision = one.judge(sql).decision
        assert decision.allowed, decision.reason

        def first_sight(sql: bytes = sql) -> None:
            one.said.clear()
            one.judge(sql)

        yield title, times(first_sight, max(int(rounds * share), 2))


def repeated(rounds: int = 50) -> list[float]:
    """Give the seconds of judging a statement that was seen before."""
    one, sql = judge(), POINT.encode()
    one.judge(sql)
    return times(lambda: one.said.get(sql) or one.judge(sql), rounds, 10_000)


def weight(count: int = 10_000) -> int:
    """Give how many bytes so many remembered statements weigh together."""
    tracemalloc.start()
    many = judge()
    many.judge(POINT.encode())
    before = tracemalloc.get_traced_memory()[0]
    for at in range(count):
        many.judge(f"SELECT id, name, secret FROM runs WHERE id = {at}".encode())
    grown = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    return grown


def main() -> None:
    """Print the figures."""
    for title, took in first_sights():
        print(f"first sight, {title}: {statistics.median(took) * 1e3:.3f} ms")
    print(f"repeated statement: {statistics.median(repeated()) * 1e6:.2f} µs")
    grown = weight()
    each = grown / 10_000 / 1024
    print(f"10,000 remembered statements: {grown / 2**20:.1f} MiB, {each:.1f} KiB each")


if __name__ == "__main__":
    main()
