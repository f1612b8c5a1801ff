"""The sample trace store: its schema, and the one login role that may use it."""

from __future__ import annotations

from contextlib import suppress
from importlib import resources

import psycopg
from psycopg import errors, sql

_MARK = "tracewall: sample trace store"
_NAME_BYTES = 63
_ROLE_POWERS = """
    SELECT rolsuper OR rolcreaterole OR rolcreatedb OR rolreplication OR rolbypassrls
        OR EXISTS (SELECT FROM pg_auth_members WHERE member = r.oid)
        OR EXISTS (
            SELECT FROM pg_shdepend
            WHERE refclassid = 'pg_authid'::regclass AND refobjid = r.oid AND deptype = 'o'
        )
    FROM pg_roles AS r WHERE rolname = %s
"""


def create_store(admin_conninfo: str, *, password: str, role: str = "trace_service") -> None:
    """Create the schema `traces` and a login role that may read and write its rows.

    The role gets SELECT, INSERT, UPDATE and DELETE on the four tables and nothing else.
    It is made if need be; one that is there gets the new password, but only if it is a
    plain login role. All of it happens or nothing does.

    Raises ValueError for an empty password or role, a role name that PostgreSQL would cut
    off, and a role with powers of its own; psycopg.errors.DuplicateSchema when there is
    a schema `traces` already.
    """
    if not password:
        raise ValueError("the role of the trace store needs a password")
    if not 0 < len(role.encode()) <= _NAME_BYTES:
        raise ValueError(f"a role name has 1 to {_NAME_BYTES} bytes")
    with psycopg.connect(admin_conninfo) as conn:
        conn.execute(resources.files(__package__).joinpath("store.sql").read_bytes())
        _login_role(conn, role, password)
        _grant(conn, role)


def drop_store(admin_conninfo: str, *, role: str = "trace_service") -> None:
    """Drop the schema `traces` with all its rows, and the role; missing ones are no error.

    A role that another database still depends on stays there, without rights here.
    Raises ValueError for a schema `traces` that `create_store` did not make.
    """
    with psycopg.connect(admin_conninfo) as conn:
        marks = conn.execute(
            "SELECT obj_description(oid, 'pg_namespace') FROM pg_namespace WHERE nspname = 'traces'"
        ).fetchall()
        if marks not in ([], [(_MARK,)]):
            raise ValueError("the schema traces is not a sample trace store: it stays")
        conn.execute("DROP SCHEMA IF EXISTS traces CASCADE")
        _drop_role(conn, role)


def _is_plain(conn: psycopg.Connection, role: str) -> bool:
    """Tell whether there is such a role; one with powers of its own is refused."""
    found = conn.execute(_ROLE_POWERS, [role]).fetchone()
    if found is not None and found[0]:
        raise ValueError(f'the role "{role}" has powers of its own: it is not a trace store\'s')
    return found is not None


def _login_role(conn: psycopg.Connection, role: str, password: str) -> None:
    if not _is_plain(conn, role):
        conn.execute(sql.SQL("CREATE ROLE {}").format(sql.Identifier(role)))
    # Only the verifier is sent, so that no server log can show the password.
    verifier = conn.pgconn.encrypt_password(password.encode(), role.encode(), b"scram-sha-256")
    conn.execute(
        sql.SQL("ALTER ROLE {} LOGIN PASSWORD {}").format(
            sql.Identifier(role), sql.Literal(verifier.decode())
        )
    )


def _grant(conn: psycopg.Connection, role: str) -> None:
    name = sql.Identifier(role)
    conn.execute(sql.SQL("GRANT USAGE ON SCHEMA traces TO {}").format(name))
    conn.execute(
        sql.SQL(
            "GRANT SELECT, INSERT, UPDATE, DELETE"
            " ON traces.runs, traces.steps, traces.messages, traces.tool_calls TO {}"
        ).format(name)
    )


def _drop_role(conn: psycopg.Connection, role: str) -> None:
    if not _is_plain(conn, role):
        return
    with suppress(errors.DependentObjectsStillExist), conn.transaction():
        conn.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(role)))
