"""What the verifier accepts, what it makes of it, and what it never accepts."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from dataclasses import FrozenInstanceError, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from tracewall.identity import (
    ALGORITHMS,
    REASONS,
    Principal,
    Rejection,
    TrustedIssuer,
    Verifier,
)
from tracewall.testing import TokenIssuer

NOW = 1_800_000_000.0
MakeVerifier = Callable[..., Verifier]


def mint(ring: Any, **options: Any) -> str:
    """Mint a good token, with options."""
    return ring.issuer.mint("alice", ["analysts"], audience="warehouse", **options)


def accepted(answer: Principal | Rejection) -> Principal:
    """Return the principal of a token that must be accepted."""
    assert isinstance(answer, Principal), answer
    return answer


def refused(answer: Principal | Rejection | None) -> str:
    """Return the reason of what must be a refusal."""
    assert isinstance(answer, Rejection), answer
    return answer.reason


# What is accepted


def test_principal_says_what_the_token_says(ring: Any, verifier_with: MakeVerifier) -> None:
    """A good token becomes a principal with its issuer, subject, groups, expiry and id."""
    token = mint(ring, claims={"jti": "t-1", "email": "alice@example.org"})
    verifier = verifier_with(claims=("email", "phone"))
    principal = accepted(verifier.verify(token, NOW, "monthly report"))
    assert principal == Principal(
        issuer=ring.issuer.issuer,
        subject="alice",
        groups=frozenset({"analysts"}),
        expires_at=NOW + 300,
        token_id="t-1",
        key_id=ring.issuer.key.id,
        purpose="monthly report",
        issued_at=NOW,
    )
    assert principal.claims == {"email": "alice@example.org"}


def test_principal_cannot_be_changed(ring: Any, verifier_with: MakeVerifier) -> None:
    """A principal and its claims are frozen all the way down."""
    token = mint(ring, claims={"deep": {"list": [{"a": 1}]}})
    verifier = verifier_with(claims=("deep",))
    claims: Any = accepted(verifier.verify(token, NOW)).claims
    with pytest.raises(TypeError):
        claims["deep"] = None
    with pytest.raises(TypeError):
        claims["deep"]["list"] = None
    with pytest.raises(TypeError):
        claims["deep"]["list"][0]["a"] = 2
    assert isinstance(claims["deep"]["list"], tuple)
    with pytest.raises(FrozenInstanceError):
        accepted(verifier.verify(token, NOW)).groups = frozenset()  # type: ignore[misc]


def test_claims_are_not_shown(ring: Any, verifier_with: MakeVerifier) -> None:
    """A principal's repr keeps the claims to itself."""
    verifier = verifier_with(claims=("email",))
    token = mint(ring, claims={"email": "alice@example.org"})
    assert "example.org" not in repr(verifier.verify(token, NOW))


@pytest.mark.parametrize("algorithm", ["RS256", "PS256", "ES256", "ES384", "EdDSA"])
def test_each_algorithm_verifies(ring: Any, verifier: Verifier, algorithm: str) -> None:
    """Each algorithm that may be allowed is verified, and the principal knows its key."""
    key = ring.keys[algorithm]
    assert accepted(verifier.verify(mint(ring, key=key), NOW)).key_id == key.id


@pytest.mark.parametrize("said", ["EdDSA", "Ed25519"])
@pytest.mark.parametrize("allowed", ["EdDSA", "Ed25519"])
def test_ed25519_has_two_names(
    ring: Any, verifier_with: MakeVerifier, said: str, allowed: str
) -> None:
    """EdDSA and RFC 9864's Ed25519 are one algorithm, in the policy and in the header."""
    token = mint(ring, key=ring.keys["EdDSA"], headers={"alg": said})
    accepted(verifier_with(algorithms=(allowed,)).verify(token, NOW))


@pytest.mark.parametrize("typ", ["at+jwt", "AT+JWT", "application/at+jwt", "Application/At+Jwt"])
def test_typ_is_compared_as_a_media_type(ring: Any, verifier: Verifier, typ: str) -> None:
    """The token's type is compared without case and without ``application/``."""
    accepted(verifier.verify(mint(ring, headers={"typ": typ}), NOW))


@pytest.mark.parametrize("typ", [None, "JWT", "application/okta-internal-at+jwt"])
def test_any_typ_passes_where_the_policy_asks_none(
    ring: Any, verifier_with: MakeVerifier, typ: str | None
) -> None:
    """An empty token_type takes any type, as Cognito and Kubernetes need."""
    accepted(verifier_with(token_types=("",)).verify(mint(ring, headers={"typ": typ}), NOW))


def test_id_token_passes_where_the_policy_says_so(ring: Any, verifier_with: MakeVerifier) -> None:
    """tokens = "id" takes ID tokens, and access tokens no longer."""
    verifier = verifier_with(tokens="id", token_types=("JWT", "none"))
    accepted(verifier.verify(mint(ring, headers={"typ": "JWT"}), NOW))
    assert refused(verifier.verify(mint(ring), NOW)) == "wrong_type"


@pytest.mark.parametrize("name", ["x5t", "x5t#S256"])
def test_thumbprint_hints_are_ignored(ring: Any, verifier: Verifier, name: str) -> None:
    """Entra ID and GitHub Actions send x5t; it changes nothing."""
    accepted(verifier.verify(mint(ring, headers={name: "anything"}), NOW))


@pytest.mark.parametrize("audience", ["reports", ["other", "warehouse"], ["reports", "reports"]])
def test_one_audience_of_ours_is_enough(
    ring: Any, verifier: Verifier, audience: str | list[str]
) -> None:
    """The audience may be a string or a list, and one entry must be one of the policy's."""
    accepted(verifier.verify(mint(ring, claims={"aud": audience}), NOW))


@pytest.mark.parametrize(
    "times",
    [
        {"exp": NOW - 29.5, "iat": NOW - 300},
        {"iat": NOW + 30},
        {"nbf": NOW + 30},
        {"nbf": NOW - 99999},
        {"exp": NOW + 86400},
        {"exp": NOW + 0.5},
        {"iat": -1, "exp": -1 + 86400, "_now": 0.0},
    ],
)
def test_leeway_and_bounds_are_inclusive(
    ring: Any, verifier: Verifier, times: dict[str, float]
) -> None:
    """Times within the leeway pass, at the bound too, and may have fractions."""
    now = times.get("_now", NOW)
    accepted(verifier.verify(mint(ring, claims=times), now))


def test_no_limit_on_the_lifetime(ring: Any, verifier_with: MakeVerifier) -> None:
    """max_lifetime = 0 takes a token of any lifetime, but not of none."""
    verifier = verifier_with(max_lifetime=0)
    accepted(verifier.verify(mint(ring, lifetime=10**8), NOW))
    assert refused(verifier.verify(mint(ring, lifetime=0), NOW)) == "lifetime"


def test_sub_of_255_characters(ring: Any, verifier: Verifier) -> None:
    """The longest subject OpenID Connect allows is accepted."""
    accepted(verifier.verify(mint(ring, claims={"sub": "é" * 255}), NOW))


# Groups


@pytest.mark.parametrize(
    ("path", "claims", "groups"),
    [
        ("groups", {"groups": None}, set()),
        ("groups", {"groups": []}, set()),
        ("groups", {"groups": ["a", "b", "a"]}, {"a", "b"}),
        ("", {"": ["a"]}, set()),
        ("cognito:groups", {"cognito:groups": ["a"]}, {"a"}),
        ("realm_access.roles", {"realm_access": {"roles": ["a"]}}, {"a"}),
        ("realm_access.roles", {"realm_access": {}}, set()),
        ("realm_access.roles", {}, set()),
        ("https://example.com/groups", {"https://example.com/groups": ["a"]}, {"a"}),
        ("a.b.c", {"a": {"b": {"c": ["x"]}}}, {"x"}),
    ],
)
def test_groups_are_found(
    ring: Any,
    verifier_with: MakeVerifier,
    path: str,
    claims: dict[str, Any],
    groups: set[str],
) -> None:
    """Groups come from a claim or a dotted path; where there is nothing there are none."""
    principal = accepted(
        verifier_with(groups_claims=(path,)).verify(mint(ring, claims=claims), NOW)
    )
    assert principal.groups == groups


@pytest.mark.parametrize(
    "claims",
    [
        {"realm_access": "roles"},
        {"realm_access": ["roles"]},
        {"realm_access": {"roles": "admins"}},
        {"realm_access": {"roles": {"admins": 1}}},
        {"realm_access.roles": "admins"},
        {"realm_access": 1},
    ],
)
def test_a_path_through_another_type_is_refused(
    ring: Any, verifier_with: MakeVerifier, claims: dict[str, Any]
) -> None:
    """Where the path leads to something that is no object or list, the token is refused."""
    verifier = verifier_with(groups_claims=("realm_access.roles",))
    assert refused(verifier.verify(mint(ring, claims=claims), NOW)) == "bad_groups"


# Which issuer, which key


def test_issuers_are_kept_apart(trusted: TrustedIssuer, ring: Any, jwks_file: Path) -> None:
    """A key of one issuer never verifies a token that says it is of another."""
    other = TokenIssuer("https://other.test", clock=lambda: NOW)
    other.write_jwks(jwks_file)
    second = TrustedIssuer("other", other.issuer, ("warehouse",), str(jwks_file))
    verifier = Verifier([trusted, second])
    verifier.refresh()
    mine = {"iss": ring.issuer.issuer}
    assert accepted(verifier.verify(other.mint("a", audience="warehouse"), NOW)).subject == "a"
    assert refused(verifier.verify(other.mint("a", audience="warehouse", claims=mine), NOW)) == (
        "unknown_key"
    )
    posing = other.mint("a", audience="warehouse", claims=mine, headers={"kid": ring.issuer.key.id})
    assert refused(verifier.verify(posing, NOW)) == "bad_signature"
    # "reports" is an audience of the first issuer only.
    assert refused(verifier.verify(other.mint("a", audience="reports"), NOW)) == "wrong_audience"


def test_algorithm_must_be_allowed_for_its_issuer(ring: Any, verifier_with: MakeVerifier) -> None:
    """A published key is not enough: the policy must allow the algorithm."""
    verifier = verifier_with(algorithms=("RS256",))
    assert refused(verifier.verify(mint(ring), NOW)) == "wrong_algorithm"
    accepted(verifier.verify(mint(ring, key=ring.keys["RS256"]), NOW))


def test_only_key_needs_no_name(jwks_file: Path) -> None:
    """With one key published, a token without kid is verified by it, and its key is known."""
    issuer = TokenIssuer(clock=lambda: NOW)
    jwk = {name: part for name, part in issuer.key.jwk().items() if name not in ("kid", "alg")}
    jwks_file.write_text(json.dumps({"keys": [jwk]}))
    verifier = Verifier([TrustedIssuer("one", issuer.issuer, ("db",), str(jwks_file))])
    verifier.refresh()
    principal = accepted(
        verifier.verify(issuer.mint("a", audience="db", headers={"kid": None}), NOW)
    )
    assert principal.key_id == issuer.key.id
    assert verifier.still_valid(principal, NOW) is None
    assert refused(verifier.verify(issuer.mint("a", audience="db"), NOW)) == "unknown_key"


def test_without_keys_nothing_is_accepted(trusted: TrustedIssuer, ring: Any) -> None:
    """Before the first refresh every token is refused, and the refusal says a refresh may help."""
    verifier = Verifier([trusted])
    answer = verifier.verify(mint(ring), NOW)
    assert refused(answer) == "keys_unavailable"
    assert isinstance(answer, Rejection)
    assert answer.unknown_key
    assert answer.issuer == "main"
    assert verifier.needs_refresh()
    verifier.refresh(answer.issuer)
    assert not verifier.needs_refresh()
    accepted(verifier.verify(mint(ring), NOW))


def test_keys_that_cannot_be_read_refuse(ring: Any, trusted: TrustedIssuer, tmp_path: Path) -> None:
    """An unreadable key file never raises; it refuses and is named among the problems."""
    verifier = Verifier([replace(trusted, keys=str(tmp_path / "missing.json"))])
    verifier.refresh()
    assert refused(verifier.verify(mint(ring), NOW)) == "keys_unavailable"
    assert verifier.problems() == {"main": "is not a file"}


def test_no_issuer_trusts_nobody(ring: Any) -> None:
    """A verifier without issuers refuses every token."""
    verifier = Verifier(())
    verifier.refresh()
    assert not verifier.needs_refresh()
    assert refused(verifier.verify(mint(ring), NOW)) == "unknown_issuer"


def test_refresh_of_a_strange_issuer_is_an_error(verifier: Verifier) -> None:
    """A misspelt issuer is told at once, not silently left out."""
    with pytest.raises(ValueError, match="no such issuer"):
        verifier.refresh("mian")


@pytest.mark.parametrize(
    "changes",
    [
        {"algorithms": ()},
        {"algorithms": ("none",)},
        {"algorithms": ("ES256", "HS256")},
        {"algorithms": ("RS512",)},
        {"audiences": ()},
        {"audiences": ("warehouse", "")},
        {"issuer": ""},
        {"name": ""},
        {"leeway": -1},
        {"leeway": float("nan")},
        {"leeway": float("inf")},
        {"max_lifetime": -1},
        {"max_lifetime": float("nan")},
        {"keys": "http://keys.example/jwks"},
        {"keys": "", "issuer": "urn:main"},
        {"tokens": "refresh"},
        {"token_types": ()},
        {"provider": "nobody"},
    ],
)
def test_an_issuer_that_would_weaken_the_check_is_refused(
    trusted: TrustedIssuer, changes: dict[str, Any]
) -> None:
    """No verifier is made with an issuer that could not be checked as meant."""
    with pytest.raises(ValueError, match=r"issuer|key|http|provider"):
        Verifier([replace(trusted, **changes)])


@pytest.mark.parametrize("changes", [{"name": "second"}, {"issuer": "https://second.test"}])
def test_issuers_that_share_a_name_are_refused(
    trusted: TrustedIssuer, changes: dict[str, str]
) -> None:
    """Two issuers may share neither their name nor their iss."""
    with pytest.raises(ValueError, match="twice"):
        Verifier([trusted, replace(trusted, **changes)])


# The re-check


def test_principal_goes_on_until_it_expires(ring: Any, verifier: Verifier) -> None:
    """A principal is valid until its expiry and the leeway have passed, and no longer."""
    principal = accepted(verifier.verify(mint(ring), NOW))
    assert verifier.still_valid(principal, NOW) is None
    assert verifier.still_valid(principal, NOW + 329.9) is None
    assert refused(verifier.still_valid(principal, NOW + 330)) == "expired"
    assert refused(verifier.still_valid(principal, float("nan"))) == "expired"


def test_principal_ends_with_its_key(jwks_file: Path) -> None:
    """Who was verified by a withdrawn key is refused; a rotation alone refuses nobody."""
    issuer = TokenIssuer(clock=lambda: NOW)
    issuer.write_jwks(jwks_file)
    verifier = Verifier([TrustedIssuer("one", issuer.issuer, ("db",), str(jwks_file))])
    verifier.refresh()
    principal = accepted(verifier.verify(issuer.mint("a", audience="db"), NOW))
    issuer.rotate("EdDSA")
    issuer.write_jwks(jwks_file)
    verifier.refresh()
    assert verifier.still_valid(principal, NOW) is None
    issuer.withdraw()
    issuer.write_jwks(jwks_file)
    verifier.refresh()
    assert refused(verifier.still_valid(principal, NOW)) == "key_withdrawn"


def test_a_new_key_under_an_old_name_is_another_key(jwks_file: Path) -> None:
    """An issuer that uses a kid again does not revive who was verified by the old key."""
    issuer = TokenIssuer(clock=lambda: NOW)
    verifier = Verifier([TrustedIssuer("one", issuer.issuer, ("db",), str(jwks_file))])

    def publish() -> str:
        jwks_file.write_text(json.dumps({"keys": [issuer.key.jwk() | {"kid": "1"}]}))
        verifier.refresh()
        return issuer.mint("a", audience="db", headers={"kid": "1"})

    old = accepted(verifier.verify(publish(), NOW))
    issuer.rotate()
    new = accepted(verifier.verify(publish(), NOW))
    assert refused(verifier.still_valid(old, NOW)) == "key_withdrawn"
    assert verifier.still_valid(new, NOW) is None


def test_principal_ends_when_the_keys_are_gone(
    ring: Any, trusted: TrustedIssuer, clock: Any
) -> None:
    """After the bounded stale use nobody goes on, and a refresh brings them back."""
    verifier = Verifier([trusted], clock=clock)
    verifier.refresh()
    principal = accepted(verifier.verify(mint(ring), NOW))
    clock.pass_by(3601)
    answer = verifier.still_valid(principal, NOW)
    assert refused(answer) == "keys_unavailable"
    assert answer is not None
    assert answer.unknown_key
    verifier.refresh(principal.issuer)
    assert verifier.still_valid(principal, NOW) is None


def test_principal_of_nobody_trusted(verifier: Verifier) -> None:
    """A principal of an issuer that is not trusted is refused, whoever made it."""
    stranger = Principal("https://evil.test", "root", frozenset({"admins"}), NOW + 300)
    assert refused(verifier.still_valid(stranger, NOW)) == "unknown_issuer"


# Never


ANYTIME = settings(
    deadline=None, max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"


@ANYTIME
@given(data=st.data(), algorithm=st.sampled_from(["RS256", "PS256", "ES256", "ES384", "EdDSA"]))
def test_no_edited_token_is_accepted(
    ring: Any, verifier: Verifier, data: st.DataObject, algorithm: str
) -> None:
    """However its text is cut, filled or changed, another text than the signed one is refused."""
    token = mint(ring, key=ring.keys[algorithm])
    start = data.draw(st.integers(0, len(token)))
    end = data.draw(st.integers(start, min(len(token), start + 3)))
    filling = data.draw(st.text(LETTERS + ".=+/ \n\0é", max_size=3))
    edited = token[:start] + filling + token[end:]
    assume(edited != token)
    refused(verifier.verify(edited, NOW))


@pytest.mark.parametrize("part", [0, 1, 2])
@pytest.mark.parametrize("algorithm", ["RS256", "PS256", "ES256", "EdDSA"])
def test_no_flipped_bit_is_accepted(
    ring: Any, verifier: Verifier, algorithm: str, part: int
) -> None:
    """Each single bit of header, payload and signature, changed and well encoded, is refused."""
    parts = mint(ring, key=ring.keys[algorithm]).split(".")
    good = base64.urlsafe_b64decode(parts[part] + "==")
    for place in range(len(good) * 8):
        raw = bytearray(good)
        raw[place // 8] ^= 1 << place % 8
        parts[part] = base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
        refused(verifier.verify(".".join(parts), NOW))


@ANYTIME
@given(st.lists(st.integers(0, 2), min_size=3, max_size=3))
def test_no_mixture_of_tokens_is_accepted(ring: Any, verifier: Verifier, order: list[int]) -> None:
    """Segments of different good tokens never make another good one."""
    tokens = [
        ring.issuer.mint(name, audience="warehouse", headers={"x5t": name}).split(".")
        for name in ("alice", "bob", "carol")
    ]
    assume(len(set(order)) > 1)
    mixed = ".".join(tokens[which][place] for place, which in enumerate(order))
    refused(verifier.verify(mixed, NOW))


@ANYTIME
@given(st.one_of(st.text(), st.text(LETTERS + "."), st.binary(), st.none(), st.integers()))
def test_nothing_else_is_accepted_or_raises(verifier: Verifier, token: Any) -> None:
    """Any other object in the token's place is refused without an exception."""
    refused(verifier.verify(token, NOW))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3)
    ),
    max_leaves=6,
)
KNOWN = st.sampled_from(["sub", "aud", "exp", "iat", "nbf", "jti", "groups", "cnf", "act", "iss"])


@ANYTIME
@given(st.dictionaries(KNOWN, JSON, min_size=1, max_size=3))
def test_claims_of_any_form_never_bend_a_principal(
    ring: Any, verifier: Verifier, changes: dict[str, Any]
) -> None:
    """Whatever a signed token claims, it is refused by a known code or gives a sound principal."""
    payload = {
        "iss": ring.issuer.issuer,
        "sub": "alice",
        "aud": "warehouse",
        "iat": NOW,
        "exp": NOW + 300,
    }
    header = {"typ": "at+jwt", "alg": "ES256", "kid": ring.issuer.key.id}
    answer = verifier.verify(ring.issuer.sign(header, payload | changes), NOW)
    if isinstance(answer, Rejection):
        assert answer.reason in REASONS
        assert answer.reason != "unverifiable"
        return
    assert answer.issuer == ring.issuer.issuer
    assert isinstance(answer.subject, str)
    assert answer.subject
    assert NOW - 30 < answer.expires_at <= NOW + 86430
    assert answer.groups == frozenset(changes.get("groups", []))
    assert not {"cnf", "act"} & set(changes)


@ANYTIME
@given(st.text(max_size=40))
def test_a_rejection_shows_nothing_of_the_token(ring: Any, verifier: Verifier, text: str) -> None:
    """No value of a claim or of the header gets into a rejection."""
    # A mark that no sentence of ours has: "a number" alone could be ours or the token's.
    secret = f"\u2620{text}\u2620"
    for name in ("sub", "aud", "exp", "iat", "nbf", "jti", "groups", "cnf", "iss"):
        answer = verifier.verify(mint(ring, claims={name: secret, "act": secret}), NOW)
        assert isinstance(answer, Rejection)
        assert "\u2620" not in f"{answer.reason} {answer.message} {answer.issuer}"
    for name in ("kid", "typ", "alg", "jku", "cty"):
        answer = verifier.verify(mint(ring, headers={name: secret}), NOW)
        assert isinstance(answer, Rejection)
        assert "\u2620" not in f"{answer.reason} {answer.message} {answer.issuer}"


def test_the_universe_has_no_weak_algorithm() -> None:
    """What a policy may allow has no `none`, no HMAC, and no more than was thought through."""
    assert ALGORITHMS == ("RS256", "PS256", "ES256", "ES384", "EdDSA", "Ed25519")
