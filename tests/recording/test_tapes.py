"""A recording proves itself: nothing of it can be changed, and a crash loses no line."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import time
import tracemalloc
import zlib
from pathlib import Path
from typing import Any

import pyrage
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tracewall.cli import main
from tracewall.errors import AuditUnavailable, PolicyError
from tracewall.policy.load import loads
from tracewall.recording.course import Course
from tracewall.recording.folder import Folder
from tracewall.recording.reader import Proof, Reading
from tracewall.recording.recorder import Recorder, Terms
from tracewall.recording.sealing import Sealed, identities, recipients
from tracewall.recording.store import prunable
from tracewall.recording.tape import Tape
from tracewall.recording.values import encoded, recorded

WRITER = """
import sys
from tracewall.recording.course import Course
from tracewall.recording.folder import Folder
from tracewall.recording.sealing import Sealed, recipients
from tracewall.recording.tape import Tape
_, folder, to = sys.argv
id, sink = Folder(folder).create("all", "session", sealed=bool(to))
tape = Tape(Sealed(sink, recipients([to])) if to else sink, {})
for at in range(10**9):
    tape.write("rows", {"s": at}, ['["row"]'])
    print(tape.lines, flush=True)
"""


class Memory(io.BytesIO):
    def close(self) -> None:
        """Keep what was written."""


def taped(lines: int = 3, keys: Any = ()) -> bytes:
    """Give a closed recording."""
    sink = Memory()
    tape = Tape(Sealed(sink, keys) if keys else sink, {"id": "test"})
    for at in range(lines):
        tape.write("rows", {"s": at}, [f'["row {at}"]'])
    tape.close()
    return sink.getvalue()


def read(data: bytes, keys: Any = ()) -> tuple[list[Any], Proof]:
    """Read a recording."""
    reading = Reading(io.BytesIO(data), bool(keys), keys)
    return list(reading), reading.proof


def packed(lines: list[bytes]) -> bytes:
    """Pack lines anew, as whoever forges a recording would."""
    packer = zlib.compressobj(6, zlib.DEFLATED, 31)
    return packer.compress(b"".join(lines)) + packer.flush()


def test_a_recording_proves_itself() -> None:
    """What was written whole is proved whole."""
    lines, proof = read(taped())
    assert [line["kind"] for line in lines] == ["began", "rows", "rows", "rows", "ended"]
    assert proof.ok


def test_every_changed_byte_is_found() -> None:
    """No byte of what a recording says can be changed without being found, nor one left out."""
    raw = zlib.decompress(taped(), 31)
    for at in range(len(raw) - 1):
        for changed in (bytes([raw[at] ^ 1]), b""):
            _, proof = read(packed([raw[:at] + changed + raw[at + 1 :]]))
            # The last line is held by the audit log, which has its hash.
            assert proof.fault or proof.head != read(taped())[1].head, at


@pytest.mark.parametrize("forge", ["drop", "swap", "double", "append"])
def test_lines_can_not_be_moved(forge: str) -> None:
    """A line that was taken out, moved, doubled or added is found, and named."""
    lines = zlib.decompress(taped(), 31).splitlines(keepends=True)
    if forge == "drop":
        del lines[2]
    elif forge == "swap":
        lines[1], lines[2] = lines[2], lines[1]
    elif forge == "double":
        lines.insert(2, lines[1])
    else:
        lines.append(lines[-1])
    _, proof = read(packed(lines))
    assert proof.fault
    assert proof.line


def test_a_cut_recording_is_not_closed() -> None:
    """Cut anywhere, a recording gives whole lines only, and is not told to be whole."""
    data = taped()
    whole, _ = read(data)
    for end in range(len(data) - 8):
        lines, proof = read(data[:end])
        assert not proof.ok or lines == whole
        assert lines == whole[: len(lines)]


def test_a_sealed_recording_opens_with_its_key_alone() -> None:
    """An encrypted recording tells nothing without the identity, and everything with it."""
    identity = pyrage.x25519.Identity.generate()
    keys = identities(f"# created\n{identity}\n")
    data = taped(keys=recipients([str(identity.to_public())]))
    assert b"row" not in data
    lines, proof = read(data, keys)
    assert len(lines) == 5
    assert proof.ok
    lines, proof = read(data, identities(str(pyrage.x25519.Identity.generate())))
    assert not lines
    assert proof.fault == "no identity given opens it"
    reading = Reading(io.BytesIO(data), True, ())
    assert list(reading) == []
    assert reading.proof.fault == "it is encrypted, and no identity is given"


def test_a_changed_frame_of_a_sealed_recording_is_found() -> None:
    """Any byte changed in an encrypted recording ends the reading with a fault."""
    identity = pyrage.x25519.Identity.generate()
    data = taped(1, recipients([str(identity.to_public())]))
    keys = [identity]
    for at in range(len(data)):
        changed = data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]
        lines, proof = read(changed, keys)
        assert not proof.ok, at
        assert len(lines) < 3


@pytest.mark.parametrize("sealed", [False, True])
def test_a_killed_process_loses_no_line(tmp_path: Path, sealed: bool) -> None:
    """Whatever moment a process is killed at, each line that was written before is there."""
    identity = pyrage.x25519.Identity.generate()
    to = str(identity.to_public()) if sealed else ""
    rounds = int(os.environ.get("TRACEWALL_KILLS", "4"))
    for at in range(rounds):
        folder = tmp_path / str(at)
        command = [sys.executable, "-c", WRITER, str(folder), to]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            told = [process.stdout.readline()]
            time.sleep(0.002 * (at % 20))
            process.send_signal(signal.SIGKILL)
            told += [line for line in process.stdout if line.endswith("\n")]
        store = Folder(folder)
        (entry,) = store.entries()
        assert not entry.open
        with store.open(entry) as stream:
            reading = Reading(stream, entry.sealed, [identity])
            lines = list(reading)
        assert not reading.proof.fault
        assert not reading.proof.closed
        assert len(lines) >= int(told[-1])


UNNAMED = """
import pathlib, sys, time
from tracewall.recording.folder import Folder
def stuck(self, target):
    print(self.name, flush=True)
    time.sleep(60)
pathlib.Path.rename = stuck
Folder(sys.argv[1]).create("all", "session", sealed=False)
"""


def test_what_died_before_it_had_a_name_is_pruned_after_a_day(tmp_path: Path) -> None:
    """A process killed before its recording had a name leaves a file that `prune` deletes."""
    store = Folder(tmp_path)
    Tape(store.create("all", "session", sealed=False)[1], {}).close()
    names = []
    for _ in range(2):
        command = [sys.executable, "-c", UNNAMED, str(tmp_path)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            names.append(process.stdout.readline().strip())
            process.send_signal(signal.SIGKILL)
    old, young = (tmp_path / "all" / name for name in names)
    assert old.name.endswith(".jsonl.gz.new") and old.exists() and young.exists()
    (tmp_path / "all" / "directory.new").mkdir()
    target = tmp_path / "target"
    target.write_text("")
    (tmp_path / "all" / "link.new").symlink_to(target)
    for path in (old, tmp_path / "all" / "directory.new", tmp_path / "all" / "link.new"):
        os.utime(path, (1, 1), follow_symlinks=False)
    (entry,) = store.entries()
    policy = tmp_path / "policy.toml"
    policy.write_text(
        'version = 1\n[[issuers]]\nissuer = "https://t.test"\naudience = "a"\nkeys = "j.json"\n'
        '[[recordings]]\nname = "all"\nkeep_for = "1000d"\n'
    )
    assert main(["sessions", "prune", str(tmp_path), "--config", str(policy)]) == 0
    assert young.exists() and target.exists() and (tmp_path / "all" / "directory.new").is_dir()
    assert not old.exists() and not os.path.lexists(tmp_path / "all" / "link.new")
    assert list(store.entries()) == [entry]


def test_after_a_failed_write_a_tape_takes_nothing_more() -> None:
    """A tape that may be torn in the middle does not go on behind the tear."""

    class Full(Memory):
        def write(self, data: Any) -> int:
            if self.tell():
                raise OSError(28, "No space left on device")
            return super().write(data)

    tape = Tape(Full(), {})
    for _ in range(2):
        with pytest.raises(OSError):
            tape.write("rows", {})
    assert not tape.usable


def test_old_recordings_are_prunable_but_for_those_held(tmp_path: Path) -> None:
    """Retention is by rule; a recording on hold, or still written to, stays."""
    store, now = Folder(tmp_path), time.time()
    for rule in ("short", "long", "unknown"):
        for _ in range(2):
            Tape(store.create(rule, "session", sealed=False)[1], {}).close()
    store.hold(next(store.entries()), "a case")
    keep = {"short": 60.0, "long": 600.0}
    found = list(prunable(store, keep, now + 61))
    assert [entry.rule for entry in found] == ["short"]
    open_one = Tape(store.create("short", "session", sealed=False)[1], {})
    assert len(list(prunable(store, keep, now + 601))) == 3
    open_one.close()
    store.release(next(store.entries()))
    assert len(list(prunable(store, keep, now + 601))) == 5


@given(st.recursive(st.none() | st.integers() | st.floats() | st.text() | st.binary(), st.lists))
@example("\x7f")
@example(["\\\x7f"])
@example({"\x7f": "\x1b[2J\x85\u202e"})
def test_any_value_is_one_line_of_ascii(value: object) -> None:
    """Whatever a value is, it is recorded as one line of printable ASCII."""
    line = encoded(recorded(value))
    assert line.isascii()
    assert line.isprintable()
    json.loads(line)


@pytest.mark.parametrize(
    ("written", "complaint"),
    [
        ('[recording]\ndirectory = "x"\n', "no rule says what is recorded"),
        ('[[recordings]]\nname = "a"\n[[recordings]]\nname = "a"\n', "the name 'a' is taken"),
        ('[[recordings]]\nname = "../a"\n', "letters, digits"),
        ('[[recordings]]\nname = "a"\non_failure = "ignore"\n', "expected 'refuse' or 'go_on'"),
        (
            '[recording]\nrecipients = ["AGE-SECRET-KEY-1X"]\n[[recordings]]\nname = "a"\n',
            "a private key can't be in the policy",
        ),
        (
            '[recording]\nrecipients = ["somebody"]\n[[recordings]]\nname = "a"\n',
            "this is no public key",
        ),
    ],
)
def test_a_policy_that_records_wrongly_is_refused(written: str, complaint: str) -> None:
    """What can't be right in the recording's keys is told with its place."""
    with pytest.raises(PolicyError, match=complaint) as caught:
        loads(f"version = 1\n{written}")
    assert caught.value.line > 1


def test_a_full_disk_is_not_filled_with_beginnings(tmp_path: Path) -> None:
    """A recording whose first line can't be written leaves no file, however often it is tried."""

    class Full(Folder):
        def create(self, rule: str, session: str, *, sealed: bool) -> Any:
            id, sink = super().create(rule, session, sealed=sealed)
            sink.close()
            return id, sink

    told: list[str] = []
    recorder = Recorder(Full(tmp_path), tell=lambda kind, detail: told.append(kind))
    reel = recorder.reel(Terms("all", 1, 1, True), {"session": "s"})
    for _ in range(3):
        with pytest.raises(AuditUnavailable):
            reel.take({})
    assert not list(tmp_path.glob("*/*"))
    assert told == ["recording_failed"]


def test_only_plain_files_are_recordings(tmp_path: Path) -> None:
    """A pipe or a link of a recording's name is neither waited for nor followed."""
    (tmp_path / "all").mkdir()
    os.mkfifo(tmp_path / "all" / "pipe.jsonl.gz")
    (tmp_path / "all" / "link.jsonl.gz").symlink_to(__file__)
    assert not list(Folder(tmp_path).entries())


def test_a_long_session_goes_on_in_another_recording(tmp_path: Path) -> None:
    """Past its size or age a recording is closed between two statements; the next one names it."""
    for terms in (Terms("a", 9, 9999, True, 1), Terms("b", 9, 9999, True, 0, 1e-9)):
        folder = Folder(tmp_path / terms.name)
        reel = Recorder(folder).reel(terms, {"session": "s"})
        for _ in range(3):
            take = reel.take({"text": "select"})
            take.rows([(1,)])
            take.outcome("ok")
        reel.close()
        former = None
        for number, entry in enumerate(folder.entries(), 1):
            with folder.open(entry) as stream:
                reading = Reading(stream)
                began, statement, rows, outcome, ended = reading
            assert reading.proof.ok
            assert began.get("continues") == former and statement["s"] == number
            assert {line["s"] for line in (rows, outcome)} == {number}
            assert ended["why"] == ("continued" if number < 3 else "closed")
            former = entry.id
        assert number == 3


def test_reading_takes_no_memory_for_rows_nobody_looks_at(tmp_path: Path) -> None:
    """A recording whose rows are many times the memory is proved, and counted, all the same."""
    folder = Folder(tmp_path)
    most = 1 << 40
    reel = Recorder(folder).reel(Terms("all", most, most, True), {"session": "s"})
    for _ in range(100):
        take = reel.take({"text": "select"})
        take.rows([("x" * 1000,)] * 300)
        take.outcome("ok")
    reel.close()
    (entry,) = folder.entries()
    with folder.open(entry) as stream:
        reading = Reading(stream)
        tracemalloc.start()
        statements = [*Course(reading, 2)]
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert reading.proof.ok
    assert [spoken.handed_out for spoken in statements] == [300] * 100
    assert {len(spoken.rows) for spoken in statements} == {2}
    assert peak < 10_000_000, "30 MB of rows were read"
