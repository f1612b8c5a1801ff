"""The list of functions against the server's own: every one was looked at, and decided on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import psycopg
import pytest

from tracewall.sql.calls import CALLED
from tracewall.sql.functions import FUNCTIONS, RECORDS, TABLE_FUNCTIONS
from tracewall.sql.system import LOOKING

REFUSED = frozenset((Path(__file__).parent / "refused_functions.txt").read_text().split())
SYNTAX = frozenset(
    "coalesce current_timestamp greatest ilike least localtime localtimestamp trim".split()
)
"""Listed names that are words of the grammar, and no functions of the catalog."""

OWN = """
    SELECT p.proname, bool_or(p.provolatile = 'v'),
        bool_or(p.proargmodes && '{o,t}' OR p.prorettype = 'record'::regtype)
    FROM pg_proc p WHERE p.pronamespace = 'pg_catalog'::regnamespace GROUP BY 1"""
MACHINERY = """
    SELECT p.proname FROM pg_proc p WHERE p.oid IN (
        SELECT oprcode FROM pg_operator UNION SELECT oprrest FROM pg_operator
        UNION SELECT oprjoin FROM pg_operator UNION SELECT castfunc FROM pg_cast
        UNION SELECT amproc FROM pg_amproc UNION SELECT amhandler FROM pg_am
        UNION SELECT unnest(ARRAY[typinput, typoutput, typreceive, typsend, typmodin, typmodout,
            typanalyze, typsubscript]::oid[]) FROM pg_type
        UNION SELECT unnest(ARRAY[aggtransfn, aggfinalfn, aggcombinefn, aggserialfn, aggdeserialfn,
            aggmtransfn, aggminvtransfn, aggmfinalfn]::oid[]) FROM pg_aggregate
        UNION SELECT conproc FROM pg_conversion UNION SELECT prosupport FROM pg_proc)
    OR p.prorettype IN ('internal'::regtype, 'trigger'::regtype)
    OR 'internal'::regtype = ANY (p.proargtypes)"""
HARMLESS_VOLATILE = frozenset(
    "clock_timestamp timeofday random random_normal gen_random_uuid uuidv4 uuidv7 array_sample "
    "array_shuffle pg_is_in_recovery pg_xact_status txid_status".split()
)
"""Volatile functions on the list: they read a clock, a source of random, or the server's state."""

WITH_EFFECTS = frozenset("set_config pg_notify nextval currval setval".split())
"""Functions that change something: the reader knows what, and what that needs."""


@pytest.fixture(scope="module")
def own(admin_dsn: str) -> dict[str, tuple[bool, bool]]:
    """PostgreSQL's own functions: whether they are volatile, whether they give a record."""
    with psycopg.connect(admin_dsn) as conn:
        return {name: (volatile, record) for name, volatile, record in conn.execute(OWN)}


def test_every_function_of_the_server_was_decided_on(own: Any, admin_dsn: str) -> None:
    """A function is listed, or refused by name, or part of the machinery of types and indexes.

    A new version of PostgreSQL brings new ones, which turn this red until somebody decides.
    """
    with psycopg.connect(admin_dsn) as conn:
        machinery = {name for (name,) in conn.execute(MACHINERY)}
    undecided = own.keys() - CALLED - machinery - REFUSED
    assert not undecided
    assert not REFUSED & CALLED


def test_every_listed_function_is_one_of_the_servers(own: Any, admin_dsn: str) -> None:
    """No name is on the list that the server does not have: it could be a user's only."""
    with psycopg.connect(admin_dsn) as conn:
        if conn.info.server_version < 180000:
            pytest.skip("some of them came with version 18")
    types = {name for name in LOOKING if name.startswith("reg")}
    assert CALLED - own.keys() <= SYNTAX | types


def test_listed_functions_change_nothing(own: Any) -> None:
    """No listed function is volatile, but for clocks, random, and those whose effect is known."""
    volatile = {name for name in FUNCTIONS if own.get(name, (False, False))[0]}
    assert volatile <= HARMLESS_VOLATILE
    for name in CALLED - FUNCTIONS.keys():
        if own.get(name, (False, False))[0]:
            assert name in WITH_EFFECTS or "advisory" in name or name in LOOKING, name


def test_the_columns_of_functions_that_give_records_are_known(own: Any) -> None:
    """A function that gives more columns than one is read with exactly those, or is refused."""
    records = {name for name in CALLED if own.get(name, (False, False))[1]}
    known = {name for name, columns in TABLE_FUNCTIONS.items() if columns} | RECORDS
    # What unnest() is given is looked at, and min() and max() do not stand in FROM.
    assert records - {"unnest", "min", "max"} <= known
