"""The command ``tracewall``. Here is only its door: what it needs may not be installed."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from tracewall import _clash as _clash

_NEEDED = ("click", "rich")
_INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command with `arguments` (None: those of the process); returns its exit code.

    0: it went well; 1: something was found, or was refused; 2: it was asked wrongly, or
    something it needs is missing; 3: a server that had to be asked gives no answer.
    """
    try:
        from tracewall.cli.commands import run

        return run(arguments)
    except ModuleNotFoundError as missing:
        if (missing.name or "").partition(".")[0] not in _NEEDED:
            raise
        print(
            f"tracewall: the command needs {missing.name}, which is not installed.\n"
            '  help: pip install "pgtracewall[cli]"',
            file=sys.stderr,
        )
        return 2
    except KeyboardInterrupt:
        # While modules are read; later it is told by the commands.
        print("\ninterrupted", file=sys.stderr)
        return _INTERRUPTED
