"""How the demo's scenes look on a terminal."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import singledispatch

from rich import box
from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.panel import Panel
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from tracewall.cli.screen import safe
from tracewall.demo.scenes import (
    Asked,
    Cell,
    Document,
    Grid,
    Note,
    Part,
    Refusal,
    Scene,
    Tone,
    Verdict,
)

_STYLES: Mapping[Tone, str] = {
    "plain": "",
    "masked": "yellow",
    "bare": "red",
    "refused": "magenta",
    "good": "green",
    "quiet": "dim",
}


def show(out: Console, scene: Scene) -> None:
    """Print a scene."""
    out.print()
    out.print(Rule(Text(safe(scene.title), "bold cyan"), align="left", style="cyan"))
    out.print(Text(safe(scene.told), "italic"))
    for part in scene.parts:
        out.print(_drawn(part))


def show_verdict(out: Console, verdict: Verdict, seconds: float) -> None:
    """Print how the story ended, in figures."""
    seen = sum(verdict.missed.values())
    lines = [
        _line(
            f"{verdict.planted:,} places hold {verdict.secrets:,} planted secrets; "
            f"plain psycopg saw {verdict.unguarded:,}",
            verdict.unguarded == verdict.planted,
        ),
        _line(f"{seen:,} seen through the wall, in {verdict.characters:,} characters", not seen),
    ]
    if verdict.unread:
        lines.append(_line(f"{verdict.unread:,} places were not read", good=False))
    lines.append(
        _line(f"audit log: {verdict.records:,} records, {_held(verdict.intact)}", verdict.intact)
    )
    caught = f"{verdict.caught} of {verdict.tampered} forged copies of it found out"
    lines.append(_line(caught, verdict.caught == verdict.tampered))
    if not verdict.planted:
        lines.append(Text("  no secret was planted, so nothing is proved: take more --runs"))
    style = "green" if verdict.ok else "red"
    took = f"{seconds:.0f} s"
    out.print()
    out.print(Panel(Group(*lines), title="In short", subtitle=took, border_style=style))


def _held(intact: bool) -> str:
    return "verified" if intact else "NOT verified"


def _line(text: str, good: bool) -> Text:
    return Text.assemble(("ok  ", "bold green") if good else ("NO  ", "bold red"), text)


@singledispatch
def _drawn(part: Part) -> RenderableType:
    raise TypeError(f"no way to show a {type(part).__name__}")


@_drawn.register
def _(part: Asked) -> RenderableType:
    asked = Text.assemble((f"{safe(part.who)}> ", "bold blue"), (safe(part.sql), "bold"))
    return Padding(asked, (1, 0, 0, 1))


@_drawn.register
def _(part: Grid) -> RenderableType:
    table = Table(box=box.SIMPLE_HEAD, show_edge=False)
    for cell in part.head:
        table.add_column(_text(cell), overflow="fold")
    for row in part.rows:
        table.add_row(*map(_text, row))
    return Padding(table, (1, 0, 0, 0))


@_drawn.register
def _(part: Refusal) -> RenderableType:
    told = Text.assemble(
        (safe(part.error), "bold magenta"),
        (f"  {safe(part.rule)}\n", "magenta"),
        safe(part.reason),
    )
    if part.hint:
        told.append(f"\nhint: {safe(part.hint)}", "dim")
    return Padding(told, (0, 0, 0, 3))


@_drawn.register
def _(part: Document) -> RenderableType:
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in _flat(part.content):
        table.add_row(Text(safe(name)), Text(safe(value)))
    return Panel(table, title=Text(safe(part.title), "bold"), title_align="left", expand=False)


@_drawn.register
def _(part: Note) -> RenderableType:
    return Padding(Text(safe(part.text), _STYLES[part.tone]), (0, 0, 0, 1))


def _text(cell: Cell) -> Text:
    start, end = cell.part or (0, len(cell.text))
    parts = (cell.text[:start], cell.text[start:end], cell.text[end:])
    before, told, after = (safe(part, lines=True) for part in parts)
    return Text.assemble(before, (told, _STYLES[cell.tone]), after)


def _flat(content: Mapping[str, object], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Give names and values, those inside by their path of two names."""
    for name, value in content.items():
        if isinstance(value, dict) and not prefix:
            yield from _flat(value, f"{name}.")
        else:
            yield f"{prefix}{name}", value if isinstance(value, str) else json.dumps(value)
