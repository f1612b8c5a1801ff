"""Who is asking: tokens verified offline, and the issuers' keys behind them."""

from tracewall.identity.issuers import ALGORITHMS, ActorRights, TrustedIssuer
from tracewall.identity.keys import Key, KeyKeeper, KeySet
from tracewall.identity.principal import REASONS, Actor, Principal, Rejection
from tracewall.identity.profiles import PROVIDERS, trusted
from tracewall.identity.tokens import Verifier

__all__ = [
    "ALGORITHMS",
    "PROVIDERS",
    "REASONS",
    "Actor",
    "ActorRights",
    "Key",
    "KeyKeeper",
    "KeySet",
    "Principal",
    "Rejection",
    "TrustedIssuer",
    "Verifier",
    "trusted",
]
