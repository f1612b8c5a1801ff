"""How budgets are reserved, taken and given back: no server, no store."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest

from tracewall.approval.store import Spending
from tracewall.budgets import Aside, Ended, Meter, count_gen, until_aside
from tracewall.errors import Forbidden
from tracewall.policy.model import Approval, Glob


def rule(**more: Any) -> Approval:
    """Give a rule with a budget over a minute."""
    return Approval(**({"name": "rule", "approvers": (Glob("boss"),), "per": 60.0} | more))


@dataclass
class Till:
    """Counts as a store does, and remembers what it was asked."""

    asked: list[Spending] = field(default_factory=list)
    at: list[float] = field(default_factory=list)
    had: dict[tuple[str, str], int] = field(default_factory=dict)
    now: float = 100.0

    def __call__(self, spending: Spending, at: float) -> bool:
        """Count; False: it would be too many."""
        self.asked.append(spending)
        self.at.append(at)
        for what, most in (("rows", spending.most_rows), ("bytes", spending.most_bytes)):
            more = getattr(spending, what)
            if 0 < most < self.had.get((spending.budget, what), 0) + more and more >= 0:
                return False
        for what in ("rows", "bytes"):
            key = (spending.budget, what)
            self.had[key] = self.had.get(key, 0) + getattr(spending, what)
        return not spending.run or spending.run != "over"

    def clock(self) -> float:
        """Give the time."""
        return self.now


@pytest.fixture
def till() -> Till:
    """What counts."""
    return Till()


def meter(till: Till, *rules: Approval) -> Meter:
    """Give a meter whose errors name the rules that are used up."""

    def excess(over: tuple[Approval, ...]) -> Forbidden:
        return Forbidden(" ".join(each.name for each in over))

    return Meter(rules, "ann", till, till.clock, excess)


def told(till: Till) -> list[tuple[int, int]]:
    """Give the rows and bytes that were asked for, in turn."""
    return [(each.rows, each.bytes) for each in till.asked]


def test_what_came_is_counted_as_it_is(till: Till) -> None:
    """A whole result is one question: its rows, its bytes, for whom, over what and how much."""
    made = meter(till, rule(rows=50, bytes=500, runs=7))
    assert not made.has(3, 40)
    made.reserve(3, 40, ahead=False)
    assert till.asked == [Spending("ann", "approvals.rule", 60.0, 3, 40, 50, 500, "", 7)]
    assert till.at == [100.0]
    assert made.has(3, 40) and made.left
    made.take(3, 40)
    assert not made.left and not made.has(1, 0) and not made.has(0, 1)


@pytest.mark.parametrize("what", ["rows", "bytes"])
def test_only_what_a_rule_counts_is_reserved(till: Till, what: str) -> None:
    """A rule about rows has no say in bytes, nor the other way round; each is asked for alone."""
    made = meter(till, rule(**{what: 10}))
    made.reserve(4, 4, ahead=False)
    assert told(till) == [(4, 0) if what == "rows" else (0, 4)]
    assert made.has(4, 99 if what == "rows" else 4)
    assert not made.has(99, 99)


def test_what_is_reserved_already_is_not_asked_for_again(till: Till) -> None:
    """Only what is lacking is reserved, of rows and bytes each by itself."""
    made = meter(till, rule(rows=100, bytes=1000))
    made.reserve(10, 10, ahead=False)
    made.reserve(4, 25, ahead=False)
    assert told(till) == [(10, 10), (0, 15)]
    made.reserve(10, 25, ahead=False)
    assert len(till.asked) == 2
    made.take(7, 20)
    assert made.has(3, 5) and not made.has(4, 5) and not made.has(3, 6)


def test_a_stream_reserves_in_blocks(till: Till) -> None:
    """Where more is to come a share of the budget is reserved at once, within bounds."""
    made = meter(till, rule(rows=2_000, bytes=100_000))
    made.reserve(1, 10, ahead=True)
    assert told(till) == [(100, 5_000)]
    assert made.has(100, 5_000)
    large = meter(till, rule(rows=10**9, bytes=10**12, name="large"))
    large.reserve(1, 1, ahead=True)
    assert told(till)[1:] == [(1_000, 4 << 20)]
    # A row that is larger than a block is reserved whole.
    huge = meter(till, rule(rows=2_000, bytes=100_000, name="huge"))
    huge.reserve(1, 70_000, ahead=True)
    assert told(till)[2:] == [(100, 70_000)]


def test_near_the_end_of_a_budget_blocks_get_smaller(till: Till) -> None:
    """What a large block has no room for is had in smaller ones, to the very last row."""
    made = meter(till, rule(rows=2_000))
    till.had["approvals.rule", "rows"] = 1_985
    got = 0
    with pytest.raises(Forbidden, match="rule"):
        for _ in range(100):
            made.reserve(1, 0, ahead=True)
            made.take(1, 0)
            got += 1
    assert got == 15
    assert told(till)[:2] == [(100, 0), (10, 0)]
    assert told(till)[-3:] == [(100, 0), (10, 0), (1, 0)]


def test_what_is_not_ahead_takes_no_block(till: Till) -> None:
    """A result that is whole is not refused because a block would be too large."""
    made = meter(till, rule(rows=2_000))
    made.reserve(1, 0, ahead=False)
    assert told(till) == [(1, 0)]


def test_every_rule_that_is_used_up_is_told(till: Till) -> None:
    """Each of several budgets has to have room; the error is about all that have none."""
    made = meter(till, rule(name="a", rows=5), rule(name="b", rows=50), rule(name="c", rows=5))
    with pytest.raises(Forbidden, match=r"^a c$"):
        made.reserve(9, 0, ahead=False)
    assert not made.has(9, 0)
    made.reserve(5, 0, ahead=False)
    assert made.has(5, 0)


def test_what_is_not_had_is_given_back_as_of_its_time(till: Till) -> None:
    """What is left of the last block goes back, at the time it was taken; nothing twice."""
    made = meter(till, rule(rows=2_000, bytes=100_000))
    made.reserve(1, 10, ahead=True)
    made.take(1, 10)
    till.now = 150.0
    made.give_back()
    assert (told(till)[1:], till.at) == ([(-99, -4_990)], [100.0, 100.0])
    assert not made.left and not made.has(1, 0)
    made.give_back()
    assert len(till.asked) == 2


@pytest.mark.parametrize("what", ["rows", "bytes"])
def test_either_is_given_back_alone(till: Till, what: str) -> None:
    """Where only rows, or only bytes, are left, they go back."""
    made = meter(till, rule(**{what: 2_000}))
    made.reserve(1, 1, ahead=True)
    assert made.left
    made.give_back()
    assert told(till) == ([(100, 0), (-100, 0)] if what == "rows" else [(0, 100), (0, -100)])


def test_what_one_of_several_rules_has_left_is_left(till: Till) -> None:
    """Who counts rows may have some left where who counts bytes has none."""
    made = meter(till, rule(name="rows", rows=10), rule(name="bytes", bytes=10))
    made.reserve(5, 0, ahead=False)
    assert made.left
    made.give_back()
    assert told(till) == [(5, 0), (-5, 0)] and not made.left


def test_not_more_than_the_last_block_is_given_back(till: Till) -> None:
    """What an older block left was taken at another time: it stays taken."""
    made = meter(till, rule(rows=100, bytes=100))
    made.reserve(10, 10, ahead=False)
    till.now = 130.0
    made.reserve(14, 11, ahead=False)
    made.give_back()
    assert (told(till)[2:], till.at[2:]) == ([(-4, -1)], [130.0])


def test_nothing_is_given_back_where_nothing_is_left(till: Till) -> None:
    """Who had everything asks the store for nothing more."""
    made = meter(till, rule(rows=100))
    made.give_back()
    made.reserve(10, 0, ahead=False)
    made.take(10, 0)
    made.give_back()
    assert len(till.asked) == 1


def test_more_than_was_reserved_leaves_nothing_owed(till: Till) -> None:
    """Taking more than there is leaves none, not less than none."""
    made = meter(till, rule(rows=10, bytes=10))
    made.take(5, 5)
    made.reserve(1, 1, ahead=False)
    assert told(till) == [(1, 1)]


def test_after_the_end_nothing_is_counted(till: Till) -> None:
    """A meter that is stopped asks for nothing, and keeps what is to be given back."""
    made = meter(till, rule(rows=2_000))
    made.reserve(1, 0, ahead=True)
    made.stop()
    assert made.has(10**6, 10**6) is True
    made.take(50, 0)
    made.give_back()
    assert told(till) == [(100, 0), (-100, 0)]


def test_runs_are_counted_by_the_rules_that_count_them(till: Till) -> None:
    """Only rules with runs are asked, without rows; each that is used up is told."""
    rows, runs = rule(rows=10), rule(name="runs", runs=3)
    assert not meter(till, rows).counts_runs
    made = meter(till, rows, runs, rule(name="more", runs=9))
    assert made.counts_runs
    made.run("one")
    assert till.asked == [
        Spending("ann", "approvals.runs", 60.0, 0, 0, 0, 0, "one", 3),
        Spending("ann", "approvals.more", 60.0, 0, 0, 0, 0, "one", 9),
    ]
    assert till.at == [100.0, 100.0]
    with pytest.raises(Forbidden, match=r"^runs more$"):
        made.run("over")


def drive(generator: Any) -> list[str]:
    """Run a generator as doors do: what it wants aside is done outside of it."""
    steps: list[str] = []
    while True:
        step = None
        waiting = until_aside(generator)
        try:
            while True:
                steps.append(f"waits for {next(waiting)}")
        except StopIteration as ex:
            step = ex.value
        if isinstance(step, Ended):
            return [*steps, f"ended {step.value}"]
        step.run()
        steps.append("aside")


def test_the_store_is_asked_aside_and_only_where_it_has_to_be(till: Till) -> None:
    """What came is taken after it was reserved; a second look at what is reserved asks nobody."""
    made = meter(till, rule(rows=2_000))
    assert drive(count_gen(made, 1, 0, ahead=True)) == ["aside", "ended None"]
    assert drive(count_gen(made, 1, 0, ahead=True)) == ["ended None"]
    assert told(till) == [(100, 0)] and made.has(98, 0) and not made.has(99, 0)
    assert drive(count_gen(None, 1, 0)) == ["ended None"]
    whole = meter(till, rule(rows=2_000, name="whole"))
    drive(count_gen(whole, 7, 0))
    assert told(till)[1:] == [(7, 0)] and not whole.left


def test_a_generator_waits_and_hears_of_errors_as_ever() -> None:
    """What is ready comes back to it, an error is raised in it, and its value is told."""
    heard: list[Any] = []

    def work() -> Any:
        heard.append((yield "socket"))
        try:
            yield Aside(lambda: None)
        except ValueError as ex:
            heard.append(str(ex))
        return "value"

    generator = work()
    waiting = until_aside(generator)
    assert next(waiting) == "socket"
    with pytest.raises(StopIteration) as paused:
        waiting.send("ready")
    assert isinstance(paused.value.value, Aside)
    with pytest.raises(StopIteration) as ended:
        next(until_aside(generator, ValueError("no")))
    assert ended.value.value == Ended("value")
    assert heard == ["ready", "no"]
