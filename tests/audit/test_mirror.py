"""The mirror of the record: complete where all is well, and never in the way."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import InMemoryLogRecordExporter, SimpleLogRecordProcessor
from opentelemetry.sdk.trace import TracerProvider

import tracewall
from tracewall.audit.log import FileLog
from tracewall.audit.verify import records, verify
from tracewall.errors import AuditUnavailable
from tracewall.events import Ended, Incident, Moment, What, Who
from tracewall.mirrored import MirroredLog
from tracewall.telemetry import Telemetry
from tracewall.telemetry import mirror as room
from tracewall.telemetry.mirror import Mirror
from tracewall.testing import Bench, FakeBackend


class Kept:
    """A provider that keeps log records in memory."""

    def __init__(self) -> None:
        self.exporter = InMemoryLogRecordExporter()
        self.provider = LoggerProvider(shutdown_on_exit=False)
        self.provider.add_log_record_processor(SimpleLogRecordProcessor(self.exporter))

    @property
    def records(self) -> list[Any]:
        return [each.log_record for each in self.exporter.get_finished_logs()]


def test_what_is_kept_is_mirrored(tmp_path: Path, who: Who, what: What) -> None:
    """Each intent, outcome and incident comes as a log record with what the record says."""
    kept = Kept()
    log = MirroredLog(FileLog(tmp_path), Mirror(kept.provider))
    number = log.intent(who, what, Moment(3))
    log.outcome(number, Ended(status="error", sqlstate="42501"))
    log.incident(Incident(kind="unsafe", detail="x"))
    log.close()
    intent, outcome, incident = kept.records
    written = [r for r in records(tmp_path) if r["kind"] in ("intent", "outcome", "incident")]
    assert intent.event_name == "tracewall.audit.intent"
    assert intent.body == {key: written[0][key] for key in ("who", "what", "transaction")}
    assert intent.attributes["db.query.text"] == what.text
    assert outcome.body == {"intent": number, "ended": written[1]["ended"]}
    assert outcome.severity_text == "WARN" and intent.severity_text == "INFO"
    assert incident.body == {"incident": written[2]["incident"]}
    assert verify(tmp_path).ok


def test_a_log_record_is_below_the_callers_span(tmp_path: Path, who: Who, what: What) -> None:
    """Though another thread emits it, a record has the trace of who sent the statement."""
    kept, tracers = Kept(), TracerProvider(shutdown_on_exit=False)
    log = MirroredLog(FileLog(tmp_path), Mirror(kept.provider))
    with trace.use_span(tracers.get_tracer("t").start_span("request")) as span:
        log.intent(who, what)
    log.close()
    assert kept.records[0].trace_id == span.get_span_context().trace_id


def test_a_hanging_exporter_delays_nothing(
    tmp_path: Path, who: Who, what: What, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Statements go on while an exporter hangs; what is too much is dropped, and told."""
    monkeypatch.setattr(room, "MOST", 10)
    monkeypatch.setattr(room, "_PATIENCE", 0.1)
    kept, free = Kept(), threading.Event()
    real = kept.exporter.export

    def hang(batch: Any) -> Any:
        free.wait(60)
        return real(batch)

    kept.exporter.export = hang  # type: ignore[method-assign]
    log = MirroredLog(FileLog(tmp_path), Mirror(kept.provider))
    started = time.monotonic()
    for _ in range(50):
        log.intent(who, what)
    assert time.monotonic() - started < 20
    free.set()
    deadline = time.monotonic() + 30
    while not any("tracewall.dropped" in each.attributes for each in kept.records):
        assert time.monotonic() < deadline
        log.outcome(1, Ended(status="ok"))
        time.sleep(0.01)
    log.close()
    assert [r["kind"] for r in records(tmp_path)].count("intent") == 50


def test_a_failing_exporter_is_nobodys_error(tmp_path: Path, who: Who, what: What) -> None:
    """A provider that raises is told to the logger once, and to no statement."""

    class Broken(LoggerProvider):
        def get_logger(self, *args: Any, **options: Any) -> Any:
            made = super().get_logger(*args, **options)
            made.emit = lambda *args, **told: 1 / 0
            return made

    log = MirroredLog(FileLog(tmp_path), Mirror(Broken(shutdown_on_exit=False)))
    for _ in range(5):
        log.outcome(log.intent(who, what), Ended(status="ok"))
    log.close()
    assert verify(tmp_path).ok


def test_what_is_refused_is_not_mirrored(tmp_path: Path, who: Who, what: What) -> None:
    """The mirror never knows more than the record: what the log refuses it does not see."""
    kept = Kept()
    log = MirroredLog(FileLog(tmp_path), Mirror(kept.provider))
    log.close()
    with pytest.raises(AuditUnavailable):
        log.intent(who, what)
    assert kept.records == []


def test_a_policy_has_its_record_mirrored(tmp_path: Path) -> None:
    """With audit.mirror a wall mirrors what it records, without any value or token."""
    kept = Kept()
    policy = tmp_path / "policy.toml"
    policy.write_text(
        'version = 1\naudit.mirror = true\n[[issuers]]\nname = "t"\nissuer = "https://t.test"\n'
        'audience = "a"\nkeys = "jwks.json"\n'
        '[[grants]]\ngroups = ["g"]\nactions = ["select"]\ntables = ["s.*"]\n'
    )
    with FakeBackend({"s.t": {"id": "int4", "word": "text"}}) as backend:
        backend.on("select id from s.t where word = 'CANARY'").rows([(1,)])
        telemetry = Telemetry(logger_provider=kept.provider)
        with Bench.load(policy, backend, telemetry=telemetry) as bench, bench.connect("g") as conn:
            conn.execute("select id from s.t where word = 'CANARY'").fetchall()
            with pytest.raises(tracewall.Forbidden):
                conn.execute("delete from s.t where word = 'CANARY'")
    events = [each.event_name for each in kept.records]
    assert events.count("tracewall.audit.intent") == events.count("tracewall.audit.outcome") == 3
    assert "tracewall.audit.incident" in events
    assert "CANARY" not in str([(each.body, each.attributes) for each in kept.records])
    summaries = [each.attributes.get("db.query.summary") for each in kept.records]
    assert "SELECT s.t" in summaries and "DELETE s.t" in summaries
