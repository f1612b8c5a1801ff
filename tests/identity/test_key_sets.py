"""Reading a JSON Web Key Set: odd keys are left out, good ones stay, fit for their purpose only."""

from __future__ import annotations

import json
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from hypothesis import given, settings
from hypothesis import strategies as st
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

from tracewall.identity import KeySet
from tracewall.identity.keys import read_key_set, thumbprint
from tracewall.testing import SigningKey

GOOD = SigningKey.make("ES256")
RSA = SigningKey.make("RS256")
WEAK = rsa.generate_private_key(public_exponent=65537, key_size=1024)


def read(*jwks: Any) -> KeySet:
    """Read a set of these keys."""
    return read_key_set(json.dumps({"keys": jwks}).encode())


def private(key: SigningKey) -> dict[str, Any]:
    """Return a key with its private half."""
    scheme = {"ES256": ECAlgorithm, "RS256": RSAAlgorithm, "EdDSA": OKPAlgorithm}[key.algorithm]
    return {**scheme.to_jwk(key.private, as_dict=True), "kid": "canary-kid"}


def without(key: SigningKey, *names: str) -> dict[str, Any]:
    """Return a public key without some of its members."""
    return {name: member for name, member in key.jwk().items() if name not in names}


UNFIT: dict[str, Any] = {
    "null": None,
    "a string": "key",
    "a list": [],
    "empty": {},
    "kty is a list": {"kty": ["RSA"]},
    "kty is an object": {"kty": {"a": 1}},
    "kty unknown": {"kty": "AKP", "alg": "ML-DSA-44", "pub": "AAAA"},
    "symmetric": {"kty": "oct", "k": "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0LXM", "alg": "HS256"},
    "symmetric, posing as RS256": {"kty": "oct", "k": "AAAA", "alg": "RS256"},
    "RSA of 1024 bits": RSAAlgorithm.to_jwk(WEAK.public_key(), as_dict=True) | {"kid": "weak"},
    "RSA without n": without(RSA, "n"),
    "RSA without e": without(RSA, "e"),
    "RSA, n is a number": RSA.jwk() | {"n": 12345},
    "RSA, n is null": RSA.jwk() | {"n": None},
    "RSA, n is no base64": RSA.jwk() | {"n": "é"},
    "RSA, e is 1": RSA.jwk() | {"e": "AQ"},
    "RSA, e is even": RSA.jwk() | {"e": "BA"},
    "RSA, e is 0": RSA.jwk() | {"e": "AA"},
    "for encryption": GOOD.jwk() | {"use": "enc", "kid": "enc"},
    "use is a list": GOOD.jwk() | {"use": ["sig"]},
    "for signing only": GOOD.jwk() | {"key_ops": ["sign"]},
    "key_ops is a string": GOOD.jwk() | {"key_ops": "verify"},
    "key_ops is null": GOOD.jwk() | {"key_ops": None},
    "alg of another kind": GOOD.jwk() | {"alg": "RS256"},
    "alg of another curve": GOOD.jwk() | {"alg": "ES384"},
    "alg is for encryption": RSA.jwk() | {"alg": "RSA-OAEP"},
    "alg never allowed": RSA.jwk() | {"alg": "RS512"},
    "alg none": RSA.jwk() | {"alg": "none"},
    "alg is a list": RSA.jwk() | {"alg": ["RS256"]},
    "alg is null": RSA.jwk() | {"alg": None},
    "kid is a number": GOOD.jwk() | {"kid": 7},
    "kid is a list": GOOD.jwk() | {"kid": ["a"]},
    "off the curve": GOOD.jwk() | {"x": GOOD.jwk()["y"]},
    "EC without y": without(GOOD, "y"),
    "EC, x too short": GOOD.jwk() | {"x": "AAAA"},
    "P-521": ECAlgorithm.to_jwk(ec.generate_private_key(ec.SECP521R1()).public_key(), as_dict=True),
    "secp256k1": ECAlgorithm.to_jwk(
        ec.generate_private_key(ec.SECP256K1()).public_key(), as_dict=True
    ),
    "crv is a list": GOOD.jwk() | {"crv": ["P-256"]},
    "Ed448": {"kty": "OKP", "crv": "Ed448", "x": "A" * 76},
    "X25519": {"kty": "OKP", "crv": "X25519", "x": "A" * 43},
    "Ed25519, x too short": {"kty": "OKP", "crv": "Ed25519", "x": "AAAA"},
    "EC, private half published": private(GOOD),
    "RSA, private half published": private(RSA),
    "RSA, d alone": RSA.jwk() | {"d": "AQAB"},
    "private half is null": GOOD.jwk() | {"d": None},
}


@pytest.mark.parametrize("odd", UNFIT.values(), ids=UNFIT)
def test_an_unfit_key_is_left_out_and_spoils_nothing(odd: Any) -> None:
    """Next to an unfit key, before or after it, a good one stays; a word says what was left out."""
    good = SigningKey.make("EdDSA")
    for keys in (read(odd, good.jwk()), read(good.jwk(), odd)):
        assert set(keys.ids) == {good.id}
        assert set(keys.named) == {good.id}
        assert len(keys.ignored) == 1
        assert keys.ignored[0].startswith("keys[")


def test_what_is_ignored_shows_no_key() -> None:
    """The word about an ignored key holds nothing of it."""
    for odd in (private(GOOD), GOOD.jwk() | {"x": "AAAA"}, GOOD.jwk() | {"alg": "canary"}):
        (word,) = read(odd).ignored
        assert not any(str(part) in word for part in odd.values() if len(str(part)) > 5)


@pytest.mark.parametrize(
    ("odd", "word"),
    [
        ("null", "not an object"),
        ("symmetric", "a kind of key that is not used here"),
        ("RSA of 1024 bits", "RSA under 2048 bits"),
        ("RSA without n", "not a readable key"),
        ("for encryption", "not for signatures"),
        ("for signing only", "not for verifying"),
        ("alg never allowed", "for an algorithm that is not used here"),
        ("kid is a number", "its kid is not a string"),
        ("EC, private half published", "its private half is published"),
    ],
)
def test_it_is_told_why_a_key_is_left_out(odd: str, word: str) -> None:
    """Each kind of unfit key has a sentence of its own, with its place in the set."""
    assert read(GOOD.jwk(), UNFIT[odd]).ignored == (f"keys[1]: {word}",)


@pytest.mark.parametrize(
    ("algorithm", "fits"),
    [
        ("RS256", {"RS256", "PS256"}),
        ("PS256", {"RS256", "PS256"}),
        ("ES256", {"ES256"}),
        ("ES384", {"ES384"}),
        ("EdDSA", {"EdDSA"}),
    ],
)
def test_a_key_verifies_what_its_kind_and_its_alg_allow(algorithm: str, fits: set[str]) -> None:
    """Without alg a key serves its kind's algorithms, with alg that one only."""
    key = SigningKey.make(algorithm)
    (plain,) = read(without(key, "alg")).ids.values()
    (bound,) = read(key.jwk()).ids.values()
    assert plain.algorithms == fits
    assert bound.algorithms == {algorithm}
    signature = key.sign(b"data")
    assert plain.verifies(algorithm, b"data", signature)
    assert bound.verifies(algorithm, b"data", signature)
    assert not bound.verifies(algorithm, b"date", signature)
    for other in fits - {algorithm}:
        signature = SigningKey(other, key.id, key.private).sign(b"data")
        assert plain.verifies(other, b"data", signature)
        assert not bound.verifies(other, b"data", signature)


def test_ed25519_is_read_under_both_names() -> None:
    """A key whose alg is RFC 9864's Ed25519 is an EdDSA key."""
    key = SigningKey.make("Ed25519")
    assert read(key.jwk()).ids[key.id].algorithms == {"EdDSA"}


def test_thumbprint_is_that_of_rfc_7638() -> None:
    """The thumbprint of the RFC's example key is the one that the RFC gives."""
    example = {
        "kty": "RSA",
        "n": (
            "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_"
            "BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_"
            "FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI"
            "4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw"
        ),
        "e": "AQAB",
        "alg": "RS256",
        "kid": "2011-04-29",
    }
    assert thumbprint(example) == "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"
    assert read(example).find("2011-04-29") is not None


def test_the_first_of_two_keys_with_one_kid_stays() -> None:
    """A kid that is there twice means its first key, and the other is told."""
    keys = read(GOOD.jwk() | {"kid": "1"}, RSA.jwk() | {"kid": "1"})
    assert set(keys.ids) == {GOOD.id}
    assert keys.ignored == ("keys[1]: its kid is taken by an earlier key",)


def test_the_same_key_twice_is_one_key() -> None:
    """A key that is listed twice is still the only one."""
    keys = read(GOOD.jwk(), GOOD.jwk())
    assert keys.ignored == ()
    assert keys.find(None) is keys.find(GOOD.id)


def test_no_name_finds_the_only_key_and_nothing_among_several() -> None:
    """Without a kid the only key is found, named or not; of several none is."""
    assert read(without(GOOD, "kid")).find(None) is not None
    assert read(GOOD.jwk()).find(None) is not None
    assert read(GOOD.jwk(), without(RSA, "kid")).find(None) is None
    assert read().find(None) is None


def test_a_key_without_a_name_is_not_found_by_one() -> None:
    """Neither its thumbprint nor an empty name finds a key that has no kid."""
    keys = read(without(GOOD, "kid"))
    assert keys.find(GOOD.id) is None
    assert keys.find("") is None
    assert read(GOOD.jwk() | {"kid": ""}).find("") is None


def test_a_key_set_is_frozen() -> None:
    """Nobody can add a key to a set that was read."""
    keys: Any = read(GOOD.jwk())
    with pytest.raises(TypeError):
        keys.named["mine"] = None
    with pytest.raises(TypeError):
        keys.ids["mine"] = None


@pytest.mark.parametrize(
    "document",
    [
        b"",
        b"<html>",
        b"null",
        b"[]",
        b"7",
        b'"keys"',
        b"{}",
        b'{"keys":null}',
        b'{"keys":{}}',
        b'{"keys":"abc"}',
        b'{"keys":[}',
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"keys":' + b"[" * 100_000,
    ],
)
def test_what_is_no_key_set_is_an_error(document: bytes) -> None:
    """A document of another form is told apart from a set without keys."""
    with pytest.raises(ValueError, match="not a JSON Web Key Set"):
        read_key_set(document)


MEMBERS = st.sampled_from(["kty", "crv", "x", "y", "n", "e", "use", "alg", "kid", "key_ops", "d"])
VALUES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.text(max_size=12)
    | st.sampled_from(["RSA", "EC", "OKP", "oct", "P-256", "P-384", "Ed25519", "sig", "AQAB"])
    | st.lists(st.text(max_size=3), max_size=2)
)


@settings(deadline=None, max_examples=300)
@given(
    st.sampled_from([GOOD.jwk(), RSA.jwk(), {}]),
    st.dictionaries(MEMBERS, VALUES, max_size=4),
)
def test_no_key_of_any_form_raises_or_spoils_the_set(
    base: dict[str, Any], changes: dict[str, Any]
) -> None:
    """Whatever a JWK looks like, reading it never raises, and the good key next to it stays."""
    good = SigningKey.make("EdDSA")
    assert good.id in read(base | changes, good.jwk()).ids
