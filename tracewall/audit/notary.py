"""The second place for checkpoints in PostgreSQL: a table that the service may only add to."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from tracewall.audit.server import Server
from tracewall.sql.quoting import literal, quoted

SCHEMA: Final = "tracewall_anchor"
FUNCTION: Final = "keep(text)"
"""The function that the anchor calls, with the types of its arguments."""

_TIMEOUT: Final = 5.0
_LONGEST: Final = 10_000

_TEMPLATE = """\
-- Run this as a role that the service does not log in as; it owns the checkpoints then. Best on a
-- server that whoever owns the record can't get at. May be run again by its owner.
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL client_min_messages = warning;
DO $body$ DECLARE
    place CONSTANT oid := (SELECT oid FROM pg_namespace WHERE nspname = {name});
    own CONSTANT oid := (SELECT oid FROM pg_roles WHERE rolname = current_user);
BEGIN
    IF EXISTS (SELECT FROM pg_namespace WHERE oid = place AND nspowner <> own)
        OR EXISTS (SELECT FROM pg_class WHERE relnamespace = place AND relowner <> own)
        OR EXISTS (SELECT FROM pg_proc WHERE pronamespace = place AND proowner <> own) THEN
        RAISE 'the schema, or something in it, is another role''s: run this as its owner, or '
            'choose another schema' USING ERRCODE = '42501';
    END IF;
END $body$;
CREATE SCHEMA IF NOT EXISTS {schema};
REVOKE ALL ON SCHEMA {schema} FROM PUBLIC;
CREATE TABLE IF NOT EXISTS {schema}.notes (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, role name NOT NULL, note text NOT NULL,
    received timestamptz NOT NULL DEFAULT clock_timestamp());
REVOKE ALL ON ALL TABLES IN SCHEMA {schema} FROM PUBLIC;
CREATE OR REPLACE FUNCTION {schema}.keep(of_note text) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $body$
DECLARE
    kept bigint;
BEGIN
    IF NOT starts_with(of_note, 'tracewall.audit/') OR length(of_note) > {longest} THEN
        RAISE 'this is no checkpoint' USING ERRCODE = '23514';
    END IF;
    INSERT INTO {schema}.notes (role, note) VALUES (session_user, of_note)
        RETURNING id INTO kept;
    RETURN kept;
END $body$;
REVOKE ALL ON FUNCTION {schema}.keep(text) FROM PUBLIC;
GRANT USAGE ON SCHEMA {schema} TO {writer};
GRANT EXECUTE ON FUNCTION {schema}.keep(text) TO {writer};
{readers}COMMIT;
"""
_READERS = """\
GRANT USAGE ON SCHEMA {schema} TO {reader};
GRANT SELECT ON {schema}.notes TO {reader};
"""


def migration(writer: str, schema: str = SCHEMA, reader: str = "") -> str:
    """Give the SQL that makes a schema for checkpoints which a role may add to.

    Args:
        writer: the role that the service logs in as there; it may do nothing else.
        schema: the schema's name.
        reader: a role that may read them; empty: none but the owner.
    """
    said = {"schema": quoted(schema), "reader": quoted(reader), "writer": quoted(writer)}
    readers = _READERS.format(**said) if reader else ""
    return _TEMPLATE.format(**said, name=literal(schema), longest=_LONGEST, readers=readers)


class PostgresAnchor:
    """Adds notes to a table of a database, over a connection for each.

    Args:
        conninfo: a libpq connection string of the role that the migration names
            (``tracewall audit migration --anchor``).
        schema: the migration's schema.
        password: gives the role's password at each log-in.
        timeout: how long (seconds) the server may take to log in, and to keep a note.
    """

    def __init__(
        self,
        conninfo: str,
        *,
        schema: str = SCHEMA,
        password: Callable[[], str] | None = None,
        timeout: float = _TIMEOUT,
    ) -> None:
        self._where = conninfo, schema, password, timeout

    def __call__(self, note: str) -> None:
        """Add a note, and wait until the server has committed it; raises OSError."""
        server = Server(*self._where)
        try:
            server.keep(note)
        finally:
            server.close()
