"""Puts the figures into words and tables, and these into the pages."""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Sequence
from pathlib import Path

import psycopg
from figures import Figure, Left, reasons, table

QUIET = 2.0
BEGIN, END = "<!-- figures: python benchmarks/table.py --write -->", "<!-- end of figures -->"
CAPTIONS = {
    "lookup": """One row by its primary key

Beside plain psycopg on a connection of its own, where the row does not say otherwise.""",
    "spans": """With OpenTelemetry

*The package* is opentelemetry-instrumentation-psycopg; both report to one SDK whose exporter
drops spans.""",
    "doors": """By other doors

Beside plain psycopg; no column is masked. Rows have ten columns of six types.""",
    "rows": """As a result grows

Beside plain psycopg; no column is masked.""",
    "masks": """With masks

10,000 rows of ten columns, two of them masked so, beside plain psycopg.""",
    "crowd": """Many at once

Lookups behind one wall, each thread or task on a connection of its own, beside as many of
plain psycopg's.""",
    "statements": """Different statements

Lookups whose number stands in their text, beside plain psycopg. It prepares no more than 100;
a wall remembers 10,000. A new one is judged.""",
    "judge": """Judging

Both parsers, lineage and decision, without a server; processor time.""",
    "policy": """As a policy grows

What is met for the first time looks for the rules on it. What was seen before is found by its
bytes.""",
    "catalog": """As a database grows

Tables of seven columns. A wall's first connection reads them all, a later one asks whether
anything has changed, as does any after a while.""",
    "memory": """Memory

Means of many, by `tracemalloc`: what libpq allots is not in it.""",
    "text": """Free text

All detectors over text with values planted in it; processor time.""",
    "record": """The record

One thread.""",
    "instructions": """Instructions

In the caller's process, by callgrind, warm. These hardly vary from run to run.""",
}
SHORT = (
    ("lookup", "tracewall, record `buffered`", "a lookup by primary key, audit `buffered`"),
    ("lookup", "tracewall, record `written`", "the same, audit `written`, the default"),
    ("lookup", "tracewall, two columns masked", "the same, two columns masked, `buffered`"),
    ("doors", "10,000 rows", "10,000 rows of ten columns"),
    ("masks", "mixed types, redact", "the same, two columns masked by a constant"),
    ("masks", "mixed types, partial", "the same, two columns masked but for their ends"),
    ("lookup", "psycopg by way of pgbouncer", "for comparison: a lookup by way of pgbouncer"),
    (
        "spans",
        "the package, spans, a lookup beside psycopg's",
        "for comparison: a lookup with opentelemetry-instrumentation-psycopg",
    ),
)


def machine() -> dict[str, str]:
    """Say what it is measured on but for the server, without its name."""
    model = platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists() and (found := re.search(r"^model name\s*: (.+)$", info.read_text(), re.M)):
        model = found[1]
    load = f"{os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else "unknown"
    return {
        "processors": f"{os.cpu_count()} × {model}",
        "python": platform.python_version(),
        "psycopg": f"{psycopg.__version__} ({psycopg.pq.__impl__})",
        "load": load,
    }


def described(about: dict[str, str]) -> str:
    """Give the machine in some words, and whether it was busy with something else."""
    said = (
        f"on {about['processors']}, Python {about['python']}, psycopg {about['psycopg']}, "
        f"PostgreSQL {about['postgresql']} over a Unix socket, load {about['load']} at the start."
    )
    calm = about["load"].replace(".", "").isdigit() and float(about["load"]) < QUIET
    return said if calm else f"{said} **Others used the machine**: such figures stray far."


def page(figures: Sequence[Figure], left: Sequence[Left], about: dict[str, str]) -> str:
    """Give the whole table, part by part."""
    made = [f"Measured {described(about)}"]
    for part, caption in CAPTIONS.items():
        found = [figure for figure in figures if figure.part == part]
        missing = [f"Not measured: {each.why}." for each in left if each.part == part]
        if found or missing:
            made += [f"### {caption}", table(found) if found else "", *missing]
        if why := reasons(found):
            made += [why]
    return "\n\n".join(filter(None, made))


def short(figures: Sequence[Figure], about: dict[str, str]) -> str:
    """Give the few rows that stand in the README."""
    known = {(figure.part, figure.name): figure for figure in figures}
    rows = ["| | beside plain psycopg | goal |", "|---|---|---|"]
    for part, name, title in SHORT:
        if figure := known.get((part, name)):
            goal = f"{figure.goal.said}{'' if figure.met else ', missed'}" if figure.goal else ""
            rows.append(f"| {title} | {figure.spread.median:.2f} × | {goal} |")
    said = f"Medians of ratios of neighbouring batches, {described(about)}"
    return "\n".join(rows) + f"\n\n{said}"


def parted(path: Path) -> tuple[str, str]:
    """Give what a page has before and after its figures.

    Raises:
        ValueError: the page has no marks for them.
    """
    head, begin, rest = path.read_text("utf-8").partition(BEGIN)
    _, end, tail = rest.partition(END)
    if not (begin and end):
        raise ValueError(f"{path.name} has no marks for the figures")
    return head, tail


def write(path: Path, said: str) -> None:
    """Put the words between the marks of a page."""
    head, tail = parted(path)
    path.write_text(f"{head}{BEGIN}\n\n{said}\n\n{END}{tail}", "utf-8")
