"""A session in which people were asked, recorded."""

from __future__ import annotations

from typing import Any

import pytest

from tracewall.errors import ApprovalRequired
from tracewall.recording.folder import Folder
from tracewall.recording.reader import Reading

RULES = """
[[approvals]]
name = "export"
rows = 10
approvers = ["boss"]
[[recordings]]
name = "all"
"""
EVERYTHING = "select id, body from note"


def test_a_recording_tells_who_approved(office: Any) -> None:
    """A recorded session has the refusals that asked, and what was approved by whom."""
    wall = office.wall(RULES)
    with office.connect(wall) as conn:
        with pytest.raises(ApprovalRequired) as asked:
            conn.execute(EVERYTHING)
        id = asked.value.request_id
        office.decide(wall, id)
        conn.execute(EVERYTHING, approval=id).fetchall()
    store = Folder(office.folder / "recordings")
    (entry,) = store.entries()
    with store.open(entry) as stream:
        lines = list(Reading(stream))
    *refused, done = [line["error"] for line in lines if line["kind"] == "outcome"]
    assert set(refused) == {"ApprovalRequired"}
    assert done == ""
    (approval,) = [line for line in lines if line["kind"] == "approval"]
    assert approval["request"] == id
    assert approval["rules"] == ["export"]
    assert [person.split()[-1] for person in approval["people"]] == ["bob"]
    assert sum(len(line["rows"]) for line in lines if line["kind"] == "rows") == 40
