"""Names that hold dots: nothing is granted by a pattern there, and nothing gets away from one."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest

from tracewall.policy.model import Glob

CANARY = "zqdottedzq"
TABLES = f"""
CREATE TABLE shop.plain_one (id int, "dotted.name" text);
INSERT INTO shop.plain_one VALUES (1, '{CANARY}');
CREATE TABLE shop."dotted.one" (id int, name text);
INSERT INTO shop."dotted.one" VALUES (1, '{CANARY}');
CREATE SCHEMA "dotted.shop";
CREATE TABLE "dotted.shop".one (id int, name text);
INSERT INTO "dotted.shop".one VALUES (1, '{CANARY}');
CREATE VIEW shop.first_view AS SELECT "dotted.name" AS fine FROM shop.plain_one;
CREATE VIEW shop.second_view AS SELECT name AS fine FROM shop."dotted.one";
CREATE VIEW shop.third_view AS SELECT name AS fine FROM "dotted.shop".one;
"""
GRANTS = """
[[grants]]
name = "views"
groups = ["viewers"]
actions = ["select", "anything"]
tables = ["shop.*_view", "shop.plain_one"]
"""
EVERY_COLUMN = '"shop.plain*.*", "shop.*.n*", "*.*.name"'
RULES = {
    "mask": f'[[masks]]\nname = "m"\ncolumns = [{EVERY_COLUMN}]\nmethod = "redact"\n',
    "scan": f'[[scans]]\nname = "s"\ncolumns = [{EVERY_COLUMN}]\n[[scans.patterns]]\n'
    f'name = "p"\nregex = "{CANARY}"\n',
    "denial": '[[denials]]\ngroups = ["viewers"]\nactions = ["select"]\n'
    'tables = ["shop.plain*", "shop.*one", "*.one"]\n',
}


@pytest.mark.parametrize("view", ["first_view", "second_view", "third_view"])
@pytest.mark.parametrize("rule", RULES)
def test_what_hides_or_takes_reaches_names_with_dots(
    shop: Any, connect: Any, view: str, rule: str
) -> None:
    """A view shows no column past a mask, a scan or a denial because of a dot in a name."""
    shop.change(TABLES, "CREATE TABLE shop.none (name text)", "CREATE TABLE shop.one (name text)")
    grants = GRANTS.replace(', "anything"', "")
    conn = connect(group="viewers", more=grants + RULES[rule])
    try:
        shown = conn.execute(f"SELECT fine FROM shop.{view}").fetchall()
    except psycopg.errors.InsufficientPrivilege:
        assert rule == "denial"
    else:
        assert rule != "denial"
        assert shown and CANARY not in str(shown)


def test_nothing_is_granted_by_a_pattern_that_a_dot_is_in(shop: Any, connect: Any) -> None:
    """A column or a table whose name holds a dot is out of the reach of grants."""
    shop.change(TABLES)
    conn = connect(group="viewers", more=GRANTS.replace(', "anything"', ""))
    for sql in ('SELECT "dotted.name" FROM shop.plain_one', "SELECT * FROM shop.plain_one"):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            conn.execute(sql)
    assert conn.execute("SELECT id FROM shop.plain_one").fetchall() == [(1,)]


def test_parts_are_matched_apart() -> None:
    """No part of a pattern takes the place of another, whatever dots a name holds."""
    assert Glob("a.*.c").reaches("a", "b.x", "c")
    assert Glob("*.*.*").reaches("", "a.b", "c\n.d")
    assert not Glob("a.b.c").reaches("a.b", "c", "d")
    assert not Glob("a.b.c").reaches("a.b.c")
    assert not Glob("a.b").reaches("a", "b", "c")
