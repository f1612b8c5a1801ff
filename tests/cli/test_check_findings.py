"""``tracewall check --dsn``: what is found beside names that match nothing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracewall.policy.extent import covered, meet
from tracewall.policy.model import Glob

SETUP = r"""
    CREATE SCHEMA shop; CREATE SCHEMA other;
    CREATE TABLE shop.people (id int PRIMARY KEY, email text UNIQUE, born date, salary numeric,
        password text, tenant_id int);
    CREATE TABLE shop.orders (id int PRIMARY KEY, buyer text REFERENCES shop.people (email),
        "E-mail" text, email varchar(80), total numeric, note text);
    CREATE VIEW shop.copied AS SELECT id, email AS contact FROM shop.people;
    CREATE FUNCTION shop.tell() RETURNS text LANGUAGE sql AS 'SELECT ''x''';
    CREATE VIEW shop.computed AS SELECT shop.tell() AS told, email FROM shop.people;
    CREATE TABLE other.things (id int, api_key text);
"""
HEAD = """
version = 1
[[grants]]
name = "staff"
groups = ["staff"]
actions = ["select", "update"]
tables = ["shop.people", "shop.orders", "shop.copied"]
[[masks]]
name = "mail"
columns = ["shop.people.email"]
method = "email"
[[masks]]
name = "secret"
columns = ["shop.people.password"]
method = "redact"
"""


@pytest.fixture(scope="module")
def shop(module_dsn: str) -> str:
    """A shop's database."""
    with psycopg.connect(module_dsn, autocommit=True) as conn:
        conn.execute(SETUP)
    return module_dsn


@pytest.fixture
def checked(run: Any, shop: str, tmp_path: Path) -> Any:
    """Check a policy's further text against the shop; give the findings and the exit code."""

    def check(more: str = "", *options: str, head: str = HEAD) -> tuple[list[Any], int]:
        path = tmp_path / "p.toml"
        path.write_text(head + more, "utf-8")
        result = run("check", path, "--dsn", shop, "--json", *options)
        told = json.loads(result.stdout)
        assert told["ok"] is (result.exit_code == 0)
        return told["findings"], result.exit_code

    return check


def messages(found: list[Any], check: str) -> list[str]:
    """Give what one kind of check says."""
    return [each["message"] for each in found if each["check"] == check]


def test_columns_like_masked_ones_are_found(checked: Any) -> None:
    """The same name and type, and a foreign key; not a view that copies, for it is masked too."""
    found, code = checked()
    assert code == 0
    told = messages(found, "look-alike")
    assert any("foreign key" in each and "shop.orders.buyer" in each for each in told)
    assert any("same name" in each and "shop.orders.E-mail" in each for each in told)
    assert not any("shop.copied" in each or "shop.orders.email" in each for each in told)
    assert {each["severity"] for each in found} == {"warning"}
    assert all(each["remedy"] and each["line"] for each in found)


def test_strict_fails_on_warnings_and_a_check_can_be_left_out(checked: Any) -> None:
    """Exit code 1 with --strict; 0 again where that check is ignored."""
    assert checked("", "--strict")[1] == 1
    assert checked("", "--strict", "--ignore", "look-alike") == ([], 0)


def test_a_secret_by_its_name_needs_a_mask(checked: Any) -> None:
    """A column called api_key that somebody may read in clear is told."""
    more = '[[grants]]\ngroups = ["x"]\nactions = ["select"]\ntables = ["other.*"]\n'
    assert any("other.things.api_key" in each for each in messages(checked(more)[0], "look-alike"))


@pytest.mark.parametrize(
    ("method", "column", "shown", "severity"),
    [
        ('"partial"\nkeep_last = 2', "shop.people.salary", "NULL", "warning"),
        ('"date"\nunit = "year"', "shop.orders.note", "a mark", "warning"),
        ('"redact"', "shop.people.born", "NULL", "note"),
    ],
)
def test_methods_that_keep_nothing_are_found(
    checked: Any, method: str, column: str, shown: str, severity: str
) -> None:
    """A method without a form for the column's type, with what is shown instead."""
    more = f'[[masks]]\nname = "m"\ncolumns = ["{column}"]\nmethod = {method}\n'
    (found,) = [each for each in checked(more)[0] if each["check"] == "misfit"]
    assert shown in found["message"] and column in found["message"]
    assert found["severity"] == severity


@pytest.mark.parametrize(
    ("method", "column"),
    [
        ('"date"\nunit = "year"', "shop.people.born"),
        ('"number"\nbucket = 1000', "shop.people.salary"),
        ('"null"', "shop.people.born"),
        ('"hash"', "shop.orders.email"),
    ],
)
def test_methods_that_suit_are_no_finding(checked: Any, method: str, column: str) -> None:
    """What a method keeps something of is left in peace."""
    more = f'[[masks]]\nname = "m"\ncolumns = ["{column}"]\nmethod = {method}\n'
    assert not messages(checked(more)[0], "misfit")


def test_rules_that_do_nothing_are_found(checked: Any) -> None:
    """Grants taken whole, grants within others, idle denials, lifts and masks."""
    found, code = checked("""
[[grants]]
name = "taken"
groups = ["clerks"]
actions = ["select"]
tables = ["shop.orders"]
[[grants]]
name = "within"
groups = ["staff"]
actions = ["select"]
tables = ["shop.orders"]
columns = ["id"]
[[grants]]
name = "lifter"
groups = ["bosses"]
actions = ["select"]
tables = ["shop.orders"]
lifts = ["mail", "seen"]
[[masks]]
name = "seen"
columns = ["other.things.api_key"]
method = "redact"
[[grants]]
name = "watchers"
groups = ["w*"]
actions = ["select"]
tables = ["other.things"]
lifts = ["seen"]
[[denials]]
name = "clerks"
groups = ["cl*"]
tables = ["shop.*"]
[[denials]]
name = "nobody"
groups = ["ghosts"]
tables = ["other.*"]
""")
    assert code == 0
    told = messages(found, "ineffective")
    assert "grants.taken gives nothing: denials.clerks takes all of it" in told
    assert "denials.nobody takes nothing that a grant gives" in told
    assert "grants.lifter lifts 'mail', which lies on none of its columns" in told
    assert "grants.lifter lifts 'seen', which lies on none of its columns" in told
    assert "masks.seen hides nothing: each grant on its columns lifts it" in told
    assert len(told) == 5
    assert messages(found, "shadowed") == [
        "grants.within gives nothing that grants.staff does not give"
    ]


def test_twins_are_told_of_once(checked: Any) -> None:
    """Of two grants that say the same, the later one is the idle one."""
    more = '[[grants]]\nname="again"\ngroups=["staff"]\nactions=["select","update"]\ntables=' \
        '["shop.people", "shop.orders", "shop.copied"]\n'  # fmt: skip
    assert messages(checked(more)[0], "shadowed") == [
        "grants.again gives nothing that grants.staff does not give"
    ]


def test_patterns_that_reach_far_are_found(checked: Any) -> None:
    """Every schema, and everybody who may write."""
    found, _ = checked(
        '[[grants]]\nname = "all"\ngroups = ["*"]\nactions = ["insert"]\ntables = ["*.orders"]\n'
    )
    assert messages(found, "broad") == [
        "grants.all lets rows be changed for everybody who has a token",
        "grants.all: '*.orders' reaches every schema, those of the future too",
    ]


def test_functions_that_are_not_there_are_errors(checked: Any) -> None:
    """A pattern of [[functions]] that matches nothing fails; one that does not."""
    more = '[[functions]]\nfunctions = ["shop.tell", "shop.nothing*"]\n'
    found, code = checked(more)
    assert code == 1
    assert messages(found, "unknown") == ["'shop.nothing*' matches no function of the database"]


def test_recorded_tables_that_are_not_there_are_errors(checked: Any) -> None:
    """A rule of recordings that would record nothing fails."""
    found, code = checked('[[recordings]]\ntables = ["shop.people", "shop.nope"]\n')
    assert (code, messages(found, "unknown")) == (
        1, ["'shop.nope' matches no table of the database"]
    )  # fmt: skip


def test_every_name_that_matches_nothing_is_told(checked: Any) -> None:
    """Not the first alone, and each with its own place."""
    more = '[[scans]]\nname = "s"\ncolumns = ["shop.people.emial", "shop.popele.x"]\n'
    found, code = checked(more)
    unknown = [each for each in found if each["check"] == "unknown"]
    assert (code, len(unknown)) == (1, 2)
    assert len({each["column"] for each in unknown}) == 2
    assert "did you mean 'shop.people.email'?" in unknown[0]["remedy"]


def test_views_that_can_not_be_followed_are_told(checked: Any) -> None:
    """Refused, or shown because a grant names their columns."""
    grant = '[[grants]]\nname = "v"\ngroups = ["x"]\nactions = ["select"]\ntables = ['
    (wide,) = [e for e in checked(f'{grant}"shop.comp*"]\n')[0] if e["check"] == "view"]
    assert (wide["severity"], "refused" in wide["message"]) == ("note", True)
    named = f'{grant}"shop.computed"]\ncolumns = ["told", "email"]\n'
    (shown,) = [each for each in checked(named)[0] if each["check"] == "view"]
    assert (shown["severity"], "shows the view" in shown["message"]) == ("warning", True)


def test_row_filters_that_the_server_lacks_are_errors(checked: Any) -> None:
    """Filters that are not installed, and grants of which one gives more on fewer rows."""
    found, code = checked("""
[[grants]]
name = "own"
groups = ["tenants"]
actions = ["select"]
tables = ["shop.people"]
rows = "tenant_id = claim('tenant')::int4"
[[grants]]
name = "ids"
groups = ["*"]
actions = ["select"]
tables = ["shop.people"]
columns = ["id"]
""")
    assert code == 1
    told = messages(found, "rows")
    assert any("does not hold the row filters of shop.people" in each for each in told)
    assert any("grants.own and grants.ids" in each for each in told)


def test_findings_have_their_place_and_remedy_on_a_terminal(
    run: Any, shop: str, tmp_path: Path
) -> None:
    """path:line:column first, then the check's name, then what to do."""
    path = tmp_path / "p.toml"
    path.write_text(HEAD, "utf-8")
    lines = run("check", path, "--dsn", shop).stdout.splitlines()
    line = HEAD.splitlines().index('columns = ["shop.people.email"]') + 1
    assert lines[0].startswith(f"warning {path}:{line}:12: masks.mail hides")
    assert lines[0].endswith("[look-alike]")
    assert lines[1] == "  help: add it to the mask's columns, or to no grant"


def test_a_hostile_name_is_shown_harmless(run: Any, scratch_dsn: str, tmp_path: Path) -> None:
    """Names in the database can't steer the terminal, hide or break lines."""
    with psycopg.connect(scratch_dsn, autocommit=True) as conn:
        conn.execute(
            'CREATE SCHEMA s; CREATE TABLE s.a (email text); CREATE TABLE s."b\x1b[2J\u202e\n"'
            " (email text)"
        )
    path = tmp_path / "p.toml"
    path.write_text(
        'version = 1\n[[grants]]\ngroups = ["x"]\nactions = ["select"]\ntables = ["s.*"]\n'
        '[[masks]]\nname = "m"\ncolumns = ["s.a.email"]\nmethod = "email"\n', "utf-8"
    )  # fmt: skip
    out = run("check", path, "--dsn", scratch_dsn).stdout
    assert "\\x1b[2J\\u202e\\n.email" in out
    assert "\x1b" not in out and "\u202e" not in out


GLOBS = st.text("ab*", min_size=1, max_size=5).map(lambda text: Glob(text, dots=True))


@given(GLOBS, GLOBS, st.text("ab", max_size=6))
def test_patterns_are_compared_soundly(one: Glob, other: Glob, name: str) -> None:
    """What is covered matches no more, and where both match a name they meet."""
    if covered([one], [other]) and one.matches(name):
        assert other.matches(name)
    if one.matches(name) and other.matches(name):
        assert meet([one], [other])
