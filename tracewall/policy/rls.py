"""The migration that makes a server hold a policy's row filters: SQL for its owner to run.

It is one transaction, may be run again at any time, and does nothing that it does not say.
"""

from __future__ import annotations

from collections.abc import Iterator

from tracewall.policy.model import Policy
from tracewall.policy.rows import (
    COMMANDS,
    PREFIX,
    Expected,
    expected,
    is_filtered,
    others_name,
)
from tracewall.sql.catalog import Catalog, Relation
from tracewall.sql.quoting import comment, done, literal, quoted, verbatim
from tracewall.sql.rowfilter import PRINCIPAL

_NOTE = """\
DECLARE found record;
BEGIN
    -- What each policy is, word for word: the wall refuses one that was changed since.
    FOR found IN SELECT p.*, c.oid::regclass AS place
        FROM pg_policy p JOIN pg_class c ON c.oid = p.polrelid
        WHERE c.oid IN ({tables}) AND p.polname LIKE {pattern} ESCAPE '!'
    LOOP
        EXECUTE format('COMMENT ON POLICY %I ON %s IS %L', found.polname, found.place,
            'tracewall ' || md5(concat_ws('|', found.polcmd, found.polpermissive,
                found.polroles::text, found.polqual::text, found.polwithcheck::text))
            || ' made by tracewall rls; do not change it by hand');
    END LOOP;
END"""


# A policy that the wall's role falls under, too, would keep the server from using an index.
_OTHERS = """\
DECLARE others text;
BEGIN
    SELECT string_agg(DISTINCT CASE a.grantee WHEN 0 THEN 'PUBLIC'
            ELSE quote_ident(pg_get_userbyid(a.grantee)) END, ', ') INTO others
        FROM (SELECT c.relowner AS grantee FROM pg_class c WHERE c.oid = {table}::regclass
            UNION SELECT (aclexplode(c.relacl)).grantee FROM pg_class c
                WHERE c.oid = {table}::regclass
            UNION SELECT (aclexplode(t.attacl)).grantee FROM pg_attribute t
                WHERE t.attrelid = {table}::regclass
            UNION SELECT r.oid FROM pg_roles r
                WHERE r.rolname IN ('pg_read_all_data', 'pg_write_all_data')) AS a
        WHERE a.grantee = 0 OR NOT pg_has_role({role}, a.grantee, 'USAGE');
    IF others IS NOT NULL THEN
        EXECUTE format('CREATE POLICY %I ON %s FOR ALL TO %s USING (current_user <> %L)'
            ' WITH CHECK (current_user <> %L)', {policy}, {table}, others, {role}, {role});
    END IF;
END"""


def migration(policy: Policy, catalog: Catalog, role: str, *, others: bool = True) -> str:
    """Write the migration for a database; empty where nothing is filtered and nothing was.

    Args:
        policy: whose row filters the server shall hold.
        catalog: what the database has.
        role: the role that the wall logs in as.
        others: whether every other role goes on to see and write what it does now; else
            they get no rows, but by policies of your own.
    """
    tables = sorted(catalog.relations.values(), key=lambda relation: relation.qualified)
    filtered = [table for table in tables if is_filtered(policy, table)]
    former = [
        table
        for table in tables
        if table not in filtered and any(_ours(name) for name in _policies(catalog, table))
    ]
    if not filtered and not former:
        return ""
    parts = [_head(policy, role), "BEGIN;", "SET LOCAL search_path = pg_catalog;"]
    parts += [_undone(table, catalog) for table in former]
    parts += ["\n".join(_table(policy, catalog, table, role, others)) for table in filtered]
    if filtered:
        names = ", ".join(f"{literal(_named(table))}::regclass" for table in filtered)
        pattern = literal(PREFIX.replace("_", "!_") + "%")
        parts.append(done(_NOTE.format(tables=names, pattern=pattern)))
    return "\n\n".join([*parts, "COMMIT;\n"])


def _head(policy: Policy, role: str) -> str:
    return "\n".join(
        (
            f"-- Row-level security for the role {comment(role)}, by the row filters of the",
            f"-- policy {comment(policy.name) or 'without a name'} ({policy.hash[:12]}).",
            "-- Run it as the owner of the tables, or as a superuser. Restoring a dump changes",
            "-- what the server keeps of a policy: run it again after that.",
        )
    )


def _table(
    policy: Policy, catalog: Catalog, table: Relation, role: str, others: bool
) -> Iterator[str]:
    name = _spelled(table)
    yield f"-- {comment(table.qualified)}"
    yield f"ALTER TABLE {name} ENABLE ROW LEVEL SECURITY;"
    yield f"ALTER TABLE {name} FORCE ROW LEVEL SECURITY;"
    wanted = list(expected(policy, table))
    old = {n for n in _policies(catalog, table) if _ours(n)}
    named = {one.name for one in wanted} | {others_name(role)}
    for policy_name in sorted(old | named):
        yield f"DROP POLICY IF EXISTS {quoted(policy_name)} ON {name};"
    for one in wanted:
        yield _created(one, name, role)
    if others:
        yield "-- Whoever else has rights on it goes on to see and write what they do now."
        filled = {"table": _named(table), "role": role, "policy": others_name(role)}
        yield done(_OTHERS.format(**{each: literal(text) for each, text in filled.items()}))


def _created(one: Expected, table: str, role: str) -> str:
    command, using, check = COMMANDS[one.action]
    granted = f"(SELECT {PRINCIPAL} -> 'grants' ? {literal(one.grant.name)})"
    condition = f"({granted} AND {one.grant.rows.sql})" if one.grant.rows else granted
    lines = [
        f"-- {one.action}, by the grant {comment(one.grant.name)}",
        f"CREATE POLICY {quoted(one.name)} ON {table} FOR {command} TO {quoted(role)}",
    ]
    if using:
        lines.append(f"    USING ({condition})")
    if check:
        lines.append(f"    WITH CHECK ({condition})")
    elif command == "UPDATE":
        lines.append("    WITH CHECK (false)")
    return "\n".join(lines) + ";"


def _undone(table: Relation, catalog: Catalog) -> str:
    """Take back what an earlier migration did to a table that is filtered no more."""
    name, policies = _spelled(table), _policies(catalog, table)
    lines = [f"-- {comment(table.qualified)} is filtered no more"]
    lines += [f"DROP POLICY IF EXISTS {quoted(p)} ON {name};" for p in policies if _ours(p)]
    if all(_ours(policy) for policy in policies):
        lines.append(f"ALTER TABLE {name} NO FORCE ROW LEVEL SECURITY;")
        lines.append(f"ALTER TABLE {name} DISABLE ROW LEVEL SECURITY;")
    return "\n".join(lines)


def _policies(catalog: Catalog, table: Relation) -> list[str]:
    found = catalog.row_security.get(table.oid)
    return sorted(policy.name for policy in found.policies) if found else []


def _ours(name: str) -> bool:
    return name.startswith(PREFIX)


def _spelled(table: Relation) -> str:
    return quoted(table.schema, table.name)


def _named(table: Relation) -> str:
    """Give a table's name as the text that the server's regclass reads."""
    return verbatim(table.schema, table.name)
