"""How Sphinx makes a site of README.md and of these pages in build/site.

    python -m sphinx -W --keep-going -b html -c docs . build/site

The pages are plain Markdown that reads well without Sphinx. What it needs besides (the tree of
pages) is taken from docs/index.md here, so that no page has a word for Sphinx only.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]

project = "tracewall"
project_copyright = "the tracewall authors, Apache-2.0"
release = re.findall('__version__ = "(.+)"', (ROOT / "tracewall/version.py").read_text())[0]

extensions = ["myst_parser", "sphinx_copybutton"]
root_doc = "README"
include_patterns = ["README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md", "docs/**.md"]
exclude_patterns = [".*", "build", "dist", "tests"]
# The same anchors as those that GitHub makes; tests/docs look at them too.
myst_heading_anchors = 4
nitpicky = True
# A table of statements is executed by the tests; here it is text.
highlight_language = "python"

html_theme = "furo"
html_title = f"tracewall {release}"
html_show_sphinx = False
html_copy_source = False
# No font, script or picture comes from elsewhere: the site is usable offline.
copybutton_prompt_text = r"\$ |>>> |\.\.\. "
copybutton_prompt_is_regexp = True


def setup(app: Any) -> None:
    """Hand Sphinx the tree of pages, and the languages that it has other names for."""
    app.connect("source-read", _with_tree)
    app.connect("source-read", _spelled)
    app.connect("build-finished", _with_index)


def _with_tree(app: Any, name: str, source: list[str]) -> None:
    if name == root_doc:
        index = ROOT / "docs/index.md"
        app.env.note_dependency(str(index))
        source[0] += "\n".join(_trees(index.read_text("utf-8")))


def _trees(index: str) -> list[str]:
    """Give a hidden tree for each part of the map, in the map's order."""
    made = []
    for part in re.split(r"^## ", index, flags=re.MULTILINE)[1:]:
        pages = re.findall(r"^- \[.*?\]\(([^)#]+)\.md\)", part, re.MULTILINE)
        made.append(_tree(part.partition("\n")[0], [f"docs/{page}" for page in pages]))
    made.append(_tree("The project", ["docs/index", "CHANGELOG", "SECURITY", "CONTRIBUTING"]))
    return made


def _tree(caption: str, pages: list[str]) -> str:
    listed = "\n".join(pages)
    return f"\n```{{toctree}}\n:hidden:\n:caption: {caption}\n\n{listed}\n```\n"


def _spelled(app: Any, name: str, source: list[str]) -> None:
    source[0] = re.sub(r"^```table\b.*$", "```text", source[0], flags=re.MULTILINE)


def _with_index(app: Any, error: Exception | None) -> None:
    if not error:
        text = '<!doctype html><meta http-equiv="refresh" content="0; url=README.html">'
        (Path(app.outdir) / "index.html").write_text(text)
