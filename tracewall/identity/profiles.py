"""What each provider's tokens look like: how kinds are told apart, where groups are.

A profile fills in what a policy leaves out, key by key, and adds checks that no key can
take off: what tells an access token from an ID token, whose tenant it is, whether parts
of the token contradict each other.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Final

from tracewall.identity.compact import Refused
from tracewall.identity.issuers import NO_TYPE, Claims, TrustedIssuer

# OpenID Connect Core 2 and 3.3.2.11: only an ID token has these.
_ID_TOKENS_OWN: Final = ("nonce", "at_hash", "c_hash", "s_hash")
_SPIFFE_ID: Final = re.compile(r"spiffe://([a-z0-9._-]{1,255})((?:/[A-Za-z0-9._-]+)*)")
_SERVICE_ACCOUNT: Final = re.compile(r"system:serviceaccount:([a-z0-9-]{1,63}):([a-z0-9.-]{1,253})")
_ENTRA: Final = re.compile(
    r"https://(?:login\.microsoftonline\.(?:com|us)|login\.partner\.microsoftonline\.cn)"
    r"/([0-9a-f-]{36})/v2\.0|https://sts\.(?:windows\.net|chinacloudapi\.cn)/([0-9a-f-]{36})/"
)


@dataclass(frozen=True, slots=True)
class Marks:
    """What a kind of token can be told by.

    ``equal`` has claims with the one value they must have; one of ``some`` must be there
    (none: nothing need be); none of ``without`` may be.
    """

    equal: Mapping[str, str] = field(default_factory=dict)
    some: tuple[str, ...] = ()
    without: tuple[str, ...] = ()


def _no_groups(claims: Claims) -> Iterable[str]:
    return ()


def _no_check(claims: Claims, trusted: TrustedIssuer) -> None:
    return None


def _any_issuer(issuer: str) -> str:
    return ""


@dataclass(frozen=True, slots=True)
class Profile:
    """What is known of a provider.

    ``usual`` are the fields of a `TrustedIssuer` for either kind of token; ``access`` and
    ``id`` those for one kind, None where the provider does not issue it. ``access_marks``
    and ``id_marks`` tell the kinds apart. ``groups`` derives groups from other claims;
    ``check`` raises `Refused` for a token that is not as the provider makes them;
    ``misfit`` says what is wrong with an issuer's name; ``discovery`` gives where its
    metadata is, empty: at the well-known places. ``needs_issued`` asks for ``iat``;
    ``key_uses`` are the ``use`` of keys that are taken.
    """

    usual: Mapping[str, Any] = field(default_factory=dict)
    access: Mapping[str, Any] | None = field(default_factory=dict)
    id: Mapping[str, Any] | None = field(default_factory=dict)
    access_marks: Marks = Marks(without=_ID_TOKENS_OWN)
    id_marks: Marks = Marks()
    groups: Callable[[Claims], Iterable[str]] = _no_groups
    check: Callable[[Claims, TrustedIssuer], None] = _no_check
    misfit: Callable[[str], str] = _any_issuer
    discovery: Callable[[str], str] = _any_issuer
    needs_issued: bool = True
    key_uses: frozenset[str] = frozenset({"sig"})


def profile_of(provider: str) -> Profile:
    """Give a provider's profile; ValueError for one that is not known."""
    if provider not in PROVIDERS:
        raise ValueError(f"no such provider; there are {', '.join(PROVIDERS)}")
    return PROVIDERS[provider]


def trusted(provider: str = "generic", *, tokens: str = "", **given: Any) -> TrustedIssuer:
    """Make a trusted issuer of what is given and, for the rest, the provider's profile.

    Args:
        provider: one of `PROVIDERS`.
        tokens: ``access`` or ``id``; by default access tokens where the provider has them.
        given: fields of `TrustedIssuer`; what is None counts as not given.

    Raises:
        ValueError: no such provider or field, a kind of token that the provider does not
            issue, or an issuer that can't be its.
    """
    profile = profile_of(provider)
    kind = tokens or ("access" if profile.access is not None else "id")
    usual = {"access": profile.access, "id": profile.id}.get(kind)
    if usual is None:
        raise ValueError(f'issuer {given.get("name")!r}: {provider} has no tokens = "{kind}"')
    written = {name: value for name, value in given.items() if value is not None}
    if unknown := written.keys() - {each.name for each in fields(TrustedIssuer)}:
        raise ValueError(f"a trusted issuer has no {', '.join(sorted(unknown))}")
    if misfit := profile.misfit(str(written.get("issuer", ""))):
        raise ValueError(f"issuer {written.get('name')!r}: {misfit}")
    types = {"token_types": ("JWT", NO_TYPE)} if kind == "id" else {}
    filled = dict(profile.usual) | types | dict(usual) | written
    if not filled.get("keys") and not filled.get("discovery"):
        filled["discovery"] = profile.discovery(filled["issuer"])
    return TrustedIssuer(provider=provider, tokens=kind, **filled)


def check_kind(claims: Claims, trusted: TrustedIssuer) -> None:
    """Refuse a token of the other kind, and what the provider would not issue."""
    profile = PROVIDERS[trusted.provider]
    marks = profile.access_marks if trusted.tokens == "access" else profile.id_marks
    equal = all(claims.get(name) == value for name, value in marks.equal.items())
    some = not marks.some or any(name in claims for name in marks.some)
    if not (equal and some) or any(name in claims for name in marks.without):
        raise Refused("wrong_type", f"It is not {_SPOKEN[trusted.tokens]}.")
    if trusted.tokens == "id":
        _check_authorized_party(claims, trusted)
    profile.check(claims, trusted)


_SPOKEN: Final = {"access": "an access token", "id": "an ID token"}


def _check_authorized_party(claims: Claims, trusted: TrustedIssuer) -> None:
    # OpenID Connect Core 3.1.3.7, steps 4 and 5.
    party = claims.get("azp")
    many = isinstance(claims.get("aud"), list) and len(claims["aud"]) > 1
    if (party is None and many) or ("azp" in claims and party not in trusted.audiences):
        raise Refused("wrong_audience", "azp must be one of the audiences.")


# --- Entra ID ---------------------------------------------------------------------------


def _entra_misfit(issuer: str) -> str:
    if _ENTRA.fullmatch(issuer):
        return ""
    return (
        "entra issues as https://login.microsoftonline.com/<tenant id>/v2.0 or "
        "https://sts.windows.net/<tenant id>/, with the id of one tenant"
    )


def _check_entra(claims: Claims, trusted: TrustedIssuer) -> None:
    found = _ENTRA.fullmatch(trusted.issuer)
    tenant, version = (found[1], "2.0") if found and found[1] else (found and found[2], "1.0")
    if claims.get("tid") != tenant or claims.get("ver") != version:
        raise Refused("bad_claim", "tid and ver must be those of the issuer.")


def _entra_discovery(issuer: str) -> str:
    # A token of version 1 names sts.windows.net, which serves no metadata of its own.
    found = _ENTRA.fullmatch(issuer)
    if not found or not found[2]:
        return ""
    host = "login.partner.microsoftonline.cn" if ".cn/" in issuer else "login.microsoftonline.com"
    return f"https://{host}/{found[2]}/.well-known/openid-configuration"


# --- Google -----------------------------------------------------------------------------


def _google_groups(claims: Claims) -> Iterable[str]:
    mail, domain = claims.get("email"), claims.get("hd")
    # An address that nobody verified may be anybody's.
    if isinstance(mail, str) and claims.get("email_verified") is True:
        yield f"email:{mail}"
    if isinstance(domain, str) and domain:
        yield f"hd:{domain}"


# --- Kubernetes -------------------------------------------------------------------------


def _check_kubernetes(claims: Claims, trusted: TrustedIssuer) -> None:
    own, account = claims.get("kubernetes.io"), _SERVICE_ACCOUNT.fullmatch(str(claims.get("sub")))
    named = own.get("serviceaccount") if isinstance(own, Mapping) else None
    if (
        not account
        or not isinstance(own, Mapping)
        or own.get("namespace") != account[1]
        or not isinstance(named, Mapping)
        or named.get("name") != account[2]
    ):
        raise Refused("bad_claim", "It is no bound token of a service account.")


def _kubernetes_groups(claims: Claims) -> Iterable[str]:
    namespace = claims["sub"].split(":")[2]
    return ("system:serviceaccounts", f"system:serviceaccounts:{namespace}", claims["sub"])


# --- GitHub Actions ---------------------------------------------------------------------


def _check_github(claims: Claims, trusted: TrustedIssuer) -> None:
    repository, owner = claims.get("repository"), claims.get("repository_owner")
    if not isinstance(repository, str) or repository.count("/") != 1:
        raise Refused("bad_claim", "repository must be owner/name.")
    if repository.split("/")[0] != owner:
        raise Refused("bad_claim", "repository_owner must be the owner of repository.")


def _github_groups(claims: Claims) -> Iterable[str]:
    # Each group says whose repository it is: every owner on the site has the same issuer.
    repository = claims["repository"]
    yield f"owner:{claims['repository_owner']}"
    yield f"repo:{repository}"
    for name, claim in (("ref", "ref"), ("environment", "environment"), ("event", "event_name")):
        if isinstance(claims.get(claim), str) and claims[claim]:
            yield f"repo:{repository}:{name}:{_github_part(claims[claim])}"
    if isinstance(claims.get("job_workflow_ref"), str):
        yield f"workflow:{_github_part(claims['job_workflow_ref'])}"


def _github_part(text: str) -> str:
    # As in GitHub's own sub: a colon in a name must not begin another part.
    return text.replace(":", "%3A")


# --- SPIFFE -----------------------------------------------------------------------------


def _spiffe_misfit(issuer: str) -> str:
    found = _SPIFFE_ID.fullmatch(issuer)
    return "" if found and not found[2] else "spiffe is trusted by domain: spiffe://example.org"


def _check_spiffe(claims: Claims, trusted: TrustedIssuer) -> None:
    found = _SPIFFE_ID.fullmatch(str(claims.get("sub")))
    parts = found[2].split("/")[1:] if found else []
    if found is None or not parts or any(set(part) == {"."} and len(part) < 3 for part in parts):
        raise Refused("bad_claim", "sub must be a SPIFFE ID with a path.")
    if f"spiffe://{found[1]}" != trusted.issuer:
        raise Refused("bad_claim", "sub must be of the trusted domain.")


def _spiffe_groups(claims: Claims) -> Iterable[str]:
    return (claims["sub"],)


def spiffe_domain(claims: Claims) -> str:
    """Give the trust domain, as ``spiffe://domain``, that a JWT-SVID's subject is of, or ""."""
    found = _SPIFFE_ID.fullmatch(str(claims.get("sub")))
    return f"spiffe://{found[1]}" if found else ""


# ----------------------------------------------------------------------------------------

_ANY_TYPE: Final = ("at+jwt", "JWT", NO_TYPE)

PROVIDERS: Final[Mapping[str, Profile]] = {
    # RFC 9068 says how an access token is told from others: by its typ alone.
    "generic": Profile(),
    # At a hundred groups Okta stops without a word, so a hundred may be more.
    "okta": Profile(
        {"token_types": _ANY_TYPE, "groups_limit": 100},
        access_marks=Marks(some=("cid",), without=_ID_TOKENS_OWN),
        id_marks=Marks(without=("cid", "scp")),
    ),
    "entra": Profile(
        {"token_types": ("JWT",)},
        # Only access tokens name the application that asked for them.
        access_marks=Marks(some=("azp", "appid")),
        id_marks=Marks(without=("azp", "appid", "scp")),
        check=_check_entra,
        misfit=_entra_misfit,
        discovery=_entra_discovery,
    ),
    "keycloak": Profile(
        {"token_types": _ANY_TYPE, "groups_claims": ("realm_access.roles",)},
        access_marks=Marks({"typ": "Bearer"}),
        id_marks=Marks({"typ": "ID"}),
    ),
    "auth0": Profile(
        {"token_types": ("at+jwt", "JWT"), "groups_claims": ("permissions",)},
        access_marks=Marks(some=("azp", "client_id"), without=_ID_TOKENS_OWN),
        id_marks=Marks(without=("scope", "permissions")),
    ),
    "cognito": Profile(
        {"token_types": _ANY_TYPE, "groups_claims": ("cognito:groups",)},
        # An access token has no aud: the client is whom it was issued to.
        access={"audience_claim": "client_id"},
        access_marks=Marks({"token_use": "access"}),
        id_marks=Marks({"token_use": "id"}),
    ),
    "google": Profile({"groups_claims": ()}, access=None, groups=_google_groups),
    "kubernetes": Profile(
        {"token_types": (NO_TYPE, "JWT"), "groups_claims": ()},
        id=None,
        groups=_kubernetes_groups,
        check=_check_kubernetes,
    ),
    "github-actions": Profile(
        {"token_types": ("JWT",), "groups_claims": ()},
        id=None,
        groups=_github_groups,
        check=_check_github,
    ),
    "spiffe": Profile(
        {"token_types": ("JWT", "JOSE", NO_TYPE), "groups_claims": ()},
        id=None,
        access_marks=Marks(),
        groups=_spiffe_groups,
        check=_check_spiffe,
        misfit=_spiffe_misfit,
        needs_issued=False,
        key_uses=frozenset({"jwt-svid"}),
    ),
}
"""Every provider that a policy may name."""
