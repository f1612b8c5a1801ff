"""Spans of a real connection: one for each door, below the caller's, no value in any."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import psycopg
import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.semconv.attributes import db_attributes, error_attributes, server_attributes
from opentelemetry.trace import SpanKind

import tracewall
from tracewall.telemetry import Telemetry
from tracewall.testing import Bench, FixedClock

# https://opentelemetry.io/docs/specs/semconv/database/postgresql/, as the SDK's package of the
# conventions has it; the rest is ours.
CONVENTIONS = {
    value
    for module in (db_attributes, error_attributes, server_attributes)
    for name, value in vars(module).items()
    if name.isupper() and isinstance(value, str)
}
POLICY = """
version = 1
[[issuers]]
name = "test"
issuer = "https://idp.test"
audience = "api"
keys = "jwks.json"
[[grants]]
groups = ["staff"]
actions = ["select", "insert"]
tables = ["public.things"]
[[masks]]
name = "words"
columns = ["public.things.word"]
method = "redact"
"""


class Seen:
    """What was exported by a wall over a table of canaries."""

    def __init__(self) -> None:
        self.exporter = InMemorySpanExporter()
        self.tracers = TracerProvider(shutdown_on_exit=False)
        self.tracers.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.reader = InMemoryMetricReader()
        self.meters = MeterProvider([self.reader], shutdown_on_exit=False)
        self.telemetry = Telemetry(self.tracers, self.meters)

    @property
    def spans(self) -> Any:
        found = self.exporter.get_finished_spans()
        others = [span for span in found if span.name != "request"]
        return [span for span in others if not span.name.startswith("connect ")]

    @property
    def log_ins(self) -> Any:
        found = self.exporter.get_finished_spans()
        return [span for span in found if span.name.startswith("connect ")]

    @property
    def names(self) -> list[str]:
        return [span.name for span in self.spans]


@pytest.fixture
def seen() -> Iterator[Seen]:
    made = Seen()
    yield made
    made.tracers.shutdown()
    made.meters.shutdown()


@pytest.fixture
def bench(scratch_dsn: str, tmp_path: Path, seen: Seen) -> Iterator[Bench]:
    with psycopg.connect(scratch_dsn, autocommit=True) as conn:
        conn.execute("create table things (id int primary key, word text)")
        conn.execute("insert into things values (1, 'ROW-CANARY')")
    (tmp_path / "policy.toml").write_text(POLICY)
    path = tmp_path / "policy.toml"
    with Bench.load(path, conninfo=scratch_dsn, telemetry=seen.telemetry) as bench:
        yield bench


def use_every_door(conn: Any) -> None:
    """Send something by each door, and be refused."""
    conn.execute("select word from things where word = %s", ("PARAM-CANARY",))
    with conn.cursor() as cursor:
        cursor.executemany("insert into things values (%s, 'LITERAL-CANARY')", [(2,), (3,)])
        list(cursor.stream("select id from things"))
        with cursor.copy("copy things (id) to stdout") as copy:
            list(copy)
    with conn.cursor("named") as cursor:
        cursor.execute("select id from things").fetchall()
    with conn.pipeline():
        conn.execute("select 1")
    conn.commit()
    with pytest.raises(tracewall.Forbidden):
        conn.execute("delete from things where word = 'LITERAL-CANARY'")
    with pytest.raises(psycopg.errors.UniqueViolation):
        conn.execute("insert into things values (1, 'ERROR-CANARY')")
    conn.rollback()


def test_every_door_has_its_span(bench: Bench, seen: Seen) -> None:
    """execute, executemany, stream, COPY, server cursor, pipeline, commit, refusal, error."""
    with bench.connect("staff") as conn:
        use_every_door(conn)
    for name in (
        "SELECT public.things",
        "INSERT public.things",
        "COPY public.things",
        "SELECT",
        "COMMIT",
        "ROLLBACK",
        "DELETE public.things",
    ):
        assert name in seen.names, seen.names
    assert all(span.kind is SpanKind.CLIENT for span in seen.spans)
    assert seen.names.count("INSERT public.things") == 2
    failed = {s.attributes["error.type"] for s in seen.spans if not s.status.is_ok}
    assert failed == {"Forbidden", "UniqueViolation"}


def declare(conn: Any) -> None:
    with conn.cursor("named") as cursor:
        cursor.execute("select id from things")


def test_what_can_not_be_recorded_has_its_span(bench: Bench, seen: Seen, scratch_dsn: str) -> None:
    """A statement that is refused for want of its record is told, by each door, as an error."""
    doors: list[Callable[[Any], object]] = [
        lambda cursor: cursor.execute("select id from things"),
        lambda cursor: cursor.execute("select id from things", prepare=True),
        lambda cursor: cursor.executemany("insert into things values (%s)", [(8,), (9,)]),
        lambda cursor: list(cursor.stream("select id from things")),
        lambda cursor: cursor.copy("copy things (id) to stdout").__enter__(),
        lambda cursor: declare(cursor.connection),
        lambda cursor: cursor.connection.commit(),
    ]
    with psycopg.connect(scratch_dsn) as watching, suppress(tracewall.AuditUnavailable):
        with bench.connect("staff") as conn, conn.cursor() as cursor:
            for _ in range(3):
                cursor.execute("select id from things", prepare=True)
            before = len(seen.spans)
            bench.wall.audit.close()
            for count, door in enumerate(doors, 1):
                with pytest.raises(tracewall.AuditUnavailable):
                    door(cursor)
                assert len(seen.spans) == before + count
        assert watching.execute("select count(*) from things").fetchone() == (1,)
    refused = seen.spans[before : before + len(doors)]
    assert {span.attributes["error.type"] for span in refused} == {"AuditUnavailable"}
    assert not any(span.status.is_ok or span.status.description for span in refused)
    assert [span.name for span in refused] == [
        "SELECT public.things",
        "SELECT public.things",
        "INSERT public.things",
        "SELECT public.things",
        "COPY public.things",
        "DECLARE public.things",
        "COMMIT",
    ]
    assert all(span.start_time <= span.end_time for span in refused)


def test_what_is_tried_with_a_refused_token_has_its_span(
    bench: Bench, seen: Seen, scratch_dsn: str, tmp_path: Path
) -> None:
    """A door tried with a token that is refused by now is told once; nothing of its text is."""
    doors: list[Callable[[Any], object]] = [
        lambda cursor: cursor.execute("select id from things"),
        lambda cursor: cursor.execute("select word from things where word = 'LITERAL-CANARY'"),
        lambda cursor: cursor.executemany("insert into things values (%s)", [(8,), (9,)]),
        lambda cursor: list(cursor.stream("select id from things")),
        lambda cursor: cursor.copy("copy things (id) to stdout").__enter__(),
        lambda cursor: declare(cursor.connection),
        lambda cursor: list(cursor.connection.notifies(timeout=0, stop_after=1)),
        lambda cursor: pipelined(cursor),
    ]
    clock, policy = FixedClock(), tmp_path / "policy.toml"
    options: Any = {"conninfo": scratch_dsn, "telemetry": seen.telemetry, "clock": clock}
    with Bench.load(policy, **options) as bench:
        with bench.connect("staff", autocommit=True) as conn, conn.cursor() as cursor:
            for _ in range(3):
                cursor.execute("select id from things", prepare=True)
            before = len(seen.spans)
            clock.advance(3_600)
            for count, door in enumerate(doors, 1):
                with pytest.raises(tracewall.TokenRejected):
                    door(cursor)
                assert len(seen.spans) == before + count, seen.names[before:]
        log = bench.recorded()
    tried = seen.spans[before:]
    session = seen.spans[0].attributes["tracewall.session"]
    assert log.count('"kind":"token_rejected"') == len(doors)
    for span in tried:
        assert span.name == "postgresql" and span.kind is SpanKind.CLIENT
        assert not span.status.is_ok and not span.status.description
        assert span.attributes["error.type"] == "TokenRejected"
        assert span.attributes["tracewall.decision"] == "forbidden"
        assert span.attributes["tracewall.session"] == session
        assert not {"db.query.text", "db.query.summary", "tracewall.rule"} & set(span.attributes)
    assert "CANARY" not in "".join(span.to_json() for span in tried)


def pipelined(cursor: Any) -> None:
    with cursor.connection.pipeline():
        cursor.execute("select 1")


def test_what_nobody_sends_has_its_span(bench: Bench, seen: Seen) -> None:
    """A statement of nobody, on a connection that takes who acts from `acting_as`, is told."""
    with tracewall.connect(wall=bench.wall, autocommit=True) as conn:
        with pytest.raises(tracewall.TokenRejected):
            conn.execute("select id from things")
        with bench.wall.acting_as(bench.token("staff")):
            conn.execute("select id from things")
    assert seen.names == ["postgresql", "SELECT public.things"]
    assert seen.spans[0].attributes["error.type"] == "TokenRejected"


def test_what_can_not_be_judged_is_told(bench: Bench, seen: Seen) -> None:
    """A statement refused before it can be judged has a span, and an incident, of its own."""

    class Prober(psycopg.adapt.Dumper):
        oid = psycopg.adapters.types["regclass"].oid

        def dump(self, obj: Any) -> bytes:
            return b"things"

    with bench.connect("staff", autocommit=True) as conn:
        conn.adapters.register_dumper(complex, Prober)
        with pytest.raises(tracewall.Forbidden, match="looks names up"):
            conn.execute("select id from things where word = %s", (1j,))
    assert seen.names == ["postgresql"]
    assert bench.recorded().count('"kind":"unjudged"') == 1


def test_whose_pseudonym_can_not_be_read_is_told(
    seen: Seen, bench: Bench, tmp_path: Path, scratch_dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is sent, which a span tells, but for the ROLLBACK: it is kept from nobody."""
    monkeypatch.setattr("tracewall.audit.register.REMEMBERED", 0.0)
    erasable = tmp_path / "erasable.toml"
    erasable.write_text(POLICY + "[audit]\nerasable = true\n")
    with Bench.load(erasable, conninfo=scratch_dsn, telemetry=seen.telemetry) as bench:
        with bench.connect("staff") as conn:
            conn.execute("insert into things values (7)")
            before = len(seen.spans)
            (people,) = bench.audit.glob("people*")
            people.write_bytes(b"no database")
            with pytest.raises(tracewall.AuditUnavailable, match="pseudonyms"):
                conn.execute("select id from things")
            (refused,) = seen.spans[before:]
            with pytest.raises(tracewall.AuditUnavailable, match="pseudonyms"):
                conn.commit()
            conn.rollback()
            assert conn.info.transaction_status == psycopg.pq.TransactionStatus.IDLE
    with psycopg.connect(scratch_dsn) as watching:
        assert watching.execute("select count(*) from things").fetchone() == (1,)
    assert refused.attributes["error.type"] == "AuditUnavailable"


@pytest.mark.parametrize("broken", [False, True])
def test_a_log_in_with_a_refused_token_has_its_span(bench: Bench, seen: Seen, broken: bool) -> None:
    """So has one that can't even be recorded; no statement's span comes beside it."""
    if broken:
        bench.wall.audit.close()
    kind = tracewall.AuditUnavailable if broken else tracewall.TokenRejected
    with pytest.raises(kind):
        tracewall.connect(wall=bench.wall, token="no.token.CANARY")
    (span,) = seen.log_ins
    assert span.attributes["error.type"] == kind.__name__
    assert not seen.spans and "CANARY" not in span.to_json()


def test_attributes_are_the_conventions_or_ours(bench: Bench, seen: Seen) -> None:
    """No name is made up, neither on spans nor in the metric."""
    with bench.connect("staff") as conn:
        use_every_door(conn)
    data = seen.reader.get_metrics_data()
    assert data is not None
    (metric,) = data.resource_metrics[0].scope_metrics[0].metrics
    told = [point.attributes for point in metric.data.data_points]
    names = {name for given in (*told, *(s.attributes for s in seen.spans)) for name in given}
    assert {name for name in names if not name.startswith("tracewall.")} <= CONVENTIONS
    assert not any(name.startswith("tracewall.") for given in told for name in given)


def test_no_value_is_in_what_is_exported_or_recorded(bench: Bench, seen: Seen) -> None:
    """Canaries in literals, parameters, rows and errors are in no span, metric or file."""
    with bench.connect("staff") as conn:
        use_every_door(conn)
    data = seen.reader.get_metrics_data()
    assert data is not None
    exported = "".join(span.to_json() for span in seen.spans) + data.to_json()
    assert "CANARY" not in exported
    bench.wall.audit.flush()
    for path in bench.audit.rglob("*"):
        assert path.is_dir() or b"CANARY" not in path.read_bytes()


def test_spans_are_below_the_callers(bench: Bench, seen: Seen) -> None:
    """The caller's context is the parent of each span, the commit's too."""
    tracer = seen.tracers.get_tracer("test")
    with bench.connect("staff") as conn, tracer.start_as_current_span("request") as request:
        conn.execute("select id from things")
        conn.commit()
    assert seen.names == ["SELECT public.things", "COMMIT"]
    above = request.get_span_context()
    for span in seen.spans:
        assert span.parent is not None and span.parent.span_id == above.span_id
        assert span.context.trace_id == above.trace_id


def test_a_span_leads_to_its_records(bench: Bench, seen: Seen) -> None:
    """The session on a span is that of the record."""
    with bench.connect("staff", autocommit=True) as conn:
        conn.execute("select id from things")
    (span,) = seen.spans
    assert f'"session":"{span.attributes["tracewall.session"]}"' in bench.recorded()


def test_a_log_in_has_its_span(bench: Bench, seen: Seen) -> None:
    """A span `connect` tells of each log-in, where to, and the session that came of it."""
    with bench.connect("staff") as conn:
        conn.execute("select 1")
    (made,) = seen.log_ins
    session = {span.attributes["tracewall.session"] for span in seen.spans}
    assert made.status.is_unset and made.kind is SpanKind.CLIENT
    assert made.attributes["db.operation.name"] == "connect"
    assert made.attributes["db.namespace"] in made.name
    assert session == {made.attributes["tracewall.session"]}


def test_a_failed_log_in_has_its_span(scratch_dsn: str, tmp_path: Path, seen: Seen) -> None:
    """A log-in that the server refuses is an error, with its SQLSTATE and none of its words."""
    (tmp_path / "policy.toml").write_text(POLICY)
    away = psycopg.conninfo.make_conninfo(scratch_dsn, dbname="no_such_CANARY")
    path = tmp_path / "policy.toml"
    with Bench.load(path, conninfo=away, telemetry=seen.telemetry) as bench:
        with pytest.raises(psycopg.OperationalError):
            bench.connect("staff")
    (made,) = seen.log_ins
    assert not made.status.is_ok and made.status.description is None
    assert made.attributes["error.type"] == "OperationalError"
    assert made.events == ()
