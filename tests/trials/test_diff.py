"""``tracewall diff``: what another policy would let through, hide or refuse."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, TypeAlias

import pytest

from tracewall.audit.log import FileLog
from tracewall.events import Ended, What, Who
from tracewall.signing import Signer
from tracewall.sql.snapshot import dumps
from tracewall.trials.catalogs import pretended

Told: TypeAlias = list[dict[str, Any]]
TABLES = {
    "shop.orders": {"id": "int8", "card": "text", "note": "text"},
    "shop.staff": {"id": "int8", "name": "text"},
}


@pytest.fixture
def diff(run: Any, write: Any, tmp_path: Path) -> Any:
    """Compare the policy with one that differs; give the exit code and the differences."""
    write("")
    (tmp_path / "c.json").write_bytes(dumps(pretended(TABLES)))
    old = (tmp_path / "policy.toml").read_text()

    def compared(change: Any, *more: Any, back: bool = False) -> tuple[int, Told]:
        (tmp_path / "new.toml").write_text(change(old))
        pair = ("new.toml", "policy.toml") if back else ("policy.toml", "new.toml")
        result = run("diff", *pair, "--catalog", "c.json", "--json", *more)
        assert result.exit_code in (0, 1), result.output
        return result.exit_code, [json.loads(line) for line in result.stdout.splitlines()]

    return compared


def swap(old: str, new: str) -> Any:
    """Give a change of a policy's text."""

    def changed(text: str) -> str:
        assert old in text
        return text.replace(old, new)

    return changed


def add(more: str) -> Any:
    """Give a change that adds to a policy."""
    return lambda text: text + more


def test_the_same_policy_does_not_differ(diff: Any) -> None:
    """Blanks, comments and order are no difference; exit code 0."""
    assert diff(lambda text: "# new\n" + text) == (0, [])


LOOSER = {
    "grant": (swap('"shop.orders"]\ncolumns', '"shop.*"]\ncolumns'), "newly allowed"),
    "group": (swap('["clerks"]', '["clerks", "interns"]'), "newly allowed"),
    "action": (swap('["select", "update"]', '["select", "update", "delete"]'), "newly allowed"),
    "free": (add('[[grants]]\ngroups = ["dba"]\nactions = ["ddl"]\n'), None),
    "no-scan": (lambda text: text[: text.index("[[scans")], "masked less"),
    "partial": (swap("keep_last = 4", "keep_last = 6"), "masked otherwise"),
    "predicates": (swap("keep_last = 4", 'keep_last = 4\npredicates = "any"'), "masked otherwise"),
    "lift": (swap('tables = ["shop.*"]', 'tables = ["shop.*"]\nlifts = ["cards"]'), "masked less"),
    "issuer": (swap('audience = "shop"', 'audience = ["shop", "x"]'), "settings loosened"),
    "audit": (add('[audit]\ndurability = "buffered"\n'), "settings loosened"),
    "value": (add("[limits]\nmasked_value = 0\n"), "settings loosened"),
    "function": (add('[[functions]]\nfunctions = ["shop.f"]\n'), "settings loosened"),
}


@pytest.mark.parametrize("name", LOOSER)
def test_what_loosens_is_told_without_any_statement(diff: Any, name: str) -> None:
    """Each kind of loosening is exit code 1; the way back tightens, or can't be ranked."""
    change, kind = LOOSER[name]
    code, found = diff(change)
    if kind is None:
        # The members of dba are protected from some things, so that nothing opens.
        assert code == 0
        return
    assert code == 1
    assert kind in {each["kind"] for each in found if each["loosens"]}
    _, back = diff(change, back=True)
    assert back
    if kind in ("newly allowed", "masked less"):
        assert not any(each["loosens"] for each in back)


def test_what_tightens_is_no_failure(diff: Any) -> None:
    """A denial, a limit and a mask that shows nothing are told, and exit code 0."""
    denial = '[[denials]]\ngroups = ["clerks"]\ntables = ["shop.orders"]\ncolumns = ["note"]\n'
    code, found = diff(add(denial + "[limits]\nrows = 10\n"))
    assert code == 0
    assert {each["kind"] for each in found} == {"newly refused", "settings"}
    code, found = diff(swap('method = "partial"\nkeep_last = 4', 'method = "redact"'))
    assert (code, {each["kind"] for each in found}) == (0, {"masked more"})


def test_statements_are_judged_for_each_group(diff: Any, tmp_path: Path) -> None:
    """Of an SQL file each statement is judged by both policies, as each group or as asked."""
    (tmp_path / "s.sql").write_text(
        "-- two; of them\nselect card from shop.orders where id = $1;\nselect ';' from shop.staff"
    )
    _, found = diff(swap('"analysts"]', '"analysts", "ops"]'), "--statements", "s.sql")
    told = [(e["who"], e["what"][:11]) for e in found if e["what"].startswith(("select", "--"))]
    assert told == [("ops", "-- two; of "), ("ops", "select ';' ")]
    _, found = diff(
        swap('"analysts"]', '"ops"]'), "--statements", "s.sql", "--as", "both=ops,analysts"
    )
    assert not [each for each in found if each["who"] == "both"]


def test_policy_tests_are_a_corpus(diff: Any, write: Any) -> None:
    """The statements of policy tests are judged as their principals'."""
    write('[[tests]]\nname = "x"\nas = "cleo"\nsql = "delete from shop.orders where id = %s"\n'
          'parameters = [1]\nexpect = "forbidden"\n')  # fmt: skip
    change = swap('["select", "update"]', '["select", "update", "delete"]')
    _, found = diff(change, "--tests", "shop.tracewall.toml")
    (told,) = [each for each in found if each["who"] == "cleo"]
    assert told["kind"] == "newly allowed"
    assert told["what"] == "delete from shop.orders where id = $1"


def test_an_audit_log_is_a_corpus(diff: Any, tmp_path: Path) -> None:
    """Its texts have no literals: each question mark is a parameter."""
    with FileLog(tmp_path / "audit") as log:
        who = Who(issuer="i", subject="s", session="s", database="d", role="r")
        text = "SELECT note FROM shop.orders WHERE id = ? AND note = ?"
        what = What(summary="", text=text, decision="allowed", rule="r", policy="p")
        for _ in range(2):
            log.outcome(log.intent(who, what), Ended(status="ok"))
    _, found = diff(swap('["shop.orders.note"]', '["shop.staff.name"]'), "--audit", "audit")
    told = [each for each in found if "WHERE" in each["what"]]
    assert {(each["who"], each["kind"]) for each in told} == {
        ("analysts", "masked less"),
        ("clerks", "masked less"),
    }
    assert told[0]["what"] == re.sub(r"\?", "$1", text, count=1).replace("?", "$2")


def test_what_is_asked_less_is_told(diff: Any) -> None:
    """A rule that asks no more, or asks for more rows only, loosens."""
    start = f'[approval]\nkeys = ["{Signer.make("desk").public}"]\n'
    rule = '[[approvals]]\nname = "del"\nactions = ["update"]\napprovers = ["leads"]\n'
    _, found = diff(add(start + rule))
    assert {each["what"] for each in found if each["loosens"]} == {"approval.keys"}
    code, found = diff(add(start + rule), back=True)
    assert code == 1
    assert "approvals.del" in {each["what"] for each in found if each["loosens"]}


def test_it_is_told_for_people(run: Any, write: Any, tmp_path: Path) -> None:
    """What loosens comes first, with what was and what is; the last line sums up."""
    path = write("").parent / "policy.toml"
    (tmp_path / "c.json").write_bytes(dumps(pretended(TABLES)))
    (tmp_path / "new.toml").write_text(path.read_text().replace('["clerks"]', '["interns"]'))
    result = run("diff", path, "new.toml", "--catalog", "c.json")
    lines = result.stdout.splitlines()
    assert result.exit_code == 1
    assert lines[:3] == [
        "newly allowed",
        "  interns: shop.orders: id, note",
        "      + select, update",
    ]
    assert lines[-1] == "2 differences, 1 of them loosen; 0 statements judged"
    (tmp_path / "less.toml").write_text(
        path.read_text() + "[[denials]]\ngroups = ['clerks']\n"
        "actions = ['update']\ntables = ['shop.orders']\n"
    )
    told = run("diff", path, "less.toml", "--catalog", "c.json").stdout
    assert told.splitlines()[-1] == "1 difference, 0 of them loosen; 0 statements judged"


def test_wrong_questions_are_told(run: Any, write: Any, tmp_path: Path) -> None:
    """No catalog, a policy at fault, a principal that is none: exit code 2; no server: 3."""
    path = write("").parent / "policy.toml"
    (tmp_path / "c.json").write_bytes(dumps(pretended(TABLES)))
    (tmp_path / "bad.toml").write_text("version = 2")
    (tmp_path / "bad.sql").write_text("select 'open")
    assert run("diff", path, path).exit_code == 2
    assert run("diff", path, "bad.toml", "--catalog", "c.json").exit_code == 2
    assert run("diff", path, path, "--catalog", "c.json", "--as", "ana").exit_code == 2
    wrong = run("diff", path, path, "--catalog", "c.json", "--statements", "bad.sql")
    assert wrong.exit_code == 2
    assert run("diff", path, path, "--dsn", "host=/nowhere").exit_code == 3
