"""From a token to a principal: checked strictly, without any I/O, refusing what is unforeseen."""

from __future__ import annotations

import ssl
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from tracewall.identity.claims import principal_from
from tracewall.identity.compact import Compact, Refused, take_apart
from tracewall.identity.discovery import Metadata
from tracewall.identity.issuers import ALGORITHMS, NO_TYPE, ActorRights, TrustedIssuer, check
from tracewall.identity.keys import Key, KeyKeeper, canonical
from tracewall.identity.principal import REASONS, Principal, Rejection, rejection
from tracewall.identity.profiles import profile_of, spiffe_domain

__all__ = ["ALGORITHMS", "REASONS", "TrustedIssuer", "Verifier"]


@dataclass(frozen=True, slots=True)
class _Source:
    trusted: TrustedIssuer
    keeper: KeyKeeper
    algorithms: frozenset[str]
    token_types: frozenset[str]


class Verifier:
    """Verifies tokens of the trusted issuers, and re-checks principals made from them.

    Two issuers must not share a name or an ``iss``, and each must be well formed
    (ValueError). Nothing is read when it is made: `needs_refresh` is true at first.
    ``clock``, ``timeout``, ``cooldown`` and ``tls`` are handed to each `KeyKeeper`.

    Example:
        >>> verifier = Verifier([TrustedIssuer("hr", "https://id.example", ("db",), "jwks.json")])
        >>> verifier.verify("no token", now=0.0).reason
        'malformed'
    """

    def __init__(
        self,
        issuers: Iterable[TrustedIssuer],
        *,
        actors: Iterable[ActorRights] = (),
        clock: Callable[[], float] = time.monotonic,
        timeout: float = 5.0,
        cooldown: float = 10.0,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._actors = tuple(actors)
        self._by_issuer: dict[str, _Source] = {}
        self._by_name: dict[str, _Source] = {}
        for trusted in issuers:
            check(trusted)
            profile = profile_of(trusted.provider)
            keeper = KeyKeeper(
                trusted.keys or Metadata(trusted.issuer, trusted.discovery),
                clock=clock,
                timeout=timeout,
                cooldown=cooldown,
                tls=tls,
                uses=profile.key_uses,
            )
            algorithms = frozenset(canonical(name) for name in trusted.algorithms)
            types = frozenset(_media_type(name) for name in trusted.token_types)
            source = _Source(trusted, keeper, algorithms, types)
            if trusted.issuer in self._by_issuer or trusted.name in self._by_name:
                raise ValueError(f"issuer {trusted.name!r}: its name or its iss is there twice")
            self._by_issuer[trusted.issuer] = self._by_name[trusted.name] = source

    def verify(self, token: str, now: float, purpose: str | None = None) -> Principal | Rejection:
        """Return whom the token names, or why it is refused. Never blocks, never raises.

        ``now`` is in seconds since the epoch; ``purpose`` is kept in the principal. When
        the rejection has ``unknown_key``, one `refresh` of its issuer and a second call
        may give another answer.
        """
        name = ""
        try:
            compact = take_apart(token)
            source = self._source_of(compact)
            name = source.trusted.name
            _check_header(compact, source)
            # Claims are judged only after the signature: a forger learns nothing from them.
            key = _verifying_key(compact, source)
            return principal_from(
                compact.claims,
                source.trusted,
                key_id=key.id,
                now=now,
                purpose=purpose,
                actors=self._actors,
            )
        except Refused as refused:
            return rejection(refused.code, name, refused.detail)
        except Exception:
            return rejection("unverifiable", name)

    def still_valid(self, principal: Principal, now: float) -> Rejection | None:
        """Return None while the principal may go on, else why not.

        Cheap enough for every statement: it looks at the expiry, and whether the key that
        verified the token is still published. ``now`` is in seconds since the epoch.
        """
        source = self._by_issuer.get(principal.issuer)
        if source is None:
            return rejection("unknown_issuer")
        # Asked this way round, a clock that answers NaN refuses.
        if not now < principal.expires_at + source.trusted.leeway:
            return rejection("expired", source.trusted.name)
        keys = source.keeper.current()
        if keys is None:
            return rejection("keys_unavailable", source.trusted.name)
        if principal.key_id not in keys.ids:
            return rejection("key_withdrawn", source.trusted.name)
        return None

    def needs_refresh(self) -> bool:
        """Tell whether the keys of some issuer are due to be read again. Never blocks."""
        return any(source.keeper.stale() for source in self._by_issuer.values())

    def refresh(self, issuer: str | None = None, *, due_only: bool = False) -> None:
        """Read the keys again, of one issuer (by name or ``iss``) or of all. Blocks.

        Never raises for keys out of reach, only ValueError for an issuer that is not
        there. ``due_only`` leaves those alone that are fresh, cooling down or being read.
        """
        for source in self._chosen(issuer):
            if not due_only or source.keeper.stale():
                source.keeper.refresh()

    def problems(self) -> dict[str, str]:
        """Return why the last reading of an issuer's keys failed, by the issuer's name."""
        sources = self._by_name.items()
        return {name: source.keeper.problem for name, source in sources if source.keeper.problem}

    def _chosen(self, issuer: str | None) -> tuple[_Source, ...]:
        if issuer is None:
            return tuple(self._by_issuer.values())
        source = self._by_name.get(issuer) or self._by_issuer.get(issuer)
        if source is None:
            raise ValueError("no such issuer")
        return (source,)

    def _source_of(self, compact: Compact) -> _Source:
        issuer = compact.claims.get("iss")
        source = self._by_issuer.get(issuer) if isinstance(issuer, str) else None
        # A JWT-SVID may lack iss: who vouches for it is the trust domain of its subject.
        vouching = source or self._by_issuer.get(spiffe_domain(compact.claims))
        if vouching is not None and (source or vouching.trusted.provider == "spiffe"):
            return vouching
        if "iss" not in compact.claims:
            raise Refused("missing_claim", "It lacks iss.")
        if not isinstance(issuer, str):
            raise Refused("bad_claim", "iss must be a string.")
        raise Refused("unknown_issuer")


def _check_header(compact: Compact, source: _Source) -> None:
    if canonical(compact.header["alg"]) not in source.algorithms:
        raise Refused("wrong_algorithm")
    said = _media_type(compact.header.get("typ", NO_TYPE))
    if said not in source.token_types and "" not in source.token_types:
        raise Refused("wrong_type")


def _verifying_key(compact: Compact, source: _Source) -> Key:
    keys = source.keeper.current()
    if keys is None:
        raise Refused("keys_unavailable")
    name = compact.header.get("kid")
    key = keys.find(name)
    if key is None:
        raise Refused("unnamed_key" if name is None else "unknown_key")
    algorithm = canonical(compact.header["alg"])
    if algorithm not in key.algorithms:
        raise Refused("wrong_algorithm")
    if not key.verifies(algorithm, compact.signed, compact.signature):
        raise Refused("bad_signature")
    return key


def _media_type(name: str) -> str:
    return name.lower().removeprefix("application/")
