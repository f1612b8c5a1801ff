"""Logging in with an OpenID provider: the authorization code flow, and what it is held to.

1. Nothing is kept here while somebody is away: what belongs to their browser is in a cookie
   that this house alone can have made, and that ends soon.
2. ``state`` ties the answer to that browser (RFC 6749), ``nonce`` the ID token to it (OpenID
   Connect Core 3.1.3.7), the code to the request (PKCE, RFC 7636), ``iss`` to the provider
   that was asked (RFC 9207).
3. The ID token is verified by the rules that the policy has for its issuer.
4. A flow that has let somebody in lets nobody in again.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final
from urllib.parse import quote, urlencode

import msgspec

from tracewall.console.place import Place
from tracewall.console.visits import verified
from tracewall.identity.discovery import Metadata, published
from tracewall.identity.fetch import FetchFailed, locate, post
from tracewall.identity.principal import Principal, Rejection
from tracewall.identity.tokens import Verifier
from tracewall.places import secret
from tracewall.policy.console import Login
from tracewall.policy.model import Policy
from tracewall.trust import trusted_issuer, verifier_of

LASTS: Final = 600.0
"""How long (seconds) somebody may be away at the provider."""

_TIMEOUT: Final = 10.0
_LARGEST: Final = 256 * 1024
_LONGEST_CODE: Final = 4_096
_KNOWN_FOR: Final = 600.0
_QUEUE: Final = 2.0
_COOLDOWN: Final = 3.0


class NotLoggedIn(Exception):
    """Somebody could not be let in; the words hold nothing that was sent here."""


@dataclass(frozen=True, slots=True)
class Away:
    """What belongs to one browser while its user is at the provider.

    ``state``, ``nonce`` and ``verifier`` are this house's marks of a random number.
    """

    state: str
    nonce: str
    verifier: str

    @property
    def challenge(self) -> str:
        """What the provider is told of the verifier (RFC 7636, S256)."""
        digest = hashlib.sha256(self.verifier.encode()).digest()
        return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


@dataclass
class Flow:
    """Logging in with one issuer.

    ``own`` verifies ID tokens that were issued for this console, ``wall`` what the wall's
    doors take; ``redirect`` is where the provider sends browsers back to.
    """

    name: str
    login: Login
    redirect: str
    metadata: Metadata
    own: Verifier
    wall: Verifier
    pairwise: bool
    resource: str = "resource"
    _secret: str = field(default="", repr=False)
    _known: tuple[float, dict[str, Any]] = (0.0, {})
    _failed: float = float("-inf")
    _asking: threading.Lock = field(default_factory=threading.Lock, repr=False)

    @classmethod
    def of(
        cls,
        policy: Policy,
        login: Login,
        place: Place,
        wall: Verifier,
        revoked: Callable[[Principal], bool] | None = None,
    ) -> Flow:
        """Make the flow that a policy describes.

        Raises:
            PolicyError: the issuer issues no ID tokens, or a secret is missing.
        """
        issuer = next(each for each in policy.issuers if each.name == login.issuer)
        asked = replace(
            issuer,
            tokens="id",
            audiences=(login.client_id,),
            audience_claim=None,
            token_types=issuer.token_types if issuer.tokens == "id" else None,
            claims=tuple(dict.fromkeys((*issuer.claims, "nonce"))),
            introspection=None,
        )
        trusted = trusted_issuer(asked, policy)
        what = "the secret of the console's client"
        return cls(
            login.issuer,
            login,
            f"{place.url}/login/callback",
            Metadata(issuer.issuer, trusted.discovery or ""),
            verifier_of(replace(policy, issuers=(asked,), actors=()), revoked),
            wall,
            pairwise=login.token == "id" and trusted.subject_claim == "sub",
            resource="audience" if issuer.provider == "auth0" else "resource",
            _secret=secret(policy, login.client_secret_env, login.client_secret_file, what),
        )

    def address(self, away: Away) -> str:
        """Give where a browser is sent to log in. Blocks.

        Raises:
            NotLoggedIn: the provider's metadata can't be had, or is not fit.
        """
        metadata = self._metadata()
        endpoint = _endpoint(metadata, "authorization_endpoint")
        asked = {
            "response_type": "code",
            "client_id": self.login.client_id,
            "redirect_uri": self.redirect,
            "scope": " ".join(dict.fromkeys(("openid", *self.login.scopes))),
            "state": away.state,
            "nonce": away.nonce,
            "code_challenge": away.challenge,
            "code_challenge_method": "S256",
        }
        if self.login.resource:
            asked[self.resource] = self.login.resource
        return f"{endpoint}{'&' if '?' in endpoint else '?'}{urlencode(asked)}"

    def arrived(
        self, answer: Mapping[str, str], away: Away, now: float
    ) -> tuple[Principal, str, Verifier]:
        """Give who comes back with an answer, their token, and what verified it. Blocks.

        Raises:
            NotLoggedIn: they may not come in.
        """
        self._check(answer, away)
        tokens = self._redeemed(answer.get("code", ""), away)
        id_token, access = tokens.get("id_token"), tokens.get("access_token")
        if not isinstance(id_token, str):
            raise NotLoggedIn("The provider gave no ID token.")
        who = in_person(id_token, self.own, now)
        if not hmac.compare_digest(str(who.claims.get("nonce")).encode(), away.nonce.encode()):
            raise NotLoggedIn("The ID token was made for another login.")
        if self.login.token == "id":
            return who, id_token, self.own
        if not isinstance(access, str):
            raise NotLoggedIn("The provider gave no access token.")
        person = in_person(access, self.wall, now)
        if person.issuer != who.issuer:
            raise NotLoggedIn("The access token is another issuer's.")
        return person, access, self.wall

    def _check(self, answer: Mapping[str, str], away: Away) -> None:
        if not hmac.compare_digest(answer.get("state", "").encode(), away.state.encode()):
            raise NotLoggedIn("This answer belongs to another login.")
        said, says = answer.get("iss"), "authorization_response_iss_parameter_supported"
        if said != self.metadata.issuer and (
            said is not None or self._metadata().get(says) is True
        ):
            raise NotLoggedIn("This answer is from another provider.")
        if "error" in answer:
            raise NotLoggedIn("The provider did not log you in.")
        if not 0 < len(answer.get("code", "")) <= _LONGEST_CODE:
            raise NotLoggedIn("The provider's answer holds no code.")

    def _redeemed(self, code: str, away: Away) -> dict[str, Any]:
        metadata = self._metadata()
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": self.redirect,
            "code_verifier": away.verifier,
        }
        if self.login.resource and self.resource == "resource":
            form["resource"] = self.login.resource
        authorization = ""
        # RFC 8414: what is not said is client_secret_basic.
        ways = metadata.get("token_endpoint_auth_methods_supported") or ["client_secret_basic"]
        if self._secret and "client_secret_basic" in ways:
            # RFC 6749, 2.3.1: both are form-encoded before they are joined.
            pair = f"{quote(self.login.client_id, safe='')}:{quote(self._secret, safe='')}"
            authorization = f"Basic {base64.b64encode(pair.encode()).decode()}"
        else:
            form["client_id"] = self.login.client_id
            form |= {"client_secret": self._secret} if self._secret else {}
        endpoint = locate(_endpoint(metadata, "token_endpoint"))
        try:
            body = post(
                endpoint,
                urlencode(form).encode(),
                authorization=authorization,
                timeout=_TIMEOUT,
                limit=_LARGEST,
            )
        except FetchFailed as failed:
            raise NotLoggedIn(f"The provider's token endpoint {failed}.") from None
        return _object(body)

    def _metadata(self) -> dict[str, Any]:
        since, known = self._known
        if known and time.monotonic() - since < _KNOWN_FOR:
            return known
        # Nobody has proved anything yet: one at a time asks, and not again at once.
        if not self._asking.acquire(timeout=_QUEUE):
            raise NotLoggedIn("The provider does not answer.")
        try:
            if time.monotonic() - self._failed < _COOLDOWN:
                raise NotLoggedIn("The provider does not answer.")
            return self._asked()
        finally:
            self._asking.release()

    def _asked(self) -> dict[str, Any]:
        try:
            known = published(self.metadata, timeout=_TIMEOUT)
        except FetchFailed as failed:
            self._failed = time.monotonic()
            raise NotLoggedIn(f"The provider {failed}.") from None
        kinds = known.get("subject_types_supported")
        if self.pairwise and isinstance(kinds, list) and "public" not in kinds:
            # Nobody could tell that who asks and who decides is one person.
            raise NotLoggedIn(
                "The provider names people otherwise to each client: the policy needs "
                'token = "access", or a subject_claim that is the same for all.'
            )
        self._known = (time.monotonic(), known)
        return known


def in_person(
    token: str, verifier: Verifier, now: float, whose: str = "The provider's"
) -> Principal:
    """Give who a token stands for, who must hold it themselves. Blocks.

    Raises:
        NotLoggedIn: it is refused, or names somebody who acts for another.
    """
    found = verified(token, verifier, now)
    if isinstance(found, Rejection):
        raise NotLoggedIn(f"{whose} token is refused: {found.message}")
    if found.actors:
        raise NotLoggedIn("One logs in in person: this token names somebody who acts for you.")
    return found


def _endpoint(metadata: Mapping[str, Any], name: str) -> str:
    found = metadata.get(name)
    try:
        locate(str(found))
    except ValueError:
        raise NotLoggedIn(f"The provider's metadata has no {name} that may be used.") from None
    return str(found)


def _object(body: bytes) -> dict[str, Any]:
    try:
        return msgspec.json.decode(body, type=dict[str, Any])
    except msgspec.MsgspecError:
        raise NotLoggedIn("The provider's token endpoint gave no JSON.") from None
