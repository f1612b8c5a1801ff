"""The pages hold together: links lead somewhere, and the map has every page."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import architecture

_LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
_CODE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
ROOT = Path(__file__).resolve().parents[2]


def links(page: Any) -> list[str]:
    """Give the targets of a page's links, those in code left out."""
    return _LINK.findall(_CODE.sub("", page.text))


def anchors(path: Path) -> set[str]:
    """Give the anchors that a page's headings make, as GitHub spells them."""
    heads = re.findall(r"^#+ (.+)$", _CODE.sub("", path.read_text("utf-8")), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


def test_links_lead_somewhere(page: Any) -> None:
    """Each link within the project names a file that is there, and a heading in it."""
    for link in links(page):
        if link.startswith("https://"):
            continue
        name, _, anchor = link.partition("#")
        target = (page.path.parent / name).resolve() if name else page.path
        assert target.is_relative_to(ROOT) and target.exists(), link
        assert not anchor or anchor in anchors(target), link


def test_the_map_has_every_page(pages: Any) -> None:
    """docs/index.md leads to each page of the documentation."""
    index = pages["docs/index.md"]
    told = {(index.path.parent / link).resolve() for link in links(index)}
    assert {page.path for page in pages.values() if "docs/" in page.name} - {index.path} <= told


def test_a_page_is_laid_out_so_that_it_runs(page: Any) -> None:
    """Fences start at the left margin and are closed, and each has a language that is known."""
    known = {"python", "text", "console", "toml", "sql", "postgresql", "bash", "table"}
    fences = [line for line in page.text.splitlines() if line.lstrip().startswith("```")]
    blocks = [block for block in page.blocks if block.language != "table"]
    assert len(fences) == 2 * len(blocks)
    assert {block.language for block in page.blocks} <= known


def test_the_picture_is_what_the_code_imports() -> None:
    """docs/assets/architecture.svg is what tools/architecture.py draws."""
    assert architecture.main(["--check"]) is None
