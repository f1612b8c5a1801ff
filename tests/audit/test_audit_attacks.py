"""Ways round the record: forged, spliced, replayed, with another clock, while it rotates."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tracewall.audit.anchor import Checkpoints
from tracewall.audit.keeping import Keeping
from tracewall.audit.log import FileLog
from tracewall.audit.notes import Signer
from tracewall.audit.record import body, seal
from tracewall.audit.verify import records, verify
from tracewall.events import Ended, What, Who

SIGNER = Signer("audit.test", bytes(range(32)))


def faults(path: Path, **options: Any) -> list[str]:
    return [file.fault.what for file in verify(path, **options).files if file.fault]


@pytest.mark.parametrize(
    "name", ["../../tmp/x", "x", "", "a/b-1-c", "20260131T120000.000000Z-1-G", "1-1-1\n", "%s-1-a"]
)
def test_a_writer_can_not_name_a_chain_so_that_readers_trip(place: Any, name: str) -> None:
    """The server takes no chain whose name is not of the form that names have."""
    line = '{"n":0,"prev":"' + "0" * 64 + '","at":1,"kind":"opened"}'
    with psycopg.connect(place.writer, autocommit=True) as conn:
        with pytest.raises(psycopg.errors.CheckViolation):
            conn.execute("select tracewall_audit.append(%s, 0, %s)", (name, [line]))


def test_a_writer_can_not_hide_an_intent_of_another_process(
    place: Any, tmp_path: Path, who: Who, what: What
) -> None:
    """What it adds to another's chain takes nothing away: that process goes on in a new one."""
    log = place.log()
    first = log.intent(who, what)
    head = log.head()
    line, _ = seal(head.n + 1, head.sha256.encode(), [(1.0, body("closed", {}))])
    with psycopg.connect(place.writer, autocommit=True) as conn:
        append = "select tracewall_audit.append(%s, %s, %s)"
        conn.execute(append, (log.writer, head.n + 1, [line.decode().rstrip("\n")]))
        with pytest.raises(psycopg.errors.IntegrityError):
            conn.execute(append, (log.writer, 1, [line.decode().rstrip("\n")]))
    for _ in range(3):
        try:
            log.outcome(first, Ended(status="ok"))
            log.flush()
            break
        except Exception as error:
            assert "did not take" in str(error)
    log.close()
    report = verify(place.fetched(tmp_path))
    told = [each for each in place.records(tmp_path / "again") if each["kind"] == "outcome"]
    assert report.ok and len(report.files) == 2
    assert [each["of"] for each in told] == [head.file.removesuffix(".jsonl")]


def test_an_owner_who_splices_two_chains_is_found(
    place: Any, tmp_path: Path, who: Who, what: What
) -> None:
    """Records of one chain put in the place of another's do not verify, and the place is named."""
    logs = [place.log(), place.log()]
    for log in logs:
        for _ in range(3):
            log.outcome(log.intent(who, what), Ended(status="ok"))
        log.close()
    with psycopg.connect(place.admin, autocommit=True) as owner:
        owner.execute(
            "update tracewall_audit.records r set line = o.line from tracewall_audit.records o"
            " where r.writer = %s and o.writer = %s and r.n = o.n and r.n > 3",
            (logs[0].writer, logs[1].writer),
        )
    (fault,) = [file.fault for file in verify(place.fetched(tmp_path)).files if file.fault]
    assert fault.line == 5


def test_an_old_checkpoint_does_not_count_again(tmp_path: Path, who: Who, what: What) -> None:
    """A note that stood earlier in the file vouches for nothing later, nor in another file."""
    with FileLog(tmp_path / "a", checkpoints=Checkpoints(SIGNER, records=2)) as log:
        for _ in range(6):
            log.outcome(log.intent(who, what), Ended(status="ok"))
    (path,) = (tmp_path / "a").glob("*.jsonl")
    assert faults(tmp_path / "a", keys=[SIGNER.public]) == []
    lines = path.read_bytes().splitlines(keepends=True)
    old = next(json.loads(line) for line in lines if b'"kind":"checkpoint"' in line)
    # The end is cut off, and vouched for by the old note in place of a new one.
    cut = lines[: old["n"] + 3]
    last = json.loads(cut[-1])
    prev = json.loads(lines[last["n"] + 1])["prev"]
    told = (last["at"], body("checkpoint", {"note": old["note"]}))
    line, _ = seal(last["n"] + 1, prev.encode(), [told])
    path.write_bytes(b"".join(cut) + line)
    (found,) = faults(tmp_path / "a", keys=[SIGNER.public])
    assert "is not of the records before it" in found


def test_a_clock_that_jumps_breaks_no_chain(tmp_path: Path, who: Who, what: What) -> None:
    """Back by a year, on by ten: nothing is lost, files follow each other, the log verifies."""
    now = [1_800_000_000.0]
    keeping = Keeping(rotate_bytes=2_000, rotate_seconds=60)
    accepted = 0
    with FileLog(tmp_path, keeping=keeping, clock=lambda: now[0]) as log:
        for jump in (0.0, -3e7, 3e8, -1e9, 1.0, 61.0, -0.5):
            now[0] += jump
            for _ in range(4):
                log.outcome(log.intent(who, what), Ended(status="ok"))
                accepted += 1
    report = verify(tmp_path)
    assert report.ok and all(file.closed for file in report.files) and len(report.files) > 2
    kinds = [each["kind"] for each in records(tmp_path)]
    assert kinds.count("intent") == kinds.count("outcome") == accepted


def test_rotation_loses_nothing_while_many_write(tmp_path: Path, who: Who, what: What) -> None:
    """Threads that write over the ends of files: each intent is there once, with its outcome."""
    log = FileLog(tmp_path, keeping=Keeping(rotate_bytes=1_500))
    seen: list[str] = []

    def write() -> None:
        for _ in range(100):
            log.outcome(log.intent(who, what), Ended(status="ok"))

    writing = [threading.Thread(target=write) for _ in range(4)]
    for thread in writing:
        thread.start()
    while any(thread.is_alive() for thread in writing):
        seen += faults(tmp_path)
    log.close()
    report = verify(tmp_path)
    assert report.ok and seen == [] and len(report.files) > 20
    assert all(not file.open_intents for file in report.files)
    kinds = [each["kind"] for each in records(tmp_path)]
    assert kinds.count("intent") == kinds.count("outcome") == 400
