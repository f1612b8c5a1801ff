"""The SQL that makes a place for the log in a database: a table, and the one way into it."""

from __future__ import annotations

from tracewall.audit.record import FIRST_PREV, LONGEST

_TEMPLATE = """\
-- Run this as a role that the service does not log in as; it owns the log then.
BEGIN;
CREATE SCHEMA {schema};
REVOKE ALL ON SCHEMA {schema} FROM PUBLIC;
CREATE TABLE {schema}.heads (
    writer text PRIMARY KEY, role name NOT NULL, n bigint NOT NULL, sha256 text NOT NULL);
CREATE TABLE {schema}.records (
    writer text NOT NULL REFERENCES {schema}.heads, n bigint NOT NULL, line text NOT NULL,
    received timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(), PRIMARY KEY (writer, n));
REVOKE ALL ON ALL TABLES IN SCHEMA {schema} FROM PUBLIC;

CREATE FUNCTION {schema}.append(of_writer text, first bigint, lines text[]) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $body$
DECLARE
    head {schema}.heads;
    at bigint := first;
    said text;
BEGIN
    IF first = 0 THEN
        INSERT INTO {schema}.heads VALUES (of_writer, session_user, -1, '{first_prev}')
        ON CONFLICT DO NOTHING;
    END IF;
    SELECT * INTO head FROM {schema}.heads WHERE writer = of_writer FOR UPDATE;
    IF head.role IS DISTINCT FROM session_user THEN
        RAISE 'the log is not the caller''s' USING ERRCODE = '42501';
    END IF;
    FOREACH said IN ARRAY lines LOOP
        IF at <= head.n THEN
            -- A call that was broken off is repeated: what is here must be the same.
            PERFORM FROM {schema}.records r
                WHERE r.writer = of_writer AND r.n = at AND r.line = said;
            IF NOT FOUND THEN
                RAISE 'the record is here already, and another one' USING ERRCODE = '23505';
            END IF;
        ELSE
            IF length(said) > {longest} OR strpos(said, E'\\n') > 0
                OR NOT starts_with(
                    said, format('{{"n":%s,"prev":"%s",', head.n + 1, head.sha256)) THEN
                RAISE 'the record does not follow from the one before it' USING ERRCODE = '23514';
            END IF;
            head.n := head.n + 1;
            head.sha256 := encode(sha256(convert_to(said, 'UTF8')), 'hex');
            INSERT INTO {schema}.records (writer, n, line) VALUES (of_writer, head.n, said);
        END IF;
        at := at + 1;
    END LOOP;
    UPDATE {schema}.heads SET n = head.n, sha256 = head.sha256 WHERE writer = of_writer;
    RETURN head.n;
END $body$;
REVOKE ALL ON FUNCTION {schema}.append(text, bigint, text[]) FROM PUBLIC;
GRANT USAGE ON SCHEMA {schema} TO {writer};
GRANT EXECUTE ON FUNCTION {schema}.append(text, bigint, text[]) TO {writer};
COMMIT;
"""


def migration(writer: str, schema: str) -> str:
    """Give the SQL that makes a schema with a log which a role may append to.

    Args:
        writer: the role that the log logs in as; it may do nothing else there.
        schema: the schema's name.
    """
    return _TEMPLATE.format(
        schema=_quoted(schema),
        writer=_quoted(writer),
        first_prev=FIRST_PREV.decode(),
        longest=LONGEST,
    )


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
