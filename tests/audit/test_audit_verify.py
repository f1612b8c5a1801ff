"""Verification: every change of a log is found and its place named."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tracewall.audit.log import FileLog
from tracewall.audit.record import FIRST_PREV, Head, seal
from tracewall.audit.verify import FileReport, Report, records, verify
from tracewall.events import Ended, Incident, What, Who

_WHO = Who(issuer="i", subject="ana", session="s", database="d", role="r")
_WHAT = What(summary="s", text="SELECT ?", sha256="0", decision="allowed", rule="g", policy="p")


def written(directory: Path, statements: int = 4) -> Path:
    # A clock that stands still, for its digits would change the length.
    with FileLog(directory, clock=lambda: 1_700_000_000.125) as log:
        for _ in range(statements):
            log.outcome(log.intent(_WHO, _WHAT), Ended(status="ok"))
        log.incident(Incident(kind="mismatch"))
        return directory / log.head().file


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return written(tmp_path / "audit")


def mixed(directory: Path) -> Path:
    """Write a log with each kind of record there is; the intent 4 has no outcome."""
    with FileLog(directory, durability="buffered") as log:
        log.outcome(log.intent(_WHO, _WHAT), Ended(status="ok"))
        late = log.intent(_WHO, _WHAT)
        log.outcome(log.intent(_WHO, _WHAT), Ended(status="error", sqlstate="57014"))
        log.intent(_WHO, _WHAT)
        log.incident(Incident(kind="mismatch"))
        log.outcome(late, Ended(status="ok"))
        log.outcome(log.intent(_WHO, _WHAT), Ended(status="ok"))
        return directory / log.head().file


def only(report: Report) -> FileReport:
    (file,) = report.files
    return file


def lines(path: Path) -> list[bytes]:
    return path.read_bytes().splitlines(keepends=True)


def fault_line(path: Path) -> int | None:
    fault = only(verify(path)).fault
    return fault.line if fault else None


def test_a_good_log_verifies(path: Path) -> None:
    """A log as it was written has no fault, by its file and by its directory."""
    for where in (path, path.parent):
        file = only(verify(where))
        assert file.ok
        assert file.closed
        assert (file.records, file.torn, file.open_intents) == (11, 0, ())
        assert file.head is not None
        assert (file.head.file, file.head.n) == (path.name, 10)


def test_every_flipped_bit_is_found_and_its_line_named(path: Path) -> None:
    """One bit flipped anywhere, in the last line too, is a fault at the line it is in.

    The one exception: without the last newline the last line is torn, which is reported
    as such or as changed.
    """
    whole = path.read_bytes()
    for at in range(len(whole)):
        bit = 1 << random.Random(at).randrange(8)
        path.write_bytes(whole[:at] + bytes([whole[at] ^ bit]) + whole[at + 1 :])
        line = whole.count(b"\n", 0, at) + 1
        assert fault_line(path) == line, (at, bit)


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_any_overwritten_stretch_is_found(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    """Any stretch of bytes, replaced by any others, is a fault, or leaves an end reported as torn.

    (A cut of the end between two records is another promise: it needs a remembered head.)
    """
    path = written(tmp_path_factory.mktemp("audit"), 2)
    whole = path.read_bytes()
    start = data.draw(st.integers(0, len(whole) - 1))
    end = data.draw(st.integers(start, min(len(whole), start + 200)))
    other = data.draw(st.binary(max_size=200))
    changed = whole[:start] + other + whole[end:]
    path.write_bytes(changed)
    file = only(verify(path))
    good = b"".join(lines(path)[: file.records])
    assert whole.startswith(good)
    if changed != good:
        assert file.fault or file.torn == len(changed) - len(good)


@pytest.mark.parametrize("at", range(10))
def test_a_dropped_record_is_found(path: Path, at: int) -> None:
    """Whichever record is taken out, the line after it is named, and what is missing."""
    kept = lines(path)
    path.write_bytes(b"".join(kept[:at] + kept[at + 1 :]))
    fault = only(verify(path)).fault
    assert fault is not None
    assert fault.line == at + 1
    assert fault.what == f"record {at} should be here, but this is record {at + 1}"


@pytest.mark.parametrize("at", range(10))
def test_swapped_records_are_found(path: Path, at: int) -> None:
    """Two neighbours in the wrong order are found at the first of them."""
    kept = lines(path)
    kept[at], kept[at + 1] = kept[at + 1], kept[at]
    path.write_bytes(b"".join(kept))
    assert fault_line(path) == at + 1


@pytest.mark.parametrize("at", range(11))
def test_a_doubled_record_is_found(path: Path, at: int) -> None:
    """A record that is there twice is found at its second place."""
    kept = lines(path)
    path.write_bytes(b"".join(kept[: at + 1] + kept[at:]))
    assert fault_line(path) == at + 2


@pytest.mark.parametrize("at", range(1, 11))
def test_an_inserted_record_is_found(path: Path, at: int) -> None:
    """A well-made record put between two others breaks the chain behind it."""
    kept = lines(path)
    prev = FIRST_PREV
    for n, line in enumerate(kept[:at]):
        said = line.split(b",", 3)[3].rsplit(b',"crc"', 1)[0]
        moment = float(line.split(b'"at":')[1].split(b",")[0])
        again, prev = seal(n, prev, [(moment, said)])
        assert again == line
    forged, _ = seal(at, prev, [(0.0, b'"kind":"incident","incident":{"kind":"connected"}')])
    path.write_bytes(b"".join([*kept[:at], forged, *kept[at:]]))
    assert fault_line(path) == at + 2


def test_a_splice_of_two_logs_is_found(path: Path) -> None:
    """The beginning of one log and the end of another don't make a log."""
    other = written(path.parent / "other")
    path.write_bytes(b"".join(lines(path)[:5] + lines(other)[5:]))
    assert fault_line(path) == 6


def test_a_copied_file_is_found(path: Path) -> None:
    """The same writer in two files of a directory is a fault of the second."""
    shutil.copy(path, path.with_name("99991231T235959Z-1-00000000.jsonl"))
    assert [file.ok for file in verify(path.parent).files] == [True, False]


def test_something_after_the_end_is_found(path: Path) -> None:
    """Nothing may follow the record that closes the log, not even half a line."""
    whole = path.read_bytes()
    for more in (b"{", b"\n", b"\0", lines(path)[-1]):
        path.write_bytes(whole + more)
        assert fault_line(path) == 12


def test_a_cut_end_shows_against_a_remembered_head(path: Path) -> None:
    """Without a head a shorter log is a good log; with one the missing record is named."""
    head = only(verify(path)).head
    assert head is not None
    path.write_bytes(b"".join(lines(path)[:7]))
    assert verify(path).ok
    fault = only(verify(path, head=head)).fault
    assert fault is not None
    assert (fault.line, "record 10" in fault.what) == (8, True)


def test_a_log_written_anew_shows_against_a_remembered_head(path: Path) -> None:
    """A new, whole chain under the old name is not the one that was remembered."""
    head = only(verify(path)).head
    assert head is not None
    shutil.copy(written(path.parent / "other"), path)
    assert verify(path).ok
    assert fault_line(path) is None
    fault = only(verify(path, head=head)).fault
    assert fault is not None
    assert fault.line == 11


def test_two_heads_that_differ_cannot_both_hold(path: Path) -> None:
    """Every remembered head must hold, also two of one record."""
    good = Head(file=path.name, n=3, sha256=lines_hash(path, 3))
    assert verify(path, head=[good, good]).ok
    assert not verify(path, head=[good, Head(file=path.name, n=3, sha256="0" * 64)]).ok


def lines_hash(path: Path, n: int) -> str:
    cut = path.with_name("cut.jsonl")
    cut.write_bytes(b"".join(lines(path)[: n + 1]))
    head = only(verify(cut)).head
    cut.unlink()
    assert head is not None
    return head.sha256


def test_a_remembered_file_that_is_missing_is_a_fault(path: Path) -> None:
    """A head of a file that is not there is never passed over."""
    gone = Head(file="20200101T000000Z-1-00000000.jsonl", n=0, sha256="0" * 64)
    for where in (path, path.parent):
        report = verify(where, head=gone)
        assert [file.file for file in report.files if not file.ok] == [gone.file]


def test_a_torn_end_is_no_fault(path: Path) -> None:
    """Wherever a crash cuts the last record, the rest holds and the end is reported as torn."""
    kept = lines(path)[:-1]
    rest = b"".join(kept[:-1])
    for length in range(1, len(kept[-1])):
        path.write_bytes(rest + kept[-1][:length])
        file = only(verify(path))
        assert (file.ok, file.torn, file.records) == (True, length, 9)


def test_zeros_after_a_power_failure_are_a_torn_end(path: Path) -> None:
    """A file system may leave zeros where the last record should be."""
    path.write_bytes(b"".join(lines(path)[:5]) + b"\0" * 100)
    assert only(verify(path)).torn == 100


@pytest.mark.parametrize("end", [b"x", b'{"n":99,', b'{"n":5,"prev":"0000', b"\xff\xfe"])
def test_an_end_that_no_crash_leaves_is_a_fault(path: Path, end: bytes) -> None:
    """A torn end must begin as the next record would."""
    path.write_bytes(b"".join(lines(path)[:5]) + end)
    assert fault_line(path) == 6


def test_an_empty_file_is_a_fault(path: Path) -> None:
    """A log has at least its first record."""
    path.write_bytes(b"")
    assert not verify(path.parent).ok


@pytest.mark.parametrize(
    "line",
    [
        b"\n",
        b"null\n",
        b"[]\n",
        b"\xff\n",
        b"[" * 100_000 + b"\n",
        b'{"n":' + b"9" * 5000 + b"}\n",
        b"x" * 3_000_000 + b"\n",
        b"x" * 3_000_000,
    ],
)
def test_foreign_bytes_are_a_fault_and_no_crash(path: Path, line: bytes) -> None:
    """Whatever stands in a line, verification answers and reading goes on."""
    kept = lines(path)
    path.write_bytes(b"".join([*kept[:3], line, *kept[3:]]))
    assert fault_line(path) == 4
    assert [r["kind"] for r in records(path)].count("unreadable") >= 1


@pytest.mark.parametrize(
    ("said", "what"),
    [
        (b'"kind":"opened","format":2,"writer":"w"', "format"),
        (b'"kind":"intent"', "begin"),
        (b'"kind":"opened","format":1,"writer":7', "not a record"),
    ],
)
def test_a_log_that_does_not_begin_as_one_is_refused(
    tmp_path: Path, said: bytes, what: str
) -> None:
    """The first record must open the log, in a format that this version reads."""
    path = tmp_path / "a.jsonl"
    path.write_bytes(seal(0, FIRST_PREV, [(0.0, said)])[0])
    fault = only(verify(path)).fault
    assert fault is not None
    assert what in fault.what


@pytest.mark.parametrize("kind", [b"opened", b"approval"])
def test_a_record_out_of_place_is_refused(tmp_path: Path, kind: bytes) -> None:
    """A second beginning and a kind that nobody knows are faults, not passed over."""
    path = tmp_path / "a.jsonl"
    said = [(0.0, b'"kind":"%b","format":1,"writer":"w"' % one) for one in (b"opened", kind)]
    path.write_bytes(seal(0, FIRST_PREV, said)[0])
    assert fault_line(path) == 2


def test_what_is_no_file_is_a_fault(path: Path) -> None:
    """A pipe or a dead link among the files is reported, and nobody waits for it."""
    os.mkfifo(path.with_name("a.jsonl"))
    path.with_name("b.jsonl").symlink_to(path.parent / "nowhere")
    assert [file.file for file in verify(path.parent).files if not file.ok] == [
        "a.jsonl",
        "b.jsonl",
    ]


def test_a_path_that_does_not_exist_is_a_fault(tmp_path: Path) -> None:
    """There is no good report about nothing."""
    assert not verify(tmp_path / "nothing").ok
    with pytest.raises(OSError, match="nothing"):
        next(records(tmp_path / "nothing"))


def test_open_intents_are_listed(tmp_path: Path) -> None:
    """Intents without an outcome are told by number, without being a fault."""
    with FileLog(tmp_path) as log:
        numbers = [log.intent(_WHO, _WHAT) for _ in range(3)]
        log.outcome(numbers[1], Ended(status="ok"))
    file = only(verify(tmp_path))
    assert (file.ok, file.open_intents) == (True, (numbers[0], numbers[2]))


def test_a_log_that_mixes_kinds_verifies(tmp_path: Path) -> None:
    """Statements of one record and of two may stand side by side; only 4 is open."""
    path = mixed(tmp_path)
    assert [record["kind"] for record in records(path)] == [
        "opened",
        "statement",
        "intent",
        "statement",
        "intent",
        "incident",
        "outcome",
        "statement",
        "closed",
    ]
    file = only(verify(path))
    assert (file.ok, file.records, file.open_intents, file.closed) == (True, 9, (4,), True)


def test_a_changed_log_that_mixes_kinds_is_found(tmp_path: Path) -> None:
    """In statements, too, a flipped bit, a record less and a record twice name their line."""
    path = mixed(tmp_path)
    kept = lines(path)
    for at, line in enumerate(kept[:-1]):
        path.write_bytes(b"".join(kept[:at] + kept[at + 1 :]))
        assert fault_line(path) == at + 1
        path.write_bytes(b"".join(kept[: at + 1] + kept[at:]))
        assert fault_line(path) == at + 2
        for place in range(len(line)):
            changed = line[:place] + bytes([line[place] ^ 1]) + line[place + 1 :]
            path.write_bytes(b"".join([*kept[:at], changed, *kept[at + 1 :]]))
            assert fault_line(path) == at + 1


def test_a_fault_never_quotes_the_file(path: Path) -> None:
    """What a forged line says does not reach the reader of the report."""
    kept = lines(path)
    forged, _ = seal(3, b"canary\\u001b[2J", [(0.0, b'"kind":"canary"')])
    path.write_bytes(b"".join([*kept[:3], forged, *kept[3:]]))
    fault = only(verify(path)).fault
    assert fault is not None
    assert "canary" not in fault.what
    assert "\x1b" not in fault.what


def test_records_reads_file_after_file(path: Path) -> None:
    """Records come as they were written, the oldest file first."""
    written(path.parent, 1)
    kinds = [record["kind"] for record in records(path.parent)]
    assert kinds.count("opened") == kinds.count("closed") == 2
    assert kinds[0] == "opened"
    assert len(kinds) == 11 + 5


def test_a_reader_ends_where_the_log_ended_when_it_began(tmp_path: Path) -> None:
    """A process that writes faster than the log is read does not keep its reader for ever."""
    path = tmp_path / "log.jsonl"
    path.write_bytes(b"{}\n" * 3)
    seen = 0
    for _ in records(path):
        seen += 1
        with path.open("ab", buffering=0) as stream:
            stream.write(b"{}\n" * 1000)
        assert seen < 10
    assert seen == 3


def test_a_log_can_be_verified_while_it_is_written(
    tmp_path: Path, start: Callable[..., subprocess.Popen[bytes]]
) -> None:
    """A reader beside a writing process sees a good log that grows, whatever the moment."""
    script = "log = FileLog(sys.argv[1])\nprint(flush=True)\nwhile True: log.intent(who, what)"
    with start(script, tmp_path) as process:
        assert process.stdout is not None
        process.stdout.read(1)
        reports = [verify(tmp_path)]
        enough = time.monotonic() + 30
        while reports[-1].records < 1000 and time.monotonic() < enough:
            reports.append(verify(tmp_path))
        process.kill()
    assert all(report.ok for report in reports)
    counts = [report.records for report in reports]
    assert counts == sorted(counts)
    assert counts[-1] >= 1000
