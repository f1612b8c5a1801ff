"""Refuses to run beside the unrelated distribution that is named `tracewall`.

Ours is the distribution `pgtracewall`; both install into the folder ``tracewall/``, so
that whichever came last has overwritten files of the other: a guard of mixed files is
no guard. Which of the two came last can't be told for every file, hence any trace of
the other is refused. Importing this module makes the check, so it comes before any
import that might meet a foreign file.
"""

from __future__ import annotations

import sys
from importlib import metadata

from tracewall import _command

_OTHER = "tracewall"


def check() -> None:
    """Return when the other distribution is not installed.

    Raises:
        ImportError: it is; the message says where, and how to put things right.
        SystemExit: it is, and this is the command: the message has been printed.
    """
    try:
        found = metadata.distribution(_OTHER)
    except metadata.PackageNotFoundError:
        return
    message = (
        f"The unrelated distribution {_OTHER!r} is installed in {found.locate_file('')} and "
        "shares its import name with 'pgtracewall', so files of one may have replaced files of "
        "the other. Nothing is guarded like this. Put it right with:\n"
        "    pip uninstall tracewall\n"
        "    pip install --force-reinstall --no-deps pgtracewall"
    )
    if _command.runs():
        sys.stderr.write(f"{message}\n")
        raise SystemExit(2)
    raise ImportError(message, name="tracewall")


check()
