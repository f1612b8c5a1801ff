"""``tracewall audit search``, ``export``, ``tail -f`` and ``erase``."""

from __future__ import annotations

import csv
import gzip
import io
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tracewall.audit.follow import Follower
from tracewall.audit.keeping import pack
from tracewall.audit.log import FileLog
from tracewall.audit.people import People, pseudonymous
from tracewall.audit.search import Asked, found, joined
from tracewall.audit.verify import records, verify
from tracewall.cli import main
from tracewall.events import Ended, Incident, Moment, What, Who


def who(subject: str, session: str = "s1") -> Who:
    return Who(issuer="i", subject=subject, session=session, database="d", role="r")


def what(table: str, decision: str = "allowed", **more: Any) -> What:
    said: dict[str, Any] = {"summary": f"SELECT {table}", "text": "select ?", "policy": "p"}
    rule = "grants.read" if decision == "allowed" else "default"
    return What(**said, decision=decision, rule=rule, relations={table: ["select"]}, **more)


@pytest.fixture
def log(tmp_path: Path) -> Iterator[Path]:
    now = 1_000.0
    with FileLog(tmp_path / "log", clock=lambda: now) as made:
        made.incident(Incident(kind="token_rejected", detail="expired"))
        masked = what("a.t", masked={"0": "masks.keys, scans.text"}, columns={"a.t": ["key"]})
        one = made.intent(who("ann"), masked, Moment(3))
        two = made.intent(who("=bob[1]", "s2"), what("b.t", "forbidden"))
        made.outcome(two, Ended(status="refused"))
        made.outcome(one, Ended(status="ok", rows=2))
        now = 2_000.0
        made.intent(who("ann"), what("c.t"))
        made.flush()
        yield tmp_path / "log"


def search(capsys: Any, log: Path, *options: str) -> list[dict[str, Any]]:
    assert main(["audit", "search", str(log), "--json", *options]) == 0
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


@pytest.mark.parametrize(
    ("options", "tables"),
    [
        (["--who", "ann"], ["a.t", "c.t"]),
        (["--who", "=bob[1]"], ["b.t"]),
        (["--who", "*"], ["a.t", "b.t", "c.t"]),
        (["--table", "?.t"], []),
        (["--table", "b.*"], ["b.t"]),
        (["--column", "key"], ["a.t"]),
        (["--rule", "scans.text"], ["a.t"]),
        (["--rule", "grants.*"], ["a.t", "c.t"]),
        (["--decision", "forbidden"], ["b.t"]),
        (["--status", "open"], ["c.t"]),
        (["--status", "ok", "--who", "ann"], ["a.t"]),
        (["--session", "s2"], ["b.t"]),
        (["--who", "ann", "--since", "1970-01-01T00:25:00"], ["c.t"]),
        (["--who", "ann", "--until", "1970-01-01T00:25:00+00:00"], ["a.t"]),
        (["--kind", "token_rejected"], []),
    ],
)
def test_each_filter_finds_its_statements(
    capsys: Any, log: Path, options: list[str], tables: list[str]
) -> None:
    """What is found fits every filter, in the order in which it was begun."""
    found = [each for each in search(capsys, log, *options) if "what" in each]
    assert [next(iter(each["what"]["relations"])) for each in found] == tables


def test_incidents_are_found_by_kind(capsys: Any, log: Path) -> None:
    """An incident is found by its kind, and not where statements are asked for."""
    assert [e["incident"]["detail"] for e in search(capsys, log, "--kind", "token_*")] == [
        "expired"
    ]
    assert len(search(capsys, log)) == 4


def test_an_outcome_in_a_later_file_is_joined() -> None:
    """The writer that an outcome names is the one whose intent it ends."""
    told = [
        {"kind": "opened", "writer": "a"},
        {"kind": "intent", "n": 1},
        {"kind": "opened", "writer": "b"},
        {"kind": "intent", "n": 1},
        {"kind": "outcome", "intent": 1, "of": "a", "ended": {"status": "ok"}},
    ]
    assert [each.get("ended") for each in joined(told)] == [{"status": "ok"}, None]


def test_a_record_that_is_none_hides_no_other() -> None:
    """Whatever somebody has written into a log, the rest of it is found."""
    who = {"subject": "ann"}
    odd: list[Any] = [[], {}, "x", None, 1.5, True]
    written = [
        {"kind": kind, name: value, "at": 1.0, "who": value, "what": {"columns": {"a.b": value}}}
        for kind in ("intent", "outcome", "incident", "opened")
        for name in ("n", "intent", "of", "writer")
        for value in odd
    ]
    written += [{"kind": value} for value in odd]
    real = {"kind": "statement", "n": 7, "at": 2.0, "who": who, "what": {"columns": {"a.b": ["c"]}}}
    for asked in (Asked(), Asked(column="c")):
        assert real["at"] in [entry["at"] for entry in found([*written, real], asked, {})]


def test_a_statement_is_found_by_its_text_and_its_name(capsys: Any, tmp_path: Path) -> None:
    """In an erasable record the commitment finds it, and the name as long as it is kept."""
    person = People(tmp_path).of("i", "ann")
    with FileLog(tmp_path) as made:
        for text in (b"select 1", b"select 2"):
            moment = person.moment(0, text, ())
            made.intent(pseudonymous(who("ann"), person, ()), what("a.t"), moment)
    assert len(search(capsys, tmp_path, "--statement", "select 1")) == 1
    assert [each["name"] for each in search(capsys, tmp_path, "--who", "ann")] == ["ann"] * 2
    assert main(["audit", "erase", str(tmp_path), "--subject", "ann"]) == 0
    assert person.pseudonym in capsys.readouterr().out
    assert search(capsys, tmp_path, "--who", "ann") == []
    assert search(capsys, tmp_path, "--statement", "select 1") == []
    assert verify(tmp_path).ok
    assert main(["audit", "erase", str(tmp_path), "--subject", "ann"]) == 2
    files = sorted((tmp_path / "reads").glob("*.jsonl"), key=lambda path: path.stat().st_mtime_ns)
    reads = "".join(path.read_text() for path in files)
    assert '"kind":"erased"' in reads
    assert (
        "who=ann" in reads.partition("erased")[2] and "who=ann" not in reads.partition("erased")[0]
    )


def test_csv_is_safe_for_spreadsheets(log: Path, tmp_path: Path) -> None:
    """Each statement is a row under its columns, and no cell is a formula."""
    out = tmp_path / "found.csv"
    assert main(["audit", "export", str(log), "--format", "csv", "--out", str(out)]) == 0
    rows = list(csv.DictReader(io.StringIO(out.read_text())))
    assert [row["subject"] for row in rows] == ["", "ann", "'=bob[1]", "ann"]
    assert rows[1]["transaction"] == "3" and rows[1]["columns"] == "a.t.key"
    assert rows[1]["rows"] == "2" and rows[1]["status"] == "ok"
    assert rows[0]["kind"] == "token_rejected"
    assert main(["audit", "export", str(log), "--out", str(out)]) == 2, "no file is overwritten"


def test_reading_is_recorded_apart(capsys: Any, log: Path) -> None:
    """Who searched what is in a log of its own, which verifies; the log itself is as it was."""
    before = sorted(path.name for path in log.glob("*.jsonl"))
    search(capsys, log, "--who", "ann")
    assert sorted(path.name for path in log.glob("*.jsonl")) == before
    assert verify(log / "reads").ok
    (read,) = (r["incident"] for r in records(log / "reads") if r["kind"] == "incident")
    assert read["kind"] == "audit_read" and read["detail"].endswith("who=ann")


def test_a_time_that_is_none_is_refused(capsys: Any, log: Path) -> None:
    """A wrong --since is told, with exit code 2."""
    assert main(["audit", "search", str(log), "--since", "yesterday"]) == 2
    assert "2026-01-31" in capsys.readouterr().err


def test_tail_follows(tmp_path: Path) -> None:
    """With -f the records that come are printed, each once, of new files too."""
    with FileLog(tmp_path) as made:
        made.intent(who("before"), what("a.t"))
        program = "import sys; from tracewall.cli import main; main(sys.argv[1:])"
        command = [sys.executable, "-c", program, "audit", "tail", str(tmp_path), "-f", "--json"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            lines = iter(process.stdout.readline, "")
            assert next(json.loads(line) for line in lines if "before" in line)
            made.intent(who("after"), what("a.t"))
            with FileLog(tmp_path) as other:
                other.intent(who("another"), what("a.t"))
            seen: list[str] = []
            started = time.monotonic()
            while len(seen) < 2 and time.monotonic() - started < 60:
                record = json.loads(next(lines))
                if record["kind"] == "intent":
                    seen.append(record["who"]["subject"])
            process.terminate()
    assert sorted(seen) == ["after", "another"]


def test_what_is_packed_meanwhile_is_followed(tmp_path: Path) -> None:
    """A file that ends, is packed or deleted between two looks loses nobody a record."""
    follower, seen = Follower(tmp_path), list[str]()
    for number in range(4):
        with FileLog(tmp_path) as made:
            made.intent(who(f"looked at {number}"), what("a.t"))
            seen += _subjects(follower) if number % 2 else []
            made.intent(who(f"packed before {number}"), what("a.t"))
        pack(tmp_path, "", "gzip")
    assert len(list(tmp_path.glob("*.gz"))) == 4
    seen += _subjects(follower)
    both = ((f"looked at {number}", f"packed before {number}") for number in range(4))
    assert seen == [each for pair in both for each in pair]
    assert _subjects(follower) == []
    for file in tmp_path.glob("*.jsonl*"):
        file.unlink()
    assert _subjects(follower) == []


def test_a_damaged_packed_file_ends_no_following(tmp_path: Path) -> None:
    """What of a packed file is cut off is not there; the others are followed on."""
    follower = Follower(tmp_path)
    with FileLog(tmp_path) as made:
        made.intent(who("cut"), what("a.t"))
    (file,) = tmp_path.glob("*.jsonl")
    cut = gzip.compress(file.read_bytes())[:60]
    file.unlink()
    (tmp_path / f"{file.name}.gz").write_bytes(cut)
    os.mkfifo(tmp_path / "29990101T000000.000000Z-1-aa.jsonl")
    with FileLog(tmp_path) as other:
        other.intent(who("whole"), what("a.t"))
        assert _subjects(follower)[-1] == "whole"


def _subjects(follower: Follower) -> list[str]:
    return [each["who"]["subject"] for each in follower.new() if each["kind"] == "intent"]


@pytest.mark.parametrize("count", [1, 3, 4, 100])
def test_tail_is_of_all_writers(capsys: Any, tmp_path: Path, count: int) -> None:
    """The last records are the last by time, whichever process wrote them, and packed or not."""
    now = 1_000.0

    def clock() -> float:
        return now

    with FileLog(tmp_path, clock=clock) as one, FileLog(tmp_path, clock=clock) as two:
        for number in range(6):
            now += 1
            (one, two)[number % 2].intent(who(f"w{number}"), what("a.t"))
        assert main(["audit", "tail", str(tmp_path), "-n", str(count), "--json"]) == 0
    told = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    written = [each["who"]["subject"] for each in told if each["kind"] == "intent"]
    assert written == [f"w{number}" for number in range(6)][-count:]


def test_an_export_goes_to_no_file_that_is_there(log: Path, tmp_path: Path, capsys: Any) -> None:
    """Neither over the log itself, nor by a link: it stays as it was, and verifies."""
    (file,) = log.glob("*.jsonl")
    link = tmp_path / "link"
    link.symlink_to(file)
    before = file.read_bytes()
    for out in (file, link, log):
        assert main(["audit", "export", str(log), "--out", str(out)]) == 2
        assert "can't be written" in capsys.readouterr().err or out is log
    assert file.read_bytes() == before and verify(log).ok


@pytest.mark.parametrize(
    "line",
    [
        ["audit", "search"], ["audit", "search", "--json"], ["audit", "export"],
        ["audit", "tail"], ["shadow", "report"],
    ],
    ids=" ".join,
)  # fmt: skip
def test_a_directory_without_a_log_is_told(run: Any, tmp_path: Path, line: list[str]) -> None:
    """Nobody takes the silence of a wrong directory for "nothing happened"; it stays untouched."""
    result = run(*line, tmp_path)
    assert (result.exit_code, result.stdout) == (2, "")
    assert "there is no audit log in" in result.stderr
    assert not list(tmp_path.iterdir())
