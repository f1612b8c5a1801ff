"""The questions whose answers make a `Catalog`: SQL over pg_catalog, one JSON value each.

Every name in them is qualified, and every operator has operands of just the types that
PostgreSQL's own takes (``0::oid``, not ``0``): no object of a user's can take the place of
its own. Whoever may log in may ask them.
"""

from __future__ import annotations

from tracewall.sql import rowsecurity
from tracewall.sql.system import STANDARD_RELATIONS, SYSTEM_RELATIONS

# The sum of the rows' transaction ids differs after any change, an update by a transaction
# that began long ago included; objects below 16384 (FirstNormalObjectId) are PostgreSQL's own.
_COUNTED = """select pg_catalog.concat_ws(':', pg_catalog.count(*),
    pg_catalog.sum(xmin::text::int8)) from pg_catalog.{}"""
_WATCHED = (
    "pg_namespace",
    "pg_attrdef",
    "pg_inherits",
    "pg_policy",
    "pg_attribute where attrelid >= 16384::oid",
    "pg_index where indexrelid >= 16384::oid",
    *(
        f"pg_{kind} where oid >= 16384::oid"
        for kind in "class rewrite constraint trigger proc operator type cast enum".split()
    ),
    "pg_depend where refclassid = 'pg_catalog.pg_extension'::pg_catalog.regclass::oid",
)

FINGERPRINT: bytes = f"""select pg_catalog.json_build_object(
    'server', pg_catalog.pg_postmaster_start_time(),
    'database', pg_catalog.current_database(),
    'role', current_user::text,
    'exempt', (select r.rolsuper or r.rolbypassrls from pg_catalog.pg_roles r
        where r.rolname = current_user),
    'path', pg_catalog.current_schemas(true)::text[],
    'rows', (select pg_catalog.json_agg(counted.of) from (
        {" union all ".join(map(_COUNTED.format, _WATCHED))}) as counted (of)))""".encode()  # noqa: S608  # made of the constants here
"""A question whose answer is another one after any change of what `QUERIES` ask about.

It costs a fraction of what they cost: no row of the catalog leaves the server.
"""

# Where the function is revoked, naming it would fail even in a branch that is not taken:
# hence the query in a text, for one of the functions of every server that take such.
_SYSTEM = b"""case when pg_catalog.has_function_privilege(
        'pg_catalog.pg_control_system()', 'execute')
    then (select word from pg_catalog.ts_stat('select pg_catalog.array_to_tsvector(
        array[system_identifier::text]) from pg_catalog.pg_control_system()')) end"""

_SETTINGS = (
    b"""select pg_catalog.json_build_object(
    'database', pg_catalog.current_database(),
    'role', current_user::text,
    'system', """
    + _SYSTEM
    + b""",
    'path', pg_catalog.current_schemas(true)::text[],
    'sets', (select pg_catalog.json_agg(distinct p.proname)
        from pg_catalog.pg_proc p where p.proretset))"""
)
"""The settings that judging depends on, the schemas a bare name is looked up in, and the
names of functions that give rows."""

_RELATIONS = (
    b"""select coalesce(pg_catalog.json_agg(pg_catalog.json_build_object(
    'oid', c.oid::int8, 'schema', n.nspname, 'name', c.relname, 'kind', c.relkind,
    'rules', (select coalesce(pg_catalog.json_agg(distinct case r.ev_type
            when '2' then 'update' when '3' then 'insert' else 'delete' end), '[]')
        from pg_catalog.pg_rewrite r where c.relhasrules and r.ev_class = c.oid
            and r.ev_type <> '1'),
    'columns', (select coalesce(pg_catalog.json_agg(pg_catalog.json_build_object(
            'attnum', a.attnum::int8, 'name', a.attname, 'type', a.atttypid::int8,
            'generated', a.attgenerated <> '',
            'uses', (select coalesce(pg_catalog.json_agg(d.refobjsubid), '[]')
                from pg_catalog.pg_attrdef f join pg_catalog.pg_depend d
                    on d.classid = 'pg_catalog.pg_attrdef'::pg_catalog.regclass::oid
                    and d.objid = f.oid and d.refobjid = c.oid and d.refobjsubid > 0
                where a.attgenerated <> '' and f.adrelid = c.oid and f.adnum = a.attnum
                    and d.refobjsubid <> a.attnum))
            order by a.attnum), '[]')
        from pg_catalog.pg_attribute a
        where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped),
    'parents', (select coalesce(pg_catalog.json_agg(i.inhparent::int8), '[]')
        from pg_catalog.pg_inherits i where i.inhrelid = c.oid),
    'keys', case when c.relhassubclass and c.relkind <> 'p' then '[]'::json else
        (select coalesce(pg_catalog.json_agg((select pg_catalog.json_agg(k.attnum order by k.at)
                from pg_catalog.unnest(x.indkey::int2[]) with ordinality as k (attnum, at)
                where k.at <= x.indnkeyatts::int8)), '[]')
            from pg_catalog.pg_index x join pg_catalog.pg_class i on i.oid = x.indexrelid
            where x.indrelid = c.oid and i.relam = 403::oid and x.indisunique and x.indimmediate
            and x.indisvalid and x.indisready and x.indislive and x.indpred is null
            and x.indexprs is null and not x.indisexclusion and not exists (
                select from rows from (pg_catalog.unnest(x.indkey::int2[]),
                    pg_catalog.unnest(x.indclass::oid[]),
                    pg_catalog.unnest(x.indcollation::oid[]))
                    with ordinality as k (attnum, kind, ordered, at)
                left join pg_catalog.pg_attribute a on a.attrelid = c.oid and a.attnum = k.attnum
                left join pg_catalog.pg_opclass o on o.oid = k.kind and o.opcdefault
                    and o.opcnamespace = 'pg_catalog'::pg_catalog.regnamespace::oid
                where k.at <= x.indnkeyatts::int8
                and (o.oid is null or a.attcollation is distinct from k.ordered))) end,
    'collated', (select coalesce(pg_catalog.json_agg(a.attnum::int8), '[]')
        from pg_catalog.pg_attribute a where a.attrelid = c.oid and a.attnum > 0
        and a.attcollation <> 0::oid
        and a.attcollation <> 100::oid))), '[]')
    from pg_catalog.pg_class c
    join pg_catalog.pg_namespace n on n.oid = c.relnamespace
    where c.relkind in ('r', 'p', 'v', 'm', 'f', 'S')
    and (n.nspname <> 'information_schema' and n.nspname::text !~ '^pg_'
        or n.nspname = 'pg_catalog' and c.relname = any('{"""
    + ",".join(SYSTEM_RELATIONS).encode()
    + b"""}')
        or n.nspname = 'information_schema' and c.relname = any('{"""
    + ",".join(STANDARD_RELATIONS).encode()
    + b"""}'))"""
)

# What no value of a type of PostgreSQL's own becomes by itself: no domain (its base type
# does), no composite (a row does), no target of an implicit cast; and arrays of such.
_APART = """apart (oid) as materialized (
    select t.oid from pg_catalog.pg_type t
    left join pg_catalog.pg_type e on e.oid = t.typelem and t.typcategory = 'A'
    where t.typnamespace <> 'pg_catalog'::pg_catalog.regnamespace::oid
    and coalesce(e.typnamespace, t.typnamespace) <> 'pg_catalog'::pg_catalog.regnamespace::oid
    and coalesce(e.typtype, t.typtype) in ('b', 'e', 'r', 'm')
    and not exists (select from pg_catalog.pg_cast k
        where k.casttarget in (t.oid, coalesce(e.oid, t.oid)) and k.castcontext = 'i'
        and k.castsource in (select s.oid from pg_catalog.pg_type s
            where s.typnamespace = 'pg_catalog'::pg_catalog.regnamespace::oid
                or s.typtype = 'd')))"""

_BROUGHT = """exists (select from pg_catalog.pg_depend d
    where d.classid = 'pg_catalog.{}'::pg_catalog.regclass::oid and d.objid = {}.oid
    and d.deptype = 'e')"""

_FUNCTIONS = f"""with {_APART}
    select coalesce(pg_catalog.json_agg(pg_catalog.json_build_object(
        'schema', n.nspname, 'name', p.proname,
        'visible', pg_catalog.pg_function_is_visible(p.oid),
        'least', p.pronargs - p.pronargdefaults,
        'most', case when p.provariadic = 0::oid then p.pronargs end,
        'result', p.prorettype::int8, 'brought', {_BROUGHT.format("pg_proc", "p")},
        'shared', exists (select from pg_catalog.pg_proc s where s.proname = p.proname
            and s.pronamespace = 'pg_catalog'::pg_catalog.regnamespace::oid),
        'apart', (select coalesce(pg_catalog.json_agg(argument.type in (select oid from apart)
            order by argument.at), '[]') from pg_catalog.unnest(p.proargtypes::oid[])
            with ordinality as argument (type, at)))), '[]')
    from pg_catalog.pg_proc p
    join pg_catalog.pg_namespace n on n.oid = p.pronamespace
    where n.nspname not in ('pg_catalog', 'information_schema')""".encode()  # noqa: S608  # made of the constants here
"""Functions that are not PostgreSQL's own."""

_OPERATORS = f"""with {_APART}
    select coalesce(pg_catalog.json_agg(pg_catalog.json_build_object(
        'schema', n.nspname, 'name', o.oprname,
        'visible', pg_catalog.pg_operator_is_visible(o.oid),
        'least', case o.oprleft when 0::oid then 1 else 2 end,
        'most', case o.oprleft when 0::oid then 1 else 2 end,
        'result', o.oprresult::int8, 'brought', {_BROUGHT.format("pg_operator", "o")},
        'shared', exists (select from pg_catalog.pg_operator s where s.oprname = o.oprname
            and s.oprnamespace = 'pg_catalog'::pg_catalog.regnamespace::oid),
        'apart', case o.oprleft
            when 0::oid then pg_catalog.json_build_array(o.oprright in (select oid from apart))
            else pg_catalog.json_build_array(o.oprleft in (select oid from apart),
                o.oprright in (select oid from apart)) end)), '[]')
    from pg_catalog.pg_operator o
    join pg_catalog.pg_namespace n on n.oid = o.oprnamespace
    where n.nspname not in ('pg_catalog', 'information_schema')""".encode()  # noqa: S608  # made of the constants here
"""Operators that are not PostgreSQL's own."""

_TYPES = f"""select coalesce(pg_catalog.json_agg(pg_catalog.json_build_object(
        'schema', n.nspname, 'name', t.typname, 'visible', pg_catalog.pg_type_is_visible(t.oid),
        'plain', t.typtype = 'e' or {_BROUGHT.format("pg_type", "t")} or (t.typtype = 'd'
            and b.typnamespace = 'pg_catalog'::pg_catalog.regnamespace::oid),
        'text', case when t.typtype = 'b' and t.typcategory = 'S' then t.oid::int8 end)), '[]')
    from pg_catalog.pg_type t join pg_catalog.pg_namespace n on n.oid = t.typnamespace
    left join pg_catalog.pg_type b on b.oid = t.typbasetype
    where n.nspname not in ('pg_catalog', 'information_schema', 'pg_toast')
    and (t.typrelid = 0::oid or t.typname in (select o.typname from pg_catalog.pg_type o
        where o.typnamespace = 'pg_catalog'::pg_catalog.regnamespace::oid))
    and (t.typcategory <> 'A' or t.typelem = 0::oid)""".encode()  # noqa: S608  # made of the constants here
"""Types that are not PostgreSQL's own: ``plain`` are enums, domains over its own, and what
an extension brought."""

_CONSTRAINTS = b"""select coalesce(pg_catalog.json_agg(distinct named.name), '[]') from (
    select c.conname from pg_catalog.pg_constraint c
    union select i.relname from pg_catalog.pg_class i where i.relkind = 'i'
    and i.relnamespace <> 'pg_catalog'::pg_catalog.regnamespace::oid) as named (name)"""

# pg_get_viewdef leaves out a schema where the search path finds the name without it. So the
# path is emptied meanwhile, in one statement, so that nothing can come between.
_VIEWS = b"""with before as materialized (
        select pg_catalog.current_setting('search_path') as path),
    emptied as materialized (
        select pg_catalog.set_config('search_path', '', true) as path from before),
    told as materialized (
        select pg_catalog.json_agg(pg_catalog.json_build_object(
            'oid', c.oid::int8,
            'text', case when emptied.path = '' then pg_catalog.pg_get_viewdef(c.oid) end,
            'writable', case when exists (select from pg_catalog.pg_trigger g
                where g.tgrelid = c.oid and g.tgtype::int4 & 64 <> 0) then 0
                else pg_catalog.pg_relation_is_updatable(c.oid, false) end,
            'assignable', (select coalesce(pg_catalog.json_agg(a.attnum), '[]')
                from pg_catalog.pg_attribute a where a.attrelid = c.oid and a.attnum > 0
                and pg_catalog.pg_column_is_updatable(c.oid, a.attnum, false)))) as answer
        from emptied cross join pg_catalog.pg_class c
        join pg_catalog.pg_namespace n on n.oid = c.relnamespace
        where c.relkind in ('v', 'm')
        and n.nspname <> 'information_schema' and n.nspname::text !~ '^pg_'),
    after as materialized (
        select pg_catalog.set_config('search_path', before.path, true) as path, told.answer
        from before cross join told)
    select coalesce(answer, '[]') from after"""
"""The definitions of views, with every name that is not pg_catalog's qualified, and what
may be written through them (bits of pg_relation_is_updatable)."""

_CASTS = b"""select coalesce(pg_catalog.json_agg(distinct t.typname), '[]')
    from pg_catalog.pg_cast k
    join pg_catalog.pg_proc p on p.oid = k.castfunc
    join pg_catalog.pg_type t on t.oid = k.casttarget
    where p.pronamespace <> 'pg_catalog'::pg_catalog.regnamespace::oid
    and not exists (select from pg_catalog.pg_depend d
        where d.classid = 'pg_catalog.pg_cast'::pg_catalog.regclass::oid and d.objid = k.oid
        and d.deptype = 'e')"""
"""The types that a cast by a user's own function leads to."""

QUERIES: tuple[bytes, ...] = (
    _SETTINGS,
    _RELATIONS,
    _FUNCTIONS,
    _OPERATORS,
    _TYPES,
    _CONSTRAINTS,
    _VIEWS,
    _CASTS,
    rowsecurity.TABLES,
    rowsecurity.VIEWS,
)
"""The questions whose answers (one JSON value each) make a `Catalog`, in order."""
