"""Compares two ways of doing one thing on a noisy machine: in turn, as ratios of neighbours."""

from __future__ import annotations

import contextlib
import math
import os
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

_PROCESSORS = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set()
Work = Callable[[], Any]


@dataclass(frozen=True, slots=True)
class Spread:
    """What was measured several times: the median, and the quartiles on both sides of it."""

    median: float
    low: float
    high: float

    def times(self, factor: float) -> Spread:
        """Give the same in another unit."""
        return Spread(self.median * factor, self.low * factor, self.high * factor)


def spread(found: Sequence[float]) -> Spread:
    """Give the median and the quartiles."""
    if len(found) < 2:
        return Spread(found[0], found[0], found[0])
    low, median, high = statistics.quantiles(found, n=4, method="inclusive")
    return Spread(median, low, high)


def ratios(one: Work, other: Work, rounds: int, most: float = math.inf) -> list[float]:
    """Give how much longer `one` takes than `other`, for each time that both were done in turn.

    Which goes first alternates. After `most` seconds five rounds are enough.
    """
    found: list[float] = []
    started = time.perf_counter()
    for at in range(rounds):
        if at >= 5 and time.perf_counter() - started > most:
            break
        first, second = (one, other) if at % 2 else (other, one)
        spent = {first: seconds(first), second: seconds(second)}
        found.append(spent[one] / spent[other])
    return found


def ratio(one: Work, other: Work, rounds: int) -> float:
    """Give the median of the ratios of the two."""
    return statistics.median(ratios(one, other, rounds))


def seconds(work: Work) -> float:
    """Give how long it takes."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def apart(*connections: Any) -> None:
    """Keep this process on one processor and the servers of the connections on another.

    Where a scheduler puts them changes a round trip several times over, for one connection
    and not for the other. Where it can't be told (another system, one processor, another
    user's server), it is left as it is.
    """
    away(*(connection.info.backend_pid for connection in connections))


def away(*processes: int) -> None:
    """Keep this process on one processor and the others, by number, on another."""
    with contextlib.suppress(AttributeError, OSError, ValueError):
        mine, theirs = sorted(_PROCESSORS)[:2]
        for process in processes:
            os.sched_setaffinity(process, {theirs})
        os.sched_setaffinity(0, {mine})


@contextlib.contextmanager
def anywhere() -> Iterator[None]:
    """Let what is started in the block have all processors, as this process had at first.

    A process would have the one that its parent keeps to, and so would its server.
    """
    mine = None
    with contextlib.suppress(AttributeError, OSError):
        mine = os.sched_getaffinity(0)
        os.sched_setaffinity(0, _PROCESSORS)
    try:
        yield
    finally:
        if mine is not None:
            os.sched_setaffinity(0, mine)
