"""Spans and the duration metric: the conventions' names, no values, and never in the way."""

from __future__ import annotations

import logging
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from opentelemetry import context, trace
from opentelemetry.metrics import Histogram, Meter, MeterProvider, NoOpHistogram, NoOpMeter
from opentelemetry.sdk.metrics import MeterProvider as SdkMeterProvider
from opentelemetry.sdk.metrics.export import HistogramDataPoint, InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from opentelemetry.semconv.attributes import (
    db_attributes,
    error_attributes,
    server_attributes,
)
from opentelemetry.semconv.metrics import db_metrics
from opentelemetry.trace import SpanKind, StatusCode

from tracewall import telemetry
from tracewall.telemetry import BUCKETS, Labels, Telemetry, labels


def test_no_name_of_an_attribute_is_the_namespace_of_another() -> None:
    """As the conventions ask; stores that nest names by their dots can't hold both."""
    told = re.findall(r"``((?:db|server|error|tracewall)\.[a-z._]+)``", telemetry.__doc__ or "")
    assert "tracewall.masked.columns" in told
    assert not [(one, other) for one in told for other in told if other.startswith(f"{one}.")]


class Collected:
    """Telemetry into memory, and what arrived there."""

    def __init__(self) -> None:
        self._spans = InMemorySpanExporter()
        self._metrics = InMemoryMetricReader()
        self.tracers = TracerProvider(shutdown_on_exit=False)
        self.tracers.add_span_processor(SimpleSpanProcessor(self._spans))
        self.meters = SdkMeterProvider([self._metrics], shutdown_on_exit=False)
        self.telemetry = Telemetry(self.tracers, self.meters)

    @property
    def span(self) -> ReadableSpan:
        (span,) = self._spans.get_finished_spans()
        return span

    @property
    def points(self) -> list[HistogramDataPoint]:
        data = self._metrics.get_metrics_data()
        assert data is not None
        (metric,) = data.resource_metrics[0].scope_metrics[0].metrics
        assert (metric.name, metric.unit) == (db_metrics.DB_CLIENT_OPERATION_DURATION, "s")
        return [point for point in metric.data.data_points if isinstance(point, HistogramDataPoint)]


@pytest.fixture
def collected() -> Iterator[Collected]:
    collected = Collected()
    yield collected
    collected.tracers.shutdown()
    collected.meters.shutdown()


@pytest.fixture
def shown() -> Labels:
    return labels(
        summary="SELECT traces.runs",
        text="SELECT id FROM traces.runs WHERE id = ?",
        namespace="store",
        address="db.example",
        port=5432,
        decision="allowed",
        rule="grants.analysts",
        policy="1" * 64,
        session="s1",
    )


def attributes(span: ReadableSpan) -> dict[str, Any]:
    return dict(span.attributes or {})


def test_a_good_statement_is_a_client_span_with_the_conventions_names(
    collected: Collected, shown: Labels
) -> None:
    """Kind CLIENT, the summary as name, status unset, exactly the documented attributes."""
    span = collected.telemetry.start(shown)
    collected.telemetry.finish(
        span, shown, started=time.perf_counter(), sqlstate="00000", rows=3, masked=1
    )
    assert collected.span.name == "SELECT traces.runs"
    assert collected.span.kind is SpanKind.CLIENT
    assert collected.span.status.status_code is StatusCode.UNSET
    assert collected.span.events == ()
    assert attributes(collected.span) == {
        db_attributes.DB_SYSTEM_NAME: db_attributes.DbSystemNameValues.POSTGRESQL.value,
        db_attributes.DB_NAMESPACE: "store",
        db_attributes.DB_QUERY_TEXT: "SELECT id FROM traces.runs WHERE id = ?",
        db_attributes.DB_QUERY_SUMMARY: "SELECT traces.runs",
        server_attributes.SERVER_ADDRESS: "db.example",
        server_attributes.SERVER_PORT: 5432,
        "tracewall.decision": "allowed",
        "tracewall.rule": "grants.analysts",
        "tracewall.policy": "1" * 64,
        "tracewall.session": "s1",
        "tracewall.rows": 3,
        "tracewall.masked.columns": 1,
    }


def test_a_failed_statement_tells_its_code_and_class_only(
    collected: Collected, shown: Labels
) -> None:
    """Status ERROR without a description, SQLSTATE and error type, and no exception event."""
    span = collected.telemetry.start(shown)
    collected.telemetry.finish(
        span, shown, started=time.perf_counter(), sqlstate="23505", error_type="UniqueViolation"
    )
    assert collected.span.status.status_code is StatusCode.ERROR
    assert collected.span.status.description is None
    assert collected.span.events == ()
    told = attributes(collected.span)
    assert told[db_attributes.DB_RESPONSE_STATUS_CODE] == "23505"
    assert told[error_attributes.ERROR_TYPE] == "UniqueViolation"
    assert "tracewall.rows" not in told


@pytest.mark.parametrize(
    ("sqlstate", "error_type", "told"),
    [
        ("", "", None),
        ("00000", "", None),
        ("01000", "", None),
        ("02000", "", None),
        ("40001", "", "40001"),
        ("42501", "Forbidden", "Forbidden"),
        ("", "TokenRejected", "TokenRejected"),
    ],
)
def test_error_type_is_told_for_failures_alone(
    collected: Collected, shown: Labels, sqlstate: str, error_type: str, told: str | None
) -> None:
    """The SQLSTATE stands in for a missing class; success, warning and no-data are no failures."""
    span = collected.telemetry.start(shown)
    started = time.perf_counter()
    collected.telemetry.finish(
        span, shown, started=started, sqlstate=sqlstate, error_type=error_type
    )
    assert attributes(collected.span).get("error.type") == told
    assert (collected.span.status.status_code is StatusCode.ERROR) == (told is not None)


def test_a_batch_tells_its_size(collected: Collected, shown: Labels) -> None:
    """`db.operation.batch.size` is there for two runs or more, as the conventions ask."""
    for batch in (0, 1, 7):
        span = collected.telemetry.start(shown, batch=batch)
        assert isinstance(span, ReadableSpan)
        size = 7 if batch == 7 else None
        assert attributes(span).get(db_attributes.DB_OPERATION_BATCH_SIZE) == size


def test_a_long_summary_is_cut(collected: Collected) -> None:
    """No span name is longer than the conventions' 255 characters."""
    shown = labels(summary="SELECT " + "x" * 1000)
    collected.telemetry.finish(collected.telemetry.start(shown), shown, started=time.perf_counter())
    assert collected.span.name == "SELECT " + "x" * 248
    assert attributes(collected.span)[db_attributes.DB_QUERY_SUMMARY] == collected.span.name


def test_what_is_not_known_is_not_told(collected: Collected) -> None:
    """Empty settings make no attributes, and a statement without a summary still has a name."""
    shown = labels(summary="")
    collected.telemetry.finish(collected.telemetry.start(shown), shown, started=time.perf_counter())
    assert collected.span.name == "postgresql"
    assert attributes(collected.span) == {"db.system.name": "postgresql"}


def test_a_span_is_a_child_of_the_callers(collected: Collected, shown: Labels) -> None:
    """The caller's current span is the parent."""
    tracer = collected.tracers.get_tracer("caller")
    outer = tracer.start_span("request")
    token = context.attach(trace.set_span_in_context(outer))
    try:
        span = collected.telemetry.start(shown)
    finally:
        context.detach(token)
    collected.telemetry.finish(span, shown, started=time.perf_counter())
    assert collected.span.parent is not None
    assert collected.span.parent.span_id == outer.get_span_context().span_id


def test_the_duration_is_recorded_in_seconds(collected: Collected, shown: Labels) -> None:
    """One histogram with the conventions' buckets; its attributes have few different values."""
    collected.telemetry.finish(None, shown, started=time.perf_counter() - 2.0)
    (point,) = collected.points
    assert 2.0 <= point.sum < 3.0
    assert tuple(point.explicit_bounds) == BUCKETS
    assert dict(point.attributes or {}) == {
        "db.system.name": "postgresql",
        "db.namespace": "store",
        "db.query.summary": "SELECT traces.runs",
        "server.address": "db.example",
        "server.port": 5432,
    }


def test_a_failure_is_told_apart_in_the_metric(collected: Collected, shown: Labels) -> None:
    """Failures have their own points, by class and code, and leave the shared labels alone."""
    started = time.perf_counter()
    collected.telemetry.finish(
        None, shown, started=started, sqlstate="57014", error_type="Canceled"
    )
    collected.telemetry.finish(None, shown, started=started)
    told = [(point.attributes or {}).get("error.type") for point in collected.points]
    assert sorted(told, key=str) == ["Canceled", None]


def test_refused_statements_make_no_series_of_their_own(collected: Collected) -> None:
    """An intruder who names a thousand tables doesn't fill the store of metrics."""
    for n in range(1000):
        shown = labels(summary=f"SELECT t{n}", decision="forbidden")
        collected.telemetry.finish(None, shown, started=time.perf_counter(), error_type="Forbidden")
    assert len(collected.points) == 1


def test_labels_are_the_same_for_every_run(collected: Collected, shown: Labels) -> None:
    """A batch, an error or masked columns of one run don't show in the next."""
    telemetry = collected.telemetry
    before = (dict(shown.span), dict(shown.metric))
    span = telemetry.start(shown, batch=5)
    telemetry.finish(span, shown, started=0.0, sqlstate="23505", error_type="E", rows=1, masked=2)
    assert (dict(shown.span), dict(shown.metric)) == before
    again = telemetry.start(shown)
    assert isinstance(again, ReadableSpan)
    assert attributes(again) == before[0]


def test_nothing_happens_without_an_sdk(shown: Labels) -> None:
    """With the API alone there is no span, and nothing breaks."""
    telemetry = Telemetry()
    span = telemetry.start(shown, batch=3)
    assert span is None
    telemetry.finish(span, shown, started=time.perf_counter(), error_type="Forbidden", rows=1)


_WITHOUT = """
import sys, tempfile
from pathlib import Path
import tracewall
from tracewall.testing import Bench, FakeBackend
POLICY = '''
version = 1
[[issuers]]
name = "t"
issuer = "https://t.test"
audience = "a"
keys = "jwks.json"
[[grants]]
groups = ["g"]
actions = ["select"]
tables = ["s.*"]
'''
with tempfile.TemporaryDirectory() as folder, FakeBackend({"s.t": {"id": "int4"}}) as backend:
    backend.on("select id from s.t").rows([(1,)])
    policy = Path(folder, "policy.toml")
    policy.write_text(POLICY)
    with Bench.load(policy, backend) as bench, bench.connect("g") as conn:
        assert conn.execute("select id from s.t").fetchall() == [(1,)]
        try:
            conn.execute("delete from s.t")
        except tracewall.Forbidden:
            print("refused", *sorted(name for name in sys.modules if "opentelemetry.sdk" in name
                                     or "opentelemetry.exporter" in name))
"""


def test_no_sdk_is_imported(tmp_path: Path) -> None:
    """A guarded connection needs OpenTelemetry's API only, whatever else is installed."""
    place = str(Path(str(files("tracewall"))).parent)
    environment = {k: v for k, v in os.environ.items() if not k.startswith("OTEL_")}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", _WITHOUT],
        cwd=tmp_path,
        env=environment | {"PYTHONPATH": place},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert (done.stdout, done.stderr) == ("refused\n", "")


def test_an_unsampled_statement_has_no_span_but_a_duration(shown: Labels) -> None:
    """Sampling drops the span, not the metric."""
    collected = Collected()
    telemetry = Telemetry(TracerProvider(ALWAYS_OFF, shutdown_on_exit=False), collected.meters)
    span = telemetry.start(shown)
    assert span is None
    telemetry.finish(span, shown, started=time.perf_counter())
    assert len(collected.points) == 1
    collected.meters.shutdown()


class _BrokenProcessor(SpanProcessor):
    def __init__(self, where: str) -> None:
        self._where = where

    def on_start(self, span: Any, parent_context: Any = None) -> None:
        if self._where == "start":
            raise RuntimeError("canary-7f3a")

    def on_end(self, span: Any) -> None:
        if self._where == "end":
            raise RuntimeError("canary-7f3a")


class _BrokenHistogram(NoOpHistogram):
    def record(self, *_: Any, **__: Any) -> None:
        raise RuntimeError("canary-7f3a")


class _BrokenMeter(NoOpMeter):
    def create_histogram(self, *_: Any, **__: Any) -> Histogram:
        return _BrokenHistogram("broken")


class _BrokenMeters(MeterProvider):
    def get_meter(self, *_: Any, **__: Any) -> Meter:
        return _BrokenMeter("broken")


@pytest.mark.parametrize("where", ["start", "end", "metric"])
def test_a_broken_sdk_never_breaks_a_statement(
    shown: Labels, where: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Whatever raises inside telemetry is logged once, by its class and without its text."""
    tracers = TracerProvider(shutdown_on_exit=False)
    tracers.add_span_processor(_BrokenProcessor(where))
    telemetry = Telemetry(tracers, _BrokenMeters() if where == "metric" else None)
    with caplog.at_level(logging.DEBUG):
        for _ in range(3):
            span = telemetry.start(shown)
            telemetry.finish(span, shown, started=time.perf_counter(), error_type="E")
    assert caplog.text.count("telemetry failed with RuntimeError") == 1
    assert "canary" not in caplog.text


def test_an_interrupt_is_not_swallowed(shown: Labels) -> None:
    """Only errors are kept from the statement: an interrupt of the program still gets through."""

    class Interrupting(_BrokenProcessor):
        def on_start(self, span: Any, parent_context: Any = None) -> None:
            raise KeyboardInterrupt

    tracers = TracerProvider(shutdown_on_exit=False)
    tracers.add_span_processor(Interrupting(""))
    with pytest.raises(KeyboardInterrupt):
        Telemetry(tracers).start(shown)


def test_there_is_no_place_for_a_value(shown: Labels) -> None:
    """Neither `finish` nor `labels` takes a parameter, a message or an exception."""
    attempts: list[dict[str, Any]] = [
        {"parameters": ["canary"]},
        {"message": "canary"},
        {"exception": ValueError("canary")},
    ]
    for attempt in attempts:
        with pytest.raises(TypeError):
            labels(summary="s", **attempt)
        with pytest.raises(TypeError):
            Telemetry().finish(None, shown, started=0.0, **attempt)
    assert isinstance(shown.span, Mapping)
    with pytest.raises(TypeError):
        shown.span["db.query.text"] = "canary"  # type: ignore[index]
