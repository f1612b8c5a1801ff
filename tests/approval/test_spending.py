"""What is counted against budgets, in a file: no server, no desk."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tracewall.approval.sqlite import SqliteStore
from tracewall.approval.store import Spending


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    """A store in a file of one's own."""
    made = SqliteStore(tmp_path / "requests.db")
    yield made
    made.close()


@pytest.mark.parametrize(
    ("rows", "size", "back"),
    [(0, 0, False), (1, 1, False), (-1, 0, True), (0, -1, True), (-1, 5, True), (5, -1, True)],
)
def test_what_is_given_back_asks_for_nothing(rows: int, size: int, back: bool) -> None:
    """Less than nothing, of rows or of bytes, is given back."""
    assert Spending("ann", "daily", 60.0, rows, size).gives_back is back


def test_one_run_counts_once_from_its_last_time_on(store: SqliteStore) -> None:
    """The same statement again is the same run; so many different ones, and no more."""

    def run(name: str, at: float = 100.0, who: str = "ann") -> bool:
        return store.spend(Spending(who, "runs", 60.0, 0, 0, run=name, most_runs=2), at)

    assert run("a") and run("b") and not run("c") and run("a")
    assert run("c", who="bob") and run("")
    assert run("a", 130.0)
    assert not run("c", 159.0)
    assert run("c", 160.0) and not run("b", 189.0)
    assert run("b", 190.0)


def test_budgets_of_others_are_others(store: SqliteStore) -> None:
    """Neither another person nor another budget uses up what one has."""

    def spent(who: str, budget: str) -> bool:
        return store.spend(Spending(who, budget, 60.0, rows=10, bytes=0, most_rows=10), 100.0)

    assert spent("ann", "a") and not spent("ann", "a")
    assert spent("ann", "b") and spent("bob", "a")
