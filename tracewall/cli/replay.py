"""``tracewall sessions replay``: a session in the terminal, in the time that it took."""

from __future__ import annotations

import os
import select
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeAlias

import click
from rich.console import Console
from rich.text import Text

from tracewall.cli.options import json_option
from tracewall.cli.screen import Refused, console
from tracewall.cli.tapes import KEY, PATH, keys, one, reading, spelled, store
from tracewall.recording.course import Course
from tracewall.recording.reader import Proof
from tracewall.recording.scenes import Scene, scenes

Wait: TypeAlias = Callable[[float], str]
"""Waits so many seconds for a key, and gives it; empty: none came."""

_FOR_EVER = 3600.0
_SLOWEST, _FASTEST = 0.01, 10_000.0


@click.command()
@PATH
@click.argument("id")
@KEY
@click.option(
    "--speed",
    type=click.FloatRange(min=0.01),
    default=1.0,
    show_default=True,
    help="How many times as fast as it went.",
)
@click.option(
    "--idle", type=click.FloatRange(min=0), default=5.0, show_default=True,
    help="The longest pause (seconds); longer ones are shortened.",
)  # fmt: skip
@click.option("--from", "first", default=0, help="Begin with this statement.")
@click.option(
    "--rows", type=click.IntRange(min=0), default=20, show_default=True,
    help="The most rows of a statement.",
)  # fmt: skip
@json_option("Print its lines at once, as `sessions show --json` does.")
def replay(
    path: str,
    id: str,
    key: Path | None,
    speed: float,
    idle: float,
    first: int,
    rows: int,
    as_json: bool,
) -> None:
    """Play a session as it was.

    In a terminal: space pauses and goes on, n and p (or the right and left arrow) jump to
    the next and previous statement, + and - change the speed, q ends. Without a terminal
    it is printed at once.
    """
    place, known, proof = store(path), keys(key), Proof()
    entry = one(place, id)

    def performed() -> Iterator[Scene]:
        nonlocal proof
        with reading(place, entry, known) as lines:
            proof = lines.proof
            yield from scenes(Course(lines, rows))

    if as_json:
        with reading(place, entry, known) as lines:
            proof = lines.proof
            for line in spelled(lines):
                click.echo(line, nl=False)
    else:
        with _keyboard() as wait:
            Player(console(), performed, wait, speed=speed, idle=idle).play(first)
    if proof.fault:
        raise Refused(f"line {proof.line}: {proof.fault}", "what was shown before it holds")


class Player:
    """Shows scenes one after the other, and obeys keys while it waits.

    Args:
        out: where it shows them.
        performed: begins the scenes from the first one; nothing but the last one is kept.
        wait: waits for a key.
        speed: how many times faster than it was.
        idle: the longest wait (seconds).
        clock: gives the time (seconds).
    """

    def __init__(
        self,
        out: Console,
        performed: Callable[[], Iterator[Scene]],
        wait: Wait,
        *,
        speed: float,
        idle: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._out, self._performed, self._wait = out, performed, wait
        self._speed, self._idle, self._clock = speed, idle, clock
        self._coming = performed()
        self._shown = self._next = next(self._coming, None)

    def play(self, first: int = 0) -> None:
        """Play, from a statement on, until the end or until told to stop."""
        if first:
            self._skip_to(first)
        while self._next is not None:
            if self._pause() == "q":
                return
            if self._next is not None:
                told(self._out, self._next)
                self._shown, self._next = self._next, next(self._coming, None)

    def _pause(self) -> str:
        """Wait until the next scene is due; give the key that ends the play, or nothing."""
        ahead = self._next.at - self._shown.at if self._next and self._shown else 0.0
        left = min(self._idle, max(0.0, ahead))
        paused = False
        while paused or left > 0:
            began = self._clock()
            key = self._wait(_FOR_EVER if paused else left / self._speed)
            if not paused:
                left -= (self._clock() - began) * self._speed
            if key == "q":
                return key
            if key in ("n", "p"):
                self._jump(forward=key == "n")
                return ""
            if key == " ":
                paused = not paused
            elif key in ("+", "-"):
                self._faster(2.0 if key == "+" else 0.5)
            elif not key and not paused:
                left = 0.0
        return ""

    def _faster(self, by: float) -> None:
        self._speed = min(max(self._speed * by, _SLOWEST), _FASTEST)

    def _jump(self, *, forward: bool) -> None:
        """Go on with the statement after, or before, the one that was shown last."""
        shown = self._shown.statement if self._shown else 0
        if not forward:
            self._coming = self._performed()
            self._next = next(self._coming, None)
        self._skip_to(shown + 1 if forward else max(1, shown - 1))

    def _skip_to(self, statement: int) -> None:
        """Leave out what comes before a statement; the end is never left out."""
        while self._next is not None and self._next.statement < statement:
            later = next(self._coming, None)
            if later is None:
                return
            self._next = later


def told(out: Console, scene: Scene) -> None:
    """Print a scene; its texts are escaped already."""
    if not out.is_terminal:
        # Without colours there is nothing to lay out, and millions of lines are soon written.
        lines = ("".join(text for text, _ in line) for line in scene.lines)
        out.file.write("".join(f"{line}\n" for line in lines))
        return
    for line in scene.lines:
        text = Text.assemble(*line) if line else Text()
        out.print(text, soft_wrap=True)


@contextmanager
def _keyboard() -> Iterator[Wait]:
    """Give what waits for a key: with no terminal it waits for nothing."""
    if not (sys.stdin.isatty() and sys.stdout.isatty()) or os.name != "posix":
        yield lambda seconds: "" if not sys.stdout.isatty() else _sleep(seconds)
        return
    import termios
    import tty

    fd = sys.stdin.fileno()
    before = termios.tcgetattr(fd)
    try:
        tty.setcbreak(fd)
        yield lambda seconds: _key(fd, seconds)
    finally:
        termios.tcsetattr(fd, termios.TCSADRAIN, before)


def _sleep(seconds: float) -> str:
    time.sleep(seconds)
    return ""


_ARROWS = {b"\x1b[C": "n", b"\x1b[D": "p", b"\x03": "q"}


def _key(fd: int, seconds: float) -> str:
    if not select.select([fd], [], [], seconds)[0]:
        return ""
    pressed = os.read(fd, 16)
    return _ARROWS.get(pressed) or pressed[:1].decode("ascii", "replace") or "q"
