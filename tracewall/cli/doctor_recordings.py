"""What is wrong with the URL that recordings are shipped to: tried out with a few bytes."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from tracewall.cli.doctor_here import of_directory
from tracewall.cli.findings import Finding
from tracewall.policy.model import Policy
from tracewall.recording.remote import Remote, RemoteUnavailable

_PATIENCE: Final = 30.0
_CHECK: Final = "recording.url"
_REMEDIES: Final = {
    "reached": "see its host, and where its library finds credentials (as the wall's user)",
    "listed": "give the right to list objects: without it nobody finds what is old, or on hold",
    "written": "give the right to write objects: recordings stay in the directory until then",
    "read": "give the right to read objects: what has arrived is read back before it counts",
    "renamed": "give the rights to copy and to delete: a recording gets its name when it is "
    "whole; an object named doctor-*.part may be left there",
    "deleted": "give the right to delete objects; one named doctor-*.part is left there",
}


def of_recordings(policy: Policy) -> Iterator[Finding]:
    """Find a URL of recordings that is out of reach, or where too little may be done."""
    url = policy.recording.url
    if not url:
        return
    if url.startswith("file://"):
        place = Path(url.removeprefix("file://"))
        yield from of_directory("recording", "the recordings that are shipped", place)
    step, why = _within(url, _PATIENCE)
    if step == "missing":
        message = f"the directory of recordings at their url is not there: {why}"
        yield Finding(_CHECK, "note", message, "nothing has to be done")
    elif step == "installed":
        yield Finding(_CHECK, "error", f"recordings can't be shipped: {why}", "install it")
    elif step:
        message = f"recordings can't be {step} at their url: {why}"
        yield Finding(_CHECK, "error", message, _REMEDIES[step])


def _within(url: str, seconds: float) -> tuple[str, str]:
    """Try a URL out; libraries of stores may wait for minutes for a host that is none."""
    told: list[tuple[str, str]] = []
    trying = threading.Thread(target=lambda: told.append(_tried(url)), daemon=True)
    trying.start()
    trying.join(seconds)
    return told[0] if told else ("reached", f"no answer within {seconds:.0f} seconds")


def _tried(url: str) -> tuple[str, str]:
    try:
        return Remote(url).tried()
    except RemoteUnavailable as error:
        return "installed", str(error)
    except OSError as error:
        return "reached", str(error.strerror)
