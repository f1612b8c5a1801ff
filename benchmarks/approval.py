"""What approvals cost: a statement that no rule asks for, and a round trip that one does.

Four walls send the same point lookup: one without rules, one with a rule on rows that the
primary key keeps below, one whose rows have to be counted (a look at the plan), and one
with a budget over time. Then people are asked, agree, and the statement is done, with
requests in a SQLite file and in PostgreSQL. Times are medians, by turns, on this machine.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

import tracewall
from tracewall.approval.migration import migration
from tracewall.approval.postgres import PostgresStore
from tracewall.approval.request import Person
from tracewall.approval.sqlite import SqliteStore
from tracewall.demo.server import embedded_server
from tracewall.signing import Signer
from tracewall.testing import TokenIssuer

POLICY = """
version = 1
[database]
conninfo = "{conninfo}"
[approval]
keys = ["{key}"]
[audit]
directory = "audit-{name}"
[[issuers]]
name = "test"
issuer = "https://idp.test"
audience = "bench"
keys = "jwks.json"
[[grants]]
groups = ["analysts"]
actions = ["select"]
tables = ["public.*"]
{rule}
"""
RULE = '[[approvals]]\nname = "rule"\napprovers = ["leads"]\n'
RULES = {
    "no rule": "",
    "kept by a key": RULE + "rows = 100",
    "counted": RULE + "rows = 100",
    "budget": RULE + 'rows = 1_000_000\nper = "1h"',
}
QUERIES = {"counted": "select id, name from things where id = %s + 0"}
LOOKUP = "select id, name from things where id = %s"
ALL = "select id from things"


class Bench:
    """A server with a table, and what makes walls on it."""

    def __init__(self, conninfo: str, folder: Path) -> None:
        self.conninfo, self.folder = conninfo, folder
        self.signer, self.issuer = Signer.make("bench"), TokenIssuer("https://idp.test")
        self.issuer.write_jwks(folder / "jwks.json")
        with psycopg.connect(conninfo) as conn:
            conn.execute("create table things (id int primary key, name text)")
            conn.execute("insert into things select i, i::text from generate_series(0, 999) i")
            conn.execute("create role desk login password 'for-the-benchmark-only'")
            conn.execute(migration("desk", "desk").encode())
        with psycopg.connect(conninfo, autocommit=True) as conn:
            conn.execute("vacuum analyze things")

    def connect(self, name: str, rule: str, store: Any = None) -> tuple[Any, Any]:
        """Give a wall with a rule, and a guarded connection of it."""
        path = self.folder / f"{name.replace(' ', '-')}.toml"
        values = {"conninfo": self.conninfo, "key": self.signer.public, "name": path.stem}
        path.write_text(POLICY.format(rule=rule, **values))
        wall = tracewall.Wall.load(path, approvals=store)
        token = self.issuer.mint("ann", ["analysts"], audience="bench")
        return wall, tracewall.connect(wall=wall, token=token, autocommit=True)


def statements(bench: Bench, times: int) -> dict[str, float]:
    """Give the median time (seconds) of a point lookup by wall."""
    made = {name: bench.connect(name, rule) for name, rule in RULES.items()}
    taken: dict[str, list[float]] = {name: [] for name in made}
    for at in range(times):
        for name, (_, conn) in made.items():
            query, started = QUERIES.get(name, LOOKUP), time.perf_counter()
            conn.execute(query, (at % 1000,)).fetchone()
            taken[name].append(time.perf_counter() - started)
    for wall, conn in made.values():
        conn.close()
        wall.close()
    return {name: statistics.median(found[times // 10 :]) for name, found in taken.items()}


def round_trips(bench: Bench, store: Any, name: str, times: int) -> dict[str, float]:
    """Give the median time (seconds) of asking, deciding, and doing what was approved."""
    wall, conn = bench.connect(name, RULE + "rows = 10", store)
    taken: dict[str, list[float]] = {"ask": [], "approve": [], "do": []}
    lead, groups = Person("https://idp.test", "lea"), frozenset({"leads"})
    for at in range(times):
        started, id = time.perf_counter(), ""
        try:
            conn.execute(ALL, reason=str(at))
        except tracewall.ApprovalRequired as paused:
            id = paused.request_id
        asked = time.perf_counter()
        wall.desk.decide(id, "approve", lead, groups, bench.signer)
        decided = time.perf_counter()
        conn.execute(ALL, approval=id, reason=str(at)).fetchall()
        done = time.perf_counter()
        for step, spent in (("ask", asked - started), ("approve", decided - asked)):
            taken[step].append(spent)
        taken["do"].append(done - decided)
    conn.close()
    wall.close()
    return {step: statistics.median(found) for step, found in taken.items()}


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true", help="end with one JSON object")
    parser.add_argument("--times", type=int, default=500, help="point lookups (default 500)")
    parser.add_argument("--trips", type=int, default=30, help="round trips (default 30)")
    options = parser.parse_args()
    told: dict[str, Any] = {}
    with embedded_server() as server, tempfile.TemporaryDirectory() as place:
        bench = Bench(server.conninfo, Path(place))
        for name, spent in statements(bench, options.times).items():
            told[f"lookup, {name}"] = round(spent * 1e6)
            print(f"point lookup, {name:14} {spent * 1e6:7.0f} us")
        parts = {k: v for k, v in conninfo_to_dict(server.conninfo).items() if k != "password"}
        desk = make_conninfo(**parts | {"user": "desk"})
        stores = {
            "SQLite": SqliteStore(Path(place) / "bench.db"),
            "PostgreSQL": PostgresStore(desk, "for-the-benchmark-only"),
        }
        for name, store in stores.items():
            for step, spent in round_trips(bench, store, name, options.trips).items():
                told[f"{step}, {name}"] = round(spent * 1e6)
                print(f"{step:8} {name:11} {spent * 1e3:7.1f} ms")
    if options.json:
        print(json.dumps(told))


if __name__ == "__main__":
    main()
