"""Files end, are packed, are retired, and what dead processes left is ended in their place."""

from __future__ import annotations

import gzip
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tracewall import PolicyError, Wall
from tracewall.audit.anchor import Checkpoints
from tracewall.audit.file import AppendedFile
from tracewall.audit.keeping import Keeping
from tracewall.audit.log import FileLog
from tracewall.audit.notes import Signer
from tracewall.audit.packing import SUFFIXES, reader
from tracewall.audit.record import files
from tracewall.audit.verify import records, verify
from tracewall.cli import main
from tracewall.events import Ended, What, Who

SIGNER = Signer("audit.test", bytes(32))
DEAD = "20200101T000000.000000Z-1-aaaaaaaa.jsonl"
LATER = "20990101T000000.000000Z-1-aaaaaaaa.jsonl"
SMALL = Keeping(rotate_bytes=4000)


def fill(log: FileLog, who: Who, what: What, count: int) -> None:
    for _ in range(count):
        log.outcome(log.intent(who, what), Ended(status="ok"))


def told(path: Path, kind: str) -> list[Any]:
    return [record for record in records(path) if record["kind"] == kind]


@pytest.mark.parametrize("durability", ["buffered", "written", "synced"])
@pytest.mark.parametrize("signed", [False, True])
def test_a_file_ends_when_it_is_large(
    tmp_path: Path, who: Who, what: What, durability: Any, signed: bool
) -> None:
    """A log goes on from file to file; nothing is lost, and all of it verifies as one."""
    checkpoints = Checkpoints(SIGNER, records=5) if signed else None
    with FileLog(tmp_path, durability=durability, checkpoints=checkpoints, keeping=SMALL) as log:
        fill(log, who, what, 300)
    paths = files(tmp_path)
    assert len(paths) > 3
    assert all(path.stat().st_size < 80_000 for path in paths)
    report = verify(tmp_path, keys=[SIGNER.public] if signed else [])
    assert report.ok, report
    assert all(file.closed and not file.open_intents for file in report.files)
    statements = told(tmp_path, "statement") + told(tmp_path, "intent")
    assert len(statements) == 300


def test_a_file_ends_when_it_is_old(tmp_path: Path, who: Who, what: What) -> None:
    """A file ends with the first write after its time."""
    now = [1_000_000.0]
    with FileLog(tmp_path, keeping=Keeping(rotate_seconds=3600), clock=lambda: now[0]) as log:
        fill(log, who, what, 5)
        now[0] += 4000
        fill(log, who, what, 5)
    assert len(files(tmp_path)) == 2
    assert verify(tmp_path).ok


def test_a_file_that_was_taken_out_is_missed(tmp_path: Path, who: Who, what: What) -> None:
    """A file in the middle that was removed is a fault: nothing says that it was retired."""
    with FileLog(tmp_path, keeping=SMALL) as log:
        fill(log, who, what, 100)
    files(tmp_path)[1].unlink()
    report = verify(tmp_path)
    assert not report.ok
    assert report.files[-1].fault is not None
    assert report.files[-1].fault.what == "the file is missing"


@pytest.mark.parametrize("compression", ["gzip", "zstd"])
def test_old_files_are_packed(tmp_path: Path, who: Who, what: What, compression: Any) -> None:
    """Packed files verify and are read like plain ones; a damaged one is a fault."""
    keeping = Keeping(rotate_bytes=4000, pack=True, compression=compression)
    with FileLog(tmp_path, keeping=keeping) as log:
        fill(log, who, what, 300)
    with FileLog(tmp_path, keeping=keeping):
        pass
    packed = [path for path in files(tmp_path) if path.suffix == SUFFIXES[compression]]
    assert len(packed) > 3
    assert all(path.stat().st_mode & 0o077 == 0 for path in packed)
    assert verify(tmp_path).ok
    assert len(told(tmp_path, "intent")) == 300
    for damage in (b"", packed[1].read_bytes()[:-20], b"x" * 100, packed[0].read_bytes()):
        packed[1].write_bytes(damage)
        assert not verify(tmp_path).ok


def test_what_is_missing_to_unpack_is_said(
    tmp_path: Path, who: Who, what: What, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    """Without Zstandard its files are neither skipped nor called damaged."""
    keeping = Keeping(pack=True, compression="zstd")
    for _ in range(2):
        with FileLog(tmp_path, keeping=keeping) as log:
            fill(log, who, what, 3)
    for name in ("backports.zstd", "compression.zstd"):
        monkeypatch.setitem(sys.modules, name, None)
    assert main(["audit", "verify", str(tmp_path)]) == 2
    assert "pgtracewall[zstd]" in capsys.readouterr().err
    policy = tmp_path / "policy.toml"
    policy.write_text('version = 1\n[audit]\npack = true\ncompression = "zstd"\n')
    with pytest.raises(PolicyError, match="zstd"):
        Wall.load(policy)


def test_two_packings_of_a_file_do_not_both_count(tmp_path: Path, who: Who, what: What) -> None:
    """A copy of a packed file, packed otherwise, is a fault and no further records."""
    keeping = Keeping(rotate_bytes=4000, pack=True, compression="zstd")
    for _ in range(2):
        with FileLog(tmp_path, keeping=keeping) as log:
            fill(log, who, what, 60)
    first = next(path for path in files(tmp_path) if path.suffix == ".zst")
    with reader(first) as stream:
        first.with_suffix(".gz").write_bytes(gzip.compress(stream.read()))
    assert not verify(tmp_path).ok
    first.unlink()
    assert verify(tmp_path).ok


def test_what_is_old_is_retired(tmp_path: Path, who: Who, what: What) -> None:
    """Files are deleted after their time; the log tells, and verification knows them as retired."""
    with FileLog(tmp_path, keeping=SMALL) as log:
        fill(log, who, what, 100)
    first = files(tmp_path)
    report = verify(tmp_path)
    heads = [file.head for file in report.files if file.head]
    for path in first[:3]:
        os.utime(path, (1, 1))
    with FileLog(tmp_path, keeping=Keeping(keep_seconds=86400)) as log:
        fill(log, who, what, 1)
    assert files(tmp_path)[:-1] == first[3:]
    (retired,) = told(tmp_path, "retired")
    assert retired["files"] == 3
    assert [head["sha256"] for head in retired["heads"]] == [head.sha256 for head in heads[:3]]
    assert verify(tmp_path, head=heads).ok
    files(tmp_path)[0].unlink()
    assert not verify(tmp_path, head=heads).ok, "this one was not retired"


def test_the_oldest_go_when_there_is_too_much(tmp_path: Path, who: Who, what: What) -> None:
    """While all files together are too large, the oldest are deleted; never one in use."""
    keeping = Keeping(rotate_bytes=4000, keep_bytes=20_000)
    with FileLog(tmp_path, keeping=keeping) as log:
        other = FileLog(tmp_path)
        fill(log, who, what, 300)
        fill(other, who, what, 1)
        other.close()
    with FileLog(tmp_path, keeping=keeping):
        pass
    assert sum(path.stat().st_size for path in files(tmp_path)) < 30_000
    assert verify(tmp_path).ok


def test_nothing_is_retired_that_somebody_writes(tmp_path: Path, who: Who, what: What) -> None:
    """An old file that is in use stays, and so does everything younger."""
    with FileLog(tmp_path) as using:
        fill(using, who, what, 3)
        (path,) = files(tmp_path)
        os.utime(path, (1, 1))
        with FileLog(tmp_path, keeping=Keeping(keep_seconds=60, pack=True)):
            pass
        assert path.exists()
        fill(using, who, what, 3)
    assert verify(tmp_path).ok


@pytest.mark.skipif(os.name != "posix", reason="nobody can tell whether a file is in use")
@pytest.mark.parametrize("torn", [b"", b'{"n":', b"\0" * 50])
@pytest.mark.parametrize("signed", [False, True])
def test_what_a_dead_process_left_is_ended(
    tmp_path: Path, start: Callable[..., Any], torn: bytes, signed: bool
) -> None:
    """The next log ends the file of a process that died: open intents are unknown, it is closed."""
    script = """
log = FileLog(sys.argv[1])
log.outcome(log.intent(who, what), ended)
log.intent(who, what)
log.intent(who, what)
print("ready", flush=True)
time.sleep(60)
"""
    with start(script, tmp_path) as process:
        assert process.stdout.readline()
        process.send_signal(signal.SIGKILL)
    (path,) = files(tmp_path)
    tail = torn if not torn.startswith(b"{") else b'{"n":%d,"prev":"' % len(list(records(path)))
    with path.open("ab") as stream:
        stream.write(tail)
    assert len(verify(tmp_path).files[0].open_intents) == 2
    checkpoints = Checkpoints(SIGNER) if signed else None
    with FileLog(tmp_path, checkpoints=checkpoints):
        pass
    report = verify(tmp_path, keys=[SIGNER.public] if signed else [])
    assert report.ok, report
    dead = report.files[0]
    assert (dead.open_intents, dead.torn, dead.closed) == ((), 0, True)
    ends = [record["ended"]["status"] for record in told(path, "outcome")]
    assert ends == ["ok", "unknown", "unknown"]
    (recovered,) = told(path, "recovered")
    assert recovered.get("torn", 0) == len(tail)
    before = path.read_bytes()
    with FileLog(tmp_path):
        pass
    assert path.read_bytes() == before, "once is enough"


def test_what_died_before_it_had_a_name_is_deleted(tmp_path: Path, start: Any) -> None:
    """A process killed before its file had a name leaves nothing, once that is a minute old."""
    script = """
from pathlib import Path
from tracewall.audit.file import AppendedFile
AppendedFile(Path(sys.argv[1]), time.time())
os.kill(os.getpid(), signal.SIGKILL)
"""
    with start(script, tmp_path) as process:
        assert process.wait(60) == -signal.SIGKILL
    (left,) = tmp_path.iterdir()
    begun = AppendedFile(tmp_path, left.stat().st_mtime)
    alike = [tmp_path / ".notes.jsonl.new", tmp_path / f"{left.name}.new"]
    linked, directory = tmp_path / f".{LATER}.new", tmp_path / f".{DEAD}.new"
    linked.symlink_to(left)
    directory.mkdir()
    for path in alike:
        path.write_text("kept")
    for path in (left, *alike, begun._path):
        os.utime(path, (left.stat().st_mtime, left.stat().st_mtime - 3600))
    young = AppendedFile(tmp_path, left.stat().st_mtime)
    young.let_go()
    FileLog(tmp_path).close()
    assert not left.exists()
    assert all(path.exists() for path in (*alike, directory, begun._path, young._path))
    assert linked.is_symlink()
    assert verify(tmp_path).ok
    begun.discard()


def test_a_faulty_file_is_left_as_it_is(tmp_path: Path, who: Who, what: What) -> None:
    """A file that does not verify is evidence: it is neither ended nor changed, but told of."""
    with FileLog(tmp_path) as log:
        fill(log, who, what, 5)
    (path,) = files(tmp_path)
    changed = path.read_bytes().splitlines(keepends=True)[:-1]
    changed[2] = changed[2].replace(b"intent", b"incest")
    path.write_bytes(b"".join(changed))
    before = path.read_bytes()
    with FileLog(tmp_path):
        pass
    assert path.read_bytes() == before
    incidents = [record["incident"] for record in told(tmp_path, "incident")]
    assert [each["kind"] for each in incidents] == ["audit_fault"]
    assert path.name in incidents[0]["detail"]


def test_a_file_in_use_is_not_ended(tmp_path: Path, who: Who, what: What) -> None:
    """A second log beside a living one leaves the living one's file alone."""
    with FileLog(tmp_path) as first:
        number = first.intent(who, what)
        with FileLog(tmp_path):
            pass
        first.outcome(number, Ended(status="ok"))
    assert verify(tmp_path).ok
    assert told(tmp_path, "recovered") == []
