"""The schema changes under an open connection: nothing protected comes back by it."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from typing import Any

import psycopg
import pytest

from tracewall.errors import Forbidden, Withheld
from tracewall.knowledge import Knowledge
from tracewall.sql.catalog import FINGERPRINT, QUERIES

SECRET = "zqcanaryzq"

CHANGES = {
    "a view is defined anew": (
        "SELECT name FROM shop.plain",
        ["CREATE OR REPLACE VIEW shop.plain AS SELECT id, secret AS name FROM shop.people"],
    ),
    "a view is defined anew, and shows the secret in an expression": (
        "SELECT name || '' FROM shop.plain",
        ["CREATE OR REPLACE VIEW shop.plain AS SELECT id, secret || '' AS name FROM shop.people"],
    ),
    "a view of that name is another one": (
        "SELECT upper(name) FROM shop.plain",
        [
            "DROP VIEW shop.plain",
            "CREATE VIEW shop.plain AS SELECT id, secret AS name FROM shop.people",
        ],
    ),
    "a table that stood before another goes": (
        "SELECT upper(secret) FROM people",
        ["ALTER TABLE first.people RENAME TO gone"],
    ),
    "a table that stood before another becomes a view of it": (
        "SELECT upper(secret) FROM people",
        [
            "DROP TABLE first.people",
            "CREATE VIEW first.people AS SELECT id, name, secret FROM shop.people",
        ],
    ),
    "a column is made anew": (
        "SELECT upper(gone) FROM shop.people",
        [
            "ALTER TABLE shop.people DROP COLUMN gone",
            "ALTER TABLE shop.people ADD gone text GENERATED ALWAYS AS (secret) STORED",
        ],
    ),
    "a table gets an heir that is masked": (
        "SELECT upper(name) FROM shop.other",
        [
            "CREATE TABLE shop.people_old (CHECK (true)) INHERITS (shop.other)",
            f"INSERT INTO shop.people_old VALUES (3, '{SECRET}', 'x')",
        ],
    ),
    "a function takes the place of PostgreSQL's own": (
        "SELECT upper(id) FROM shop.people",
        [
            "CREATE FUNCTION public.upper(int) RETURNS text LANGUAGE sql SECURITY DEFINER"
            " RETURN (SELECT secret FROM shop.people WHERE id = $1)"
        ],
    ),
    "an operator takes the place of PostgreSQL's own": (
        "SELECT id || id FROM shop.people",
        [
            "CREATE FUNCTION public.f(int, int) RETURNS text LANGUAGE sql SECURITY DEFINER"
            " RETURN (SELECT secret FROM shop.people WHERE id = $1)",
            "CREATE OPERATOR public.|| (LEFTARG = int, RIGHTARG = int, FUNCTION = public.f)",
        ],
    ),
}
HEIR = """
[[masks]]
name = "heirs"
columns = ["shop.*_old.name", "shop.people.gone"]
method = "null"
"""


PATH = "-c search_path=first,shop,public"


def told(conn: Any, sql: str) -> str:
    """Give all that comes back of a statement, errors included."""
    try:
        cursor = conn.execute(sql)
        return repr(cursor.fetchall())
    except psycopg.Error as ex:
        return f"{type(ex).__name__} {ex} {ex.diag.message_primary}"


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_is_seen_before_the_next_statement(shop: Any, connect: Any, change: str) -> None:
    """With catalog_max_age = 0, no statement after a change is judged by what was before it."""
    sql, statements = CHANGES[change]
    shop.change("CREATE TABLE shop.a_old (name text)")
    conn = connect("0s", more=HEIR.replace(', "shop.people.gone"', ""))
    assert SECRET.upper() not in told(conn, sql).upper()
    shop.change(*statements)
    with psycopg.connect(shop.dsn, options=PATH) as plain:
        assert SECRET.upper() in repr(plain.execute(sql).fetchall()).upper()
    assert SECRET.upper() not in told(conn, sql).upper()


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_is_seen_by_new_connections(shop: Any, connect: Any, change: str) -> None:
    """Whatever the greatest age, a connection that is made after a change knows of it."""
    sql, statements = CHANGES[change]
    shop.change("CREATE TABLE shop.a_old (name text)")
    with shop.wall("1h", HEIR.replace(', "shop.people.gone"', "")) as wall:
        connect(wall=wall).execute("SELECT 1")
        shop.change(*statements)
        assert SECRET.upper() not in told(connect(wall=wall), sql).upper()


@pytest.mark.parametrize(
    "statements",
    [
        ["ALTER TABLE first.people RENAME TO gone"],
        [
            "ALTER TABLE first.people DROP COLUMN secret",
            "ALTER TABLE first.people ADD secret text GENERATED ALWAYS AS (name) STORED",
        ],
    ],
)
def test_the_server_tells_of_a_change(shop: Any, connect: Any, statements: list[str]) -> None:
    """Until it is looked, a result whose columns come from elsewhere is withheld."""
    sql = "SELECT secret FROM people"
    conn = connect("1h")
    assert conn.execute(sql).fetchall() == [("plain",)] * 2
    shop.change(*statements)
    with pytest.raises(Withheld):
        conn.execute(sql)
    assert SECRET not in told(conn, sql)
    assert conn._session.catalog is not None


def test_an_unknown_name_is_looked_for(shop: Any, connect: Any, monkeypatch: Any) -> None:
    """A statement that names what is new is judged by the catalog that has it."""
    conn = connect("1h")
    monkeypatch.setattr(Knowledge, "is_old", lambda self: True)
    shop.change("CREATE TABLE shop.fresh (id int)", "ALTER TABLE shop.people ADD fresh int")
    assert conn.execute("SELECT id FROM shop.fresh").fetchall() == []
    assert conn.execute("SELECT fresh FROM shop.people WHERE id = 1").fetchall() == [(None,)]


REFUSED = (
    "SELECT {} FROM shop.people",
    "SELECT id FROM shop.{}",
    "SELECT pg_sleep(0) FROM shop.{}",
    "UPDATE shop.people SET {} = NULL",
    "SELECT kept FROM shop.people, shop.{}",
)


@pytest.mark.parametrize("sql", REFUSED)
@pytest.mark.parametrize("state", ["idle", "failed", "pipeline"])
def test_no_look_tells_what_there_is(
    shop: Any, connect: Any, monkeypatch: Any, sql: str, state: str
) -> None:
    """What is forbidden costs as many looks and records as what is not there, in any state."""
    shop.change("CREATE TABLE shop.kept (id int)", "ALTER TABLE shop.people ADD kept int")
    more = """[[denials]]
name = "kept"
groups = ["readers"]
actions = ["select", "update"]
tables = ["shop.*"]
columns = ["kept"]

[[denials]]
name = "whole"
groups = ["readers"]
actions = ["select"]
tables = ["shop.kept"]
"""
    conn = connect("1h", more=more)
    monkeypatch.setattr(Knowledge, "is_old", lambda self: True)
    found = [_looks(conn, sql.format(name), state, monkeypatch) for name in ("kept", "nope")]
    assert found[0] == found[1]
    assert found[0] == ("Forbidden", int(state == "idle"))


def _looks(conn: Any, sql: str, state: str, monkeypatch: Any) -> tuple[str, int]:
    asked: list[Any] = []
    original = Knowledge.take
    conn.autocommit = state != "failed"
    if state == "failed":
        with pytest.raises(psycopg.Error):
            conn.execute("SELECT id / 0 FROM shop.people")
    with monkeypatch.context() as patch, conn.pipeline() if state == "pipeline" else nullcontext():
        patch.setattr(Knowledge, "take", lambda *a, **k: asked.append(1) or original(*a, **k))
        with pytest.raises(psycopg.Error) as caught:
            conn.execute(sql)
    conn.rollback()
    return type(caught.value).__name__, len(asked)


def test_what_was_not_followed_is_looked_at(shop: Any, connect: Any) -> None:
    """A connection's own DDL is known to its next statement, and forgotten when rolled back."""
    shop.change(f"GRANT ALL ON SCHEMA shop TO {shop.role}")
    with shop.wall("1h") as wall:
        conn = connect(wall=wall, group="owners")
        conn.execute("CREATE VIEW shop.mine AS SELECT name FROM shop.people")
        with wall.acting_as(shop.token("readers")):
            pass
        assert conn.execute("SELECT name FROM shop.mine WHERE name = 'ada'").fetchall() == [
            ("ada",)
        ]
        before = conn._session.catalog
        with pytest.raises(ZeroDivisionError), conn.transaction():
            conn.execute("CREATE TABLE shop.passing (id int)")
            conn.execute("SELECT 1")
            assert conn._session.catalog.find("shop", "passing")
            raise ZeroDivisionError
        conn.execute("SELECT 1")
        assert conn._session.catalog.find("shop", "passing") is None
        assert conn._session.catalog is before


def test_the_catalog_is_read_once(shop: Any, connect: Any) -> None:
    """Connections share one catalog, and after a change one new one."""
    with shop.wall("0s") as wall, ThreadPoolExecutor(4) as pool:
        conns = [connect(wall=wall) for _ in range(4)]
        list(pool.map(lambda conn: conn.execute("SELECT 1"), conns))
        assert len({id(conn._session.catalog) for conn in conns}) == 1
        before = conns[0]._session.catalog
        shop.change("ALTER TABLE shop.people ADD more text")
        list(pool.map(lambda conn: conn.execute("SELECT more FROM shop.people"), conns))
        assert {id(conn._session.catalog) for conn in conns} != {id(before)}
        assert len({conn._session.catalog.version for conn in conns}) == 1


def test_a_change_in_the_midst_of_threads(shop: Any, connect: Any) -> None:
    """However the changes fall between the statements of threads, no secret comes back."""
    stop, found = threading.Event(), set[str]()
    sql = "SELECT name FROM shop.plain"

    def ask(conn: Any) -> None:
        while not stop.is_set():
            found.add(told(conn, sql))

    with shop.wall("0s") as wall:
        conns = [connect(wall=wall) for _ in range(2)]
        threads = [threading.Thread(target=ask, args=(conn,)) for conn in conns]
        for thread in threads:
            thread.start()
        try:
            for at in range(30):
                column = "secret" if at % 2 else "name"
                shop.change(
                    "CREATE OR REPLACE VIEW shop.plain AS"
                    f" SELECT id, {column} AS name FROM shop.people"
                )
                stop.wait(0.05 * (at % 3))
        finally:
            stop.set()
            for thread in threads:
                thread.join()
    assert any("redacted" in words for words in found), found
    assert any("ada" in words for words in found), found
    assert not any(SECRET in words for words in found)


def test_it_is_looked_again_in_time(shop: Any, connect: Any, monkeypatch: Any) -> None:
    """After catalog_max_age the fingerprint is asked for once, and before it never."""
    conn = connect("1h")
    asked = []
    original = Knowledge.take
    monkeypatch.setattr(
        Knowledge, "take", lambda *a, **k: asked.append(a[2] is None) or original(*a, **k)
    )
    conn.execute("SELECT 1")
    conn.execute("SELECT name FROM shop.people")
    assert not asked
    conn._session.known._checked -= 3601
    conn.execute("SELECT 1")
    conn.execute("SELECT 1")
    # Nobody changed anything: the catalog was not read.
    assert asked == [True]


def test_a_failed_transaction_can_be_ended(shop: Any, connect: Any) -> None:
    """In a transaction that has failed nothing is asked, and ROLLBACK goes through."""
    conn = connect("0s")
    conn.autocommit = False
    with pytest.raises(psycopg.Error):
        conn.execute("SELECT id / 0 FROM shop.people")
    with pytest.raises(psycopg.errors.InFailedSqlTransaction):
        conn.execute("SELECT id FROM shop.people")
    conn.rollback()
    assert conn.execute("SELECT name FROM shop.people WHERE id = 1").fetchone() == ("ada",)


def test_a_pipeline_is_judged_by_what_was_known_before(shop: Any, connect: Any) -> None:
    """In a pipeline nothing is asked; before it, it is."""
    conn = connect("0s")
    with conn.pipeline():
        cursors = [conn.execute("SELECT name FROM shop.people ORDER BY id") for _ in range(3)]
    assert [cursor.fetchone() for cursor in cursors] == [("ada",)] * 3
    shop.change("CREATE OR REPLACE VIEW shop.plain AS SELECT id, secret AS name FROM shop.people")
    with conn.pipeline():
        cursor = conn.execute("SELECT name FROM shop.plain")
    assert cursor.fetchone() == ("[redacted]",)


def test_a_policy_that_fits_no_more_refuses_until_it_fits(shop: Any, connect: Any) -> None:
    """When a masked column is renamed away every statement is refused, until it is back."""
    conn = connect("0s")
    shop.change("ALTER TABLE shop.people RENAME secret TO hush")
    for sql in ("SELECT hush FROM shop.people", "SELECT 1"):
        with pytest.raises(Forbidden, match="does not fit"):
            conn.execute(sql)
    shop.change("ALTER TABLE shop.people RENAME hush TO secret")
    assert conn.execute("SELECT secret FROM shop.people WHERE id = 1").fetchone() == ("[redacted]",)


def test_asking_leaves_the_search_path_as_it_is(scratch_dsn: str) -> None:
    """Reading views' definitions changes no setting, in a transaction or out of it."""
    with psycopg.connect(scratch_dsn, autocommit=True) as conn:
        conn.execute("SET search_path = public, pg_temp")
        for question in QUERIES:
            conn.execute(question)
        assert conn.execute("SHOW search_path").fetchone() == ("public, pg_temp",)
        with conn.transaction():
            conn.execute("SET LOCAL search_path = public")
            for question in QUERIES:
                conn.execute(question)
            assert conn.execute("SHOW search_path").fetchone() == ("public",)
        assert conn.execute("SHOW search_path").fetchone() == ("public, pg_temp",)


ANY_CHANGE = """
ALTER TABLE t ADD b int
ALTER TABLE t RENAME a TO z
ALTER TABLE u ALTER a TYPE int8
ALTER TABLE u DROP COLUMN a
ALTER TABLE t RENAME TO s
ALTER SCHEMA n RENAME TO m
CREATE OR REPLACE VIEW v AS SELECT 1 AS a
CREATE RULE r AS ON INSERT TO t DO ALSO NOTHING
CREATE FUNCTION upper(int) RETURNS int LANGUAGE sql RETURN 1
CREATE OPERATOR + (LEFTARG = text, RIGHTARG = text, FUNCTION = textcat)
CREATE TYPE mood AS ENUM ('good')
CREATE DOMAIN text2 AS text
CREATE CAST (text AS int) WITH INOUT
CREATE TABLE heir () INHERITS (t)
CREATE TRIGGER g INSTEAD OF INSERT ON v FOR EACH ROW EXECUTE FUNCTION n.f()
ALTER TABLE t ADD CONSTRAINT c CHECK (a > 0)
ALTER EXTENSION citext DROP FUNCTION citext(inet)
DROP TABLE t CASCADE
"""


def test_any_change_has_a_fingerprint_of_its_own(scratch_dsn: str) -> None:
    """Each kind of change changes the fingerprint; what changes no schema does not."""
    with psycopg.connect(scratch_dsn, autocommit=True) as conn:
        conn.execute("CREATE EXTENSION IF NOT EXISTS citext")
        conn.execute(
            "CREATE SCHEMA n; CREATE TABLE t (a int); CREATE TABLE u (a int);"
            " CREATE VIEW v AS SELECT a FROM t;"
            " CREATE FUNCTION n.f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN new; END'"
        )

        def fingerprint() -> bytes:
            return conn.execute(FINGERPRINT).pgresult.get_value(0, 0)

        known = fingerprint()
        conn.execute("INSERT INTO t SELECT generate_series(1, 99)")
        conn.execute("ANALYZE t")
        conn.execute("VACUUM t")
        assert fingerprint() == known
        for change in ANY_CHANGE.strip().splitlines():
            with conn.transaction(force_rollback=True):
                conn.execute(change)
                assert fingerprint() != known, change
            assert fingerprint() == known, change


def test_a_late_commit_of_an_early_transaction_is_seen(scratch_dsn: str) -> None:
    """A change by a transaction that began before the last one seen changes the fingerprint."""
    with (
        psycopg.connect(scratch_dsn) as early,
        psycopg.connect(scratch_dsn, autocommit=True) as late,
    ):
        late.execute("CREATE VIEW v AS SELECT 1 AS a; CREATE VIEW w AS SELECT 1 AS a")
        early.execute("SELECT pg_current_xact_id()")
        late.execute("CREATE OR REPLACE VIEW w AS SELECT 2 AS a")
        known = late.execute(FINGERPRINT).pgresult.get_value(0, 0)
        early.execute("CREATE OR REPLACE VIEW v AS SELECT 3 AS a")
        early.commit()
        assert late.execute(FINGERPRINT).pgresult.get_value(0, 0) != known
