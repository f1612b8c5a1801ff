"""The private names of psycopg that the doors stand on, checked when they are imported.

The doors hook psycopg where it sends statements and takes results. Should a release of
psycopg move one of those places, the import fails: a guard that is not called is none.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import psycopg
from psycopg._connection_base import BaseConnection
from psycopg._cursor_base import BaseCursor
from psycopg._preparing import PrepareManager

_WAIST: dict[type, dict[str, tuple[str, ...]]] = {
    BaseCursor: {
        "_check_results": ("results",),
        "_convert_query": ("query", "params"),
        "_execute_gen": ("query", "params", "prepare", "binary"),
        "_execute_send": ("query", "force_extended", "binary"),
        "_executemany_gen_no_pipeline": ("query", "params_seq", "returning"),
        "_executemany_gen_pipeline": ("query", "params_seq", "returning"),
        "_maybe_prepare_gen": ("pgq", "prepare", "binary"),
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
