"""The table of what the guard costs: beside plain psycopg and others, as things grow, in memory.

    python benchmarks/table.py [--only PART] [--rounds N] [--json] [--write]

Both sides of a ratio run in one process on one embedded server, in turn; what is shown is the
median of the ratios of neighbours, and between which values the middle half of them lies. What
isn't there (pgbouncer, valgrind, OpenTelemetry's instrumentation) is left out with a word;
``--python`` names an interpreter of an environment that has the instrumentation.
``--write`` puts the table into docs/explanation/performance.md, and a short one into README.md.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path

sys.path += [str(Path(__file__).parent), str(Path(__file__).parents[1])]

from figures import Figure, Left
from ground import Ground, Scale, ground
from pages import machine, page, parted, short, write
from parts import costs, crowd, doors_and_rows, instructions, lookup, sizes, spans, weight

ROOT = Path(__file__).resolve().parents[1]
PARTS: dict[str, Callable[[Ground, Scale], Iterator[Figure | Left]]] = {
    "lookup": lookup.measure,
    "spans": spans.measure,
    "doors": doors_and_rows.doors,
    "rows": doors_and_rows.rows,
    "masks": costs.masks,
    "threads": crowd.threads,
    "tasks": crowd.tasks,
    "statements": crowd.statements,
    "judge": costs.judge,
    "policy": sizes.policy,
    "catalog": sizes.catalog,
    "memory": weight.measure,
    "text": costs.text,
    "record": costs.record,
    "instructions": instructions.measure,
}


def measured(
    names: list[str], scale: Scale, python: str, traces: Path | None
) -> tuple[list[Figure], list[Left], str]:
    """Run the parts; give what they found, what they left out, and the server's version."""
    figures: list[Figure] = []
    left: list[Left] = []
    began = time.perf_counter()
    with ground(python, traces=traces, crowd=2 * max(scale.crowds)) as stood:
        print(f"server: {time.perf_counter() - began:.1f} s", file=sys.stderr, flush=True)
        version = stood.version
        for name in names:
            started, own = time.perf_counter(), stood.of_its_own()
            with own.stack:
                for found in PARTS[name](own, scale):
                    (figures if isinstance(found, Figure) else left).append(found)  # type: ignore[arg-type]
            took = time.perf_counter() - started
            print(f"{name}: {took:.1f} s", file=sys.stderr, flush=True)
    return figures, left, version


def asked() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", action="append", choices=PARTS, help="a part; may be repeated")
    parser.add_argument("--rounds", type=int, default=40, help="pairs of batches (default 40)")
    parser.add_argument("--python", default="", help="an interpreter with the instrumentation")
    parser.add_argument("--traces", type=Path, help="real text for the detectors")
    parser.add_argument("--json", action="store_true", help="end with one JSON object")
    parser.add_argument("--write", action="store_true", help="put the tables into the pages")
    parser.add_argument(
        "--tiny", action="store_true", help="the least of everything, to see it run"
    )
    parser.add_argument("--root", type=Path, default=ROOT, help="whose pages --write changes")
    options = parser.parse_args()
    if options.only and options.write:
        parser.error("the pages show all parts: --write goes without --only")
    return options


def main() -> None:
    """Measure, and show."""
    options = asked()
    scale = Scale.tiny() if options.tiny else Scale.whole(options.rounds)
    pages = options.root / "docs/explanation/performance.md", options.root / "README.md"
    for path in pages if options.write else ():
        parted(path)  # before the time is spent
    about = machine()
    names = options.only or list(PARTS)
    figures, left, about["postgresql"] = measured(names, scale, options.python, options.traces)
    said = page(figures, left, about)
    if options.write:
        for path, words in zip(pages, (said, short(figures, about)), strict=True):
            write(path, words)
    if options.json:
        found = [each.plainly() for each in figures]
        answer = {"machine": about, "figures": found, "left": [asdict(each) for each in left]}
        print(json.dumps(answer))
    else:
        print(said)


if __name__ == "__main__":
    sys.exit(main())
