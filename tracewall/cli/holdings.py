"""What a live server says of privileges: who holds which, and what relations stand on."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from tracewall.cli.live import Server
from tracewall.policy.needs import Surroundings
from tracewall.policy.privileges import Kind, Privilege, Thing

# Schemas of PostgreSQL's own: what PUBLIC holds in them is as it was delivered.
_OURS = "NOT IN ('pg_catalog', 'information_schema', 'pg_toast')"
_ARGUMENTS = """(SELECT coalesce(pg_catalog.json_agg(pg_catalog.json_build_array(
        n.nspname, t.typname) ORDER BY a.at), '[]')
    FROM pg_catalog.unnest(p.proargtypes::oid[]) WITH ORDINALITY AS a (oid, at)
    JOIN pg_catalog.pg_type t ON t.oid = a.oid
    JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace)"""
_BENEATH = """
    SELECT v.oid::int8 AS view, d.refobjid::int8 AS oid, d.refobjsubid AS attnum
    FROM pg_catalog.pg_class v
    JOIN pg_catalog.pg_rewrite r ON r.ev_class = v.oid
    JOIN pg_catalog.pg_depend d ON d.classid = 'pg_catalog.pg_rewrite'::pg_catalog.regclass::oid
        AND d.objid = r.oid AND d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass::oid
    WHERE v.relkind = 'v' AND d.refobjid <> v.oid
    AND EXISTS (SELECT FROM pg_catalog.pg_options_to_table(v.reloptions) o
        WHERE o.option_name = 'security_invoker' AND o.option_value::bool)"""
_SEQUENCES = """
    SELECT DISTINCT f.adrelid::int8 AS relation, s.relname::text AS name, n.nspname::text AS schema
    FROM pg_catalog.pg_attrdef f
    JOIN pg_catalog.pg_depend d ON d.classid = 'pg_catalog.pg_attrdef'::pg_catalog.regclass::oid
        AND d.objid = f.oid AND d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass::oid
    JOIN pg_catalog.pg_class s ON s.oid = d.refobjid AND s.relkind = 'S'
    JOIN pg_catalog.pg_namespace n ON n.oid = s.relnamespace"""
_CALLED = f"""
    WITH part (relation, class, oid) AS (
        SELECT adrelid, 'pg_catalog.pg_attrdef'::pg_catalog.regclass::oid, oid
            FROM pg_catalog.pg_attrdef
        UNION ALL SELECT conrelid, 'pg_catalog.pg_constraint'::pg_catalog.regclass::oid, oid
            FROM pg_catalog.pg_constraint WHERE contype = 'c'
        UNION ALL SELECT indrelid, 'pg_catalog.pg_class'::pg_catalog.regclass::oid, indexrelid
            FROM pg_catalog.pg_index
        UNION ALL SELECT ev_class, 'pg_catalog.pg_rewrite'::pg_catalog.regclass::oid, oid
            FROM pg_catalog.pg_rewrite)
    SELECT DISTINCT part.relation::int8 AS relation, s.nspname::text AS schema,
        p.proname::text AS name, {_ARGUMENTS}::text AS arguments
    FROM part
    JOIN pg_catalog.pg_depend d ON d.classid = part.class AND d.objid = part.oid
        AND d.refclassid = 'pg_catalog.pg_proc'::pg_catalog.regclass::oid
    JOIN pg_catalog.pg_proc p ON p.oid = d.refobjid
    JOIN pg_catalog.pg_namespace s ON s.oid = p.pronamespace WHERE s.nspname {_OURS}"""  # noqa: S608  # made of the constants here
_ROUTINES = f"""
    SELECT s.nspname::text AS schema, p.proname::text AS name, {_ARGUMENTS}::text AS arguments
    FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_namespace s ON s.oid = p.pronamespace
    WHERE s.nspname {_OURS}"""  # noqa: S608  # made of the constants here
# Each kind of thing with its access control list, and the letter that acldefault() knows it by.
_THINGS = f"""
    SELECT 'DATABASE' AS kind, '' AS schema, datname::text AS name, '[]' AS arguments,
        '' AS "column", datacl AS acl, datdba AS owner, 'd' AS letter, false AS definer
    FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database()
    UNION ALL SELECT 'SCHEMA', '', nspname::text, '[]', '', nspacl, nspowner, 'n', false
    FROM pg_catalog.pg_namespace WHERE nspname {_OURS}
    UNION ALL SELECT CASE c.relkind WHEN 'S' THEN 'SEQUENCE' ELSE 'TABLE' END, n.nspname::text,
        c.relname::text, '[]', '', c.relacl, c.relowner,
        CASE c.relkind WHEN 'S' THEN 's' ELSE 'r' END, false
    FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S') AND n.nspname {_OURS}
    UNION ALL SELECT 'TABLE', n.nspname::text, c.relname::text, '[]', a.attname::text, a.attacl,
        c.relowner, 'c', false
    FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_class c ON c.oid = a.attrelid
    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE a.attacl IS NOT NULL AND NOT a.attisdropped AND n.nspname {_OURS}
    UNION ALL SELECT 'ROUTINE', s.nspname::text, p.proname::text, {_ARGUMENTS}::text, '',
        p.proacl, p.proowner, 'f', p.prosecdef
    FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_namespace s ON s.oid = p.pronamespace
    WHERE s.nspname {_OURS}
    UNION ALL SELECT 'FOREIGN SERVER', '', srvname::text, '[]', '', srvacl, srvowner, 'S', false
    FROM pg_catalog.pg_foreign_server
    UNION ALL SELECT 'FOREIGN DATA WRAPPER', '', fdwname::text, '[]', '', fdwacl, fdwowner, 'F',
        false FROM pg_catalog.pg_foreign_data_wrapper
    UNION ALL SELECT 'LANGUAGE', '', lanname::text, '[]', '', lanacl, lanowner, 'l', false
    FROM pg_catalog.pg_language WHERE oid >= 16384::oid"""  # noqa: S608  # made of the constants here
_HELD = f"""
    SELECT t.kind, t.schema, t.name, t.arguments, t."column", g.privilege_type AS right,
        g.grantee = 0::oid AS public, t.definer
    FROM ({_THINGS}) AS t
    CROSS JOIN pg_catalog.aclexplode(coalesce(t.acl, CASE WHEN t."column" = ''
        THEN pg_catalog.acldefault(t.letter::"char", t.owner) END)) AS g
    LEFT JOIN pg_catalog.pg_roles r ON r.rolname::text = %(role)s
    WHERE g.grantee = 0::oid OR (g.grantee = r.oid AND t.owner <> r.oid)"""  # noqa: S608  # made of the constants here


@dataclass(frozen=True, slots=True)
class Holdings:
    """What a role holds itself (``own``), and by being anybody (``public``).

    ``definers`` are the routines anybody may call that run with their owner's rights.
    """

    own: frozenset[Privilege]
    public: frozenset[Privilege]
    definers: frozenset[Thing]


def surroundings(server: Server) -> Surroundings:
    """Ask what relations stand on. Raises psycopg.Error."""
    beneath: dict[int, set[tuple[int, int]]] = {}
    for row in server.ask(_BENEATH):
        beneath.setdefault(row["view"], set()).add((row["oid"], row["attnum"]))
    return Surroundings(
        server.version,
        {view: frozenset(used) for view, used in beneath.items()},
        _by_relation(("SEQUENCE", row) for row in server.ask(_SEQUENCES)),
        _by_relation(("ROUTINE", row) for row in server.ask(_CALLED)),
        frozenset(_thing("ROUTINE", row) for row in server.ask(_ROUTINES)),
    )


def holdings(server: Server, role: str) -> Holdings:
    """Ask what a role holds, besides what is its own. Raises psycopg.Error."""
    rows = server.ask(_HELD, role=role)
    held = [(row, Privilege(_thing(row["kind"], row), row["right"], row["column"])) for row in rows]
    return Holdings(
        frozenset(each for row, each in held if not row["public"]),
        frozenset(each for row, each in held if row["public"]),
        frozenset(each.thing for row, each in held if row["public"] and row["definer"]),
    )


def _by_relation(rows: Iterable[tuple[Kind, dict[str, Any]]]) -> dict[int, frozenset[Thing]]:
    found: dict[int, set[Thing]] = {}
    for kind, row in rows:
        found.setdefault(row["relation"], set()).add(_thing(kind, row))
    return {relation: frozenset(things) for relation, things in found.items()}


def _thing(kind: Kind, row: dict[str, Any]) -> Thing:
    arguments = json.loads(row.get("arguments") or "[]")
    return Thing(kind, row["name"], row["schema"], tuple((s, t) for s, t in arguments))
