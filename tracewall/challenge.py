"""What a request says of its bearer token, and what it is answered (RFC 6750, RFC 9110)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from tracewall.identity.principal import Rejection

# RFC 9110, 11.4: the scheme without regard to case, blanks, then a token68.
_CREDENTIALS = re.compile(rb"(?i:bearer) +([A-Za-z0-9\-._~+/]+=*)")
_SCHEME = re.compile(rb"(?i:bearer)(?: .*)?", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Challenge:
    """An answer to a request that may not pass: ``status``, and the ``error`` of RFC 6750.

    ``reason`` is the stable code of a refused token; ``realm`` the protection space.
    """

    status: int
    error: str = ""
    reason: str = ""
    realm: str = ""

    def named(self, realm: str) -> Challenge:
        """Give the same challenge for a realm."""
        return Challenge(self.status, self.error, self.reason, realm)

    @property
    def headers(self) -> tuple[tuple[str, str], ...]:
        """The headers of the answer, which has no body."""
        realm = self.realm.replace("\\", "\\\\").replace('"', '\\"')
        parts = [f'Bearer realm="{realm}"']
        parts += [f'error="{self.error}"'] if self.error else []
        parts += [f'error_description="{self.reason}"'] if self.reason else []
        again = (("Retry-After", "1"),) if self.status == 503 else ()
        return (("WWW-Authenticate", ", ".join(parts)), ("Content-Length", "0"), *again)


def bearer_of(headers: Sequence[bytes]) -> str | Challenge:
    """Give the token that a request's Authorization headers bring, or how to answer without.

    Tokens in the query or in a form (RFC 6750, 2.2 and 2.3) are not looked at: they end up
    in logs.
    """
    if len(headers) > 1:
        return Challenge(400, "invalid_request")
    if not headers or not _SCHEME.fullmatch(headers[0]):
        return Challenge(401)
    found = _CREDENTIALS.fullmatch(headers[0])
    return found[1].decode("ascii") if found else Challenge(400, "invalid_request")


def admitted(
    found: str | Challenge, refused: Rejection | None, *, required: bool, realm: str
) -> str | Challenge:
    """Give the token that a request acts under, empty for nobody, or how to answer it.

    Args:
        found: what `bearer_of` gave.
        refused: why the token is refused that it gave, None where it is good.
        required: False lets requests without a token pass; they act as nobody, even where
            the server itself acts under a token.
        realm: the protection space that a challenge names.
    """
    if isinstance(found, str):
        return challenge(refused, realm) if refused else found
    if found.status == 401 and not required:
        return ""
    return found.named(realm)


def challenge(refused: Rejection, realm: str) -> Challenge:
    """Give how a request is answered whose token is refused.

    Where the refusal is the service's own trouble, the caller is told to come again and
    not that the token is bad.
    """
    if refused.reason in _OWN_TROUBLE:
        return Challenge(503, reason=refused.reason, realm=realm)
    return Challenge(401, "invalid_token", refused.reason, realm)


_OWN_TROUBLE = frozenset(
    {"keys_unavailable", "introspection_unavailable", "revocations_unavailable", "unverifiable"}
)
