"""The error tree of tracewall, rooted in psycopg's own.

Every name of `psycopg.errors` is here too, so that ``tracewall.errors`` can stand in
for it. What tracewall adds says *why* a statement was stopped; it never holds a
parameter value, a row value or a token. An object that is forbidden and one that does
not exist get the same message.
"""

from __future__ import annotations

from typing import Any, Protocol

from psycopg import errors as _psycopg
from psycopg.errors import *  # noqa: F403  # this module stands in for psycopg.errors
from psycopg.errors import (
    InsufficientPrivilege,
    InvalidAuthorizationSpecification,
    OperationalError,
)

from tracewall import _clash as _clash

__all__ = [
    "ApprovalRequired",
    "AuditUnavailable",
    "Explained",
    "Forbidden",
    "PolicyError",
    "TokenRejected",
    "Unreadable",
    "Withheld",
]


class Explained(Protocol):
    """What a decision tells about itself: the rule, the reason and a hint."""

    @property
    def rule(self) -> str:
        """The rule that decided, as ``grants.analysts`` or ``default``."""
        ...

    @property
    def reason(self) -> str:
        """Why, in one sentence without any value."""
        ...

    @property
    def hint(self) -> str:
        """What the caller may do instead; empty when there is nothing to say."""
        ...


class _Refusal(InsufficientPrivilege):
    """A refusal that carries the decision behind it."""

    decision: Explained | None = None

    def __init__(self, message: str = "", *, decision: Explained | None = None) -> None:
        super().__init__(message)
        self.decision = decision

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (str(self),)


class Forbidden(_Refusal):
    """The policy does not allow the statement; nothing was sent.

    SQLSTATE 42501 (insufficient_privilege). The connection and its transaction stay
    usable, because the server never saw the statement. ``decision`` has the rule, the
    reason and a hint.
    """


class ApprovalRequired(Forbidden):
    """The statement waits for approvers; nothing was sent, or nothing of it is handed out.

    ``request_id`` names the request to resume with, ``expires_at`` is its end in
    seconds since the epoch.
    """

    def __init__(
        self,
        message: str = "",
        *,
        decision: Explained | None = None,
        request_id: str = "",
        expires_at: float = 0.0,
    ) -> None:
        super().__init__(message, decision=decision)
        self.request_id = request_id
        self.expires_at = expires_at

    def __reduce__(self) -> tuple[Any, ...]:
        return _approval_required, (str(self), self.request_id, self.expires_at)


def _approval_required(message: str, request_id: str, expires_at: float) -> ApprovalRequired:
    return ApprovalRequired(message, request_id=request_id, expires_at=expires_at)


class Unreadable(Forbidden):
    """The statement could not be understood, or the two parsers disagree; nothing was sent."""


class Withheld(Forbidden):
    """A result did not match what was judged, or passed a limit; nothing of it was handed out."""


class TokenRejected(InvalidAuthorizationSpecification):
    """The caller's token was refused; nothing was sent.

    SQLSTATE 28000 (invalid_authorization_specification). ``reason`` is a stable code
    such as ``expired`` or ``bad_signature``. The token appears nowhere in the error.
    """

    decision: Explained | None = None

    def __init__(self, message: str = "", *, reason: str = "") -> None:
        super().__init__(message)
        self.reason = reason

    def __reduce__(self) -> tuple[Any, ...]:
        return _token_rejected, (str(self), self.reason)


def _token_rejected(message: str, reason: str) -> TokenRejected:
    return TokenRejected(message, reason=reason)


class AuditUnavailable(OperationalError):
    """The record could not be kept as strongly as configured, so the statement was not sent."""


def known_sqlstate(state: str) -> str:
    """Give an error code if it is one of PostgreSQL's own, else ``XX000``; empty stays empty.

    RAISE can carry five characters of anything in its error code.
    """
    try:
        return state and (_psycopg.lookup(state).sqlstate or "")
    except KeyError:
        return "XX000"


class PolicyError(ValueError):
    """A policy file says something that tracewall cannot hold.

    Raised when a policy is loaded or first meets a catalog, never when a statement is
    judged. ``path``, ``line`` and ``column`` (both from 1; 0 when unknown) say where,
    ``help`` what was expected and what was probably meant.
    """

    def __init__(
        self, message: str, *, path: str = "", line: int = 0, column: int = 0, help: str = ""
    ) -> None:
        self.message = message
        self.path = path
        self.line = line
        self.column = column
        self.help = help
        where = ":".join(str(part) for part in (path or "policy", line, column) if part)
        super().__init__(f"{where}: {message}" + (f"\n  help: {help}" if help else ""))

    def __reduce__(self) -> tuple[Any, ...]:
        return _policy_error, (self.message, self.path, self.line, self.column, self.help)


def _policy_error(message: str, path: str, line: int, column: int, help: str) -> PolicyError:
    return PolicyError(message, path=path, line=line, column=column, help=help)


def __getattr__(name: str) -> Any:
    """Give psycopg's own error names, those made at import time included."""
    return getattr(_psycopg, name)
