"""Signed checkpoints: the log's end is vouched for, in the log and in a second place."""

from __future__ import annotations

import base64
import contextlib
import socket
import threading
import time
from http.client import HTTPException
from http.server import BaseHTTPRequestHandler, HTTPServer
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracewall.audit.anchor import Checkpoints, FileAnchor, HttpAnchor
from tracewall.audit.log import FileLog
from tracewall.audit.notes import BadKey, BadNote, PublicKey, Signer, checkpoint, notes, opened
from tracewall.audit.record import FIRST_PREV, Head, files, seal
from tracewall.audit.verify import records, verify
from tracewall.events import Ended, Incident, What, Who

SIGNER = Signer("audit.test", bytes(range(32)))
KEY = SIGNER.public


def fill(log: FileLog, who: Who, what: What, count: int) -> None:
    for _ in range(count):
        log.outcome(log.intent(who, what), Ended(status="ok"))


def signed(path: Path, **options: object) -> tuple[FileLog, list[str]]:
    """Open a log with checkpoints every ten records; what an anchor gets is in the list."""
    told: list[str] = []
    checkpoints = Checkpoints(SIGNER, [told.append], records=10, **options)  # type: ignore[arg-type]
    return FileLog(path, checkpoints=checkpoints), told


def only(path: Path) -> Path:
    (file,) = files(path)
    return file


def rewritten(file: Path, keep: int) -> None:
    """Write a log anew up to record `keep`, with a good chain, as whoever may write it can."""
    bodies = []
    for line in file.read_bytes().splitlines()[:keep]:
        at, _, rest = line.partition(b'"at":')[2].partition(b",")
        bodies.append((float(at), rest[: rest.rindex(b',"crc"')].replace(b'"ok"', b'"error"')))
    file.write_bytes(seal(0, FIRST_PREV, bodies)[0])


# --- notes ------------------------------------------------------------------------------


def test_a_note_is_in_the_published_form() -> None:
    """A note has its text, an empty line, and — NAME BASE64 with the key's hash before it."""
    note = SIGNER.note("a\nb\n")
    text, _, signature = note.partition("\n\n")
    dash, name, encoded = signature.split(" ")
    assert (text, dash, name) == ("a\nb", "—", "audit.test")
    assert base64.b64decode(encoded)[:4] == KEY.id
    assert note.endswith("\n")


def test_a_key_of_another_implementation_is_read() -> None:
    """Keys and notes of Go's golang.org/x/mod/sumdb/note example are understood."""
    key = PublicKey.parse("PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW")
    text = (
        "If you think cryptography is the answer to your problem,\n"
        "then you don't know what your problem is.\n"
    )
    signature = (
        "x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuG"
        "UgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM="
    )
    assert key.verifies(text, base64.b64decode(signature))
    assert not key.verifies(text + " ", base64.b64decode(signature))


def test_keys_survive_being_written() -> None:
    """What a key is written as is read as the same key, and a slip in it is noticed."""
    assert PublicKey.parse(str(KEY)) == KEY
    assert Signer.parse(SIGNER.secret()).public == KEY
    assert Signer.make("x").public != Signer.make("x").public
    for wrong in ("", "a+b", str(KEY)[:-2] + "AA", "b" + str(KEY), "PRIVATE+KEY+" + str(KEY)):
        with pytest.raises(BadKey):
            PublicKey.parse(wrong)
    for wrong in ("", str(KEY), SIGNER.secret().replace("audit", "audiT")):
        with pytest.raises(BadKey) as caught:
            Signer.parse(wrong)
        assert SIGNER.secret()[-20:] not in str(caught.value)
    with pytest.raises(BadKey):
        Signer("two words", bytes(32))
    assert SIGNER.secret()[-20:] not in repr(SIGNER)


@given(st.data())
def test_no_changed_note_is_believed(data: st.DataObject) -> None:
    """A note with any character changed is not believed, or says the same."""
    head = Head(file="w.jsonl", n=7, sha256="ab" * 32)
    note = SIGNER.note(checkpoint(head, 12.5))
    at = data.draw(st.integers(0, len(note) - 1))
    changed = note[:at] + data.draw(st.characters(codec="utf-8")) + note[at + 1 :]
    try:
        assert opened(changed, [KEY]) == head
    except BadNote:
        return
    text, told = note.rpartition("\n\n")[0], changed.rpartition("\n\n")[0]
    assert text == told


def test_a_note_by_a_stranger_is_not_believed() -> None:
    """Neither another key of the same name nor the same key of another name will do."""
    head = Head(file="w.jsonl", n=0, sha256="00" * 32)
    for signer in (Signer.make("audit.test"), Signer("other", bytes(range(32)))):
        with pytest.raises(BadNote):
            opened(signer.note(checkpoint(head, 0)), [KEY])
    with pytest.raises(BadNote):
        opened(SIGNER.note(checkpoint(head, 0)), [])
    for text in ("hello\n", "tracewall.audit/w\n-1\nAAAA\n", "tracewall.audit/w\n01\nAAAA\n"):
        with pytest.raises(BadNote):
            opened(SIGNER.note(text), [KEY])


# --- in the log -------------------------------------------------------------------------


def test_a_checkpoint_comes_after_so_many_records(tmp_path: Path, who: Who, what: What) -> None:
    """Checkpoints stand in the log right after what they vouch for, and the log verifies."""
    log, told = signed(tmp_path)
    fill(log, who, what, 40)
    log.close()
    kinds = [record["kind"] for record in records(tmp_path)]
    places = [at for at, kind in enumerate(kinds) if kind == "checkpoint"]
    assert len(places) >= 7
    assert all(10 <= b - a <= 12 for a, b in pairwise(places[:-1]))
    assert kinds[-2:] == ["checkpoint", "closed"]
    (report,) = verify(tmp_path, keys=[KEY]).files
    assert report.ok
    assert report.signed == report.records - 2
    assert opened(told[-1], [KEY]) == report.head


def test_a_checkpoint_comes_after_a_while(tmp_path: Path, who: Who, what: What) -> None:
    """A quiet log is vouched for after the interval, and not again while nothing is new."""
    now = [1000.0]
    checkpoints = Checkpoints(SIGNER, records=1000, seconds=60)
    with FileLog(tmp_path, checkpoints=checkpoints, clock=lambda: now[0]) as log:
        fill(log, who, what, 2)
        now[0] += 61
        fill(log, who, what, 1)
        for _ in range(5):
            now[0] += 61
            log.flush()
        found = [record["kind"] for record in records(tmp_path)]
    # One with the intent after the interval, one for its outcome; then nothing is new.
    assert found.count("checkpoint") == 2


def test_a_log_written_anew_is_found(tmp_path: Path, who: Who, what: What) -> None:
    """Who may write the file but has no key can't write it anew: a good chain is not enough."""
    log, told = signed(tmp_path)
    fill(log, who, what, 30)
    log.close()
    file = only(tmp_path)
    rewritten(file, 1000)
    assert not verify(tmp_path).ok, "its checkpoints are not of these records"
    stripped = [line for line in file.read_bytes().splitlines() if b'"checkpoint"' not in line]
    bodies = [(0.0, line.partition(b'"at":')[2].partition(b",")[2]) for line in stripped]
    bodies = [(at, told_[: told_.rindex(b',"crc"')]) for at, told_ in bodies]
    file.write_bytes(seal(0, FIRST_PREV, bodies)[0])
    assert verify(tmp_path).ok, "without the key nobody can tell"
    (report,) = verify(tmp_path, keys=[KEY]).files
    assert report.fault is not None
    assert "without a signed checkpoint" in report.fault.what
    head = opened(told[-1], [KEY])
    assert not verify(tmp_path, head=head).ok


def test_a_cut_end_is_found_by_an_anchor(tmp_path: Path, who: Who, what: What) -> None:
    """A log that was cut is found by what the second place has kept."""
    log, told = signed(tmp_path / "log")
    fill(log, who, what, 30)
    log.close()
    file = only(tmp_path / "log")
    lines = file.read_bytes().splitlines(keepends=True)
    for keep in (len(lines) - 1, len(lines) - 2, 15, 1):
        file.write_bytes(b"".join(lines[:keep]))
        assert not verify(tmp_path / "log", head=opened(told[-1], [KEY]), keys=[KEY]).ok
    file.unlink()
    assert not verify(tmp_path / "log", head=opened(told[-1], [KEY])).ok


def test_checkpoints_of_another_key_are_a_fault(tmp_path: Path, who: Who, what: What) -> None:
    """With keys, a log signed by another one does not verify."""
    log, _ = signed(tmp_path)
    fill(log, who, what, 12)
    log.close()
    (report,) = verify(tmp_path, keys=[Signer.make("audit.test").public]).files
    assert report.fault is not None
    assert "not signed by a key that is known" in report.fault.what


def test_an_unsigned_log_is_no_signed_one(tmp_path: Path, who: Who, what: What) -> None:
    """With keys, a log without checkpoints that was closed in order is a fault."""
    with FileLog(tmp_path) as log:
        fill(log, who, what, 3)
    assert verify(tmp_path).ok
    assert not verify(tmp_path, keys=[KEY]).ok


def test_a_log_in_use_tells_how_far_it_is_signed(tmp_path: Path, who: Who, what: What) -> None:
    """While the log is written, verification tells how many records are vouched for."""
    log, _ = signed(tmp_path)
    fill(log, who, what, 12)
    (report,) = verify(tmp_path, keys=[KEY]).files
    assert report.ok
    assert 9 <= report.signed < report.records
    log.close()


def test_checkpoints_go_on_in_the_next_file(tmp_path: Path, who: Who, what: What) -> None:
    """After a file went bad, the next one has checkpoints of its own, and both verify."""
    log, _ = signed(tmp_path)
    fill(log, who, what, 12)
    only(tmp_path).rename(tmp_path / "moved")
    only_moved = tmp_path / "moved"
    with only_moved.open("ab") as stream:
        stream.write(b"x")
    with pytest.raises(Exception, match="could not be written"):
        fill(log, who, what, 1)
    fill(log, who, what, 12)
    log.close()
    (report,) = verify(only(tmp_path), keys=[KEY]).files
    assert report.ok
    assert report.signed > 10


@pytest.mark.parametrize("durability", ["buffered", "written", "synced"])
def test_every_durability_can_be_signed(
    tmp_path: Path, who: Who, what: What, durability: str
) -> None:
    """Checkpoints work with each durability, and in threads."""
    checkpoints = Checkpoints(SIGNER, records=10)
    log = FileLog(tmp_path, durability=durability, checkpoints=checkpoints)  # type: ignore[arg-type]
    threads = [threading.Thread(target=fill, args=(log, who, what, 60)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    log.close()
    (report,) = verify(tmp_path, keys=[KEY]).files
    assert report.ok
    assert report.signed == report.records - 2
    assert not report.open_intents


# --- anchors ----------------------------------------------------------------------------


def test_a_file_keeps_the_notes(tmp_path: Path, who: Who, what: What) -> None:
    """An anchor file holds every note it was told, readable again one by one."""
    kept = tmp_path / "kept.notes"
    checkpoints = Checkpoints(SIGNER, [FileAnchor(kept)], records=10)
    with FileLog(tmp_path / "log", checkpoints=checkpoints) as log:
        fill(log, who, what, 30)
    heads = [opened(note, [KEY]) for note in notes(kept.read_text("utf-8"))]
    assert heads[-1] == verify(tmp_path / "log").files[0].head
    assert verify(tmp_path / "log", head=heads, keys=[KEY]).ok


def test_a_note_is_kept_whole_or_not_at_all(tmp_path: Path, run: Any) -> None:
    """Where the disk is full in the middle of a note, those before and after it are readable."""
    kept = tmp_path / "kept.notes"
    script = """
import resource
from pathlib import Path
from tracewall.audit.anchor import FileAnchor
anchor, note = FileAnchor(Path(sys.argv[1])), sys.argv[2]
anchor(note)
resource.setrlimit(resource.RLIMIT_FSIZE, (len(note) + 20, resource.RLIM_INFINITY))
try:
    anchor(note)
except OSError:
    print("refused")
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
anchor(note)
"""
    head = Head(file="20260101T000000Z-1-ab.jsonl", n=4, sha256="cd" * 32)
    assert run(script, kept, SIGNER.note(checkpoint(head, 1.0))) == "refused\n"
    assert [opened(note, [KEY]) for note in notes(kept.read_text("utf-8"))] == [head] * 2


def test_a_url_is_told(tmp_path: Path, who: Who, what: What) -> None:
    """Notes are posted to a URL."""
    posted: list[bytes] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            posted.append(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(204)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None: ...

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        anchor = HttpAnchor(f"http://127.0.0.1:{server.server_port}/log")
        with FileLog(tmp_path, checkpoints=Checkpoints(SIGNER, [anchor], records=10)) as log:
            fill(log, who, what, 12)
        server.shutdown()
        thread.join()
    assert opened(posted[-1].decode(), [KEY]) == verify(tmp_path).files[0].head


@pytest.mark.parametrize("error", [RuntimeError, SystemExit, KeyboardInterrupt])
def test_a_failing_anchor_is_told_to_the_log(
    tmp_path: Path, who: Who, what: What, error: type[BaseException]
) -> None:
    """An anchor that fails holds nothing up and is recorded once, without what it said."""

    def broken(note: str) -> None:
        raise error("CANARY")

    told: list[str] = []
    checkpoints = Checkpoints(SIGNER, [broken, told.append], records=10)
    log = FileLog(tmp_path, checkpoints=checkpoints)
    fill(log, who, what, 20)
    for _ in range(1000):
        if any(record["kind"] == "incident" for record in records(tmp_path)):
            break
        fill(log, who, what, 1)
    fill(log, who, what, 20)
    log.close()
    incidents = [record for record in records(tmp_path) if record["kind"] == "incident"]
    assert [each["incident"]["kind"] for each in incidents] == ["anchor_failed"]
    assert "CANARY" not in only(tmp_path).read_text()
    assert told


def test_a_hanging_anchor_does_not_hang_the_log(
    tmp_path: Path, who: Who, what: What, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An anchor that never answers delays no statement, and the end by seconds at most."""
    monkeypatch.setattr("tracewall.audit.anchor._PATIENCE", 0.2)
    release = threading.Event()
    checkpoints = Checkpoints(SIGNER, [lambda note: release.wait(30)], records=10)  # type: ignore[list-item, func-returns-value]
    with FileLog(tmp_path, checkpoints=checkpoints) as log:
        fill(log, who, what, 50)
        log.incident(Incident(kind="policy_loaded"))
    release.set()
    assert verify(tmp_path, keys=[KEY]).ok


def test_a_note_holds_no_names() -> None:
    """What leaves the machine tells a file's name, a number, a hash and a time; nothing else."""
    text = checkpoint(Head(file="20260101T000000Z-1-ab.jsonl", n=4, sha256="cd" * 32), 1.0)
    assert text == (
        "tracewall.audit/20260101T000000Z-1-ab\n5\n"
        + base64.b64encode(bytes.fromhex("cd" * 32)).decode()
        + "\nat 1.000\n"
    )
    assert msgspec.json.encode(text)


def test_a_dripping_url_is_given_up(tmp_path: Path) -> None:
    """An anchor that sends a byte now and then has the whole of its time, and no more."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def drip() -> None:
            conn, _ = server.accept()
            with conn, contextlib.suppress(OSError):
                conn.sendall(b"HTTP/1.1 200 OK\r\n")
                for _ in range(600):
                    conn.sendall(b"X-A: b\r\n")
                    time.sleep(0.05)

        thread = threading.Thread(target=drip)
        thread.start()
        started = time.monotonic()
        with pytest.raises((OSError, HTTPException)):
            HttpAnchor(f"http://127.0.0.1:{server.getsockname()[1]}/", timeout=0.5)("note")
        assert time.monotonic() - started < 15
        thread.join()


def test_an_anchor_that_hangs_is_told_and_holds_up_no_other(
    tmp_path: Path, who: Who, what: What, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That an anchor does not answer is recorded, and the others get their notes meanwhile."""
    monkeypatch.setattr("tracewall.audit.anchor._PATIENCE", 0.2)
    monkeypatch.setattr("tracewall.audit.anchor._HANGS", 0.1)
    release = threading.Event()
    told: list[str] = []
    anchors: Any = [lambda note: release.wait(60), told.append]
    with FileLog(tmp_path, checkpoints=Checkpoints(SIGNER, anchors, records=4)) as log:
        until = time.monotonic() + 30
        while time.monotonic() < until and not any(
            r["kind"] == "incident" for r in records(tmp_path)
        ):
            fill(log, who, what, 4)
            time.sleep(0.02)
    release.set()
    incidents = [each["incident"] for each in records(tmp_path) if each["kind"] == "incident"]
    assert [each["kind"] for each in incidents] == ["anchor_failed"]
    assert opened(told[-1], [KEY]) == verify(tmp_path).files[0].head
