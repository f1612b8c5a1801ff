"""OpenTelemetry spans and the duration metric, after the stable database client conventions.

Span: kind CLIENT, name ``db.query.summary``. Attributes of the conventions:
``db.system.name``, ``db.namespace``, ``db.query.summary``, ``db.query.text`` (literal-free),
``server.address``, ``server.port``, ``db.operation.batch.size``,
``db.response.status_code`` (SQLSTATE), ``error.type``. Our own:

- ``tracewall.decision``: ``allowed``, ``asks``, ``forbidden``
- ``tracewall.rule``: the rule that decided
- ``tracewall.policy``: the policy's hash
- ``tracewall.session``: the random id of the guarded connection
- ``tracewall.would.outcome``: ``would_refuse``, ``would_ask`` or ``would_mask``, where rules are
  only observed, and ``tracewall.would.rule``: which
- ``tracewall.masked.columns``: how many columns handed out were masked
- ``tracewall.masked.counts``: how many values each rule was laid on, as ``rule=count``
- ``tracewall.rows``: how many rows the server returned or changed
- ``tracewall.approval``: the id of the request that people approved, or were asked by

A span of the name ``connect`` tells of each log-in, one of the name ``ask for approval`` of each
request; the span of a statement that people approved of links to that.

Metric: ``db.client.operation.duration`` in seconds. No value, literal, parameter or
server message has a place in either. A failing exporter never fails a statement.
"""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, TypeAlias

import msgspec
from opentelemetry import trace as _api
from opentelemetry._logs import LoggerProvider
from opentelemetry.metrics import MeterProvider, get_meter
from opentelemetry.metrics import _internal as _meters
from opentelemetry.trace import (
    ProxyTracer,
    Span,
    SpanContext,
    SpanKind,
    StatusCode,
    TraceFlags,
    TracerProvider,
    get_tracer,
)

from tracewall.version import __version__

__all__ = ["BUCKETS", "LONGEST_NAME", "Labels", "Span", "Telemetry", "labels"]

LONGEST_NAME: Final = 255
BUCKETS: Final = (0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0)

_SCOPE: Final = "tracewall"
_SCHEMA: Final = "https://opentelemetry.io/schemas/1.33.0"
_SYSTEM: Final = "postgresql"
_SUCCESS_CLASSES: Final = ("00", "01", "02")
_PARENT: Final = re.compile("00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})")
_log: Final = logging.getLogger("tracewall.telemetry")

_Attributes: TypeAlias = Mapping[str, str | int]


class Labels(msgspec.Struct, frozen=True, eq=False, kw_only=True):
    """What stays the same for every run of one decision on one connection; see `labels`."""

    name: str
    span: _Attributes
    metric: _Attributes


def labels(
    *,
    summary: str,
    text: str = "",
    namespace: str = "",
    address: str = "",
    port: int = 0,
    decision: str = "",
    rule: str = "",
    policy: str = "",
    session: str = "",
    would: Mapping[str, str] = MappingProxyType({}),
) -> Labels:
    """Make the labels of a decision on a connection, once, for `Telemetry.start` and `finish`.

    Args:
        summary: as ``SELECT traces.runs``; the span's name, cut to 255 characters.
        text: the statement without any literal.
        namespace: the database's name.
        address: the server's host name or socket directory.
        port: the server's port; 0: not told.
        decision: ``allowed``, ``asks`` or ``forbidden``.
        rule: the rule that decided.
        policy: the policy's hash.
        session: the id of the guarded connection.
        would: what rules that are only observed would have done: ``outcome`` and ``rule``.
    """
    name = summary[:LONGEST_NAME] or _SYSTEM
    where: dict[str, str | int] = {
        "db.system.name": _SYSTEM,
        "db.namespace": namespace,
        "server.address": address,
        "server.port": port,
    }
    span = where | {
        "db.query.summary": summary[:LONGEST_NAME],
        "db.query.text": text,
        "tracewall.decision": decision,
        "tracewall.rule": rule,
        "tracewall.policy": policy,
        "tracewall.session": session,
        "tracewall.would.outcome": would.get("outcome", ""),
        "tracewall.would.rule": would.get("rule", ""),
    }
    # Whoever is refused may write any name into a statement: a time series for each of
    # them would let an intruder fill the metric's store.
    metric = where | {"db.query.summary": name if decision == "allowed" else ""}
    return Labels(name=name, span=_told(span), metric=_told(metric))


def _told(attributes: _Attributes) -> _Attributes:
    return MappingProxyType({name: value for name, value in attributes.items() if value})


class Telemetry:
    """Reports statements to OpenTelemetry; costs next to nothing where no SDK is set up.

    Args:
        tracer_provider: whose tracer is used; None: the global one, also if it is set later.
        meter_provider: whose meter is used; None: the global one, also if it is set later.
        logger_provider: whose logger mirrors the record, where a policy has
            ``audit.mirror``; None: the global one, also if it is set later.

    ``silent`` is true after a `listens` where `finish` would do nothing without a span.
    """

    __slots__ = (
        "_complained",
        "_duration",
        "_proxied",
        "_tracer",
        "_unmetered",
        "logger_provider",
        "silent",
    )

    def __init__(
        self,
        tracer_provider: TracerProvider | None = None,
        meter_provider: MeterProvider | None = None,
        logger_provider: LoggerProvider | None = None,
    ) -> None:
        self.logger_provider = logger_provider
        self._tracer = get_tracer(_SCOPE, __version__, tracer_provider, _SCHEMA)
        self._duration = get_meter(_SCOPE, __version__, meter_provider, _SCHEMA).create_histogram(
            "db.client.operation.duration",
            unit="s",
            description="Duration of database client operations.",
            explicit_bucket_boundaries_advisory=BUCKETS,
        )
        self._complained = False
        self._proxied = isinstance(self._tracer, ProxyTracer)
        self._unmetered = getattr(_meters, "_METER_PROVIDER", _meters) is None
        self._unmetered = self._unmetered and meter_provider is None
        self.silent = False

    def listens(self) -> bool:
        """Tell whether anybody may record spans; ``silent`` tells then if nobody records at all."""
        if self._proxied and getattr(_api, "_TRACER_PROVIDER", _api) is None:
            # Nobody has set an SDK up: its no-op would cost what a small statement does.
            self.silent = self._unmetered and getattr(_meters, "_METER_PROVIDER", _meters) is None
            return False
        self.silent = False
        return True

    def start(self, labels: Labels, *, batch: int = 0, at: int | None = None) -> Span | None:
        """Start a span below the caller's current one; None when nobody would record it.

        ``batch`` is how many times a batch runs the statement; below 2 it is not told. ``at``
        is when it began (nanoseconds since the epoch), where that was before.
        """
        if not self.listens():
            return None
        try:
            span = self._tracer.start_span(
                labels.name, kind=SpanKind.CLIENT, attributes=labels.span, start_time=at
            )
            if not span.is_recording():
                return None
            if batch > 1:
                span.set_attribute("db.operation.batch.size", batch)
            return span
        except Exception as error:
            self._complain(error)
            return None

    def finish(
        self,
        span: Span | None,
        labels: Labels,
        *,
        started: float,
        sqlstate: str = "",
        error_type: str = "",
        rows: int = -1,
        masked: int = 0,
        counts: Mapping[str, int] | None = None,
    ) -> None:
        """End the span, if there is one, and record the duration. Never raises.

        Args:
            span: what `start` returned.
            labels: what `start` was given.
            started: the value of ``time.perf_counter()`` when the statement began.
            sqlstate: the server's five characters, if it told any.
            error_type: the class of the error, as ``Forbidden``; without it a SQLSTATE
                of an error class stands in.
            rows: how many rows the server returned or changed; -1: none told.
            masked: how many columns handed out were masked.
            counts: how many values each rule was laid on.
        """
        try:
            seconds = time.perf_counter() - started
            if not error_type and sqlstate and not sqlstate.startswith(_SUCCESS_CLASSES):
                error_type = sqlstate
            told = labels.metric
            if error_type:
                told = {**told, **_failure(sqlstate, error_type)}
            self._duration.record(seconds, told)
        except Exception as error:
            self._complain(error)
        finally:
            if span is not None:
                try:
                    _end(span, sqlstate, error_type, rows, masked, counts)
                except Exception as error:
                    self._complain(error)

    def close(self, span: Span) -> None:
        """End a span that `finish` was interrupted at, where that is not done. Never raises."""
        try:
            if span.is_recording():
                span.end()
        except Exception as error:
            self._complain(error)

    def connecting(self, address: str, port: int, namespace: str) -> Span | None:
        """Start the span of a log-in; None when nobody would record it. For `connected`.

        Args:
            address: the server's host name or socket directory.
            port: the server's port; 0: not told.
            namespace: the database's name.
        """
        told = _told(
            {
                "db.system.name": _SYSTEM,
                "db.namespace": namespace,
                "db.operation.name": "connect",
                "server.address": address,
                "server.port": port,
            }
        )
        name = f"connect {namespace}".strip()[:LONGEST_NAME]
        try:
            span = self._tracer.start_span(name, kind=SpanKind.CLIENT, attributes=told)
            return span if span.is_recording() else None
        except Exception as error:
            self._complain(error)
            return None

    def connected(
        self, span: Span | None, *, session: str = "", sqlstate: str = "", error_type: str = ""
    ) -> None:
        """End the span of a log-in, if there is one. Never raises.

        Args:
            span: what `connecting` returned.
            session: the id of the guarded connection.
            sqlstate: the server's five characters, if it told any.
            error_type: the class of the error; empty: it went well.
        """
        if span is None:
            return
        try:
            if session:
                span.set_attribute("tracewall.session", session)
            _end(span, sqlstate, error_type, -1, 0, None)
        except Exception as error:
            self._complain(error)

    def asking(self, session: str) -> tuple[Span | None, str]:
        """Start the span of a request for approval, and give its W3C ``traceparent``.

        Empty when nobody would record it. Ended by `asked`.
        """
        try:
            span = self._tracer.start_span(
                "ask for approval", attributes={"tracewall.session": session}
            )
            if not span.is_recording():
                return None, ""
            known = span.get_span_context()
            flags = int(known.trace_flags)
            return span, f"00-{known.trace_id:032x}-{known.span_id:016x}-{flags:02x}"
        except Exception as error:
            self._complain(error)
            return None, ""

    def asked(self, span: Span | None, request: str = "") -> None:
        """End the span of a request; an empty one could not be made. Never raises."""
        if span is None:
            return
        try:
            if request:
                span.set_attribute("tracewall.approval", request)
            else:
                span.set_status(StatusCode.ERROR)
            span.end()
        except Exception as error:
            self._complain(error)

    def approved(self, span: Span | None, request: str, trace: str) -> None:
        """Tell a statement's span of the request that people approved, with a link. Never raises.

        Args:
            span: the statement's, if there is one.
            request: the request's id.
            trace: the ``traceparent`` of the span that it was asked in; empty: there was none.
        """
        if span is None:
            return
        try:
            span.set_attribute("tracewall.approval", request)
            if found := _PARENT.fullmatch(trace):
                trace_id, span_id, flags = (int(part, 16) for part in found.groups())
                there = SpanContext(trace_id, span_id, True, TraceFlags(flags))
                span.add_link(there, {"tracewall.approval": request})
        except Exception as error:
            self._complain(error)

    def _complain(self, error: Exception) -> None:
        """Say once that telemetry fails; the error's text may hold anything, its class may not."""
        if not self._complained:
            self._complained = True
            _log.warning("telemetry failed with %s; statements go on", type(error).__name__)


def _failure(sqlstate: str, error_type: str) -> dict[str, str | int]:
    told: dict[str, str | int] = {"error.type": error_type}
    if sqlstate:
        told["db.response.status_code"] = sqlstate
    return told


def _end(
    span: Span,
    sqlstate: str,
    error_type: str,
    rows: int,
    masked: int,
    counts: Mapping[str, int] | None,
) -> None:
    try:
        if error_type:
            span.set_attributes(_failure(sqlstate, error_type))
            span.set_status(StatusCode.ERROR)
        if rows >= 0:
            span.set_attribute("tracewall.rows", rows)
        if masked:
            span.set_attribute("tracewall.masked.columns", masked)
        if counts:
            told = [f"{rule}={count}" for rule, count in counts.items()]
            span.set_attribute("tracewall.masked.counts", told)
    finally:
        span.end()
