"""What the size of a policy costs: first sight of a statement, and a statement seen before.

    python benchmarks/policies.py [--json]

Prints, for policies of 10 to 10,000 rules over 300 tables, the milliseconds of the first
judgement of a group, of the next new statement over the same tables, and the microseconds
of a repeated one.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1]))  # where tracewall is not installed

import msgspec

from tracewall.judge import Judge
from tracewall.masking.config import Method
from tracewall.policy.model import Denial, Glob, Grant, Mask, Policy
from tracewall.shield import Shield
from tracewall.sql.catalog import Attribute, Catalog, Relation

TABLES, COLUMNS, REPEATS = 300, 12, 200_000
SIZES = (10, 100, 1_000, 10_000)
PEOPLE = (Glob("people", dots=True),)
SQL = b"SELECT a.c1, a.c2, b.c3 FROM app.t7 a JOIN app.t8 b ON a.c0 = b.c0 WHERE a.c4 = $1"
NEXT = b"SELECT a.c1, b.c3 FROM app.t7 a JOIN app.t8 b ON a.c0 = b.c0 WHERE b.c5 = $1"


def catalog() -> Catalog:
    """Give a catalog of many tables."""
    columns = tuple(Attribute(at + 1, f"c{at}", 25) for at in range(COLUMNS))
    tables = [Relation(1000 + at, "app", f"t{at}", columns=columns) for at in range(TABLES)]
    names = {(table.schema, table.name): table for table in tables}
    by_oid = {table.oid: table for table in tables}
    return Catalog("db", "role", ("pg_catalog", "app"), by_oid, version=1, _names=names)


def policy(size: int) -> Policy:
    """Give a policy of so many rules: three grants in five, a denial, a mask."""
    grants, denials, masks = [], [], []
    for at in range(size):
        table = (Glob(f"app.t{at * 7 % TABLES}"),)
        if at % 5 == 3:
            others = (Glob(f"team{at}", dots=True),)
            denials.append(Denial(f"d{at}", others, frozenset({"select"}), table))
        elif at % 5 == 4:
            column = (Glob(f"app.t{at * 7 % TABLES}.c{9 + at % 3}"),)
            masks.append(Mask(f"m{at}", column, Method("redact")))
        else:
            grants.append(Grant(f"g{at}", PEOPLE, frozenset({"select"}), table))
    grants.append(Grant("all", PEOPLE, frozenset({"select"}), (Glob("app.*"),)))
    return Policy(1, "hash", grants=tuple(grants), denials=tuple(denials), masks=tuple(masks))


def measured(size: int, known: Catalog, repeats: int = REPEATS) -> dict[str, float]:
    """Measure one size of policy."""
    held = policy(size)
    judge = Judge(held, known, frozenset({"people"}), Shield(held, {}))
    started = time.perf_counter()
    assert judge.judge(SQL).decision.allowed
    first = time.perf_counter()
    assert judge.judge(NEXT).decision.allowed
    second = time.perf_counter()
    said, sql = judge.said, bytes(SQL)
    for _ in range(repeats):
        said.get(sql) or judge.judge(sql)
    ended = time.perf_counter()
    return {
        "first_ms": 1e3 * (first - started),
        "next_ms": 1e3 * (second - first),
        "repeated_us": 1e6 * (ended - second) / repeats,
    }


def main() -> None:
    """Measure each size, and print it."""
    known = catalog()
    known.family  # noqa: B018  # read once for each catalog, not for each judge
    found = {size: measured(size, known) for size in SIZES}
    if "--json" in sys.argv:
        flat = {f"{name}_{size}": of[name] for size, of in found.items() for name in of}
        print(msgspec.json.encode(flat).decode() if flat else json.dumps({}))
        return
    print(f"{'rules':>7} {'first':>10} {'next new':>10} {'repeated':>10}")
    for size, of in found.items():
        print(
            f"{size:>7} {of['first_ms']:>7.2f} ms {of['next_ms']:>7.2f} ms"
            f" {of['repeated_us']:>7.2f} us"
        )


if __name__ == "__main__":
    main()
