"""Rows that were loaded in C, with their masked columns rewritten many rows at a time.

1. Of a column whose values all look alike behind their mask, only whether a value is NULL is
   ever asked. Of others a whole column is masked by one call.
2. Rows are put together by a function that is compiled for their shape: how many columns,
   and which of them are masked. Nothing but numbers goes into its text.
3. NULL stays NULL: masks see it in the list and leave it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any, TypeAlias

Row: TypeAlias = tuple[Any, ...]
Column: TypeAlias = Callable[[Sequence[Any]], Iterable[object]]
"""Takes values of one column, None for NULL, gives what is shown instead of each."""

BATCH = 128
"""How many rows are loaded and rewritten at once: few enough to stay in the processor's cache."""

_FEW = 8
_MOST_SHAPES = 500


class Rewriting:
    """Rewrites rows of `width` columns.

    Args:
        width: how many columns a row has.
        fixed: what stands for every value of a column that is not NULL, by position.
        columns: what masks a column, by position.
    """

    __slots__ = ("_columns", "_fixed", "_width")

    def __init__(
        self, width: int, fixed: Mapping[int, object], columns: Mapping[int, Column]
    ) -> None:
        self._width = width
        self._fixed, self._columns = dict(fixed), dict(columns)

    def row(self, values: Row) -> Row:
        """Rewrite one row."""
        shown = list(values)
        for at, value in self._fixed.items():
            if shown[at] is not None:
                shown[at] = value
        for at, mask in self._columns.items():
            (shown[at],) = mask((shown[at],))
        return tuple(shown)

    def rows(self, rows: list[Row]) -> list[Row]:
        """Rewrite rows."""
        if len(rows) < _FEW:
            return [self.row(row) for row in rows]
        masked = [mask([row[at] for row in rows]) for at, mask in self._columns.items()]
        nothing = frozenset(at for at, value in self._fixed.items() if value is None)
        put = _compiled(self._width, (*self._fixed,), nothing, (*self._columns,))
        return put(rows, *self._fixed.values(), *masked)


@lru_cache(_MOST_SHAPES)
def _compiled(
    width: int, fixed: tuple[int, ...], nothing: frozenset[int], masked: tuple[int, ...]
) -> Callable[..., list[Row]]:
    """Compile what puts rows together: the values of a column come as ``m``, a constant as ``k``.

    ``[(a0, None if a1 is None else k1, m2,) for (a0, a1, a2,), m2 in zip(rows, c2)]``
    """

    def shown(at: int) -> str:
        if at in nothing:
            return "None"
        return f"None if a{at} is None else k{at}" if at in fixed else f"a{at}"

    row = "".join(f"m{at}, " if at in masked else f"{shown(at)}, " for at in range(width))
    loaded = "".join(f"a{at}, " for at in range(width))
    names = "".join([f", k{at}" for at in fixed] + [f", c{at}" for at in masked])
    which = "".join(f", m{at}" for at in masked)
    source = "zip(rows" + "".join(f", c{at}" for at in masked) + ")" if masked else "rows"
    text = f"lambda rows{names}: [({row}) for ({loaded}){which} in {source}]"
    # Made of the positions alone.
    return eval(text, {"__builtins__": {"zip": zip}})  # type: ignore[no-any-return]  # noqa: S307
