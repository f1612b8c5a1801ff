"""A wall that permits everything, as the one that connections take by default.

Its record is kept in the directory that ``TRACEWALL_COMPAT_AUDIT`` names, or thrown away.
"""

from __future__ import annotations

import os
from pathlib import Path

from tracewall.audit.setup import open_log
from tracewall.testing import permit_all
from tracewall.wall import _LOADED, CONFIG_VARIABLE

_directory = os.environ.get("TRACEWALL_COMPAT_AUDIT")
WALL = permit_all(audit=open_log(Path(_directory), "buffered") if _directory else None)
os.environ[CONFIG_VARIABLE] = WALL.policy.path
_LOADED[WALL.policy.path] = WALL
