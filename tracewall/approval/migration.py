"""The schema of requests in PostgreSQL: tables that nobody reaches, functions that do one thing.

1. Tables are their owner's alone. Functions run as the owner, with a search path of their
   own, and are granted one by one.
2. Who asks may ask, look at one request, use and settle, and count; not list, nor decide.
3. Who decides may list, look and decide; not ask, nor use.
4. Whoever was there before gets nothing done as the owner: what is another's is not taken.
"""

from __future__ import annotations

from tracewall.sql.quoting import quoted

SCHEMA = "tracewall"
CHANNEL = "tracewall_approval"
VERSION = 2

_START = """
BEGIN;
-- Nothing here may mean an operator or a function of somebody else's.
SET LOCAL search_path = pg_catalog, pg_temp;
-- Whoever owns a table has what they like done by whoever writes to it.
DO $$ DECLARE own CONSTANT oid := (SELECT oid FROM pg_roles WHERE rolname = current_user);
BEGIN
    IF EXISTS (SELECT FROM pg_namespace n WHERE n.nspname = 'tracewall' AND (n.nspowner <> own
        OR EXISTS (SELECT FROM pg_class c WHERE c.relnamespace = n.oid AND c.relowner <> own)
        OR EXISTS (SELECT FROM pg_proc p WHERE p.pronamespace = n.oid AND p.proowner <> own)))
    THEN RAISE 'the schema tracewall, or something in it, is another role''s';
    END IF;
END $$;
"""
_TABLES = """
CREATE SCHEMA IF NOT EXISTS tracewall;
REVOKE ALL ON SCHEMA tracewall FROM PUBLIC;
CREATE TABLE IF NOT EXISTS tracewall.approval_version (version int NOT NULL);
CREATE TABLE IF NOT EXISTS tracewall.approval_request (
    id text PRIMARY KEY, act text NOT NULL, content bytea NOT NULL,
    asked_at timestamptz NOT NULL DEFAULT clock_timestamp(), expires_at float8 NOT NULL,
    state text NOT NULL DEFAULT 'open' CHECK (state IN ('open', 'used')),
    uses int NOT NULL DEFAULT 0, used_at float8 NOT NULL DEFAULT 0,
    outcome text NOT NULL DEFAULT '', review text NOT NULL DEFAULT '',
    asked_by text NOT NULL DEFAULT session_user);
CREATE INDEX IF NOT EXISTS approval_request_act ON tracewall.approval_request (act)
    WHERE state = 'open';
CREATE TABLE IF NOT EXISTS tracewall.approval_verdict (
    n bigint GENERATED ALWAYS AS IDENTITY, request text NOT NULL
    REFERENCES tracewall.approval_request, person text NOT NULL, kind text NOT NULL,
    note text NOT NULL, PRIMARY KEY (request, person, kind));
CREATE TABLE IF NOT EXISTS tracewall.approval_spent (
    who text NOT NULL, budget text NOT NULL, at float8 NOT NULL, rows bigint NOT NULL,
    bytes bigint NOT NULL);
ALTER TABLE tracewall.approval_request
    ADD COLUMN IF NOT EXISTS who text NOT NULL DEFAULT '',
    ADD COLUMN IF NOT EXISTS over_at float8 NOT NULL DEFAULT 0;
UPDATE tracewall.approval_request SET over_at = expires_at + 31622400 WHERE over_at = 0;
ALTER TABLE tracewall.approval_spent
    ADD COLUMN IF NOT EXISTS run text NOT NULL DEFAULT '',
    ADD COLUMN IF NOT EXISTS until float8 NOT NULL DEFAULT 0;
UPDATE tracewall.approval_spent SET until = at + 31622400 WHERE until = 0;
CREATE INDEX IF NOT EXISTS approval_request_by ON tracewall.approval_request (who, expires_at)
    WHERE state = 'open';
CREATE INDEX IF NOT EXISTS approval_request_over ON tracewall.approval_request (over_at);
CREATE INDEX IF NOT EXISTS approval_spent_by ON tracewall.approval_spent (who, budget, at);
CREATE INDEX IF NOT EXISTS approval_spent_until ON tracewall.approval_spent (until);
DROP FUNCTION IF EXISTS tracewall.approval_ask(text, text, bytea, float8, boolean, float8);
DROP FUNCTION IF EXISTS tracewall.approval_spend(
    text, text, float8, bigint, bigint, bigint, bigint, float8);
REVOKE ALL ON ALL TABLES IN SCHEMA tracewall FROM PUBLIC;
"""
_AS = "SECURITY DEFINER SET search_path = pg_catalog, pg_temp"
_KEPT = (
    "r.id, r.content, r.state, r.uses, r.used_at, r.outcome, r.review,"
    " coalesce((SELECT array_agg(v.note ORDER BY v.n) FROM tracewall.approval_verdict v"
    " WHERE v.request = r.id), '{}')"
)
_ROW = (
    "TABLE (id text, content bytea, state text, uses int, used_at float8, outcome text,"
    " review text, notes text[])"
)
_ENDED = (
    "EXISTS (SELECT FROM tracewall.approval_verdict v WHERE v.request = r.id"
    " AND v.kind IN ('deny', 'revoke'))"
)
_FUNCTIONS = f"""
CREATE OR REPLACE FUNCTION tracewall.approval_ask(
    _id text, _act text, _content bytea, _expires_at float8, _used boolean, _now float8,
    _who text, _most int, _over_at float8)
RETURNS boolean LANGUAGE plpgsql {_AS} AS $$
BEGIN
    IF _most > 0 THEN
        PERFORM pg_advisory_xact_lock(hashtextextended(_who, 7291));
        IF (SELECT count(*) FROM tracewall.approval_request r WHERE r.who = _who
                AND r.state = 'open' AND r.uses = 0 AND r.expires_at > _now AND NOT {_ENDED})
            >= _most THEN
            RETURN false;
        END IF;
    END IF;
    INSERT INTO tracewall.approval_request
        (id, act, content, expires_at, state, review, uses, used_at, who, over_at)
    SELECT _id, _act, _content, _expires_at,
        CASE WHEN _used THEN 'used' ELSE 'open' END, CASE WHEN _used THEN 'open' ELSE '' END,
        _used::int, CASE WHEN _used THEN _now ELSE 0 END, _who, _over_at;
    PERFORM pg_notify('{CHANNEL}', _id);
    RETURN true;
END $$;
CREATE OR REPLACE FUNCTION tracewall.approval_pending(_act text, _now float8)
RETURNS text LANGUAGE sql STABLE {_AS} AS $$
    SELECT r.id FROM tracewall.approval_request r WHERE r.act = _act AND r.state = 'open'
        AND r.uses = 0 AND r.expires_at > _now AND NOT {_ENDED}
    ORDER BY r.asked_at DESC LIMIT 1 $$;
CREATE OR REPLACE FUNCTION tracewall.approval_get(_id text)
RETURNS {_ROW} LANGUAGE sql STABLE {_AS} AS $$
    SELECT {_KEPT} FROM tracewall.approval_request r WHERE r.id = _id $$;
CREATE OR REPLACE FUNCTION tracewall.approval_list(_most int)
RETURNS {_ROW} LANGUAGE sql STABLE {_AS} AS $$
    SELECT {_KEPT} FROM tracewall.approval_request r
    ORDER BY (r.review = 'open' OR (r.state = 'open' AND NOT {_ENDED}
        AND r.over_at > extract(epoch FROM clock_timestamp()))) DESC, r.asked_at DESC, r.id
    LIMIT _most $$;
CREATE OR REPLACE FUNCTION tracewall.approval_use(_id text, _now float8, _once boolean)
RETURNS boolean LANGUAGE plpgsql {_AS} AS $$
DECLARE found_id text;
BEGIN
    PERFORM FROM tracewall.approval_request r WHERE r.id = _id FOR UPDATE;
    UPDATE tracewall.approval_request r SET uses = r.uses + 1, used_at = _now, outcome = '',
        state = CASE WHEN _once THEN 'used' ELSE r.state END
    WHERE r.id = _id AND r.state = 'open' AND NOT {_ENDED} RETURNING r.id INTO found_id;
    PERFORM pg_notify('{CHANNEL}', _id);
    RETURN found_id IS NOT NULL;
END $$;
CREATE OR REPLACE FUNCTION tracewall.approval_settle(_id text, _outcome text)
RETURNS void LANGUAGE sql {_AS} AS $$
    UPDATE tracewall.approval_request SET outcome = _outcome WHERE id = _id AND uses > 0 $$;
CREATE OR REPLACE FUNCTION tracewall.approval_decide(
    _id text, _person text, _kind text, _note text)
RETURNS boolean LANGUAGE plpgsql {_AS} AS $$
DECLARE wanted text := CASE WHEN _kind = 'review' THEN 'used' ELSE 'open' END; kept text;
BEGIN
    PERFORM FROM tracewall.approval_request r WHERE r.id = _id FOR UPDATE;
    INSERT INTO tracewall.approval_verdict (request, person, kind, note)
    SELECT r.id, _person, _kind, _note FROM tracewall.approval_request r
    WHERE r.id = _id AND r.state = wanted ON CONFLICT DO NOTHING RETURNING request INTO kept;
    IF kept IS NOT NULL AND _kind = 'review' THEN
        UPDATE tracewall.approval_request SET review = 'closed' WHERE id = _id;
    END IF;
    PERFORM pg_notify('{CHANNEL}', _id);
    RETURN kept IS NOT NULL;
END $$;
CREATE OR REPLACE FUNCTION tracewall.approval_spend(
    _who text, _budget text, _per float8, _rows bigint, _bytes bigint, _run text,
    _most_rows bigint, _most_bytes bigint, _most_runs bigint, _now float8)
RETURNS boolean LANGUAGE plpgsql {_AS} AS $$
DECLARE had_rows numeric; had_bytes numeric; had_runs bigint;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended(_who || chr(31) || _budget, 7290));
    DELETE FROM tracewall.approval_spent
        WHERE who = _who AND budget = _budget AND at <= _now - _per;
    SELECT coalesce(sum(rows), 0), coalesce(sum(bytes), 0),
        count(DISTINCT run) FILTER (WHERE run NOT IN ('', _run))
        INTO had_rows, had_bytes, had_runs
        FROM tracewall.approval_spent WHERE who = _who AND budget = _budget;
    IF NOT (_rows < 0 OR _bytes < 0) AND (
        (_most_rows > 0 AND had_rows + _rows > _most_rows)
        OR (_most_bytes > 0 AND had_bytes + _bytes > _most_bytes)
        OR (_most_runs > 0 AND had_runs + (_run <> '')::int > _most_runs)) THEN
        RETURN false;
    END IF;
    DELETE FROM tracewall.approval_spent WHERE who = _who AND budget = _budget
        AND _run <> '' AND run = _run AND rows = 0 AND bytes = 0;
    INSERT INTO tracewall.approval_spent (who, budget, at, rows, bytes, run, until)
        VALUES (_who, _budget, _now, _rows, _bytes, _run, _now + _per);
    RETURN true;
END $$;
CREATE OR REPLACE FUNCTION tracewall.approval_prune(_before float8, _now float8, _most int)
RETURNS int LANGUAGE plpgsql {_AS} AS $$
DECLARE latest float8 := least(_before, extract(epoch FROM clock_timestamp()) - 86400);
    doomed text[];
BEGIN
    SELECT array_agg(o.id) INTO doomed FROM (
        SELECT r.id FROM tracewall.approval_request r
        WHERE r.over_at < latest AND r.used_at < latest AND r.review <> 'open'
        ORDER BY r.over_at LIMIT _most FOR UPDATE SKIP LOCKED) o;
    DELETE FROM tracewall.approval_verdict v WHERE v.request = ANY (doomed);
    DELETE FROM tracewall.approval_request r WHERE r.id = ANY (doomed);
    DELETE FROM tracewall.approval_spent s WHERE s.ctid = ANY (ARRAY(
        SELECT p.ctid FROM tracewall.approval_spent p
        WHERE p.until <= least(_now, extract(epoch FROM clock_timestamp())) LIMIT _most));
    RETURN coalesce(cardinality(doomed), 0);
END $$;
REVOKE ALL ON ALL FUNCTIONS IN SCHEMA tracewall FROM PUBLIC;
DELETE FROM tracewall.approval_version;
INSERT INTO tracewall.approval_version VALUES ({VERSION});
"""  # noqa: S608 (made of the constants here)
ASKING = (
    "approval_ask(text, text, bytea, float8, boolean, float8, text, int, float8)",
    "approval_pending(text, float8)",
    "approval_get(text)",
    "approval_use(text, float8, boolean)",
    "approval_settle(text, text)",
    "approval_spend(text, text, float8, bigint, bigint, text, bigint, bigint, bigint, float8)",
    "approval_prune(float8, float8, int)",
)
"""The functions that walls call, with the types of their arguments."""
_DECIDING = (
    "approval_get(text)",
    "approval_list(int)",
    "approval_decide(text, text, text, text)",
    "approval_prune(float8, float8, int)",
)


def migration(asking: str, deciding: str = "") -> str:
    """Give the SQL that makes the schema, to be run once by its owner; running it again is safe.

    Args:
        asking: the role that walls log in as to the store.
        deciding: the role of the approvers' tools; empty: the owner's alone.
    """
    grants = [f"GRANT USAGE ON SCHEMA tracewall TO {quoted(asking)};"]
    grants += [f"GRANT EXECUTE ON FUNCTION tracewall.{f} TO {quoted(asking)};" for f in ASKING]
    if deciding:
        to = quoted(deciding)
        grants.append(f"GRANT USAGE ON SCHEMA tracewall TO {to};")
        grants += [f"GRANT EXECUTE ON FUNCTION tracewall.{f} TO {to};" for f in _DECIDING]
    parts = (_START.strip(), _TABLES.strip(), _FUNCTIONS.strip(), *grants, "COMMIT;", "")
    return "\n".join(parts)
