"""What the record costs: records a second, and the latency it adds to a point lookup.

Every row is the same statement on the same server: plain psycopg, guarded connections that
differ in durability only, and plain psycopg with pgaudit logging every statement.

pgaudit is a server extension in C, which the server from the wheel does not have.
``TRACEWALL_TEST_DSN`` names a superuser's connection to one that has it in
``shared_preload_libraries``; without it that row says so. It logs to the server's log, without
a sync, and neither judges nor masks: it is here as what people have.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).parents[1]))  # where tracewall is not installed

import psycopg

import tracewall
from tracewall.audit.log import FileLog
from tracewall.audit.verify import verify
from tracewall.demo.server import embedded_server
from tracewall.events import Ended, What, Who
from tracewall.testing import TokenIssuer

WHO = Who(issuer="https://idp.test", subject="ann", session="s" * 32, database="d", role="r")
WHAT = What(
    summary="SELECT public.things",
    text="SELECT id, name FROM things WHERE id = $1",
    sha256="0" * 64,
    decision="allowed",
    rule="grants.read",
    policy="1" * 64,
    relations={"public.things": ["select"]},
    columns={"public.things": ["id", "name"]},
)
POLICY = """
version = 1
[database]
conninfo = "{conninfo}"
[audit]
directory = "{durability}"
durability = "{durability}"
[[issuers]]
name = "test"
issuer = "https://idp.test"
audience = "bench"
keys = "jwks.json"
[[grants]]
groups = ["analysts"]
actions = ["select"]
tables = ["public.*"]
"""


def throughput(durability: Any, seconds: float) -> float:
    """Give how many records (an intent and an outcome are two) one thread writes a second."""
    with tempfile.TemporaryDirectory() as place, FileLog(place, durability=durability) as log:
        ended, count, started = Ended(status="ok", rows=1, seconds=0.001), 0, time.perf_counter()
        while time.perf_counter() - started < seconds:
            for _ in range(20):
                log.outcome(log.intent(WHO, WHAT), ended)
            count += 40
        log.flush()
        return count / (time.perf_counter() - started)


def proof(statements: int) -> float:
    """Give how long (seconds) the record of so many statements takes to verify."""
    with tempfile.TemporaryDirectory() as place:
        with FileLog(place, durability="buffered") as log:
            for _ in range(statements):
                # Not joined into one record: the longer log is the harder one.
                number = log.intent(WHO, WHAT)
                log.flush() if _ % 64 == 0 else None
                log.outcome(number, Ended(status="ok", rows=1, seconds=0.001))
        started = time.perf_counter()
        assert verify(place).ok
        return time.perf_counter() - started


def latencies(conns: dict[str, Any], times: int) -> dict[str, tuple[float, float]]:
    """Give p50 and p99 (seconds) of a point lookup on each connection, in turns."""
    taken: dict[str, list[float]] = {name: [] for name in conns}
    for at in range(times):
        for name, conn in conns.items():
            started = time.perf_counter()
            conn.execute("select id, name from things where id = %s", (at % 1000,)).fetchone()
            taken[name].append(time.perf_counter() - started)
    return {name: _points(found[times // 10 :]) for name, found in taken.items()}


def _points(found: list[float]) -> tuple[float, float]:
    cut = statistics.quantiles(found, n=100)
    return cut[49], cut[98]


def pgaudit(conninfo: str) -> psycopg.Connection | None:
    """Give a plain connection of which pgaudit logs every statement; None: there is none."""
    conn = psycopg.connect(conninfo, autocommit=True)
    (loaded,) = conn.execute("show shared_preload_libraries").fetchone() or ("",)
    if "pgaudit" not in loaded:
        conn.close()
        return None
    conn.execute("create extension if not exists pgaudit")
    conn.execute("set pgaudit.log = 'all'")
    conn.execute("set pgaudit.log_parameter = on")
    return conn


@contextmanager
def server_for_tests() -> Iterator[str]:
    """Give a superuser's connection string, to a server of one's own or of the wheel's."""
    if outside := os.environ.get("TRACEWALL_TEST_DSN"):
        yield outside
    else:
        with embedded_server() as started:
            yield started.conninfo


def added(times: int) -> dict[str, tuple[float, float]]:
    """Set up a server, and give the latencies by durability; ``plain`` is psycopg's own."""
    with server_for_tests() as server, tempfile.TemporaryDirectory() as name:
        folder, issuer = Path(name), TokenIssuer("https://idp.test")
        issuer.write_jwks(folder / "jwks.json")
        token = issuer.mint("ann", ["analysts"], audience="bench")
        plain = psycopg.connect(server, autocommit=True)
        plain.execute("drop table if exists things")
        plain.execute("create table things (id int primary key, name text)")
        plain.execute("insert into things select i, i::text from generate_series(0, 999) i")
        plain.execute("analyze things")
        conns: dict[str, Any] = {"plain": plain}
        if audited := pgaudit(server):
            conns["pgaudit"] = audited
        walls = []
        for durability in ("buffered", "written", "synced"):
            path = folder / f"{durability}.toml"
            path.write_text(POLICY.format(conninfo=server, durability=durability))
            walls.append(tracewall.Wall.load(path))
            conns[durability] = tracewall.connect(wall=walls[-1], token=token, autocommit=True)
        found = latencies(conns, times)
        plain.execute("drop table things")
        closes: list[Callable[[], None]] = [conn.close for conn in conns.values()]
        for close in closes + [wall.close for wall in walls]:
            close()
        return found


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true", help="end with one JSON object")
    parser.add_argument("--times", type=int, default=2000, help="point lookups (default 2000)")
    parser.add_argument("--seconds", type=float, default=2.0, help="of writing, each (default 2)")
    parser.add_argument("--statements", type=int, default=1_000_000, help="to verify; 0: none")
    asked = parser.parse_args()
    told: dict[str, Any] = {}
    for durability in ("buffered", "written", "synced"):
        rate = told[f"records_{durability}"] = round(throughput(durability, asked.seconds))
        print(f"{durability:9} {rate:9,} records a second, one thread")
    for name, (half, most) in added(asked.times).items():
        told[f"p50_{name}"], told[f"p99_{name}"] = round(half * 1e6), round(most * 1e6)
        print(f"{name:9} point lookup p50 {half * 1e6:7.0f} us   p99 {most * 1e6:7.0f} us")
    if "p50_pgaudit" not in told:
        print("pgaudit   not measured: this server has it not in shared_preload_libraries")
    if asked.statements:
        told["verify"] = round(proof(asked.statements), 2)
        print(f"{asked.statements:,} statements verified in {told['verify']} s (goal: under 30)")
    if asked.json:
        print(json.dumps(told))


if __name__ == "__main__":
    sys.exit(main())
