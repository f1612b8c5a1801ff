"""What a role is, besides what it was granted: its powers, its memberships, what it owns."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from tracewall.cli.live import Server
from tracewall.sql.quoting import quoted

_ROLE = """
    SELECT r.rolsuper AS superuser, r.rolcreaterole AS createrole, r.rolcreatedb AS createdb,
        r.rolreplication AS replication, r.rolbypassrls AS bypassrls, r.rolcanlogin AS login
    FROM pg_catalog.pg_roles r WHERE r.rolname::text = %(role)s"""
_MEMBER_OF = """
    WITH RECURSIVE above (oid, direct) AS (
        SELECT m.roleid, true FROM pg_catalog.pg_auth_members m
            JOIN pg_catalog.pg_roles r ON r.oid = m.member WHERE r.rolname::text = %(role)s
        UNION SELECT m.roleid, false FROM pg_catalog.pg_auth_members m JOIN above a
            ON m.member = a.oid)
    SELECT r.rolname::text AS name, pg_catalog.bool_or(a.direct) AS direct
    FROM above a JOIN pg_catalog.pg_roles r ON r.oid = a.oid GROUP BY 1 ORDER BY 1"""
_OWNS = """
    SELECT c.kind, c.name FROM (
        SELECT 'table or view' AS kind, n.nspname || '.' || c.relname AS name, c.relowner AS owner
        FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
            WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S')
        UNION ALL SELECT 'schema', nspname::text, nspowner FROM pg_catalog.pg_namespace
        UNION ALL SELECT 'routine', n.nspname || '.' || p.proname, p.proowner
        FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
        UNION ALL SELECT 'database', datname::text, datdba FROM pg_catalog.pg_database
            WHERE datname = pg_catalog.current_database()) AS c
    JOIN pg_catalog.pg_roles r ON r.oid = c.owner AND r.rolname::text = %(role)s
    WHERE NOT r.rolsuper ORDER BY 1, 2 LIMIT 1000"""
_OFF = {
    "superuser": "NOSUPERUSER", "createrole": "NOCREATEROLE", "createdb": "NOCREATEDB",
    "replication": "NOREPLICATION", "bypassrls": "NOBYPASSRLS",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Role:
    """A role's powers; the roles it is a member of, directly and at all; what it owns."""

    superuser: bool
    createrole: bool
    createdb: bool
    replication: bool
    bypassrls: bool
    login: bool
    direct: tuple[str, ...] = ()
    above: tuple[str, ...] = ()
    owns: tuple[tuple[str, str], ...] = ()

    @property
    def powers(self) -> tuple[str, ...]:
        """The attributes that it should not have."""
        return tuple(power for power in _OFF if self.has(power))

    def has(self, power: str) -> bool:
        """Tell whether it has an attribute."""
        return bool(getattr(self, power))

    def weakened(self, name: str) -> Iterator[str]:
        """Yield the SQL that takes its attributes and memberships; `name` is quoted already."""
        if self.powers:
            yield f"ALTER ROLE {name} {' '.join(_OFF[power] for power in self.powers)};"
        for each in self.direct:
            yield f"REVOKE {quoted(each)} FROM {name};"


def role_named(server: Server, name: str) -> Role | None:
    """Ask for a role; None: there is none of that name. Raises psycopg.Error."""
    for row in server.ask(_ROLE, role=name):
        members = server.ask(_MEMBER_OF, role=name)
        return Role(
            **row,
            direct=tuple(each["name"] for each in members if each["direct"]),
            above=tuple(each["name"] for each in members),
            owns=tuple((each["kind"], each["name"]) for each in server.ask(_OWNS, role=name)),
        )
    return None
