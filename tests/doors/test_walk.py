"""Every public member of psycopg that a guarded program reaches is a door or has its reason.

A release of psycopg with a new public member turns this red until somebody has looked at
it: does it carry a statement, data or a secret, or is it passive?
"""

from __future__ import annotations

import inspect
from typing import Any

import psycopg
import pytest
from psycopg import copy, pq

from tracewall import facade

JUDGED = "execute executemany stream copy"
FETCHED = "fetchone fetchmany fetchall nextset results set_result scroll"
ERRORS = (
    "DataError DatabaseError Error IntegrityError InterfaceError InternalError NotSupportedError "
    "OperationalError ProgrammingError Warning"
)
SETTINGS = "autocommit deferrable isolation_level read_only prepare_threshold prepared_max"

CONNECTION = {
    "logs in as the wall": "connect",
    "gives guarded cursors, or sends by one": "cursor execute tpc_recover cursor_factory "
    "server_cursor_factory",
    "sends psycopg's own transaction commands, which are compared with their pattern": "commit "
    "rollback transaction tpc_begin tpc_commit tpc_prepare tpc_rollback",
    "results in it are masked by their own judgement": "pipeline",
    "notifications and notices are scrubbed": "notifies add_notice_handler add_notify_handler "
    "remove_notice_handler remove_notify_handler",
    "errors that pass it are scrubbed": "wait",
    "a facade": "pgconn info",
    "a setting of psycopg's own": SETTINGS + " set_autocommit set_deferrable set_isolation_level "
    "set_read_only row_factory",
    "ends what runs, or the connection": "cancel cancel_safe close",
    "tells a state": "broken closed connection lock xid",
    "the raw socket; selectors need its number, and a process can always read its own": "fileno",
    "adapters for clear columns and parameters; masked columns have ours": "adapters",
    "our own: tells a decision, sends nothing": "explain",
    "a class": ERRORS,
}
CURSOR = {
    "judged": JUDGED,
    "gives masked rows": FETCHED,
    "binds what is judged after binding; sends nothing": "mogrify",
    "a facade where a column is masked": "pgresult",
    "gets masked values": "row_factory",
    "adapters for clear columns and parameters; masked columns have ours": "adapters",
    "shape of the result, which the judgement allows": "description rowcount rownumber "
    "statusmessage",
    "a setting of psycopg's own": "arraysize format itersize name scrollable withhold "
    "setinputsizes setoutputsize",
    "tells a state": "closed connection",
    "our own: tells which columns were masked and by which rules, no value": "masking",
    "ends the cursor; a server-side one by a command that is compared with its pattern": "close",
}
COPY = {
    "gives masked rows": "read read_row rows",
    "sends data of the caller's for a judged statement": "write write_row writer",
    "of psycopg's own": "finish set_types formatter",
    "guarded": "cursor connection",
}
INFO = {
    "tells where the connection goes, as what, and its state": "backend_pid dbname encoding "
    "full_protocol_version host hostaddr options pipeline_status port server_version status "
    "timezone transaction_status user vendor",
    "options without the secret ones": "dsn get_parameters",
    "only parameters that hold no data": "parameter_status",
    "empty": "error_message password",
    "a facade": "pgconn",
}
OTHERS: list[tuple[type, dict[str, str]]] = [
    (psycopg.Notify, {"scrubbed before it is made": "channel payload pid", "tuple": "count index"}),
    (
        psycopg.Column,
        {
            "shape of the result": "name type_code display_size internal_size precision scale "
            "null_ok type_display",
            "tuple": "count index",
        },
    ),
    (psycopg.Pipeline, {"tells a state": "is_supported status", "sends nothing new": "sync"}),
    (psycopg.AsyncPipeline, {"tells a state": "is_supported status", "sends nothing new": "sync"}),
    (psycopg.Transaction, {"tells a state": "Status connection savepoint_name"}),
    (psycopg.AsyncTransaction, {"tells a state": "Status connection savepoint_name"}),
    (
        psycopg.Xid,
        {
            "made of the caller's words": "from_parts from_string format_id gtrid bqual "
            "prepared owner database count index"
        },
    ),
    (
        psycopg.Error,
        {
            "of a scrubbed error": "args diag pgconn pgresult sqlstate",
            "Python's": "add_note with_traceback",
        },
    ),
    (
        psycopg.errors.Diagnostic,
        {
            "emptied of the server's words": "context datatype_name internal_position "
            "internal_query message_detail message_hint message_primary source_file "
            "source_function source_line statement_position",
            "names of known objects": "column_name constraint_name schema_name table_name",
            "of a closed list": "severity severity_nonlocalized sqlstate",
        },
    ),
]
TABLES: list[tuple[type, dict[str, str]]] = [
    *((kind, CONNECTION) for kind in (psycopg.Connection, psycopg.AsyncConnection)),
    *(
        (getattr(psycopg, colour + kind), CURSOR)
        for colour in ("", "Async")
        for kind in ("Cursor", "ClientCursor", "RawCursor", "ServerCursor", "RawServerCursor")
    ),
    *((kind, COPY) for kind in (psycopg.Copy, psycopg.AsyncCopy)),
    (copy.LibpqWriter, COPY),
    (copy.QueuedLibpqWriter, COPY | {"runs the same": "worker flush_threshold"}),
    (psycopg.ConnectionInfo, INFO),
    *OTHERS,
]


@pytest.mark.parametrize("kind, table", TABLES, ids=lambda given: getattr(given, "__name__", ""))
def test_every_public_member_is_known(kind: type, table: dict[str, str]) -> None:
    """A public member of psycopg is listed with what makes it harmless."""
    known = {name for names in table.values() for name in names.split()}
    found = {name for name in dir(kind) if not name.startswith("_")}
    assert found - known == set()


def members(thing: Any) -> set[str]:
    """Give the public names that something has, its attributes included."""
    return {name for name in dir(thing) if not name.startswith("_")}


def test_what_is_reached_at_run_time_is_known_too(guard: Any) -> None:
    """Public attributes that objects get only when they are made are listed too."""
    import tracewall

    with tracewall.connect(wall=guard.wall, token=guard.analyst, autocommit=True) as conn:
        for thing, table in ((conn, CONNECTION), (conn.cursor(), CURSOR), (conn.info, INFO)):
            known = {name for names in table.values() for name in names.split()}
            assert members(thing) - known == set()
        assert members(conn.info.pgconn) == members(conn.pgconn)
        with conn.transaction() as transaction:
            assert isinstance(transaction.pgconn, facade.ShownConnection)
            assert members(transaction) <= {
                "Status", "connection", "force_rollback", "pgconn", "savepoint_name", "status"
            }  # fmt: skip
        with conn.pipeline() as pipeline:
            conn.execute("select 1")
            assert isinstance(pipeline.pgconn, facade.ShownConnection)
            assert not pipeline.command_queue and not pipeline.result_queue
            assert members(pipeline) <= {
                "command_queue", "is_supported", "level", "pgconn", "result_queue", "status", "sync"
            }  # fmt: skip


def test_the_facades_know_every_member_of_libpqs_objects() -> None:
    """Each member of libpq's connection and result is told, refused or emptied, none forgotten."""
    connection = facade.TELLING | facade.METHODS | facade.REFUSED | set(facade.EMPTY)
    connection |= {"info", "parameter_status", "get_error_message"}
    assert members(pq.PGconn) - connection == set()
    result = facade.RESULT_TELLS | facade.RESULT_METHODS | facade.RESULT_REFUSED
    result |= {"get_value", "error_message", "get_error_message"}
    assert members(pq.PGresult) - result == set()
    for name in connection:
        assert hasattr(facade.ShownConnection, name)
    for name in result:
        assert inspect.getattr_static(facade.ShownResult, name, None) is not None
