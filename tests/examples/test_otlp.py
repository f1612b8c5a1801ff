"""examples/otlp.py, run as a reader would run it."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.resources import files
from pathlib import Path

import pytest

pytest.importorskip("opentelemetry.exporter.otlp.proto.http")
EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "otlp.py"
ARRIVED = """\
log     tracewall.audit.incident
log     tracewall.audit.incident
log     tracewall.audit.incident
log     tracewall.audit.intent
log     tracewall.audit.intent
log     tracewall.audit.intent
log     tracewall.audit.outcome
log     tracewall.audit.outcome
log     tracewall.audit.outcome
metric  db.client.operation.duration
span    COMMIT
span    DELETE public.people
span    SELECT public.people
span    connect postgres
span    handle request
"""


def test_spans_metric_and_record_arrive_by_otlp(tmp_path: Path) -> None:
    """What a collector gets by OTLP is every span, the metric, and the mirrored record."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("OTEL_")}
    place = str(Path(str(files("tracewall"))).parent)
    done = subprocess.run(
        [sys.executable, str(EXAMPLE)],
        cwd=tmp_path,
        env=environment | {"PYTHONPATH": place, "PYTHONWARNINGS": "error"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == ARRIVED
    assert list(tmp_path.iterdir()) == []
