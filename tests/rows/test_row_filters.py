"""Row filters: nobody gets, changes or leaves a row that is not theirs."""

from __future__ import annotations

import contextlib
import re
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import tracewall
from tracewall.cli.live import catalog
from tracewall.policy.load import load
from tracewall.policy.rls import migration

OWN = {n for n in range(1, 11) if n % 2 == 0}
SNAPSHOT = """
    SELECT 'o', id, tenant_id, item, price::text, code, region FROM shop.orders
    UNION ALL SELECT 'l', id, tenant_id, note, order_id::text, NULL, NULL FROM shop.lines
    UNION ALL SELECT 'e', id, tenant_id, what, NULL, NULL, NULL FROM shop.events
"""


def ids(conn: Any, query: str) -> set[int]:
    """Give the first column of what a query gives."""
    return {row[0] for row in conn.execute(query).fetchall()}


def foreign(shop: Any) -> list[tuple[Any, ...]]:
    """Give all rows that are not acme's."""
    return sorted((row for row in shop.all(SNAPSHOT) if row[2] != "acme"), key=repr)


def test_each_gets_the_rows_of_their_own_tenant(shop: Any) -> None:
    """The same statement gives each tenant its own rows, and nothing else."""
    with shop.connect("acme") as acme, shop.connect("bolt") as bolt:
        assert ids(acme, "select id from shop.orders") == OWN
        assert ids(bolt, "select id from shop.orders") == set(range(1, 11)) - OWN


def test_a_connection_that_changes_hands_changes_rows(shop: Any) -> None:
    """On one connection, each statement sees the rows of who acts, prepared ones included."""
    with tracewall.connect(wall=shop.wall, autocommit=True, prepare_threshold=0) as conn:
        for tenant, wanted in (("acme", OWN), ("bolt", set(range(1, 11)) - OWN)) * 2:
            with shop.wall.acting_as(shop.token(tenant)):
                for _ in range(3):
                    assert ids(conn, "select id from shop.orders") == wanted
                with conn.transaction():
                    assert ids(conn, "select id from shop.orders") == wanted
                conn.cursor().executemany(
                    "update shop.orders set price = %s where price < 0", [(1,), (2,)]
                )


def test_a_rollback_does_not_take_the_filter_along(shop: Any) -> None:
    """The setting is made outside of transactions: no rollback brings another one back."""
    with tracewall.connect(wall=shop.wall) as conn:
        with shop.wall.acting_as(shop.token("bolt")):
            conn.execute("select id from shop.orders")
            conn.rollback()
        with shop.wall.acting_as(shop.token("acme")):
            for end in ("rollback", "commit"):
                assert ids(conn, "select id from shop.orders") == OWN
                conn.execute("savepoint s")
                conn.execute("rollback to savepoint s")
                assert ids(conn, "select id from shop.orders") == OWN
                getattr(conn, end)()
            assert ids(conn, "select id from shop.orders") == OWN


def test_a_newcomer_in_somebodys_transaction_is_told_to_wait(shop: Any) -> None:
    """Where the setting can't be made to last, the statement is refused."""
    with tracewall.connect(wall=shop.wall, autocommit=True) as conn, conn.transaction():
        with shop.wall.acting_as(shop.token("acme")):
            with pytest.raises(tracewall.Forbidden, match="transaction"):
                conn.execute("select id from shop.orders")


@pytest.mark.parametrize("claim", [None, "", "nobody", "ac", "ACME", "acme ", "%", "acme'--"])
def test_a_claim_that_is_nobodys_gets_nothing(shop: Any, claim: str | None) -> None:
    """Without the claim, or with one that no row has, there are no rows and none can be made."""
    with shop.connect(claim) as conn:
        assert ids(conn, "select id from shop.orders") == set()
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            conn.execute("insert into shop.orders (id, tenant_id) values (90, 'acme')")


@pytest.mark.parametrize("claim", [["acme"], {"acme": 1}, ["acme", "bolt"], 1.5, {}])
def test_a_claim_of_another_form_is_none(shop: Any, claim: Any) -> None:
    """A list, an object or a fraction is not the text that the filter asks for."""
    with shop.connect(claim) as conn:
        assert ids(conn, "select id from shop.orders") == set()


def test_lists_of_claims(shop: Any) -> None:
    """`claims` takes each value of a list, or the single one."""
    with shop.connect("acme", "regional", regions=["north", "east"]) as conn:
        assert ids(conn, "select id from shop.orders") == {8, 10}
    with shop.connect("acme", "regional", regions="south") as conn:
        assert ids(conn, "select id from shop.orders") == {2, 4, 6}
    with shop.connect("acme", "regional", regions=[]) as conn:
        assert ids(conn, "select id from shop.orders") == set()


def test_an_unfiltered_grant_gives_all_rows(shop: Any) -> None:
    """Rows are the union of what a caller's grants give."""
    with shop.connect("acme", "auditors") as conn:
        assert len(ids(conn, "select id from shop.orders")) == 10
    with shop.connect("acme", "auditors", "tenants") as conn:
        assert len(ids(conn, "select id from shop.orders")) == 10
    with shop.connect("acme", "tenants", "regional", regions=["north"]) as conn:
        assert ids(conn, "select id from shop.orders") == OWN


def test_all_rows_of_some_columns_do_not_open_the_others(shop: Any) -> None:
    """Who gets two columns of all rows, and all columns of their own, gets no third of all."""
    with shop.connect("acme", "tenants", "catalogue") as conn:
        assert len(ids(conn, "select id from shop.orders")) == 10
        with pytest.raises(tracewall.Forbidden, match="some rows only"):
            conn.execute("select price from shop.orders")
        with pytest.raises(tracewall.Forbidden, match="some rows only"):
            conn.execute("select id from shop.orders where price > 3")


def test_a_mask_lifted_for_some_rows_stays_for_the_union(shop: Any) -> None:
    """A mask is lifted only where every row that the caller gets has it lifted."""
    with shop.connect("acme", "clear") as conn:
        rows = conn.execute("select code from shop.orders").fetchall()
        assert sorted(rows) == sorted(shop.all("select code from shop.orders where id > 6"))
    with shop.connect("acme", "clear", "tenants") as conn:
        rows = conn.execute("select code from shop.orders").fetchall()
        assert len(rows) == 7
        assert not {row[0] for row in rows} & {row[0] for row in shop.all("table shop.orders")}
        assert {row[0] for row in rows} == {"[redacted]"}


ATTACKS = [
    "select * from shop.orders",
    "select item from shop.orders where tenant_id = 'bolt'",
    "select item from shop.orders where tenant_id <> 'acme' or true",
    "select item from only shop.orders",
    "select (select string_agg(item, ',') from shop.orders)",
    "select o.item from shop.prices p left join shop.orders o on true",
    "select o.item from shop.orders o right join shop.prices p on o.item = p.item",
    "select b.item from shop.orders a full join shop.orders b on a.id = b.id + 1",
    "with t as (select * from shop.orders) select item from t",
    "with t as materialized (select * from shop.orders) select item from t",
    "with recursive t(n, i) as (select id, item from shop.orders where id = 1 union all"
    " select o.id, o.item from shop.orders o join t on o.id = t.n + 1) select i from t",
    "select item from shop.orders union select note from shop.lines",
    "select item from shop.orders except select 'x'",
    "select item from shop.orders where exists (select 1 from shop.lines)",
    "select p.item, x.note from shop.prices p, lateral (select note from shop.lines) x",
    "select item from shop.orders tablesample system (100)",
    "select item from shop.orders for update",
    "select item from shop.orders for share",
    "select max(item), min(item), array_agg(item) from shop.orders",
    "select item, row_number() over (order by id) from shop.orders",
    "select what from shop.events",
    "select what from shop.events_low",
    "select what from shop.events_high",
    "select what from only shop.events",
    "select item from shop.owners_view",
    "select item from shop.readers_view",
    "select item from shop.nested_view",
    "select item from shop.copied",
    "select gold from shop.tiers",
    "table shop.orders",
    "copy shop.orders to stdout",
    "copy (select item from shop.orders) to stdout",
    "explain analyze select item from shop.orders",
    "explain select item from shop.orders",
    "update shop.orders set price = 0",
    "update shop.orders set price = 0 returning item",
    "update shop.orders set price = 0 where tenant_id = 'bolt'",
    "update shop.orders set tenant_id = 'bolt'",
    "update shop.orders set tenant_id = 'bolt' where id = 2 returning *",
    "update shop.orders o set item = l.note from shop.lines l where l.order_id = 1",
    "update shop.events_low set what = 'x'",
    "update shop.owners_view set price = 0",
    "update shop.readers_view set price = 0 returning item",
    "delete from shop.orders where tenant_id = 'bolt'",
    "delete from shop.orders returning item",
    "delete from shop.events",
    "delete from shop.orders using shop.lines where lines.tenant_id = 'bolt'",
    "delete from shop.nested_view",
    "insert into shop.orders (id, tenant_id, item) values (90, 'bolt', 'x')",
    "insert into shop.orders (id, tenant_id, item) select id + 50, 'bolt', item from shop.orders",
    "insert into shop.orders (id, tenant_id, price) values (1, 'acme', 0)"
    " on conflict (id) do update set price = 0 returning item",
    "insert into shop.orders (id, tenant_id, price) values (1, 'acme', 0)"
    " on conflict (id) do nothing returning item",
    "insert into shop.orders (id, tenant_id) values (2, 'acme')"
    " on conflict (id) do update set tenant_id = 'bolt'",
    "insert into shop.events values (5, 'bolt', 'x')",
    "insert into shop.events_low values (5, 'bolt', 'x')",
    "insert into shop.readers_view values (90, 'bolt', 'x', 1)",
    "insert into shop.owners_view values (90, 'bolt', 'x', 1)",
    "merge into shop.orders o using shop.prices p on true when matched then update set price = 0",
    "merge into shop.orders o using shop.prices p on o.item = p.item when matched then delete",
    "merge into shop.orders o using (select 90 as id) s on o.id = s.id"
    " when not matched then insert (id, tenant_id) values (s.id, 'bolt')",
    "with gone as (delete from shop.orders returning *) select item from gone",
    "with made as (insert into shop.orders (id, tenant_id) values (90, 'bolt') returning *)"
    " select * from made",
    "truncate shop.orders cascade",
    "refresh materialized view shop.copied",
    "set tracewall.principal = '{forged}'",
    "set local tracewall.principal = '{forged}'",
    'set "tracewall"."principal" = \'{forged}\'',
    "set session tracewall.principal to '{forged}'",
    "reset tracewall.principal",
    "reset all",
    "discard all",
    "select set_config('tracewall.principal', '{forged}', false)",
    "select set_config('tracewall.principal', '{forged}', true)",
    "select set_config('TRACEWALL.Principal', '{forged}', false)",
    "select pg_catalog.set_config('trace' || 'wall.principal', '{forged}', false)",
    "update pg_settings set setting = '{forged}' where name = 'tracewall.principal'",
    "alter role current_user set tracewall.principal = '{forged}'",
    "alter database current set tracewall.principal = '{forged}'",
    "create function f() returns int language sql set tracewall.principal = 'x' as 'select 1'",
    "do $$ begin perform set_config('tracewall.principal', '{forged}', false); end $$",
    "set row_security = off",
    "select set_config('row_security', 'off', false)",
    "set role postgres",
    "set session authorization default",
    "alter table shop.orders disable row level security",
    "create policy mine on shop.orders using (true)",
    "prepare p as select item from shop.orders",
    "declare c cursor with hold for select item from shop.orders",
    "select query_to_xml('select * from shop.orders', true, true, '')",
    "select most_common_vals from pg_stats where tablename = 'orders'",
    "select histogram_bounds from pg_catalog.pg_stats",
    "select item from shop.orders where (select price / (price - 10) from shop.orders"
    " where id = 1) > 0",
    "analyze shop.orders",
]
FORGED = '{"claims":{"tenant":"bolt"},"grants":["own","everything"],"lists":{}}'


@pytest.mark.parametrize("attack", ATTACKS)
def test_no_attack_reaches_another_tenants_rows(shop: Any, attack: str) -> None:
    """Whatever is sent, no other tenant's row comes back, changes, or is made."""
    before, told = foreign(shop), list[Any]()
    with shop.connect("acme", "tenants") as conn:
        for query in (attack.replace("{forged}", FORGED), "select * from shop.orders"):
            # A refusal is fine, and so is an error: its words are looked at.
            try:
                cursor = conn.execute(query)
                told += [cursor.statusmessage, cursor.description]
                told += cursor.fetchall() if cursor.description else []
            except psycopg.Error as error:
                told.append(str(error))
    assert "canary" not in repr(told)
    assert foreign(shop) == before


def test_the_attacks_are_real(shop: Any) -> None:
    """The same role without a filter on its rows gets, or changes, what the attacks are after."""
    real, before = 0, foreign(shop)
    for attack in ATTACKS:
        told = list[Any]()
        with psycopg.connect(shop.dsn) as conn, contextlib.suppress(psycopg.Error):
            cursor = conn.cursor()
            if attack.startswith("copy"):
                with cursor.copy(attack) as copy:
                    told += [bytes(chunk) for chunk in copy]
            else:
                cursor.execute(attack.replace("{forged}", FORGED))
                told += cursor.fetchall() if cursor.description else []
            after = conn.execute(SNAPSHOT).fetchall()
            changed = sorted((row for row in after if row[2] != "acme"), key=repr) != before
            real += changed or "canary" in repr(told)
            conn.rollback()
    assert real >= 40


def test_what_is_ones_own_can_be_worked_with(shop: Any) -> None:
    """Inside the filter everything that is granted goes through, in every kind of statement."""
    with shop.connect("acme", "tenants") as conn:
        conn.execute("insert into shop.orders (id, tenant_id, item) values (12, 'acme', 'fig')")
        conn.execute(
            "insert into shop.orders (id, tenant_id, item) values (12, 'acme', 'x')"
            " on conflict (id) do update set item = excluded.item || '!'"
        )
        assert ids(conn, "select item from shop.orders where id = 12") == {"x!"}
        changed = conn.execute("update shop.orders set price = 7 returning id").fetchall()
        assert {row[0] for row in changed} == OWN | {12}
        assert ids(conn, "select id from shop.readers_view") == OWN | {12}
        assert ids(conn, "select id from shop.events") == {19 * n for n in OWN}
        assert ids(conn, "select id from shop.orders for update") == OWN | {12}
        conn.execute("delete from shop.orders")
    assert shop.all("select count(*) from shop.orders where tenant_id = 'acme'") == [(0,)]
    assert shop.all("select count(*) from shop.orders") == [(5,)]


def test_a_partition_s_filter_is_not_gone_around_by_its_parent(shop: Any) -> None:
    """Where a partition is filtered and its parent is not, the parent is refused."""
    with shop.connect("acme", "mixed") as conn:
        assert ids(conn, "select tenant_id from shop.events_low") == {"acme"}
        with pytest.raises(tracewall.Forbidden, match="partitions"):
            conn.execute("select what from shop.events")


def test_the_wall_alone_knows_that_a_view_reads_past_the_filter(shop: Any) -> None:
    """A view by its owner's rights, one over such a view, and a copy are refused."""
    with shop.connect("acme", "tenants") as conn:
        for view in ("owners_view", "nested_view", "copied"):
            with pytest.raises(tracewall.Forbidden, match="view"):
                conn.execute(f"select id from shop.{view}")


def test_a_filtered_caller_sends_nothing_that_can_t_be_followed(shop: Any) -> None:
    """`anything` is granted, and still nothing unfollowed is sent, for a filter stands."""
    with shop.connect("acme", "tenants") as conn, pytest.raises(tracewall.Forbidden):
        conn.execute("do $$ begin end $$")


EVENTS = [
    "alter table shop.orders disable row level security",
    "alter table shop.orders no force row level security",
    "create policy more on shop.orders using (true)",
    "create policy more on shop.orders for update to {role} using (true)",
    "alter policy {policy} on shop.orders using (true)",
    "alter policy {policy} on shop.orders rename to other",
    "alter policy {policy} on shop.orders to public",
    "drop policy {policy} on shop.orders",
    "comment on policy {policy} on shop.orders is 'mine'",
    "alter role {role} bypassrls",
    "alter role {role} superuser",
]


@pytest.mark.parametrize("event", EVENTS)
def test_a_server_that_holds_something_else_is_not_trusted(shop: Any, event: str) -> None:
    """Where the server's policies are not the migration's, the filtered are refused."""
    (policy,) = shop.all(
        "select quote_ident(polname) from pg_policy where polname like 'tracewall!_select%' "
        "escape '!' and polrelid = 'shop.orders'::regclass order by 1 limit 1"
    )
    shop.admin.execute(event.format(role=shop.role, policy=policy[0]))
    try:
        with shop.connect("acme") as conn:
            with pytest.raises(tracewall.Forbidden, match="does not hold"):
                conn.execute("select id from shop.orders")
            if "role" not in event:
                assert ids(conn, "select id from shop.lines") == OWN
    finally:
        shop.admin.execute(f"alter role {shop.role} nobypassrls nosuperuser")
        shop.admin.execute("drop policy if exists more on shop.orders")
        shop.admin.execute("drop policy if exists other on shop.orders")
        shop.migrate()
    with shop.connect("acme") as conn:
        assert ids(conn, "select id from shop.orders") == OWN


def test_other_policies_may_only_narrow(shop: Any) -> None:
    """A restrictive policy of the owner's own, or one for another role, changes nothing here."""
    shop.admin.execute("create policy less on shop.orders as restrictive using (id > 4)")
    shop.admin.execute("create policy theirs on shop.orders to pg_monitor using (true)")
    try:
        with shop.connect("acme") as conn:
            assert ids(conn, "select id from shop.orders") == {6, 8, 10}
    finally:
        shop.admin.execute("drop policy less on shop.orders")
        shop.admin.execute("drop policy theirs on shop.orders")


def test_the_migration_may_be_run_again(shop: Any) -> None:
    """Twice is as once, and other roles go on to see what they saw."""
    query = "select polrelid, polname, polqual::text from pg_policy order by 1, 2"
    names = "select polrelid, polname, polcmd from pg_policy order by 1, 2"
    before = shop.all(names)
    shop.migrate()
    assert shop.all(names) == before
    assert shop.all(query)


def test_other_roles_go_on_to_see_what_they_saw(shop: Any) -> None:
    """Who has rights on a table when it is migrated keeps all rows, by whatever rights."""
    policy = load(shop.folder / "policy.toml")
    for grants in (
        "grant select on shop.orders to somebody",
        "grant select (id) on shop.orders to somebody",
        "grant select on shop.orders to public",
        "grant pg_read_all_data to somebody",
    ):
        with psycopg.connect(shop.dsn) as conn:
            conn.execute("create role somebody; grant usage on schema shop to somebody")
            conn.execute(grants)
            ours = migration(policy, catalog(shop.dsn), shop.role)
            conn.execute(ours.replace("BEGIN;\n\nSET", "SET").replace("COMMIT;", ""))
            conn.execute("set role somebody")
            assert conn.execute("select count(id) from shop.orders").fetchone() == (10,), grants
            conn.rollback()


def test_the_filter_s_columns_are_looked_up_by_index(shop: Any) -> None:
    """The wall's role falls under its own policies only, so that an index on them is used."""
    concerned = shop.all(
        "select polname from pg_policy where polrelid = 'shop.orders'::regclass"
        f" and polname like 'tracewall!_others%' escape '!'"
        f" and (polroles @> '{{0}}' or '{shop.role}'::regrole = any(polroles))"
    )
    assert concerned == []


COLUMNS = st.sampled_from(["id", "tenant_id", "item", "price", "region"])
TESTS = st.sampled_from(
    "id > 3|price < 60|region = 'north'|tenant_id = 'bolt'|tenant_id <> 'acme'|true|"
    "item like 'c%'|id in (1, 2, 3)|item is not null|not (id = 2)".split("|")
)
CONDITIONS = st.recursive(
    TESTS,
    lambda inner: st.builds(
        "({} {} {})".format, inner, st.sampled_from(["and", "or", "and not"]), inner
    ),
    max_leaves=5,
)
SOURCES = st.sampled_from(
    [
        "shop.orders o",
        "(select * from shop.orders) o",
        "shop.orders o join shop.lines l using (id, tenant_id)",
        "shop.orders o left join shop.events e on e.id = o.id",
    ]
)


def oracle(query: str) -> str:
    """Give the statement with the filter written out, for the superuser."""
    for table in ("orders", "lines", "events"):
        query = query.replace(
            f"shop.{table} ", f"(select * from shop.{table} where tenant_id = 'acme') "
        )
        query = query.replace(
            f"shop.{table})", f"(select * from shop.{table} where tenant_id = 'acme') as t)"
        )
    return query


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(columns=st.lists(COLUMNS, min_size=1, unique=True), source=SOURCES, test=CONDITIONS)
def test_reads_are_those_of_the_filter_written_out(
    shop: Any, columns: list[str], source: str, test: str
) -> None:
    """Any query of a small grammar gives what plain SQL with the condition in it gives."""
    listed = ", ".join(f"o.{column}" for column in columns)
    test = re.sub(r"\b(id|tenant_id|item|price|region)\b", r"o.\1", test)
    query = f"select {listed} from {source} where {test}"
    with shop.connect("acme") as conn:
        found = conn.execute(query).fetchall()
    assert sorted(found, key=repr) == sorted(shop.all(oracle(query)), key=repr)


WRITES = st.one_of(
    st.builds("update shop.orders set price = {} where {}".format, st.integers(0, 9), CONDITIONS),
    st.builds(
        "update shop.orders set tenant_id = '{}' where {}".format,
        st.sampled_from(["acme", "bolt"]),
        CONDITIONS,
    ),
    st.builds("delete from shop.orders where {}".format, CONDITIONS),
    st.builds(
        "insert into shop.orders (id, tenant_id) values ({}, '{}')".format,
        st.integers(1, 30),
        st.sampled_from(["acme", "bolt"]),
    ),
    st.builds(
        "insert into shop.orders (id, tenant_id) values ({}, 'acme') on conflict (id) do "
        "update set item = 'taken'".format,
        st.integers(1, 30),
    ),
)


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(statements=st.lists(WRITES, min_size=1, max_size=4))
def test_writes_never_touch_another_tenants_rows(shop: Any, statements: list[str]) -> None:
    """Whatever is written, the other tenant's rows are what they were."""
    before = foreign(shop)
    with shop.connect("acme") as conn:
        for statement in statements:
            with contextlib.suppress(psycopg.Error):
                conn.execute(statement)
    assert foreign(shop) == before
