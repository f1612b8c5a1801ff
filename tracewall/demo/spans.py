"""OpenTelemetry spans kept in memory, so that the demo can show what a collector would get."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter


@dataclass(frozen=True, slots=True)
class Spans:
    """The spans that ended under ``provider``."""

    provider: TracerProvider
    _kept: InMemorySpanExporter

    @classmethod
    def collected(cls) -> Self | None:
        """Start to collect; None where the OpenTelemetry SDK is not installed."""
        try:
            from opentelemetry.sdk.trace import TracerProvider
            from opentelemetry.sdk.trace.export import SimpleSpanProcessor
            from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
        except ImportError:
            return None
        kept = InMemorySpanExporter()
        provider = TracerProvider(shutdown_on_exit=False)
        provider.add_span_processor(SimpleSpanProcessor(kept))
        return cls(provider, kept)

    def first(self, attribute: str, value: str) -> ReadableSpan | None:
        """Give the first span in which an attribute has this value."""
        for span in self._kept.get_finished_spans():
            if (span.attributes or {}).get(attribute) == value:
                return span
        return None
