"""Which token a piece of code acts under: by its context, as asyncio tasks and threads have one.

1. What a context acts under is a tuple of its own; no object is shared that one task or
   thread could change under another.
2. Leaving a block takes out that block's entry, wherever it stands by then, so that blocks
   which generators leave out of order never bring back one that has ended.
3. A bearer without a token is nobody: whoever is acted under around it does not count.
4. A task starts with a copy of what its maker acts under; a thread starts with nothing.
"""

from __future__ import annotations

import contextvars
from dataclasses import dataclass
from types import TracebackType
from typing import Final


@dataclass(frozen=True, slots=True, eq=False)
class Bearer:
    """A token that is acted under, under which wall, and what for."""

    wall: object
    token: str
    purpose: str | None = None

    def __repr__(self) -> str:
        return f"<Bearer purpose={self.purpose!r}>"


_Entries = tuple[tuple[object, Bearer], ...]
_ACTING: Final[contextvars.ContextVar[_Entries]] = contextvars.ContextVar(
    "tracewall_acting", default=()
)


def acting(wall: object) -> Bearer | None:
    """Give the innermost bearer that this context acts under at a wall, or None."""
    for _, bearer in reversed(_ACTING.get()):
        if bearer.wall is wall:
            return bearer if bearer.token else None
    return None


class Acting:
    """Holds a bearer for the length of a ``with`` block; made by `Wall.acting_as`.

    It may be entered again, inside itself or by several tasks and threads at a time.
    """

    __slots__ = ("_bearer",)

    def __init__(self, bearer: Bearer) -> None:
        self._bearer = bearer

    def __enter__(self) -> None:
        _ACTING.set((*_ACTING.get(), (self, self._bearer)))

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        entries = _ACTING.get()
        for at in range(len(entries) - 1, -1, -1):
            if entries[at][0] is self:
                _ACTING.set(entries[:at] + entries[at + 1 :])
                return
