"""A clock that stands still until a test moves it."""

from __future__ import annotations


class FixedClock:
    """Gives seconds since the epoch; pass it as ``clock`` to `Wall.load` and `TokenIssuer`.

    Example:
        >>> clock = FixedClock(1_800_000_000)
        >>> clock.advance(60)
        >>> clock()
        1800000060.0
    """

    def __init__(self, now: float = 1_800_000_000.0) -> None:
        self.now = float(now)

    def __call__(self) -> float:
        """Give the time."""
        return self.now

    def advance(self, seconds: float) -> None:
        """Let so many seconds pass."""
        self.now += seconds
