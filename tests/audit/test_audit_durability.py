"""What each durability keeps when the process dies, forks or ends."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tracewall.audit.log import FileLog
from tracewall.audit.verify import records, verify
from tracewall.errors import AuditUnavailable
from tracewall.events import Ended, What, Who

_ENDLESS = """
log = FileLog(sys.argv[1], durability=sys.argv[2])
while True:
    number = log.intent(who, what)
    os.write(1, b"%d\\n" % number)
    log.outcome(number, ended)
"""

_LEAVING = """
log = FileLog(sys.argv[1], durability=sys.argv[2])
log.outcome(log.intent(who, what), ended)
"""

_FORKING = """
log = FileLog(sys.argv[1], durability=sys.argv[2])
before = log.intent(who, what)
log.outcome(before, ended)
open_one = log.intent(who, what)
child = os.fork()
if not child:
    mine = log.intent(who, what)
    assert mine > open_one
    log.outcome(mine, ended)
    log.outcome(open_one, ended)
    grandchild = os.fork()
    if not grandchild:
        log.intent(who, what)
        log.close()
        os._exit(0)
    status = os.waitpid(grandchild, 0)[1]
    log.close()
    os._exit(status)
assert os.waitpid(child, 0)[1] == 0
log.intent(who, what)
log.close()
"""

_FORKING_AMID_THREADS = """
import warnings
warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12 warns of just this
log = FileLog(sys.argv[1], durability=sys.argv[2])
done = False
def work():
    while not done:
        log.outcome(log.intent(who, what), ended)
workers = [threading.Thread(target=work) for _ in range(4)]
for worker in workers:
    worker.start()
for _ in range(25):
    child = os.fork()
    if not child:
        signal.alarm(10)
        for _ in range(3):
            log.outcome(log.intent(who, what), ended)
        log.close()
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
done = True
for worker in workers:
    worker.join()
"""


_INTERRUPTED = """
import random
log = FileLog(sys.argv[1], durability=sys.argv[2])
chance = random.Random(1)
def interrupt(signum, frame):
    raise KeyboardInterrupt
signal.signal(signal.SIGALRM, interrupt)
interrupts = 0
numbers = []
while interrupts < 500:
    try:
        signal.setitimer(signal.ITIMER_REAL, chance.uniform(5e-6, 4e-4))
        while True:
            numbers.append(log.intent(who, what))
            log.outcome(numbers[-1], ended)
    except KeyboardInterrupt:
        interrupts += 1
signal.setitimer(signal.ITIMER_REAL, 0)
log.close()
print(*numbers)
"""


def intents(directory: Path) -> list[dict[str, Any]]:
    return [record for record in records(directory) if record["kind"] in ("intent", "statement")]


@pytest.mark.parametrize(
    ("durability", "may_lose"), [("buffered", 64), ("written", 0), ("synced", 0)]
)
def test_kill_9_loses_no_more_than_is_stated(
    tmp_path: Path, start: Callable[..., Any], durability: str, may_lose: int
) -> None:
    """Killed anywhere, `buffered` loses at most 64 intents it had accepted, the others none."""
    for turn in range(6):
        directory = tmp_path / str(turn)
        with start(_ENDLESS, directory, durability) as process:
            accepted = process.stdout.read(40)
            # From aside: a process that nobody reads from would stop at a full pipe.
            killer = threading.Timer(0.02 * turn, process.kill)
            killer.start()
            accepted += process.stdout.read()
            killer.join()
        assert process.returncode == -signal.SIGKILL
        numbers = [int(number) for number in accepted.split(b"\n")[:-1]]
        kept = {record["n"] for record in intents(directory)}
        assert len(numbers) >= 5
        assert len(set(numbers) - kept) <= may_lose
        report = verify(directory)
        assert report.ok
        assert not report.files[0].closed


def test_buffered_does_lose_what_waits(tmp_path: Path, run: Callable[..., str]) -> None:
    """The stated loss is real: what is buffered and not yet written dies with the process."""
    script = 'log = FileLog(sys.argv[1], durability="buffered")\n'
    run(script + "for _ in range(70): log.intent(who, what)\nos._exit(0)", tmp_path)
    assert len(intents(tmp_path)) == 64


def test_buffered_loses_whole_statements(tmp_path: Path, run: Callable[..., str]) -> None:
    """What is lost is 64 statements at most, each with its end; those before are complete."""
    script = 'log = FileLog(sys.argv[1], durability="buffered", clock=lambda: 1.0)\n'
    script += "for _ in range(127): log.outcome(log.intent(who, what), ended)\nos._exit(0)"
    run(script, tmp_path)
    assert [r["kind"] for r in records(tmp_path)] == ["opened"] + ["statement"] * 64


@pytest.mark.parametrize("durability", ["buffered", "written"])
def test_an_interrupt_neither_loses_nor_doubles_nor_hangs(
    tmp_path: Path, run: Callable[..., str], durability: str
) -> None:
    """Ctrl-C at any moment leaves one whole file, with each accepted number in one place."""
    accepted = [int(number) for number in run(_INTERRUPTED, tmp_path, durability).split()]
    assert len(accepted) > 500
    (file,) = verify(tmp_path).files
    assert file.ok
    assert file.closed
    kept = [record["n"] for record in intents(tmp_path)]
    assert len(kept) == len(set(kept))
    assert set(accepted) <= set(kept)


@pytest.mark.parametrize(
    ("durability", "told"),
    [
        ("buffered", ["statement"]),
        ("written", ["intent", "outcome"]),
        ("synced", ["intent", "outcome"]),
    ],
)
def test_the_end_of_the_interpreter_closes_the_log(
    tmp_path: Path, run: Callable[..., str], durability: str, told: list[str]
) -> None:
    """A program that forgets `close` loses nothing when it ends by itself."""
    run(_LEAVING, tmp_path, durability)
    assert [r["kind"] for r in records(tmp_path)] == ["opened", *told, "closed"]


@pytest.mark.parametrize(
    ("durability", "told"),
    [
        ("buffered", ["statement"]),
        ("written", ["intent", "outcome"]),
        ("synced", ["intent", "outcome"]),
    ],
)
def test_a_forked_child_starts_its_own_file(
    tmp_path: Path, run: Callable[..., str], durability: str, told: list[str]
) -> None:
    """Parent, child and grandchild write each to one file; nothing twice, nothing elsewhere."""
    run(_FORKING, tmp_path, durability)
    report = verify(tmp_path)
    assert report.ok
    assert all(file.closed for file in report.files)
    by_writer: dict[str, list[str]] = {}
    for record in records(tmp_path):
        if record["kind"] == "opened":
            said = by_writer.setdefault(record["writer"], [])
        said.append(record["kind"])
    assert sorted(by_writer.values(), key=len) == [
        ["opened", "intent", "closed"],
        ["opened", *told, "outcome", "closed"],
        ["opened", *told, "intent", "intent", "closed"],
    ]


@pytest.mark.parametrize(("durability", "open_one"), [("buffered", 2), ("written", 3)])
def test_an_outcome_told_by_a_child_names_its_parents_intent(
    tmp_path: Path, run: Callable[..., str], durability: str, open_one: int
) -> None:
    """A child that ends a statement of its parent closes that intent, not one of its own.

    Also while the parent's record waits, of which the child has a copy in its memory.
    """
    run(_FORKING, tmp_path, durability)
    parent = max(verify(tmp_path).files, key=lambda file: file.records)
    told = [r for r in records(tmp_path) if r["kind"] == "outcome" and "of" in r]
    assert [(r["of"] + ".jsonl", r["intent"]) for r in told] == [(parent.file, open_one)]
    # Of the parent's intents only the last has no outcome.
    assert parent.open_intents == (open_one + 1,)


@pytest.mark.parametrize(("durability", "count"), [("buffered", 5), ("written", 8), ("synced", 8)])
def test_a_fork_amid_writing_threads_neither_hangs_nor_mixes(
    tmp_path: Path, run: Callable[..., str], durability: str, count: int
) -> None:
    """Forked while other threads hold every lock, the child still writes, to its own file only."""
    run(_FORKING_AMID_THREADS, tmp_path, durability)
    report = verify(tmp_path)
    assert report.ok
    assert len(report.files) == 26
    assert all(file.closed and not file.open_intents for file in report.files)
    assert sorted(file.records for file in report.files)[:25] == [count] * 25


class Syncs:
    """Stands before the system's own sync, to see which files it reached, and when."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.sizes: list[int] = []
        self.broken = False
        self.broken_once = False
        self.until: Callable[[], bool] = lambda: True
        self._real = os.fdatasync
        monkeypatch.setattr(os, "fdatasync", self)

    def __call__(self, fd: int) -> None:
        if self.broken:
            raise OSError(5, "Input/output error")
        size = os.fstat(fd).st_size
        enough = time.monotonic() + 30
        while not self.until() and time.monotonic() < enough:
            time.sleep(0.001)
        if self.broken_once:
            self.broken_once = False
            raise OSError(5, "Input/output error")
        self._real(fd)
        self.sizes.append(size)


def test_synced_reaches_the_disk_before_it_returns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, who: Who, what: What, ended: Ended
) -> None:
    """With `synced` the whole file is synced when `intent` or `flush` returns."""
    syncs = Syncs(monkeypatch)
    with FileLog(tmp_path, durability="synced") as log:
        (path,) = tmp_path.iterdir()
        number = log.intent(who, what)
        assert syncs.sizes[-1] == path.stat().st_size
        log.outcome(number, ended)
        log.flush()
        assert syncs.sizes[-1] == path.stat().st_size
    assert syncs.sizes[-1] == path.stat().st_size


def test_the_weaker_settings_do_not_sync(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, who: Who, what: What
) -> None:
    """`buffered` and `written` never pay for the disk."""
    syncs = Syncs(monkeypatch)
    for durability in ("buffered", "written"):
        with FileLog(tmp_path / durability, durability=durability) as log:
            log.intent(who, what)
            log.flush()
    assert syncs.sizes == []


def test_one_sync_serves_the_threads_that_wait(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, who: Who, what: What
) -> None:
    """Fifteen intents that are written while a sync is under way share the next one."""
    syncs = Syncs(monkeypatch)
    syncs.until = lambda: len(intents(tmp_path)) == 16
    with FileLog(tmp_path, durability="synced") as log:
        workers = [threading.Thread(target=log.intent, args=(who, what)) for _ in range(16)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        assert 1 <= len(syncs.sizes) <= 2


def test_a_failed_sync_refuses_and_is_never_believed_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, who: Who, what: What, ended: Ended
) -> None:
    """After a failed sync the intent is refused, marked as not sent, and a new file begins.

    A second sync of the same file could report success for data that the kernel dropped.
    """
    syncs = Syncs(monkeypatch)
    with FileLog(tmp_path, durability="synced") as log:
        first = log.intent(who, what)
        syncs.broken = True
        with pytest.raises(AuditUnavailable, match="Input/output error"):
            log.intent(who, what)
        syncs.broken = False
        log.outcome(first, ended)
        log.intent(who, what)
    report = verify(tmp_path)
    assert report.ok
    assert [file.closed for file in sorted(report.files, key=lambda file: file.closed)] == [
        False,
        True,
    ]
    told = [r for r in records(tmp_path) if r["kind"] == "outcome"]
    assert len(syncs.sizes) == 3  # the first intent, the last one and the end
    assert [(r["intent"], r["ended"]["status"]) for r in told] == [(2, "abandoned"), (1, "ok")]
    assert all(r["of"] + ".jsonl" in {f.file for f in report.files} for r in told)
    assert sorted(file.open_intents for file in report.files) == [(), (3,)]


def test_a_failed_sync_refuses_all_that_waited_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, who: Who, what: What
) -> None:
    """When a sync fails, no thread that waited behind it takes the next one's word."""
    syncs = Syncs(monkeypatch)
    refused: list[AuditUnavailable] = []
    with FileLog(tmp_path, durability="synced") as log:
        syncs.broken_once = True
        syncs.until = lambda: len(intents(tmp_path)) >= 4

        def work() -> None:
            try:
                log.intent(who, what)
            except AuditUnavailable as error:
                refused.append(error)

        workers = [threading.Thread(target=work) for _ in range(4)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        assert len(refused) == 4
        log.intent(who, what)
