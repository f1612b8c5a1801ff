"""Each provider's tokens, as that provider makes them: what is accepted, and what is not."""

from __future__ import annotations

import json
import re
import tempfile
from pathlib import Path
from typing import Any, get_args

import pytest

from tracewall.identity import PROVIDERS, Principal, Rejection, TrustedIssuer, Verifier, trusted
from tracewall.policy.issuers import Provider
from tracewall.policy.load import loads
from tracewall.testing import TokenIssuer
from tracewall.trust import verifier_of

NOW = 1_800_000_000.0
TENANT = "6babcaad-604b-40ac-a9d7-9fd97c0b779f"
ENTRA = f"https://login.microsoftonline.com/{TENANT}/v2.0"
ENTRA_1 = f"https://sts.windows.net/{TENANT}/"
POD = {"namespace": "shop", "serviceaccount": {"name": "api", "uid": "1"}, "pod": {"name": "p"}}
GITHUB = {
    "sub": "repo:acme/shop:environment:prod",
    "repository": "acme/shop",
    "repository_owner": "acme",
    "ref": "refs/heads/main",
    "environment": "prod:ref:x",
    "event_name": "push",
    "job_workflow_ref": "acme/shop/.github/workflows/ci.yml@refs/heads/main",
}
KEYCLOAK = {"typ": "Bearer", "realm_access": {"roles": ["analysts"]}, "azp": "web"}

# provider, tokens, issuer, typ, claims laid over the usual ones, groups
GOOD: dict[str, tuple[str, str, str, str | None, dict[str, Any], set[str]]] = {
    "generic": ("generic", "", "", "at+jwt", {"groups": ["a"]}, {"a"}),
    "generic, ID token": ("generic", "id", "", "JWT", {"groups": ["a"], "nonce": "n"}, {"a"}),
    "okta": ("okta", "", "", None, {"cid": "0oa", "scp": ["x"], "groups": ["a"]}, {"a"}),
    "okta, ID token": ("okta", "id", "", None, {"at_hash": "h", "groups": ["a"]}, {"a"}),
    "entra 2": ("entra", "", ENTRA, "JWT", {"azp": "c", "tid": TENANT, "ver": "2.0"}, set()),
    "entra 1": (
        "entra",
        "",
        ENTRA_1,
        "JWT",
        {"appid": "c", "tid": TENANT, "ver": "1.0", "groups": ["g"]},
        {"g"},
    ),
    "entra, ID token": ("entra", "id", ENTRA, "JWT", {"tid": TENANT, "ver": "2.0"}, set()),
    "keycloak": ("keycloak", "", "", "JWT", KEYCLOAK, {"analysts"}),
    "keycloak, ID token": ("keycloak", "id", "", "JWT", {"typ": "ID", "azp": "app"}, set()),
    "auth0": ("auth0", "", "", "JWT", {"azp": "c", "permissions": ["read"]}, {"read"}),
    "auth0, RFC 9068": ("auth0", "", "", "at+jwt", {"client_id": "c"}, set()),
    "auth0, ID token": ("auth0", "id", "", "JWT", {"nonce": "n"}, set()),
    "cognito": (
        "cognito",
        "",
        "",
        None,
        {"aud": None, "client_id": "app", "token_use": "access", "cognito:groups": ["a"]},
        {"a"},
    ),
    "cognito, ID token": ("cognito", "id", "", None, {"token_use": "id"}, set()),
    "google": (
        "google",
        "",
        "",
        "JWT",
        {"azp": "app", "email": "a@b.c", "email_verified": True, "hd": "b.c"},
        {"email:a@b.c", "hd:b.c"},
    ),
    "google, address not verified": (
        "google",
        "",
        "",
        "JWT",
        {"email": "a@b.c", "email_verified": "true"},
        set(),
    ),
    "kubernetes": (
        "kubernetes",
        "",
        "",
        None,
        {"sub": "system:serviceaccount:shop:api", "aud": ["app"], "kubernetes.io": POD},
        {
            "system:serviceaccounts",
            "system:serviceaccounts:shop",
            "system:serviceaccount:shop:api",
        },
    ),
    "github": (
        "github-actions",
        "",
        "",
        "JWT",
        GITHUB,
        {
            "owner:acme",
            "repo:acme/shop",
            "repo:acme/shop:ref:refs/heads/main",
            "repo:acme/shop:environment:prod%3Aref%3Ax",
            "repo:acme/shop:event:push",
            "workflow:acme/shop/.github/workflows/ci.yml@refs/heads/main",
        },
    ),
    "spiffe": (
        "spiffe",
        "",
        "spiffe://example.org",
        "JWT",
        {"iss": None, "iat": None, "sub": "spiffe://example.org/ns/shop/sa/api"},
        {"spiffe://example.org/ns/shop/sa/api"},
    ),
    "spiffe with iss": (
        "spiffe",
        "",
        "spiffe://example.org",
        "JOSE",
        {"iss": "https://oidc.example.org", "sub": "spiffe://example.org/api"},
        {"spiffe://example.org/api"},
    ),
}


def verify(
    provider: str, tokens: str, name: str, typ: str | None, claims: dict[str, Any], **given: Any
) -> Principal | Rejection:
    """Verify a token of a provider, by its profile and what is given besides."""
    issuer = TokenIssuer(name or "https://issuer.test", clock=lambda: NOW)
    jwks = issuer.jwks()
    if provider == "spiffe":
        jwks["keys"][0]["use"] = "jwt-svid"
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "jwks.json"
        path.write_text(json.dumps(jwks))
        usual = {"name": "main", "issuer": issuer.issuer, "audiences": ("app",), "keys": str(path)}
        verifier = Verifier([trusted(provider, tokens=tokens, **(usual | given))])
        verifier.refresh()
    laid = {"groups": None} | claims
    token = issuer.mint("alice", audience="app", claims=laid, headers={"typ": typ})
    return verifier.verify(token, NOW)


@pytest.mark.parametrize("case", GOOD)
def test_a_providers_token_is_accepted_with_its_groups(case: str) -> None:
    """What the provider sends by default names a principal, with groups where it has them."""
    provider, tokens, name, typ, claims, groups = GOOD[case]
    answer = verify(provider, tokens, name, typ, claims)
    assert isinstance(answer, Principal), answer
    assert answer.groups == groups
    prefixed = verify(provider, tokens, name, typ, claims, groups_prefix="idp:")
    assert isinstance(prefixed, Principal)
    assert prefixed.groups == {f"idp:{group}" for group in groups}


OVERAGE = {"_claim_names": {"groups": "src1"}, "_claim_sources": {}}
BAD: dict[str, tuple[str, dict[str, Any], str]] = {
    "an ID token for an access token": ("generic, ID token", {}, "wrong_type"),
    "okta, an ID token": ("okta", {"cid": None}, "wrong_type"),
    "okta, nonce": ("okta", {"nonce": "n"}, "wrong_type"),
    "okta, an access token for an ID token": ("okta, ID token", {"cid": "c"}, "wrong_type"),
    "okta, a hundred groups": (
        "okta",
        {"groups": [str(n) for n in range(100)]},
        "groups_overage",
    ),
    "okta, groups as a text": ("okta", {"groups": "admins"}, "bad_groups"),
    "entra, another tenant": ("entra 2", {"tid": TENANT[::-1]}, "bad_claim"),
    "entra, no tenant": ("entra 2", {"tid": None}, "bad_claim"),
    "entra, another version": ("entra 2", {"ver": "1.0"}, "bad_claim"),
    "entra, an ID token": ("entra 2", {"azp": None}, "wrong_type"),
    "entra, an access token for an ID token": ("entra, ID token", {"azp": "app"}, "wrong_type"),
    "entra, too many groups": ("entra 2", OVERAGE, "groups_overage"),
    "entra, odd claim names": ("entra 2", {"_claim_names": "groups"}, "groups_overage"),
    "entra, implicit overage": ("entra 2", {"hasgroups": True}, "groups_overage"),
    "keycloak, an ID token": ("keycloak", {"typ": "ID"}, "wrong_type"),
    "keycloak, a refresh token": ("keycloak", {"typ": "Refresh"}, "wrong_type"),
    "keycloak, no typ": ("keycloak", {"typ": None}, "wrong_type"),
    "keycloak, typ in a list": ("keycloak", {"typ": ["Bearer"]}, "wrong_type"),
    "keycloak, access for ID": ("keycloak, ID token", {"typ": "Bearer"}, "wrong_type"),
    "keycloak, roles as a text": ("keycloak", {"realm_access": {"roles": "a"}}, "bad_groups"),
    "keycloak, another azp": ("keycloak, ID token", {"azp": "other"}, "wrong_audience"),
    "auth0, an ID token": ("auth0", {"azp": None}, "wrong_type"),
    "auth0, nonce": ("auth0", {"nonce": "n"}, "wrong_type"),
    "auth0, access for ID": ("auth0, ID token", {"scope": "x"}, "wrong_type"),
    "cognito, an ID token": ("cognito", {"token_use": "id"}, "wrong_type"),
    "cognito, another client": ("cognito", {"client_id": "other"}, "wrong_audience"),
    "cognito, aud for client_id": ("cognito", {"client_id": None, "aud": "app"}, "missing_claim"),
    "cognito, access for ID": ("cognito, ID token", {"token_use": "access"}, "wrong_type"),
    "google, two audiences": ("google", {"aud": ["app", "x"], "azp": None}, "wrong_audience"),
    "google, azp null": ("google", {"aud": ["app", "x"], "azp": "x"}, "wrong_audience"),
    "kubernetes, another namespace": (
        "kubernetes",
        {"sub": "system:serviceaccount:kube-system:api"},
        "bad_claim",
    ),
    "kubernetes, another account": (
        "kubernetes",
        {"sub": "system:serviceaccount:shop:admin"},
        "bad_claim",
    ),
    "kubernetes, a user": ("kubernetes", {"sub": "admin"}, "bad_claim"),
    "kubernetes, not bound": ("kubernetes", {"kubernetes.io": None}, "bad_claim"),
    "kubernetes, odd account": (
        "kubernetes",
        {"kubernetes.io": {"namespace": "shop", "serviceaccount": "api"}},
        "bad_claim",
    ),
    "github, no repository": ("github", {"repository": None}, "bad_claim"),
    "github, odd repository": ("github", {"repository": "acme/shop/x"}, "bad_claim"),
    "github, another owner": ("github", {"repository_owner": "evil"}, "bad_claim"),
    "spiffe, another domain": ("spiffe", {"sub": "spiffe://evil.org/api"}, "missing_claim"),
    "spiffe, no path": ("spiffe", {"sub": "spiffe://example.org"}, "bad_claim"),
    "spiffe, dots": ("spiffe", {"sub": "spiffe://example.org/a/../b"}, "bad_claim"),
    "spiffe, empty step": ("spiffe", {"sub": "spiffe://example.org/a//b"}, "missing_claim"),
    "spiffe, upper case": ("spiffe", {"sub": "spiffe://EXAMPLE.org/a"}, "missing_claim"),
    "spiffe, no SPIFFE ID": (
        "spiffe",
        {"iss": "spiffe://example.org", "sub": "alice"},
        "bad_claim",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_a_token_that_is_not_as_the_provider_makes_them_is_refused(case: str) -> None:
    """The other kind of token, another tenant, too many groups, contradictions: each refused."""
    base, changes, reason = BAD[case]
    provider, tokens, name, typ, claims, _ = GOOD[base]
    if case == "an ID token for an access token":
        tokens, changes = "", {"nonce": "n"}
        typ = "at+jwt"
    answer = verify(provider, tokens, name, typ, claims | changes)
    assert isinstance(answer, Rejection), answer
    assert answer.reason == reason


def test_overage_of_another_claim_than_the_groups_is_none() -> None:
    """Groups that come from `roles` are all there, however many `groups` there would be."""
    provider, tokens, name, typ, claims, _ = GOOD["entra 2"]
    more = claims | OVERAGE | {"roles": ["reader"]}
    answer = verify(provider, tokens, name, typ, more, groups_claims=("roles",))
    assert isinstance(answer, Principal)
    assert answer.groups == {"reader"}


def test_what_is_written_wins_over_the_profile() -> None:
    """Each key of a policy takes the profile's place, and only that."""
    usual = trusted("keycloak", name="k", issuer="https://k.test", audiences=("a",))
    own = trusted(
        "keycloak",
        name="k",
        issuer="https://k.test",
        audiences=("a",),
        groups_claims=("/resource_access/my.client/roles",),
    )
    assert usual.groups_claims == ("realm_access.roles",)
    assert own.token_types == usual.token_types
    claims = {"typ": "Bearer", "resource_access": {"my.client": {"roles": ["x"]}}}
    answer = verify("keycloak", "", "", "JWT", claims, groups_claims=own.groups_claims)
    assert isinstance(answer, Principal)
    assert answer.groups == {"x"}


def test_several_claims_can_list_groups() -> None:
    """The groups of all of them count; one that is wrong refuses the token."""
    paths = ("roles", "teams.names")
    claims = {"roles": ["a"], "teams": {"names": ["b"]}}
    answer = verify("generic", "", "", "at+jwt", claims, groups_claims=paths)
    assert isinstance(answer, Principal)
    assert answer.groups == {"a", "b"}
    answer = verify("generic", "", "", "at+jwt", claims | {"teams": "b"}, groups_claims=paths)
    assert isinstance(answer, Rejection)
    assert answer.reason == "bad_groups"


@pytest.mark.parametrize(
    ("require", "passes"),
    [
        ((("hd", ("b.c",)),), True),
        ((("hd", ("x", "b.c")),), True),
        ((("hd", ("x",)),), False),
        ((("absent", ("x",)),), False),
        ((("email_verified", (True,)),), True),
        ((("email_verified", (1,)),), False),
        ((("email_verified", ("true",)),), False),
        ((("level", (1,)),), True),
        ((("level", (True,)),), False),
        ((("list", ("x",)),), False),
        ((("a.b", ("c",)),), True),
        ((("hd", ("b.c",)), ("level", (2,))), False),
    ],
)
def test_required_claims_must_have_their_value(require: Any, passes: bool) -> None:
    """Of each required claim one of the values, of the very type; all of them must hold."""
    claims = {
        "hd": "b.c",
        "email_verified": True,
        "level": 1,
        "list": ["x"],
        "a": {"b": "c"},
    }
    answer = verify("generic", "", "", "at+jwt", claims, require=require)
    assert isinstance(answer, Principal) is passes
    if isinstance(answer, Rejection):
        assert answer.reason == "claim_not_allowed"


def test_a_purpose_of_the_token_goes_before_the_services() -> None:
    """``purpose_claim`` says what the access is for; it must be a text."""
    answer = verify("generic", "", "", "at+jwt", {"why": "audit"}, purpose_claim="why")
    assert isinstance(answer, Principal)
    assert answer.purpose == "audit"
    for odd in (["audit"], "", 7):
        answer = verify("generic", "", "", "at+jwt", {"why": odd}, purpose_claim="why")
        assert isinstance(answer, Rejection)


def test_a_subject_can_be_another_claim() -> None:
    """``subject_claim`` names who it is; ``sub`` must be there all the same."""
    answer = verify("generic", "", "", "at+jwt", {"oid": "o-1"}, subject_claim="oid")
    assert isinstance(answer, Principal)
    assert answer.subject == "o-1"
    for claims in ({}, {"oid": ""}, {"oid": "o", "sub": None}):
        answer = verify("generic", "", "", "at+jwt", claims, subject_claim="oid")
        assert isinstance(answer, Rejection)


@pytest.mark.parametrize(
    ("provider", "given"),
    [
        ("nobody", {}),
        ("google", {"tokens": "access"}),
        ("kubernetes", {"tokens": "id"}),
        ("generic", {"tokens": "refresh"}),
        ("generic", {"group_claims": ("x",)}),
        ("entra", {"issuer": "https://login.microsoftonline.com/common/v2.0"}),
        ("entra", {"issuer": f"{ENTRA}/"}),
        ("entra", {"issuer": f"https://evil.test/{TENANT}/v2.0"}),
        ("spiffe", {"issuer": "https://example.org", "keys": "k"}),
        ("spiffe", {"issuer": "spiffe://example.org/path", "keys": "k"}),
    ],
)
def test_what_a_provider_does_not_have_is_an_error(provider: str, given: dict[str, Any]) -> None:
    """Unknown providers and keys, kinds that are not issued, issuers of all tenants."""
    usual: dict[str, Any] = {"name": "x", "issuer": "https://i.test", "audiences": ("a",)}
    with pytest.raises(ValueError, match=r"provider|no tokens|no group|entra|spiffe"):
        trusted(provider, **(usual | given))


def test_entra_version_1_has_its_metadata_elsewhere() -> None:
    """sts.windows.net serves none itself."""
    made = trusted("entra", name="e", issuer=ENTRA_1, audiences=("a",))
    at = f"https://login.microsoftonline.com/{TENANT}/.well-known/openid-configuration"
    assert made.discovery == at
    assert trusted("entra", name="e", issuer=ENTRA, audiences=("a",)).discovery == ""


def test_the_policy_knows_the_same_providers() -> None:
    """A policy may name each profile there is, and no other."""
    assert set(get_args(Provider)) == set(PROVIDERS)


def test_generic_is_what_a_trusted_issuer_is_by_default() -> None:
    """No profile and the generic one mean the same."""
    made = trusted(name="x", issuer="https://i.test", audiences=("a",))
    assert made == TrustedIssuer("x", "https://i.test", ("a",))


def test_the_how_tos_policies_are_fit_for_their_providers() -> None:
    """Each example makes a verifier, so that its issuer is one that the provider can have."""
    page = Path(__file__).parents[2] / "docs/how-to/accept-your-providers-tokens.md"
    blocks = re.findall(r"```toml\n(.*?)```", page.read_text("utf-8"), re.DOTALL)
    policies = [loads(f"version = 1\n{block}") for block in blocks]
    for policy in policies:
        verifier_of(policy)
    assert {issuer.provider for policy in policies for issuer in policy.issuers} == set(PROVIDERS)
