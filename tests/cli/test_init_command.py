"""``tracewall init``: the policy that is proposed loads, checks clean, and tells no value."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo

from tracewall.cli.live import catalog
from tracewall.judge import decision_on
from tracewall.policy.load import load, loads

HOSTILE = 'o"dd\x1b[2J\u202e\n"""]\n[x]'
SETUP = """
    CREATE SCHEMA shop; CREATE SCHEMA {hostile};
    CREATE TABLE shop.people (id int PRIMARY KEY, tenant_id uuid, email text UNIQUE, born date,
        salary numeric, has_password bool, password text, card varchar(30), contact text,
        note text, profile jsonb, lat float8, last_ip inet, token_count int);
    INSERT INTO shop.people SELECT i, gen_random_uuid(), 'canary' || i || '@example.com',
        '1999-12-31', 4711, true, 'canary-pw', '4111 1111 1111 1111',
        'canary' || i || '@example.org', 'words', '{{"k": "canary@example.net"}}', 52.5,
        '192.0.2.17', 5 FROM generate_series(1, 40) i;
    CREATE TABLE shop.orders (id int, tenant_id uuid, buyer text REFERENCES shop.people (email),
        "E-Mail" text, amount int);
    CREATE TABLE shop.events (id int, tenant_id uuid, at timestamptz) PARTITION BY RANGE (at);
    CREATE TABLE shop.events1 PARTITION OF shop.events DEFAULT;
    CREATE VIEW shop.mails AS SELECT lower(email) AS email, password FROM shop.people;
    CREATE TABLE {hostile}.{hostile} (id int, email text);
    CREATE TABLE shop.{hostile} (email text, {hostile} text);
    INSERT INTO shop.{hostile} VALUES ('canary@example.com', 'canary@example.com');
    CREATE TABLE shop."dot.ted" (email text);
    ANALYZE;
"""


@pytest.fixture(scope="module")
def shop(module_dsn: str) -> str:
    """A shop's database, with something to find in it, and hostile names."""
    with psycopg.connect(module_dsn, autocommit=True) as conn:
        conn.execute(sql.SQL(SETUP).format(hostile=sql.Identifier(HOSTILE)))
    return module_dsn


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """Where the policy is to go; nothing is there yet."""
    tmp_path.chmod(0o700)
    return tmp_path / "policy.toml"


def test_the_proposal_loads_checks_clean_and_tells_no_value(run: Any, shop: str, out: Path) -> None:
    """Exit code 0 of init, and of a strict check; no canary anywhere; the server is untouched."""
    result = run("init", shop, "--out", out)
    text = out.read_text("utf-8")
    assert result.exit_code == 0, result.output
    for shown in (text, result.output):
        assert "canary" not in shown and "4111" not in shown and "4711" not in shown
        assert "\x1b" not in shown and "\u202e" not in shown
    assert load(out).database.conninfo and "CHANGE ME" in text
    checked = json.loads(run("check", out, "--dsn", shop, "--strict", "--json").stdout)
    assert checked["ok"], checked["findings"]
    assert checked["weaknesses"] == []


def test_nothing_of_postgresqls_own_is_proposed(run: Any, shop: str, out: Path) -> None:
    """No grant reaches the catalog's schemas: who needs them is for the policy's author to say."""
    assert run("init", shop, "--out", out).exit_code == 0
    tables = [glob.text for grant in load(out).grants for glob in grant.tables]
    assert tables and not [text for text in tables if text.startswith(("pg_", "information_"))]


def test_masks_come_from_names_types_finds_and_likeness(run: Any, shop: str, out: Path) -> None:
    """Each column with a method that suits its type, and its reason beside it."""
    told = json.loads(run("init", shop, "--out", out, "--json").stdout)
    hidden = {each["column"]: each["by"] for each in told["hidden"]}
    expected = {
        "email": "email", "born": "date", "salary": "number", "has_password": "null",
        "password": "redact", "card": "partial", "contact": "email", "note": "scan",
        "profile": "scan", "lat": "number", "last_ip": "hash",
    }  # fmt: skip
    assert {c.removeprefix("shop.people."): by for c, by in hidden.items()
            if c.startswith("shop.people.")} == expected  # fmt: skip
    assert hidden["shop.orders.buyer"] == hidden["shop.orders.E-Mail"] == "email"
    assert hidden["shop.mails.email"] == "email"
    assert "shop.orders.amount" not in hidden
    reasons = {each["column"]: each["evidence"] for each in told["hidden"]}
    assert reasons["shop.people.contact"] == "40 of 40 values: email"
    assert "40 with email" in reasons["shop.people.profile"]
    assert "foreign key" in reasons["shop.orders.buyer"]
    assert hidden["shop.o*dd*[2J*]*[x].email"] == "email"
    assert told["unnamed"] == ["shop.dot.ted.email"]


def test_a_tenants_column_is_told_and_its_grant_works(run: Any, shop: str, out: Path) -> None:
    """The suggestion, without its comment signs, is a policy that `tracewall rls` reads."""
    told = json.loads(run("init", shop, "--out", out, "--json", "--schema", "shop").stdout)
    (tenant,) = told["tenants"]
    assert tenant == {
        "schema": "shop", "column": "tenant_id",
        "tables": ["shop.events", "shop.orders", "shop.people"],
    }  # fmt: skip
    text = out.read_text("utf-8")
    suggestion = text.partition("prints:\n#\n")[2].partition("\n\n")[0]
    grant = re.sub("^# ?", "", suggestion, flags=re.MULTILINE)
    kept = re.sub(r'\n\[\[grants\]\]\nname = "read-shop"\n(.+\n)+', "\n", text)
    out.write_text(f"{kept}\n{grant}\n", "utf-8")
    assert load(out).grants[0].rows is not None
    printed = run("rls", out, "--dsn", shop)
    assert (printed.exit_code, "CREATE POLICY" in printed.stdout) == (0, True), printed.stderr


def test_the_suggested_writers_load(run: Any, shop: str, out: Path) -> None:
    """So does the commented grant for who may write."""
    run("init", shop, "--out", out)
    text = out.read_text("utf-8")
    suggestion = text.partition("perhaps the columns:\n#\n")[2].partition("\n\n")[0]
    policy = loads(f"{text}\n{re.sub('^# ?', '', suggestion, flags=re.MULTILINE)}\n")
    assert policy.grants[-1].name == "writers"


def test_what_is_given_is_written(run: Any, shop: str, out: Path) -> None:
    """Issuer, audience, groups, role, schema; nothing is left to be changed then."""
    options = ("--issuer", "https://i.test", "--audience", "a", "--group", 'x"y', "--group", "z")
    run("init", shop, "--out", out, *options, "--role", 'r"\\o', "--schema", "shop")
    policy = load(out)
    assert (policy.issuers[0].issuer, policy.issuers[0].audiences) == ("https://i.test", ("a",))
    assert [glob.text for glob in policy.grants[0].groups] == ['x"y', "z"]
    assert [glob.text for glob in policy.grants[0].tables] == ["shop.*"]
    assert "CHANGE ME" not in out.read_text("utf-8")
    known = catalog(shop)
    ask = b"SELECT email, born FROM shop.people"
    decision = decision_on(ask, policy, known, frozenset({"z"}))
    assert [column.shows for column in decision.columns] == ["email", "date"]


def test_nothing_is_looked_at_without_rows(run: Any, shop: str, out: Path) -> None:
    """With --rows 0 names and types alone decide."""
    told = json.loads(run("init", shop, "--out", out, "--rows", 0, "--json").stdout)
    hidden = {each["column"] for each in told["hidden"]}
    assert "shop.people.email" in hidden and "shop.people.contact" not in hidden


def test_no_file_is_replaced_and_a_password_is_never_written(
    run: Any, shop: str, out: Path
) -> None:
    """What is there stays, by a link too; the connection string goes without its password."""
    with_password = make_conninfo(shop, password="CANARY-pw")
    assert "CANARY" not in run("init", with_password, "--out", out).output
    before = out.read_bytes()
    assert b"CANARY" not in before and out.stat().st_mode & 0o007 == 0
    assert run("init", shop, "--out", out).exit_code == 2
    assert out.read_bytes() == before
    link = out.with_name("link.toml")
    link.symlink_to(out.with_name("nowhere.toml"))
    assert run("init", shop, "--out", link).exit_code == 2
    assert not out.with_name("nowhere.toml").exists()


def test_it_can_go_to_standard_output(run: Any, shop: str) -> None:
    """--out - prints nothing but the policy."""
    assert loads(run("init", shop, "--out", "-").stdout).grants


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("--schema", "nothing"), 2, "no tables in a schema nothing"),
        (
            (
                "--issuer",
                "http://[",
            ),
            2,
            "does not make a policy",
        ),
        (("--group", ""), 2, "does not make a policy"),
    ],
)
def test_what_can_not_be_is_told(
    run: Any, shop: str, out: Path, arguments: tuple[str, ...], code: int, words: str
) -> None:
    """A sentence, and no file."""
    result = run("init", shop, "--out", out, *arguments)
    assert (result.exit_code, words in result.stderr) == (code, True), result.output
    assert not out.exists()


def test_a_server_that_does_not_answer_is_no_verdict(run: Any, out: Path) -> None:
    """Exit code 3, a sentence, no password, no file."""
    dsn = "host=127.0.0.1 port=1 password=CANARY connect_timeout=1"
    result = run("init", dsn, "--out", out)
    assert (result.exit_code, "can't be asked" in result.stderr) == (3, True)
    assert "CANARY" not in result.output and not out.exists()


def test_the_sample_store_is_hidden_well(run: Any, store: Any, out: Path) -> None:
    """What the demo's own policy hides by hand, init proposes to hide as well."""
    shipped = loads(resources.files("tracewall.demo").joinpath("policy.toml").read_text("utf-8"))
    by_hand = {glob.text for rule in (*shipped.masks, *shipped.scans) for glob in rule.columns}
    told = json.loads(run("init", store.full_dsn, "--out", out, "--json").stdout)
    assert by_hand <= {each["column"] for each in told["hidden"]}
    assert not any(planted.value in out.read_text("utf-8") for planted in store.planted)


@pytest.fixture
def terminal() -> Iterator[tuple[int, int]]:
    """A pseudo-terminal's two ends."""
    if os.name != "posix":
        pytest.skip("pseudo-terminals are POSIX's")
    import pty

    ours, theirs = pty.openpty()
    yield ours, theirs
    os.close(ours)
    os.close(theirs)


def test_on_a_terminal_it_asks(shop: str, out: Path, terminal: tuple[int, int]) -> None:
    """Issuer, audience and groups; what is typed is in the policy."""
    ours, theirs = terminal
    os.write(ours, b"https://typed.test\nmine\nada, bob\n")
    place = str(Path(str(resources.files("tracewall"))).parent)
    subprocess.run(
        [sys.executable, "-m", "tracewall", "init", shop, "--out", str(out), "--rows", "0"],
        stdin=theirs, stdout=subprocess.DEVNULL, stderr=theirs, timeout=120, check=True,
        env={**os.environ, "PYTHONPATH": place},
    )  # fmt: skip
    policy = load(out)
    assert (policy.issuers[0].issuer, policy.issuers[0].audiences) == (
        "https://typed.test", ("mine",)
    )  # fmt: skip
    assert [glob.text for glob in policy.grants[0].groups] == ["ada", "bob"]
