"""Pages made of templates, in which whatever others wrote is escaped and visible."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlencode

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from tracewall.console.style import STYLE
from tracewall.recording.shown import visible

TONES: Final[Mapping[str, str]] = {
    **dict.fromkeys(("approved", "approve", "done", "allowed", "ok", "closed", "review"), "ok"),
    **dict.fromkeys(
        "denied deny revoked revoke forbidden refused error withheld failed unknown "
        "abandoned".split(),
        "bad",
    ),
    "to be reviewed": "bad",
    **dict.fromkeys(("pending", "asks", "open", "not closed", "on hold", "cancelled"), "wait"),
}
"""How badges of states look."""


def _finalized(value: object) -> object:
    # Escaping comes after this: only the template's own markup passes both.
    return value if isinstance(value, Markup) or type(value) is not str else visible(value)


def _lines(text: str) -> Markup:
    return escape(visible(text, lines=True))


def environment() -> Environment:
    """Make what renders the templates: nothing undefined, nothing unescaped."""
    made = Environment(
        loader=PackageLoader("tracewall.console"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_finalized,
    )
    made.filters["lines"] = _lines
    # The style is our own, and named by its hash.
    made.globals.update(style=Markup(STYLE), tones=TONES)  # noqa: S704  # ours, as said above
    return made


@dataclass(frozen=True, slots=True)
class Leaf:
    """One page of many: the addresses of those beside it (empty: there is none), and words."""

    earlier: str = ""
    later: str = ""
    words: str = ""


def leaf(base: str, asked: Mapping[str, str], number: int, *, more: bool) -> Leaf:
    """Give the leaf of a number (from 1), whose filters are kept in its neighbours' addresses."""
    kept = {name: value for name, value in asked.items() if value}

    def address(other: int) -> str:
        return f"{base}?{urlencode({**kept, 'page': str(other)})}"

    earlier = address(number - 1) if number > 1 else ""
    return Leaf(earlier, address(number + 1) if more else "", f"page {number}")


def part(items: Sequence[Any], number: int, size: int) -> tuple[Sequence[Any], bool]:
    """Give the items of a page, and whether there are more after it."""
    start = (number - 1) * size
    return items[start : start + size], len(items) > start + size


def moment(at: float) -> str:
    """Give a time (seconds since the epoch) for people, in UTC."""
    try:
        return time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(at))
    except (ValueError, OverflowError, OSError):
        return "?"


def span(seconds: float) -> str:
    """Give a length of time in its largest fitting unit."""
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= size * 2:
            return f"{int(seconds / size)} {unit}"
    return f"{max(0, int(seconds))} s"
