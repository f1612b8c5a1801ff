"""What a command found: each with how grave it is, where it stands, and what to do about it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Literal, TypeAlias

import click
from rich.text import Text

from tracewall.cli.screen import console, safe

Severity: TypeAlias = Literal["error", "warning", "note"]
_STYLES = {"error": "bold red", "warning": "bold yellow", "note": "bold blue"}


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing found by the check of that name.

    An ``error`` keeps something from working as it says, or from being guarded; a
    ``warning`` is likely a mistake; a ``note`` is to be known. ``line`` and ``column`` say
    where it stands in the policy (0: nowhere), ``remedy`` what to do, and ``sql`` the
    statements that do it.
    """

    check: str
    severity: Severity
    message: str
    remedy: str = ""
    line: int = 0
    column: int = 0
    sql: str = ""

    def as_json(self) -> dict[str, object]:
        """Give it for programs."""
        return asdict(self)


def worst(found: Iterable[Finding], *, strict: bool) -> bool:
    """Tell whether something was found that fails a check: errors, and if strict warnings."""
    return any(each.severity == "error" or (strict and each.severity != "note") for each in found)


IGNORE = click.option(
    "--ignore", "ignored", multiple=True, metavar="CHECK[:TEXT]",
    help="Leave out what this check finds, or only where TEXT is told of; may be repeated.",
)  # fmt: skip


def kept(found: Iterable[Finding], ignored: Sequence[str]) -> list[Finding]:
    """Leave out what is known: see `is_ignored`."""
    return [each for each in found if not is_ignored(each.check, each.message, ignored)]


def is_ignored(check: str, message: str, ignored: Sequence[str]) -> bool:
    """Tell whether a finding is to be left out.

    ``role.member`` is what the check of that name finds, ``role`` what all of its group do,
    and ``broad:grants.all`` what one finds with that text, a name as a rule, in its message.
    """
    for each in ignored:
        name, _, text = each.partition(":")
        within = rf"(?<![\w.]){re.escape(text)}(?!\.?\w)" if text else ""
        if name in (check, check.partition(".")[0]) and re.search(within, message):
            return True
    return False


def tell(found: Iterable[Finding], path: str = "") -> None:
    """Print each on lines of its own, the place first, as compilers do."""
    out = console()
    for each in found:
        where = ":".join(str(part) for part in (path, each.line, each.column) if part)
        said = f"{where}: {each.message}" if each.line else each.message
        told = Text.assemble((each.severity, _STYLES[each.severity]), f" {safe(said)}")
        told.append(f" [{each.check}]", "dim")
        out.print(told, soft_wrap=True)
        if each.remedy:
            out.print(Text(f"  help: {safe(each.remedy)}"), soft_wrap=True)
