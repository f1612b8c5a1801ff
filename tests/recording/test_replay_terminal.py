"""A replay in a real terminal: keys, Ctrl-C, another size, and the terminal as it was before."""

from __future__ import annotations

import os
import select
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tracewall.recording.folder import Folder
from tracewall.recording.tape import Tape

pty = pytest.importorskip("pty")
termios = pytest.importorskip("termios")
fcntl = pytest.importorskip("fcntl")

_LATE = 60.0


class Terminal:
    """A replay in a terminal of its own."""

    def __init__(self, home: Path, *options: str) -> None:
        self.end, self.theirs = pty.openpty()
        self.resize(80)
        self.before = termios.tcgetattr(self.theirs)
        code = "import sys; from tracewall.cli.commands import run; sys.exit(run(sys.argv[1:]))"
        command = [sys.executable, "-c", code, "sessions", "replay", str(home), "2", *options]
        self.process = subprocess.Popen(
            command,
            stdin=self.theirs,
            stdout=self.theirs,
            stderr=self.theirs,
            start_new_session=True,
            env={**os.environ, "TERM": "xterm", "NO_COLOR": ""},
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        )
        self.shown = ""

    def resize(self, columns: int) -> None:
        """Give the terminal another width."""
        fcntl.ioctl(self.end, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))

    def until(self, text: str) -> str:
        """Wait until something is shown; give what was shown up to then."""
        limit = time.monotonic() + _LATE
        while text not in self.shown:
            assert time.monotonic() < limit, self.shown
            if select.select([self.end], [], [], 0.1)[0]:
                self.shown += os.read(self.end, 65_536).decode()
        return self.shown

    def press(self, keys: str) -> None:
        """Press keys."""
        os.write(self.end, keys.encode())

    def ended(self) -> int:
        """Wait for the end; give the exit code."""
        code = self.process.wait(_LATE)
        assert termios.tcgetattr(self.theirs) == self.before, "the terminal is left as it was"
        return code


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A folder with a recorded session of five statements, which took minutes."""
    now = time.monotonic
    id, sink = Folder(tmp_path).create("all", "s", sealed=False)
    tape = Tape(sink, {"id": id, "rule": "all", "subject": "ann"})
    for at in range(1, 6):
        tape._began = now() - 40 * at
        said: dict[str, Any] = {"text": f"SELECT {'wide ' * 30}{at}", "decision": "allowed"}
        tape.write("statement", {"s": at, **said, "rule": "grants.r"})
        tape.write("outcome", {"s": at, "status": "ok", "rows": 1, "seconds": 0.1})
    tape.close()
    return tmp_path


@pytest.fixture
def replay(home: Path) -> Iterator[Any]:
    """Begins replays, and ends those that are left."""
    begun: list[Terminal] = []

    def begin(*options: str) -> Terminal:
        begun.append(Terminal(home, *options))
        return begun[-1]

    yield begin
    for each in begun:
        each.process.kill()
        each.process.wait()
        os.close(each.end)
        os.close(each.theirs)


def test_keys_jump_and_end_a_replay(replay: Any) -> None:
    """n shows the next statement without its pause, p the one before, q ends with 0."""
    terminal = replay("--idle", "1000")
    terminal.until("session ")
    terminal.press("n")
    terminal.until("[1]")
    assert "[2]" not in terminal.shown, "its pause is not over"
    terminal.press("\x1b[C")
    terminal.until("[2]")
    terminal.shown = ""
    terminal.press("p")
    terminal.until("[1]")
    terminal.press("q")
    assert terminal.ended() == 0


def test_ctrl_c_ends_a_replay_with_130(replay: Any) -> None:
    """Ctrl-C, while it plays or is paused, ends with 130, and the terminal is as before."""
    terminal = replay("--idle", "1000")
    terminal.until("session ")
    terminal.press(" \x03")
    assert terminal.ended() == 130
    assert "Traceback" not in terminal.shown


def test_a_replay_goes_on_in_another_size(replay: Any) -> None:
    """A terminal that is made narrower, or wider, ends nothing."""
    terminal = replay("--idle", "1000")
    terminal.until("session ")
    terminal.resize(20)
    terminal.process.send_signal(signal.SIGWINCH)
    terminal.press("n")
    terminal.until("[1]")
    terminal.resize(200)
    terminal.process.send_signal(signal.SIGWINCH)
    terminal.press("n")
    terminal.until("[2]")
    terminal.press("q")
    assert terminal.ended() == 0


def test_speed_and_idle_make_a_replay_short(replay: Any) -> None:
    """Minutes of a session pass in moments where wanted; it ends by itself, with 0."""
    began = time.monotonic()
    terminal = replay("--idle", "0.01", "--speed", "100", "--from", "3")
    terminal.until("ended: closed")
    assert terminal.ended() == 0
    assert "[2]" not in terminal.shown and "[3]" in terminal.shown
    assert time.monotonic() - began < _LATE
