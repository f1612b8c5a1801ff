"""Who acts for the subject: the chain of actors of a token (RFC 8693, section 4.1).

RFC 8693 lets actors before the current one out of access decisions. Here each of them
narrows what may be done: a chain is no stronger than the weakest of its links.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from tracewall.identity.compact import Refused
from tracewall.identity.groups import is_name, listed_at
from tracewall.identity.issuers import ActorRights, Claims, TrustedIssuer
from tracewall.identity.principal import Actor

_LONGEST_CHAIN: Final = 8


def actors_of(
    claims: Claims, trusted: TrustedIssuer, known: Iterable[ActorRights]
) -> tuple[Actor, ...]:
    """Give the actors of a token, the current one first; empty where nobody acts for another.

    Raises:
        Refused: an actor has no name, or nothing says what its rights are.
    """
    actors: list[Actor] = []
    known = tuple(known)
    inside: Mapping[str, Any] = claims
    while "act" in inside:
        inside = inside["act"]
        if not isinstance(inside, dict) or len(actors) == _LONGEST_CHAIN:
            raise Refused("delegation", "act must be an object, and a chain of at most 8.")
        actors.append(_actor(inside, trusted, known))
    return tuple(actors)


def _actor(act: Mapping[str, Any], trusted: TrustedIssuer, known: tuple[ActorRights, ...]) -> Actor:
    issuer, subject = act.get("iss", trusted.issuer), act.get("sub")
    if not is_name(subject) or not is_name(issuer):
        raise Refused("delegation", "An actor needs a sub.")
    if "cnf" in act:
        raise Refused("proof_required")
    rules = [
        rule.groups
        for rule in known
        if (rule.issuer or trusted.issuer) == issuer and rule.matches(str(subject))
    ]
    claimed = listed_at(act, trusted.actor_groups_claim)
    # Nobody knows its rights: what it shares with the subject is nothing.
    if not rules and not claimed:
        raise Refused("delegation")
    prefixed = frozenset(f"{trusted.groups_prefix}{group}" for group in claimed)
    return Actor(str(issuer), str(subject), prefixed.union(*rules))
