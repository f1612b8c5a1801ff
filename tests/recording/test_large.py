"""However large a recording is, every reader of it takes little memory."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tracewall.recording.course import Course
from tracewall.recording.folder import Folder
from tracewall.recording.page import page
from tracewall.recording.summary import Summary
from tracewall.recording.tape import Tape

MANY = 2_000
READER = """
import contextlib, os, resource, sys
from tracewall.cli.commands import run
path, small, large, *asked = sys.argv[1:]
most = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
sys.stdout = open(os.devnull, "w")
def read(id):
    for command in (("show",), ("replay",), ("verify",), ("export",), ("export", "--as", "cast"),
                    ("export", "--as", "json"), ("export", "--rows", "5000")):
        assert run(["sessions", command[0], path, id, *command[1:]]) == 0, command
read(small)
before = most()
read(large)
assert run(["sessions", "list", path]) == 0
print(most() - before, file=sys.stderr)
"""


def written(folder: Folder, session: str, statements: int, chunks: int) -> str:
    """Write a recording of many statements, and of one whose rows are chunks of 1 MB."""
    id, sink = folder.create("all", session, sealed=False)
    tape = Tape(sink, {"id": id, "rule": "all", "subject": "ann"})
    said = {"decision": "allowed", "rule": "r", "columns": [{"name": "a", "rule": ""}]}
    for at in range(statements):
        tape.write("statement", {"s": at, "text": f"SELECT {'x' * 200}", **said})
        tape.write("outcome", {"s": at, "status": "ok", "rows": 1, "seconds": 0.1})
        tape.write("rows", {"s": at, "at": 0}, [json.dumps(["v" * 600])])
    tape.write("statement", {"s": statements, "text": "SELECT everything", **said})
    row = json.dumps(["w" * 1000])
    for _ in range(chunks):
        tape.write("rows", {"s": statements}, [row] * 1000)
    tape.close()
    return id


def test_every_reader_takes_bounded_memory(tmp_path: Path) -> None:
    """50 MB of lines take less than 40 MB more than 50 kB do, whoever reads them."""
    folder = Folder(tmp_path)
    ids = [written(folder, "small", 20, 0), written(folder, "large", MANY, 40)]
    done = subprocess.run(
        [sys.executable, "-c", READER, tmp_path, *ids], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stderr.split()[-1]) < 40


def lines(statements: int) -> Iterator[dict[str, Any]]:
    """Give a session whose every statement brings two rows, the second one late."""
    yield {"kind": "began"}
    for at in range(statements + 100):
        if at < statements:
            yield {"kind": "statement", "s": at, "t": at, "text": "t", "decision": "allowed"}
            yield {"kind": "rows", "s": at, "t": at, "rows": [[f"first {at}"]]}
        if at >= 100:
            yield {"kind": "rows", "s": at - 100, "t": at, "rows": [[f"second {at - 100}"]]}
    yield {"kind": "ended"}


def test_rows_that_come_late_are_given_as_more() -> None:
    """Rows of a statement that was given already are not lost, and not another statement."""
    found = [*Course(lines(300))]
    assert sum(not spoken.goes_on for spoken in found) == 300
    assert all(spoken.goes_on for spoken in found if spoken.text and spoken.before)
    rows = [row for spoken in found for row in spoken.rows]
    assert len(rows) == len(set(rows)) == 600
    assert {spoken.decision for spoken in found} == {"allowed"}
    assert Summary.of(Course(lines(300), 0)).statements == 300


@pytest.mark.parametrize("most", [0, 1, 2])
def test_rows_are_capped_over_all_their_parts(most: int) -> None:
    """No more rows of a statement are given than wanted, and the others are counted."""
    found = [*Course(lines(200), most)]
    assert sum(len(spoken.rows) for spoken in found) == 200 * most
    assert sum(spoken.left_out for spoken in found) == 200 * (2 - most)


def test_a_page_says_what_it_leaves_out() -> None:
    """A page of a long session tells of how many statements and rows it shows how many."""
    every: list[dict[str, Any]] = [{"kind": "began"}]
    for at in range(30):
        every.append({"kind": "statement", "s": at, "text": "t", "decision": "allowed"})
        every.append({"kind": "rows", "s": at, "rows": [[1]] * 9})
    text = "".join(page(Summary.of(Course(every, 0)), Course(every, 4), 20))
    assert "This page shows the first 20 of 30 statements." in text
    assert "This page shows the first 4 of 9 rows that were recorded." in text
    assert text.count("<article") == 20
    assert text.count("<tr><td") == 80
    assert text.count('<a href="#s') == 2 * 20


def test_a_timeline_is_never_longer_than_it_is_wide() -> None:
    """A million statements make as many marks as fit, and none that went wrong is lost in one."""
    made = Summary.of(Course([{"kind": "began"}]))
    for at in range(20_000):
        refused = at == 12_345
        made._count(_spoken(at, "forbidden" if refused else "allowed"))
    assert len(made.marks) < 1000
    assert sum(mark.several for mark in made.marks) == 20_000
    assert [mark.number for mark in made.marks if mark.mood == "refused"] == [12_345]


def _spoken(at: int, decision: str) -> Any:
    told = {"kind": "statement", "s": at, "t": at, "text": "t", "decision": decision}
    (spoken,) = Course([{"kind": "began"}, told])
    return spoken
