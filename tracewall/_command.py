"""Whether this process is the command ``tracewall``, which has people for readers, no program.

Most of a second goes into reading modules before any code of the command runs. Importing this
module first lets Ctrl-C end the command in that time as it ends other tools, without a traceback;
`read` takes that back. In any other process nothing is touched.
"""

from __future__ import annotations

import signal
import sys
from contextlib import suppress
from pathlib import PurePath

_NAME = "tracewall"


def runs() -> bool:
    """Tell whether the command was started, by its script or as ``python -m tracewall``."""
    started = sys.argv[0] if getattr(sys, "argv", None) else ""
    if started == "-m":  # As it is while Python looks for the module.
        return _NAME in sys.orig_argv
    return PurePath(started).stem == _NAME


def read() -> None:
    """Let Ctrl-C be an exception again: what follows can deal with it."""
    if runs():
        _swap(signal.SIG_DFL, signal.default_int_handler)


def _swap(old: object, new: signal._HANDLER) -> None:
    # Who ignores it (a job in the background) goes on to, and threads may not ask.
    if signal.getsignal(signal.SIGINT) is old:
        with suppress(ValueError):
            signal.signal(signal.SIGINT, new)


if runs():
    _swap(signal.default_int_handler, signal.SIG_DFL)
