"""Asking the issuer whether a token is active (RFC 7662): bounded, remembered, fail closed."""

from __future__ import annotations

import base64
import json
import threading
import time
from dataclasses import replace
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import parse_qs

import pytest

from tracewall.identity import Principal, Rejection, TrustedIssuer, Verifier
from tracewall.identity.introspection import Introspection

NOW = 1_800_000_000.0
CANARY = "canary-91c2"


class Endpoint:
    """An introspection endpoint that answers as told."""

    def __init__(self, serve: Any) -> None:
        self.status, self.body = 200, json.dumps({"active": True}).encode()
        self.forms: list[dict[str, list[str]]] = []
        self.authorizations: list[str] = []
        self.held = threading.Event()
        self.held.set()
        self.url = serve(self.answer).url

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        form = request.rfile.read(int(request.headers["Content-Length"]))
        self.forms.append(parse_qs(form.decode()))
        self.authorizations.append(request.headers["Authorization"])
        self.held.wait(5)
        request.send_response(self.status)
        request.send_header("Location", self.url)
        request.send_header("Content-Length", str(len(self.body)))
        request.end_headers()
        request.wfile.write(self.body)


@pytest.fixture
def endpoint(serve: Any) -> Endpoint:
    """Return an endpoint that finds every token active."""
    return Endpoint(serve)


@pytest.fixture
def verifier(
    endpoint: Endpoint, trusted: TrustedIssuer, clock: Any, monkeypatch: pytest.MonkeyPatch
) -> Verifier:
    """Return a verifier that asks it."""
    monkeypatch.setenv("CLIENT_SECRET", "s:e cret")
    asked = Introspection(endpoint.url, "wall/1", "CLIENT_SECRET", lasts=30.0)
    made = Verifier([replace(trusted, introspection=asked)], clock=clock, timeout=2.0)
    made.refresh()
    return made


@pytest.fixture
def token(ring: Any) -> str:
    """Return a token of alice."""
    return str(ring.issuer.mint("alice", audience="warehouse"))


def reason(answer: Principal | Rejection | None) -> str:
    """Return a rejection's reason, empty for none."""
    return answer.reason if isinstance(answer, Rejection) else ""


def principal(verifier: Verifier, token: str) -> Principal:
    """Return the principal of a token that the issuer stands by."""
    verifier.renew(token, NOW)
    found = verifier.verify(token, NOW)
    assert isinstance(found, Principal)
    return found


def test_a_token_counts_only_after_the_issuer_was_asked(
    verifier: Verifier, endpoint: Endpoint, token: str
) -> None:
    """Verifying never asks; it says that asking could help, and then it does."""
    answer = verifier.verify(token, NOW)
    assert isinstance(answer, Rejection)
    assert (answer.reason, answer.unknown_key) == ("introspection_unavailable", True)
    assert endpoint.forms == []
    principal(verifier, token)
    assert endpoint.forms == [{"token": [token], "token_type_hint": ["access_token"]}]
    scheme, _, pair = endpoint.authorizations[0].partition(" ")
    assert (scheme, base64.b64decode(pair)) == ("Basic", b"wall%2F1:s%3Ae%20cret")


def test_a_forged_token_is_never_sent(verifier: Verifier, endpoint: Endpoint, ring: Any) -> None:
    """Only what the issuer signed is asked about."""
    verifier.renew(ring.issuer.mint("alice", audience="warehouse", key=ring.stranger), NOW)
    verifier.renew("nonsense", NOW)
    assert endpoint.forms == []


def test_an_answer_holds_for_its_time(
    verifier: Verifier, endpoint: Endpoint, token: str, clock: Any
) -> None:
    """Asked again after half of the time, and refused when all of it is over."""
    found = principal(verifier, token)
    assert not verifier.needs_asking(found)
    verifier.renew(token, NOW)
    assert len(endpoint.forms) == 1
    clock.pass_by(16)
    assert verifier.needs_asking(found)
    assert verifier.still_valid(found, NOW) is None
    verifier.renew(token, NOW)
    assert len(endpoint.forms) == 2
    clock.pass_by(31)
    assert reason(verifier.still_valid(found, NOW)) == "introspection_unavailable"


def test_a_token_that_the_issuer_took_back_is_refused(
    verifier: Verifier, endpoint: Endpoint, token: str, clock: Any
) -> None:
    """With the next answer a running principal ends."""
    found = principal(verifier, token)
    endpoint.body = b'{"active": false}'
    clock.pass_by(16)
    verifier.renew(token, NOW)
    assert reason(verifier.still_valid(found, NOW)) == "inactive"
    assert reason(verifier.verify(token, NOW)) == "inactive"


def test_an_answer_about_somebody_else_is_no_answer_for_this_one(
    verifier: Verifier, endpoint: Endpoint, token: str
) -> None:
    """Where the issuer names a subject, it must be the token's."""
    endpoint.body = b'{"active": true, "sub": "bob"}'
    verifier.renew(token, NOW)
    assert reason(verifier.verify(token, NOW)) == "inactive"


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (200, b"true"),
        (200, b'{"active": "true"}'),
        (200, b'{"active": 1}'),
        (200, b"{}"),
        (200, b"[true]"),
        (200, b"<html>"),
        (200, b"[" * 50_000),
        (200, b'{"active": true, "x": "' + b"x" * 70_000 + b'"}'),
        (200, b"\xff"),
        (201, b'{"active": true}'),
        (302, b'{"active": true}'),
        (307, b'{"active": true}'),
        (401, b'{"active": true}'),
        (500, CANARY.encode()),
    ],
)
def test_what_is_no_answer_refuses(
    verifier: Verifier, endpoint: Endpoint, token: str, status: int, body: bytes
) -> None:
    """Whatever else comes, the token is not believed, and nothing of it shows."""
    endpoint.status, endpoint.body = status, body
    verifier.renew(token, NOW)
    assert reason(verifier.verify(token, NOW)) == "introspection_unavailable"
    problem = verifier.problems()["main"]
    assert problem.startswith("introspection ")
    assert not any(part in problem for part in (*token.split("."), CANARY, "cret"))


def test_an_outage_is_survived_as_long_as_the_last_answer(
    verifier: Verifier, endpoint: Endpoint, token: str, clock: Any
) -> None:
    """While the endpoint is down the last answer holds, then it is over: fail closed."""
    found = principal(verifier, token)
    endpoint.status = 503
    clock.pass_by(29)
    verifier.renew(token, NOW)
    assert verifier.still_valid(found, NOW) is None
    clock.pass_by(2)
    verifier.renew(token, NOW)
    assert reason(verifier.still_valid(found, NOW)) == "introspection_unavailable"
    endpoint.status = 200
    clock.pass_by(2)
    verifier.renew(token, NOW)
    assert verifier.still_valid(found, NOW) is None
    assert verifier.problems() == {}


def test_an_endpoint_that_fails_is_left_alone_for_a_while(
    verifier: Verifier, endpoint: Endpoint, token: str, clock: Any
) -> None:
    """A failure is not repeated by every statement."""
    endpoint.status = 500
    for _ in range(5):
        verifier.renew(token, NOW)
    assert len(endpoint.forms) == 1
    clock.pass_by(1.1)
    verifier.renew(token, NOW)
    assert len(endpoint.forms) == 2


def test_threads_share_one_answer(verifier: Verifier, endpoint: Endpoint, token: str) -> None:
    """Many at once about one token: one request, and all of them get its answer."""
    endpoint.held.clear()
    found: list[str] = []

    def ask() -> None:
        verifier.renew(token, NOW)
        found.append(reason(verifier.verify(token, NOW)))

    threads = [threading.Thread(target=ask) for _ in range(6)]
    for thread in threads:
        thread.start()
    ends = time.monotonic() + 5
    while not endpoint.forms and time.monotonic() < ends:
        time.sleep(0.005)
    endpoint.held.set()
    for thread in threads:
        thread.join()
    assert found == [""] * 6
    assert len(endpoint.forms) == 1


def test_a_missing_secret_refuses(
    verifier: Verifier, endpoint: Endpoint, token: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the client's secret nothing is asked."""
    monkeypatch.delenv("CLIENT_SECRET")
    verifier.renew(token, NOW)
    assert reason(verifier.verify(token, NOW)) == "introspection_unavailable"
    assert "CLIENT_SECRET" in verifier.problems()["main"]
    assert endpoint.forms == []


@pytest.mark.parametrize("url", ["http://issuer.test/introspect", "ftp://x", "introspect"])
def test_an_endpoint_that_may_not_be_asked_is_an_error(trusted: TrustedIssuer, url: str) -> None:
    """A token is never sent in clear, nor the client's secret."""
    asked = Introspection(url, "wall", "CLIENT_SECRET")
    with pytest.raises(ValueError, match="URL"):
        Verifier([replace(trusted, introspection=asked)])


def test_an_answer_must_last(trusted: TrustedIssuer) -> None:
    """A time of 0 would refuse everything, so it is an error."""
    asked = Introspection("https://issuer.test/introspect", "wall", "CLIENT_SECRET", lasts=0)
    with pytest.raises(ValueError, match="last"):
        Verifier([replace(trusted, introspection=asked)])
