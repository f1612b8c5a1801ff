"""``tracewall demo``: the walk through, on a server of its own."""

from __future__ import annotations

import shlex
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import asdict
from pathlib import Path
from types import FrameType

import click
from rich.console import Console
from rich.text import Text

from tracewall.cli.options import FILE, json_option
from tracewall.cli.screen import Missing, Refused, answer, console, plain, safe
from tracewall.cli.stagecraft import show, show_verdict
from tracewall.demo.scenes import Scene, Verdict
from tracewall.demo.server import ServerUnavailable
from tracewall.demo.stage import PASSWORD_VARIABLE, RUNS, Left, Stage, leave, staged, strike
from tracewall.demo.story import tell
from tracewall.errors import Error, PolicyError

_SNIPPET = """
import os, tracewall as psycopg
with psycopg.connect(token=os.environ["TOKEN"]) as conn:
    for row in conn.execute("SELECT tenant, user_email, api_key FROM traces.runs LIMIT 3"):
        print(row)
"""


@click.command(short_help="Show it all, on a server of its own.")
@click.option(
    "--runs",
    type=click.IntRange(min=1),
    help=f"How many runs: generated ones ({RUNS} by default), or the first ones of --traces (all).",
)
@click.option(
    "--traces",
    type=FILE,
    help="Take real traces from this file (JSON Lines, gzipped or plain).",
)
@click.option("--seed", default=1, show_default=True, help="Another seed, other traces.")
@click.option(
    "--policy",
    type=FILE,
    help="Play with a changed copy of the demo's policy, and see what comes through.",
)
@click.option("--keep", is_flag=True, help="Leave the server running, and say how to connect.")
@click.option(
    "--stop",
    metavar="DIR",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Only stop what --keep left in this directory, and delete it.",
)
@json_option("Show nothing, and print one JSON object on how it ended.")
def demo(
    runs: int | None,
    traces: Path | None,
    seed: int,
    policy: Path | None,
    keep: bool,
    stop: Path | None,
    as_json: bool,
) -> None:
    """Show what tracewall does, on a PostgreSQL server that is started for it.

    Nothing has to be set up, and the server is stopped and deleted at the end. The exit
    code is 1 when a planted secret came through or the audit log did not verify.
    """
    try:
        if stop is not None:
            _strike(stop, as_json)
            return
        setting = staged(runs=runs, seed=seed, traces=traces, policy=policy, keep=keep)
        verdict = _play(setting, keep, as_json)
    except PolicyError as error:
        raise Missing(str(error)) from None
    except Error as error:
        raise Refused(f"the demo broke off: {type(error).__name__}: {error}") from None
    if not verdict.ok:
        raise click.exceptions.Exit(1)


@contextmanager
def _expected() -> Iterator[None]:
    """Tell what may go wrong while a stage is set or taken down, as a failure without traceback."""
    try:
        yield
    except PolicyError:
        raise
    except (ServerUnavailable, ValueError) as error:
        raise Missing(str(error)) from None
    except OSError as error:
        raise Missing(f"{error.filename or 'the system'}: {error.strerror or error}") from None


def _strike(home: Path, as_json: bool) -> None:
    with _expected():
        rest = strike(home)
    if as_json:
        answer({"stopped": str(home), "left": list(rest)})
        return
    out = console()
    out.print(Text(f"stopped and deleted: {safe(str(home))}"), soft_wrap=True)
    if rest:
        left = ", ".join(safe(name) for name in rest)
        out.print(Text(f"left, for the demo did not make it: {left}"), soft_wrap=True)


def _play(setting: AbstractContextManager[Stage], keep: bool, as_json: bool) -> Verdict:
    started = time.monotonic()
    out = console(quiet=as_json)
    with _stoppable(), ExitStack() as stack:
        with _expected(), out.status("starting a PostgreSQL server and filling its store"):
            stage = stack.enter_context(setting)
        verdict = _perform(out, stage)
        left = leave(stage) if keep else None
    if as_json:
        answer(_as_json(verdict, left, time.monotonic() - started))
        return verdict
    show_verdict(out, verdict, time.monotonic() - started)
    if left is not None:
        _explain(out, left)
    return verdict


def _perform(out: Console, stage: Stage) -> Verdict:
    """Show scene after scene as they happen; give the verdict."""
    story: Iterator[Scene | Verdict] = tell(stage)
    while True:
        with out.status("…"):
            told = next(story)
        if isinstance(told, Verdict):
            return told
        show(out, told)


def _as_json(verdict: Verdict, left: Left | None, seconds: float) -> dict[str, object]:
    told = {"ok": verdict.ok, "seconds": round(seconds, 3)} | asdict(verdict)
    if left is None:
        return told | {"kept": None}
    variables = {"TRACEWALL_CONFIG": str(left.policy), PASSWORD_VARIABLE: left.password}
    return told | {"kept": {"home": str(left.home), "variables": variables | {"TOKEN": left.token}}}


def _explain(out: Console, left: Left) -> None:
    """Say how to use what was left. Lines to be copied are not wrapped."""
    python = shlex.quote(sys.executable)
    out.print(Text("\nThe server goes on. Connect as ana, for twelve hours:\n", "bold"))
    plain(f"export TRACEWALL_CONFIG={shlex.quote(str(left.policy))}")
    plain(f"export {PASSWORD_VARIABLE}={shlex.quote(left.password)}")
    plain(f"export TOKEN={left.token}")
    plain(f"{python} -c {shlex.quote(_SNIPPET)}")
    out.print(Text("\nRead what it recorded, and end it:\n", "bold"))
    plain(f"{python} -m tracewall audit tail {shlex.quote(str(left.home / 'audit'))}")
    plain(f"{python} -m tracewall demo --stop {shlex.quote(str(left.home))}")


@contextmanager
def _stoppable() -> Iterator[None]:
    """Turn SIGTERM into an exception for the block, so that the server is stopped then too."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise SystemExit(128 + number)

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
