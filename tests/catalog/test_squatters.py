"""Operators of somebody else's, better matches than PostgreSQL's own: no question uses them."""

from __future__ import annotations

import itertools

import psycopg
import pytest

from tracewall.sql.catalog import FINGERPRINT, QUERIES

TYPES = ["oid", "int2", "int4", "int8", "name", "text", '"char"', "regclass", "regnamespace", "xid"]
OPERATORS = ["=", "<>", ">", ">=", "~", "!~", "||", "&", "-"]
FUNCTION = (
    "CREATE FUNCTION public.squat(a {}, b {}) RETURNS bool LANGUAGE plpgsql"
    " AS $$ BEGIN RAISE 'squatted'; END $$"
)
OPERATOR = "CREATE OPERATOR public.{} (leftarg = {}, rightarg = {}, function = public.squat)"
USED = """SELECT count(*) FROM pg_depend d JOIN pg_operator o ON o.oid = d.refobjid
    WHERE d.refclassid = 'pg_operator'::regclass AND d.classid = 'pg_rewrite'::regclass
    AND o.oprcode = ANY (SELECT oid FROM pg_proc WHERE proname = 'squat')"""


@pytest.fixture
def squatted(scratch_dsn: str) -> str:
    """A database with an operator of a user's for every pair of types PostgreSQL has none for."""
    pairs = [*itertools.product(TYPES, TYPES)]
    made = [FUNCTION.format(*pair) for pair in pairs]
    made += [OPERATOR.format(name, *pair) for name in OPERATORS for pair in pairs]
    with psycopg.connect(scratch_dsn) as conn:
        conn.execute("; ".join(made))
    return scratch_dsn


def test_no_question_about_the_catalog_runs_an_operator_of_a_users(squatted: str) -> None:
    """Whoever may create operators on the search path can't choose what the wall is told."""
    with psycopg.connect(squatted, autocommit=True) as conn:
        for at, question in enumerate([FINGERPRINT, *QUERIES]):
            conn.execute(f"CREATE VIEW question{at} AS {question.decode()}")
        conn.execute("SET search_path = pg_catalog")
        assert conn.execute(USED).fetchone() == (0,)
        # The check itself can fail: a name and a literal find the user's operator.
        conn.execute("SET search_path = public")
        conn.execute("CREATE VIEW fooled AS SELECT relname !~ '^pg_' AS one FROM pg_class")
        conn.execute("SET search_path = pg_catalog")
        assert conn.execute(USED).fetchone() == (1,)
