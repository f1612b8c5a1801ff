"""Commands under one name: a help that tells each whole, and a wrong word what was meant."""

from __future__ import annotations

from difflib import get_close_matches

import click

from tracewall.cli.screen import Missing

_WHOLE = 1_000


class Group(click.Group):
    """Commands under one name."""

    def summaries(self, ctx: click.Context) -> dict[str, str]:
        """Give the first sentence of each command."""
        found = ((name, self.get_command(ctx, name)) for name in self.list_commands(ctx))
        return {name: each.get_short_help_str(_WHOLE) for name, each in found if each}

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the summaries, where click cuts off what does not fit into a line."""
        with formatter.section("Commands"):
            formatter.write_dl(sorted(self.summaries(ctx).items()))

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command that is meant, or say which may be."""
        if args and self.get_command(ctx, args[0]) is None and not args[0].startswith("-"):
            meant = " or ".join(self._meant(ctx, args[0]))
            lists = f"`{ctx.command_path} --help` lists the commands"
            help = f"did you mean {meant}?" if meant else lists
            raise Missing(f"there is no command {args[0]}", help)
        return super().resolve_command(ctx, args)

    def _meant(self, ctx: click.Context, word: str) -> list[str]:
        """Give the commands of this very name below others, or else the one of the nearest name."""
        names = self.list_commands(ctx)
        below = ((name, self.get_command(ctx, name)) for name in names)
        found = [
            f"{name} {word}"
            for name, each in below
            if isinstance(each, click.Group) and each.get_command(ctx, word)
        ]
        return found or get_close_matches(word, names, 1)
