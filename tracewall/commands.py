"""psycopg's own transaction commands: which statements are in one, and how it is recorded.

1. Transactions of a session are numbered from 1; a statement that is one by itself has 0.
2. ``BEGIN`` needs no record: the number on the first statement tells of it.
3. What ends a transaction, or a part of it, is recorded as a statement is: an intent
   before it is sent, an outcome after it. What commits is not sent without its intent.
"""

from __future__ import annotations

import hashlib
import re

from tracewall.events import What
from tracewall.judge import Judged
from tracewall.policy.model import Decision

_VERB = re.compile(
    r"(?:COMMIT|ROLLBACK) PREPARED|PREPARE TRANSACTION|ROLLBACK TO|COMMIT|ROLLBACK|SAVEPOINT"
    r"|RELEASE"
)
_COMMITS = frozenset({"COMMIT", "COMMIT PREPARED", "PREPARE TRANSACTION"})
ENDS = frozenset({"COMMIT", "ROLLBACK", "PREPARE TRANSACTION"})
"""The summaries of what ends a transaction."""


class Transactions:
    """The number of the transaction that statements of one session are in."""

    __slots__ = ("_last", "_open", "kept")

    def __init__(self) -> None:
        self._last = 0
        self._open = False
        self.kept = ""

    def within(self, idle: bool, autocommit: bool) -> int:
        """Give the number for a statement that is about to be sent.

        Args:
            idle: the server says that no transaction is open.
            autocommit: none will be begun for the statement.
        """
        if idle:
            self._open, self.kept = False, ""
            # The transaction is not begun yet: a refusal leaves the number to the next one.
            return 0 if autocommit else self._last + 1
        if not self._open:
            self._last += 1
            self._open = True
        return self._last

    def keep(self, kept: str) -> None:
        """Note how strongly a statement of the transaction is recorded: its end is no less."""
        if self.kept != "synced":
            self.kept = kept

    def sent(self, summary: str) -> None:
        """Take note of a statement that was carried out, for it may have ended a transaction."""
        if summary in ENDS:
            self._open, self.kept = False, ""


def verb(command: bytes) -> str:
    """Name a command of psycopg's that is recorded; empty: it needs no record."""
    found = _VERB.match(command.decode(errors="replace"))
    return found[0] if found else ""


def commits(verb: str) -> bool:
    """Tell whether a command makes changes last."""
    return verb in _COMMITS


def judgement(verb: str, command: bytes, policy_hash: str, kept: str) -> Judged:
    """Give what stands for the judgement of a command: psycopg may always send its own."""
    # A two-phase transaction's name is a literal, a savepoint's is not.
    named = verb in ("SAVEPOINT", "RELEASE", "ROLLBACK TO")
    bare = verb in ("COMMIT", "ROLLBACK")
    text = command.decode(errors="replace") if named or bare else f"{verb} ?"
    decision = Decision("allowed", "transaction", policy_hash=policy_hash, summary=verb, text=text)
    what = What(
        summary=verb,
        text=text,
        sha256=hashlib.sha256(command).hexdigest(),
        decision="allowed",
        rule="transaction",
        policy=policy_hash,
        kept=kept,
    )
    return Judged(decision, what, {})
