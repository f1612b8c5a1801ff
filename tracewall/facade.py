"""What outside code gets in place of libpq's own objects.

`conn.pgconn` and `cursor.pgresult` are public, and raw: they send statements that nobody
judges and give values that nobody masks. psycopg's own code can't do without the real
connection, and its C code takes nothing that only looks like one. So psycopg's and our own
modules get the real one, and everybody else a facade: what is passive it asks of the real
one, everything else it refuses.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

from psycopg.pq import abc

from tracewall.errors import Forbidden

TELLING = frozenset(
    "backend_pid db full_protocol_version host hostaddr needs_password nonblocking options "
    "pipeline_status port protocol_version server_version socket ssl_in_use status "
    "transaction_status tty used_gssapi used_password user _encoding".split()
)
"""What a connection may tell of itself: where it is, in which state, and how it was made."""

METHODS = frozenset("finish get_cancel is_busy".split())
"""What may be done with it: close it, cancel what runs, ask whether something does."""

EMPTY: dict[str, Any] = {
    "password": b"",
    "error_message": b"",
    "pgconn_ptr": None,
    "notice_handler": None,
    "notify_handler": None,
}
"""What is always empty: the credential, the server's words, the way to the raw connection."""

SETTINGS = frozenset(
    b"server_version server_encoding client_encoding integer_datetimes in_hot_standby "
    b"standard_conforming_strings default_transaction_read_only is_superuser "
    b"scram_iterations DateStyle IntervalStyle TimeZone".split()
)
"""The reported parameters that may be told; others can hold any text that was put there."""

REFUSED = frozenset(
    "cancel_conn change_password close_portal close_prepared connect connect_poll connect_start "
    "consume_input describe_portal describe_prepared encrypt_password enter_pipeline_mode exec_ "
    "exec_params exec_prepared exit_pipeline_mode flush get_copy_data get_result "
    "make_empty_result notifies ping pipeline_sync prepare put_copy_data put_copy_end reset "
    "reset_poll reset_start send_close_portal send_close_prepared send_describe_portal "
    "send_describe_prepared send_flush_request send_prepare send_query send_query_params "
    "send_query_prepared set_chunked_rows_mode set_single_row_mode set_trace_flags trace "
    "untrace".split()
)
"""What carries a statement, data or a secret, or changes the connection under the guard."""

RESULT_TELLS = frozenset(
    "binary_tuples command_status command_tuples nfields nparams ntuples oid_value status".split()
)
RESULT_METHODS = frozenset("fformat fmod fname fsize ftable ftablecol ftype param_type".split())
"""What a result with masked columns may tell: its shape."""

RESULT_REFUSED = frozenset("clear error_field pgresult_ptr set_attributes".split())


def _told(name: str) -> property:
    return property(lambda self: getattr(self._real, name), doc=f"libpq's own {name}.")


def _asked(name: str) -> Callable[..., Any]:
    # Not the method itself: that would have the real object in its __self__.
    def ask(self: Any, *given: int) -> Any:
        return getattr(self._real, name)(*given)

    ask.__name__ = ask.__qualname__ = name
    ask.__doc__ = f"Do as libpq's own {name}."
    return ask


def _always(value: Any) -> property:
    return property(lambda self: value, doc="Always empty.")


def _refused(name: str) -> Callable[..., Any]:
    def refuse(*given: Any, **named: Any) -> Any:
        raise Forbidden(f"{name} goes around the guard; use the connection's own methods")

    refuse.__name__ = refuse.__qualname__ = name
    refuse.__doc__ = "Refuse."
    return refuse


class ShownConnection:
    """A libpq connection as outside code may see it."""

    def __init__(self, real: abc.PGconn) -> None:
        self._real = real

    @property
    def info(self) -> list[Any]:
        """The options of the log-in, without the secret ones."""
        # libpq marks with an asterisk what is not to be displayed (PQconninfo).
        return [
            option._replace(val=None) if option.dispchar == b"*" else option
            for option in self._real.info
        ]

    def parameter_status(self, name: bytes) -> bytes | None:
        """Give a parameter that the server reports, if it is one that holds no data."""
        return self._real.parameter_status(name) if name in SETTINGS else None

    def get_error_message(self, encoding: str = "") -> str:
        """Give nothing: the server's messages can hold values."""
        return ""


for _name in TELLING:
    setattr(ShownConnection, _name, _told(_name))
for _name in METHODS:
    setattr(ShownConnection, _name, _asked(_name))
for _name, _value in EMPTY.items():
    setattr(ShownConnection, _name, _always(_value))
for _name in REFUSED:
    setattr(ShownConnection, _name, staticmethod(_refused(_name)))


class ShownResult:
    """A result as outside code may see it: its values only of columns that are not `masked`."""

    error_message = b""

    def __init__(self, real: abc.PGresult, masked: frozenset[int]) -> None:
        self._real = real
        self._masked = masked

    def get_value(self, row_number: int, column_number: int) -> bytes | None:
        """Give a value as the server sent it, of a column that is not masked."""
        if column_number in self._masked or column_number < 0:
            raise Forbidden("this column is masked; fetch the row")
        return self._real.get_value(row_number, column_number)

    def filled(self, column_number: int) -> int:
        """Give how many values of a column are not NULL, which masks do not hide either."""
        value, rows = self._real.get_value, range(self._real.ntuples)
        return sum(value(row, column_number) is not None for row in rows)

    def get_error_message(self, encoding: str = "") -> str:
        """Give nothing: the server's messages can hold values."""
        return ""


for _name in RESULT_TELLS:
    setattr(ShownResult, _name, _told(_name))
for _name in RESULT_METHODS:
    setattr(ShownResult, _name, _asked(_name))
for _name in RESULT_REFUSED:
    setattr(ShownResult, _name, staticmethod(_refused(_name)))


# --- who asks ---------------------------------------------------------------------------

_PACKAGES = ("psycopg.", "tracewall.")

# Its objects keep what they are given in a public attribute, and need no more than a facade.
_OUTSIDE = "psycopg.transaction"

# Its objects read COPY data raw; a guarded one is given the real connection by ours.
_COPIES = "psycopg._copy_base"

KNOWN: dict[int, dict[str, Any]] = {}
"""The names of the modules that may have the real objects, by identity; `inside` finds them."""


def inside(frame: FrameType) -> bool:
    """Tell whether a frame runs code of psycopg or of tracewall that needs the real object."""
    return id(frame.f_globals) in KNOWN or _recognize(frame)


def _recognize(frame: FrameType) -> bool:
    names = frame.f_globals
    name = str(names.get("__name__", ""))
    module = sys.modules.get(name)
    if not name.startswith(_PACKAGES) or module is None or vars(module) is not names:
        return False
    if name == _COPIES:
        return frame.f_code.co_name != "__init__"
    if name != _OUTSIDE:
        # Kept, so that no other dictionary can ever have this identity.
        KNOWN[id(names)] = names
    return name != _OUTSIDE
