"""A log that can't be written refuses, loses nothing it promised, and recovers."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tracewall.audit.log import FileLog
from tracewall.audit.verify import records, verify
from tracewall.errors import AuditUnavailable
from tracewall.events import Ended, Incident, What, Who

_FULL_DISK = """
import resource
log = FileLog(sys.argv[1], durability=sys.argv[2])
(name,) = os.listdir(sys.argv[1])
path = os.path.join(sys.argv[1], name)
hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]

def limit(size):
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))

limit(5000)
accepted = []
refused = 0
for _ in range(1000):  # so that a log which swallows the error ends, too
    try:
        accepted.append(log.intent(who, what))
        log.outcome(accepted[-1], ended)
    except AuditUnavailable as error:
        refused += 1
        assert "File too large" in str(error), error
        if refused == 3:
            break
try:
    log.incident(Incident(kind="connected"))
except AuditUnavailable:
    refused += 1
assert refused == 4
with open(path, "rb") as stream:
    assert stream.read().endswith(b"}\\n")
limit(hard)
accepted.append(log.intent(who, what))
log.close()
print(len(accepted))
print(*accepted)
"""

# The system writes what has room, and kills the process when it comes with the rest.
_DYING_ON_A_FULL_DISK = """
import resource
signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
log = FileLog(sys.argv[1])
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
for _ in range(1000):
    log.intent(who, what)
"""

_NO_ROOM_FOR_A_HEADER = """
import resource
log = FileLog(sys.argv[1])
(name,) = os.listdir(sys.argv[1])
os.unlink(os.path.join(sys.argv[1], name))
resource.setrlimit(resource.RLIMIT_FSIZE, (10, 10))
for _ in range(5):
    try:
        log.intent(who, what)
    except AuditUnavailable as error:
        print(error, flush=True)
assert os.listdir(sys.argv[1]) == []
os._exit(0)
"""


@pytest.mark.parametrize("durability", ["buffered", "written", "synced"])
def test_a_full_disk_refuses_until_there_is_room(
    tmp_path: Path, run: Callable[..., str], durability: str
) -> None:
    """No space: intents are refused, no torn line stays; later all that was accepted is there."""
    output = run(_FULL_DISK, tmp_path, durability).split("\n")
    count, accepted = int(output[0]), [int(number) for number in output[1].split()]
    assert count > 5
    report = verify(tmp_path)
    assert report.ok
    assert [file.closed for file in report.files] == [True]
    kept = [r["n"] for r in records(tmp_path) if r["kind"] in ("intent", "statement")]
    assert kept == accepted
    assert report.files[0].open_intents == (accepted[-1],)


def test_a_process_that_dies_in_the_middle_of_a_record_leaves_a_torn_end(
    tmp_path: Path, start: Callable[..., subprocess.Popen[bytes]]
) -> None:
    """Half a record at the end is told apart from tampering: the log holds, its end is torn."""
    with start(_DYING_ON_A_FULL_DISK, tmp_path) as process:
        process.communicate(timeout=60)
    assert process.returncode == -signal.SIGXFSZ
    (file,) = verify(tmp_path).files
    assert file.ok
    assert file.torn > 0
    assert file.records >= 2
    assert not file.closed
    assert [r["kind"] for r in records(tmp_path)][-1] == "unreadable"


@pytest.fixture
def log(tmp_path: Path) -> Iterator[FileLog]:
    with FileLog(tmp_path / "audit") as opened:
        yield opened


def test_a_removed_file_is_noticed(log: FileLog, tmp_path: Path, who: Who, what: What) -> None:
    """Removing the file refuses the next intent, and the file that follows shows the removal."""
    log.intent(who, what)
    (path,) = (tmp_path / "audit").iterdir()
    path.unlink()
    with pytest.raises(AuditUnavailable, match="removed"):
        log.intent(who, what)
    log.intent(who, what)
    report = verify(tmp_path / "audit")
    faults = {file.file: file.fault.what for file in report.files if file.fault}
    assert faults == {path.name: "the file is missing"}


def test_a_removed_directory_is_noticed(log: FileLog, tmp_path: Path, who: Who, what: What) -> None:
    """A directory that is gone (an unmounted volume) is not made anew somewhere else."""
    (path,) = (tmp_path / "audit").iterdir()
    path.unlink()
    path.parent.rmdir()
    for _ in range(3):
        with pytest.raises(AuditUnavailable):
            log.intent(who, what)
    assert not path.parent.exists()
    path.parent.mkdir(mode=0o700)
    log.intent(who, what)
    assert verify(path.parent).records == 2


@pytest.mark.parametrize("change", ["append", "cut"])
def test_another_hand_on_the_file_is_noticed(
    log: FileLog, tmp_path: Path, who: Who, what: What, ended: Ended, change: str
) -> None:
    """Bytes added or cut by somebody else refuse the next intent, and verification shows them."""
    number = log.intent(who, what)
    (path,) = (tmp_path / "audit").iterdir()
    with path.open("r+b") as stream:
        stream.seek(0, os.SEEK_END)
        if change == "append":
            stream.write(b'{"n":2}\n')
        else:
            stream.truncate(stream.tell() - 700 // 2)
    with pytest.raises(AuditUnavailable, match="another hand"):
        log.intent(who, what)
    log.outcome(number, ended)
    log.intent(who, what)
    log.close()
    report = verify(path.parent)
    assert not report.ok
    assert [file.file for file in report.files if file.fault] == [path.name]


def test_what_waits_while_the_log_fails_comes_in_order_later(
    log: FileLog, tmp_path: Path, who: Who, what: What, ended: Ended
) -> None:
    """Outcomes told while the log can't be written are kept, and go out with the next intent."""
    numbers = [log.intent(who, what) for _ in range(3)]
    (path,) = (tmp_path / "audit").iterdir()
    hidden = tmp_path / "elsewhere"
    path.parent.rename(hidden)
    (hidden / path.name).rename(tmp_path / "moved.jsonl")
    (tmp_path / "moved.jsonl").unlink()
    for number in numbers:
        log.outcome(number, ended)
        with pytest.raises(AuditUnavailable):
            log.flush()
    with pytest.raises(AuditUnavailable):
        log.intent(who, what)
    hidden.rename(path.parent)
    log.intent(who, what)
    kept = list(records(path.parent))
    assert [r["kind"] for r in kept] == ["opened", "outcome", "outcome", "outcome", "intent"]
    assert [r["intent"] for r in kept[1:4]] == numbers
    assert {r["of"] for r in kept[1:4]} == {path.name.removesuffix(".jsonl")}


def test_a_file_that_cannot_be_started_leaves_nothing_behind(
    tmp_path: Path, run: Callable[..., str]
) -> None:
    """Failed tries to start a new file don't litter the directory with empty ones."""
    assert run(_NO_ROOM_FOR_A_HEADER, tmp_path).count("File too large") == 4
    assert list(tmp_path.iterdir()) == []


def test_a_log_that_cannot_be_closed_well_says_so(tmp_path: Path, who: Who, what: What) -> None:
    """`close` raises when the last records are lost, and the log is closed all the same."""
    log = FileLog(tmp_path / "audit", durability="buffered")
    log.intent(who, what)
    (path,) = (tmp_path / "audit").iterdir()
    path.unlink()
    path.parent.rmdir()
    with pytest.raises(AuditUnavailable):
        log.close()
    with pytest.raises(AuditUnavailable, match="closed"):
        log.incident(Incident(kind="connected"))
    log.flush()
    log.close()


def test_a_buffered_log_that_is_known_to_fail_refuses_at_once(
    tmp_path: Path, who: Who, what: What
) -> None:
    """After a failed write no further intent is taken into the buffer, until one succeeds."""
    directory = tmp_path / "audit"
    with FileLog(directory, durability="buffered") as log:
        (path,) = directory.iterdir()
        path.unlink()
        directory.rmdir()
        log.intent(who, what)
        for refused in (log.flush, lambda: log.intent(who, what), log.flush):
            with pytest.raises(AuditUnavailable):
                refused()
        directory.mkdir(mode=0o700)
        log.intent(who, what)
        assert [r["kind"] for r in records(directory)] == ["opened", "intent", "intent"]


def test_buffered_outcomes_told_while_the_log_fails_are_kept(
    tmp_path: Path, who: Who, what: What
) -> None:
    """Before, while and after writes fail: each statement is there once, and ends as was told."""
    directory = tmp_path / "audit"
    with FileLog(directory, durability="buffered") as log:
        (path,) = directory.iterdir()
        numbers = [log.intent(who, what) for _ in range(6)]
        log.outcome(numbers[0], Ended(status="ok", rows=0))
        path.unlink()
        directory.rmdir()
        for at in (1, 3):
            with pytest.raises(AuditUnavailable):
                log.flush()
            log.outcome(numbers[at], Ended(status="ok", rows=at))
            with pytest.raises(AuditUnavailable):
                log.intent(who, what)
        directory.mkdir(mode=0o700)
        numbers.append(log.intent(who, what))
        log.outcome(numbers[5], Ended(status="ok", rows=5))
    (file,) = [file for file in verify(directory).files if file.ok]
    kept = list(records(directory))
    assert [r["kind"] for r in kept[1:3]] == ["statement", "intent"]
    ends = {r.get("intent", r["n"]): r["ended"]["rows"] for r in kept if "ended" in r}
    assert ends == {1: 0, 2: 1, 4: 3, 6: 5}
    assert file.open_intents == (3, 5, numbers[-1])
    assert [r["n"] for r in kept if "who" in r] == numbers
