"""From a token to a principal: checked strictly, without any I/O, refusing what is unforeseen."""

from __future__ import annotations

import ssl
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from tracewall.identity.claims import principal_from
from tracewall.identity.compact import Compact, Refused, take_apart
from tracewall.identity.discovery import Metadata
from tracewall.identity.introspection import Introspector, fingerprint
from tracewall.identity.issuers import ALGORITHMS, NO_TYPE, ActorRights, TrustedIssuer, check
from tracewall.identity.keys import Key, KeyKeeper, KeySet, canonical
from tracewall.identity.principal import REASONS, Principal, Rejection, rejection
from tracewall.identity.profiles import profile_of, spiffe_domain
from tracewall.identity.revocation import RevocationList

__all__ = ["ALGORITHMS", "REASONS", "TrustedIssuer", "Verifier"]


@dataclass(frozen=True, slots=True)
class _Source:
    trusted: TrustedIssuer
    keeper: KeyKeeper
    introspector: Introspector | None
    algorithms: frozenset[str]
    token_types: frozenset[str]


class Verifier:
    """Verifies tokens of the trusted issuers, and re-checks principals made from them.

    Two issuers must not share a name or an ``iss``, and each must be well formed
    (ValueError). Nothing is read when it is made: `needs_refresh` is true at first.
    ``actors`` says which groups those are in who act for others; ``revocations`` is a list
    of what is revoked, ``revoked`` is asked the same of each principal at each statement,
    and must be quick. ``clock``, ``timeout``, ``cooldown`` and ``tls`` are handed to each
    `KeyKeeper`.

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
        revocations: RevocationList | None = None,
        revoked: Callable[[Principal], bool] | None = None,
        clock: Callable[[], float] = time.monotonic,
        timeout: float = 5.0,
        cooldown: float = 10.0,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._actors = tuple(actors)
        self._revocations = revocations
        self._revoked = revoked
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
            asked = trusted.introspection
            introspector = (
                Introspector(asked, clock=clock, timeout=timeout, tls=tls) if asked else None
            )
            source = _Source(trusted, keeper, introspector, algorithms, types)
            if trusted.issuer in self._by_issuer or trusted.name in self._by_name:
                raise ValueError(f"issuer {trusted.name!r}: its name or its iss is there twice")
            self._by_issuer[trusted.issuer] = self._by_name[trusted.name] = source

    def verify(self, token: str, now: float, purpose: str | None = None) -> Principal | Rejection:
        """Return whom the token names, or why it is refused. Never blocks, never raises.

        ``now`` is in seconds since the epoch; ``purpose`` is kept in the principal. When
        the rejection has ``unknown_key``, one `renew` and a second call may give another
        answer.
        """
        found = self._verified(token, now, purpose)
        return found if isinstance(found, Rejection) else self._standing(found) or found

    def _verified(self, token: str, now: float, purpose: str | None) -> Principal | Rejection:
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
                mark=fingerprint(token) if source.introspector else "",
            )
        except Refused as refused:
            return rejection(refused.code, name, refused.detail)
        except Exception:
            # Unforeseen, so refused; the error may quote the token.
            return rejection("unverifiable", name)

    def still_valid(self, principal: Principal, now: float) -> Rejection | None:
        """Return None while the principal may go on, else why not.

        Cheap enough for every statement: it looks at the expiry, whether the key that
        verified the token is still published, what has been revoked, and what the issuer
        last said where it is asked. ``now`` is in seconds since the epoch.
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
        if self._revocations or self._revoked or source.introspector:
            return self._standing(principal)
        return None

    def _standing(self, principal: Principal) -> Rejection | None:
        """Return why a verified principal is no longer believed, or None."""
        source = self._by_issuer[principal.issuer]
        try:
            code = self._revocation(principal)
        except Exception:
            # The program's own function may raise anything: nobody knows, so nobody goes on.
            code = "revocations_unavailable"
        if not code and source.introspector:
            active = source.introspector.active(principal.mark)
            code = {True: "", False: "inactive", None: "introspection_unavailable"}[active]
        return rejection(code, source.trusted.name) if code else None

    def _revocation(self, principal: Principal) -> str:
        if self._revocations:
            listed = self._revocations.current()
            if listed is None:
                return "revocations_unavailable"
            if listed.covers(principal):
                return "revoked"
        if self._revoked and self._revoked(principal) is not False:
            return "revoked"
        return ""

    def needs_refresh(self, *, ahead: bool = False) -> bool:
        """Tell whether keys or revocations are due to be read again. Never blocks.

        ``ahead`` tells it a little before.
        """
        if self._revocations and self._revocations.stale():
            return True
        return any(source.keeper.stale(ahead=ahead) for source in self._by_issuer.values())

    def refresh(
        self, issuer: str | None = None, *, due_only: bool = False, ahead: bool = False
    ) -> None:
        """Read the keys again, of one issuer (by name or ``iss``) or of all. Blocks.

        Never raises for keys out of reach, only ValueError for an issuer that is not
        there. ``due_only`` leaves those alone that are fresh, cooling down or being read;
        ``ahead`` counts those as due that soon are. With all of them, the list of what is
        revoked is read, too.
        """
        if issuer is None and self._revocations and self._revocations.stale():
            self._revocations.refresh()
        for source in self._chosen(issuer):
            if not due_only or source.keeper.stale(ahead=ahead):
                source.keeper.refresh()

    def needs_asking(self, found: Principal | Rejection) -> bool:
        """Tell whether the issuer should be asked, for keys or about a token. Never blocks."""
        if isinstance(found, Rejection):
            return found.unknown_key
        source = self._by_issuer.get(found.issuer)
        introspector = source.introspector if source else None
        return introspector is not None and introspector.due(found.mark)

    def renew(self, token: str, now: float) -> None:
        """Ask the token's issuer for its keys, or about the token, where that is due. Blocks."""
        found = self._verified(token, now, None)
        if isinstance(found, Rejection):
            if not found.unknown_key:
                return
            self.refresh(found.issuer)
            found = self._verified(token, now, None)
        if isinstance(found, Principal):
            introspector = self._by_issuer[found.issuer].introspector
            if introspector is not None:
                introspector.ask(token, found.subject)

    @property
    def remote(self) -> bool:
        """True where the keys of some issuer come over the network."""
        return any(source.keeper.remote for source in self._by_issuer.values())

    def problems(self) -> dict[str, str]:
        """Return why an issuer's keys, or the revocations, could not be had, by their name."""
        found = {
            name: source.keeper.problem
            or (source.introspector.problem if source.introspector else "")
            for name, source in self._by_name.items()
        }
        if self._revocations:
            found["revocations"] = self._revocations.problem
        return {name: problem for name, problem in found.items() if problem}

    def key_sets(self) -> dict[str, KeySet]:
        """Return the keys of each issuer whose keys were read, by its name. Never blocks."""
        found = {name: source.keeper.current() for name, source in self._by_name.items()}
        return {name: keys for name, keys in found.items() if keys is not None}

    def keepers(self) -> dict[str, KeyKeeper]:
        """Return what keeps the keys of each issuer, by its name. Never blocks."""
        return {name: source.keeper for name, source in self._by_name.items()}

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
