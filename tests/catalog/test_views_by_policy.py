"""What a policy says of views and of what is beneath them, through the public API."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest

from tracewall.errors import Forbidden, Unreadable

SECRET = "zqcanaryzq"
VIEWS = """
CREATE VIEW shop.faces AS SELECT id, name, secret, token, upper(token) AS loud FROM shop.people;
CREATE MATERIALIZED VIEW shop.kept AS SELECT id, token AS kept_token FROM shop.faces;
CREATE VIEW shop.entry AS SELECT id, name, token FROM shop.people;
CREATE FUNCTION shop.mix(text) RETURNS text LANGUAGE sql RETURN 'mixed' || $1;
CREATE VIEW shop.odd AS SELECT id, shop.mix(name) AS mixed, secret FROM shop.people;
CREATE TABLE shop.copies (id int, token text);
"""
ONLY = """
[[grants]]
name = "only-views"
groups = ["viewers"]
actions = ["select", "update"]
tables = ["shop.faces", "shop.kept", "shop.entry", "shop.odd"]
"""
NAMED = """
[[grants]]
name = "as-it-stands"
groups = ["named"]
actions = ["select"]
tables = ["shop.odd"]
columns = ["id", "mixed"]
[[grants]]
name = "beside"
groups = ["named", "others"]
actions = ["select"]
tables = ["shop.o*"]
"""


@pytest.fixture(autouse=True)
def views(shop: Any) -> None:
    """The shop has views."""
    shop.change(VIEWS)


def told(conn: Any, sql: str) -> Any:
    """Give the rows, or the name of the rule that refuses."""
    try:
        cursor = conn.execute(sql)
        return cursor.fetchall() if cursor.description else []
    except Unreadable:
        return "unreadable"
    except Forbidden as ex:
        return ex.decision.rule


def test_a_grant_on_the_view_is_enough(connect: Any) -> None:
    """Who may read a view needs no right to what is beneath; what is beneath is masked."""
    conn = connect(group="viewers", more=ONLY)
    assert told(conn, "SELECT name, secret, token FROM shop.faces WHERE id = 1") == [
        ("ada", "[redacted]", "[redacted]")
    ]
    assert told(conn, "SELECT kept_token FROM shop.kept WHERE id = 1") in ([("[redacted]",)], [])
    assert told(conn, "SELECT name FROM shop.people") == "default"
    assert told(conn, "SELECT loud FROM shop.faces") == "masks.equality"
    assert told(conn, "SELECT id FROM shop.faces WHERE secret = 'a'") == "masks.none"
    token = f"SELECT name FROM shop.faces WHERE token = '{SECRET}t'"
    assert told(conn, token) == [("ada",)]


def test_a_views_column_is_under_the_masks_beneath(connect: Any) -> None:
    """It may be joined to, and copied into, a column under the same mask, and no other."""
    conn = connect()
    joined = "SELECT count(*) FROM shop.faces f JOIN shop.people p ON f.token = p.token"
    assert told(conn, joined) == [(2,)]
    assert told(conn, joined.replace("p.token", "p.name")) == "masks.equality"
    update = "UPDATE shop.people p SET token = e.token FROM shop.entry e WHERE e.id = p.id"
    assert told(conn, update) == []
    assert told(conn, update.replace("shop.people p", "shop.entry p")) == []
    assert told(conn, update.replace("shop.people p", "shop.copies p")) == "masks.equality"
    assert told(conn, "UPDATE shop.entry SET name = token") == "masks.equality"


def test_a_denial_beneath_holds_for_the_columns_that_show_it(connect: Any) -> None:
    """A denied column can't be had by way of a view; the view's other columns can."""
    denial = '[[denials]]\nname = "hush"\ntables = ["shop.people"]\ncolumns = ["secret"]\n'
    conn = connect(more=denial + 'actions = ["select"]\nreason = "no"')
    assert told(conn, "SELECT secret FROM shop.faces") == "denials.hush"
    assert told(conn, "SELECT * FROM shop.faces") == "denials.hush"
    assert told(conn, "SELECT name FROM shop.faces WHERE id = 1") == [("ada",)]
    assert told(conn, "SELECT count(*) FROM shop.faces") == [(2,)]


def test_a_denial_of_writing_beneath_holds_through_a_view(connect: Any) -> None:
    """What may not be written in a table may not be written through a view of it."""
    denial = '[[denials]]\nname = "frozen"\ntables = ["shop.people"]\ncolumns = ["name"]\n'
    conn = connect(more=denial + 'actions = ["update", "delete"]\nreason = "no"')
    assert told(conn, "UPDATE shop.entry SET name = 'x'") == "denials.frozen"
    assert told(conn, "DELETE FROM shop.entry") == "denials.frozen"
    assert told(conn, "UPDATE shop.entry SET token = 'x'") == []


def test_a_mask_may_name_a_views_column(connect: Any) -> None:
    """It is masked there, beside what is masked beneath, and not in the table."""
    mask = '[[masks]]\nname = "faces"\ncolumns = ["shop.faces.name"]\nmethod = "null"'
    conn = connect(more=mask)
    assert told(conn, "SELECT name, token FROM shop.faces WHERE id = 1") == [(None, "[redacted]")]
    assert told(conn, "SELECT name FROM shop.people WHERE id = 1") == [("ada",)]


def test_a_view_that_is_not_followed_needs_its_columns_named(shop: Any, connect: Any) -> None:
    """Whose grant names its columns one by one may read these, and nobody else any."""
    named = connect(group="named", more=NAMED)
    assert told(named, "SELECT mixed FROM shop.odd WHERE id = 1") == [("mixedada",)]
    assert told(named, "SELECT secret FROM shop.odd") == "unreadable"
    assert told(named, "SELECT * FROM shop.odd") == "unreadable"
    for group in ("others", "readers"):
        assert told(connect(group=group, more=NAMED), "SELECT mixed FROM shop.odd") == "unreadable"
    assert told(connect(group="strangers", more=NAMED), "SELECT mixed FROM shop.odd") == "default"
    mask = '[[masks]]\nname = "odd"\ncolumns = ["shop.odd.mixed"]\nmethod = "redact"'
    masked = connect(group="named", more=NAMED + mask)
    assert told(masked, "SELECT mixed FROM shop.odd WHERE id = 1") == [("[redacted]",)]


def test_naming_columns_unmasks_nothing(connect: Any) -> None:
    """A view that can be followed keeps the masks beneath, however it is granted."""
    grant = ONLY.replace('"shop.faces", ', "") + (
        '[[grants]]\nname = "literal"\ngroups = ["viewers"]\nactions = ["select"]\n'
        'tables = ["shop.faces"]\ncolumns = ["id", "secret", "token"]\n'
    )
    conn = connect(group="viewers", more=grant)
    assert told(conn, "SELECT secret FROM shop.faces WHERE id = 1") == [("[redacted]",)]


def test_whoever_may_see_a_column_sees_it_through_a_view(connect: Any) -> None:
    """A grant that lifts a mask from a table's column lifts it in the views of it too."""
    grant = '[[grants]]\nname = "clear"\ngroups = ["clear"]\nactions = ["select"]\n'
    grant += 'tables = ["shop.people", "shop.faces"]\nlifts = ["none"]\n'
    conn = connect(group="clear", more=grant)
    assert told(conn, "SELECT secret FROM shop.faces WHERE id = 1") == [(f"{SECRET}1",)]


def test_what_the_server_tells_of_a_view_fits(connect: Any) -> None:
    """RowDescription names the view's own columns: each kind of result is handed out."""
    conn = connect()
    for sql in (
        "SELECT * FROM shop.faces f JOIN shop.kept k USING (id)",
        "UPDATE shop.entry SET name = name RETURNING *",
        "SELECT f.name FROM shop.faces f UNION ALL SELECT name FROM shop.entry",
        "SELECT q.* FROM (SELECT name, token FROM shop.entry) q",
    ):
        if "name = name" in sql or "faces f JOIN" in sql:
            sql = sql.replace("SELECT *", "SELECT name, kept_token")
        assert isinstance(told(conn, sql), list), sql
        assert SECRET not in repr(told(conn, sql))


EXTENSION = "CREATE EXTENSION citext; CREATE TABLE shop.mails (id int, mail citext, note text)"


def test_columns_of_an_extensions_type_are_everyday(shop: Any, connect: Any) -> None:
    """Where an extension is installed its columns are compared and masked like any other."""
    with psycopg.connect(shop.dsn) as plain:
        found = plain.execute("SELECT FROM pg_available_extensions WHERE name = 'citext'")
        if not found.rowcount:
            pytest.skip("the server has no citext")
    shop.change(EXTENSION, f"INSERT INTO shop.mails VALUES (1, '{SECRET}', 'a')")
    mask = '[[masks]]\nname = "mails"\ncolumns = ["shop.mails.mail"]\nmethod = "redact"'
    conn = connect(more=mask)
    upper = SECRET.upper()
    assert told(conn, f"SELECT mail FROM shop.mails WHERE mail = '{upper}'") == [("[redacted]",)]
    assert told(conn, f"SELECT id FROM shop.mails WHERE mail = '{upper}'::citext") == [(1,)]
    assert told(conn, "SELECT id FROM shop.mails WHERE note = 'a' AND lower(note) = 'a'") == [(1,)]
    for sql in (
        "SELECT replace(mail, 'a', 'b') FROM shop.mails",
        "SELECT id FROM shop.mails WHERE mail > 'a'",
        "SELECT mail::text || '' FROM shop.mails",
    ):
        assert told(conn, sql) == "masks.mails", sql


OWN = """
CREATE TYPE shop.mood AS ENUM ('good', 'bad');
CREATE TABLE shop.moods (id int, mood shop.mood, note text);
INSERT INTO shop.moods VALUES (1, 'good', 'a');
CREATE FUNCTION shop.lower(shop.mood) RETURNS text LANGUAGE sql SECURITY DEFINER
    RETURN (SELECT min(secret) FROM shop.people);
CREATE FUNCTION shop.eq(shop.mood, text) RETURNS boolean LANGUAGE sql SECURITY DEFINER
    RETURN (SELECT max(secret) > $2 FROM shop.people);
CREATE OPERATOR shop.= (LEFTARG = shop.mood, RIGHTARG = text, FUNCTION = shop.eq);
CREATE FUNCTION shop.md5(shop.mood) RETURNS text LANGUAGE sql SECURITY DEFINER
    RETURN (SELECT min(secret) FROM shop.people);
CREATE DOMAIN shop.words AS text;
CREATE FUNCTION shop.reverse(shop.words) RETURNS text LANGUAGE sql SECURITY DEFINER
    RETURN (SELECT min(secret) FROM shop.people);
CREATE CAST (shop.mood AS text) WITH FUNCTION shop.md5(shop.mood);
"""


def test_a_users_function_is_never_run_unseen(shop: Any, connect: Any) -> None:
    """Whatever the arguments, no bare name, operator or cast runs what a user has defined."""
    shop.change(OWN)
    conn = connect()
    with psycopg.connect(shop.dsn, options="-c search_path=shop,public") as plain:
        for sql in (
            "SELECT lower(mood) FROM shop.moods",
            "SELECT lower('good'::shop.mood)",
            "SELECT lower(m.mood) FROM (SELECT max(mood) AS mood FROM shop.moods) m",
            "SELECT lower(coalesce(mood, 'bad')) FROM shop.moods",
            "SELECT lower((ARRAY[mood])[1]) FROM shop.moods",
            "SELECT mood::text FROM shop.moods",
            "SELECT reverse(note::shop.words) FROM shop.moods",
        ):
            assert SECRET in repr(plain.execute(sql).fetchall()), sql
            assert told(conn, sql) == "unreadable", sql
    for sql in (
        "SELECT id FROM shop.moods WHERE mood = 'zqcanaryzq0'::text",
        "SELECT CASE mood WHEN 'a'::text THEN 1 END FROM shop.moods",
        "SELECT id FROM shop.moods WHERE mood IN ('a'::text)",
        "SELECT id FROM shop.moods WHERE mood = ANY (SELECT note FROM shop.moods)",
    ):
        assert told(conn, sql) == "unreadable", sql
    for sql in (
        "SELECT lower(note) FROM shop.moods WHERE id = 1",
        "SELECT lower(upper(note)) FROM shop.moods WHERE note = 'a'",
        "SELECT md5(note) FROM shop.moods WHERE id IN (1, 2)",
    ):
        assert isinstance(told(conn, sql), list), sql
