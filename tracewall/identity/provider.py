"""A token that is asked for anew before it expires: when that is due, and what may come.

Asking is the doors' work (a provider may block or await); here is only what is decided
about it.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from typing import Final, TypeAlias

from tracewall.identity.principal import Principal, Rejection, rejection

TokenProvider: TypeAlias = Callable[[], str | Awaitable[str]]
"""Gives a token whenever it is called; it may be a function or a coroutine function."""

_MARGIN: Final = 60.0
_SHARE: Final = 0.2


def is_asynchronous(provider: TokenProvider) -> bool:
    """Tell whether calling a provider gives something to await, as far as can be seen."""
    call = getattr(provider, "__call__", None)  # noqa: B004  (its type's method is wanted)
    return inspect.iscoroutinefunction(provider) or inspect.iscoroutinefunction(call)


def is_due(found: Principal | Rejection | None, now: float) -> bool:
    """Tell whether another token should be asked for: there is none that will do, or not for long.

    A minute before it expires, or a fifth of its lifetime where that is shorter.
    """
    if not isinstance(found, Principal):
        return True
    lifetime = found.expires_at - found.issued_at
    return not now < found.expires_at - min(_MARGIN, _SHARE * lifetime)


def changed(old: Principal | None, new: Principal | Rejection) -> Rejection | None:
    """Refuse a token of somebody else on a connection that was one person's."""
    if old is None or isinstance(new, Rejection):
        return None
    same = (old.issuer, old.subject) == (new.issuer, new.subject)
    return None if same else rejection("another_subject")
