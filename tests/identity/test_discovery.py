"""Keys found by the issuer's own metadata: believed only if it is the issuer's, and bounded."""

from __future__ import annotations

import json
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from typing import Any

import pytest

from tracewall.identity import Principal, Rejection, TrustedIssuer, Verifier
from tracewall.identity.discovery import Metadata
from tracewall.testing import TokenIssuer

NOW = 1_800_000_000.0


class Site:
    """A server whose documents are set by the test; a document is JSON, bytes or a status."""

    def __init__(self, serve: Any, path: str = "") -> None:
        self.documents: dict[str, Any] = {}
        self.server = serve(self.answer)
        self.root = f"http://127.0.0.1:{self.server.port}"
        self.issuer = TokenIssuer(f"{self.root}{path}", clock=lambda: NOW)
        self.metadata = {"issuer": self.issuer.issuer, "jwks_uri": f"{self.root}/keys"}
        self.documents["/keys"] = self.issuer.jwks()

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        document = self.documents.get(request.path, 404)
        body = document if isinstance(document, bytes) else json.dumps(document).encode()
        request.send_response(document if isinstance(document, int) else 200)
        request.send_header("Location", f"{self.root}/elsewhere")
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        request.wfile.write(body)

    def verifier(self, **given: Any) -> Verifier:
        trusted = TrustedIssuer("main", self.issuer.issuer, ("app",), **given)
        made = Verifier([trusted], clock=given.pop("clock", lambda: 0.0), timeout=3.0, cooldown=0.0)
        made.refresh()
        return made

    def accepted(self, verifier: Verifier) -> bool:
        answer = verifier.verify(self.issuer.mint("alice", audience="app"), NOW)
        assert isinstance(answer, Principal) or answer.reason == "keys_unavailable"
        return isinstance(answer, Principal)


@pytest.fixture
def site(serve: Any) -> Site:
    """Return an issuer without a path."""
    return Site(serve)


OPENID, OAUTH = "/.well-known/openid-configuration", "/.well-known/oauth-authorization-server"


@pytest.mark.parametrize(
    ("path", "place"),
    [
        ("", OPENID),
        ("", OAUTH),
        ("/", OPENID),
        ("/realms/shop", f"/realms/shop{OPENID}"),
        ("/realms/shop", f"{OAUTH}/realms/shop"),
        ("/realms/shop", f"{OPENID}/realms/shop"),
    ],
)
def test_metadata_is_found_at_the_well_known_places(serve: Any, path: str, place: str) -> None:
    """After OpenID Connect Discovery and RFC 8414, with and without a path, in this order."""
    site = Site(serve, path)
    site.documents[place] = site.metadata
    verifier = site.verifier()
    assert verifier.problems() == {}
    assert site.accepted(verifier)
    assert site.server.paths[-2:] == [place, "/keys"]


def test_metadata_can_be_elsewhere(site: Site) -> None:
    """``discovery`` names the place, and no other is tried."""
    site.documents["/own"] = site.metadata
    assert site.accepted(site.verifier(discovery=f"{site.root}/own"))
    assert site.server.paths == ["/own", "/keys"]


METADATA: dict[str, Callable[[Site], Any]] = {
    "of another issuer": lambda site: site.metadata | {"issuer": "https://evil.test"},
    "with a slash more": lambda site: site.metadata | {"issuer": f"{site.root}/"},
    "in another case": lambda site: site.metadata | {"issuer": site.root.upper()},
    "without an issuer": lambda site: {"jwks_uri": f"{site.root}/keys"},
    "with a list of issuers": lambda site: site.metadata | {"issuer": [site.root]},
    "without keys": lambda site: {"issuer": site.root},
    "keys as a list": lambda site: site.metadata | {"jwks_uri": [f"{site.root}/keys"]},
    "keys in a file": lambda site: site.metadata | {"jwks_uri": "file:///etc/passwd"},
    "keys by plain http elsewhere": lambda site: site.metadata | {"jwks_uri": "http://evil.test/k"},
    "keys with a user": lambda site: site.metadata | {"jwks_uri": "http://a@127.0.0.1/k"},
    "keys nowhere": lambda site: site.metadata | {"jwks_uri": f"{site.root}/gone"},
    "issuer twice": lambda site: (
        f'{{"issuer": "https://evil.test", "issuer": "{site.root}", '
        f'"jwks_uri": "{site.root}/keys"}}'.encode()
    ),
    "a list": lambda site: [site.metadata],
    "no JSON": lambda site: b"<html>",
    "deep": lambda site: b"[" * 100_000,
    "a hundred megabytes": lambda site: b" " * 100_000_000,
    "an error of the server": lambda site: 500,
    "a redirect that ends nowhere": lambda site: 302,
}


@pytest.mark.parametrize("case", METADATA)
def test_metadata_that_is_not_good_gives_no_keys(site: Site, case: str) -> None:
    """Nothing is believed but a document of this very issuer that leads to a safe place."""
    site.documents[OPENID] = METADATA[case](site)
    verifier = site.verifier()
    assert not site.accepted(verifier)
    problem = verifier.problems()["main"]
    assert problem
    assert "evil" not in problem


def test_an_error_of_the_server_is_no_reason_to_look_elsewhere(site: Site) -> None:
    """Only where there is nothing, another place is tried: a failing one may come back."""
    site.documents[OPENID] = 503
    site.documents[OAUTH] = site.metadata
    verifier = site.verifier()
    assert site.server.paths == [OPENID]
    assert not site.accepted(verifier)


def test_secure_metadata_never_leads_to_insecure_keys() -> None:
    """An issuer on https must have its keys on https, this machine's own included."""
    from tracewall.identity.discovery import _key_set
    from tracewall.identity.fetch import FetchFailed

    metadata = Metadata("https://issuer.test")
    found = {"issuer": "https://issuer.test", "jwks_uri": "http://127.0.0.1/keys"}
    with pytest.raises(FetchFailed, match="by http"):
        _key_set(json.dumps(found).encode(), metadata)


def test_keys_may_move_and_rotate(site: Site) -> None:
    """Each refresh reads the metadata again: keys that moved are found, withdrawn ones gone."""
    site.documents[OPENID] = site.metadata
    verifier = site.verifier()
    old = site.issuer.mint("alice", audience="app")
    assert isinstance(verifier.verify(old, NOW), Principal)
    for algorithm in ("RS256", "EdDSA"):
        site.issuer.rotate(algorithm)
        site.issuer.withdraw()
        del site.documents[site.metadata["jwks_uri"].removeprefix(site.root)]
        site.metadata["jwks_uri"] = f"{site.root}/{algorithm}"
        site.documents[f"/{algorithm}"] = site.issuer.jwks()
        new = site.issuer.mint("alice", audience="app")
        answer = verifier.verify(new, NOW)
        assert isinstance(answer, Rejection)
        assert answer.unknown_key
        verifier.renew(new, NOW)
        assert isinstance(verifier.verify(new, NOW), Principal)
        assert isinstance(verifier.verify(old, NOW), Rejection)
        old = new


def test_keys_stay_while_the_metadata_is_gone(site: Site) -> None:
    """What was found goes on for its bounded time."""
    site.documents[OPENID] = site.metadata
    verifier = site.verifier()
    del site.documents[OPENID]
    verifier.refresh()
    assert "metadata" in verifier.problems()["main"]
    assert site.accepted(verifier)


@pytest.mark.parametrize(
    "issuer",
    [
        "urn:issuer",
        "issuer",
        "http://issuer.test",
        "https://i.test?x",
        "https://i.test#x",
        "ftp://i",
    ],
)
def test_an_issuer_that_has_no_metadata_is_an_error(issuer: str) -> None:
    """Keys can be found only by an https URL."""
    with pytest.raises(ValueError, match=r"https|key URL"):
        Verifier([TrustedIssuer("main", issuer, ("app",))])
