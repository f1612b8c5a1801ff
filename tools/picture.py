"""Draws the picture in the README: real output of the demo, some of its scenes, as an SVG.

    python tools/picture.py

Needs an environment with the extra `demo`. Writes docs/assets/demo.svg.
"""

from __future__ import annotations

import io
import re
import sys
import time
from pathlib import Path

from rich._export_format import CONSOLE_SVG_FORMAT
from rich.console import Console
from rich.terminal_theme import DIMMED_MONOKAI

ROOT = Path(__file__).resolve().parent.parent
PICTURE = ROOT / "docs" / "assets" / "demo.svg"
SCENES = ("The same query by each", "What ana may not do", "An export waits for a person")
WIDTH = 110
FONT = "ui-monospace, SFMono-Regular, Menlo, Consolas, 'DejaVu Sans Mono', monospace"


def main() -> int:
    """Play the demo and write the picture; returns the exit code."""
    sys.path.insert(0, str(ROOT))
    PICTURE.parent.mkdir(parents=True, exist_ok=True)
    PICTURE.write_text(drawn(), "utf-8")
    return 0


def drawn() -> str:
    """Play the demo and give the picture of it."""
    from tracewall.cli.stagecraft import show, show_verdict
    from tracewall.demo.scenes import Verdict
    from tracewall.demo.stage import staged
    from tracewall.demo.story import tell

    # As if by itself, whatever terminal this runs in: a dumb one would be narrow and grey.
    out = Console(
        file=io.StringIO(),
        record=True,
        width=WIDTH,
        force_terminal=True,
        color_system="truecolor",
        highlight=False,
        _environ={"TERM": "xterm-256color"},
    )
    started = time.monotonic()
    with staged() as stage:
        for told in tell(stage):
            if isinstance(told, Verdict):
                show_verdict(out, told, time.monotonic() - started)
            elif told.title in SCENES:
                show(out, told)
    svg = out.export_svg(
        title="tracewall demo", theme=DIMMED_MONOKAI, code_format=template(), unique_id="demo"
    )
    return re.sub(r"[ \t]+$", "", svg, flags=re.MULTILINE)


def template() -> str:
    """Rich's frame without its fonts, which would be fetched from elsewhere."""
    unwanted = r"@font-face \{\{.*?\}\}\s*|<!--.*?-->\s*"
    bare = re.sub(unwanted, "", CONSOLE_SVG_FORMAT, flags=re.DOTALL)
    return bare.replace("font-family: Fira Code, monospace", f"font-family: {FONT}")


if __name__ == "__main__":
    raise SystemExit(main())
