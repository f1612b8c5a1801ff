"""The SQL that makes a place for the log in a database: its tables, and the only ways to them."""

from __future__ import annotations

from tracewall.audit.record import FIRST_PREV, LONGEST
from tracewall.sql.quoting import literal, quoted

_TEMPLATE = r"""
-- Run this as a role that the service does not log in as; it owns the log then. Run again by its
-- owner, it brings a log that an earlier version has made up to date, and changes no record.
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
        -- Whoever made it could change the record as they like.
        RAISE 'the schema, or something in it, is another role''s: run this as its owner, or '
            'choose another schema' USING ERRCODE = '42501';
    END IF;
END $body$;
CREATE SCHEMA IF NOT EXISTS {schema};
REVOKE ALL ON SCHEMA {schema} FROM PUBLIC;
CREATE TABLE IF NOT EXISTS {schema}.heads (
    writer text PRIMARY KEY, role name NOT NULL, n bigint NOT NULL, sha256 text NOT NULL,
    closed boolean NOT NULL DEFAULT false,
    received timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp());
CREATE TABLE IF NOT EXISTS {schema}.records (
    writer text NOT NULL REFERENCES {schema}.heads, n bigint NOT NULL, line text NOT NULL,
    received timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(), PRIMARY KEY (writer, n));
-- Of an erasable record: whose pseudonym is whose, and the salts of their commitments.
CREATE TABLE IF NOT EXISTS {schema}.people (
    issuer text NOT NULL, subject text NOT NULL, pseudonym text NOT NULL UNIQUE,
    salt bytea NOT NULL, PRIMARY KEY (issuer, subject));
REVOKE ALL ON ALL TABLES IN SCHEMA {schema} FROM PUBLIC;
-- What earlier versions did not have.
ALTER TABLE {schema}.heads ADD COLUMN IF NOT EXISTS closed boolean NOT NULL DEFAULT false,
    ADD COLUMN IF NOT EXISTS received timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp();
UPDATE {schema}.heads h SET closed = true FROM {schema}.records r
    WHERE NOT h.closed AND r.writer = h.writer AND r.n = h.n
        AND strpos(r.line, '"kind":"closed","crc":"') > 0;

-- The one way to add records: each must follow from the one before it.
CREATE OR REPLACE FUNCTION {schema}.append(of_writer text, first bigint, lines text[])
RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $body$
DECLARE
    head {schema}.heads;
    at bigint := first;
    said text;
BEGIN
    IF of_writer !~ '^[0-9TZ.]+-[0-9]+-[0-9a-f]+$' THEN
        -- Readers make a file of it.
        RAISE 'no writer is called so' USING ERRCODE = '23514';
    END IF;
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
            IF head.closed OR length(said) > {longest} OR strpos(said, E'\n') > 0
                OR NOT starts_with(
                    said, format('{{"n":%s,"prev":"%s",', head.n + 1, head.sha256)) THEN
                RAISE 'the record does not follow from the one before it' USING ERRCODE = '23514';
            END IF;
            head.n := head.n + 1;
            head.sha256 := encode(sha256(convert_to(said, 'UTF8')), 'hex');
            -- Quotes are escaped in texts, so that none of them can look like this.
            head.closed := strpos(said, '"kind":"closed","crc":"') > 0;
            INSERT INTO {schema}.records (writer, n, line) VALUES (of_writer, head.n, said);
        END IF;
        at := at + 1;
    END LOOP;
    UPDATE {schema}.heads
        SET n = head.n, sha256 = head.sha256, closed = head.closed, received = clock_timestamp()
        WHERE writer = of_writer;
    RETURN head.n;
END $body$;

-- Shows, for as long as the connection lasts, that a chain's process is alive.
CREATE OR REPLACE FUNCTION {schema}.hold(of_writer text) RETURNS boolean
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $body$
    SELECT pg_try_advisory_lock(hashtextextended('tracewall audit ' || of_writer, 0))
$body$;

-- The caller's own chains that were not closed and that no process holds, with the numbers of
-- their intents that have no outcome, in the chain or in a later one of the same process.
CREATE OR REPLACE FUNCTION {schema}.abandoned(own text, silent float8)
RETURNS TABLE (writer text, n bigint, sha256 text, open_intents bigint[])
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $body$
DECLARE
    head {schema}.heads;
    start CONSTANT text := '^\{{"n":\d+,"prev":"[0-9a-f]+","at":[-+.0-9e]+,"kind":';
    ends CONSTANT text := start || '"outcome","intent":(\d{{1,18}}),(?:"of":"([^"]*)",)?';
BEGIN
    FOR head IN
        SELECT h.* FROM {schema}.heads h
        WHERE h.role = session_user AND NOT h.closed AND h.n >= 0 AND h.writer <> own
            AND h.received < clock_timestamp() - make_interval(secs => silent)
        ORDER BY h.writer
    LOOP
        CONTINUE WHEN NOT pg_try_advisory_xact_lock(
            hashtextextended('tracewall audit ' || head.writer, 0));
        writer := head.writer;
        n := head.n;
        sha256 := head.sha256;
        open_intents := ARRAY(
            SELECT r.n FROM {schema}.records r
                WHERE r.writer = head.writer AND r.line ~ (start || '"intent",')
            EXCEPT
            SELECT m[1]::bigint FROM {schema}.records r, regexp_match(r.line, ends) m
                WHERE r.writer = head.writer AND m IS NOT NULL AND m[2] IS NULL
            EXCEPT
            SELECT m[1]::bigint FROM {schema}.records r, regexp_match(r.line, ends) m
                WHERE r.writer <> head.writer AND m[2] = head.writer
                    AND split_part(r.writer, '-', 2) = split_part(head.writer, '-', 2)
            ORDER BY 1);
        RETURN NEXT;
    END LOOP;
END $body$;

-- The one way to people: by their full name, which draws a pseudonym and a salt the first time.
CREATE OR REPLACE FUNCTION {schema}.person(of_issuer text, of_subject text)
RETURNS TABLE (pseudonym text, salt bytea)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $body$
BEGIN
    RETURN QUERY SELECT p.pseudonym, p.salt FROM {schema}.people p
        WHERE p.issuer = of_issuer AND p.subject = of_subject;
    IF NOT FOUND THEN
        -- A random UUID has 122 bits of the server's strong randomness.
        INSERT INTO {schema}.people VALUES (
            of_issuer, of_subject,
            'p-' || encode(substr(sha256(uuid_send(gen_random_uuid())), 1, 8), 'hex'),
            sha256(uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid())
                || uuid_send(gen_random_uuid()))) ON CONFLICT DO NOTHING;
        RETURN QUERY SELECT p.pseudonym, p.salt FROM {schema}.people p
            WHERE p.issuer = of_issuer AND p.subject = of_subject;
    END IF;
END $body$;

REVOKE ALL ON FUNCTION {schema}.append(text, bigint, text[]) FROM PUBLIC;
REVOKE ALL ON FUNCTION {schema}.hold(text) FROM PUBLIC;
REVOKE ALL ON FUNCTION {schema}.abandoned(text, float8) FROM PUBLIC;
REVOKE ALL ON FUNCTION {schema}.person(text, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION {schema}.person(text, text) TO {writer};
GRANT USAGE ON SCHEMA {schema} TO {roles};
GRANT EXECUTE ON FUNCTION {schema}.append(text, bigint, text[]) TO {roles};
GRANT EXECUTE ON FUNCTION {schema}.hold(text) TO {roles};
GRANT EXECUTE ON FUNCTION {schema}.abandoned(text, float8) TO {roles};
{readers}COMMIT;
"""

FUNCTIONS = ("append(text, bigint, text[])", "hold(text)", "abandoned(text, float8)")
"""The functions that the log calls, with the types of their arguments."""

PERSON = "person(text, text)"
"""The one that an erasable record calls besides."""

_READERS = """\
GRANT SELECT ON {schema}.records, {schema}.heads TO {reader};
"""
_NAMES = """\
GRANT USAGE ON SCHEMA {schema} TO {names};
GRANT SELECT ON {schema}.people TO {names};
"""


def migration(writer: str, schema: str, reader: str = "", names: str = "") -> str:
    """Give the SQL that makes a schema with a log which a role may append to, or renews it.

    Args:
        writer: the role that the log logs in as; it may do nothing else there.
        schema: the schema's name.
        reader: a role that may read the log, and append to chains of its own, in which
            its reading is recorded; empty: none but the owner.
        names: a role that may read whose pseudonym is whose, and salts; empty: none but
            the owner.
    """
    said = {"schema": quoted(schema), "reader": quoted(reader), "names": quoted(names)}
    return _TEMPLATE.lstrip().format(
        **said,
        name=literal(schema),
        writer=quoted(writer),
        roles=", ".join(quoted(role) for role in (writer, reader) if role),
        first_prev=FIRST_PREV.decode(),
        longest=LONGEST,
        readers=(_READERS.format(**said) if reader else "")
        + (_NAMES.format(**said) if names else ""),
    )
