"""``tracewall doctor`` on stores in PostgreSQL: the record, and requests for approval."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from tracewall.approval.migration import migration as requests
from tracewall.audit.migration import migration as record
from tracewall.signing import Signer

KINDS = {
    "audit": ("tracewall_audit", "records", "append(text, bigint, text[])"),
    "approvals": ("tracewall", "approval_request", "approval_get(text)"),
}


class Stored:
    """A store of one kind, as its migration makes it, whose role is ``role``."""

    def __init__(self, place: Any, kind: str) -> None:
        self.place, self.kind = place, kind
        self.role = f"keeper_{secrets.token_hex(4)}"
        self.schema, self.table, self.function = KINDS[kind]
        self.make(f"CREATE ROLE {self.role} LOGIN PASSWORD 'CANARY-store'")
        self.make(record(self.role, self.schema) if kind == "audit" else requests(self.role))
        parts = conninfo_to_dict(place.admin) | {"user": self.role, "password": None}
        conninfo = make_conninfo(**{k: v for k, v in parts.items() if v is not None})
        section = "audit" if kind == "audit" else "approval"
        kept = f"[{section}]\nconninfo = '''{conninfo}'''\n"
        self.kept = kept + 'password_env = "STORE_PASSWORD"\n'
        place.write(self.kept)

    def make(self, statement: str) -> None:
        """Execute as the superuser."""
        with psycopg.connect(self.place.admin, autocommit=True) as conn:
            conn.execute(statement.encode())

    def found(self) -> list[dict[str, Any]]:
        """Give what is found of the store."""
        check = f"{self.kind}.store"
        return [each for each in self.place.findings() if each["check"] == check]


@pytest.fixture(params=sorted(KINDS))
def stored(place: Any, request: Any, monkeypatch: Any) -> Iterator[Stored]:
    """A store where nothing is wrong, of either kind."""
    monkeypatch.setenv("STORE_PASSWORD", "CANARY-store")
    made = Stored(place, request.param)
    yield made
    made.make(f"DROP SCHEMA IF EXISTS {made.schema} CASCADE")
    made.make(f"DROP OWNED BY {made.role} CASCADE; DROP ROLE {made.role}")


def test_a_store_as_its_migration_makes_it_is_sound(stored: Stored) -> None:
    """Nothing is found of it."""
    assert stored.found() == []


ILLS = [
    ("ALTER ROLE {role} SUPERUSER", "may do anything"),
    ("ALTER ROLE {role} CREATEROLE", "may do anything"),
    ("DROP SCHEMA {schema} CASCADE", "there is no schema"),
    ("ALTER SCHEMA {schema} OWNER TO {role}", "owns the schema"),
    ("GRANT CREATE ON SCHEMA {schema} TO {role}", "may create what it likes"),
    ("REVOKE USAGE ON SCHEMA {schema} FROM {role}", "may not use the schema"),
    ("ALTER TABLE {schema}.{table} OWNER TO {role}", "may change"),
    ("GRANT DELETE ON {schema}.{table} TO {role}", "may change"),
    ("GRANT SELECT ON {schema}.{table} TO {role}", "may read"),
    ("DROP FUNCTION {schema}.{function}", "is not there"),
    ("REVOKE EXECUTE ON FUNCTION {schema}.{function} FROM {role}", "may not call"),
    ("ALTER FUNCTION {schema}.{function} SECURITY INVOKER", "not as the migration makes it"),
    ("ALTER FUNCTION {schema}.{function} RESET search_path", "not as the migration makes it"),
    ("GRANT EXECUTE ON FUNCTION {schema}.{function} TO PUBLIC", "everybody may call"),
]


@pytest.mark.parametrize(("ill", "said"), ILLS)
def test_what_makes_a_store_ill_is_found(stored: Stored, ill: str, said: str) -> None:
    """A role that may do too much or too little, and functions that are not the migration's."""
    stored.make(ill.format(**vars(stored)))
    found = stored.found()
    assert any(said in each["message"] for each in found), found
    assert all(each["remedy"] for each in found)


def test_an_erasable_record_needs_a_register(stored: Stored) -> None:
    """A log of an earlier version, which has no people, is found where the policy wants them."""
    if stored.kind != "audit":
        pytest.skip("requests have no pseudonyms")
    stored.make("DROP FUNCTION tracewall_audit.person(text, text)")
    assert stored.found() == []
    stored.place.write(stored.kept + "erasable = true\n")
    (found,) = stored.found()
    assert "person" in found["message"] and "migration" in found["remedy"]


def test_every_function_of_the_role_is_looked_at(stored: Stored) -> None:
    """What the migration lets the role call: no function is forgotten that everybody may call."""
    question = """
        SELECT p.proname FROM pg_proc p WHERE p.pronamespace = %s::regnamespace
            AND has_function_privilege(%s, p.oid, 'EXECUTE') AND p.prorettype <> 'trigger'::regtype
            AND p.prosecdef"""
    with psycopg.connect(stored.place.admin) as conn:
        named = conn.execute(question, (stored.schema, stored.role)).fetchall()
    if stored.kind == "audit":
        stored.place.write(stored.kept + "erasable = true\n")
    stored.make(f"GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA {stored.schema} TO PUBLIC")
    told = [each["message"] for each in stored.found()]
    assert named
    for (name,) in named:
        assert any(f"everybody may call {name} of" in each for each in told), name


def test_a_store_that_lets_nobody_in_is_found(stored: Stored, monkeypatch: Any) -> None:
    """A wrong password and a missing one are findings, and neither is shown."""
    if stored.kind == "audit":
        stored.make(f"ALTER ROLE {stored.role} NOLOGIN")
        assert any("can't be looked at" in each["message"] for each in stored.found())
    monkeypatch.delenv("STORE_PASSWORD")
    assert any("STORE_PASSWORD" in each["message"] for each in stored.found())


def test_keys_that_are_named_and_not_there_are_found(place: Any, monkeypatch: Any) -> None:
    """Of the record, of notices, of masks, of the console and its logins."""
    place.write("""
[audit]
signing_key_env = "NO_SUCH_KEY"
[approval]
webhook = "https://hook.test/"
webhook_secret_env = "NO_SUCH_SECRET"
[[keys]]
id = "k"
env = "NO_SUCH_MASK_KEY"
[console]
key_env = "NO_SUCH_CONSOLE_KEY"
[[issuers]]
name = "people"
issuer = "https://people.test"
audience = "a"
keys = "jwks.json"
[[console.logins]]
issuer = "people"
client_id = "c"
client_secret_env = "NO_SUCH_CLIENT"
""")
    found = {each["check"]: each for each in place.findings()}
    for check in ("audit.key", "approvals.notices", "keys.mask", "console.key", "console.secret"):
        assert "NO_SUCH" in found[check]["message"] and found[check]["severity"] == "error"


def test_a_console_whose_decisions_do_not_count_is_found(place: Any, monkeypatch: Any) -> None:
    """Its key has to be among those of [approval]; a text that is no key is told without it."""
    theirs, ours = Signer.make("theirs"), Signer.make("ours")
    monkeypatch.setenv("CONSOLE_KEY", ours.secret())
    more = f'[approval]\nkeys = ["{theirs.public}"]\n[console]\nkey_env = "CONSOLE_KEY"\n'
    place.write(more)
    assert "console.key" in place.checks()
    place.write(more.replace(str(theirs.public), str(ours.public)))
    assert "console.key" not in place.checks()
    monkeypatch.setenv("CONSOLE_KEY", "CANARY")
    assert "console.key" in place.checks()
