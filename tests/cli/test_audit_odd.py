"""``tracewall audit search``, ``export`` and ``tail`` on a log that somebody else wrote into.

Nobody's line hides another's, and none is an order to a terminal or a spreadsheet.
"""

from __future__ import annotations

import csv
import io
import json
from itertools import product
from pathlib import Path
from typing import Any

import pytest

BIG = "a number of thousands of digits"
ODD: list[Any] = [[], {}, "x", None, 1.5, True, 1e300, -1e300, BIG, {"a": [1]}, {"a": None}]
ODD += [{"a": {"b": 1}}, [["a"]], ["x", 1], "=1+1", '@SUM(A1)"', "\u202e\x1b[2J\r\n\x00", "\ud800"]
KINDS = ("intent", "outcome", "incident", "opened", "statement", "checkpoint", "retired", 7)
MEMBERS = ("at", "n", "who", "what", "ended", "incident", "transaction", "writer", "name", "of")
INNER = ("subject", "actor", "who", "relations", "columns", "masked", "kind", "rows", "seconds")


@pytest.fixture(scope="module")
def odd(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A log of lines of any types, and after them one record as it should be."""
    lines: list[dict[str, Any]] = [
        {"kind": kind, "n": 1, "at": 1.0, member: value}
        for kind, member, value in product(KINDS, MEMBERS, ODD)
    ]
    lines += [
        {"kind": kind, "n": 1, "at": 1.0, member: {inner: value}}
        for kind, member, inner, value in product(
            ("intent", "statement", "incident"), ("who", "what", "ended", "incident"), INNER, ODD
        )
    ]
    real = {
        "kind": "statement",
        "n": 7,
        "at": 2.0,
        "who": {"subject": "LAST"},
        "what": {"relations": {"a.b": ["select"]}, "columns": {"a.b": ["c"]}},
        "ended": {"status": "ok"},
    }
    folder = tmp_path_factory.mktemp("odd")
    told = [json.dumps(line).replace(f'"{BIG}"', "1" + "0" * 5000) for line in (*lines, real)]
    (folder / "20260101T000000.000000Z-1-aa.jsonl").write_text("\n".join(told) + "\n")
    return folder


@pytest.mark.parametrize(
    "asked",
    [
        ["search"],
        ["search", "--json"],
        ["search", "--who", "*"],
        ["search", "--table", "*", "--column", "*"],
        ["search", "--since", "1970-01-01"],
        ["export"],
        ["export", "--format", "csv"],
        ["export", "--format", "csv", "--who", "LA*"],
        ["tail", "-n", "1000000"],
        ["tail", "-n", "1000000", "--json"],
    ],
    ids=" ".join,
)
def test_an_odd_record_hides_no_other(
    run: Any, odd: Path, tmp_path: Path, asked: list[str]
) -> None:
    """Whatever types a record has, the command goes on to the last one, and steers nothing."""
    out = tmp_path / "out"
    told = run("audit", asked[0], odd, *asked[1:], *(["--out", out] * (asked[0] == "export")))
    assert told.exit_code == 0, told.output
    text = out.read_text() if out.exists() else told.stdout
    assert "LAST" in text or "a.b" in text
    assert not {*"\x1b\u202e\x00"} & {*text}


def test_no_odd_record_becomes_a_formula(run: Any, odd: Path, tmp_path: Path) -> None:
    """Every row of an export has every column, and no cell of it begins as a formula does."""
    out = tmp_path / "out.csv"
    assert run("audit", "export", odd, "--format", "csv", "--out", out).exit_code == 0
    rows = list(csv.reader(io.StringIO(out.read_bytes().decode("ascii"), newline="")))
    assert len({len(row) for row in rows}) == 1 and len(rows) > 1000
    begins = {cell[0] for row in rows[1:] for cell in row if cell}
    numbers = {cell for row in rows for cell in row if cell[:1] == "-"}
    assert "'" in begins and not {*"=+@\t\r"} & begins
    assert all(float(number) < 0 for number in numbers)
