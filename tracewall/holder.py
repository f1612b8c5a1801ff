"""Whose state is on a connection: a caller as far as the server's session goes.

Two tokens of one holder may follow each other on a connection; a change of anything here
is a change of principal, and what the last one left is discarded first.
"""

from __future__ import annotations

from typing import NamedTuple

from tracewall.identity.principal import Actor, Principal


class Holder(NamedTuple):
    """Who holds a connection: the token's issuer, subject and groups, and those who act for it."""

    issuer: str
    subject: str
    groups: frozenset[str]
    actors: tuple[Actor, ...]


def holder_of(principal: Principal) -> Holder:
    """Give the holder that a principal is."""
    return Holder(principal.issuer, principal.subject, principal.groups, principal.actors)
