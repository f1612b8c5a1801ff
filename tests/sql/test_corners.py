"""What changes in the reader's code that no other test noticed would have let through."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import msgspec
import pytest

from tracewall.sql.catalog import Attribute, Overload, Relation
from tracewall.sql.flow import NOTHING, UNKNOWN, How, Source, among, merged, through
from tracewall.sql.lineage import MOST_OUTPUTS
from tracewall.sql.reading import MOST_QUERIES
from tracewall.sql.statement import Misunderstood, Statement


def knowing(reader: Any, *relations: Relation) -> Any:
    """Give a reader whose catalog has these relations, too, or instead of its own."""
    known = {**reader.catalog.relations, **{each.oid: each for each in relations}}
    names = {(each.schema, each.name): each for each in known.values()}
    catalog = replace(reader.catalog, relations=known, _names=names, followed={})
    return replace(reader, catalog=catalog)


# --- the algebra --------------------------------------------------------------------

# What a value is (down) after each step (across), in the order of `How`.
AFTER = """
          EXACT     AMONG     INHERITED PART      TAKEN     SLICED    MEASURED  COMPARED  DERIVED
EXACT     EXACT     AMONG     INHERITED PART      TAKEN     SLICED    MEASURED  COMPARED  DERIVED
AMONG     AMONG     AMONG     INHERITED PART      TAKEN     SLICED    MEASURED  COMPARED  DERIVED
INHERITED INHERITED INHERITED DERIVED   DERIVED   DERIVED   DERIVED   DERIVED   COMPARED  DERIVED
PART      PART      PART      INHERITED PART      TAKEN     SLICED    MEASURED  COMPARED  DERIVED
TAKEN     TAKEN     TAKEN     INHERITED TAKEN     TAKEN     SLICED    MEASURED  COMPARED  DERIVED
SLICED    SLICED    SLICED    DERIVED   SLICED    SLICED    SLICED    DERIVED   COMPARED  DERIVED
MEASURED  MEASURED  MEASURED  MEASURED  MEASURED  MEASURED  MEASURED  MEASURED  COMPARED  MEASURED
COMPARED  COMPARED  COMPARED  COMPARED  COMPARED  COMPARED  COMPARED  COMPARED  COMPARED  COMPARED
DERIVED   DERIVED   DERIVED   DERIVED   DERIVED   DERIVED   DERIVED   DERIVED   COMPARED  DERIVED
"""


@pytest.mark.parametrize("line", AFTER.strip().splitlines()[1:], ids=lambda line: line.split()[0])
def test_what_becomes_of_a_value_by_each_step(line: str) -> None:
    """Each step over each way that a value came gives what the table says."""
    name, *told = line.split()
    flow = frozenset({Source((1, 1), How[name])})
    for step, expected in zip(How, told, strict=True):
        assert through(flow, step) == {Source((1, 1), How[expected])}, step
    assert through(NOTHING, How.DERIVED) == NOTHING


def test_flows_together_are_all_of_theirs() -> None:
    """Merged flows lose no source; what is made up beside a column is among others."""
    one, two = (frozenset({Source((1, at), How.EXACT)}) for at in (1, 2))
    assert merged([one, NOTHING, two], How.PART) == through(one | two, How.PART)
    assert merged([NOTHING, one], How.EXACT) == one
    assert merged([], How.PART) == NOTHING
    assert among([one, two]) == one | two
    assert among([one, NOTHING]) == through(one, How.AMONG)


# --- what is compared, and by what --------------------------------------------------


@pytest.mark.parametrize(
    ("condition", "how"),
    [
        ("secret = ANY (SELECT secret FROM orders)", "join"),
        ("secret IN (SELECT secret FROM orders)", "join"),
        ("secret > ANY (SELECT secret FROM orders)", "compare"),
        ("secret = ALL (SELECT secret FROM orders)", "compare"),
        ("secret <> ALL (SELECT secret FROM orders)", "compare"),
    ],
)
def test_only_equality_with_any_of_them_is_a_join(reader: Any, condition: str, how: str) -> None:
    """Whatever else is compared with a subquery's rows tells more than which are shared."""
    uses = reader.uses(f"SELECT id FROM users WHERE {condition}")
    assert {kind for kind, column in uses if column.endswith(".secret")} == {how}


@pytest.mark.parametrize("edge", ["{} PRECEDING AND CURRENT ROW", "CURRENT ROW AND {} FOLLOWING"])
def test_a_frame_s_edges_are_compared(reader: Any, edge: str) -> None:
    """Where a window's frame begins or ends tells of what it is computed from."""
    between = edge.format("(SELECT total FROM orders LIMIT 1)")
    sql = f"SELECT count(*) OVER (ORDER BY id ROWS BETWEEN {between}) FROM users"
    assert ("compare", "orders.total") in reader.uses(sql)


@pytest.mark.parametrize("index", ["total", "total:9", "1:total"])
def test_an_index_into_a_value_is_compared(reader: Any, index: str) -> None:
    """Which element is taken tells of what it is counted by, at either edge."""
    uses = reader.uses(f"SELECT (ARRAY[1, 2])[{index}] FROM orders")
    assert ("compare", "orders.total") in uses


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT CASE secret WHEN 'a' THEN 1 END FROM users",
        "SELECT 1 FROM users JOIN orders USING (secret)",
        "SELECT 1 FROM users NATURAL JOIN orders",
        "SELECT 1 FROM users WHERE secret = ANY (SELECT secret FROM orders)",
        "SELECT 1 FROM users WHERE secret = 'a'",
    ],
)
def test_an_operator_of_users_own_is_meant_wherever_equality_is(
    reader: Any, reader_beside: Callable[..., Any], sql: str
) -> None:
    """CASE, USING and IN call ``=``, too: where users have one, that may be called."""
    assert isinstance(reader.anyhow(sql), Statement)
    assert isinstance(reader_beside(operators=["="]).anyhow(sql), Misunderstood)


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT json_value(doc, '$.a' RETURNING {}) FROM users",
        "SELECT JSON_ARRAY(1 RETURNING {})",
        "SELECT JSON_ARRAY(SELECT id FROM users RETURNING {})",
        "SELECT secret::{} FROM users",
        "WITH RECURSIVE r AS (SELECT id FROM users UNION ALL SELECT id FROM r) "
        "CYCLE id SET m TO {} 'a' DEFAULT 'b' USING p SELECT m FROM r",
        "WITH RECURSIVE r AS (SELECT id FROM users UNION ALL SELECT id FROM r) "
        "CYCLE id SET m TO 'a' DEFAULT {} 'b' USING p SELECT m FROM r",
    ],
)
def test_a_type_of_users_own_is_read_nowhere(
    reader: Any, reader_beside: Callable[..., Any], sql: str
) -> None:
    """Its input function is code of theirs, wherever a type can be written."""
    assert isinstance(reader.anyhow(sql.format("text")), Statement)
    for name in ("evil", "app.evil"):
        found = reader_beside(types=["evil"]).anyhow(sql.format(name))
        assert isinstance(found, Misunderstood), name


# --- what flows ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sql", "words"),
    [
        ("SELECT tail FROM users", {"users.tail EXACT", "users.secret INHERITED"}),
        ("SELECT (u).doc['a'] FROM users u", {"users.doc TAKEN"}),
        ("SELECT (u).doc['a']['b'] FROM users u", {"users.doc TAKEN"}),
        ("SELECT doc::text FROM users", {"users.doc PART"}),
        ("SELECT secret::jsonb FROM users", {"users.secret PART"}),
        ("SELECT secret::jsonb[] FROM users", {"users.secret DERIVED"}),
        ("SELECT secret::text[] FROM users", {"users.secret DERIVED"}),
        ("SELECT secret::varchar(3) FROM users", {"users.secret DERIVED"}),
        ("SELECT JSON_ARRAY(SELECT secret FROM users)", {"users.secret DERIVED"}),
        ("SELECT JSON_ARRAY(secret) FROM users", {"users.secret DERIVED"}),
        ("SELECT x.ctid FROM users x (a, b, ctid)", {"users.secret EXACT"}),
        ("SELECT ctid FROM users x (a, b, ctid)", {"users.secret EXACT"}),
    ],
)
def test_what_a_spelling_gives(reader: Any, sql: str, words: set[str]) -> None:
    """A generated column, an element, a cast and a renamed column are what they are made of."""
    assert reader.flows(sql) == [words]


@pytest.mark.parametrize("name", ["regconfig", "pg_catalog.regconfig"])
def test_a_configuration_is_read_by_either_name(reader: Any, name: str) -> None:
    """A configuration of text search is a constant, whether its type's schema is said or not."""
    sql = f"SELECT id FROM users WHERE to_tsvector('english'::{name}, notes) @@ to_tsquery('a')"
    assert isinstance(reader.anyhow(sql), Statement)


def test_the_most_outputs_are_allowed_and_one_more_is_not(reader: Any) -> None:
    """As many columns as PostgreSQL gives back are read; more are not understood."""
    for more, kind in ((0, Statement), (1, Misunderstood)):
        sql = "SELECT " + ", ".join(["1"] * (MOST_OUTPUTS + more))
        assert isinstance(reader.anyhow(sql), kind)


# --- rights -------------------------------------------------------------------------


def test_one_table_is_locked_by_its_name(reader: Any) -> None:
    """A lock on the one table there is needs the right to update it."""
    assert "update users" in reader.rights("SELECT id FROM users FOR UPDATE OF users")
    found = reader.anyhow("SELECT id FROM users FOR UPDATE OF orders")
    assert isinstance(found, Misunderstood)


def test_a_system_column_needs_its_table_alone(reader: Any) -> None:
    """``ctid`` is read by whoever may read of the table, partitioned or not."""
    assert reader.rights("SELECT u.ctid FROM users u") == {"select users"}
    assert reader.rights("SELECT ctid FROM logs") == {"select logs"}
    assert reader.rights("SELECT tableoid FROM users") == {"select users"}
    for sql in ("SELECT tableoid FROM logs", "SELECT l.tableoid FROM logs_2024 l"):
        assert isinstance(reader.anyhow(sql), Misunderstood), sql


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT {0}.id FROM {0}",
        "SELECT id FROM {0}",
        "SELECT x.id FROM {0} x",
        "SELECT 1 FROM users WHERE EXISTS (SELECT id FROM {0})",
        "SELECT (SELECT line) FROM {0}, users",
        "SELECT {0}.ctid FROM {0}",
    ],
)
@pytest.mark.parametrize("name", ["nowhere", "app.nowhere"])
def test_what_is_not_there_needs_a_right_that_nobody_has(reader: Any, sql: str, name: str) -> None:
    """An unknown table is read like a known one, and asks for a right on nothing at all."""
    accesses = reader.anyhow(sql.format(name)).accesses
    assert ("select", 0, 0) in {access[:3] for access in accesses}
    # Its columns are as unknown as it is: nothing more is said of them.
    assert not [access for access in accesses if not access.relation and access.attnum]


@pytest.mark.parametrize(
    "sql",
    [
        "INSERT INTO people (id) VALUES (1)",
        "UPDATE people SET name = 'a'",
        "DELETE FROM people",
    ],
)
def test_a_view_of_unknown_definition_is_not_written_through(reader: Any, sql: str) -> None:
    """What the server would make of a write through a view has to be known."""
    assert isinstance(reader.anyhow(sql), Misunderstood)


@pytest.mark.parametrize("kind", ["i", "S", "t", "c", "I"])
def test_what_is_no_table_is_not_read(reader: Any, kind: str) -> None:
    """Indexes, sequences, TOAST tables and types are no relations of the caller's."""
    (decoy,) = [each for each in reader.catalog.relations.values() if each.name == "decoy"]
    other = knowing(reader, msgspec.structs.replace(decoy, kind=kind))
    assert isinstance(other.anyhow("SELECT x FROM decoy"), Misunderstood)
    assert isinstance(other.anyhow("SELECT id FROM orders"), Statement)


# --- the server's own relations -----------------------------------------------------


@pytest.fixture(scope="module")
def own(reader: Any) -> Any:
    """A reader that knows three of the server's own relations, too."""
    columns = {
        "pg_am": "oid amname",
        "pg_attribute": "attrelid attname attmissingval",
        "pg_locks": "pid mode",
    }
    made = []
    for oid, (name, listed) in enumerate(columns.items(), start=900):
        held = tuple(Attribute(at, each) for at, each in enumerate(listed.split(), start=1))
        made.append(Relation(oid, "pg_catalog", name, columns=held))
    return knowing(reader, *made)


def test_the_server_s_relations_are_read_only(own: Any) -> None:
    """They are read as any table is, but for those that tell of others' sessions."""
    rights = own.rights("SELECT attname FROM pg_attribute")
    assert rights == {"select pg_catalog.pg_attribute", "select pg_catalog.pg_attribute.attname"}
    for sql in (
        "SELECT pid FROM pg_locks",
        "DELETE FROM pg_attribute",
        "UPDATE pg_attribute SET attname = 'a'",
    ):
        assert isinstance(own.anyhow(sql), Misunderstood), sql


@pytest.mark.parametrize("column", ["attmissingval", "a.attmissingval", "a.*", "a"])
def test_values_in_the_server_s_relations_are_nobody_s(own: Any, column: str) -> None:
    """What rows had before a column was added needs a right that nobody has."""
    accesses = own.anyhow(f"SELECT {column} FROM pg_attribute a").accesses
    assert ("select", 0, UNKNOWN) in {access[:3] for access in accesses}
    assert all(
        access.relation for access in own.anyhow("SELECT attname FROM pg_attribute").accesses
    )


def test_a_setting_that_a_parameter_names_is_compared_to_access_methods_only(own: Any) -> None:
    """Its value could be found out by any comparison but equality with what is no secret."""
    asked = "SELECT 1 FROM pg_am WHERE amname {} current_setting($1)"
    assert isinstance(own.anyhow(asked.format("=")), Statement)
    for operator in ("<", ">=", "~", "||"):
        assert isinstance(own.anyhow(asked.format(operator)), Misunderstood), operator
    for column in ("attname", "name"):
        sql = f"SELECT 1 FROM pg_attribute, users WHERE {column} = current_setting($1)"
        assert isinstance(own.anyhow(sql), Misunderstood)


# --- what is not there --------------------------------------------------------------


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT nowhere.none.x FROM nowhere.none",
        "SELECT none.x FROM none",
        "SELECT nosuch FROM none",
        "SELECT nosuch FROM none JOIN users ON true",
        "SELECT nosuch FROM users JOIN none ON true",
        "SELECT (SELECT nosuch) FROM users, none",
    ],
)
def test_only_the_relation_is_missing_where_it_is_unknown(reader: Any, sql: str) -> None:
    """A name that an unknown relation may have is asked of it alone, not told as missing, too."""
    missing = [access for access in reader.statement(sql).accesses if not access.relation]
    assert [(access.attnum, access.spelled.rpartition(".")[2]) for access in missing] == [
        (0, "none")
    ]


def test_a_column_that_no_relation_has_is_missing(reader: Any) -> None:
    """Where each relation is known, a name that none has is one that nobody is granted."""
    for sql in ("SELECT nosuch FROM users", "SELECT u.nosuch FROM users u"):
        missing = [access for access in reader.statement(sql).accesses if not access.relation]
        assert [(access.attnum, access.spelled) for access in missing] == [(UNKNOWN, "nosuch")]


@pytest.mark.parametrize(("kind", "read"), [("r", True), ("p", True), ("f", True), ("c", False)])
def test_tables_of_every_kind_are_read_and_nothing_else(reader: Any, kind: str, read: bool) -> None:
    """Plain, partitioned and foreign tables have rows; a composite type has none."""
    table = msgspec.structs.replace(reader.catalog.find("app", "decoy"), kind=kind)
    found = knowing(reader, table).anyhow("SELECT secret FROM decoy")
    assert isinstance(found, Statement) is read


# --- too much -----------------------------------------------------------------------


@pytest.mark.parametrize(("queries", "read"), [(MOST_QUERIES - 1, True), (MOST_QUERIES, False)])
def test_so_many_queries_are_read_and_no_more(reader: Any, queries: int, read: bool) -> None:
    """Subqueries count with the statement's own, up to a number that is told."""
    listed = ", ".join(["(SELECT 1)"] * queries)
    found = reader.anyhow(f"SELECT id FROM users WHERE id IN ({listed})")
    assert isinstance(found, Statement) is read
    assert read or str(MOST_QUERIES) in found.reason


# --- own functions and operators by their number of arguments -----------------------


@pytest.mark.parametrize(
    ("name", "sql"),
    [
        ("percentile_disc", "SELECT percentile_disc(0.5) WITHIN GROUP (ORDER BY name) FROM users"),
        ("concat", "SELECT concat(VARIADIC ARRAY['a', name]) FROM users"),
        ("=", "SELECT 1 FROM users JOIN orders USING (id)"),
        ("=", "SELECT 1 FROM users NATURAL JOIN orders"),
        ("=", "SELECT 1 FROM users WHERE name = secret"),
    ],
)
def test_an_overload_of_two_arguments_may_be_meant(reader: Any, name: str, sql: str) -> None:
    """Where arguments have no plain order, and for both sides of a join, none is left out."""
    own = {name: (Overload(name, "app", least=2, most=2),)}
    kind = "operators" if name == "=" else "functions"
    catalog = replace(reader.catalog, followed={}, **{kind: own})
    found = replace(reader, catalog=catalog).anyhow(sql)
    assert isinstance(found, Misunderstood) and "a user's own" in found.reason
    assert isinstance(reader.anyhow(sql), Statement)
