import psycopg
import pytest
from psycopg import errors, sql
from psycopg.conninfo import make_conninfo

from tracewall.demo.generate import generate
from tracewall.demo.store import create_store, drop_store

TABLES = ("runs", "steps", "messages", "tool_calls")
ROLE = "store_test_service"


@pytest.fixture
def fresh(scratch_dsn):
    """A store without rows, and its role's connection string."""
    create_store(scratch_dsn, role=ROLE, password="pass'word\\ü")
    yield make_conninfo(scratch_dsn, user=ROLE, password="pass'word\\ü")
    drop_store(scratch_dsn, role=ROLE)


def answer(conninfo, query, params=None):
    """Give the rows that a query returns."""
    with psycopg.connect(conninfo) as conn:
        return conn.execute(query, params).fetchall()


def test_the_role_may_read_and_write_the_four_tables(fresh, scratch_dsn):
    """The service role selects, inserts, updates and deletes, ids from the server included."""
    generate(scratch_dsn, 3)
    with psycopg.connect(fresh) as conn:
        (run,) = conn.execute("SELECT run_id FROM traces.runs LIMIT 1").fetchone()
        row = [run, "reasoning", "hm", 1000]
        added = conn.execute(
            "INSERT INTO traces.steps (run_id, kind, content, seq, started_at, duration_ms, tokens)"
            " VALUES (%s, %s, %s, %s, now(), 1, 1) RETURNING step_id",
            row,
        ).fetchone()
        (largest,) = conn.execute("SELECT max(step_id) FROM traces.steps").fetchone()
        assert added == (largest,)
        for table in TABLES:
            conn.execute(
                sql.SQL("UPDATE traces.{} SET run_id = run_id").format(sql.Identifier(table))
            )
        for table in reversed(TABLES):
            conn.execute(sql.SQL("DELETE FROM traces.{}").format(sql.Identifier(table)))


@pytest.mark.parametrize(
    "statement",
    [
        "TRUNCATE traces.tool_calls",
        "ALTER TABLE traces.runs ADD COLUMN extra int",
        "DROP TABLE traces.tool_calls",
        "CREATE TABLE traces.mine (n int)",
        "CREATE INDEX mine ON traces.runs (model)",
        "CREATE RULE r AS ON INSERT TO traces.runs DO INSTEAD NOTHING",
        "SELECT setval('traces.steps_step_id_seq', 1)",
        "SELECT rolpassword FROM pg_authid",
        "SET ROLE postgres",
        "CREATE ROLE mine",
        "CREATE DATABASE mine",
        "COPY traces.runs TO '/tmp/stolen'",
        "COPY traces.runs TO PROGRAM 'true'",
        "CREATE TABLE public.mine (n int)",
    ],
)
def test_the_role_may_do_nothing_else(store, statement):
    """Whatever is not reading or writing rows of the store, the server refuses to the role."""
    with (
        psycopg.connect(store.full_dsn, autocommit=True) as conn,
        pytest.raises(errors.InsufficientPrivilege),
    ):
        conn.execute(statement)


def test_the_role_owns_nothing_and_has_no_powers(store):
    """The role is no superuser, bypasses no row security, belongs to no other role."""
    powers = answer(
        store.admin_dsn,
        "SELECT rolsuper, rolcreaterole, rolcreatedb, rolreplication, rolbypassrls,"
        " EXISTS (SELECT FROM pg_auth_members WHERE member = r.oid),"
        " EXISTS (SELECT FROM pg_class WHERE relowner = r.oid)"
        " FROM pg_roles r WHERE rolname = %s",
        [store.role],
    )
    assert powers == [(False,) * 7]


def test_the_password_is_kept_as_a_verifier(store):
    """The server has a SCRAM verifier, never the password."""
    ((kept,),) = answer(
        store.admin_dsn, "SELECT rolpassword FROM pg_authid WHERE rolname = %s", [store.role]
    )
    assert kept.startswith("SCRAM-SHA-256$")


def test_the_password_is_in_no_log_of_the_server(server, scratch_dsn):
    """A server that logs every statement does not learn the password."""
    if not server.embedded:
        pytest.skip("the log of a server that is not ours is out of reach")
    with psycopg.connect(scratch_dsn, autocommit=True) as conn:
        conn.execute("ALTER ROLE postgres SET log_statement = 'all'")
        (directory,) = conn.execute("SHOW data_directory").fetchone()
    create_store(scratch_dsn, role=ROLE, password="correct horse battery")
    drop_store(scratch_dsn, role=ROLE)
    with psycopg.connect(scratch_dsn, autocommit=True) as conn:
        conn.execute("ALTER ROLE postgres RESET log_statement")
    with open(f"{directory}/log") as file:
        log = file.read()
    assert f'ALTER ROLE "{ROLE}" LOGIN' in log
    assert "correct horse battery" not in log


def test_a_wrong_password_does_not_log_in(server, store):
    """On a server that asks for passwords only the given one serves."""
    if not server.embedded:
        pytest.skip("how a server that is not ours checks passwords is not ours to say")
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(make_conninfo(store.dsn, password="guess"))


def test_any_name_serves_as_a_role(scratch_dsn):
    """A role's name is a name, and a password a password, whatever is in them."""
    password = "'; DROP SCHEMA traces; --"
    for role in ('odd" name; DROP SCHEMA traces', "UPPER", "naïve-Ω", "select"):
        create_store(scratch_dsn, role=role, password=password)
        mine = make_conninfo(scratch_dsn, user=role, password=password)
        assert answer(mine, "SELECT count(*) FROM traces.runs") == [(0,)]
        drop_store(scratch_dsn, role=role)
        assert answer(scratch_dsn, "SELECT 1 FROM pg_roles WHERE rolname = %s", [role]) == []


def test_a_store_without_a_proper_login_is_refused(scratch_dsn):
    """No password, no name, or a name that the server would cut off: nothing is made."""
    for role, password in (("service", ""), ("", "x"), ("r" * 64, "x"), ("é" * 32, "x")):
        with pytest.raises(ValueError, match=r"password|role name"):
            create_store(scratch_dsn, role=role, password=password)
        assert answer(scratch_dsn, "SELECT 1 FROM pg_namespace WHERE nspname = 'traces'") == []


@pytest.fixture
def mighty(scratch_dsn):
    """Roles that may do more than log in."""
    powers = ("CREATEROLE", "BYPASSRLS", "SUPERUSER", "IN ROLE pg_read_all_data")
    roles = [f"mighty_{number}" for number in range(len(powers))]
    with psycopg.connect(scratch_dsn, autocommit=True) as conn:
        for role, power in zip(roles, powers, strict=True):
            conn.execute(f"CREATE ROLE {role} {power}")
        yield roles
        conn.execute(f"DROP ROLE {', '.join(roles)}")


def test_a_role_with_powers_is_neither_used_nor_dropped(scratch_dsn, mighty):
    """A role that can do more cannot become the service; it stays, and no store is made."""
    for role in mighty:
        with pytest.raises(ValueError, match="powers"):
            create_store(scratch_dsn, role=role, password="x")
        with pytest.raises(ValueError, match="powers"):
            drop_store(scratch_dsn, role=role)
        assert answer(scratch_dsn, "SELECT 1 FROM pg_roles WHERE rolname = %s", [role]) == [(1,)]
        assert answer(scratch_dsn, "SELECT 1 FROM pg_namespace WHERE nspname = 'traces'") == []


def test_a_second_store_is_refused(fresh, scratch_dsn):
    """Where a store is, creating another fails and takes nothing away, not even the password."""
    generate(scratch_dsn, 2)
    with pytest.raises(errors.DuplicateSchema):
        create_store(scratch_dsn, role=ROLE, password="other")
    assert answer(fresh, "SELECT count(*) FROM traces.runs") == [(2,)]


def test_dropping_leaves_nothing_and_may_be_repeated(scratch_dsn):
    """Schema and role go; dropping what is gone is no error."""
    create_store(scratch_dsn, role=ROLE, password="x")
    for _ in range(2):
        drop_store(scratch_dsn, role=ROLE)
    assert answer(scratch_dsn, "SELECT 1 FROM pg_namespace WHERE nspname = 'traces'") == []
    assert answer(scratch_dsn, "SELECT 1 FROM pg_roles WHERE rolname = %s", [ROLE]) == []


def test_a_schema_of_somebody_else_is_not_dropped(scratch_dsn):
    """A schema that happens to be called traces is kept."""
    with psycopg.connect(scratch_dsn) as conn:
        conn.execute("CREATE SCHEMA traces CREATE TABLE precious (n int)")
    with pytest.raises(ValueError, match="stays"):
        drop_store(scratch_dsn, role=ROLE)
    assert answer(scratch_dsn, "SELECT count(*) FROM traces.precious") == [(0,)]


def test_a_role_that_serves_elsewhere_too_stays_there(fresh, scratch_dsn, admin_dsn):
    """Two stores on one server may share a role; dropping one store leaves it to the other."""
    with psycopg.connect(admin_dsn, autocommit=True) as conn:
        conn.execute("CREATE DATABASE store_test_second")
        try:
            second = make_conninfo(admin_dsn, dbname="store_test_second")
            create_store(second, role=ROLE, password="pass'word\\ü")
            drop_store(second, role=ROLE)
        finally:
            conn.execute("DROP DATABASE store_test_second WITH (FORCE)")
    assert answer(fresh, "SELECT count(*) FROM traces.runs") == [(0,)]


@pytest.mark.parametrize(
    "attribute",
    [
        "gen_ai.conversation.id",
        "gen_ai.request.model",
        "gen_ai.provider.name",
        "gen_ai.operation.name",
        "gen_ai.agent.name",
        "gen_ai.usage.input_tokens",
        "gen_ai.usage.output_tokens",
        "gen_ai.system_instructions",
        "gen_ai.input.messages",
        "gen_ai.output.messages",
        "gen_ai.tool.name",
        "gen_ai.tool.call.id",
        "gen_ai.tool.call.arguments",
        "gen_ai.tool.call.result",
    ],
)
def test_the_schema_says_which_attribute_it_holds(store, attribute):
    """Each attribute of the conventions that the store keeps is named in a comment."""
    named = answer(
        store.admin_dsn,
        "SELECT count(*) FROM pg_description d JOIN pg_class c ON c.oid = d.objoid"
        " WHERE relnamespace = 'traces'::regnamespace AND strpos(description, %s) > 0",
        [attribute],
    )
    assert named == [(1,)]


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("steps.kind", "'thought'"),
        ("steps.seq", "-1"),
        ("messages.role", "'developer'"),
        ("messages.parts", "'{}'"),
        ("messages.finish_reason", "'bored'"),
        ("runs.status", "'lost'"),
        ("runs.ended_at", "started_at - interval '1 second'"),
    ],
)
def test_the_store_takes_only_what_the_conventions_know(store, column, value):
    """A value outside of what a column means is refused by the server."""
    table, name = column.split(".")
    with psycopg.connect(store.full_dsn) as conn, pytest.raises(errors.CheckViolation):
        conn.execute(f"UPDATE traces.{table} SET {name} = {value}")
