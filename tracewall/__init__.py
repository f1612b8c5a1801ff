"""tracewall: a guarded psycopg. Every statement is verified, masked and recorded.

Say ``import tracewall as psycopg`` and connect with the caller's token:

    import tracewall as psycopg

    wall = psycopg.Wall.load("tracewall.toml")
    with psycopg.connect(wall=wall, token=token) as conn:
        conn.execute("SELECT run_id, status FROM traces.runs").fetchall()

All of psycopg's public names are here; what talks to the server is guarded.
"""

from tracewall import _command

# isort: split
from psycopg import (
    BINARY,
    DATETIME,
    NUMBER,
    ROWID,
    STRING,
    AsyncCopy,
    AsyncPipeline,
    AsyncTransaction,
    BaseConnection,
    Binary,
    Capabilities,
    Column,
    ConnectionInfo,
    Copy,
    DatabaseError,
    DataError,
    Date,
    DateFromTicks,
    Error,
    IntegrityError,
    InterfaceError,
    InternalError,
    IsolationLevel,
    Notify,
    NotSupportedError,
    OperationalError,
    Pipeline,
    ProgrammingError,
    Rollback,
    Time,
    TimeFromTicks,
    Timestamp,
    TimestampFromTicks,
    Transaction,
    Warning,
    Xid,
    abc,
    adapt,
    adapters,
    apilevel,
    capabilities,
    conninfo,
    crdb,
    paramstyle,
    postgres,
    pq,
    threadsafety,
    types,
)

from tracewall import _clash as _clash
from tracewall import connection, connection_async, cursor, cursor_async, errors, rows, sql
from tracewall.asked import asking
from tracewall.connection import Connection
from tracewall.connection_async import AsyncConnection
from tracewall.cursor import ClientCursor, Cursor, RawCursor, RawServerCursor, ServerCursor
from tracewall.cursor_async import (
    AsyncClientCursor,
    AsyncCursor,
    AsyncRawCursor,
    AsyncRawServerCursor,
    AsyncServerCursor,
)
from tracewall.errors import (
    ApprovalRequired,
    AuditUnavailable,
    Forbidden,
    PolicyError,
    TokenRejected,
    Unreadable,
    Withheld,
)
from tracewall.identity.principal import Principal
from tracewall.policy.model import Decision, OutputColumn, Policy
from tracewall.version import __version__
from tracewall.wall import Wall

connect = Connection.connect
_command.read()

__all__ = [
    "BINARY",
    "DATETIME",
    "NUMBER",
    "ROWID",
    "STRING",
    "ApprovalRequired",
    "AsyncClientCursor",
    "AsyncConnection",
    "AsyncCopy",
    "AsyncCursor",
    "AsyncPipeline",
    "AsyncRawCursor",
    "AsyncRawServerCursor",
    "AsyncServerCursor",
    "AsyncTransaction",
    "AuditUnavailable",
    "BaseConnection",
    "Binary",
    "Capabilities",
    "ClientCursor",
    "Column",
    "Connection",
    "ConnectionInfo",
    "Copy",
    "Cursor",
    "DataError",
    "DatabaseError",
    "Date",
    "DateFromTicks",
    "Decision",
    "Error",
    "Forbidden",
    "IntegrityError",
    "InterfaceError",
    "InternalError",
    "IsolationLevel",
    "NotSupportedError",
    "Notify",
    "OperationalError",
    "OutputColumn",
    "Pipeline",
    "Policy",
    "PolicyError",
    "Principal",
    "ProgrammingError",
    "RawCursor",
    "RawServerCursor",
    "Rollback",
    "ServerCursor",
    "Time",
    "TimeFromTicks",
    "Timestamp",
    "TimestampFromTicks",
    "TokenRejected",
    "Transaction",
    "Unreadable",
    "Wall",
    "Warning",
    "Withheld",
    "Xid",
    "__version__",
    "abc",
    "adapt",
    "adapters",
    "apilevel",
    "asking",
    "capabilities",
    "connect",
    "connection",
    "connection_async",
    "conninfo",
    "crdb",
    "cursor",
    "cursor_async",
    "errors",
    "paramstyle",
    "postgres",
    "pq",
    "rows",
    "sql",
    "threadsafety",
    "types",
]
