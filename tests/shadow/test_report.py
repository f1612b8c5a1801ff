"""``tracewall shadow report``: what would have been, gathered from the record."""

from __future__ import annotations

import json
import tomllib
from typing import Any

import pytest
from click.testing import CliRunner

import tracewall
from tracewall.audit.log import FileLog
from tracewall.cli.commands import tracewall as command
from tracewall.events import Ended, What, Who


@pytest.fixture
def report(house: Any, section: Any) -> Any:
    """Observe some statements, and run the command over the record."""
    with (
        house.wall(section(house.clock, masks="observe")) as wall,
        tracewall.connect(wall=wall, token=house.token("staff"), autocommit=True) as conn,
    ):
        for number in range(3):
            conn.execute("select id, secret from orders where id = %s", [number])
        conn.execute("update orders set note = note where secret = 'CANARY'")
        conn.execute("select card from orders")
        conn.execute("select upper(card) from orders")
        conn.execute("select id from orders")

    def run(*arguments: str) -> Any:
        line = ["shadow", "report", str(house.folder / "audit"), *arguments]
        result = CliRunner().invoke(command, line)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    return run


def test_it_is_told_by_rule(report: Any) -> None:
    """Each rule with how often, why, whose and which statements, without any literal."""
    result = report()
    assert result.exit_code == 1
    lines = result.stdout.splitlines()
    assert lines[0] == "would refuse  default  4x"
    assert "    by ann 4x" in lines
    assert any(line.startswith("    3x select id, secret from orders") for line in lines), lines
    assert "would refuse  masks.cards  1x" in lines
    assert "would mask  masks.cards  1x" in lines
    assert lines[-1] == "6 of 7 statements would have gone otherwise"
    assert "CANARY" not in result.output


def test_it_is_told_by_who_and_table(report: Any) -> None:
    """By subject and by table there is one group for each outcome."""
    told = [json.loads(line) for line in report("--by", "who", "--json").stdout.splitlines()]
    assert [(g["outcome"], g["key"], g["times"]) for g in told] == [
        ("would_refuse", "ann", 5),
        ("would_mask", "ann", 1),
    ]
    told = [json.loads(line) for line in report("--by", "table", "--json").stdout.splitlines()]
    assert {group["key"] for group in told} == {"public.orders"}


def test_grants_are_suggested(report: Any) -> None:
    """What lacked a grant is suggested as one, with the columns that were touched; no more."""
    grants = tomllib.loads(report("--suggest").stdout)["grants"]
    assert all(grant["tables"] == ["public.orders"] for grant in grants)
    assert any("secret" in grant.get("columns", []) for grant in grants)
    assert not any("card" in grant.get("columns", []) for grant in grants)


def test_times_are_asked(report: Any) -> None:
    """What is before or after is left out; nothing found is exit code 0."""
    assert report("--until", "2001-01-01").exit_code == 0
    assert report("--since", "2001-01-01").exit_code == 1
    assert report("--since", "yesterday").exit_code == 2


def test_no_record_steers_a_terminal(tmp_path: Any) -> None:
    """Whatever a log holds is shown as escapes, and suggestions stay TOML."""
    evil = 'e\x1b[2J"]\n[[grants]]'
    would = {"outcome": "would_refuse", "rule": "default", "reason": evil}
    with FileLog(tmp_path / "audit") as log:
        who = Who(issuer="i", subject=evil, session="s", database="d", role="r")
        what = What(
            summary=evil, text=evil, decision="allowed", rule="r", policy="p", would=would,
            relations={name: ["select"] for name in (f"a.{evil}", "a.b", "a.*", "a.c")},
            columns={"a.b": [evil], "a.c": ["*"]},
        )  # fmt: skip
        log.outcome(log.intent(who, what), Ended(status="ok"))
    for more in ([], ["--suggest"], ["--by", "table"]):
        line = ["shadow", "report", str(tmp_path / "audit"), *more]
        told = CliRunner().invoke(command, line).stdout
        assert "\x1b" not in told
        if more == ["--suggest"]:
            assert len(tomllib.loads(told)["grants"]) == 1
