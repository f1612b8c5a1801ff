"""Fixtures for pytest, found by themselves where tracewall is installed.

``tracewall_backend`` and ``tracewall_bench`` are functions that make a `FakeBackend` and a
`Bench`; whatever they made is closed after the test, which fails where a statement came
that nothing was scripted for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest

# Imported in the fixtures only: whoever uses none of them pays nothing.
if TYPE_CHECKING:
    from tracewall.testing import Bench, FakeBackend


@pytest.fixture
def tracewall_backend() -> Iterator[Callable[..., FakeBackend]]:
    """Make a `FakeBackend`; the arguments are its own."""
    from tracewall.testing import FakeBackend

    with ExitStack() as opened:
        yield lambda *arguments, **options: opened.enter_context(FakeBackend(*arguments, **options))


@pytest.fixture
def tracewall_bench() -> Iterator[Callable[..., Bench]]:
    """Make a `Bench`; the arguments are those of `Bench.load`."""
    from tracewall.testing import Bench

    with ExitStack() as opened:

        def make(*arguments: Any, **options: Any) -> Bench:
            return opened.enter_context(Bench.load(*arguments, **options))

        yield make
