"""The judge: what is allowed, what is masked, what is refused and how that is told."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest


def shown(decision: Any) -> list[str]:
    """Give what hides each output: ``clear``, or ``method rule``."""
    assert decision.allowed, decision.reason
    return [
        f"{column.mask.method.name} {column.rule}" if column.mask else column.rule or "clear"
        for column in decision.columns
    ]


# --- rights -------------------------------------------------------------------------


def test_without_a_grant_nothing_is_allowed(judge: Any, words: Any) -> None:
    """An empty policy forbids every relation, for every action; what reads none is allowed."""
    for sql in (
        "SELECT id FROM people",
        "SELECT count(*) FROM people",
        "SELECT FROM people",
        "INSERT INTO people (id) VALUES (1)",
        "UPDATE people SET id = 1",
        "DELETE FROM people",
    ):
        assert judge(sql).outcome == "forbidden"
        assert judge(sql, words.grant(), groups=()).outcome == "forbidden"
        assert judge(sql, words.grant(), groups=("strangers",)).outcome == "forbidden"
    assert judge("SELECT 1").allowed


@pytest.mark.parametrize(
    ("sql", "actions"),
    [
        ("SELECT id FROM people", "select"),
        ("SELECT count(*) FROM people", "select"),
        ("SELECT id FROM people FOR UPDATE", "select update"),
        ("INSERT INTO people (id) VALUES (1)", "insert"),
        ("INSERT INTO people (id) VALUES (1) RETURNING id", "insert select"),
        ("INSERT INTO people (id) SELECT id FROM accounts", "insert select"),
        ("INSERT INTO people (id) VALUES (1) ON CONFLICT (id) DO NOTHING", "insert select"),
        ("INSERT INTO people (id) VALUES (1) ON CONFLICT DO NOTHING", "insert"),
        (
            "INSERT INTO people (id) VALUES (1) ON CONFLICT (id) DO UPDATE SET name = 'a'",
            "insert select update",
        ),
        ("UPDATE people SET name = 'a'", "update"),
        ("UPDATE people SET name = 'a' WHERE id = 1", "update select"),
        ("UPDATE people SET name = 'a' RETURNING id", "update select"),
        ("DELETE FROM people", "delete"),
        ("DELETE FROM people WHERE id = 1", "delete select"),
        ("WITH d AS (DELETE FROM people) SELECT 1", "delete"),
        ("WITH u AS (UPDATE people SET name = 'a') DELETE FROM people", "update delete"),
    ],
)
def test_each_action_needs_its_grant(judge: Any, words: Any, sql: str, actions: str) -> None:
    """A statement is allowed by exactly the actions that it does, and by no fewer."""
    assert judge(sql, words.grant(actions=actions)).allowed
    for missing in actions.split():
        rest = " ".join({"select", "insert", "update", "delete"} - {missing})
        assert judge(sql, words.grant(actions=rest)).outcome == "forbidden"


def test_a_grant_may_be_limited_to_columns(judge: Any, words: Any) -> None:
    """Columns beside those granted can't be read, compared, starred, returned or written."""
    few = words.grant(actions="all", columns="id name")
    for sql in (
        "SELECT id, name FROM people WHERE name = 'a' ORDER BY id",
        "SELECT count(*) FROM people",
        "INSERT INTO people (id, name) VALUES (1, 'a') RETURNING id",
        "UPDATE people SET name = 'a' WHERE id = 1",
        "DELETE FROM people WHERE id = 1",
    ):
        assert judge(sql, few).allowed, sql
    for sql in (
        "SELECT email FROM people",
        "SELECT * FROM people",
        "SELECT people FROM people",
        "SELECT count(email) FROM people",
        "SELECT id FROM people WHERE email IS NULL",
        "SELECT id FROM people ORDER BY email",
        "SELECT id FROM people GROUP BY id, email",
        "SELECT id FROM people JOIN accounts USING (id, token)",
        "SELECT id FROM people NATURAL JOIN accounts",
        "SELECT 1 FROM people WHERE EXISTS (SELECT 1 WHERE email = 'a')",
        "SELECT id FROM (SELECT * FROM people) q",
        "WITH q AS (SELECT email FROM people) SELECT 1",
        "INSERT INTO people VALUES (1, 'a', 'b')",
        "INSERT INTO people (email) VALUES ('a')",
        "INSERT INTO people (id) VALUES (1) RETURNING *",
        "INSERT INTO people (id) VALUES (1) ON CONFLICT (email) DO NOTHING",
        "UPDATE people SET email = 'a'",
        "UPDATE people SET name = email",
        "DELETE FROM people WHERE email = 'a'",
        "DELETE FROM people RETURNING email",
    ):
        assert judge(sql, few).outcome == "forbidden", sql


def test_grants_add_up(judge: Any, words: Any) -> None:
    """Columns and actions of several grants, to any of one's groups, are all allowed."""
    names = words.grant(columns="id name", name="a")
    mails = words.grant(columns="email", name="b", groups="mail*")
    sql = "SELECT name, email FROM people"
    assert judge(sql, names, mails, groups=("people", "mailers")).allowed
    assert judge(sql, names, mails).outcome == "forbidden"


def test_a_denial_wins_over_every_grant(judge: Any, words: Any) -> None:
    """What a denial takes is forbidden whatever grants say; all else stays allowed."""
    everything = words.grant(actions="all")
    no_mail = words.denial("shop.people", columns="email", name="mail", reason="ask HR")
    assert judge("SELECT id FROM people", everything, no_mail).allowed
    assert judge("SELECT count(*) FROM people", everything, no_mail).allowed
    for sql in ("SELECT email FROM people", "SELECT * FROM people", "SELECT people FROM people"):
        decision = judge(sql, everything, no_mail)
        assert (decision.outcome, decision.rule, decision.reason) == (
            "forbidden",
            "denials.mail",
            "ask HR",
        )
    none_at_all = words.denial("shop.people")
    assert judge("SELECT count(*) FROM people", everything, none_at_all).outcome == "forbidden"
    assert judge("SELECT count(*) FROM accounts", everything, none_at_all).allowed
    assert judge("DELETE FROM people", everything, none_at_all).allowed


@pytest.mark.parametrize("columns", ["*", "**", "n* *"])
def test_a_denial_of_all_columns_is_one_of_the_relation(
    judge: Any, words: Any, columns: str
) -> None:
    """Where all columns are denied, not even rows can be counted."""
    decision = judge(
        "SELECT count(*) FROM people", words.grant(), words.denial("shop.people", columns=columns)
    )
    assert decision.outcome == "forbidden"


def test_a_denied_column_is_not_deleted(judge: Any, words: Any) -> None:
    """Deleting rows deletes each of their columns: the denial of one is the denial of all."""
    everything = words.grant(actions="all")
    keep = words.denial("shop.people", actions="delete", columns="email")
    assert judge("DELETE FROM people", everything, keep).outcome == "forbidden"


@pytest.mark.parametrize(
    ("denied", "read"),
    [
        ("logs", "logs_2024"),
        ("logs", "logs_2024_01"),
        ("logs_2024", "logs"),
        ("logs_2024_01", "logs"),
        ("logs_2024", "logs_2024_01"),
    ],
)
def test_what_is_denied_is_not_had_by_its_kin(
    judge: Any, words: Any, denied: str, read: str
) -> None:
    """A denial holds for partitions and heirs of a table, and for what it is a part of."""
    everything = words.grant(actions="all")
    line = words.denial(f"shop.{denied}", columns="line")
    assert judge(f"SELECT line FROM {read}", everything, line).outcome == "forbidden"
    assert judge(f"SELECT at FROM {read}", everything, line).allowed
    assert judge("SELECT line FROM logs_2025", everything, words.denial("shop.logs_2024")).allowed


def test_a_generated_column_is_denied_with_its_source(judge: Any, words: Any) -> None:
    """A column that is computed from a denied one is denied too."""
    decision = judge(
        "SELECT tail FROM people", words.grant(), words.denial("shop.people", columns="token")
    )
    assert decision.outcome == "forbidden"
    assert judge("SELECT tail FROM people", words.grant(columns="tail")).allowed


# --- outputs ------------------------------------------------------------------------

KEYS = "shop.people.token"


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("SELECT token, id FROM people", ["redact masks.mask", "clear"]),
        ("SELECT id, token AS x FROM people p", ["clear", "redact masks.mask"]),
        ("SELECT * FROM accounts", ["clear"] * 4),
        ("SELECT p.token, a.token FROM people p, accounts a", ["redact masks.mask", "clear"]),
        ("SELECT t FROM (SELECT token FROM people) q (t)", ["redact masks.mask"]),
        ("WITH q AS (SELECT token FROM people) SELECT * FROM q", ["redact masks.mask"]),
        ("SELECT token FROM accounts UNION ALL SELECT token FROM people", ["redact masks.mask"]),
        ("SELECT token FROM people UNION ALL SELECT 'x'", ["redact masks.mask"]),
        ("SELECT (SELECT token FROM people LIMIT 1), 1", ["redact masks.mask", "clear"]),
        ("SELECT token FROM people JOIN accounts USING (id)", ["redact masks.mask"]),
        ("UPDATE people SET name = 'a' RETURNING token", ["redact masks.mask"]),
        ("DELETE FROM people RETURNING token, id", ["redact masks.mask", "clear"]),
        ("SELECT tail, id FROM people", ["redact masks.mask", "clear"]),
        (
            "SELECT count(token), token IS NULL FROM people GROUP BY id, token IS NULL",
            ["clear"] * 2,
        ),
    ],
)
def test_a_masked_column_is_masked_where_it_shows(
    judge: Any, words: Any, sql: str, expected: list[str]
) -> None:
    """A masked column is masked by position, through whatever hands it on unchanged."""
    rules = (words.grant(actions="all"), words.mask(KEYS))
    assert (
        shown(judge(sql.replace("GROUP BY id, token IS NULL", "GROUP BY id"), *rules)) == expected
    )


@pytest.mark.parametrize(
    "expression",
    [
        "token || 'x'",
        "upper(token)",
        "substr(token, 1, 1)",
        "length(token)",
        "token::text",
        "coalesce(token, 'x')",
        "CASE WHEN id = 1 THEN token END",
        "nullif(token, 'x')",
        "token = 'x'",
        "min(token)",
        "array_agg(token)",
        "string_agg(token, '')",
        "to_jsonb(token)",
        "ARRAY[token]",
        "ROW(token)",
        "people",
        "people::text",
        "to_jsonb(people)",
        "ARRAY(SELECT token FROM people)",
        "lag(token) OVER ()",
        "tail || 'x'",
        "length(tail)",
    ],
)
def test_an_expression_over_a_masked_column_is_refused(
    judge: Any, words: Any, expression: str
) -> None:
    """By default nothing computed from a masked column is given out; the hint says what is."""
    for predicates in ("none", "equality", "any"):
        rules = (words.grant(), words.mask(KEYS, predicates))
        decision = judge(f"SELECT {expression} FROM people", *rules)
        assert (decision.outcome, decision.rule) == ("forbidden", "masks.mask")
    assert "shop.people.token" in decision.reason
    assert decision.hint


@pytest.mark.parametrize(
    ("expression", "allowed"),
    [
        ("coalesce(token, 'x')", True),
        ("length(token)", True),
        ("token::text", True),
        ("CASE WHEN id = 1 THEN token END", True),
        ("array_agg(token)", True),
        ("token = 'x'", True),
        ("token || 'x'", False),
        ("upper(token)", True),
        ("left(md5(token), id)", True),
        ("ROW(id, token)", True),
        ("upper(token || 'x')", False),
        ("length(token) + 1", False),
        ("token::int", False),
        ("token::jsonb", False),
        ("people", False),
        ("substr(token, 1, 1)", False),
        ("jsonb_array_length(token::jsonb)", False),
    ],
)
def test_masked_expressions_become_constants(
    judge: Any, words: Any, expression: str, allowed: bool
) -> None:
    """With expressions = "mask", what can't raise becomes a constant; what can is refused."""
    partial = words.mask(KEYS, expressions="mask", method="partial", keep_last=4)
    decision = judge(f"SELECT {expression} FROM people", words.grant(), partial)
    assert decision.allowed is allowed
    if allowed:
        assert shown(decision) == ["redact masks.mask"]
        assert decision.columns[0].mask.method.keep_last == 0


def test_several_masks_on_one_position_become_one_constant(judge: Any, words: Any) -> None:
    """Where values of several rules meet, only what hides each of them will do."""
    rules = (
        words.grant(),
        words.mask(KEYS, name="a", method="partial", keep_last=4),
        words.mask("shop.accounts.token", name="b", method="null"),
        words.scan("shop.people.notes", name="s"),
        words.scan("shop.people.doc", name="t"),
    )
    union = "SELECT token FROM people UNION ALL SELECT {} FROM {}"
    assert shown(judge(union.format("token", "accounts"), *rules)) == ["redact masks.a+b"]
    assert shown(judge(union.format("notes", "people"), *rules)) == ["redact masks.a+s"]
    assert shown(judge(union.format("name", "people"), *rules)) == ["partial masks.a"]
    both = judge("SELECT notes FROM people UNION ALL SELECT doc FROM people", *rules)
    assert shown(both) == ["scans.s, scans.t"]


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("notes", "scans.scan"),
        ("notes::text", "scans.scan"),
        ("coalesce(notes, name)", "scans.scan"),
        ("CASE WHEN id = 1 THEN notes END", "scans.scan"),
        ("max(notes)", "scans.scan"),
        ("array_agg(notes)", "scans.scan"),
        ("notes::jsonb ->> 'a'", "scans.scan"),
        ("length(notes)", "clear"),
        ("sum(length(notes)) / 2", "clear"),
        ("notes LIKE '%a%'", "clear"),
        ("count(DISTINCT notes)", "clear"),
    ],
)
def test_a_scanned_column_is_scanned_where_it_shows(
    judge: Any, words: Any, expression: str, expected: str
) -> None:
    """Scanned text is scanned whole or in whole parts; its measures and truths are clear."""
    rules = (words.grant(), words.scan("shop.people.notes"))
    assert shown(judge(f"SELECT {expression} FROM people", *rules)) == [expected]


@pytest.mark.parametrize(
    "expression",
    [
        "notes || ''",
        "left(notes, 3)",
        "substr(notes, 2)",
        "reverse(notes)",
        "md5(notes)",
        "string_agg(notes, '')",
        "regexp_replace(notes, '-', '')",
        "notes::varchar(4)",
        "notes::name",
        "string_to_array(notes, '-')",
        "length(repeat('x', ascii(notes)))",
        "length(replace(notes, 'a', ''))",
        "position('a' IN notes)",
        "encode(notes::bytea, 'base64')",
        "people",
        "notes::jsonb -> name",
        "notes::jsonb ->> $1",
    ],
)
def test_what_could_defeat_the_detectors_is_refused(
    judge: Any, words: Any, expression: str
) -> None:
    """Slices of scanned text, and whatever else is computed from it, are refused."""
    decision = judge(
        f"SELECT {expression} FROM people", words.grant(), words.scan("shop.people.notes")
    )
    assert (decision.outcome, decision.rule) == ("forbidden", "scans.scan")


def test_a_lifted_mask_shows_the_value(judge: Any, words: Any) -> None:
    """A grant that lifts a mask shows its columns in clear to its groups, where it grants them."""
    lifting = words.grant(lifts=frozenset({"mask"}))
    rules = (words.mask("shop.people.token shop.accounts.token"),)
    assert shown(judge("SELECT token, upper(token) FROM people", lifting, *rules)) == ["clear"] * 2
    assert judge("SELECT id FROM people WHERE token > 'a'", lifting, *rules).allowed
    few = words.grant("shop.people", columns="token", lifts=frozenset({"mask"}), name="few")
    sql = "SELECT p.token, a.token FROM people p, accounts a"
    assert shown(judge(sql, words.grant(), few, *rules)) == ["clear", "redact masks.mask"]
    write_only = words.grant(actions="insert", lifts=frozenset({"mask"}), name="writers")
    assert shown(judge("SELECT token FROM people", words.grant(), write_only, *rules)) == [
        "redact masks.mask"
    ]
    assert shown(judge("SELECT token FROM people", lifting, *rules, words.scan(KEYS))) == [
        "scans.scan"
    ]


@pytest.mark.parametrize("masked", ["logs", "logs_2024", "logs_2024_01"])
@pytest.mark.parametrize("read", ["logs", "logs_2024", "logs_2024_01"])
def test_kin_inherit_masks(judge: Any, words: Any, masked: str, read: str) -> None:
    """A mask on a table masks its partitions and heirs, and what they are a part of."""
    rules = (words.grant(), words.mask(f"shop.{masked}.line"))
    assert shown(judge(f"SELECT line FROM {read}", *rules)) == ["redact masks.mask"]
    sibling = shown(judge("SELECT line FROM logs_2025", *rules))
    assert sibling == (["redact masks.mask"] if masked == "logs" else ["clear"])


# --- uses ---------------------------------------------------------------------------

EQUALITY = ("token = 'a'", "token IN ('a', $1)", "token = ANY ($1)", "token IS DISTINCT FROM 'a'")
COMPARISON = ("token > 'a'", "token LIKE 'a%'", "upper(token) = 'A'", "token = name", "token ~ 'a'")
SHAPES = (
    "SELECT id FROM people WHERE {}",
    "SELECT count(*) FILTER (WHERE {}) FROM people",
    "SELECT id FROM people GROUP BY id, token HAVING {}",
    "SELECT CASE WHEN {} THEN 1 END FROM people",
    "SELECT 1 FROM people JOIN accounts a ON {}",
    "DELETE FROM people WHERE {}",
    "UPDATE people SET name = 'a' WHERE {}",
    "SELECT 1 WHERE EXISTS (SELECT 1 FROM people WHERE {})",
    "INSERT INTO notes (id) SELECT id FROM people WHERE {}",
    "SELECT id FROM people ORDER BY {}",
)


@pytest.mark.parametrize("shape", SHAPES)
def test_predicates_say_how_a_column_may_be_compared(judge: Any, words: Any, shape: str) -> None:
    """ "none" allows no comparison, "equality" those with constants, "any" all of them."""
    everything = words.grant(actions="all")
    shape = shape.replace("GROUP BY id, token", "GROUP BY id").replace("token", "people.token")
    for conditions, allowed in ((EQUALITY, "equality any"), (COMPARISON, "any")):
        for condition in conditions:
            sql = shape.format(
                condition.replace("token", "people.token").replace("name", "people.name")
            )
            for rule in (words.mask, words.scan):
                for predicates in ("none", "equality", "any"):
                    decision = judge(sql, everything, rule(KEYS, predicates))
                    # ORDER BY compares even what equality tells.
                    fits = predicates in allowed
                    assert decision.allowed is fits, (sql, predicates, decision.reason)


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT id FROM people ORDER BY token",
        "SELECT id FROM people ORDER BY tail",
        "SELECT count(*) FROM people GROUP BY token",
        "SELECT DISTINCT token FROM people",
        "SELECT DISTINCT ON (token) id FROM people",
        "SELECT rank() OVER (ORDER BY token) FROM people",
        "SELECT rank() OVER (PARTITION BY token) FROM people",
        "SELECT array_agg(id ORDER BY token) FROM people",
        "SELECT count(DISTINCT token) FROM people",
        "SELECT token FROM people UNION SELECT token FROM people",
        "SELECT token FROM people INTERSECT ALL SELECT 'a'",
        "SELECT id FROM people LIMIT (SELECT length(token) FROM people LIMIT 1)",
        "SELECT id FROM people WHERE token IN (SELECT 'a')",
        "SELECT id FROM people JOIN (VALUES ('a')) v (token) USING (token)",
        "SELECT g FROM people, generate_series(1, 9) g WHERE token = g::text",
        "SELECT count(*) FROM people, generate_series(1, ascii(token))",
        "WITH q AS MATERIALIZED (SELECT token::int FROM people) SELECT count(*) FROM q",
        "SELECT id FROM people WHERE people IS NOT NULL",
    ],
)
def test_ordering_and_the_like_need_any(judge: Any, words: Any, sql: str) -> None:
    """Ordering, grouping, telling apart, made-up values and errors need predicates = "any"."""
    for predicates in ("none", "equality"):
        assert judge(sql, words.grant(), words.mask(KEYS, predicates)).outcome == "forbidden"
    assert judge(sql, words.grant(), words.mask(KEYS, "any")).allowed


def test_columns_under_the_same_mask_may_be_joined(judge: Any, words: Any) -> None:
    """A join by equality is allowed where both sides are under the mask, and it is not lifted."""
    sql = "SELECT p.id, a.id FROM people p JOIN accounts a USING (token)"
    where = "SELECT p.id FROM people p WHERE token IN (SELECT token FROM accounts)"
    both = words.mask("shop.*.token")
    for statement in (sql, where):
        assert judge(statement, words.grant(), both).allowed
        assert judge(statement, words.grant(), words.mask(KEYS)).outcome == "forbidden"
        assert (
            judge(statement, words.grant(), words.mask("shop.*.token", "none")).outcome
            == "forbidden"
        )
        two = (words.mask(KEYS, name="a"), words.mask("shop.accounts.token", name="b"))
        assert judge(statement, words.grant(), *two).outcome == "forbidden"
        lifting = words.grant("shop.accounts", lifts=frozenset({"mask"}), name="lifts")
        assert judge(statement, words.grant(), lifting, both).outcome == "forbidden"


def test_on_conflict_is_a_comparison(judge: Any, words: Any) -> None:
    """Whether a row was in the way tells of a value: as equality, if the values are constants."""
    everything = words.grant(actions="all")
    constant = "INSERT INTO people (id, token) VALUES (1, $1) ON CONFLICT DO NOTHING"
    made_up = "INSERT INTO people (token) SELECT id::text FROM notes ON CONFLICT DO NOTHING"
    arbiter = "INSERT INTO people (id) VALUES (1) ON CONFLICT (token) DO NOTHING"
    for sql, needed in ((constant, "equality any"), (arbiter, "equality any"), (made_up, "any")):
        for predicates in ("none", "equality", "any"):
            decision = judge(sql, everything, words.mask(KEYS, predicates))
            assert decision.allowed is (predicates in needed), (sql, predicates)


# --- writes -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE people SET name = token",
        "UPDATE people SET name = tail",
        "UPDATE people SET name = (SELECT token FROM people LIMIT 1)",
        "UPDATE people SET (name, id) = (SELECT token, 1 FROM people LIMIT 1)",
        "UPDATE people SET name = (token = 'a')::text",
        "UPDATE people SET doc['a'] = to_jsonb(token)",
        "INSERT INTO notes (line) SELECT token FROM people",
        "INSERT INTO notes (line) SELECT token FROM people UNION ALL SELECT 'a'",
        "INSERT INTO notes (line) VALUES ((SELECT token FROM people LIMIT 1))",
        "INSERT INTO notes (id) VALUES (1)"
        " ON CONFLICT (id) DO UPDATE SET line = (SELECT token FROM people)",
        "INSERT INTO people (id) VALUES (1) ON CONFLICT (id) DO UPDATE SET name = people.token",
        "UPDATE notes SET line = p.token FROM people p",
        "WITH q AS (SELECT token FROM people) INSERT INTO notes (line) SELECT token FROM q",
        "WITH q AS (DELETE FROM people RETURNING token) INSERT INTO notes (line) TABLE q",
        "WITH q AS (INSERT INTO notes (line) SELECT token FROM people) SELECT 1",
        "UPDATE accounts SET token = p.token FROM people p",
    ],
)
def test_a_masked_value_is_not_copied_to_where_it_is_less_protected(
    judge: Any, words: Any, sql: str
) -> None:
    """A protected value flows only into columns under the same rules, lifted or not."""
    everything = words.grant(actions="all")
    for predicates in ("none", "equality", "any"):
        assert judge(sql, everything, words.mask(KEYS, predicates)).outcome == "forbidden"
    lifting = words.grant(actions="all", lifts=frozenset({"mask"}))
    assert judge(sql, lifting, words.mask(KEYS)).outcome == "forbidden"


def test_a_masked_value_may_be_copied_under_the_same_mask(judge: Any, words: Any) -> None:
    """Between columns under the same mask a value may be copied; and it may be written anew."""
    everything = words.grant(actions="all")
    both = words.mask("shop.*.token")
    assert judge("INSERT INTO accounts (token) SELECT token FROM people", everything, both).allowed
    assert judge("UPDATE people SET token = 'a', name = 'b'", everything, both).allowed
    assert judge("UPDATE people SET token = $1 WHERE id = $2", everything, both).allowed


def test_scanned_text_is_not_copied_but_measured(judge: Any, words: Any) -> None:
    """Scanned text is not copied to where it is not scanned; its length may be."""
    everything = words.grant(actions="all")
    scanned = words.scan("shop.people.notes")
    for expression in ("notes", "notes::text", "left(notes, 1)", "coalesce(notes, 'a')"):
        sql = f"INSERT INTO notes (line) SELECT {expression} FROM people"
        assert judge(sql, everything, scanned).outcome == "forbidden"
    assert judge(
        "INSERT INTO notes (id) SELECT length(notes) FROM people", everything, scanned
    ).allowed
    both = words.scan("shop.people.notes shop.notes.line")
    assert judge("INSERT INTO notes (line) SELECT notes FROM people", everything, both).allowed


# --- how it is told -----------------------------------------------------------------


@pytest.mark.parametrize(
    "shape",
    [
        "SELECT * FROM {}",
        "SELECT id FROM {}",
        "SELECT nothing FROM {}",
        "SELECT count(*) FROM {}",
        "SELECT {} FROM {}",
        "SELECT * FROM {} x (a, b, c, d, e, f, g, h, i, j, k)",
        "SELECT 1 FROM {} UNION SELECT 1, 2",
        "SELECT id FROM {} FOR UPDATE",
        "SELECT pg_sleep(1) FROM {}",
        "SELECT id::regclass FROM {}",
        "SELECT id === 1 FROM {}",
        "SELECT nowhere.id FROM {}",
        "SELECT * FROM {} TABLESAMPLE SYSTEM (1)",
        "INSERT INTO {} VALUES (1)",
        "INSERT INTO {} VALUES (1, 2, 3, 4, 5, 6, 7, 8, 9, 10)",
        "INSERT INTO {} (id) VALUES (1) RETURNING *",
        "UPDATE {} SET id = 1",
        "UPDATE {} SET nothing = 1",
        "DELETE FROM {}",
        "SELECT (SELECT id FROM {} LIMIT 1)",
        "WITH q AS (SELECT * FROM {}) SELECT * FROM q",
    ],
)
def test_what_is_forbidden_and_what_is_not_there_sound_the_same(
    judge: Any, words: Any, shape: str
) -> None:
    """No statement tells a relation that exists, a view even, from one that does not."""
    told = {}
    for name in ("shop.people", "shop.nowhere", "nowhere.people", "shop.faces", "faces", "nothere"):
        if shape.startswith("SELECT {}") and "." in name:
            continue
        decision = judge(shape.replace("{}", name), words.grant("shop.notes"))
        assert decision.outcome == "forbidden"
        told[name] = (
            decision.rule,
            decision.reason.replace(name, "NAME"),
            decision.hint,
            decision.unreadable,
        )
    assert len(set(told.values())) == 1, told


def test_a_column_that_is_forbidden_and_one_that_is_not_there_sound_the_same(
    judge: Any, words: Any
) -> None:
    """No statement tells a column that exists from one that does not."""
    few = words.grant(columns="id name", actions="all")
    for shape in (
        "SELECT {} FROM people",
        "SELECT p.{} FROM people p",
        "SELECT id FROM people WHERE {} = 1",
        "SELECT id FROM people ORDER BY {}",
        "INSERT INTO people ({}) VALUES (1)",
        "UPDATE people SET {} = 1",
        "DELETE FROM people RETURNING {}",
        "INSERT INTO people (id) VALUES (1) ON CONFLICT ({}) DO NOTHING",
    ):
        told = set()
        for name in ("email", "nothing", "cmid"):
            decision = judge(shape.format(name), few)
            told.add((decision.rule, decision.reason.replace(name, "NAME"), decision.hint))
        assert len(told) == 1, told


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM {} x (a, b, c, d, e, f, g, h, i)",
        "INSERT INTO {} VALUES (1, 2, 3, 4, 5, 6, 7, 8, 9, 10)",
        "COPY (SELECT * FROM {} x (a, b, c, d, e, f, g, h, i)) TO STDOUT",
        "EXPLAIN SELECT * FROM {} x (a, b, c, d, e, f, g, h, i)",
        "DECLARE c CURSOR FOR SELECT * FROM {} x (a, b, c, d, e, f, g, h, i)",
        "SELECT 1 FROM {}, pg_locks x",
        "WITH q AS (SELECT * FROM {} x (a, b, c, d, e)) UPDATE other.people SET id = 1",
        "INSERT INTO other.people (nope) SELECT * FROM {} x (a, b, c, d, e)",
        "SELECT nope FROM other.people WHERE EXISTS (SELECT FROM {} x (a, b, c, d, e))",
        *(
            f"WITH q AS ({each}) UPDATE other.people SET id = 1"
            for each in (
                "DELETE FROM {} RETURNING id",
                "DELETE FROM {} RETURNING *",
                "DELETE FROM {} x RETURNING x.id",
                "DELETE FROM {} x RETURNING x.*",
                "DELETE FROM {} x RETURNING x",
                "DELETE FROM {} RETURNING old.id",
                "DELETE FROM {} WHERE token = 'a'",
                "DELETE FROM {} WHERE nothing = 'a'",
                "UPDATE {} SET token = 'a'",
                "UPDATE {} SET token = ssn",
                "INSERT INTO {} (id) VALUES (1) RETURNING id",
                "INSERT INTO {} (id) VALUES (1) ON CONFLICT (id) DO NOTHING",
                "INSERT INTO {} (id) VALUES (1) ON CONFLICT ON CONSTRAINT k DO NOTHING",
                "INSERT INTO {} (id) VALUES (1) ON CONFLICT (id) DO UPDATE SET token = 'a'",
                "MERGE INTO {} x USING other.people p ON x.id = p.id WHEN MATCHED THEN DELETE",
            )
        ),
    ],
)
def test_a_relation_that_is_not_there_is_refused_alike(judge: Any, words: Any, sql: str) -> None:
    """A decision is the same in all that its caller sees, whether or not a relation is there."""
    few = words.grant(tables="other.people", actions="all")
    there, nowhere = (
        replace(judge(sql.format(name), few).for_caller(), text="", reason="")
        for name in ("accounts", "nowhere")
    )
    assert repr(there) == repr(nowhere)


def test_a_refusal_hints_at_what_is_allowed(judge: Any, words: Any) -> None:
    """The hint lists the columns one may use for each action, and no others."""
    decision = judge("SELECT email FROM people", words.grant(columns="id name"))
    assert decision.hint == "columns of shop.people for you to select: id, name"
    assert judge("SELECT email FROM people").hint == ""


def test_what_is_not_understood_says_so(judge: Any, words: Any) -> None:
    """An unreadable statement is forbidden as such, to those who may do everything too."""
    for sql in ("SELEC", "SELECT 1; SELECT 2", "DROP TABLE people", "SELECT * FROM faces"):
        decision = judge(sql, words.grant(actions="all"))
        assert (decision.outcome, decision.rule, decision.unreadable) == (
            "forbidden",
            "unreadable",
            True,
        )
        assert decision.reason


def test_a_decision_carries_what_is_recorded(judge: Any, words: Any) -> None:
    """A decision has the policy's hash, a summary, a literal-free text, relations and limit."""
    held = words.policy(words.grant(actions="all", name="all"), rows=7)
    sql = "WITH d AS (DELETE FROM accounts WHERE id = 42) SELECT name FROM people WHERE id = 'x'"
    decision = judge(sql, held)
    assert (decision.outcome, decision.rule) == ("allowed", "grants.all")
    assert decision.policy_hash == "hash"
    assert decision.row_limit == 7
    assert decision.summary == "SELECT shop.accounts shop.people"
    assert "42" not in decision.text
    assert "'x'" not in decision.text
    assert dict(decision.relations) == {
        "shop.accounts": ("delete", "select"),
        "shop.people": ("select",),
    }


def test_refused_names_are_looked_for_anew_whether_known_or_not(judge: Any, words: Any) -> None:
    """A refusal of what has a name is worth a look at the catalog, which tells no names apart."""
    assert judge("SELECT 1 FROM nowhere", words.grant()).unknown
    assert judge("SELECT nothing FROM people", words.grant()).unknown
    assert judge("SELECT pg_sleep(1) FROM nowhere", words.grant()).unknown
    assert judge("SELECT email FROM people", words.grant(columns="id")).unknown
    assert judge("SELECT pg_sleep(1) FROM people", words.grant()).unknown
    assert not judge("SELECT id FROM people", words.grant()).unknown
    assert not judge("DROP TABLE people", words.grant()).unknown


def test_the_policys_limit_of_time_can_only_be_tightened(judge: Any, words: Any) -> None:
    """Where the policy limits a statement's time, nobody lifts or resets it, in any spelling."""
    from dataclasses import replace

    from tracewall.policy.model import Limits

    limited = replace(words.policy(words.grant()), limits=Limits(statement_timeout=2.0))
    for value in ("100", "'2s'", "'2000ms'", "1"):
        assert judge(f"SET statement_timeout = {value}", limited).allowed, value
        assert judge(f"SET LOCAL statement_timeout = {value}", limited).allowed, value
    for statement in (
        "SET statement_timeout = 0",
        "SET statement_timeout = 2001",
        "SET statement_timeout = '3s'",
        "SET statement_timeout = '1min'",
        "SET statement_timeout = '0.0001d'",
        "SET statement_timeout = -1",
        "SET statement_timeout TO DEFAULT",
        "RESET statement_timeout",
        "SELECT set_config('statement_timeout', '0', false)",
        "SELECT set_config('STATEMENT_TIMEOUT', $1, true)",
    ):
        assert judge(statement, limited).rule == "limits.statement_timeout", statement
        assert judge(statement, words.grant()).allowed, statement


@pytest.mark.parametrize(
    ("sql", "reason", "hint"),
    [
        ("SELECT id FROM people WHERE email > 'a'", "compared for equality only", "by = or IN"),
        ("SELECT id FROM people ORDER BY email", "rows may not be ordered by it", "sort the rows"),
        ("SELECT rank() OVER (ORDER BY email) FROM people", "ordered by it", "sort the rows"),
        ("SELECT max(email) FROM people", "least or greatest", "another column"),
        ("SELECT count(*) FROM people GROUP BY email", "grouped or told apart", "another column"),
        ("SELECT DISTINCT email FROM people", "grouped or told apart", "DISTINCT"),
        (
            "SELECT 1 FROM people p JOIN people q ON p.email = q.name",
            "joined only to a column under the same mask",
            "join by another column",
        ),
    ],
)
def test_a_refused_comparison_says_what_was_done_and_what_to_do(
    judge: Any, words: Any, sql: str, reason: str, hint: str
) -> None:
    """Ordering, grouping, joining and comparing are told apart in a refusal, with a way out."""
    decision = judge(sql, words.grant(), words.mask("shop.people.email"))
    assert decision.outcome == "forbidden" and decision.rule == "masks.mask"
    assert decision.reason.startswith("shop.people.email is protected: ")
    assert reason in decision.reason and hint in decision.hint
