"""psycopg's own cursor classes on a guarded connection: they lend themselves to a guarded one.

`psycopg.Cursor(conn)` is what psycopg's `TypeInfo.fetch` and code like it make of any
connection. Its instances have no room for a guard's state, and their class is a stranger's.

1. A cursor that is made on a guarded connection without a guard of its own is taken in as
   it reads the connection's adapters, in its constructor.
2. It stays an instance of its class, and does nothing itself: whatever is asked of it is
   asked of a guarded cursor that the connection's doors make of that class.
3. One of a class that does what psycopg's do in a way of its own is left as it is, and
   refused when it is about to send: ``cursor_factory`` takes such a class in.
"""

from __future__ import annotations

from types import FrameType
from typing import Any

import psycopg
from psycopg._cursor_base import BaseCursor

from tracewall.cursor_base import GuardedCursor
from tracewall.server_cursor_base import GuardedServerCursor, adopted

_SETTINGS = ("arraysize", "format", "itersize")
"""What may have been set before the guarded cursor is made, besides the row factory."""

_ITERATING = ("__iter__", "__next__", "__aiter__", "__anext__")

_LENT: dict[tuple[type[Any], type[Any]], type[Any]] = {}


def take_in(frame: FrameType, doors: type[Any]) -> None:
    """Take in the cursor whose constructor this frame runs, if it has no guard.

    Args:
        frame: what reads the connection's adapters.
        doors: the guard of cursor classes of the connection's colour.
    """
    if frame.f_code is not BaseCursor.__init__.__code__:
        return
    cursor = frame.f_locals.get("self")
    if not isinstance(cursor, BaseCursor) or isinstance(cursor, GuardedCursor):
        return
    kind = type(cursor)
    if all(getattr(kind, name) is getattr(own, name) for own in _own(kind) for name in _open(own)):
        cursor.__class__ = _lent(kind, doors)


def _own(kind: type[Any]) -> list[type[Any]]:
    """Give the class of psycopg's that a class stems from."""
    stem = [each for each in kind.__mro__ if vars(psycopg).get(each.__name__) is each]
    return stem[:1] or [object]


def _open(kind: type[Any]) -> list[str]:
    return [name for name in dir(kind) if not name.startswith("_")]


def _lent(kind: type[Any], doors: type[Any]) -> type[Any]:
    if (kind, doors) not in _LENT:
        made = adopted(kind, doors)
        namespace: dict[str, Any] = {name: _asked(name, kind, made) for name in _open(kind)}
        namespace |= {name: _called(name, made) for name in _ITERATING if getattr(kind, name, None)}
        namespace |= {"__slots__": (), "__module__": kind.__module__, "__doc__": kind.__doc__}
        _LENT[kind, doors] = type(kind.__name__, (kind,), namespace)
    return _LENT[kind, doors]


def _inner(cursor: Any, made: type[Any]) -> Any:
    """Give the guarded cursor behind a lent one; its place is a slot that this one leaves empty."""
    inner = getattr(cursor, "_tx", None)
    if not isinstance(inner, GuardedCursor):
        options, name = {"row_factory": cursor._row_factory}, []
        if issubclass(made, GuardedServerCursor):
            name = [cursor._name]
            options |= {"scrollable": cursor._scrollable, "withhold": cursor._withhold}
        inner = made(cursor._conn, *name, **options)
        for setting in _SETTINGS:
            if hasattr(made, setting):
                setattr(inner, setting, getattr(super(type(cursor), cursor), setting))
        cursor._tx = inner
    return inner


def _asked(name: str, kind: type[Any], made: type[Any]) -> property:
    def give(self: Any) -> Any:
        return getattr(_inner(self, made), name)

    def take(self: Any, value: Any) -> None:
        # Its constructor sets what the guarded cursor, made later, then begins with.
        inner = getattr(self, "_tx", None)
        if isinstance(inner, GuardedCursor):
            setattr(inner, name, value)
        else:
            getattr(kind, name).__set__(self, value)

    return property(give, take, doc=getattr(kind, name).__doc__)


def _called(name: str, made: type[Any]) -> Any:
    def call(self: Any) -> Any:
        return getattr(_inner(self, made), name)()

    call.__name__ = name
    return call
