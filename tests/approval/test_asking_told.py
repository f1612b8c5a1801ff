"""What spans and the record tell of a request for approval, and of its use."""

from __future__ import annotations

from typing import Any

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from tracewall.approval.request import decoded
from tracewall.audit.verify import records
from tracewall.errors import ApprovalRequired
from tracewall.telemetry import Telemetry

RULES = """
[[approvals]]
name = "export"
rows = 10
approvers = ["boss"]
"""
EVERYTHING = "select id, body from note"


def test_the_approved_statement_links_to_the_request(office: Any) -> None:
    """The span of what people approved links to that of the request, by another wall's trace."""
    exporter, tracers = InMemorySpanExporter(), TracerProvider(shutdown_on_exit=False)
    tracers.add_span_processor(SimpleSpanProcessor(exporter))
    wall = office.wall(RULES, telemetry=Telemetry(tracers))
    with office.connect(wall) as conn, pytest.raises(ApprovalRequired) as asked:
        conn.execute(EVERYTHING)
    id = asked.value.request_id
    office.decide(wall, id)
    # What is kept of the request has the link: another process finds it there.
    later = office.wall(RULES, telemetry=Telemetry(tracers))
    with office.connect(later) as conn:
        conn.execute(EVERYTHING, approval=id).fetchall()
    spans = exporter.get_finished_spans()
    (request,) = (span for span in spans if span.name == "ask for approval")
    (used,) = (span for span in spans if span.links)
    assert used.name == "SELECT public.note"
    assert request.attributes["tracewall.approval"] == used.attributes["tracewall.approval"] == id
    (link,) = used.links
    assert link.context.span_id == request.context.span_id
    assert link.context.trace_id == request.context.trace_id
    assert link.attributes == {"tracewall.approval": id}


def test_without_spans_a_request_is_kept_as_ever(office: Any) -> None:
    """Where nobody traces, a request has no trace in its encoding, nor the statement a link."""
    wall = office.wall(RULES)
    with office.connect(wall) as conn:
        with pytest.raises(ApprovalRequired) as asked:
            conn.execute(EVERYTHING)
        kept = wall.desk.store.get(asked.value.request_id)
        assert kept is not None and b'"trace"' not in kept.content
        assert decoded(kept.content).trace == ""
        office.decide(wall, asked.value.request_id)
        assert conn.execute(EVERYTHING, approval=asked.value.request_id).fetchall()


def test_an_erasable_record_names_nobody_who_asks_or_approves(office: Any) -> None:
    """With audit.erasable the incidents of approvals have pseudonyms, of approvers too."""
    office.settings += "\n[audit]\nerasable = true\n"
    wall = office.wall(RULES)
    with office.connect(wall) as conn:
        with pytest.raises(ApprovalRequired) as asked:
            conn.execute(EVERYTHING)
        office.decide(wall, asked.value.request_id)
        conn.execute(EVERYTHING, approval=asked.value.request_id).fetchall()
    wall.audit.flush()
    told = [r["incident"] for r in records(office.folder / "audit") if r["kind"] == "incident"]
    asked_ = [each for each in told if each["kind"] in ("approval_requested", "approval_used")]
    assert len(asked_) == 2
    assert all(each["who"]["subject"].startswith("p-") for each in asked_)
    assert "approved by p-" in asked_[1]["detail"]
    assert not {"ann", "bob"} & set(str(asked_).replace("'", " ").replace(",", " ").split())
