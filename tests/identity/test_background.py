"""Keys are read before they are due, by a thread that ends with whom it works for."""

from __future__ import annotations

import gc
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tracewall import Wall
from tracewall.identity import TrustedIssuer, Verifier
from tracewall.identity.background import Background
from tracewall.testing import TokenIssuer


def until(true: Callable[[], bool], seconds: float = 10.0) -> bool:
    """Wait until something is true, for a bounded time."""
    ends = time.monotonic() + seconds
    while not true() and time.monotonic() < ends:
        time.sleep(0.005)
    return true()


class Work:
    """Counts how often it is done; due until it was done once."""

    def __init__(self) -> None:
        self.done = 0
        self.due = True

    def needs_refresh(self, *, ahead: bool = False) -> bool:
        return ahead and self.due

    def refresh(
        self, issuer: str | None = None, *, due_only: bool = False, ahead: bool = False
    ) -> None:
        assert due_only
        assert ahead
        self.due = False
        self.done += 1


def workers() -> list[threading.Thread]:
    """Return the threads there are."""
    return [thread for thread in threading.enumerate() if thread.name == "tracewall-keys"]


@pytest.fixture(autouse=True)
def _alone() -> None:
    """Wait for the threads of other tests to end."""
    gc.collect()
    assert until(lambda: not workers())


def test_one_thread_does_what_is_due() -> None:
    """However often it is asked for, one daemon thread runs, and ends when it is closed."""
    work, background = Work(), Background(0.001)
    for _ in range(3):
        background.ensure(work)
    assert len(workers()) == 1
    assert workers()[0].daemon
    assert until(lambda: work.done == 1)
    work.due = True
    assert until(lambda: work.done == 2)
    background.close()
    assert until(lambda: not workers())
    background.ensure(work)
    assert not workers()


def test_the_thread_ends_with_its_work() -> None:
    """Nobody has to close a verifier that is not used any more."""
    Background(0.001).ensure(Work())
    gc.collect()
    assert until(lambda: not workers())


def test_work_that_raises_does_not_end_the_thread() -> None:
    """What is unforeseen costs one turn."""

    class Odd(Work):
        def refresh(
            self, issuer: str | None = None, *, due_only: bool = False, ahead: bool = False
        ) -> None:
            self.done += 1
            if self.done == 1:
                raise LookupError
            self.due = False

    work, background = Odd(), Background(0.001)
    background.ensure(work)
    assert until(lambda: work.done == 2)
    background.close()
    assert until(lambda: not workers())


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
@pytest.mark.parametrize("closed", [False, True])
def test_a_forked_child_starts_its_own(closed: bool) -> None:
    """In a child there is no thread until it asks, then one of its own; closed stays closed."""
    work, background = Work(), Background(0.001)
    background.ensure(work)
    assert until(lambda: work.done == 1)
    if closed:
        background.close()
    child = os.fork()
    if not child:
        work.due = True
        background.ensure(work)
        os._exit(0 if until(lambda: work.done == 2, 1.0 if closed else 10.0) != closed else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    background.close()
    assert until(lambda: not workers())


def test_keys_are_due_ahead_after_four_fifths_of_their_time(clock: Any) -> None:
    """The thread reads them before a statement would have to."""
    issuer = TokenIssuer()
    with issuer.serve() as served:
        trusted = TrustedIssuer("one", issuer.issuer, ("db",), served.jwks_url)
        verifier = Verifier([trusted], clock=clock)
        verifier.refresh()
        clock.pass_by(239)
        assert not verifier.needs_refresh(ahead=True)
        clock.pass_by(2)
        assert verifier.needs_refresh(ahead=True)
        assert not verifier.needs_refresh()
        verifier.refresh(due_only=True)
        assert served.count() == 1
        verifier.refresh(due_only=True, ahead=True)
        assert served.count() == 2
        assert not verifier.needs_refresh(ahead=True)


POLICY = """
version = 1
[identity]
background = {background}
[[issuers]]
issuer = "https://issuer.test"
audience = "db"
keys = "{keys}"
"""


@pytest.mark.parametrize(
    ("background", "remote", "threads"), [("true", True, 1), ("false", True, 0), ("true", False, 0)]
)
def test_a_wall_has_a_thread_where_keys_come_from_afar(
    tmp_path: Path, background: str, remote: bool, threads: int
) -> None:
    """From its first use on, unless the policy says no; a file needs none. `close` ends it."""
    issuer = TokenIssuer()
    issuer.write_jwks(tmp_path / "jwks.json")
    with issuer.serve() as served:
        keys = served.jwks_url if remote else "jwks.json"
        (tmp_path / "tracewall.toml").write_text(POLICY.format(background=background, keys=keys))
        with Wall.load(tmp_path / "tracewall.toml") as wall:
            assert not workers()
            assert not wall.due(None)
            assert len(workers()) == threads
        assert until(lambda: not workers())
