"""The web console: requests to decide on, recorded sessions, and the audit record, in a browser.

1. Nobody is anybody by a cookie alone: the token that was logged in with is verified again at
   each request, by the same rules as at the wall's doors.
2. Whoever may not see a thing is told what is told of a thing that is not there.
3. What people decide goes the way of ``tracewall approvals``; what is read of the record is
   on record before it is shown.
4. Whatever others wrote is escaped, in templates that hold no script. A recorded session is
   shown in a frame that has no origin.
"""

from tracewall.extras import explained

try:
    from tracewall.console.application import Console, app
except ModuleNotFoundError as missing:
    raise explained(missing, "tracewall.console", "pgtracewall[console]") from None

__all__ = ["Console", "app"]
