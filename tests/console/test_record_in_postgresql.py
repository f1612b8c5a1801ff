"""A record in PostgreSQL is searched by its reader's login, on record, and by nobody else's."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from tracewall.audit.migration import migration
from tracewall.audit.postgres import PostgresLog
from tracewall.errors import PolicyError
from tracewall.events import Ended, Incident, What, Who
from tracewall.policy.load import loads

WHAT = What(
    summary="SELECT shop.customers",
    text="select ?",
    sha256="0" * 64,
    decision="allowed",
    rule="grants.read",
    policy="1" * 64,
    relations={"shop.customers": ["select"]},
)


class Kept:
    """A record in a database, its writer's and its reader's login, and what is kept there."""

    def __init__(self, admin: str, folder: Any) -> None:
        self.admin = admin
        self.writer, self.reader = (f"console_{secrets.token_hex(4)}" for _ in range(2))
        (folder / "reader").write_text("pw")

    def login(self, role: str) -> str:
        return make_conninfo(self.admin, user=role, password="pw")

    def settings(self, reader: str) -> str:
        return (
            f'record_conninfo = "{make_conninfo(self.admin, user=reader)}"\n'
            'record_password_file = "reader"\n'
            f'[audit]\nconninfo = "{make_conninfo(self.admin, user=self.writer)}"\n'
            'password_file = "reader"\n'
        )

    def lines(self) -> str:
        with psycopg.connect(self.admin) as conn:
            found = conn.execute("select line from tracewall_audit.records").fetchall()
        return "\n".join(line for (line,) in found)


@pytest.fixture
def kept(scratch_dsn: str, office: Any) -> Iterator[Kept]:
    made = Kept(scratch_dsn, office.folder)
    with psycopg.connect(scratch_dsn, autocommit=True) as conn:
        for role in (made.writer, made.reader):
            conn.execute(f"create role {role} login password 'pw'")
        conn.execute(migration(made.writer, "tracewall_audit", made.reader, made.reader))
        with PostgresLog(made.login(made.writer)) as log:
            for subject in ("ann", log.people.of("https://i.test", "eve").pseudonym):
                who = Who(
                    issuer="https://i.test", subject=subject, session="s1", database="d", role="r"
                )
                log.outcome(log.intent(who, WHAT), Ended(status="ok", rows=3))
            log.incident(Incident(kind="policy_loaded"))
        yield made
        office.stack.close()
        for role in (made.writer, made.reader):
            conn.execute(f"drop owned by {role}")
            conn.execute(f"drop role {role}")


def test_it_is_searched_by_the_reader_on_record(office: Any, kept: Kept) -> None:
    """Statements are found by all filters, names shown, and the search stands in the record."""
    console = office.console(settings=kept.settings(kept.reader))
    vic = office.visitor(console, "vic", "auditors")
    every = vic.get("/audit?who=")
    assert every.status == 200 and ">ann<" in every.text and ">eve<" in every.text
    assert "policy_loaded" in every.text and "3 rows" in every.text
    only = vic.get("/audit?who=eve&table=shop.*")
    assert only.text.count('<li class="card row') == 1 and ">ann<" not in only.text
    told = kept.lines()
    assert "search by the console" in told and '"subject":"vic"' in told
    assert "who=eve" not in told, "whom they searched for is told by the pseudonym"
    assert office.visitor(console, "bob", "others").get("/audit").status == 404


def test_a_login_that_may_not_read_shows_nothing(office: Any, kept: Kept) -> None:
    """By the writer's own role, or where there is no such login, nothing of the record is shown."""
    (office.folder / "reader").write_text("pw")
    for reader in (kept.writer, "nobody_at_all"):
        console = office.console(settings=kept.settings(reader))
        vic = office.visitor(console, "vic", "auditors")
        answer = vic.get("/audit?who=")
        assert answer.status == 503 and "ann" not in answer.text
        assert "can&#39;t be read" in answer.text and "permission" not in answer.text


def test_without_a_reader_the_page_says_what_is_missing(office: Any, kept: Kept) -> None:
    """The log's own login is not used to read."""
    _, head, rest = kept.settings(kept.reader).partition("[audit]")
    console = office.console(settings=head + rest)
    vic = office.visitor(console, "vic", "auditors")
    answer = vic.get("/audit")
    assert answer.status == 404 and "record_conninfo" in answer.text


@pytest.mark.parametrize(
    "said, why",
    [
        ('[console]\nrecord_conninfo = "dbname=x"', "the record is not in PostgreSQL"),
        ('[console]\nrecord_conninfo = "password=x"', "a password can't be in the policy"),
        ('[console]\nrecord_password_env = "X"', "nobody logs in with it"),
    ],
)
def test_a_reader_without_a_record_is_complained_of(said: str, why: str) -> None:
    """A login for a record in files, and a password for no login, are contradictions."""
    with pytest.raises(PolicyError, match=why):
        loads(f"version = 1\n{said}\n")
