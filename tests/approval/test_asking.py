"""A statement that needs approval: asked for, decided, done once."""

from __future__ import annotations

from typing import Any

import pytest

from tracewall.errors import ApprovalRequired, Forbidden

EVERYTHING = "select id, body from note"


def ask(conn: Any, query: str = EVERYTHING, *params: Any, **words: Any) -> str:
    """Have people asked about a statement, and give the request's id."""
    with pytest.raises(ApprovalRequired) as asked:
        conn.execute(query, *params, **words)
    assert asked.value.request_id
    return asked.value.request_id


def test_too_many_rows_wait_for_somebody_else(office: Any) -> None:
    """Rows over the number are not handed out until somebody has approved, and then once."""
    wall = office.wall()
    with office.connect(wall) as conn:
        assert len(conn.execute("select id from note limit 10").fetchall()) == 10
        id = ask(conn)
        with pytest.raises(ApprovalRequired, match="waits"):
            conn.execute(EVERYTHING, approval=id)
        office.decide(wall, id)
        assert len(conn.execute(EVERYTHING, approval=id).fetchall()) == 40
        with pytest.raises(Forbidden, match="used"):
            conn.execute(EVERYTHING, approval=id)
    assert wall.desk.case(id).state == "done"
