"""What the server's catalog says of row-level security: policies, and views around them."""

from __future__ import annotations

import msgspec

TABLES = b"""select coalesce(pg_catalog.json_agg(pg_catalog.json_build_object(
        'oid', c.oid::int8, 'enabled', c.relrowsecurity, 'forced', c.relforcerowsecurity,
        'exempt', (select r.rolsuper or r.rolbypassrls from pg_catalog.pg_roles r
            where r.rolname = current_user),
        'policies', (select coalesce(pg_catalog.json_agg(pg_catalog.json_build_object(
                'name', p.polname, 'permissive', p.polpermissive,
                'concerns', (select coalesce(pg_catalog.bool_or(granted.role = 0::oid or
                        pg_catalog.pg_has_role(granted.role, 'USAGE')), false)
                    from pg_catalog.unnest(p.polroles) as granted (role)),
                'intact', coalesce(pg_catalog.obj_description(p.oid, 'pg_policy')
                    ~ ('^tracewall ' || pg_catalog.md5(pg_catalog.concat_ws('|', p.polcmd,
                        p.polpermissive, p.polroles::text, p.polqual::text,
                        p.polwithcheck::text)) || ' '), false))), '[]')
            from pg_catalog.pg_policy p where p.polrelid = c.oid))), '[]')
    from pg_catalog.pg_class c
    where c.relrowsecurity or c.relforcerowsecurity or c.oid in (
        select p.polrelid from pg_catalog.pg_policy p)"""
"""Each table that has policies or row-level security. A policy is intact while it is, word
for word, what its migration noted in its comment."""

VIEWS = b"""with recursive beneath (view, oid) as (
        select c.oid, c.oid from pg_catalog.pg_class c
        join pg_catalog.pg_namespace n on n.oid = c.relnamespace
        where c.relkind in ('v', 'm') and n.nspname <> 'information_schema'
        and n.nspname::text !~ '^pg_'
        union
        select b.view, d.refobjid from beneath b
        join pg_catalog.pg_rewrite r on r.ev_class = b.oid
        join pg_catalog.pg_depend d on d.classid = 'pg_catalog.pg_rewrite'::pg_catalog.regclass::oid
            and d.objid = r.oid and d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass::oid)
    select coalesce(pg_catalog.json_agg(told.of), '[]') from (
        select pg_catalog.json_build_object('oid', b.view::int8,
            'asks', coalesce(pg_catalog.bool_and(c.relkind = 'v' and exists (
                    select from pg_catalog.pg_options_to_table(c.reloptions) o
                    where o.option_name = 'security_invoker' and o.option_value::bool))
                filter (where c.relkind in ('v', 'm')), false),
            'beneath', coalesce(pg_catalog.json_agg(c.oid::int8)
                filter (where c.relkind in ('r', 'p', 'f')), '[]')) as of
        from beneath b join pg_catalog.pg_class c on c.oid = b.oid group by b.view) as told"""
"""Each view: whether it, and every view beneath it, asks for the rights of whoever reads it
(``security_invoker``), and the tables beneath."""


class ServerPolicy(msgspec.Struct, frozen=True):
    """A policy of a table: whether it ``concerns`` the role, and is ``intact`` since migrated."""

    name: str
    permissive: bool = True
    concerns: bool = True
    intact: bool = False


class RowSecurity(msgspec.Struct, frozen=True):
    """A table's row-level security; ``exempt`` tells that it does not hold for the role."""

    oid: int
    enabled: bool = False
    forced: bool = False
    exempt: bool = False
    policies: tuple[ServerPolicy, ...] = ()


class Beneath(msgspec.Struct, frozen=True):
    """A view: whether it ``asks`` for its reader's rights all the way, and what is ``beneath``."""

    oid: int
    asks: bool = False
    beneath: frozenset[int] = frozenset()
