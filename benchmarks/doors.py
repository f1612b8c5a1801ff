"""What each door costs, sync and async, against plain psycopg, without a tracer and with spans.

Run ``python benchmarks/doors.py [--json]``. Both sides run in one process on one embedded
server, in alternating short batches; what is printed is the median of the ratios of
neighbouring batches. No column is masked: `point_lookup.py` and `masking.py` tell what
masks cost. The audit log is ``buffered``.

With spans, plain psycopg is instrumented by opentelemetry-instrumentation-psycopg, where
that is installed, and both sides report to the same SDK, whose exporter drops spans. The
package pins another opentelemetry-api: ``pip install --target FOLDER --no-deps`` it, with
its ``-dbapi``, ``opentelemetry-instrumentation`` and ``wrapt``, and put FOLDER on PYTHONPATH.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).parent))  # point_lookup
import psycopg
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from pairs import apart, ratio
from point_lookup import LOOKUP, POLICY, SETUP

import tracewall
from tracewall.demo.server import embedded_server
from tracewall.telemetry import Telemetry
from tracewall.testing import TokenIssuer

HUNDRED = "select run_id, c1, c2, c3, c4, c5, c6, c7, c8, c9 from bench.runs limit 100"
EVERYTHING = "select run_id, c1, c2, c3, c4, c5, c6, c7, c8, c9 from bench.runs"
COPY = f"copy ({EVERYTHING}) to stdout"
CHANGE = "update bench.runs set c2 = %s where run_id = %s"
BATCH = [(at, at) for at in range(1, 1_001)]
DOORS = ("lookup", "rows_100", "rows_10k", "executemany_1k", "copy_10k", "stream_1k")
LIMITS = {"lookup": 1.15, "rows_10k": 1.05}


class Nowhere(SpanExporter):
    """Drops spans."""

    def export(self, spans: Any) -> SpanExportResult:
        """Drop them."""
        return SpanExportResult.SUCCESS


def works(conn: Any, lookups: int = 200) -> dict[str, Callable[[], None]]:
    """Give what is done by each door of a connection, as something to call."""
    cursor = conn.cursor()

    def lookup() -> None:
        for at in range(1, lookups + 1):
            cursor.execute(LOOKUP, (at,))
            cursor.fetchone()

    def rows_100() -> None:
        for _ in range(20):
            cursor.execute(HUNDRED)
            cursor.fetchall()

    def rows_10k() -> None:
        cursor.execute(EVERYTHING)
        cursor.fetchall()

    def copy() -> None:
        with cursor.copy(COPY) as copy:
            for _ in copy:
                pass

    def stream() -> None:
        for _ in cursor.stream(EVERYTHING + " limit 1000"):
            pass

    many = lambda: cursor.executemany(CHANGE, BATCH)  # noqa: E731
    return dict(zip(DOORS, (lookup, rows_100, rows_10k, many, copy, stream), strict=True))


def async_works(
    conn: Any, run: Callable[[Any], Any], lookups: int = 200
) -> dict[str, Callable[[], None]]:
    """Do the same without blocking, one loop for all of it."""
    cursor = conn.cursor()

    async def lookup() -> None:
        for at in range(1, lookups + 1):
            await cursor.execute(LOOKUP, (at,))
            await cursor.fetchone()

    async def rows_100() -> None:
        for _ in range(20):
            await cursor.execute(HUNDRED)
            await cursor.fetchall()

    async def rows_10k() -> None:
        await cursor.execute(EVERYTHING)
        await cursor.fetchall()

    async def many() -> None:
        await cursor.executemany(CHANGE, BATCH)

    async def copy() -> None:
        async with cursor.copy(COPY) as copy:
            async for _ in copy:
                pass

    async def stream() -> None:
        async for _ in cursor.stream(EVERYTHING + " limit 1000"):
            pass

    made = (lookup, rows_100, rows_10k, many, copy, stream)
    return {name: lambda work=work: run(work()) for name, work in zip(DOORS, made, strict=True)}


def compare(guarded: Any, plain: Any, rounds: int, *, like: str) -> dict[str, float]:
    """Give the ratio of each door."""
    found = {}
    for name in guarded:
        ratio(guarded[name], plain[name], 4)
        few = rounds if name == "lookup" else max(6, rounds // 3)
        found[f"{name}{like}"] = ratio(guarded[name], plain[name], few)
    return found


@contextmanager
def server() -> Iterator[tuple[str, Path, str]]:
    """Start a server with the tables, and give its conninfo, the policy and a token."""
    with embedded_server() as started, tempfile.TemporaryDirectory() as place:
        folder, issuer = Path(place), TokenIssuer("https://idp.test")
        issuer.write_jwks(folder / "jwks.json")
        with psycopg.connect(started.conninfo) as plain:
            plain.execute(SETUP)
        unmasked = POLICY[: POLICY.index("[[masks]]")].replace('["select"]', '["select", "update"]')
        path = folder / "policy.toml"
        path.write_text(unmasked.format(conninfo=started.conninfo, durability="buffered"))
        yield started.conninfo, path, issuer.mint("ann", ["analysts"], audience="bench")


def blocking(conninfo: str, wall: Any, token: str, rounds: int) -> dict[str, float]:
    """Compare the synchronous doors."""
    with (
        psycopg.connect(conninfo, autocommit=True) as plain,
        tracewall.connect(wall=wall, token=token, autocommit=True) as guarded,
    ):
        apart(plain, guarded)
        return compare(works(guarded), works(plain), rounds, like="")


def without_blocking(conninfo: str, wall: Any, token: str, rounds: int) -> dict[str, float]:
    """Compare the asynchronous doors."""
    with asyncio.Runner() as runner:

        async def connected() -> tuple[Any, Any]:
            plain = await psycopg.AsyncConnection.connect(conninfo, autocommit=True)
            return plain, await tracewall.AsyncConnection.connect(
                wall=wall, token=token, autocommit=True
            )

        plain, guarded = runner.run(connected())
        apart(plain, guarded)
        pair = async_works(guarded, runner.run), async_works(plain, runner.run)
        found = compare(*pair, rounds, like="_async")
        for conn in (plain, guarded):
            runner.run(conn.close())
        return found


def with_spans(conninfo: str, path: Path, token: str, rounds: int) -> dict[str, float]:
    """Compare with opentelemetry-instrumentation-psycopg, both with spans; empty without it."""
    with suppress(ImportError):
        from opentelemetry.instrumentation.psycopg import PsycopgInstrumentor

        provider = TracerProvider()
        provider.add_span_processor(BatchSpanProcessor(Nowhere()))
        telemetry = Telemetry(tracer_provider=provider)
        instrumentor = PsycopgInstrumentor()
        with (
            tracewall.Wall.load(path, telemetry=telemetry) as wall,
            psycopg.connect(conninfo, autocommit=True) as bare,
            tracewall.connect(wall=wall, token=token, autocommit=True) as guarded,
        ):
            plain = instrumentor.instrument_connection(bare, tracer_provider=provider)
            apart(bare, guarded)
            sides = works(guarded), works(plain)
            names = ("lookup", "rows_100", "rows_10k", "executemany_1k")
            chosen = [{name: side[name] for name in names} for side in sides]
            return compare(*chosen, rounds, like="_spans")
    return {}


def main() -> None:
    """Print the ratios."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true", help="end with one JSON object")
    parser.add_argument("--rounds", type=int, default=60, help="pairs of batches (default 60)")
    asked = parser.parse_args()
    with server() as (conninfo, path, token):
        with tracewall.Wall.load(path) as wall:
            found = blocking(conninfo, wall, token, asked.rounds)
            found |= without_blocking(conninfo, wall, token, asked.rounds)
        found |= with_spans(conninfo, path, token, asked.rounds)
    for name, value in found.items():
        goal = 1.0 if name.endswith("_spans") else LIMITS.get(name)
        print(f"{name:24} {value:6.3f} x" + (f"   (goal: at most {goal:.2f})" if goal else ""))
    if asked.json:
        print(json.dumps({name: round(value, 4) for name, value in found.items()}))


if __name__ == "__main__":
    sys.exit(main())
