"""Good policies: what the loader makes of them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tracewall.errors import PolicyError
from tracewall.masking.config import DETECTORS, Method, Pattern
from tracewall.policy.approvals import Approval, Approving
from tracewall.policy.hours import Hours
from tracewall.policy.load import load, loads
from tracewall.policy.model import (
    CHANNEL_ACTIONS,
    TABLE_ACTIONS,
    Audit,
    Database,
    Denial,
    Glob,
    Grant,
    Issuer,
    Limits,
    Mask,
    Policy,
    Scan,
    Trust,
)
from tracewall.signing import Signer

SAMPLE = Path(__file__).with_name("sample.toml")


def group(text: str) -> Glob:
    return Glob(text, dots=True)


def at(section: str, index: int) -> int:
    """Return the line of a section's header in the sample."""
    lines = SAMPLE.read_text("utf-8").splitlines()
    return [at for at, line in enumerate(lines, 1) if line == f"[[{section}]]"][index]


def test_sample_reads_as_it_says() -> None:
    """Every key of a policy file arrives in the model, with its line."""
    policy = load(SAMPLE)
    assert policy == Policy(
        version=1,
        hash=policy.hash,
        name="trace store",
        path=os.path.abspath(SAMPLE),
        strict=True,
        database=Database("host=/run/pg dbname=traces user=trace_service", "TRACEWALL_DB_PASSWORD"),
        audit=Audit("record", "synced"),
        limits=Limits(10000, 30.0),
        issuers=(
            Issuer(
                name="okta",
                issuer="https://idp.example",
                audiences=("traces", "traces-admin"),
                keys="jwks.json",
                algorithms=("ES256",),
                groups_claims=("realm_access.roles",),
                token_types=("",),
                leeway=0.5,
                max_lifetime=3600.0,
                line=at("issuers", 0),
            ),
            Issuer(
                "issuers[1]",
                "https://other.example",
                ("traces",),
                "https://other.example/jwks",
                line=at("issuers", 1),
            ),
        ),
        grants=(
            Grant(
                "analysts-read",
                (group("analysts"), group("org.*")),
                frozenset({"select"}),
                (Glob("traces.runs"), Glob("traces.st*")),
                lifts=frozenset({"api-keys", "free-text"}),
                line=at("grants", 0),
            ),
            Grant(
                "grants[1]",
                (group("operators"),),
                frozenset({"insert", "update", "delete"}),
                (Glob("*.*"),),
                line=at("grants", 1),
            ),
            Grant(
                "grants[2]",
                (group("migrations"),),
                frozenset({"listen", "ddl"}),
                channels=(group("jobs"),),
                line=at("grants", 2),
            ),
        ),
        denials=(
            Denial(
                "no-billing",
                (group("analysts"),),
                frozenset({"update"}),
                (Glob("billing.*"),),
                (Glob("iban"),),
                "Billing is nobody's business.",
                line=at("denials", 0),
            ),
            Denial(
                "denials[1]",
                (group("*"),),
                frozenset(TABLE_ACTIONS),
                (Glob("vault.*"),),
                line=at("denials", 1),
            ),
            Denial(
                "denials[2]",
                (group("*"),),
                frozenset(CHANNEL_ACTIONS),
                channels=(group("inner.*"),),
                line=at("denials", 2),
            ),
        ),
        masks=(
            Mask(
                "api-keys",
                (Glob("traces.runs.api_key"),),
                Method("partial", keep_first=2, keep_last=4),
                "none",
                "mask",
                line=at("masks", 0),
            ),
            Mask("mails", (Glob("*.*.email"),), Method("email"), line=at("masks", 1)),
            Mask(
                "fixed",
                (Glob("traces.runs.host"),),
                Method("constant", value="a\nhost"),
                line=at("masks", 2),
            ),
            Mask(
                "births",
                (Glob("traces.users.born"),),
                Method("date", unit="year"),
                line=at("masks", 3),
            ),
            Mask(
                "costs",
                (Glob("traces.runs.cost"),),
                Method("number", bucket=10.0),
                line=at("masks", 4),
            ),
        ),
        scans=(
            Scan(
                "free-text",
                (Glob("traces.steps.content"),),
                ("email", "jwt"),
                (Pattern("ticket", "TCK-[0-9]{6}"),),
                "equality",
                slices="allow",
                write_back="refuse_writes",
                line=at("scans", 0),
            ),
            Scan(
                "own-only",
                (Glob("traces.steps.note"),),
                (),
                (Pattern("badge", "B[0-9]+"),),
                line=at("scans", 1),
            ),
        ),
        functions=(
            Trust(
                "helpers",
                (Glob("app.slug"), Glob("app.fmt_*")),
                (group("analysts"),),
                at("functions", 0),
            ),
            Trust("functions[1]", (Glob("lib.*"),), (group("*"),), at("functions", 1)),
        ),
        approvals=(
            Approval(
                "exports",
                (group("leads"),),
                (group("analysts"),),
                tables=(Glob("traces.*"),),
                rows=1000,
                people=2,
                expires=1800.0,
                valid=600.0,
                reason="required",
                ticket="OPS-[0-9]+",
                break_glass=(group("oncall"),),
                line=at("approvals", 0),
            ),
            Approval(
                "slices",
                (group("leads"),),
                tables=(Glob("traces.*"),),
                rows=20000,
                bytes=100_000_000,
                runs=500,
                per=3600.0,
                line=at("approvals", 1),
            ),
            Approval(
                "late-changes",
                (group("leads"),),
                actions=frozenset({"update", "delete"}),
                columns=(Glob("traces.users.*"),),
                protected=True,
                no_where=True,
                hours=(Hours((0, 1, 2, 3, 4), 480, 1080),),
                timezone="Europe/Berlin",
                line=at("approvals", 2),
            ),
            Approval(
                "see", (group("privacy"),), reveal=frozenset({"mails"}), line=at("approvals", 3)
            ),
        ),
        approval=Approving(
            conninfo="host=db.example dbname=desk user=tracewall",
            password_file="desk-password",
            keys=("desk+ec0f0704+Af7BQoZz9q/okmSzgHNErosmnRJaUDhVICaH21pxKFef",),
            webhook="https://hooks.example/tracewall",
            webhook_secret_env="TRACEWALL_WEBHOOK_SECRET",
            chat_env="TRACEWALL_CHAT",
            most_pending=5,
            keep=31_536_000.0,
        ),
    )


def test_globs_know_where_they_stand() -> None:
    """Each pattern carries the line and column it was written at, in lists over lines too."""
    grant = load(SAMPLE).grants[0]
    assert [(glob.text, glob.line, glob.column) for glob in grant.tables] == [
        ("traces.runs", at("grants", 0) + 5, 5),
        ("traces.st*", at("grants", 0) + 6, 5),
    ]


def test_least_policy() -> None:
    """A policy needs nothing but its version, and then grants nothing."""
    policy = loads("version = 1")
    assert policy == Policy(version=1, hash=policy.hash)


@pytest.mark.parametrize(
    ("written", "seconds"),
    [
        ('"250ms"', 0.25),
        ('"30s"', 30.0),
        ('"5min"', 300.0),
        ('"1h"', 3600.0),
        ('"1d"', 86400.0),
        ('"1.5 s"', 1.5),
        ("30", 30.0),
        ("0.5", 0.5),
        ("0", 0.0),
    ],
)
def test_durations(written: str, seconds: float) -> None:
    """A length of time has a unit or is in seconds."""
    policy = loads(f"version = 1\nlimits.statement_timeout = {written}")
    assert policy.limits.statement_timeout == seconds


@pytest.mark.parametrize(
    "keys",
    [
        "jwks.json",
        "/etc/tracewall/jwks.json",
        r"C:\\keys\\jwks.json",
        "https://idp.example/jwks",
        "HTTPS://idp.example/jwks",
        "http://localhost:8080/jwks",
        "http://127.0.0.1/jwks",
        "http://127.8.9.1/jwks",
        "http://[::1]:8080/jwks",
    ],
)
def test_key_sets(keys: str) -> None:
    """Keys come from a file, by https, or by http from this machine."""
    issuer = f'issuers = [{{issuer = "i", audience = "a", keys = "{keys}"}}]'
    assert loads(f"version = 1\n{issuer}").issuers[0].keys == keys.replace("\\\\", "\\")


@pytest.mark.parametrize(
    "conninfo",
    [
        "host=/run/pg dbname = 'my db' user=a",
        "host= 'it\\\\'s' application_name=a'b",
        "postgresql://user@host1:5432,[::1]:5433/db?sslmode=require",
        "postgres:///db?host=/run/pg",
        "postgresql://host/password:x",
        "user=password dbname=traces",
    ],
)
def test_connection_strings(conninfo: str) -> None:
    """A connection string without a password is kept as it is, in either of libpq's forms."""
    text = f'version = 1\ndatabase.conninfo = "{conninfo}"'
    assert loads(text).database.conninfo == conninfo.replace("\\\\", "\\")


def test_names_as_postgresql_stores_them() -> None:
    """Names may have capitals, blanks, umlauts and what else PostgreSQL stores."""
    names = ["My Schema.Täbelle", "a$b.c-d", "*.*", "s._t", "日本.表", "o'neil.x"]
    text = f"""version = 1
[[grants]]
groups = ["Ops / Night shift", "a.b"]
actions = ["select"]
tables = {names!r}
"""
    assert [glob.text for glob in loads(text).grants[0].tables] == names


@pytest.mark.parametrize(
    "denial",
    [
        {"groups": ["a"], "actions": ["select"], "tables": ["s.t"], "columns": ["c"]},
        {"groups": ["a"], "actions": ["select"], "tables": ["s.*"]},
        {"groups": ["*"], "actions": ["select"], "tables": ["s.t"]},
        {"groups": ["a"], "actions": ["select", "update"], "tables": ["s.t"]},
    ],
    ids=str,
)
def test_denial_may_cut_into_a_grant(denial: dict[str, list[str]]) -> None:
    """A denial that takes a part of what a grant gives, or more than it, contradicts nothing."""
    grant = '[[grants]]\ngroups = ["a"]\nactions = ["select"]\ntables = ["s.t"]\n'
    written = "\n".join(f"{key} = {value}" for key, value in denial.items())
    assert len(loads(f"version = 1\n{grant}[[denials]]\n{written}").denials) == 1


def test_every_detector_has_a_name() -> None:
    """A scan may name each built-in detector, and leaves none out by default."""
    scan = 'version = 1\n[[scans]]\nname = "s"\ncolumns = ["a.b.c"]\n'
    assert loads(scan).scans[0].detectors == ("*",)
    assert loads(scan + f"detectors = {list(DETECTORS)}").scans[0].detectors == DETECTORS


def test_windows_file(tmp_path: Path) -> None:
    """A file with a byte order mark and Windows line ends reads like any other."""
    file = tmp_path / "policy.toml"
    file.write_bytes(b"\xef\xbb\xbf" + SAMPLE.read_bytes().replace(b"\n", b"\r\n"))
    assert load(file).grants == load(SAMPLE).grants
    assert load(file).hash == load(SAMPLE).hash


def test_path_outlives_a_change_of_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A policy loaded by a relative path keeps an absolute one."""
    (tmp_path / "policy.toml").write_text("version = 1")
    monkeypatch.chdir(tmp_path)
    assert load("policy.toml").path == str(tmp_path / "policy.toml")


@pytest.mark.parametrize(
    ("content", "message", "line", "column"),
    [
        (b'version = 1\nname = "\xc3\xa4\xff"', "this is not UTF-8", 2, 10),
        (b"\xff\xfe", "this is not UTF-8", 1, 1),
        (b"version = 2", "expected 1", 1, 11),
        (None, "can't be read", 0, 0),
    ],
)
def test_bad_file(
    tmp_path: Path, content: bytes | None, message: str, line: int, column: int
) -> None:
    """A file that is missing or is no text is a PolicyError that names it."""
    file = tmp_path / "policy.toml"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(PolicyError, match=message) as caught:
        load(file)
    assert (caught.value.path, caught.value.line, caught.value.column) == (str(file), line, column)


@pytest.mark.parametrize("path", ["", "a\0b", "."])
def test_no_file(path: str) -> None:
    """A path that can't be a file is a PolicyError too."""
    with pytest.raises(PolicyError, match="can't be read"):
        load(path)


KEY = str(Signer("desk", b"s" * 32).public)
ASKS = f'version = 1\n[approval]\nkeys = ["{KEY}"]\n[[approvals]]\napprovers = ["b"]\n'


@pytest.mark.parametrize(
    "condition",
    [
        'actions = ["select"]',
        'actions = ["ddl"]',
        'tables = ["s.t"]',
        'columns = ["s.t.c"]',
        "protected = true",
        "no_where = true",
        'actions = ["select", "update"]\nno_where = true',
        'actions = ["delete"]\nno_where = true',
        'actions = ["truncate"]\nno_where = true',
        "rows = 1",
        'bytes = 1\nper = "1h"',
        'runs = 1\nper = "1h"',
        'hours = "Mon-Fri 08:00-18:00"',
        "rows = 1\nexpires = 1\nvalid = 1",
    ],
)
def test_any_one_condition_makes_a_rule_that_asks(condition: str) -> None:
    """A rule that says one thing only is a rule; nothing is complained of."""
    (made,) = loads(ASKS + condition + "\n").approvals
    assert made.approvers[0].text == "b"


@pytest.mark.parametrize("secret", ["env", "file"])
def test_a_webhook_s_secret_is_in_a_variable_or_a_file(secret: str) -> None:
    """Either is enough."""
    text = f'version = 1\n[approval]\nwebhook = "https://h.test/"\nwebhook_secret_{secret} = "X"\n'
    made = loads(text).approval
    assert "X" in (made.webhook_secret_env, made.webhook_secret_file)
