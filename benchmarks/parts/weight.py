"""Memory: of a connection, a remembered statement, a rule; Python's own and what psycopg allots.

Counted by `tracemalloc`; what libpq allots is the same on both sides, and not in it.
"""

from __future__ import annotations

import gc
import tracemalloc
from collections.abc import Callable, Iterator
from typing import Any

import judge
import policies
from figures import Figure
from ground import Ground, Scale
from pairs import spread
from point_lookup import LOOKUP

from tracewall.judge import Judge
from tracewall.shield import Shield

PART = "memory"


def measure(ground: Ground, scale: Scale) -> Iterator[Figure]:
    """Weigh each, as the mean of many."""
    wall = ground.wall()
    ground.guarded(wall).execute(LOOKUP, (1,))
    for name, opened in (
        ("a connection of psycopg, after a lookup", ground.plain),
        ("a connection of tracewall, after a lookup", lambda: ground.guarded(wall)),
    ):

        def connect(opened: Callable[[], Any] = opened) -> Any:
            conn = opened()
            conn.execute(LOOKUP, (1,)).fetchone()
            return conn

        yield _each(name, _grown(connect, scale.connections), scale.connections)
    yield _each("a remembered statement", judge.weight(scale.remembered), scale.remembered)
    known = policies.catalog()
    known.family  # noqa: B018  # the catalog's own
    least, most = scale.rules[0], scale.rules[-1]

    def judged(count: int) -> Callable[[], Any]:
        def make() -> Any:
            held = policies.policy(count)
            one = Judge(held, known, frozenset({"people"}), Shield(held, {}))
            one.judge(policies.SQL)
            return one

        return make

    judged(least)()
    more = _grown(judged(most), 1) - _grown(judged(least), 1)
    yield _each("a rule of a policy", more, most - least)


def _each(name: str, size: float, count: int) -> Figure:
    return Figure(PART, name, spread([size / count / 1024]), "KiB")


def _grown(make: Callable[[], Any], count: int) -> int:
    gc.collect()
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    kept = [make() for _ in range(count)]
    gc.collect()
    grown = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    del kept
    return grown
