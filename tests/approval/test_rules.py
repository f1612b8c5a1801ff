"""When rules ask: at which hours, and for what can't be followed."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from tracewall.errors import ApprovalRequired
from tracewall.policy.hours import Hours, within

OFFICE = (Hours((0, 1, 2, 3, 4), 8 * 60, 18 * 60),)


@pytest.mark.parametrize(
    ("zone", "at", "inside"),
    [
        ("UTC", datetime(2026, 11, 23, 8, 0, tzinfo=UTC), True),
        ("UTC", datetime(2026, 11, 23, 7, 59, tzinfo=UTC), False),
        ("UTC", datetime(2026, 11, 23, 18, 0, tzinfo=UTC), False),
        ("UTC", datetime(2026, 11, 22, 12, 0, tzinfo=UTC), False),
        ("Europe/Berlin", datetime(2026, 7, 20, 6, 30, tzinfo=UTC), True),
        ("Europe/Berlin", datetime(2026, 11, 23, 6, 30, tzinfo=UTC), False),
    ],
)
def test_hours_are_those_of_the_zone(zone: str, at: datetime, inside: bool) -> None:
    """Hours hold from their first minute to before their last, by the clocks of the zone."""
    assert within(OFFICE, zone, at.timestamp()) is inside


def test_what_can_not_be_followed_is_asked_for(office: Any) -> None:
    """DDL that is granted waits where a rule names it, and where any rule is about tables."""
    grant = (
        '[[grants]]\nname = "ddl"\ngroups = ["staff"]\nactions = ["ddl", "anything"]\n'
        '[[approvals]]\nname = "{}"\n{}\napprovers = ["boss"]\n'
    )
    office.masks = ""
    for rule in ('actions = ["ddl"]', "rows = 10"):
        wall = office.wall(grant.format("rule", rule))
        with office.connect(wall) as conn:
            with pytest.raises(ApprovalRequired):
                conn.execute("create table made (id int)")
            with pytest.raises(ApprovalRequired):
                conn.execute("create table made (id int); select 1")
            with pytest.raises(ApprovalRequired):
                conn.execute("do $$ begin create table made (id int); end $$")
    assert office.raw("select to_regclass('made')") == [(None,)]


@pytest.mark.parametrize("also", ["", '"temp", '])
def test_rows_are_not_deleted_by_way_of_what_is_not_followed(office: Any, also: str) -> None:
    """A rule for an action on tables asks for whatever could do it, whatever else it names."""
    office.masks = ""
    rules = (
        '[[grants]]\nname = "ddl"\ngroups = ["staff"]\nactions = ["ddl"]\n'
        f'[[approvals]]\nname = "gone"\nactions = [{also}"delete"]\napprovers = ["boss"]\n'
    )
    office.raw("grant create on schema public to public")
    with office.connect(office.wall(rules)) as conn, pytest.raises(ApprovalRequired):
        conn.execute("create table t as with d as (delete from note returning *) select * from d")
    assert office.raw("select count(*) from note") == [(40,)]
