"""The frozen values of what a policy lets people decide: rules that ask, and where they ask."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from tracewall.policy.glob import Glob
from tracewall.policy.hours import Hours

Reason: TypeAlias = Literal["optional", "required"]
Mode: TypeAlias = Literal["once", "shape"]


@dataclass(frozen=True, slots=True)
class Approval:
    """Has people decide on statements of ``groups`` that are permitted otherwise.

    It asks where all hold that are written: one of ``actions`` is done to one of ``tables``
    (by name ``schema.table``), one of ``columns`` (``schema.table.column``) is touched, or
    with ``protected`` one that is masked or scanned; ``no_where``: rows are updated, deleted
    or truncated without a condition; more than ``rows`` rows come back or are changed (with
    ``per``, in seconds: by the principal in that time, as are ``bytes``, and ``runs``, the
    number of different statements, or of one with different parameters); the time is not
    among ``hours`` (in the zone ``timezone``). With ``reveal`` it is only about statements that
    ask to see what is under these masks and scans.

    ``people`` different members of ``approvers`` have to agree within ``expires`` seconds; what
    they have agreed to may be done within ``valid`` seconds, ``once``, or as often as the
    statement has the same ``shape``. Members of ``break_glass`` may go on alone.
    A ``shadow`` asks nobody.
    """

    name: str
    approvers: tuple[Glob, ...]
    groups: tuple[Glob, ...] = (Glob("*", dots=True),)
    actions: frozenset[str] = frozenset()
    tables: tuple[Glob, ...] = ()
    columns: tuple[Glob, ...] = ()
    protected: bool = False
    no_where: bool = False
    rows: int = 0
    bytes: int = 0
    runs: int = 0
    per: float = 0.0
    hours: tuple[Hours, ...] = ()
    timezone: str = "UTC"
    reveal: frozenset[str] = frozenset()
    people: int = 1
    expires: float = 900.0
    valid: float = 900.0
    reason: Reason = "optional"
    ticket: str = ""
    mode: Mode = "once"
    break_glass: tuple[Glob, ...] = ()
    shadow: bool = False
    line: int = 0

    @property
    def counts(self) -> bool:
        """True where it asks only when rows, bytes or runs pass a number."""
        return bool(self.rows or self.bytes or self.runs)


@dataclass(frozen=True, slots=True)
class Approving:
    """Where requests wait, and whose decisions count.

    ``keys`` are the public keys (``NAME+HASH+KEY``) of what approvers decide with. Requests
    are in the SQLite file ``store``, or, where it is written, in the PostgreSQL database of
    ``conninfo`` (without a password; at most one of ``password_env`` and ``password_file``).
    ``webhook`` is told of each request, signed with the secret in ``webhook_secret_env`` or
    ``webhook_secret_file``; the chat whose incoming webhook is in the environment variable
    ``chat_env`` is told without anything sensitive. Of one person at most ``most_pending``
    requests wait at a time; what is over is deleted after ``keep`` seconds (0: never).
    """

    store: str = "approvals.db"
    conninfo: str = ""
    password_env: str = ""
    password_file: str = ""
    keys: tuple[str, ...] = ()
    webhook: str = ""
    webhook_secret_env: str = ""
    webhook_secret_file: str = ""
    chat_env: str = ""
    most_pending: int = 20
    keep: float = 90 * 86_400.0


USUAL = Approving()
"""What holds where a policy says nothing of it."""


def told(rule: Approval) -> str:
    """Say in words when a rule asks, and whom."""
    per = f" in {rule.per:g} seconds" if rule.per else ""
    parts = (
        "to lift " + ", ".join(sorted(rule.reveal)) if rule.reveal else "",
        f"more than {rule.rows} rows{per}" if rule.rows else "",
        f"more than {rule.bytes} bytes{per}" if rule.bytes else "",
        f"more than {rule.runs} different statements{per}" if rule.runs else "",
        "no condition" if rule.no_where else "",
        "out of hours" if rule.hours else "",
    )
    when = " and ".join(filter(None, parts)) or "always"
    who = ", ".join(glob.text for glob in rule.approvers)
    return f"asks {rule.people} of {who} ({when})"
