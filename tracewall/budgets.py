"""Budgets: what somebody may have over time, counted before it is handed out.

1. What a budget has no room for is withheld, and people are asked.
2. What comes piece by piece is reserved in blocks, so that not each row costs a question to
   the store; what was not had of the last block is given back.
3. The store blocks. It is asked aside: by whoever runs the generator, outside of it, so
   that no event loop is held up.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from tracewall.approval.store import Spending
from tracewall.errors import Forbidden
from tracewall.policy.model import Approval

_SHARES = (20, 200)
_MOST_ROWS = 1_000
_MOST_BYTES = 4 << 20


class Aside(NamedTuple):
    """Yielded by a generator in place of what psycopg waits for: do this, then go on.

    Where there is a ``future``, it is waited for instead, for so many ``seconds`` (infinite: for
    as long as it takes).
    """

    run: Callable[[], None]
    future: Future[Any] | None = None
    seconds: float = 0.0


class Ended(NamedTuple):
    """What a generator that may pause has returned."""

    value: Any


def until_aside(
    generator: Generator[Any, Any, Any], error: BaseException | None = None
) -> Generator[Any, Any, Aside | Ended]:
    """Run a generator of psycopg's on until it wants something done aside, or ends.

    Args:
        generator: as connections wait for.
        error: is raised in it first; None: it goes on.
    """
    try:
        step = next(generator) if error is None else generator.throw(error)
        while not isinstance(step, Aside):
            ready = yield step
            step = generator.send(ready)
    except StopIteration as ex:
        return Ended(ex.value)
    return step


class Spend(Protocol):
    """Counts against a budget at a time; False: it would be passed."""

    def __call__(self, spending: Spending, at: float) -> bool:
        """Raise Forbidden where nobody can count."""
        ...


@dataclass(slots=True)
class _Tally:
    """What is reserved of one rule's budget and not had yet, of a block taken at a time."""

    rule: Approval
    rows: int = 0
    bytes: int = 0
    block: tuple[int, int] = (0, 0)
    at: float = 0.0

    def lacks(self, rows: int, size: int) -> tuple[int, int]:
        """Give how many more rows and bytes have to be reserved for so many."""
        more_rows = max(0, rows - self.rows) if self.rule.rows else 0
        return more_rows, max(0, size - self.bytes) if self.rule.bytes else 0

    def blocks(self, rows: int, size: int, *, ahead: bool) -> Iterable[tuple[int, int]]:
        """Yield what to reserve for so many, the largest first; the last is just that."""
        for share in _SHARES if ahead else ():
            most_rows = min(self.rule.rows // share, _MOST_ROWS)
            yield max(rows, most_rows), max(size, min(self.rule.bytes // share, _MOST_BYTES))
        yield rows, size


class Meter:
    """Counts what one statement gives against the budgets of whoever acts.

    Args:
        rules: those that look back over a time.
        who: whose budgets they are.
        spend: asks the store.
        clock: gives the time, in seconds since the epoch.
        excess: makes the error for rules whose budget is used up.
    """

    def __init__(
        self,
        rules: Sequence[Approval],
        who: str,
        spend: Spend,
        clock: Callable[[], float],
        excess: Callable[[tuple[Approval, ...]], Forbidden],
    ) -> None:
        self._tallies, self._over = [_Tally(rule) for rule in rules], False
        self._who, self._spend, self._clock, self._excess = who, spend, clock, excess

    @property
    def counts_runs(self) -> bool:
        """True where it matters how often statements are sent."""
        return any(tally.rule.runs for tally in self._tallies)

    def has(self, rows: int, size: int) -> bool:
        """Tell whether so many rows and bytes are reserved already."""
        return self._over or all(tally.lacks(rows, size) == (0, 0) for tally in self._tallies)

    def reserve(self, rows: int, size: int, *, ahead: bool) -> None:
        """Reserve so many rows and bytes, and more where more is to come (``ahead``).

        Raises:
            ApprovalRequired: a budget would be passed.
            Forbidden: nobody can count.
        """
        over = [tally.rule for tally in self._tallies if not self._filled(tally, rows, size, ahead)]
        if over:
            raise self._excess(tuple(over))

    def _filled(self, tally: _Tally, rows: int, size: int, ahead: bool) -> bool:
        lacking = tally.lacks(rows, size)
        if lacking == (0, 0):
            return True
        for block in dict.fromkeys(tally.blocks(*lacking, ahead=ahead)):
            at = self._clock()
            if self._spend(self._spending(tally.rule, *block), at):
                tally.rows, tally.bytes = tally.rows + block[0], tally.bytes + block[1]
                tally.block, tally.at = block, at
                return True
        return False

    def take(self, rows: int, size: int) -> None:
        """Take what was reserved, for it is handed out."""
        for tally in () if self._over else self._tallies:
            tally.rows = max(0, tally.rows - rows)
            tally.bytes = max(0, tally.bytes - size)

    def run(self, digest: str) -> None:
        """Count that a statement is sent.

        Raises:
            ApprovalRequired: a budget would be passed.
            Forbidden: nobody can count.
        """
        over = [
            tally.rule
            for tally in self._tallies
            if tally.rule.runs
            and not self._spend(self._spending(tally.rule, 0, 0, digest), self._clock())
        ]
        if over:
            raise self._excess(tuple(over))

    def stop(self) -> None:
        """Count no more: nothing more is handed out."""
        self._over = True

    @property
    def left(self) -> bool:
        """True where something is reserved that was not had."""
        return any(tally.rows or tally.bytes for tally in self._tallies)

    def give_back(self) -> None:
        """Give back what is reserved still, as of when it was taken.

        Raises:
            Forbidden: nobody can count; it stays taken.
        """
        for tally in self._tallies:
            # Not more than the last block: what is older was taken at another time.
            rows, size = min(tally.rows, tally.block[0]), min(tally.bytes, tally.block[1])
            tally.rows = tally.bytes = 0
            if rows or size:
                self._spend(self._spending(tally.rule, -rows, -size), tally.at)

    def _spending(self, rule: Approval, rows: int, size: int, run: str = "") -> Spending:
        budget, most = f"approvals.{rule.name}", (rule.rows, rule.bytes)
        return Spending(self._who, budget, rule.per, rows, size, *most, run, rule.runs)


def count_gen(
    meter: Meter | None, rows: int, size: int, *, ahead: bool = False
) -> Generator[Any, Any, None]:
    """Count what came, before it is handed out; whoever runs this has to know of `Aside`.

    Raises:
        ApprovalRequired: a budget would be passed.
        Forbidden: nobody can count.
    """
    if meter is not None:
        if not meter.has(rows, size):
            yield Aside(lambda: meter.reserve(rows, size, ahead=ahead))
        meter.take(rows, size)
