"""Tokens that must not be accepted: forged, bent, replayed elsewhere, or plain strange."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Callable
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tracewall.identity import REASONS, Principal, Rejection, Verifier

NOW = 1_800_000_000.0
CANARY = "canary-5d1e77"
Forge = Callable[[Any], Any]


def mint(ring: Any, **claims: Any) -> str:
    """Mint a good token but for some claims."""
    return ring.issuer.mint(CANARY, [CANARY], audience="warehouse", claims=claims)


def headed(ring: Any, **headers: Any) -> str:
    """Mint a good token but for some header members."""
    return ring.issuer.mint(CANARY, [CANARY], audience="warehouse", headers=headers)


def claims(ring: Any) -> dict[str, Any]:
    """Return the claims of a good token."""
    return json.loads(decoded(mint(ring).split(".")[1]))


def header(ring: Any) -> dict[str, Any]:
    """Return the header of a good token."""
    return json.loads(decoded(mint(ring).split(".")[0]))


def decoded(segment: str) -> bytes:
    """Decode a segment."""
    return base64.urlsafe_b64decode(segment + "=" * (-len(segment) % 4))


def encoded(data: bytes) -> str:
    """Encode a segment."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def raw_payload(ring: Any, payload: bytes) -> str:
    """Sign any bytes as the payload."""
    return ring.issuer.sign(header(ring), payload)


def raw_header(ring: Any, head: bytes) -> str:
    """Sign any bytes as the header."""
    return ring.issuer.sign(head, claims(ring))


def with_parts(ring: Any, change: Callable[[list[str]], list[str]]) -> str:
    """Change the three segments of a good token."""
    return ".".join(change(mint(ring).split(".")))


def hmac_signed(ring: Any, secret: bytes, algorithm: str = "HS256") -> str:
    """Sign with a shared secret, under the kid of the RSA key."""
    head = header(ring) | {"alg": algorithm, "kid": ring.keys["RS256"].id}
    signed = ".".join(encoded(json.dumps(part).encode()) for part in (head, claims(ring)))
    digest = hashlib.sha256 if algorithm == "HS256" else hashlib.sha512
    return f"{signed}.{encoded(hmac.new(secret, signed.encode(), digest).digest())}"


def public_pem(ring: Any) -> bytes:
    """Return the public RSA key as PEM."""
    public = ring.keys["RS256"].private.public_key()
    return public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def spare_bits(ring: Any) -> str:
    """Spell the last character of a 64-byte signature with its unused bits set."""
    token = mint(ring)
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    return token[:-1] + letters[letters.index(token[-1]) | 1]


def der_signature(ring: Any) -> str:
    """Spell the signature as DER."""
    head, payload, signature = mint(ring).split(".")
    raw = decoded(signature)
    numbers = (int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:], "big"))
    return f"{head}.{payload}.{encoded(encode_dss_signature(*numbers))}"


def text_of(ring: Any, old: str, new: str) -> bytes:
    """Return the payload of a good token with a piece of text replaced."""
    text = json.dumps(claims(ring))
    assert old in text
    return text.replace(old, new).encode()


def signed_as(ring: Any, algorithm: str, by: str) -> str:
    """Say `algorithm`, name and use the key made for `by`."""
    key = ring.keys[by]
    return ring.issuer.mint(
        CANARY, audience="warehouse", headers={"alg": algorithm, "kid": key.id}, key=key
    )


def changed_payload(ring: Any) -> str:
    """Put other groups under a good signature."""
    payload = json.dumps(claims(ring) | {"groups": ["admins"]}).encode()
    return with_parts(ring, lambda parts: [parts[0], encoded(payload), parts[2]])


def jwk_of_stranger(ring: Any) -> str:
    """Bring the stranger's key along in the header."""
    key = ring.stranger
    return ring.issuer.mint(CANARY, audience="warehouse", headers={"jwk": key.jwk()}, key=key)


SHAPE: dict[str, tuple[Forge, str]] = {
    "none": (lambda r: None, "malformed"),
    "bytes": (lambda r: mint(r).encode(), "malformed"),
    "empty": (lambda r: "", "malformed"),
    "two segments": (lambda r: with_parts(r, lambda p: p[:2]), "malformed"),
    "four segments": (lambda r: mint(r) + ".AAAA", "malformed"),
    "five segments, as JWE": (lambda r: mint(r) + ".AAAA.AAAA", "malformed"),
    "empty header": (lambda r: with_parts(r, lambda p: ["", *p[1:]]), "malformed"),
    "empty payload": (lambda r: with_parts(r, lambda p: [p[0], "", p[2]]), "malformed"),
    "empty signature": (lambda r: with_parts(r, lambda p: [*p[:2], ""]), "malformed"),
    "over 16 KiB": (lambda r: mint(r, filler="x" * 16384), "too_large"),
    "ten megabytes": (lambda r: mint(r) + "A" * 10_000_000, "too_large"),
    "not ASCII": (lambda r: mint(r) + "é", "malformed"),
    "full-width digit": (lambda r: mint(r)[:-1] + "\uff11", "malformed"),
    "lone surrogate": (lambda r: mint(r) + "\udc80", "malformed"),
    "leading space": (lambda r: " " + mint(r), "malformed"),
    "trailing newline": (lambda r: mint(r) + "\n", "malformed"),
    "Bearer prefix": (lambda r: "Bearer " + mint(r), "malformed"),
    "padding": (lambda r: mint(r) + "==", "malformed"),
    "newline inside": (lambda r: mint(r)[:-4] + "\n" + mint(r)[-4:], "malformed"),
    "NUL inside": (lambda r: mint(r)[:-4] + "\0" + mint(r)[-4:], "malformed"),
    "plain base64 alphabet": (
        lambda r: with_parts(r, lambda p: [*p[:2], "+" + p[2][1:]]),
        "malformed",
    ),
    "spare bits set": (spare_bits, "malformed"),
    "segment of impossible length": (lambda r: with_parts(r, lambda p: [*p[:2], "A"]), "malformed"),
    "header is no JSON": (lambda r: raw_header(r, b"{alg:ES256}"), "malformed"),
    "header is a list": (lambda r: raw_header(r, b'["ES256"]'), "malformed"),
    "payload is a list": (lambda r: raw_payload(r, b"[]"), "malformed"),
    "payload is a string": (lambda r: raw_payload(r, b'"alice"'), "malformed"),
    "payload is null": (lambda r: raw_payload(r, b"null"), "malformed"),
    "two objects": (lambda r: raw_payload(r, b"{}{}"), "malformed"),
    "alg twice": (
        lambda r: raw_header(r, b'{"alg":"none","typ":"at+jwt","alg":"ES256"}'),
        "malformed",
    ),
    "sub twice": (
        lambda r: raw_payload(r, text_of(r, '"sub"', '"sub": "admin", "sub"')),
        "malformed",
    ),
    "sub twice, once escaped": (
        lambda r: raw_payload(r, text_of(r, '"sub"', '"s\\u0075b": "admin", "sub"')),
        "malformed",
    ),
    "a name twice deep inside": (
        lambda r: raw_payload(r, text_of(r, '"sub"', '"a": {"b": [{"c": 1, "c": 2}]}, "sub"')),
        "malformed",
    ),
    "exp is NaN": (lambda r: raw_payload(r, text_of(r, "1800000300", "NaN")), "malformed"),
    "exp is Infinity": (
        lambda r: raw_payload(r, text_of(r, "1800000300", "Infinity")),
        "malformed",
    ),
    "exp is 1e999": (lambda r: raw_payload(r, text_of(r, "1800000300", "1e999")), "malformed"),
    "exp of 5000 digits": (
        lambda r: raw_payload(r, text_of(r, "1800000300", "9" * 5000)),
        "malformed",
    ),
    "payload is not UTF-8": (
        lambda r: raw_payload(r, text_of(r, CANARY, "X").replace(b"X", b"\xff")),
        "malformed",
    ),
    "payload is UTF-16": (
        lambda r: raw_payload(r, json.dumps(claims(r)).encode("utf-16")),
        "malformed",
    ),
    "byte order mark": (
        lambda r: raw_payload(r, b"\xef\xbb\xbf" + json.dumps(claims(r)).encode()),
        "malformed",
    ),
    "half a surrogate pair in sub": (lambda r: mint(r, sub="a\ud800"), "malformed"),
    "half a surrogate pair in a name": (lambda r: mint(r, **{"\udfff": 1}), "malformed"),
    "nested too deeply": (
        lambda r: raw_payload(r, text_of(r, '"sub"', f'"a": {"[" * 5900}{"]" * 5900}, "sub"')),
        "malformed",
    ),
}

HEADER: dict[str, tuple[Forge, str]] = {
    "alg none, no signature": (
        lambda r: with_parts(
            r, lambda p: [encoded(json.dumps(header(r) | {"alg": "none"}).encode()), p[1], ""]
        ),
        "malformed",
    ),
    "alg none, some signature": (lambda r: headed(r, alg="none"), "wrong_algorithm"),
    "alg None": (lambda r: headed(r, alg="None"), "wrong_algorithm"),
    "alg NONE": (lambda r: headed(r, alg="NONE"), "wrong_algorithm"),
    "alg missing": (lambda r: headed(r, alg=None), "wrong_algorithm"),
    "alg empty": (lambda r: headed(r, alg=""), "wrong_algorithm"),
    "alg in lower case": (lambda r: headed(r, alg="es256"), "wrong_algorithm"),
    "alg is a list": (lambda r: headed(r, alg=["ES256"]), "malformed"),
    "alg is null": (lambda r: raw_header(r, b'{"alg":null}'), "malformed"),
    "HMAC with the public key as PEM": (
        lambda r: hmac_signed(r, public_pem(r)),
        "wrong_algorithm",
    ),
    "HMAC with the public key as JWK": (
        lambda r: hmac_signed(r, json.dumps(r.keys["RS256"].jwk()).encode()),
        "wrong_algorithm",
    ),
    "HMAC with nothing": (lambda r: hmac_signed(r, b"", "HS512"), "wrong_algorithm"),
    "an algorithm never allowed": (lambda r: headed(r, alg="RS512"), "wrong_algorithm"),
    "ES256K": (lambda r: headed(r, alg="ES256K"), "wrong_algorithm"),
    "RS256 by an EC key": (lambda r: headed(r, alg="RS256"), "wrong_algorithm"),
    "ES384 by a P-256 key": (lambda r: headed(r, alg="ES384"), "wrong_algorithm"),
    "EdDSA by an EC key": (lambda r: headed(r, alg="EdDSA"), "wrong_algorithm"),
    "PS256 by a key for RS256": (lambda r: signed_as(r, "PS256", "RS256"), "wrong_algorithm"),
    "RS256 by a key for PS256": (lambda r: signed_as(r, "RS256", "PS256"), "wrong_algorithm"),
    "brings its own key": (jwk_of_stranger, "header_not_allowed"),
    "jku": (lambda r: headed(r, jku="https://evil.test/jwks.json"), "header_not_allowed"),
    "x5u": (lambda r: headed(r, x5u="https://evil.test/cert"), "header_not_allowed"),
    "x5c": (lambda r: headed(r, x5c=["AAAA"]), "header_not_allowed"),
    "crit": (lambda r: headed(r, crit=["exp"]), "header_not_allowed"),
    "crit, empty": (lambda r: headed(r, crit=[]), "header_not_allowed"),
    "b64 false": (lambda r: headed(r, b64=False), "header_not_allowed"),
    "zip": (lambda r: headed(r, zip="DEF"), "header_not_allowed"),
    "enc": (lambda r: headed(r, enc="A256GCM"), "header_not_allowed"),
    "nested token": (lambda r: headed(r, cty="JWT"), "header_not_allowed"),
    "unknown member": (lambda r: headed(r, **{CANARY: "1"}), "header_not_allowed"),
    "kid is a number": (lambda r: headed(r, kid=1), "malformed"),
    "kid is an object": (lambda r: headed(r, kid={"a": 1}), "malformed"),
    "kid missing, many keys": (lambda r: headed(r, kid=None), "unnamed_key"),
    "kid empty": (lambda r: headed(r, kid=""), "unknown_key"),
    "kid unknown": (lambda r: headed(r, kid=CANARY), "unknown_key"),
    "kid is a path": (lambda r: headed(r, kid="../../../../dev/null"), "unknown_key"),
    "kid is SQL": (lambda r: headed(r, kid="' UNION SELECT 'key'--"), "unknown_key"),
    "kid of another key": (lambda r: headed(r, kid=r.keys["EdDSA"].id), "wrong_algorithm"),
    "typ missing": (lambda r: headed(r, typ=None), "wrong_type"),
    "typ of an ID token": (lambda r: headed(r, typ="JWT"), "wrong_type"),
    "typ of a logout token": (lambda r: headed(r, typ="logout+jwt"), "wrong_type"),
    "typ with a parameter": (lambda r: headed(r, typ="at+jwt; v=1"), "wrong_type"),
    "typ with the prefix twice": (
        lambda r: headed(r, typ="application/application/at+jwt"),
        "wrong_type",
    ),
    "typ is a number": (lambda r: headed(r, typ=1), "malformed"),
}

SIGNATURE: dict[str, tuple[Forge, str]] = {
    "a stranger's key under a known kid": (
        lambda r: r.issuer.mint(
            CANARY, audience="warehouse", headers={"kid": r.issuer.key.id}, key=r.stranger
        ),
        "bad_signature",
    ),
    "a stranger's key under its own kid": (
        lambda r: r.issuer.mint(CANARY, audience="warehouse", key=r.stranger),
        "unknown_key",
    ),
    "payload changed": (changed_payload, "bad_signature"),
    "signature of another token": (
        lambda r: with_parts(r, lambda p: [*p[:2], mint(r).split(".")[2]]),
        "bad_signature",
    ),
    "header changed": (
        lambda r: with_parts(
            r, lambda p: [encoded(json.dumps(header(r) | {"x5t": "a"}).encode()), *p[1:]]
        ),
        "bad_signature",
    ),
    "all zero (CVE-2022-21449)": (
        lambda r: with_parts(r, lambda p: [*p[:2], encoded(bytes(64))]),
        "bad_signature",
    ),
    "DER in place of raw": (der_signature, "bad_signature"),
    "one byte short": (
        lambda r: with_parts(r, lambda p: [*p[:2], encoded(decoded(p[2])[:-1])]),
        "bad_signature",
    ),
    "one byte long": (
        lambda r: with_parts(r, lambda p: [*p[:2], encoded(decoded(p[2]) + b"\0")]),
        "bad_signature",
    ),
    "RSA, all zero": (
        lambda r: ".".join([*signed_as(r, "RS256", "RS256").split(".")[:2], encoded(bytes(256))]),
        "bad_signature",
    ),
    "Ed25519, all zero": (
        lambda r: ".".join([*signed_as(r, "EdDSA", "EdDSA").split(".")[:2], encoded(bytes(64))]),
        "bad_signature",
    ),
    "Ed25519, short": (
        lambda r: ".".join([*signed_as(r, "EdDSA", "EdDSA").split(".")[:2], "AAAA"]),
        "bad_signature",
    ),
}

CLAIMS: dict[str, tuple[Forge, str]] = {
    "iss missing": (lambda r: mint(r, iss=None), "missing_claim"),
    "iss null": (lambda r: raw_payload(r, b'{"iss":null}'), "bad_claim"),
    "iss of somebody else": (lambda r: mint(r, iss="https://evil.test"), "unknown_issuer"),
    "iss with a slash": (lambda r: mint(r, iss=r.issuer.issuer + "/"), "unknown_issuer"),
    "iss in capitals": (lambda r: mint(r, iss=r.issuer.issuer.upper()), "unknown_issuer"),
    "iss by its name in the policy": (lambda r: mint(r, iss="main"), "unknown_issuer"),
    "iss is a list": (lambda r: mint(r, iss=[r.issuer.issuer]), "bad_claim"),
    "iss is an object": (lambda r: mint(r, iss={"a": 1}), "bad_claim"),
    "aud missing": (lambda r: mint(r, aud=None), "missing_claim"),
    "aud of another service": (lambda r: mint(r, aud="payroll"), "wrong_audience"),
    "aud is a longer name": (lambda r: mint(r, aud="warehouse2"), "wrong_audience"),
    "aud is a part of the name": (lambda r: mint(r, aud="ware"), "wrong_audience"),
    "aud in capitals": (lambda r: mint(r, aud="Warehouse"), "wrong_audience"),
    "aud is both in one string": (lambda r: mint(r, aud="warehouse reports"), "wrong_audience"),
    "aud is an empty list": (lambda r: mint(r, aud=[]), "wrong_audience"),
    "aud is an empty string": (lambda r: mint(r, aud=""), "wrong_audience"),
    "aud lists a number": (lambda r: mint(r, aud=["warehouse", 1]), "bad_claim"),
    "aud lists lists": (lambda r: mint(r, aud=[["warehouse"]]), "bad_claim"),
    "aud is an object": (lambda r: mint(r, aud={"warehouse": True}), "bad_claim"),
    "sub missing": (lambda r: mint(r, sub=None), "missing_claim"),
    "sub empty": (lambda r: mint(r, sub=""), "bad_claim"),
    "sub with NUL": (lambda r: mint(r, sub="alice\0admin"), "bad_claim"),
    "sub is a number": (lambda r: mint(r, sub=0), "bad_claim"),
    "sub is a list": (lambda r: mint(r, sub=["alice"]), "bad_claim"),
    "sub of 256 characters": (lambda r: mint(r, sub="a" * 256), "bad_claim"),
    "exp missing": (lambda r: mint(r, exp=None), "missing_claim"),
    "exp is a string": (lambda r: mint(r, exp="1800000300"), "bad_claim"),
    "exp is true": (lambda r: mint(r, exp=True), "bad_claim"),
    "exp is a list": (lambda r: mint(r, exp=[1800000300]), "bad_claim"),
    "exp beyond floats": (lambda r: mint(r, exp=10**400), "bad_claim"),
    "exp in milliseconds": (lambda r: mint(r, exp=int(NOW * 1000)), "lifetime"),
    "exp is zero": (lambda r: mint(r, exp=0), "expired"),
    "exp is negative": (lambda r: mint(r, exp=-NOW), "expired"),
    "expired": (lambda r: mint(r, exp=NOW - 31, iat=NOW - 400), "expired"),
    "expired by the leeway exactly": (lambda r: mint(r, exp=NOW - 30, iat=NOW - 400), "expired"),
    "iat missing": (lambda r: mint(r, iat=None), "missing_claim"),
    "iat is a string": (lambda r: mint(r, iat="1800000000"), "bad_claim"),
    "iat is false": (lambda r: mint(r, iat=False), "bad_claim"),
    "iat in the future": (lambda r: mint(r, iat=NOW + 31), "not_yet_valid"),
    "nbf in the future": (lambda r: mint(r, nbf=NOW + 31), "not_yet_valid"),
    "nbf is a string": (lambda r: mint(r, nbf="0"), "bad_claim"),
    "nbf early, iat in the future": (lambda r: mint(r, nbf=0, iat=NOW + 31), "not_yet_valid"),
    "lives too long": (lambda r: mint(r, exp=NOW + 86401), "lifetime"),
    "ends before it begins": (lambda r: mint(r, iat=NOW + 20, exp=NOW - 20), "lifetime"),
    "lives no time": (lambda r: mint(r, exp=NOW, iat=NOW), "lifetime"),
    "jti is a number": (lambda r: mint(r, jti=7), "bad_claim"),
    "jti is empty": (lambda r: mint(r, jti=""), "bad_claim"),
    "bound to a key": (lambda r: mint(r, cnf={"jkt": CANARY}), "proof_required"),
    "bound to nothing": (lambda r: mint(r, cnf={}), "proof_required"),
    "an actor": (lambda r: mint(r, act={"sub": CANARY}), "delegation"),
    "an actor who is null": (
        lambda r: raw_payload(r, text_of(r, '"sub"', '"act": null, "sub"')),
        "delegation",
    ),
    "groups elsewhere (Entra)": (
        lambda r: mint(r, groups=None, _claim_names={"groups": "src1"}),
        "groups_overage",
    ),
    "too many groups (Entra, implicit)": (
        lambda r: mint(r, groups=None, hasgroups=True),
        "groups_overage",
    ),
    "groups is a string": (lambda r: mint(r, groups="admins"), "bad_groups"),
    "groups is an empty string": (lambda r: mint(r, groups=""), "bad_groups"),
    "groups is a number": (lambda r: mint(r, groups=0), "bad_groups"),
    "groups is true": (lambda r: mint(r, groups=True), "bad_groups"),
    "groups is an object": (lambda r: mint(r, groups={"admins": True}), "bad_groups"),
    "groups is null": (
        lambda r: raw_payload(r, text_of(r, f'["{CANARY}"]', "null")),
        "bad_groups",
    ),
    "groups lists a number": (lambda r: mint(r, groups=["a", 1]), "bad_groups"),
    "groups lists null": (lambda r: mint(r, groups=["a", None]), "bad_groups"),
    "groups lists lists": (lambda r: mint(r, groups=[["admins"]]), "bad_groups"),
    "groups lists an empty name": (lambda r: mint(r, groups=[""]), "bad_groups"),
    "groups lists a name with NUL": (lambda r: mint(r, groups=["a\0b"]), "bad_groups"),
}

ATTACKS = [
    pytest.param(forge, reason, id=f"{kind}-{name}")
    for kind, table in {
        "shape": SHAPE,
        "header": HEADER,
        "signature": SIGNATURE,
        "claims": CLAIMS,
    }.items()
    for name, (forge, reason) in table.items()
]


@pytest.mark.parametrize(("forge", "reason"), ATTACKS)
def test_attack_is_refused_with_its_reason(
    ring: Any, verifier: Verifier, forge: Forge, reason: str
) -> None:
    """Each forged token is refused with its stable code, and nothing of it shows."""
    token = forge(ring)
    answer = verifier.verify(token, NOW)
    assert isinstance(answer, Rejection)
    assert answer.reason == reason
    assert answer.message.startswith(REASONS[reason])
    assert CANARY not in repr(answer)
    if isinstance(token, str) and token:
        assert not any(part in repr(answer) for part in token.split(".") if len(part) > 8)


def test_every_reason_for_a_token_is_reached_by_an_attack() -> None:
    """No code of the table is dead: attacks reach all but those of keys, faults and nobody."""
    reached = {reason for param in ATTACKS for reason in [param.values[1]]}
    assert set(REASONS) - reached == {
        "missing",
        "claim_not_allowed",
        "revoked",
        "revocations_unavailable",
        "inactive",
        "introspection_unavailable",
        "another_subject",
        "provider_failed",
        "keys_unavailable",
        "key_withdrawn",
        "unverifiable",
    }


def test_the_untouched_token_is_accepted(ring: Any, verifier: Verifier) -> None:
    """What the attacks start from is a good token, so each of them fails for its own reason."""
    assert isinstance(verifier.verify(mint(ring), NOW), Principal)
    assert isinstance(verifier.verify(raw_payload(ring, text_of(ring, "a", "a")), NOW), Principal)


@pytest.mark.parametrize("now", [float("nan"), float("inf"), "soon", None, 10**400])
def test_a_broken_clock_refuses(ring: Any, verifier: Verifier, now: Any) -> None:
    """A clock that answers nonsense never lets a token live."""
    assert isinstance(verifier.verify(mint(ring), now), Rejection)


def test_a_str_subclass_cannot_answer_twice(ring: Any, verifier: Verifier) -> None:
    """A token object that pretends to be other text is judged by the text it holds."""

    class Liar(str):
        def encode(self, *_: Any) -> bytes:
            return mint(ring).encode()

        def split(self, *_: Any) -> list[str]:  # type: ignore[override]
            return mint(ring).split(".")

    answer = verifier.verify(Liar("nothing"), NOW)
    assert isinstance(answer, Rejection)
    assert answer.reason == "malformed"


def test_what_is_unforeseen_is_a_refusal(ring: Any, verifier: Verifier) -> None:
    """An exception nobody thought of becomes `unverifiable`, not an exception."""

    class Odd(float):
        def __add__(self, other: float) -> float:
            raise LookupError(CANARY)

        __lt__ = __add__  # type: ignore[assignment]
        __gt__ = __add__  # type: ignore[assignment]

    answer = verifier.verify(mint(ring), Odd(NOW))
    assert answer == Rejection("unverifiable", REASONS["unverifiable"], "main")
