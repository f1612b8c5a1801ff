"""Spans, the duration metric and the mirrored record of a guarded connection, sent by OTLP.

Run it by hand:

    pip install "pgtracewall[demo]" opentelemetry-exporter-otlp-proto-http
    python examples/otlp.py

Where ``OTEL_EXPORTER_OTLP_ENDPOINT`` names a collector (as http://localhost:4318), everything
goes there. Without it a receiver in this process takes it, and what arrived is printed.
"""

import os
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import psycopg
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

import tracewall
from tracewall.demo.server import embedded_server
from tracewall.telemetry import Telemetry
from tracewall.testing import TokenIssuer

SETUP = """
create table people (id int primary key, email text);
insert into people values (1, 'ada@example.com'), (2, 'bob@example.org');
create role service login password 'for-the-example-only';
grant select on people to service;
"""

POLICY = """
version = 1

[database]
conninfo = "host={host} dbname=postgres user=service"

[audit]
mirror = true

[[issuers]]
issuer = "https://issuer.test"
audience = "people"
keys = "jwks.json"

[[grants]]
name = "staff"
groups = ["staff"]
actions = ["select"]
tables = ["public.people"]

[[masks]]
name = "emails"
columns = ["public.people.email"]
method = "email"
"""


ARRIVED: list[str] = []


class Receiver(BaseHTTPRequestHandler):
    """Takes OTLP over HTTP, as a collector does, and notes what arrived."""

    def do_POST(self) -> None:
        """Take one export request."""
        data = self.rfile.read(int(self.headers["Content-Length"]))
        if self.path == "/v1/traces":
            spans = ExportTraceServiceRequest.FromString(data)
            for span in spans.resource_spans[0].scope_spans:
                ARRIVED.extend(f"span    {each.name}" for each in span.spans)
        elif self.path == "/v1/metrics":
            metrics = ExportMetricsServiceRequest.FromString(data)
            for scope in metrics.resource_metrics[0].scope_metrics:
                ARRIVED.extend(f"metric  {each.name}" for each in scope.metrics)
        elif self.path == "/v1/logs":
            logs = ExportLogsServiceRequest.FromString(data)
            for record in logs.resource_logs[0].scope_logs:
                ARRIVED.extend(f"log     {each.event_name}" for each in record.log_records)
        self.send_response(200)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Stay quiet."""


@contextmanager
def collector() -> Iterator[str]:
    """Give the endpoint of a collector: the one that is there, or one of our own."""
    if endpoint := os.environ.get("OTEL_EXPORTER_OTLP_ENDPOINT"):
        yield endpoint.rstrip("/")
        return
    with ThreadingHTTPServer(("127.0.0.1", 0), Receiver) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()
    print("\n".join(sorted(ARRIVED)))


@contextmanager
def exporting(endpoint: str) -> Iterator[Telemetry]:
    """Set up the SDK, for the block, so that everything goes to an endpoint."""
    resource = Resource.create({"service.name": "tracewall-example"})
    tracers = TracerProvider(resource=resource, shutdown_on_exit=False)
    tracers.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(f"{endpoint}/v1/traces")))
    reader = PeriodicExportingMetricReader(OTLPMetricExporter(f"{endpoint}/v1/metrics"))
    meters = MeterProvider([reader], resource=resource, shutdown_on_exit=False)
    loggers = LoggerProvider(resource=resource, shutdown_on_exit=False)
    exporter = OTLPLogExporter(f"{endpoint}/v1/logs")
    loggers.add_log_record_processor(BatchLogRecordProcessor(exporter))
    trace.set_tracer_provider(tracers)
    try:
        yield Telemetry(tracers, meters, loggers)
    finally:
        # What is still waiting is sent now, whatever ended the program.
        for provider in (tracers, meters, loggers):
            provider.shutdown()


def work(wall: tracewall.Wall, token: str) -> None:
    """Do what an application does: something of its own, with statements below it."""
    request = trace.get_tracer("example").start_as_current_span("handle request")
    with request, tracewall.connect(wall=wall, token=token) as conn:
        conn.execute("select id, email from people where id = 1").fetchall()
        with suppress(tracewall.Forbidden):
            conn.execute("delete from people")


def main() -> None:
    """Set everything up, send statements, and see what arrives."""
    with embedded_server() as server, tempfile.TemporaryDirectory() as name:
        with psycopg.connect(server.conninfo) as admin:
            admin.execute(SETUP)
        folder = Path(name)
        (folder / "policy.toml").write_text(POLICY.format(host=server.directory))
        issuer = TokenIssuer("https://issuer.test")  # stands in for your identity provider
        issuer.write_jwks(folder / "jwks.json")
        token = issuer.mint("ana", ["staff"], audience="people")
        with collector() as endpoint, exporting(endpoint) as telemetry:
            path = folder / "policy.toml"
            password = "for-the-example-only"  # in earnest: password_file under [database]
            with tracewall.Wall.load(path, password=lambda: password, telemetry=telemetry) as wall:
                work(wall, token)


if __name__ == "__main__":
    main()
