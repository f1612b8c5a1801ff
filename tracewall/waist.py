"""The private names of psycopg that the doors stand on, checked when they are imported.

The doors hook psycopg where it sends statements and takes results. Should a release of
psycopg move one of those places, the import fails: a guard that is not called is none.
"""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import psycopg
from psycopg._connection_base import BaseConnection
from psycopg._cursor_base import BaseCursor
from psycopg._preparing import PrepareManager
from psycopg._queries import PostgresQuery

_WAIST: dict[type, dict[str, tuple[str, ...]]] = {
    BaseCursor: {
        "_check_results": ("results",),
        "_convert_query": ("query", "params"),
        "_execute_gen": ("query", "params", "prepare", "binary"),
        "_execute_send": ("query", "force_extended", "binary"),
        "_executemany_gen_no_pipeline": ("query", "params_seq", "returning"),
        "_executemany_gen_pipeline": ("query", "params_seq", "returning"),
        "_make_row_maker": (),
        "_maybe_prepare_gen": ("pgq", "prepare", "binary"),
        "_raise_for_result": ("result",),
        "_reset": ("reset_query",),
        "_select_current_result": ("i", "format"),
        "_send_prepare": ("name", "query"),
        "_send_query_prepared": ("name", "pgq", "binary"),
        "_set_results": ("results",),
        "_start_copy_gen": ("statement", "params"),
        "_start_query": ("query",),
        "_stream_fetchone_gen": ("first",),
        "_stream_send_gen": ("query", "params", "binary", "size"),
    },
    BaseConnection: {
        "_check_connection_ok": (),
        "_exec_command": ("command", "result_format"),
        "_start_query": (),
    },
    PrepareManager: {"maintain_gen": ("conn",)},
    psycopg.ServerCursor: {
        "_declare_gen": ("query", "params", "binary"),
        "_make_declare_statement": ("query",),
    },
}


PINNED: Mapping[str, Any] = MappingProxyType(
    {name: vars(BaseCursor)[name] for name in BaseCursor.__slots__ if name[:2] != "__"}
    | {name: vars(object)[name] for name in ("__getattribute__", "__setattr__", "__delattr__")}
)
"""Where psycopg's cursors keep what is theirs, results among it: no class made from one may
look on while that is set."""


def overridden(kind: type) -> list[str]:
    """Give the names of `PINNED` that a class has something of its own for."""
    first = {name: next(vars(k)[name] for k in kind.__mro__ if name in vars(k)) for name in PINNED}
    return [name for name, own in PINNED.items() if first[name] is not own]


STOOD_IN: tuple[Any, ...] = (
    BaseCursor._reset,
    BaseCursor._execute_gen,
    BaseCursor._executemany_gen_pipeline,
    BaseCursor._convert_query,
    BaseCursor._maybe_prepare_gen,
    BaseCursor._get_prepared,
    BaseCursor._send_query_prepared,
    BaseCursor._check_results,
    BaseCursor._set_results,
    BaseCursor._select_current_result,
    PrepareManager.get,
    PrepareManager.key,
    PrepareManager.maybe_add_to_cache,
    PrepareManager.maintain_gen,
    PostgresQuery.convert,
    PostgresQuery.dump,
    PostgresQuery.validate_and_reorder_params,
    psycopg.Cursor.execute,
    psycopg.AsyncCursor.execute,
)
"""What of psycopg's the short ways of `tracewall.again` and `tracewall.batching` do themselves."""

KNOWN_DEALINGS = frozenset({"19027b7fe81e3190"})
"""The `dealings` of the releases of psycopg that the short way was written after."""


def dealings() -> str:
    """Give a digest of all names that the functions `STOOD_IN` for deal with."""
    told = [f"{each.__qualname__}: {sorted(each.__code__.co_names)}" for each in STOOD_IN]
    return hashlib.sha256("\n".join(told).encode()).hexdigest()[:16]


def drift() -> list[str]:
    """Give what psycopg no longer has where the doors expect it; empty when all is well."""
    return [
        f"{owner.__name__}.{name}"
        for owner, members in _WAIST.items()
        for name, parameters in members.items()
        if not _fits(getattr(owner, name, None), parameters)
    ]


def _fits(member: object, parameters: tuple[str, ...]) -> bool:
    if not callable(member):
        return False
    found = [name for name in inspect.signature(member).parameters if name != "self"]
    return tuple(found) == parameters


def check(found: list[str]) -> None:
    """Return when nothing has drifted.

    Raises:
        ImportError: psycopg is not what the doors were made for.
    """
    if found:
        raise ImportError(
            f"tracewall does not know psycopg {psycopg.__version__}: {', '.join(found)} changed, "
            "and a guard that is not called is none; install a psycopg that tracewall supports",
            name="tracewall",
        )
