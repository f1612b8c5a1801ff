"""Locks that an interrupt can't leave locked."""

from __future__ import annotations

import os
import random
import re
import signal
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

import tracewall.locks
from tracewall.locks import Busy, Lock, PatientLock, RLock


def interrupt(signum: int, frame: Any) -> None:
    raise KeyboardInterrupt


def is_free(lock: Any) -> bool:
    """Tell whether another thread could take it now."""
    found = []

    def look() -> None:
        if lock.acquire(blocking=False):
            found.append(True)
            lock.release()

    thread = threading.Thread(target=look)
    thread.start()
    thread.join()
    return bool(found)


def use(lock: Any) -> None:
    with lock:
        pass


@pytest.mark.skipif(os.name == "nt", reason="interval timers are POSIX's")
@pytest.mark.parametrize("lock", [Lock(), RLock(), PatientLock(5)])
def test_an_interrupt_leaves_no_lock_locked(lock: Any) -> None:
    """Whenever Ctrl-C comes, before, in or after the taking, others can take the lock then."""
    chance = random.Random(1)
    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        for _ in range(700):
            try:
                signal.setitimer(signal.ITIMER_REAL, chance.uniform(5e-6, 2e-4))
                while True:
                    use(lock)
            except KeyboardInterrupt:
                assert is_free(lock)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def test_patience_ends() -> None:
    """Who waits too long is told, and takes nothing from the one that holds it."""
    lock = PatientLock(0.01)
    told = []

    def wait() -> None:
        try:
            with lock:
                told.append("held")
        except Busy:
            told.append("busy")

    with lock:
        thread = threading.Thread(target=wait)
        thread.start()
        thread.join()
        assert not is_free(lock)
    assert told == ["busy"]
    assert is_free(lock)


@pytest.mark.skipif(sys.version_info < (3, 14), reason="it waits for itself there, as ever")
def test_who_holds_a_lock_is_told() -> None:
    """Taking it twice is an error, and it is free afterwards."""
    lock = Lock()
    with pytest.raises(RuntimeError, match="holds the lock already"), lock, lock:
        pass
    assert is_free(lock)


def test_a_reentrant_lock_is_held_as_often_as_it_was_taken() -> None:
    """Left once of two times, it is still held."""
    lock = RLock()
    with lock:
        with lock:
            pass
        assert not is_free(lock)
    assert is_free(lock)


def test_no_other_locks_are_used() -> None:
    """Each lock that a program's thread takes is one of these."""
    room = Path(tracewall.locks.__file__).parent
    plain = re.compile(r"threading\.(?:Lock|RLock)\(|Condition\(\)")
    found = [
        f"{path.relative_to(room)}: {line.strip()}"
        for path in sorted(room.rglob("*.py"))
        for line in path.read_text(encoding="utf-8").splitlines()
        if plain.search(line)
    ]
    # One is an event: taken by one thread and given back by another.
    assert found == ["audit/timely.py: self.done = threading.Lock()"]
