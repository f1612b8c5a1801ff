"""What is wrong with the role that a wall logs in as: a guard is as good as what it guards by."""

from __future__ import annotations

from collections.abc import Iterator

from tracewall.cli.findings import Finding, Severity
from tracewall.cli.grants import Rightful
from tracewall.cli.live import Server
from tracewall.cli.roles import Role
from tracewall.policy.privileges import Privilege, granted, revoked
from tracewall.sql.quoting import quoted

POWERS: dict[str, tuple[Severity, str]] = {
    "superuser": ("error", "may do anything, and no privilege or row filter holds for it"),
    "bypassrls": ("error", "sees all rows, whatever filters there are"),
    "createrole": ("error", "may make roles, and give itself what they have"),
    "replication": ("error", "may copy the whole server"),
    "createdb": ("warning", "may make databases"),
}
_MEMBERSHIPS: dict[str, tuple[Severity, str]] = {
    "pg_execute_server_program": ("error", "runs programs on the server's machine"),
    "pg_read_server_files": ("error", "reads any file of the server's"),
    "pg_write_server_files": ("error", "writes any file of the server's"),
    "pg_read_all_data": ("error", "reads every table"),
    "pg_write_all_data": ("error", "writes every table"),
    "pg_database_owner": ("error", "may do what the database's owner may"),
    "pg_maintain": ("warning", "may lock and rebuild every table"),
    "pg_monitor": ("warning", "sees what other sessions send, literals and all"),
    "pg_read_all_stats": ("warning", "sees what other sessions send, literals and all"),
    "pg_read_all_settings": ("warning", "sees settings that are for superusers"),
    "pg_stat_scan_tables": ("warning", "may lock tables to look into their pages"),
    "pg_signal_backend": ("warning", "may end other sessions"),
    "pg_create_subscription": ("warning", "may connect the server to others"),
}
_SCHEMAS = """
    SELECT n.nspname::text AS name,
        pg_catalog.has_schema_privilege(%(role)s::name, n.oid, 'CREATE') AS may_create,
        EXISTS (SELECT FROM pg_catalog.aclexplode(n.nspacl) a
            WHERE a.grantee = 0::oid AND a.privilege_type = 'CREATE') AS anybody
    FROM pg_catalog.pg_namespace n
    WHERE n.nspname::text !~ '^pg_' AND n.nspname <> 'information_schema'
        AND NOT pg_catalog.pg_has_role(%(role)s::name, n.nspowner, 'USAGE') ORDER BY 1"""
_PATH = """
    SELECT coalesce((SELECT pg_catalog.substr(s.setting, 13) FROM (
            SELECT pg_catalog.unnest(d.setconfig) AS setting, d.setrole <> 0::oid AS own,
                d.setdatabase <> 0::oid AS here
            FROM pg_catalog.pg_db_role_setting d
            LEFT JOIN pg_catalog.pg_roles r ON r.oid = d.setrole
            WHERE (d.setrole = 0::oid OR r.rolname::text = %(role)s) AND d.setdatabase IN (0::oid,
                (SELECT oid FROM pg_catalog.pg_database
                    WHERE datname = pg_catalog.current_database()))) AS s
        WHERE s.setting ~ '^search_path=' ORDER BY s.own DESC, s.here DESC LIMIT 1),
        (SELECT boot_val FROM pg_catalog.pg_settings WHERE name = 'search_path')) AS path"""
_SESSIONS = """
    SELECT pg_catalog.count(*)::int4 AS others FROM pg_catalog.pg_stat_activity a
    WHERE a.usename::text = %(role)s AND a.pid <> pg_catalog.pg_backend_pid()"""
_MOST = 20


def of_role(found: Rightful, asked: Server) -> Iterator[Finding]:
    """Find what the role may that it should not, and what it may not that it should."""
    name = quoted(found.name)
    if found.role is None:
        message = f"there is no role {found.name}"
        yield Finding("role.missing", "error", message, "tracewall grants prints one")
        return
    yield from _powers(found.role, found.name, name)
    yield from _memberships(found.role, found.name, name)
    yield from _owned(found.role, found.name)
    if not found.role.superuser:
        yield from _lacking(found, name)
        yield from _beyond(found, name)
        yield from _schemas(found.name, asked)
    yield from _sessions(found.name, asked)


def _powers(role: Role, said: str, name: str) -> Iterator[Finding]:
    # A superuser has all the others.
    for power in role.powers if not role.superuser else ("superuser",):
        severity, what = POWERS[power]
        sql = f"ALTER ROLE {name} NO{power.upper()};"
        help = "log in as a role of its own for the wall: see tracewall grants"
        yield Finding(f"role.{power}", severity, f"the role {said} {what}", help, sql=sql)
    if not role.login:
        message = f"the role {said} may not log in"
        sql = f"ALTER ROLE {name} LOGIN;"
        yield Finding("role.login", "error", message, "let it", sql=sql)


def _memberships(role: Role, said: str, name: str) -> Iterator[Finding]:
    for above in role.above:
        severity, what = _MEMBERSHIPS.get(above, ("warning", "has what that role has"))
        message = f"the role {said} is a member of {above}: it {what}"
        sql = f"REVOKE {quoted(above)} FROM {name};" if above in role.direct else ""
        yield Finding("role.member", severity, message, "take it out", sql=sql)


def _owned(role: Role, said: str) -> Iterator[Finding]:
    for kind, owned in role.owns[:_MOST]:
        message = f"the role {said} owns the {kind} {owned}, so it may do anything to it"
        help = "give it to another role: ALTER ... OWNER TO"
        yield Finding("role.owner", "error", message, help)
    if len(role.owns) > _MOST:
        message = f"the role {said} owns {len(role.owns) - _MOST} things more"
        yield Finding("role.owner", "error", message, "REASSIGN OWNED BY gives all of them away")


def _lacking(found: Rightful, name: str) -> Iterator[Finding]:
    for line in granted(found.lacking, name):
        message = "the policy permits what the server will refuse: this is missing"
        yield Finding("role.lacks", "warning", f"{message}: {line}", "run it", sql=line)


def _beyond(found: Rightful, name: str) -> Iterator[Finding]:
    help = "take it, for who logs in by this role without the wall has it"
    for line in revoked(found.surplus, name):
        message = f"the role {found.name} has more than the policy needs: {_right(line)}"
        severity: Severity = "error" if _writes(line) else "warning"
        yield Finding("role.surplus", severity, message, help, sql=line)
    for line in revoked(_worth_telling(found.public), "PUBLIC"):
        message = f"everybody has more than the policy needs: {_right(line)}"
        yield Finding("role.public", "warning", message, "take it, if nobody needs it", sql=line)


def _worth_telling(held: frozenset[Privilege]) -> frozenset[Privilege]:
    # Whoever may connect has temporary tables as PostgreSQL is delivered.
    return frozenset(each for each in held if each.right != "TEMPORARY")


def _right(line: str) -> str:
    return line.removeprefix("REVOKE ").rpartition(" FROM ")[0]


def _writes(line: str) -> bool:
    rights = _right(line).partition(" ON ")[0]
    return any(each in rights for each in ("INSERT", "UPDATE", "DELETE", "TRUNCATE", "TRIGGER"))


def _schemas(said: str, asked: Server) -> Iterator[Finding]:
    (row,) = asked.ask(_PATH, role=said)
    on_path = {part.strip().strip('"').replace('""', '"') for part in row["path"].split(",")}
    on_path = {said if part == "$user" else part for part in on_path}
    for schema in asked.ask(_SCHEMAS, role=said):
        where = "which is on its search path" if schema["name"] in on_path else "a schema"
        severity: Severity = "error" if schema["name"] in on_path else "warning"
        if schema["anybody"] and schema["name"] in on_path:
            message = (
                f"anybody may create functions and operators in {schema['name']}, {where}: what a"
                " statement means could be changed"
            )
            sql = f"REVOKE CREATE ON SCHEMA {quoted(schema['name'])} FROM PUBLIC;"
            yield Finding("role.search-path", "error", message, "take CREATE from PUBLIC", sql=sql)
        elif schema["may_create"]:
            message = f"the role {said} may create what it likes in {schema['name']}, {where}"
            sql = f"REVOKE CREATE ON SCHEMA {quoted(schema['name'])} FROM {quoted(said)};"
            yield Finding("role.create", severity, message, "take CREATE from it", sql=sql)


def _sessions(said: str, asked: Server) -> Iterator[Finding]:
    (row,) = asked.ask(_SESSIONS, role=said)
    if row["others"]:
        many = "other sessions are" if row["others"] > 1 else "other session is"
        message = f"{row['others']} {many} logged in as {said}"
        help = "let nobody but the wall have its password: nothing guards who logs in without it"
        yield Finding("role.shared", "note", message, help)
