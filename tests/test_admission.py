"""How many bytes a result is said to have."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from tracewall.admission import weighed

VALUES = st.one_of(st.none(), st.binary(max_size=9))


class Held:
    """A result that counts how many of its values are looked at."""

    command_tuples = None

    def __init__(self, rows: list[list[bytes | None]], nfields: int) -> None:
        self.rows, self.nfields, self.ntuples, self.seen = rows, nfields, len(rows), 0

    def get_value(self, row_number: int, column_number: int) -> bytes | None:
        assert row_number >= 0
        self.seen += 1
        return self.rows[row_number][column_number]

    def ftable(self, column_number: int) -> int:
        return 0

    def ftablecol(self, column_number: int) -> int:
        return 0


@given(st.lists(st.lists(VALUES, min_size=3, max_size=3), max_size=21), st.booleans())
def test_what_is_small_is_counted(rows: Any, exact: bool) -> None:
    """Each value is looked at once, NULLs count nothing."""
    held = Held(rows, 3)
    assert weighed(held, exact=exact) == (sum(len(v or b"") for row in rows for v in row), True)
    assert held.seen == 3 * len(rows)


@given(st.integers(0, 20_000), st.integers(1, 1_600), st.integers(0, 40))
def test_what_is_large_is_estimated(rows: int, columns: int, width: int) -> None:
    """Of however many values few are looked at; equally long rows are told exactly."""
    held = Held([[b"x" * width] * columns] * rows, columns)
    size, sure = weighed(held, exact=False)
    assert size == rows * columns * width
    assert held.seen <= max(64, min(2_048, rows * columns // 8)) + columns
    assert sure == (held.seen == rows * columns)


@given(st.integers(1_000, 5_000), st.integers(1, 1_000))
def test_an_estimate_lies_within_what_the_rows_allow(rows: int, longest: int) -> None:
    """It is never less than the shortest row would make it, nor more than the longest."""
    lengths = [1 + at * 7 % longest for at in range(rows)]
    held = Held([[b"x" * length] * 4 for length in lengths], 4)
    size, sure = weighed(held, exact=False)
    assert 4 * rows * min(lengths) <= size <= 4 * rows * max(lengths)
    assert weighed(held, exact=True) == (4 * sum(lengths), True)
    assert not sure
