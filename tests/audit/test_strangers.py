"""Others can put names and whole files into the log's directory: nothing comes of it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from tracewall.audit.anchor import Checkpoints
from tracewall.audit.keeping import Keeping
from tracewall.audit.log import FileLog
from tracewall.audit.notes import Signer
from tracewall.audit.record import FIRST_PREV, body, files, plain, seal
from tracewall.audit.verify import records, verify
from tracewall.events import Ended, What, Who

SIGNER = Signer("audit.test", bytes(32))
DEAD = "20200101T000000.000000Z-1-aaaaaaaa.jsonl"
BEFORE = "00010101T000000.000000Z-1-aaaaaaaa.jsonl"
LATER = "20990101T000000.000000Z-1-aaaaaaaa.jsonl"


def left(path: Path, *bodies: bytes) -> bytes:
    """Write the log of a process that died, and give its bytes."""
    header: dict[str, Any] = {"format": 1, "writer": ascii(path.name), "pid": 1}
    lines, _ = seal(0, FIRST_PREV, [(1.0, each) for each in (body("opened", header), *bodies)])
    path.write_bytes(lines)
    return lines


def test_a_link_where_a_packed_file_is_made_is_not_followed(tmp_path: Path) -> None:
    """What is packed goes into a new file, never into one that a link leads to."""
    victim, home = tmp_path / "victim", tmp_path / "log"
    victim.write_text("precious")
    home.mkdir()
    left(home / DEAD, body("closed", {}))
    (home / f"{DEAD}.gz.draft").symlink_to(victim)
    with FileLog(home, keeping=Keeping(pack=True)):
        pass
    assert victim.read_text() == "precious"
    assert (home / f"{DEAD}.gz").is_file() and verify(home).ok


@pytest.mark.parametrize("make", [os.symlink, os.link])
def test_only_a_file_with_one_name_is_ended(tmp_path: Path, make: Any) -> None:
    """A log that has another name elsewhere is not written to: it may not be this one's."""
    home, elsewhere = tmp_path / "log", tmp_path / DEAD
    home.mkdir()
    before = left(elsewhere)
    make(elsewhere, home / DEAD)
    with FileLog(home, keeping=Keeping(pack=True, keep_seconds=1)):
        pass
    assert elsewhere.read_bytes() == before


@pytest.mark.parametrize("kind", ["pipe", "directory", "dangling"])
@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_what_is_no_file_stops_nothing(tmp_path: Path, kind: str, suffix: str) -> None:
    """A pipe, a directory, a link to nothing: dead logs are ended, packed and told all the same."""
    strange = tmp_path / (BEFORE + suffix)
    if kind == "pipe":
        os.mkfifo(strange)
    elif kind == "directory":
        strange.mkdir()
    else:
        strange.symlink_to(tmp_path / "nothing")
    left(tmp_path / DEAD)
    with FileLog(tmp_path, keeping=Keeping(pack=True, keep_seconds=1)):
        pass
    assert not (tmp_path / DEAD).exists()
    assert any(record["kind"] == "unreadable" for record in records(tmp_path))
    assert {file.file: file.ok for file in verify(tmp_path).files}[BEFORE] is False


@pytest.mark.parametrize("name", ["0.jsonl", "-.jsonl", ".jsonl", "0-1.jsonl", "\udce9.jsonl"])
def test_a_file_of_another_name_stops_nothing(tmp_path: Path, name: str) -> None:
    """Somebody's copy among the logs keeps no dead log from being ended."""
    left(tmp_path / name)
    left(tmp_path / DEAD)
    with FileLog(tmp_path):
        pass
    assert b'"recovered"' in (tmp_path / DEAD).read_bytes()
    (tmp_path / name).write_bytes(b"nothing\n")
    with FileLog(tmp_path):
        pass
    report = verify(tmp_path)
    assert not report.ok and plain(report) and all(map(plain, records(tmp_path)))


def test_a_retirement_counts_only_where_it_is_signed_for(tmp_path: Path) -> None:
    """Whoever can write a file, and has no key, can't make verification forget another."""
    with FileLog(tmp_path, checkpoints=Checkpoints(SIGNER)):
        pass
    heads = [file.head for file in verify(tmp_path, keys=[SIGNER.public]).files if file.head]
    files(tmp_path)[0].unlink()
    left(tmp_path / LATER, body("retired", {"before": "9999~", "files": 1, "heads": []}))
    report = verify(tmp_path, head=heads, keys=[SIGNER.public])
    assert [file.fault.what for file in report.files if file.fault] == ["the file is missing"]


def test_a_retirement_is_of_older_files(tmp_path: Path) -> None:
    """No file can say that one which began after it was retired."""
    with FileLog(tmp_path):
        pass
    heads = [file.head for file in verify(tmp_path).files if file.head]
    files(tmp_path)[0].unlink()
    left(tmp_path / DEAD, body("retired", {"before": "9999~", "files": 1, "heads": []}))
    assert not verify(tmp_path, head=heads).ok


def test_a_retirement_of_ones_own_is_signed_for_at_once(
    tmp_path: Path, who: Who, what: What
) -> None:
    """Files that the log itself retired are not missed while it goes on."""
    now = [1_000_000.0]

    def log() -> FileLog:
        return FileLog(
            tmp_path,
            checkpoints=Checkpoints(SIGNER),
            keeping=Keeping(keep_seconds=60),
            clock=lambda: now[0],
        )

    with log() as first:
        first.outcome(first.intent(who, what), Ended(status="ok"))
    heads = [file.head for file in verify(tmp_path).files if file.head]
    os.utime(files(tmp_path)[0], (now[0], now[0]))
    now[0] += 3600
    with log():
        assert len(files(tmp_path)) == 1
        report = verify(tmp_path, head=heads, keys=[SIGNER.public])
        assert report.ok, report


def test_what_was_ended_for_another_is_told_apart(tmp_path: Path) -> None:
    """The key of who ends a dead log does not vouch that its records were always there."""
    left(tmp_path / DEAD, body("incident", {"incident": {"kind": "forged"}}))
    with FileLog(tmp_path, checkpoints=Checkpoints(SIGNER)):
        pass
    ended, own = verify(tmp_path, keys=[SIGNER.public]).files
    assert ended.ok and ended.found == 2
    assert own.ok and own.found == 0
