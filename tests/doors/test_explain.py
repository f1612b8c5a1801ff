"""Explaining a statement, by the wall and by a connection, without sending it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

import tracewall
from tracewall import sql

KEYED = "SELECT run_id, api_key FROM traces.runs WHERE run_id = %s"


def test_a_connection_explains_for_whoever_acts(guard: Any) -> None:
    """The decision is that of execute: by token, over the connection's own catalog."""
    with tracewall.connect(wall=guard.wall, token=guard.analyst) as conn:
        decision = conn.explain(KEYED, [1])
        assert (decision.outcome, decision.rule) == ("allowed", "grants.read")
        assert [column.shows for column in decision.columns] == ["clear", "partial"]
        assert decision.columns[1].lineage == (("traces.runs.api_key", "exact"),)
        composed = sql.SQL("SELECT client_ip FROM {}").format(sql.Identifier("traces", "runs"))
        assert conn.explain(composed).outcome == "forbidden"
    with tracewall.connect(wall=guard.wall) as conn:
        with pytest.raises(tracewall.TokenRejected):
            conn.explain("SELECT 1")
        with guard.wall.acting_as(guard.operator):
            assert conn.explain("SELECT client_ip FROM traces.runs").allowed


def test_a_refusal_is_explained_as_it_is_raised(guard: Any) -> None:
    """The error of execute carries the decision that explain gives."""
    with tracewall.connect(wall=guard.wall, token=guard.analyst) as conn:
        for statement in ("SELECT * FROM traces.runs", "DELETE FROM traces.steps", "SELEKT"):
            with pytest.raises(tracewall.Forbidden) as refused:
                conn.execute(statement)
            told = conn.explain(statement)
            assert str(refused.value.decision) == str(told)
            assert (told.relations, told.columns) == ((), ())


def test_nothing_is_sent_or_recorded(guard: Any) -> None:
    """Explaining leaves no transaction open, no row changed and no line in the record."""
    with tracewall.connect(wall=guard.wall, token=guard.operator) as conn:
        before = guard.recorded()
        assert conn.explain("DELETE FROM traces.steps").allowed
        assert conn.info.transaction_status.name == "IDLE"
        assert guard.recorded() == before
    assert guard.raw("SELECT count(*) > 0 FROM traces.steps") == [(True,)]


def test_the_wall_explains_by_token_or_principal(guard: Any) -> None:
    """By the last catalog read; a token that is refused is a decision too."""
    with tracewall.connect(wall=guard.wall, token=guard.analyst) as conn:
        who = conn._session.principal()
    for each in (guard.analyst, who):
        told = guard.wall.explain("SELECT api_key FROM traces.runs WHERE run_id = $1", each)
        assert str(told).splitlines()[0] == "allowed by grants.read"
    assert not guard.wall.explain(b"SELECT client_ip FROM traces.runs", who).allowed
    expired = guard.wall.explain("SELECT 1", guard.token("analysts", lifetime=-600))
    assert (expired.outcome, expired.rule) == ("forbidden", "token")


def test_a_wall_that_knows_no_catalog_says_so(guard: Any) -> None:
    """Without a catalog nothing can be judged, and nothing is guessed."""
    fresh = replace(guard.wall, _catalogs={}, _judges={})
    with pytest.raises(tracewall.OperationalError, match="knows no catalog yet"):
        fresh.explain("SELECT 1", guard.analyst)
