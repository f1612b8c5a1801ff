"""What recording a session costs: the latency it adds to statements, and its bytes on disk.

Every row is the same statement on the same server by a guarded connection: not recorded,
recorded, and recorded with a cap on rows. ``TRACEWALL_TEST_DSN`` names a superuser's
connection to a server of one's own; without it one from the wheel is started.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import psycopg

import tracewall
from tracewall.demo.server import embedded_server
from tracewall.testing import TokenIssuer

POLICY = """
version = 1
[database]
conninfo = "{conninfo}"
[audit]
directory = "{name}-audit"
durability = "buffered"
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
RECORDED = """
[recording]
directory = "{name}"
[[recordings]]
name = "all"
"""
KINDS = {
    "not recorded": "",
    "recorded": f'{RECORDED}rows = 1000000\nbytes = "100MB"\n',
    "first 100 rows": f"{RECORDED}rows = 100\n",
}
LOOKUP = "select id, name from recorded_things where id = 7"
MANY = "select id, name from recorded_things"


@contextmanager
def server() -> Iterator[str]:
    """Give a superuser's connection string."""
    if outside := os.environ.get("TRACEWALL_TEST_DSN"):
        yield outside
    else:
        with embedded_server() as started:
            yield started.conninfo


def measure(times: int) -> dict[str, dict[str, float]]:
    """Give p50 and p99 (seconds) and bytes a statement, by statement and kind."""
    with ExitStack() as stack:
        dsn = stack.enter_context(server())
        folder, issuer = (
            Path(stack.enter_context(tempfile.TemporaryDirectory())),
            TokenIssuer("https://idp.test"),
        )
        issuer.write_jwks(folder / "jwks.json")
        token = issuer.mint("ann", ["analysts"], audience="bench")
        admin = stack.enter_context(psycopg.connect(dsn, autocommit=True))
        admin.execute("drop table if exists recorded_things")
        admin.execute("create table recorded_things (id int primary key, name text)")
        admin.execute(
            "insert into recorded_things select i, md5(i::text) from generate_series(1, 1000) i"
        )
        stack.callback(lambda: admin.execute("drop table recorded_things"))
        found = {}
        for statement, count in ((LOOKUP, times), (MANY, max(times // 20, 20))):
            found.update(_turns(folder, dsn, token, statement, count))
        return found


def _turns(
    folder: Path, dsn: str, token: str, statement: str, times: int
) -> dict[str, dict[str, float]]:
    """Run a statement on a connection of each kind, in turns."""
    what = "1 row" if statement == LOOKUP else "1,000 rows"
    with ExitStack() as stack:
        conns, places = {}, {}
        for kind, rules in KINDS.items():
            name = f"{kind}-{what}".replace(" ", "-").replace(",", "")
            path = folder / f"{name}.toml"
            path.write_text((POLICY + rules).format(conninfo=dsn, name=name))
            wall = stack.enter_context(tracewall.Wall.load(path))
            made = tracewall.connect(wall=wall, token=token, autocommit=True)
            conns[kind], places[kind] = stack.enter_context(made), folder / name
        taken: dict[str, list[float]] = {kind: [] for kind in conns}
        for _ in range(times):
            for kind, conn in conns.items():
                started = time.perf_counter()
                conn.execute(statement).fetchall()
                taken[kind].append(time.perf_counter() - started)
        return {
            f"{what}, {kind}": {**_points(taken[kind]), "bytes": _bytes(places[kind]) / times}
            for kind in conns
        }


def _points(found: list[float]) -> dict[str, float]:
    cut = statistics.quantiles(found[len(found) // 10 :], n=100)
    return {"p50": cut[49], "p99": cut[98]}


def _bytes(place: Path) -> int:
    return sum(path.stat().st_size for path in place.glob("*/*"))


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true", help="end with one JSON object")
    parser.add_argument("--times", type=int, default=2000, help="statements of each kind")
    asked = parser.parse_args()
    found: dict[str, Any] = measure(asked.times)
    for name, each in found.items():
        times = f"p50 {each['p50'] * 1e6:7.0f} us   p99 {each['p99'] * 1e6:7.0f} us"
        print(f"{name:28} {times}   {each['bytes']:9.0f} bytes a statement")
    if asked.json:
        print(json.dumps(found))


if __name__ == "__main__":
    sys.exit(main())
