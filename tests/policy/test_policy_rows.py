"""The key `rows` of grants: what a condition may hold, and where a complaint points."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracewall.errors import PolicyError
from tracewall.policy.load import loads
from tracewall.sql.rowfilter import Unfit, condition

GRANT = """version = 1
[[grants]]
name = "own"
groups = ["g"]
actions = ["select"]
tables = ["a.b"]
rows = {rows}
"""
FINE = [
    "tenant_id = claim('tenant')",
    "tenant_id = claim('tenant')::uuid and deleted_at is null",
    "region = any(claims('regions')) or owner = claim('sub')",
    "id in (1, 2, -3) and price between 1 and 2.5",
    "lower(mail) like 'a%' and not (kind is distinct from 'x')",
    "tags && array['a', 'b'] or doc ->> 'k' = 'v'",
    "created > now() - interval '30 days' and born::date <= current_date",
    "coalesce(claim('tier'), 'free') = tier and active is true",
    "id = any(claims('ids')::int[])",
    "\"Odd \"\"Name\" = 'it''s' and x = E'back\\\\slash'",
]
UNFIT = {
    "a = 1) union select (1": "more than one",
    "a = 1) order by (a": "more than one",
    "a = 1); drop table t; --": "no SQL condition",
    "": "no SQL condition",
    "a = (select 1)": "can't hold this",
    "exists (select 1)": "can't hold this",
    "pg_sleep(1) is null": "can't call pg_sleep",
    "pg_catalog.lower(a) = 'x'": "can't hold this call",
    "current_setting('x') = 'y'": "can't call current_setting",
    "t.a = 1": "alone",
    "a = $1": "can't hold this",
    "a = claim(b)": "literal",
    "a = claim('x', 'y')": "literal",
    "a operator(evil.=) 1": "operator",
    "a = 1 and b ~ 'x'": "operator ~",
    "a::evil.type = 1": "cast",
    "row(a) = row(1)": "can't hold this",
    "current_user = a": "can't hold this value",
    "a = count(*)": "can't",
    "sum(a) over () > 1": "can't",
    "a collate \"C\" = 'x'": "can't hold this",
}


@pytest.mark.parametrize("text", FINE)
def test_a_condition_is_written_anew_and_reads_as_itself(text: str) -> None:
    """What is kept is SQL of our own making, and nothing of it is lost."""
    made = condition(text)
    assert made.sql.startswith("(")
    assert not set(made.claims) - {"tenant", "regions", "sub", "tier", "ids"}
    assert ("claim" in text) == bool(made.claims)


@pytest.mark.parametrize("text", UNFIT)
def test_what_is_not_listed_is_refused(text: str) -> None:
    """Subqueries, other functions, operators and casts, and what would break out, are refused."""
    with pytest.raises(Unfit, match=UNFIT[text]):
        condition(text)


@given(st.text())
def test_any_text_is_a_condition_or_refused(text: str) -> None:
    """Nothing but `Unfit` is raised, whatever the text is."""
    try:
        condition(text)
    except Unfit as ex:
        assert -1 <= ex.at <= len(text)


def test_a_complaint_points_into_the_condition() -> None:
    """Line and column are those of the part that can't be held."""
    with pytest.raises(PolicyError) as caught:
        loads(GRANT.format(rows="\"tenant = claim('t') and pg_sleep(1) is null\""))
    assert (caught.value.line, caught.value.column) == (7, 33)
    assert "pg_sleep" in caught.value.message


@pytest.mark.parametrize("action", ["truncate", "listen", "ddl", "anything"])
def test_what_can_t_be_held_to_rows_is_granted_apart(action: str) -> None:
    """A filtered grant has no action that the server does not filter."""
    text = GRANT.format(rows='"a = 1"').replace('["select"]', f'["select", "{action}"]')
    with pytest.raises(PolicyError):
        loads(text)


def test_a_filtered_grant_needs_a_name() -> None:
    """The server's policies are called by it, so a position will not do."""
    with pytest.raises(PolicyError, match="needs a name"):
        loads(GRANT.format(rows='"a = 1"').replace('name = "own"\n', ""))


def test_the_meaning_is_the_condition_s() -> None:
    """Blanks and brackets leave the policy's hash as it is, another condition changes it."""
    one, same, other = (
        loads(GRANT.format(rows=f'"{rows}"')).hash for rows in ("a = 1", "(a  =  1)", "a = 2")
    )
    assert one == same != other
