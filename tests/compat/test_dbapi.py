"""PEP 249, point by point: what the public-domain compliance suite asks, of psycopg and of us."""

from __future__ import annotations

import datetime
import time
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

import tracewall
from tracewall.testing import permit_all

ERRORS = {
    "Warning": Exception,
    "Error": Exception,
    "InterfaceError": psycopg.Error,
    "DatabaseError": psycopg.Error,
    "DataError": psycopg.DatabaseError,
    "OperationalError": psycopg.DatabaseError,
    "IntegrityError": psycopg.DatabaseError,
    "InternalError": psycopg.DatabaseError,
    "ProgrammingError": psycopg.DatabaseError,
    "NotSupportedError": psycopg.DatabaseError,
}
BOOZE = [f"beer {at}" for at in range(6)]


@pytest.fixture(scope="module")
def wall() -> Iterator[tracewall.Wall]:
    """A wall that permits everything."""
    with permit_all() as made:
        yield made


@pytest.fixture(params=["psycopg", "tracewall"])
def driver(request: pytest.FixtureRequest) -> Any:
    """A DB-API module: psycopg, which shows that the tests are right, and tracewall."""
    return {"psycopg": psycopg, "tracewall": tracewall}[request.param]


@pytest.fixture
def connect(driver: Any, wall: Any, scratch_dsn: str) -> Iterator[Any]:
    """Make connections, closed at the end."""
    options = {"wall": wall} if driver is tracewall else {}
    made: list[Any] = []

    def open_one() -> Any:
        made.append(driver.connect(scratch_dsn, **options))
        return made[-1]

    yield open_one
    for conn in made:
        conn.close()


@pytest.fixture
def conn(connect: Any) -> Any:
    """A connection, to a database with a table of drinks, six of which are in it."""
    made = connect()
    cursor = made.cursor()
    cursor.execute("CREATE TABLE booze (name varchar(20))")
    cursor.executemany("INSERT INTO booze VALUES (%s)", [(name,) for name in BOOZE])
    made.commit()
    return made


def test_globals(driver: Any) -> None:
    """The module says its level, how threads may share it, and how parameters are written."""
    assert (driver.apilevel, driver.threadsafety, driver.paramstyle) == ("2.0", 2, "pyformat")
    assert callable(driver.connect)


@pytest.mark.parametrize("name", ERRORS)
def test_errors(driver: Any, conn: Any, name: str) -> None:
    """The exceptions form PEP 249's tree, and are attributes of connections too."""
    error = getattr(driver, name)
    assert issubclass(error, ERRORS[name])
    assert getattr(conn, name) is error


def test_a_connection_ends(driver: Any, conn: Any) -> None:
    """After close() a connection and its cursors raise."""
    cursor = conn.cursor()
    conn.close()
    for use in (conn.commit, conn.cursor, lambda: cursor.execute("SELECT 1")):
        with pytest.raises(driver.Error):
            use()
    conn.close()


def test_a_cursor_ends(driver: Any, conn: Any) -> None:
    """After close() a cursor raises, and the connection does not."""
    cursor = conn.cursor()
    cursor.close()
    with pytest.raises(driver.Error):
        cursor.execute("SELECT 1")
    conn.commit()


def test_commit_and_rollback(connect: Any, conn: Any) -> None:
    """What is committed others see; what is rolled back, or left, nobody does."""
    other, count = connect(), "SELECT count(*) FROM booze"
    cursor = conn.cursor()
    cursor.execute("INSERT INTO booze VALUES ('ale')")
    conn.rollback()
    cursor.execute("INSERT INTO booze VALUES ('stout')")
    assert other.execute(count).fetchone() == (6,)
    conn.commit()
    assert other.execute(count).fetchone() == (7,)
    cursor.execute("DELETE FROM booze")
    conn.close()
    assert other.execute(count).fetchone() == (7,)


def test_cursors_of_a_connection_see_each_other(conn: Any) -> None:
    """Cursors of one connection are not isolated from each other."""
    first, second = conn.cursor(), conn.cursor()
    first.execute("DELETE FROM booze WHERE name = 'beer 0'")
    second.execute("SELECT count(*) FROM booze")
    assert second.fetchone() == (5,)


def test_description(conn: Any) -> None:
    """Seven items for each column of a result; None where there is no result."""
    cursor = conn.cursor()
    assert cursor.description is None
    cursor.execute("SELECT name FROM booze")
    ((*items,),) = cursor.description
    assert len(items) == 7 and items[0] == "name"
    cursor.execute("DELETE FROM booze")
    assert cursor.description is None


def test_types(driver: Any, conn: Any) -> None:
    """Type objects compare equal to type codes of their kinds."""
    cursor = conn.cursor()
    cursor.execute("SELECT 'a'::varchar, 1, ''::bytea, now(), 1::oid")
    kinds = (driver.STRING, driver.NUMBER, driver.BINARY, driver.DATETIME, driver.ROWID)
    for column, kind in zip(cursor.description, kinds, strict=True):
        assert column[1] == kind
        assert [column[1] == other for other in kinds].count(True) == 1


def test_rowcount(conn: Any) -> None:
    """Rows found or changed; -1 before anything."""
    cursor = conn.cursor()
    assert cursor.rowcount == -1
    cursor.execute("SELECT name FROM booze")
    assert cursor.rowcount == 6
    cursor.execute("UPDATE booze SET name = 'x' WHERE name < 'beer 2'")
    assert cursor.rowcount == 2
    cursor.executemany("INSERT INTO booze VALUES (%(n)s)", [{"n": "a"}, {"n": "b"}])
    assert cursor.rowcount == 2


@pytest.mark.parametrize("value", ["Cooper's", "back\\slash", 'quo"te', "per%cent", "", None])
def test_parameters(conn: Any, value: Any) -> None:
    """Parameters by place and by name come back as they were."""
    cursor = conn.cursor()
    cursor.execute("SELECT %s::text", (value,))
    assert cursor.fetchone() == (value,)
    cursor.execute("SELECT %(beer)s::text, %(beer)s::text", {"beer": value})
    assert cursor.fetchone() == (value, value)


def test_fetchone(driver: Any, conn: Any) -> None:
    """One row after another, then None; an error where there is no result."""
    cursor = conn.cursor()
    with pytest.raises(driver.Error):
        cursor.fetchone()
    cursor.execute("SELECT name FROM booze WHERE name = 'beer 1'")
    assert cursor.fetchone() == ("beer 1",)
    assert cursor.fetchone() is None
    cursor.execute("INSERT INTO booze VALUES ('x')")
    with pytest.raises(driver.Error):
        cursor.fetchone()


def test_fetchmany(driver: Any, conn: Any) -> None:
    """`arraysize` rows, or as many as asked, then none; an error where there is no result."""
    cursor = conn.cursor()
    with pytest.raises(driver.Error):
        cursor.fetchmany(4)
    cursor.execute("SELECT name FROM booze ORDER BY name")
    assert cursor.arraysize == 1
    assert len(cursor.fetchmany()) == 1
    cursor.arraysize = 2
    assert [len(cursor.fetchmany()), len(cursor.fetchmany(10)), cursor.fetchmany()] == [2, 3, []]
    cursor.execute("SELECT name FROM booze WHERE false")
    assert cursor.fetchmany() == []


def test_fetchall(driver: Any, conn: Any) -> None:
    """The rest of the rows, then none; an error where there is no result."""
    cursor = conn.cursor()
    with pytest.raises(driver.Error):
        cursor.fetchall()
    cursor.execute("SELECT name FROM booze ORDER BY name")
    first, some, rest = cursor.fetchone(), cursor.fetchmany(2), cursor.fetchall()
    assert [name for (name,) in (first, *some, *rest)] == BOOZE
    assert cursor.fetchall() == []
    cursor.execute("DELETE FROM booze")
    with pytest.raises(driver.Error):
        cursor.fetchall()


def test_iteration(conn: Any) -> None:
    """A cursor is an iterable of its rows."""
    cursor = conn.cursor()
    cursor.execute("SELECT name FROM booze ORDER BY name")
    assert [name for (name,) in cursor] == BOOZE


def test_nextset(conn: Any) -> None:
    """The results of several statements come one after another."""
    cursor = conn.cursor()
    cursor.execute("SELECT count(*) FROM booze; SELECT name FROM booze")
    assert cursor.fetchall() == [(6,)]
    assert cursor.nextset()
    assert len(cursor.fetchall()) == 6
    assert cursor.nextset() is None


def test_sizes(conn: Any) -> None:
    """The sizes may be said, and change nothing."""
    cursor = conn.cursor()
    cursor.setinputsizes((25,))
    cursor.setoutputsize(1000)
    cursor.setoutputsize(2000, 0)
    cursor.execute("SELECT 1")
    assert cursor.fetchall() == [(1,)]


def test_constructors(driver: Any, conn: Any) -> None:
    """The constructors of dates, times and binary strings make what the database takes."""
    ticks = time.mktime((2002, 12, 25, 13, 45, 30, 0, 0, 0))
    made = (
        driver.Date(2002, 12, 25),
        driver.Time(13, 45, 30),
        driver.Timestamp(2002, 12, 25, 13, 45, 30),
        driver.Binary(b"Something\0"),
        driver.DateFromTicks(ticks),
        driver.TimeFromTicks(ticks),
        driver.TimestampFromTicks(ticks).replace(tzinfo=None),
    )
    cursor = conn.cursor()
    row = cursor.execute(
        "SELECT %s::date, %s::time, %s::timestamp, %s::bytea, %s::date, %s::time, %s::timestamp",
        made,
    ).fetchone()
    noon = datetime.datetime(2002, 12, 25, 13, 45, 30)
    day, hour = noon.date(), noon.time()
    assert row == (day, hour, noon, b"Something\0", day, hour, noon)
