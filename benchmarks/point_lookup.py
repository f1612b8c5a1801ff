"""What the guard costs: a point lookup, clear or with two masks, and 10,000 rows with two masks.

Run ``python benchmarks/point_lookup.py [--json]``. Each is compared with plain psycopg: both sides
run in one process on one embedded server, in alternating short batches, and what is printed is
the median of the ratios of neighbouring batches: machines are noisy, ratios hold. Where the system
allows, client and servers are kept on processors of their own. With ``--json`` the last line is
one JSON object of name to ratio.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

# pairs, and tracewall where it is not installed
sys.path += [str(Path(__file__).parent), str(Path(__file__).parents[1])]

import psycopg
from pairs import apart, ratio

import tracewall
from tracewall.demo.server import embedded_server
from tracewall.testing import TokenIssuer

POLICY = """
version = 1

[database]
conninfo = "{conninfo}"

[audit]
directory = "audit-{durability}"
durability = "{durability}"

[[issuers]]
issuer = "https://idp.test"
audience = "bench"
keys = "jwks.json"
algorithms = ["ES256"]

[[grants]]
groups = ["analysts"]
actions = ["select"]
tables = ["bench.runs"]

[[masks]]
name = "keys"
columns = ["bench.runs.c3", "bench.runs.c7"]
method = "redact"
"""
SETUP = """
create schema bench;
create table bench.runs (run_id int primary key, c1 text, c2 int, c3 text, c4 timestamptz,
    c5 numeric, c6 text, c7 text, c8 bool, c9 int);
insert into bench.runs select i, 'tenant ' || i, i, 'sk-' || md5(i::text), now(), i * 1.5,
    md5(i::text), 'user' || i || '@example.com', i % 2 = 0, i from generate_series(1, 10000) i;
analyze bench.runs;
"""
LOOKUP = "select run_id, c1, c2, c4, c5 from bench.runs where run_id = %s"
MASKED_LOOKUP = "select run_id, c1, c2, c3, c7 from bench.runs where run_id = %s"
EVERYTHING = "select run_id, c1, c2, c3, c4, c5, c6, c7, c8, c9 from bench.runs"


def lookups(conn: Any, times: int, query: str = LOOKUP) -> Callable[[], None]:
    """Give what looks up so many rows, one by one."""
    cursor = conn.cursor()

    def work() -> None:
        for at in range(1, times + 1):
            cursor.execute(query, (at,))
            cursor.fetchone()

    return work


def _everything(conn: psycopg.Connection) -> Callable[[], None]:
    cursor = conn.cursor()

    def work() -> None:
        cursor.execute(EVERYTHING)
        cursor.fetchall()

    return work


def measure(rounds: int) -> dict[str, float]:
    """Set up a server and give the ratios by name."""
    with embedded_server() as server, tempfile.TemporaryDirectory() as place:
        folder, issuer, found = Path(place), TokenIssuer("https://idp.test"), {}
        issuer.write_jwks(folder / "jwks.json")
        token = issuer.mint("ann", ["analysts"], audience="bench")
        with psycopg.connect(server.conninfo, autocommit=True) as plain:
            plain.execute(SETUP)
            for durability in ("buffered", "written"):
                path = folder / f"{durability}.toml"
                path.write_text(POLICY.format(conninfo=server.conninfo, durability=durability))
                with (
                    tracewall.Wall.load(path) as wall,
                    tracewall.connect(wall=wall, token=token, autocommit=True) as guarded,
                ):
                    apart(plain, guarded)
                    pair = lookups(guarded, 200), lookups(plain, 200)
                    ratio(*pair, 10)
                    found[f"point_lookup_{durability}"] = ratio(*pair, rounds)
                    if durability == "buffered":
                        both = [lookups(conn, 200, MASKED_LOOKUP) for conn in (guarded, plain)]
                        ratio(*both, 10)
                        found["masked_lookup_buffered"] = ratio(*both, rounds)
                        rows = _everything(guarded), _everything(plain)
                        ratio(*rows, 4)
                        found["rows_10k_2_masks"] = ratio(*rows, rounds // 2)
        return found


def main() -> None:
    """Print the ratios."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true", help="end with one JSON object")
    parser.add_argument("--rounds", type=int, default=100, help="pairs of batches (default 100)")
    asked = parser.parse_args()
    found = measure(asked.rounds)
    goals = {
        "point_lookup_buffered": 1.15,
        "masked_lookup_buffered": 1.20,
        "point_lookup_written": 1.40,
        "rows_10k_2_masks": 1.15,
    }
    for name, value in found.items():
        print(f"{name:24} {value:6.3f} x plain psycopg   (goal: at most {goals[name]:.2f})")
    if asked.json:
        print(json.dumps({name: round(value, 4) for name, value in found.items()}))


if __name__ == "__main__":
    sys.exit(main())
