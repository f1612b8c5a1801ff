"""More ways round the record: two logs in a folder, names, links, forks, keys, odd people."""

from __future__ import annotations

import gzip
import os
import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tracewall.audit.anchor import Checkpoints
from tracewall.audit.follow import Follower
from tracewall.audit.keeping import Keeping
from tracewall.audit.log import FileLog
from tracewall.audit.notes import Signer
from tracewall.audit.verify import records, verify
from tracewall.cli import main
from tracewall.errors import AuditUnavailable
from tracewall.events import Ended, Incident, What, Who

OLD, NEW = Signer("audit.test", bytes(range(32))), Signer("audit.test", bytes(range(1, 33)))


def faults(path: Path, **options: Any) -> list[str]:
    return [file.fault.what for file in verify(path, **options).files if file.fault]


def fill(log: FileLog, who: Who, what: What, count: int) -> None:
    for _ in range(count):
        log.outcome(log.intent(who, what), Ended(status="ok"))


def test_two_walls_may_share_a_folder(tmp_path: Path, who: Who, what: What) -> None:
    """Each rotates, packs and looks after what is closed, of the other too; nothing is lost."""
    keeping = Keeping(rotate_bytes=3_000, pack=True)
    logs = [
        FileLog(tmp_path, durability=durability, keeping=keeping)  # type: ignore[arg-type]  # it is one
        for durability in ("written", "buffered", "synced")
    ]
    workers = [threading.Thread(target=fill, args=(log, who, what, 60)) for log in logs]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    for log in logs:
        log.close()
    report = verify(tmp_path)
    assert report.ok and all(file.closed and not file.open_intents for file in report.files)
    kinds = [each["kind"] for each in records(tmp_path)]
    statements = kinds.count("intent") + kinds.count("statement")
    assert statements == kinds.count("outcome") + kinds.count("statement") == 180


@pytest.mark.parametrize("how", [shutil.copy, os.link, os.symlink])
def test_a_file_counts_under_its_own_name_only(
    tmp_path: Path, who: Who, what: What, how: Callable[..., Any]
) -> None:
    """A copy of a good file, or a link to it, is a fault where it has another name."""
    with FileLog(tmp_path / "log", checkpoints=Checkpoints(OLD)) as log:
        fill(log, who, what, 3)
    (file,) = (tmp_path / "log").iterdir()
    other = file.with_name(file.name.replace(file.name[:4], "2099"))
    how(file, other)
    assert len(faults(tmp_path / "log")) == 1
    assert len(faults(tmp_path / "log", keys=[OLD.public])) == 1
    other.unlink()
    assert verify(tmp_path / "log", keys=[OLD.public]).ok


def test_a_changed_key_vouches_for_its_own_time(tmp_path: Path, who: Who, what: What) -> None:
    """Files of before and after a change of the key verify with both keys, and not with one."""
    for signer in (OLD, NEW):
        with FileLog(tmp_path, checkpoints=Checkpoints(signer, records=2)) as log:
            fill(log, who, what, 4)
    assert verify(tmp_path, keys=[OLD.public, NEW.public]).ok
    assert len(faults(tmp_path, keys=[OLD.public])) == 1
    assert len(faults(tmp_path, keys=[NEW.public])) == 1


def test_a_fork_between_intent_and_outcome_ends_nobody_else_s(tmp_path: Path, run: Any) -> None:
    """What a child tells of its parent's intent is told of that one, and of none of its own."""
    script = """
log = FileLog(sys.argv[1])
mine = log.intent(who, what)
child = os.fork()
if child == 0:
    own = [log.intent(who, what) for _ in range(3)]
    log.outcome(mine, Ended(status="error"))
    for number in own[:2]:
        log.outcome(number, ended)
    log.close()
    os._exit(0)
os.waitpid(child, 0)
log.outcome(mine, ended)
log.close()
"""
    run(script, tmp_path / "log")
    report = verify(tmp_path / "log")
    assert report.ok and len(report.files) == 2
    parent, child = report.files
    assert parent.open_intents == () and len(child.open_intents) == 1
    told = list(records(tmp_path / "log"))
    writers = [each["writer"] for each in told if each["kind"] == "opened"]
    ends = [(each.get("of"), each["ended"]["status"]) for each in told if each["kind"] == "outcome"]
    assert sorted(ends, key=str) == sorted(
        [(None, "ok"), (None, "ok"), (None, "ok"), (writers[0], "error")], key=str
    )


@pytest.mark.parametrize("subject", ["a\x00b", "x" * 100_000, "\u202eann\x1b[2J", "p-" + "0" * 16])
def test_an_odd_subject_is_one_record(
    place: Any, tmp_path: Path, who: Who, what: What, subject: str
) -> None:
    """In files and in PostgreSQL a name of any characters is kept as it is, and found by it."""
    odd = Who(issuer="i", subject=subject, session="s", database="d", role="r")
    with FileLog(tmp_path / "files") as log:
        log.outcome(log.intent(odd, what), Ended(status="ok"))
    with place.log() as log:
        log.outcome(log.intent(odd, what), Ended(status="ok"))
    for folder in (tmp_path / "files", place.fetched(tmp_path)):
        assert verify(folder).ok
        (found,) = (each for each in records(folder) if each["kind"] == "intent")
        assert found["who"]["subject"] == subject


def test_who_can_not_have_a_pseudonym_holds_up_nobody_else(place: Any) -> None:
    """A subject that no database takes is refused, without a word of it; others go on."""
    with place.log() as log:
        for _ in range(3):
            with pytest.raises((OSError, AuditUnavailable)) as caught:
                log.people.of("i", "CANARY\x00")
            assert "CANARY" not in str(caught.value) + repr(caught.value.__context__)
            assert log.people.of("i", "ann").pseudonym.startswith("p-")
            log.incident(Incident(kind="unsafe"))


@pytest.mark.parametrize("kind", ["link", "loop", "file"])
def test_readers_write_nowhere_else(
    tmp_path: Path, who: Who, what: What, kind: str, capsys: Any
) -> None:
    """Who may write to a log's folder can't have an auditor's command write somewhere else."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    with FileLog(tmp_path / "log") as log:
        fill(log, who, what, 1)
    reads = tmp_path / "log" / "reads"
    if kind == "file":
        reads.write_text("")
    else:
        reads.symlink_to(elsewhere if kind == "link" else reads)
    assert main(["audit", "search", str(tmp_path / "log"), "--json"]) == 0
    told = capsys.readouterr()
    assert "SELECT traces.runs" in told.out and "not recorded" in told.err
    assert list(elsewhere.iterdir()) == []


def test_a_packed_file_that_swells_is_a_fault_in_time(tmp_path: Path, capsys: Any) -> None:
    """Megabytes of one line from a few kilobytes are neither held in memory nor waited for."""
    with gzip.open(tmp_path / "20260101T000000.000000Z-1-aa.jsonl.gz", "wb") as stream:
        for _ in range(64):
            stream.write(b"0" * (1 << 20))
    started = time.monotonic()
    assert len(faults(tmp_path)) == 1
    for command in (["tail"], ["search"], ["verify"]):
        main(["audit", command[0], str(tmp_path)])
    assert time.monotonic() - started < 60
    assert len(capsys.readouterr().out) < 100_000


def test_a_file_that_shrinks_is_followed_no_further(tmp_path: Path, who: Who, what: What) -> None:
    """What somebody cuts while it is followed gives no record twice, and ends nothing."""
    with FileLog(tmp_path) as log:
        fill(log, who, what, 5)
    follower = Follower(tmp_path)
    (file,) = tmp_path.iterdir()
    file.write_bytes(file.read_bytes()[:100])
    assert list(follower.new()) == []
    file.unlink()
    with FileLog(tmp_path) as log:
        assert [each["kind"] for each in follower.new()] == ["opened"]
