"""Coverage-guided fuzzing of the reader and the judge, by atheris (which the tests don't need).

    pip install atheris
    python tests/fuzz/fuzz_judge.py -max_total_time=300 -timeout=5 [CORPUS DIRECTORY]

Bytes are statements. Whatever they are: reading them raises nothing, takes no longer than
a second, and comes out the same the second time; a decision is made; a denial more, or a
mask more, never lets more through; and the text for logs holds no literal. A finding ends
the run with a traceback and the input in a file ``crash-…``; keep it as a test.

The statements of the attack corpus, and of PostgreSQL's regression suite where it is
beside the project, are the seeds.
"""

from __future__ import annotations

import gzip
import json
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import atheris

with atheris.instrument_imports(include=["tracewall.sql", "tracewall.policy"]):
    from tracewall.policy.decide import decide
    from tracewall.policy.load import loads
    from tracewall.policy.model import Denial, Glob, Mask
    from tracewall.policy.rights import Rights
    from tracewall.sql import grammar
    from tracewall.sql.catalog import Attribute, Catalog, Relation
    from tracewall.sql.statement import understand

from tracewall.masking.config import Method

HERE = Path(__file__).resolve()
SLOW = 1.0
POLICY = """
version = 1
[[issuers]]
issuer = "https://idp.test"
audience = "a"
keys = "k.json"
[[grants]]
name = "read"
groups = ["g"]
actions = ["select", "insert", "update", "delete", "explain", "lock"]
tables = ["lab.*"]
[[grants]]
name = "catalog"
groups = ["g"]
actions = ["select"]
tables = ["pg_catalog.*"]
[[denials]]
name = "hidden"
groups = ["g"]
tables = ["lab.people"]
columns = ["hidden"]
[[masks]]
name = "secrets"
columns = ["lab.*.secret", "lab.*.token"]
method = "redact"
[[masks]]
name = "mail"
columns = ["lab.people.email"]
method = "email"
expressions = "mask"
predicates = "none"
[[scans]]
name = "notes"
columns = ["lab.people.notes", "lab.people.doc"]
"""
COLUMNS = "id name secret token email hidden notes doc salary born".split()
TYPES = {"id": 23, "salary": 23, "doc": 3802, "born": 1082}


def make_catalog() -> Catalog:
    """Give a catalog with the tables of the attack corpus, roughly."""
    known = {}
    for oid, name in enumerate(("people", "drafts", "accounts", "vault", "events"), 16384):
        columns = tuple(
            Attribute(at, column, TYPES.get(column, 25)) for at, column in enumerate(COLUMNS, 1)
        )
        known[oid] = Relation(oid, "lab", name, columns=columns)
    names = {(relation.schema, relation.name): relation for relation in known.values()}
    return Catalog("db", "role", ("pg_catalog", "lab", "public"), known, _names=names)


CATALOG = make_catalog()
PLAIN = loads(POLICY)
GROUPS = frozenset({"g"})
ALL = (Glob("*"),)
TIGHTER = (
    replace(
        PLAIN,
        denials=(
            *PLAIN.denials,
            Denial(
                "more", (Glob("g"),), frozenset({"select"}), (Glob("lab.people"),), (Glob("name"),)
            ),
        ),
    ),
    replace(
        PLAIN,
        masks=(*PLAIN.masks, Mask("more", (Glob("lab.people.name"),), Method("redact"))),
    ),
)


def check(sql: bytes) -> None:
    """Hold one statement to what is promised of any."""
    started = time.perf_counter()
    understood = understand(sql, CATALOG)
    decision = decide(understood, Rights(PLAIN, CATALOG, GROUPS))
    took = time.perf_counter() - started
    assert took < SLOW, f"judging took {took:.1f} s"
    assert repr(understand(sql, CATALOG)) == repr(understood), "it was understood otherwise"
    for policy in TIGHTER:
        tighter = decide(understood, Rights(policy, CATALOG, GROUPS))
        assert decision.allowed or not tighter.allowed, "a rule more lets more through"
        for before, after in zip(decision.columns, tighter.columns, strict=False):
            assert not (before.mask and not after.mask), "a rule more shows more"
    try:
        text = grammar.without_literals(sql)
    except grammar.Unparsable:
        return
    assert "cnry" not in text.lower() or not quoted(sql), "a literal is in the text for logs"


def quoted(sql: bytes) -> bool:
    """Tell whether the canary stands in a plain literal only."""
    bare = sql.lower().split(b"'")
    return len(bare) == 3 and b"cnry" in bare[1] and b"cnry" not in bare[0] + bare[2]


def seeds(folder: Path) -> None:
    """Write the seeds, one statement a file."""
    known: set[str] = set()
    for path in sorted((HERE.parents[1] / "attacks").glob("*/*.sql")):
        known.update(path.read_text("utf-8").replace("{c}", "secret").split(";\n"))
    for path in sorted((HERE.parents[1] / "legit").glob("**/*.sql")):
        known.update(path.read_text("utf-8").split(";\n"))
    regress = HERE.parents[3] / "shared" / "data" / "pg_regress.jsonl.gz"
    if regress.is_file():
        with gzip.open(regress, "rt") as stream:
            known.update(str(next(iter(_texts(json.loads(line))), "")) for line in stream)
    known.add("SELECT 'CNRY' FROM people")
    for number, text in enumerate(sorted(known)):
        if text.strip():
            (folder / f"{number:06}").write_text(text, "utf-8")


def _texts(line: Any) -> list[str]:
    values = line.values() if isinstance(line, dict) else [line]
    return sorted((value for value in values if isinstance(value, str)), key=len, reverse=True)


def main() -> None:
    """Fuzz until the time that the arguments give is over."""
    with tempfile.TemporaryDirectory() as folder:
        seeds(Path(folder))
        atheris.Setup([*sys.argv, folder, "-max_len=4096", "-rss_limit_mb=8192"], check)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
