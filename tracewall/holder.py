"""Whose state is on a connection: a caller as far as the server's session goes.

Two tokens of one holder may follow each other on a connection; a change of anything here
is a change of principal, and what the last one left is discarded first.
"""

from __future__ import annotations

import json
from typing import NamedTuple

from tracewall.identity.principal import Actor, Principal
from tracewall.policy.model import Policy
from tracewall.policy.rows import claims_of

HELD = (
    "another principal holds this connection, in a transaction or a pipeline: end that first, "
    "and let acting_as begin before the next transaction does"
)
"""Why a statement of another principal is refused where a connection is not free."""


class Holder(NamedTuple):
    """Who holds a connection: the token's issuer, subject and groups, and those who act for it.

    ``told`` is what the server is told of it for row filters, as JSON (empty: nothing, for
    the policy has none). ``observed`` is true while the policy is: what somebody was let do
    then is discarded with the end of it.
    """

    issuer: str
    subject: str
    groups: frozenset[str]
    actors: tuple[Actor, ...]
    told: str = ""
    observed: bool = False


def holder_of(principal: Principal, policy: Policy, *, observed: bool = False) -> Holder:
    """Give the holder that a principal is."""
    told = _told(principal, policy) if any(grant.rows for grant in policy.grants) else ""
    who = (principal.issuer, principal.subject, principal.groups, principal.actors)
    return Holder(*who, told, observed)


def _told(principal: Principal, policy: Policy) -> str:
    """Write what the server's row filters need to know of a principal, as JSON."""
    groups = principal.groups
    claims, lists = {"iss": principal.issuer, "sub": principal.subject}, {}
    for name in claims_of(policy):
        value = principal.claims.get(name)
        if (text := _text(value)) is not None:
            claims[name] = text
        listed = value if isinstance(value, tuple) else (value,)
        if value is not None and None not in (texts := [_text(item) for item in listed]):
            lists[name] = texts
    grants = [
        grant.name
        for grant in policy.grants
        if any(glob.matches(group) for glob in grant.groups for group in groups)
    ]
    told = {"claims": claims, "lists": lists, "grants": sorted(grants)}
    return json.dumps(told, sort_keys=True, separators=(",", ":"))


def _text(value: object) -> str | None:
    """Give a claim as text; None where it has no single plain value."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value) if abs(value) < 2**63 else None
    # The server's JSON has no NUL, and no half of a pair of surrogates.
    if isinstance(value, str) and "\0" not in value and _is_unicode(value):
        return value
    return None


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
