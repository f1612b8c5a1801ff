"""Writes what `tracewall --help` says of every command into docs/reference/cli.md.

Everything under the heading "Commands" is made; what stands above it is written by hand.
``--check`` changes nothing, and exits with 1 where the page is not what would be written.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterator
from pathlib import Path

import click

ROOT = Path(__file__).resolve().parents[1]
# Behind all else: an installed package goes first.
sys.path.append(str(ROOT))

from tracewall.cli.commands import tracewall  # noqa: E402  # the path comes first

PAGE = ROOT / "docs/reference/cli.md"
HEADING = "\n## Commands\n"


def main(arguments: list[str]) -> int:
    """Write the page, or check it."""
    page = PAGE.read_text("utf-8")
    made = page.partition(HEADING)[0] + HEADING + "".join(map(_section, commands()))
    if "--check" in arguments:
        if made != page:
            print(f"{PAGE} is not what python tools/cli_reference.py writes")
        return int(made != page)
    PAGE.write_text(made, "utf-8")
    return 0


def commands() -> Iterator[tuple[str, click.Command]]:
    """Yield every command with its name, in the order of names."""
    yield from _within("tracewall", tracewall)


def _within(name: str, command: click.Command) -> Iterator[tuple[str, click.Command]]:
    if not isinstance(command, click.Group):
        yield name, command
        return
    context = click.Context(command)
    for each in command.list_commands(context):
        found = command.get_command(context, each)
        if found is not None:
            yield from _within(f"{name} {each}", found)


def _section(named: tuple[str, click.Command]) -> str:
    name, command = named
    usage = " ".join([name, *command.collect_usage_pieces(click.Context(command))])
    text = inspect.cleandoc(command.help or "")
    rows = [_row(parameter) for parameter in command.params]
    table = "\n| Option | Default | Meaning |\n|---|---|---|\n" + "".join(filter(None, rows))
    told = f"\n### {name}\n\n`{usage}`\n\n{_escaped(text)}\n"
    return told + (table if any(rows) else "")


def _row(parameter: click.Parameter) -> str:
    if not isinstance(parameter, click.Option):
        return ""
    names = ", ".join(f"`{name}`" for name in (*parameter.opts, *parameter.secondary_opts))
    kind = parameter.make_metavar(click.Context(tracewall)) if not parameter.is_flag else ""
    names += f" `{kind}`".replace("|", "\\|") if kind else ""
    shown = parameter.default if parameter.show_default else ""
    default = "required" if parameter.required else f"`{shown}`" if shown not in (None, "") else ""
    variable = f" By default of `{parameter.envvar}`." if parameter.envvar else ""
    return f"| {names} | {default} | {_escaped(parameter.help or '')}{variable} |\n"


def _escaped(text: str) -> str:
    return text.replace("*", "\\*").replace("|", "\\|")


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
