"""An issuer of tokens inside the process, for tests, demos and your own unit tests.

A policy trusts it as it trusts any issuer: give its ``issuer`` and the file or the URL of
its keys. Nothing is faked: tokens are signed, and the guard verifies them as always.

    issuer = TokenIssuer()
    issuer.write_jwks(tmp_path / "jwks.json")  # the policy: keys = "jwks.json"
    token = issuer.mint("alice", ["analysts"], audience="warehouse")

What must be refused is as easily made: ``lifetime=-60`` has expired, ``key=SigningKey.make()``
signs with a key nobody publishes, ``claims={"aud": None}`` leaves the audience out.
"""

from __future__ import annotations

import base64
import json
import os
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from tracewall.identity.keys import canonical, thumbprint

__all__ = ["ServedIssuer", "SigningKey", "TokenIssuer"]


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A private key: ``algorithm`` it signs by, ``id`` its ``kid`` (the RFC 7638 thumbprint)."""

    algorithm: str
    id: str
    private: Any = field(repr=False)

    @classmethod
    def make(cls, algorithm: str = "ES256") -> SigningKey:
        """Make a key for RS256, PS256, ES256, ES384, EdDSA or Ed25519 (else ValueError)."""
        private = _private(algorithm)
        return cls(algorithm, thumbprint(_public(algorithm, private)), private)

    def jwk(self) -> dict[str, Any]:
        """Return the public half as a JSON Web Key."""
        public = _public(self.algorithm, self.private)
        return public | {"kid": self.id, "use": "sig", "alg": self.algorithm}

    def sign(self, data: bytes) -> bytes:
        """Return the signature over `data`, as a JSON Web Signature has it."""
        signature: bytes = _scheme(self.algorithm).sign(data, self.private)
        return signature


class TokenIssuer:
    """Issues tokens that a `tracewall.identity.Verifier` accepts, and others on purpose.

    ``issuer`` becomes the tokens' ``iss``; ``algorithm`` is that of the first key;
    ``clock`` gives seconds since the epoch. Keys are made fresh and live in memory only.

    Example:
        >>> issuer = TokenIssuer()
        >>> token = issuer.mint("alice", ["analysts"], audience="warehouse")
        >>> len(issuer.jwks()["keys"])
        1
    """

    def __init__(
        self,
        issuer: str = "https://issuer.test",
        algorithm: str = "ES256",
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.issuer = issuer
        self._clock = clock
        self._keys = [SigningKey.make(algorithm)]

    @property
    def key(self) -> SigningKey:
        """The key that signs now."""
        return self._keys[-1]

    def jwks(self) -> dict[str, Any]:
        """Return the JSON Web Key Set with every key that is published."""
        return {"keys": [key.jwk() for key in self._keys]}

    def write_jwks(self, path: str | os.PathLike[str]) -> None:
        """Write the key set to a file, in one step for whoever reads it."""
        target = Path(path)
        draft = target.with_name(f".{target.name}.{uuid.uuid4().hex}")
        draft.write_text(json.dumps(self.jwks()), encoding="utf-8")
        draft.replace(target)

    def rotate(self, algorithm: str | None = None) -> SigningKey:
        """Sign with a new key from now on; the old ones stay published until `withdraw`.

        ``algorithm`` defaults to that of the present key.
        """
        self._keys.append(SigningKey.make(algorithm or self.key.algorithm))
        return self.key

    def withdraw(self) -> None:
        """Publish the present key only."""
        self._keys = [self.key]

    def mint(
        self,
        subject: str,
        groups: Sequence[str] = (),
        *,
        audience: str | Sequence[str],
        lifetime: float = 300,
        claims: Mapping[str, Any] | None = None,
        headers: Mapping[str, Any] | None = None,
        key: SigningKey | None = None,
    ) -> str:
        """Return a signed access token (RFC 9068, ``at+jwt``).

        ``groups`` becomes the claim of that name; ``lifetime`` is in seconds from now,
        negative for a token that has expired. ``claims`` and ``headers`` are laid over the
        usual ones, None takes one away. ``key`` signs in the present key's place.

        Example:
            >>> issuer = TokenIssuer()
            >>> anonymous = issuer.mint("", audience="db", claims={"sub": None})
        """
        key, now = key or self.key, int(self._clock())
        payload = {
            "iss": self.issuer,
            "sub": subject,
            "aud": audience if isinstance(audience, str) else list(audience),
            "iat": now,
            "exp": now + lifetime,
            "jti": uuid.uuid4().hex,
            "groups": list(groups),
        }
        header = {"typ": "at+jwt", "alg": key.algorithm, "kid": key.id}
        return self.sign(_laid_over(header, headers), _laid_over(payload, claims), key=key)

    def sign(
        self,
        header: Mapping[str, Any] | bytes,
        payload: Mapping[str, Any] | bytes,
        *,
        key: SigningKey | None = None,
    ) -> str:
        """Return a token with exactly this header and payload, for tests of malformed ones.

        Bytes are taken as they are, mappings become JSON. The signature is right.
        """
        signed = b".".join(_segment(_json(part)) for part in (header, payload))
        return (signed + b"." + _segment((key or self.key).sign(signed))).decode("ascii")

    @contextmanager
    def serve(self) -> Iterator[ServedIssuer]:
        """Serve the key set and the discovery document over http on the loopback interface.

        The documents are made anew for each request, so a rotation shows at once. The
        discovery document says `issuer`: assign the server's ``url`` to it where a client
        compares the two.

        Example:
            >>> issuer = TokenIssuer()
            >>> with issuer.serve() as served:
            ...     served.jwks_url.startswith("http://127.0.0.1:")
            True
        """
        served = ServedIssuer(self)
        thread = threading.Thread(target=served.run, name="tracewall-issuer", daemon=True)
        thread.start()
        try:
            yield served
        finally:
            served.close()
            thread.join()


class ServedIssuer:
    """A running server of a `TokenIssuer`, made by `TokenIssuer.serve`.

    ``url`` is its base without a slash at the end, ``jwks_url`` and ``discovery_url`` are
    the documents it answers with; any other path is 404.
    """

    def __init__(self, issuer: TokenIssuer) -> None:
        self._issuer = issuer
        self._paths: list[str] = []
        served = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                served._answer(self)

            def log_message(self, format: str, *args: object) -> None:
                """Keep the server's log out of the tests' output."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self.jwks_url = f"{self.url}/jwks.json"
        self.discovery_url = f"{self.url}/.well-known/openid-configuration"

    def count(self, path: str = "/jwks.json") -> int:
        """Return how many requests for `path` came so far."""
        return self._paths.count(path)

    def run(self) -> None:
        """Answer requests until `close`; `TokenIssuer.serve` calls it in a thread."""
        self._server.serve_forever(poll_interval=0.02)

    def close(self) -> None:
        """Stop answering and free the port."""
        self._server.shutdown()
        self._server.server_close()

    def _answer(self, request: BaseHTTPRequestHandler) -> None:
        self._paths.append(request.path)
        document = self._documents().get(request.path)
        body = json.dumps(document).encode()
        request.send_response(404 if document is None else 200)
        request.send_header("Content-Type", "application/json")
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        request.wfile.write(body)

    def _documents(self) -> dict[str, dict[str, Any]]:
        discovery = {"issuer": self._issuer.issuer, "jwks_uri": self.jwks_url}
        return {
            "/jwks.json": self._issuer.jwks(),
            "/.well-known/openid-configuration": discovery,
        }


def _private(algorithm: str) -> Any:
    match algorithm:
        case "RS256" | "PS256":
            return rsa.generate_private_key(public_exponent=65537, key_size=2048)
        case "ES256":
            return ec.generate_private_key(ec.SECP256R1())
        case "ES384":
            return ec.generate_private_key(ec.SECP384R1())
        case "EdDSA" | "Ed25519":
            return ed25519.Ed25519PrivateKey.generate()
        case _:
            known = "RS256, PS256, ES256, ES384, EdDSA or Ed25519"
            raise ValueError(f"no key for the algorithm {algorithm!r}: take {known}")


def _scheme(algorithm: str) -> Any:
    return jwt.get_algorithm_by_name(canonical(algorithm))


def _public(algorithm: str, private: Any) -> dict[str, Any]:
    public: dict[str, Any] = _scheme(algorithm).to_jwk(private.public_key(), as_dict=True)
    public.pop("key_ops", None)
    return public


def _laid_over(usual: dict[str, Any], changes: Mapping[str, Any] | None) -> dict[str, Any]:
    merged = usual | dict(changes or {})
    return {name: value for name, value in merged.items() if value is not None}


def _json(part: Mapping[str, Any] | bytes) -> bytes:
    return part if isinstance(part, bytes) else json.dumps(dict(part)).encode()


def _segment(data: bytes) -> bytes:
    return base64.urlsafe_b64encode(data).rstrip(b"=")
