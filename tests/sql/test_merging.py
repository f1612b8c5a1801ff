"""MERGE, and what is taken out of documents, sequences, channels and functions in FROM."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import msgspec
import pytest

from tracewall.sql.catalog import Attribute, Relation
from tracewall.sql.flow import How
from tracewall.sql.grammar import Text
from tracewall.sql.paths import how_taken
from tracewall.sql.statement import Misunderstood, Statement, understand

MERGE = "MERGE INTO users u USING orders o ON u.id = o.user_id {}"


def with_relation(reader: Any, made: Relation) -> Any:
    """Give a reader whose catalog has one relation more."""
    known = {**reader.catalog.relations, made.oid: made}
    names = {(each.schema, each.name): each for each in known.values()}
    return replace(
        reader, catalog=replace(reader.catalog, relations=known, _names=names, followed={})
    )


# --- MERGE --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("clauses", "rights"),
    [
        ("WHEN MATCHED THEN DELETE", {"delete users"}),
        ("WHEN MATCHED THEN DO NOTHING", {"select users"}),
        ("WHEN NOT MATCHED THEN DO NOTHING", {"select users"}),
        (
            "WHEN MATCHED THEN UPDATE SET name = 'x'",
            {"update users", "update users.name"},
        ),
        (
            "WHEN NOT MATCHED THEN INSERT (id, name) VALUES (1, 'x')",
            {"insert users", "insert users.id", "insert users.name"},
        ),
        (
            "WHEN MATCHED AND u.ssn = 1 THEN DELETE"
            " WHEN NOT MATCHED BY SOURCE THEN UPDATE SET notes = 'x'",
            {"delete users", "update users", "update users.notes", "select users.ssn"},
        ),
    ],
)
def test_a_merge_needs_the_right_to_all_that_it_may_do(
    reader: Any, clauses: str, rights: set[str]
) -> None:
    """Each action on its table, each column it is joined by or looks at, and the source."""
    joined = {"select orders", "select orders.user_id", "select users.id"}
    assert reader.rights(MERGE.format(clauses)) == rights | joined


def test_what_a_merge_joins_by_and_looks_at_is_compared(reader: Any) -> None:
    """Its condition, and those of its clauses, tell of values as any condition does."""
    sql = "MERGE INTO users u USING orders o ON u.secret = o.secret {}"
    told = reader.uses(sql.format("WHEN MATCHED AND u.token = 'x' THEN DELETE"))
    assert told == {
        ("join", "users.secret"),
        ("join", "orders.secret"),
        ("equality", "users.token"),
    }
    told = reader.uses(sql.format("WHEN NOT MATCHED AND o.total > 3 THEN DO NOTHING"))
    assert ("compare", "orders.total") in told


@pytest.mark.parametrize(
    ("clauses", "writes"),
    [
        (
            "WHEN MATCHED THEN UPDATE SET name = o.secret",
            [("users.name", {"orders.secret EXACT"})],
        ),
        ("WHEN MATCHED THEN UPDATE SET name = u.token", [("users.name", {"users.token EXACT"})]),
        (
            "WHEN NOT MATCHED BY SOURCE THEN UPDATE SET name = u.token",
            [("users.name", {"users.token EXACT"})],
        ),
        (
            "WHEN NOT MATCHED THEN INSERT (name, id) VALUES (o.secret, o.total)",
            [("users.name", {"orders.secret EXACT"}), ("users.id", {"orders.total EXACT"})],
        ),
        (
            "WHEN NOT MATCHED THEN INSERT VALUES (o.total, o.secret)",
            [("users.id", {"orders.total EXACT"}), ("users.name", {"orders.secret EXACT"})],
        ),
        ("WHEN NOT MATCHED THEN INSERT DEFAULT VALUES", []),
    ],
)
def test_what_a_merge_writes_is_known(
    reader: Any, clauses: str, writes: list[tuple[str, set[str]]]
) -> None:
    """By the names of its columns, or in their order where it names none."""
    assert reader.writes(MERGE.format(clauses)) == writes


@pytest.mark.parametrize(
    "clauses",
    [
        "WHEN NOT MATCHED THEN INSERT (name) VALUES (u.token)",
        "WHEN NOT MATCHED AND u.id = 1 THEN DO NOTHING",
        "WHEN NOT MATCHED BY SOURCE THEN UPDATE SET name = o.secret",
        "WHEN NOT MATCHED BY SOURCE AND o.id = 1 THEN DELETE",
        "WHEN NOT MATCHED THEN INSERT (id) VALUES (1, 2)",
        "WHEN NOT MATCHED THEN INSERT (doc['a']) VALUES ('1')",
        "WHEN NOT MATCHED THEN INSERT (id, doc['a']) VALUES (1, '1')",
        "WHEN NOT MATCHED THEN INSERT VALUES (o.*)",
        "WHEN NOT MATCHED THEN INSERT VALUES (1, 2, 3, 4, 5, 6, 7, 8, 9)",
    ],
)
def test_a_merge_that_postgresql_would_not_take_is_not_understood(
    reader: Any, clauses: str
) -> None:
    """What is not matched has no row of the other side; parts of columns are not written."""
    assert isinstance(reader.anyhow(MERGE.format(clauses)), Misunderstood)


def test_so_many_values_as_columns_are_inserted(reader: Any) -> None:
    """As many as there are, or fewer; each lands in its place."""
    eight = "WHEN NOT MATCHED THEN INSERT VALUES (1, 'a', 'b', 'c', 2, 'd', '{}', 'e')"
    assert len(reader.writes(MERGE.format(eight))) == 8
    assert isinstance(reader.anyhow(MERGE.format(eight)), Statement)


def test_values_for_what_is_not_there_are_read_all_the_same(reader: Any) -> None:
    """Where the target is unknown, what its values read needs its rights."""
    sql = "MERGE INTO none n USING orders o ON true WHEN NOT MATCHED THEN INSERT VALUES (o.secret)"
    told = {
        (access.action, access.relation, access.spelled)
        for access in reader.statement(sql).accesses
    }
    assert ("insert", 0, "none") in told
    assert any(action == "select" and spelled == "secret" for action, _, spelled in told)


def test_a_merge_gives_out_the_source_first(reader: Any) -> None:
    """A star of RETURNING stands for the source's columns, then the target's."""
    names = reader.names(MERGE.format("WHEN MATCHED THEN DELETE RETURNING *"))
    assert names[:4] == ["id", "user_id", "total", "secret"] and len(names) == 12
    flows = reader.flows(MERGE.format("WHEN MATCHED THEN DELETE RETURNING u.secret"))
    assert flows == [{"users.secret EXACT"}]


# --- paths into documents -----------------------------------------------------------


def step(text: str) -> Any:
    """Give the tree of an expression."""
    tree = Text(f"SELECT {text}".encode()).parse()
    return tree["SelectStmt"]["targetList"][0]["ResTarget"]["val"]


@pytest.mark.parametrize(
    ("texts", "plain"),
    [
        (["'a'"], True),
        (["'a'", "'b'"], True),
        (["3"], True),
        (["'a'::text"], True),
        (["'3'::int"], True),
        (["'a'::varchar"], True),
        (["'key'::varchar(1)"], False),
        (["'a'::name"], False),
        (["'a'::text::text"], False),
        (["ARRAY['a', 'b']"], True),
        (["ARRAY['a', name]"], False),
        (["ARRAY['a', 'hidden']"], False),
        (["ARRAY['a', 'b']::text[]"], True),
        (["'{a,b}'"], True),
        (["'{a,hidden}'"], False),
        (['\'{"a","hidden"}\''], False),
        (["'{\"hid\\den\"}'"], False),
        (["'{{a},{b}}'"], False),
        (["' {a'"], False),
        (["'[1]'"], False),
        (["'hidden'"], False),
        (["'a'", "'hidden'"], False),
        (["name"], False),
        (["$1"], False),
        (["''"], False),
        (["NULL"], False),
        (["true"], False),
        (["1.5"], False),
        (["'a' || 'b'"], False),
    ],
)
def test_a_path_is_plain_where_each_step_is_a_literal_that_hides_nothing(
    texts: list[str], plain: bool
) -> None:
    """Anything else could be any path, and counts as the whole document."""
    told = how_taken([step(text) for text in texts], lambda key: key == "hidden")
    assert told is (How.TAKEN if plain else How.DERIVED)


def test_a_step_that_is_not_there_is_not_plain() -> None:
    """A path with nothing in a place could be any."""
    assert how_taken([None], lambda key: False) is How.DERIVED


def test_keys_of_a_document_are_hidden_column_by_column(reader: Any) -> None:
    """A path through a column whose mask hides its key counts as computed; others do not."""
    sql = b"SELECT doc -> 'a', doc -> 'b' FROM users"
    doc = reader.catalog.find("app", "users").column("doc").attnum

    def hides(column: tuple[int, int], key: str) -> bool:
        return column == (100, doc) and key == "a"

    found = understand(sql, reader.catalog, hides=hides)
    assert isinstance(found, Statement)
    assert [{source.how for source in flow} for _, flow in found.columns] == [
        {How.DERIVED},
        {How.TAKEN},
    ]


# --- sequences and channels ---------------------------------------------------------

COUNTER = Relation(300, "app", "counter", kind="S", columns=(Attribute(1, "last_value"),))
ODD = Relation(301, "app", "Odd", kind="S", columns=(Attribute(1, "last_value"),))


@pytest.mark.parametrize(
    ("sql", "action", "oid"),
    [
        ("SELECT nextval('counter')", "update", 300),
        ("SELECT nextval('app.counter')", "update", 300),
        ("SELECT nextval(' Counter ')", "update", 300),
        ("SELECT nextval('\"counter\"')", "update", 300),
        ("SELECT nextval('\"Odd\"')", "update", 301),
        ("SELECT nextval('app.\"Odd\"')", "update", 301),
        ("SELECT nextval('Odd')", "update", 0),
        ("SELECT nextval('public.counter')", "update", 0),
        ("SELECT currval('counter')", "select", 300),
        ("SELECT setval('counter', 3)", "update", 300),
        # No sequence: nobody is granted it.
        ("SELECT nextval('users')", "update", 0),
    ],
)
def test_a_sequence_is_the_one_that_its_name_means(
    reader: Any, sql: str, action: str, oid: int
) -> None:
    """The text is folded, quoted and looked up as PostgreSQL does; to draw is to change."""
    held = with_relation(with_relation(reader, COUNTER), ODD)
    (access,) = held.statement(sql).accesses
    assert (access.action, access.relation) == (action, oid)


@pytest.mark.parametrize("name", ["a.b.c", 'co"unter', '"', "name", "'coun' || 'ter'"])
def test_a_sequence_without_a_plain_name_is_not_understood(reader: Any, name: str) -> None:
    """What is computed, or spelled oddly, could mean any."""
    held = with_relation(reader, COUNTER)
    quoted = name if name == "name" or "||" in name else f"'{name}'"
    assert isinstance(held.anyhow(f"SELECT nextval({quoted}) FROM users"), Misunderstood)


def test_what_a_sequence_is_set_to_is_written(reader: Any) -> None:
    """Whoever may use it can read it again."""
    held = with_relation(reader, COUNTER)
    assert held.writes("SELECT setval('counter', ssn) FROM users") == [
        ("counter.last_value", {"users.ssn EXACT"})
    ]
    assert held.writes("SELECT setval('counter', 3, false)") == [("counter.last_value", set())]
    assert held.writes("SELECT nextval('counter')") == []
    assert reader.writes("SELECT setval('counter', ssn) FROM users") == []


def test_channels_are_named_by_literals_and_told_no_values(reader: Any) -> None:
    """`pg_notify` needs the channel, and carries nothing that was read."""
    assert reader.statement("SELECT pg_notify('ch', 'x')").channels == (("notify", "ch"),)
    assert reader.statement("SELECT pg_notify('ch', $1)").channels == (("notify", "ch"),)
    for sql in (
        "SELECT pg_notify(name, 'x') FROM users",
        "SELECT pg_notify($1, 'x')",
        "SELECT pg_notify('ch', name) FROM users",
        "SELECT pg_advisory_lock(ssn) FROM users",
        "SELECT pg_advisory_lock(1, ssn) FROM users",
    ):
        assert isinstance(reader.anyhow(sql), Misunderstood), sql


# --- functions in FROM --------------------------------------------------------------


@pytest.mark.parametrize(
    ("sql", "names"),
    [
        ("SELECT * FROM generate_series(1, 3)", ["generate_series"]),
        ("SELECT * FROM generate_series(1, 3) g", ["g"]),
        ("SELECT * FROM generate_series(1, 3) g (n)", ["n"]),
        ("SELECT * FROM generate_series(1, 3) WITH ORDINALITY", ["generate_series", "ordinality"]),
        ("SELECT * FROM generate_series(1, 3) WITH ORDINALITY g (n, o)", ["n", "o"]),
        (
            "SELECT * FROM ROWS FROM (generate_series(1, 3), unnest(ARRAY[1]))",
            ["generate_series", "unnest"],
        ),
        (
            "SELECT * FROM ROWS FROM (generate_series(1, 3), unnest(ARRAY[1])) r",
            ["generate_series", "unnest"],
        ),
        ("SELECT * FROM unnest(ARRAY[1], ARRAY[2])", ["unnest", "unnest"]),
        ("SELECT * FROM json_to_recordset('[]') AS t (a int, b text)", ["a", "b"]),
    ],
)
def test_functions_in_from_have_the_columns_that_postgresql_gives_them(
    reader: Any, sql: str, names: list[str]
) -> None:
    """By the alias, the function's name, its own columns, or those that are defined."""
    assert reader.names(sql) == names


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM json_to_recordset('[]')",
        "SELECT * FROM generate_series(1, 3) AS t (a int)",
        "SELECT * FROM json_to_recordset('[]') AS t (a app.nosuch)",
        "SELECT * FROM json_to_recordset('[]') AS t (a regconfig)",
        "SELECT * FROM users u, unnest(u.name || u.token) x",
        "SELECT * FROM users u, upper(u::text) x",
        "SELECT * FROM users TABLESAMPLE own (3)",
        "SELECT * FROM users TABLESAMPLE app.system (3)",
    ],
)
def test_functions_in_from_of_unknown_columns_are_not_understood(reader: Any, sql: str) -> None:
    """What has columns of unknown names could give out anything under another's name."""
    assert isinstance(reader.anyhow(sql), Misunderstood)


@pytest.mark.parametrize("type", [3614, 16_384, 20_000])
def test_a_value_that_may_have_fields_is_not_given_to_a_function_in_from(
    reader: Any, type: int
) -> None:
    """A composite or a text search vector becomes several columns there."""
    odd = Relation(310, "app", "odd", columns=(Attribute(1, "v", type), Attribute(2, "a", 1009)))
    held = with_relation(reader, odd)
    assert isinstance(held.anyhow("SELECT * FROM odd, unnest(odd.v) x"), Misunderstood)
    assert isinstance(held.anyhow("SELECT * FROM odd, unnest(odd.a) x"), Statement)
    plain = msgspec.structs.replace(odd, columns=(Attribute(1, "v", 1007),))
    assert isinstance(
        with_relation(reader, plain).anyhow("SELECT * FROM odd, unnest(odd.v) x"), Statement
    )


@pytest.mark.parametrize(
    ("type", "used"),
    [
        (25, False),
        (3802, False),
        (3904, False),
        (0, True),
        (1009, True),
        (22, True),
        (20_000, True),
    ],
)
def test_gathering_what_may_be_arrays_is_a_use(reader: Any, type: int, used: bool) -> None:
    """Arrays of different sizes make no array: the error tells, also where nothing is shown."""
    odd = Relation(310, "app", "odd", columns=(Attribute(1, "v", type), Attribute(2, "a", 25)))
    held = with_relation(reader, odd)
    for gathers in (
        "SELECT EXISTS (SELECT array_agg(v) FROM odd)",
        "SELECT EXISTS (SELECT array_agg(coalesce(v)) OVER () FROM odd)",
        "SELECT EXISTS (SELECT ARRAY(SELECT v FROM odd))",
    ):
        assert held.uses(gathers) == ({("compute", "odd.v")} if used else set())
        assert not held.uses(gathers.replace("v)", "a)").replace(" v ", " a "))


@pytest.mark.parametrize(
    "method", ["bernoulli", "system", "pg_catalog.bernoulli", "pg_catalog.system"]
)
def test_postgresql_s_own_samples_are_taken(reader: Any, method: str) -> None:
    """Its two methods, with its schema or without."""
    assert reader.flows(f"SELECT secret FROM users TABLESAMPLE {method} (3)") == [
        {"users.secret EXACT"}
    ]
