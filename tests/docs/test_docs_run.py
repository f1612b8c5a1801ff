"""What the pages say happens, happens."""

from __future__ import annotations

from typing import Any


def test_a_page_runs_as_it_is_written(page: Any, run_page: Any) -> None:
    """Every block of a page works in order, and gives the output that the page shows."""
    run_page(page)
