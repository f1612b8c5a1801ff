"""Anchors that are slow to connect, and anchor files that several processes write."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from tracewall.audit.anchor import FileAnchor, HttpAnchor
from tracewall.audit.notes import Signer, checkpoint, notes, opened
from tracewall.audit.record import Head

SIGNER = Signer("audit.test", bytes(range(32)))


def note(n: int) -> str:
    """Give a note of a log with so many records."""
    head = Head(file="20260101T000000Z-1-ab.jsonl", n=n, sha256="cd" * 32)
    return SIGNER.note(checkpoint(head, 1.0))


@contextlib.contextmanager
def deaf() -> Any:
    """Give the address of a port whose connections are never made."""
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(socket.socket())
        server.bind(("127.0.0.1", 0))
        server.listen(0)
        for _ in range(4):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(server.getsockname())
        time.sleep(0.05)
        yield server.getsockname()


def test_a_url_that_was_late_to_connect_is_told_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the time is over before a connection is made, nothing is sent, nor waited for."""
    heard: list[bytes] = []
    with deaf() as nobody, socket.create_server(("127.0.0.1", 0)) as server:

        def drip() -> None:
            conn, _ = server.accept()
            with conn, contextlib.suppress(OSError):
                heard.append(conn.recv(1000))
                conn.sendall(b"HTTP/1.1 200 OK\r\n")
                for _ in range(90):
                    conn.sendall(b"X-A: b\r\n")
                    time.sleep(0.1)

        addresses = [
            (socket.AF_INET, socket.SOCK_STREAM, 6, "", where)
            for where in (nobody, server.getsockname())
        ]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: addresses)
        thread = threading.Thread(target=drip)
        thread.start()
        started = time.monotonic()
        with pytest.raises(TimeoutError):
            HttpAnchor("http://anchor.test/", timeout=0.5)(note(1))
        assert time.monotonic() - started < 5
        thread.join()
    assert heard == [b""]


def test_a_torn_note_takes_none_of_anothers_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the disk is full in the middle of a note, what another process added stays."""
    kept, write = tmp_path / "kept.notes", os.write
    FileAnchor(kept)(note(1))

    def torn(fd: int, told: bytes) -> int:
        # Another process comes first, and then the disk is full.
        with kept.open("ab") as other:
            other.write(note(2).encode() + b"\n")
        return write(fd, told[:20])

    with monkeypatch.context() as patched, pytest.raises(OSError, match="did not fit"):
        patched.setattr(os, "write", torn)
        FileAnchor(kept)(note(3))
    FileAnchor(kept)(note(4))
    heads = [opened(each, [SIGNER.public]) for each in notes(kept.read_text("utf-8"))]
    assert [head.n for head in heads] == [1, 2, 4]


def test_a_note_that_came_after_a_torn_one_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What another process adds behind a torn note is not cut."""
    kept, write = tmp_path / "kept.notes", os.write

    def torn(fd: int, told: bytes) -> int:
        written = write(fd, told[:20])
        with kept.open("ab") as other:
            other.write(note(2).encode())
        return written

    with monkeypatch.context() as patched, pytest.raises(OSError, match="did not fit"):
        patched.setattr(os, "write", torn)
        FileAnchor(kept)(note(3))
    assert kept.read_text("utf-8").endswith(note(2))
