"""The wall that permits everything: psycopg's behaviour, behind doors that still record."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

import tracewall
from tracewall.testing import TokenIssuer, permit_all


@pytest.fixture(scope="module")
def wall() -> Iterator[tracewall.Wall]:
    """A wall that permits everything."""
    with permit_all() as made:
        yield made


@pytest.fixture
def conn(wall: tracewall.Wall, admin_dsn: str) -> Iterator[tracewall.Connection[Any]]:
    """A connection of nobody in particular, who logs in as they like."""
    with tracewall.connect(admin_dsn, wall=wall, autocommit=True) as made:
        yield made


@pytest.fixture
def plain(admin_dsn: str) -> Iterator[psycopg.Connection[Any]]:
    """A connection without a wall."""
    with psycopg.connect(admin_dsn, autocommit=True) as made:
        yield made


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT 1 AS one; SELECT 2, 'two'",
        "CREATE TEMP TABLE box (id int PRIMARY KEY, t text); INSERT INTO box VALUES (1, 'a')",
        "DO $$ BEGIN PERFORM 1; END $$",
        "CREATE TEMP TABLE boxes AS SELECT 1 AS a; SELECT * FROM boxes; DROP TABLE boxes",
        "SELECT rolname FROM pg_roles WHERE rolname = 'pg_monitor'",
        "SHOW server_version_num",
        "PREPARE p AS SELECT 3; EXECUTE p; DEALLOCATE p",
        "VALUES (1), (2)",
    ],
)
def test_results_are_psycopgs(conn: Any, plain: Any, sql: str) -> None:
    """Whatever the statement, or several at once, the results are those of plain psycopg."""
    seen = []
    for each in (conn, plain):
        cursor, rows = each.execute(sql), []
        while True:
            rows.append((cursor.statusmessage, cursor.description and cursor.fetchall()))
            if not cursor.nextset():
                break
        seen.append(rows)
    assert seen[0] == seen[1]


@pytest.mark.parametrize(
    "sql", ["SELEKT", "SELECT * FROM nowhere", "SELECT 1/0", "SELECT 'a'::int"]
)
def test_errors_are_psycopgs(conn: Any, plain: Any, sql: str) -> None:
    """Errors come from the server, in its own words."""
    told = []
    for each in (conn, plain):
        with pytest.raises(psycopg.Error) as caught:
            each.execute(sql)
        told.append((type(caught.value), str(caught.value), caught.value.diag.message_primary))
    assert told[0] == told[1]


def test_notices_are_psycopgs(conn: Any, plain: Any) -> None:
    """Notices come in the server's own words."""
    told = []
    for each in (conn, plain):
        heard: list[Any] = []
        each.add_notice_handler(lambda diag, heard=heard: heard.append(diag.message_primary))
        each.execute("DO $$ BEGIN RAISE NOTICE 'psst'; END $$")
        told.append(heard)
    assert told == [["psst"]] * 2


def test_a_table_may_change_its_shape(conn: Any) -> None:
    """What the catalog said before a change of schema withholds nothing after it."""
    conn.execute("CREATE TEMP TABLE shifty (a int)")
    assert conn.execute("SELECT * FROM shifty").fetchall() == []
    conn.execute("ALTER TABLE shifty ADD b int DEFAULT 2")
    conn.execute("INSERT INTO shifty VALUES (1)")
    assert conn.execute("SELECT * FROM shifty").fetchall() == [(1, 2)]


def test_others_may_act_under_tokens(admin_dsn: str) -> None:
    """A token of the issuer that it was given is verified and recorded; a wrong one refused."""
    issuer = TokenIssuer()
    with permit_all(issuer=issuer) as wall:
        token = issuer.mint("ada", ["testers"], audience="permit-all")
        with tracewall.connect(admin_dsn, wall=wall, token=token) as conn:
            assert conn.execute("SELECT 1; SELECT 2").fetchall() == [(1,)]
        forged = TokenIssuer().mint("eve", ["testers"], audience="permit-all")
        with pytest.raises(tracewall.TokenRejected):
            tracewall.connect(admin_dsn, wall=wall, token=forged)


def test_it_is_recorded() -> None:
    """That the guards are off is in the record before the first statement."""
    heard: list[Any] = []

    class Log:
        def incident(self, incident: Any) -> None:
            heard.append(incident)

        def close(self) -> None:
            pass

    permit_all(audit=Log()).close()  # type: ignore[arg-type]
    assert [incident.kind for incident in heard] == ["policy_loaded", "unsafe"]
    assert "unsafe_anonymous, unsafe_logins" in heard[1].detail


def test_its_files_go_with_it() -> None:
    """The policy, keys and record of such a wall are gone when it is."""
    wall = permit_all()
    home = Path(wall.policy.path).parent
    assert home.is_dir()
    wall.close()
    del wall
    gc.collect()
    assert not home.exists()
