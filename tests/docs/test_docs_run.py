"""What the pages say happens, happens."""

from __future__ import annotations

import codeop
from typing import Any


def test_a_page_runs_as_it_is_written(page: Any, run_page: Any) -> None:
    """Every block of a page works in order, and gives the output that the page shows."""
    run_page(page)


def test_the_tutorial_can_be_pasted_into_a_session(pages: Any) -> None:
    """Line by line, as `python3` reads what is pasted, with Enter at the end, each block is whole.

    Up to Python 3.12 a session wants an empty line after an indented block.
    """
    blocks = pages["docs/tutorial/first-guarded-query.md"].blocks
    typed = [block.text for block in blocks if block.language == "python" and not block.title]
    assert typed
    for text in typed:
        pending: list[str] = []
        for line in [*text.splitlines(), ""]:
            pending.append(line)
            if codeop.compile_command("\n".join(pending), symbol="single"):
                pending = []
        assert not "".join(pending)
