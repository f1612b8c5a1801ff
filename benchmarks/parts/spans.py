"""With OpenTelemetry's SDK, beside opentelemetry-instrumentation-psycopg with the same."""

from __future__ import annotations

import importlib.util
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from doors import Nowhere, works
from figures import Figure, Left
from ground import Ground, Scale
from pairs import Spread, anywhere, apart

from parts.lookup import compared

PART = "spans"
PACKAGE = "opentelemetry.instrumentation"
DOORS = {
    "lookup": "a lookup",
    "rows_100": "100 rows",
    "rows_10k": "10,000 rows",
    "executemany_1k": "1,000 updates by executemany",
}


def measure(ground: Ground, scale: Scale) -> Iterator[Figure | Left]:
    """Compare here where the package is installed, else in the other environment."""
    if importlib.util.find_spec(PACKAGE) is not None:
        yield from _here(ground, scale)
    elif ground.python:
        yield from _there(ground.python, scale)
    else:
        why = (
            "opentelemetry-instrumentation-psycopg is not installed; --python names one that has it"
        )
        yield Left(PART, why)


def _here(ground: Ground, scale: Scale) -> Iterator[Figure]:
    from opentelemetry.instrumentation.psycopg import PsycopgInstrumentor
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    from tracewall.telemetry import Telemetry

    provider = TracerProvider()
    provider.add_span_processor(BatchSpanProcessor(Nowhere()))
    ground.stack.callback(provider.shutdown)
    plain, bare, quiet = ground.plain(), ground.plain(), ground.plain()
    guarded = ground.guarded(ground.wall(telemetry=Telemetry(tracer_provider=provider)))
    package = PsycopgInstrumentor()
    spanned = package.instrument_connection(bare, tracer_provider=provider)
    untraced = package.instrument_connection(quiet)
    apart(plain, bare, quiet, guarded)
    sides = {
        "plain": works(plain, scale.lookups),
        "the package, spans": works(spanned, scale.lookups),
        "the package, no SDK": works(untraced, scale.lookups),
        "tracewall": works(guarded, scale.lookups),
    }
    for name in ("the package, no SDK", "the package, spans", "tracewall"):
        title = f"{name}{', spans' if name == 'tracewall' else ''}, a lookup beside psycopg's"
        yield compared(title, sides[name]["lookup"], sides["plain"]["lookup"], scale, part=PART)
    for door, title in DOORS.items():
        pair: Any = (sides["tracewall"][door], sides["the package, spans"][door])
        share = 1.0 if door == "lookup" else 0.4
        name = f"tracewall beside the package, {title}"
        yield compared(name, *pair, scale, part=PART, share=share)


def _there(python: str, scale: Scale) -> Iterator[Figure | Left]:
    tiny = ["--tiny"] if scale.rounds == Scale.tiny().rounds else ["--rounds", str(scale.rounds)]
    table = str(Path(__file__).parents[1] / "table.py")
    command = [python, table, "--only", PART, "--json", *tiny]
    with anywhere():
        told = subprocess.run(command, capture_output=True, text=True)
    if told.returncode:
        yield Left(PART, "the other environment could not run it")
        return
    answer = json.loads(told.stdout.splitlines()[-1])
    for each in answer["figures"]:
        spread = Spread(**each["spread"])
        yield Figure(PART, each["name"], spread, each["unit"], each["note"])
    for why in answer["left"]:
        yield Left(PART, f"in the other environment: {why['why']}")
