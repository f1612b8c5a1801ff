"""The public issuer for tests: its tokens, its keys and its server."""

from __future__ import annotations

import base64
import json
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import jwt
import pytest

from tracewall.testing import SigningKey, TokenIssuer

NOW = 1_800_000_000.0


def parts(token: str) -> list[Any]:
    """Return header and claims of a token."""
    segments = token.split(".")[:2]
    return [json.loads(base64.urlsafe_b64decode(part + "==")) for part in segments]


@pytest.mark.parametrize("algorithm", ["RS256", "PS256", "ES256", "ES384", "EdDSA"])
def test_tokens_are_good_to_other_libraries(algorithm: str) -> None:
    """PyJWT alone accepts a minted token with the published key."""
    issuer = TokenIssuer(algorithm=algorithm)
    token = issuer.mint("alice", ["a"], audience="db")
    (key,) = jwt.PyJWKSet.from_dict(issuer.jwks()).keys
    claims = jwt.decode(token, key, algorithms=[algorithm], audience="db", issuer=issuer.issuer)
    assert claims["sub"] == "alice"
    assert claims["groups"] == ["a"]


def test_a_token_looks_like_rfc_9068() -> None:
    """A minted token has the header and the claims of an access token."""
    issuer = TokenIssuer("https://id.test", clock=lambda: NOW)
    header, claims = parts(issuer.mint("alice", ["a"], audience=("x", "y"), lifetime=60))
    assert header == {"typ": "at+jwt", "alg": "ES256", "kid": issuer.key.id}
    assert len(claims.pop("jti")) == 32
    assert claims == {
        "iss": "https://id.test",
        "sub": "alice",
        "aud": ["x", "y"],
        "iat": NOW,
        "exp": NOW + 60,
        "groups": ["a"],
    }


def test_claims_and_headers_are_laid_over() -> None:
    """Given members replace the usual ones, and None takes one away."""
    issuer = TokenIssuer()
    header, claims = parts(
        issuer.mint(
            "alice",
            audience="db",
            claims={"sub": "bob", "aud": None, "deep": {"a": 1}},
            headers={"kid": None, "typ": "JWT"},
        )
    )
    assert header == {"typ": "JWT", "alg": "ES256"}
    assert claims["sub"] == "bob"
    assert claims["deep"] == {"a": 1}
    assert "aud" not in claims


def test_two_tokens_differ() -> None:
    """Each token has an id of its own."""
    issuer = TokenIssuer()
    tokens = [issuer.mint("alice", audience="db") for _ in range(2)]
    assert parts(tokens[0])[1]["jti"] != parts(tokens[1])[1]["jti"]


def test_bytes_are_signed_as_they_are() -> None:
    """`sign` takes header and payload literally, malformed or not."""
    segments = TokenIssuer().sign(b"\xff", b"not json").split(".")
    assert [base64.urlsafe_b64decode(part + "==") for part in segments[:2]] == [
        b"\xff",
        b"not json",
    ]


def test_published_keys_hold_nothing_private(tmp_path: Path) -> None:
    """Neither the key set nor its file nor a repr shows a private half."""
    issuer = TokenIssuer()
    for algorithm in ("RS256", "ES384", "EdDSA"):
        issuer.rotate(algorithm)
    issuer.write_jwks(tmp_path / "jwks.json")
    assert json.loads((tmp_path / "jwks.json").read_text()) == issuer.jwks()
    assert [path.name for path in tmp_path.iterdir()] == ["jwks.json"]
    for key in issuer.jwks()["keys"]:
        assert not {"d", "p", "q", "dp", "dq", "qi", "k"} & set(key)
    assert "private" not in repr(issuer.key)


def test_rotation_keeps_old_keys_until_they_are_withdrawn() -> None:
    """A rotated key signs, the old one stays published, and withdrawing leaves the new one."""
    issuer = TokenIssuer(algorithm="RS256")
    old = issuer.key
    assert issuer.rotate().algorithm == "RS256"
    assert issuer.rotate("EdDSA") is issuer.key
    ids = [key["kid"] for key in issuer.jwks()["keys"]]
    assert len(ids) == 3
    assert old.id in ids
    issuer.withdraw()
    assert issuer.jwks() == {"keys": [issuer.key.jwk()]}


def test_an_algorithm_without_a_key_is_an_error() -> None:
    """No key is made for an algorithm that the guard never accepts."""
    for algorithm in ("none", "HS256", "RS512", ""):
        with pytest.raises(ValueError, match="no key for the algorithm"):
            SigningKey.make(algorithm)


def test_the_server_publishes_keys_and_discovery() -> None:
    """The served documents follow the issuer, requests are counted, and the end frees the port."""
    issuer = TokenIssuer()
    with issuer.serve() as served:
        issuer.issuer = served.url

        def read(url: str) -> Any:
            with urllib.request.urlopen(url, timeout=5) as answer:
                return json.loads(answer.read())

        assert read(served.discovery_url) == {"issuer": served.url, "jwks_uri": served.jwks_url}
        assert read(served.jwks_url) == issuer.jwks()
        issuer.rotate()
        assert len(read(served.jwks_url)["keys"]) == 2
        with pytest.raises(urllib.error.HTTPError) as caught:
            read(served.url + "/elsewhere")
        assert caught.value.code == 404
        caught.value.close()
        assert served.count() == 2
        assert served.count("/.well-known/openid-configuration") == 1
    with pytest.raises(urllib.error.URLError):
        read(served.jwks_url)
