"""A disk that hangs: what waits for it is refused in time, and its record is ended truly."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tracewall.audit import file
from tracewall.audit.log import FileLog
from tracewall.audit.setup import open_log
from tracewall.audit.timely import TimelyLog
from tracewall.audit.verify import records, verify
from tracewall.errors import AuditUnavailable
from tracewall.events import Ended, Incident, What, Who


class Disk:
    """A disk whose syncs, or writes, hang for as long as it is `held`."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, hangs: str) -> None:
        self.free = threading.Event()
        self.free.set()
        self.calls = 0
        real: Any = getattr(os, hangs)

        def slow(fd: int, *more: Any) -> Any:
            self.calls += 1
            self.free.wait(60)
            return real(fd, *more)

        self._slow = slow
        monkeypatch.setattr(file.os, hangs, slow)


@pytest.fixture(params=[file._SYNC, "write"])
def disk(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Disk]:
    made = Disk(monkeypatch, request.param)
    yield made
    made.free.set()


def test_a_hanging_disk_refuses_in_time(disk: Disk, tmp_path: Path, who: Who, what: What) -> None:
    """A statement waits for the deadline, those after it are refused at once, until it ends."""
    log = TimelyLog(FileLog(tmp_path, durability="synced"), 0.3)
    first = log.intent(who, what)
    disk.free.clear()
    started = time.monotonic()
    with pytest.raises(AuditUnavailable, match=r"written within the policy's audit\.deadline"):
        log.intent(who, what)
    assert 0.25 < time.monotonic() - started < 20
    started, calls = time.monotonic(), disk.calls
    for _ in range(100):
        with pytest.raises(AuditUnavailable, match=r"written within the policy's audit\.deadline"):
            log.intent(who, what)
    log.outcome(first, Ended(status="ok"))
    with pytest.raises(AuditUnavailable):
        log.incident(Incident(kind="policy_loaded"))
    assert time.monotonic() - started < 10
    assert disk.calls == calls, "nobody else has gone to the disk"
    disk.free.set()
    deadline = time.monotonic() + 30
    while True:
        try:
            last = log.intent(who, what)
            break
        except AuditUnavailable:
            assert time.monotonic() < deadline
    log.outcome(last, Ended(status="ok"))
    log.close()
    (report,) = verify(tmp_path).files
    assert report.ok and report.closed and report.open_intents == ()
    ends = [
        record["ended"]["status"] for record in records(tmp_path) if record["kind"] == "outcome"
    ]
    assert ends.count("abandoned") == 1 and ends.count("ok") == 2


def test_an_outcome_waits_for_no_disk(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, who: Who, what: What
) -> None:
    """Also where it is the outcome that finds the disk hanging; all are there when it answers."""
    disk = Disk(monkeypatch, "write")
    log = TimelyLog(FileLog(tmp_path, durability="written"), 20)
    number = log.intent(who, what)
    disk.free.clear()
    started, calls = time.monotonic(), disk.calls
    for _ in range(200):
        log.outcome(number, Ended(status="ok"))
    while disk.calls == calls:
        assert time.monotonic() - started < 20
    for _ in range(200):
        log.outcome(number, Ended(status="ok"))
    assert time.monotonic() - started < 15
    disk.free.set()
    log.close()
    (report,) = verify(tmp_path).files
    assert report.ok and report.closed
    assert [record["kind"] for record in records(tmp_path)].count("outcome") == 400


@pytest.mark.parametrize("durability", ["buffered", "written", "synced"])
def test_outcomes_alone_are_written_in_time(
    tmp_path: Path, who: Who, what: What, durability: Any
) -> None:
    """With nothing after them, 64 outcomes are in the file soon, as without a deadline."""
    log = TimelyLog(FileLog(tmp_path, durability=durability), 20)
    number = log.intent(who, what)
    log.flush()
    for _ in range(64):
        log.outcome(number, Ended(status="ok"))
    until = time.monotonic() + 20
    while [record["kind"] for record in records(tmp_path)].count("outcome") < 64:
        assert time.monotonic() < until
        time.sleep(0.01)
    log.close()
    assert verify(tmp_path).ok


def test_a_log_that_can_not_be_opened_in_time_is_none(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, who: Who, what: What
) -> None:
    """The first file has the deadline, too; what is made late is closed, another log goes on."""
    disk = Disk(monkeypatch, "write")
    disk.free.clear()
    started = time.monotonic()
    with pytest.raises(AuditUnavailable, match=r"opened within the policy's audit\.deadline"):
        open_log(tmp_path, "written", deadline=0.3)
    assert 0.25 < time.monotonic() - started < 20
    disk.free.set()
    until = time.monotonic() + 20
    while not any(record["kind"] == "closed" for record in records(tmp_path)):
        assert time.monotonic() < until
        time.sleep(0.01)
    log = open_log(tmp_path, "written", deadline=20)
    log.intent(who, what)
    log.close()
    assert verify(tmp_path).ok
    (tmp_path / "file").write_text("")
    with pytest.raises(AuditUnavailable, match="could not"):
        open_log(tmp_path / "file", "written", deadline=20)


def test_a_good_disk_is_as_before(tmp_path: Path, who: Who, what: What) -> None:
    """With a disk that answers, threads are served together and each intent is kept once."""
    log = TimelyLog(FileLog(tmp_path, durability="synced"), 60)

    def work() -> None:
        for _ in range(20):
            log.outcome(log.intent(who, what), Ended(status="ok"))

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    head = log.head()
    log.flush()
    log.close()
    log.close()
    (report,) = verify(tmp_path, head=head).files
    assert report.ok and report.closed and report.open_intents == ()
    assert [record["kind"] for record in records(tmp_path)].count("intent") == 160
    with pytest.raises(AuditUnavailable, match="closed"):
        log.intent(who, what)


def test_an_error_of_the_log_is_told(tmp_path: Path, who: Who, what: What) -> None:
    """What the log itself refuses is refused for its own reason."""
    log = TimelyLog(FileLog(tmp_path / "log"), 60)
    for path in (tmp_path / "log").iterdir():
        path.unlink()
    with pytest.raises(AuditUnavailable, match="was removed"):
        log.intent(who, what)
    log.close()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_child_has_threads_of_its_own(tmp_path: Path, run: Any) -> None:
    """The child of a fork records on, though none of the parent's threads is there."""
    script = """
from tracewall.audit.timely import TimelyLog
log = TimelyLog(FileLog(sys.argv[1], durability="synced"), 30)
log.outcome(log.intent(who, what), ended)
child = os.fork()
if not child:
    log.outcome(log.intent(who, what), ended)
    log.close()
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
log.outcome(log.intent(who, what), ended)
"""
    run(script, tmp_path)
    report = verify(tmp_path)
    assert report.ok and len(report.files) == 2
    assert all(file.closed and not file.open_intents for file in report.files)


def test_a_process_ends_though_the_disk_hangs(tmp_path: Path, run: Any) -> None:
    """At the end of the interpreter nobody waits for longer than the deadline."""
    script = """
from tracewall.audit import file
from tracewall.audit.timely import TimelyLog
log = TimelyLog(FileLog(sys.argv[1], durability="synced"), 0.2)
setattr(os, file._SYNC, lambda fd: time.sleep(3600))
try:
    log.intent(who, what)
except AuditUnavailable:
    print("refused")
"""
    assert "refused" in run(script, tmp_path)
