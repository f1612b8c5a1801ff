"""Logging in with an OpenID provider: who comes in, and every way not to."""

from __future__ import annotations

import base64
import hashlib
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import pytest

from tracewall.errors import PolicyError

LOGIN = '[[console.logins]]\nissuer = "corp"\nclient_id = "console"\n'
CROSS = {"sec-fetch-site": "cross-site"}


@dataclass
class Provider:
    """A provider that logs in whom it is told to; what it says can be changed."""

    issuer: Any
    url: str = ""
    subject: str = "bob"
    groups: tuple[str, ...] = ("boss",)
    claims: dict[str, Any] = field(default_factory=dict)
    access: dict[str, Any] = field(default_factory=dict)
    metadata: dict[str, Any] = field(default_factory=dict)
    answer: dict[str, Any] = field(default_factory=dict)
    status: int = 200
    codes: dict[str, dict[str, str]] = field(default_factory=dict)
    forms: list[dict[str, str]] = field(default_factory=list)
    authorizations: list[str] = field(default_factory=list)
    asked: int = 0

    def published(self) -> dict[str, Any]:
        """Give the metadata."""
        self.asked += 1
        usual = {
            "issuer": self.url,
            "jwks_uri": f"{self.url}/jwks.json",
            "authorization_endpoint": f"{self.url}/authorize",
            "token_endpoint": f"{self.url}/token",
            "subject_types_supported": ["public"],
        }
        return {k: v for k, v in {**usual, **self.metadata}.items() if v is not None}

    def log_in(self, address: str, **changed: str | None) -> str:
        """Do what a browser and its user do at the provider: give the query they come back with."""
        asked = dict(parse_qsl(urlsplit(address).query))
        code = f"code-{len(self.codes)}"
        self.codes[code] = asked
        back = {"code": code, "state": asked["state"], "iss": self.url, **changed}
        return urlencode({name: value for name, value in back.items() if value is not None})

    def redeem(self, form: dict[str, str]) -> dict[str, Any]:
        """Give the tokens for a code, once; RFC 7636 is kept."""
        self.forms.append(form)
        asked = self.codes.pop(form.get("code", ""), None)
        if asked is None:
            return {"error": "invalid_grant"}
        digest = hashlib.sha256(form["code_verifier"].encode()).digest()
        challenge = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
        assert (asked["code_challenge"], asked["code_challenge_method"]) == (challenge, "S256")
        assert asked["redirect_uri"] == form["redirect_uri"]
        own = {"nonce": asked["nonce"], **self.claims}
        id_token = self.issuer.mint(
            self.subject,
            self.groups,
            audience="console",
            claims=own,
            headers={"typ": "JWT"},
        )
        access = self.issuer.mint(
            self.subject, self.groups, **{"audience": "notes", "claims": self.access}
        )
        usual = {"token_type": "Bearer", "id_token": id_token, "access_token": access}
        return {k: v for k, v in {**usual, **self.answer}.items() if v is not None}


@pytest.fixture
def provider(office: Any) -> Iterator[Provider]:
    """A provider on this machine, which is the office's issuer."""
    made = Provider(office.issuer)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            known = self.path == "/.well-known/openid-configuration"
            self._say(200 if known else 404, made.published() if known else {})

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            made.authorizations.append(self.headers.get("Authorization", ""))
            told = made.redeem(dict(parse_qsl(body)))
            self._say(400 if "error" in told else made.status, told)

        def _say(self, status: int, told: Any) -> None:
            body = json.dumps(told).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Keep the server's log out of the tests' output."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        made.url = office.issuer.issuer = f"http://127.0.0.1:{server.server_port}"
        yield made
        server.shutdown()
        thread.join()


def begun(visitor: Any, next: str = "") -> str:
    """Begin to log in, and give where the provider is."""
    answer = visitor.get(f"/login/with/corp{f'?next={next}' if next else ''}")
    assert answer.status == 303, answer.text
    return str(answer.header("location"))


def test_somebody_logs_in_with_their_provider(office: Any, provider: Provider) -> None:
    """By code, PKCE, state and nonce they come in, to the page that they wanted."""
    console = office.console(LOGIN)
    id = office.ask()
    bob = office.visitor(console)
    first = bob.get(f"/requests/{id}", headers=CROSS)
    assert first.header("location") == f"/login?next=/requests/{id}"
    assert "/login/with/corp?next=/requests/" in bob.get(f"/login?next=/requests/{id}").text
    address = begun(bob, f"/requests/{id}")
    asked = dict(parse_qsl(urlsplit(address).query))
    assert asked["redirect_uri"] == f"{office.url}/login/callback"
    assert (asked["response_type"], asked["scope"]) == ("code", "openid")
    assert len({asked["state"], asked["nonce"], asked["code_challenge"]}) == 3
    back = bob.get(f"/login/callback?{provider.log_in(address)}", headers=CROSS)
    assert (back.status, back.header("location")) == (303, f"/requests/{id}")
    assert bob.decide(id, "approve").status == 303
    by = console.house.desk.case(id).standing.approved_by
    assert [(person.issuer, person.subject) for person in by] == [(provider.url, "bob")]
    assert provider.forms[0]["client_id"] == "console" and provider.authorizations == [""]
    assert not any("away" in name for name in bob.cookies)
    assert '"console_login"' in office.written("audit/reads")


def test_a_confidential_client_shows_its_secret(
    office: Any, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the header, or in the form where the provider takes it only there."""
    monkeypatch.setenv("CONSOLE_SECRET", "s:crét")
    secret = LOGIN + 'client_secret_env = "CONSOLE_SECRET"\n'
    for ways in (None, ["client_secret_post"]):
        provider.metadata = {"token_endpoint_auth_methods_supported": ways}
        console = office.console(secret)
        bob = office.visitor(console)
        back = bob.get(f"/login/callback?{provider.log_in(begun(bob))}")
        assert back.status == 303, back.text
    told = base64.b64decode(provider.authorizations[0].removeprefix("Basic ")).decode()
    assert told == "console:s%3Acr%C3%A9t" and "client_secret" not in provider.forms[0]
    assert provider.authorizations[1] == "" and provider.forms[1]["client_secret"] == "s:crét"
    monkeypatch.delenv("CONSOLE_SECRET")
    with pytest.raises(PolicyError, match="missing"):
        office.console(secret)


def test_the_access_token_says_who_it_is_where_the_policy_wants_it(
    office: Any, provider: Provider
) -> None:
    """Then it is one that the wall itself would take, for the resource that was asked for."""
    login = LOGIN + 'token = "access"\nresource = "urn:notes"\nscopes = ["read"]\n'
    provider.claims = {"sub": "pairwise-7"}
    console = office.console(login)
    id = office.ask("bob")
    bob = office.visitor(console)
    address = begun(bob)
    asked = dict(parse_qsl(urlsplit(address).query))
    assert (asked["resource"], asked["scope"]) == ("urn:notes", "openid read")
    assert bob.get(f"/login/callback?{provider.log_in(address)}").status == 303
    assert provider.forms[0]["resource"] == "urn:notes"
    page = bob.get(f"/requests/{id}").text
    assert 'value="revoke"' in page and 'value="approve"' not in page
    provider.access = {"aud": "other"}
    eve = office.visitor(console)
    assert eve.get(f"/login/callback?{provider.log_in(begun(eve))}").status == 403
    provider.answer = {"access_token": None}
    assert eve.get(f"/login/callback?{provider.log_in(begun(eve))}").status == 403


def test_pairwise_names_are_refused(office: Any, provider: Provider) -> None:
    """A provider that names people otherwise to each client would let them approve their own."""
    provider.metadata = {"subject_types_supported": ["pairwise"]}
    bob = office.visitor(office.console(LOGIN))
    assert "names people otherwise" in bob.get("/login/with/corp").text
    bob = office.visitor(office.console(LOGIN, issued='subject_claim = "oid"'))
    provider.claims = {"oid": "bob"}
    assert bob.get(f"/login/callback?{provider.log_in(begun(bob))}").status == 303
    bob = office.visitor(office.console(LOGIN + 'token = "access"'))
    assert bob.get("/login/with/corp").status == 303


@pytest.mark.parametrize(
    "claims",
    [
        {"nonce": "another"},
        {"nonce": None},
        {"nonce": ["x"]},
        {"aud": "notes"},
        {"aud": ["console", "other"]},
        {"azp": "other"},
        {"iss": "https://evil.test"},
        {"exp": 1},
        {"sub": None},
        {"groups": 7},
        {"act": {"sub": "agent"}},
    ],
    ids=str,
)
def test_no_other_id_token_lets_in(office: Any, provider: Provider, claims: Any) -> None:
    """An ID token of another login, client, party, issuer or time is refused."""
    provider.claims = claims
    bob = office.visitor(office.console(LOGIN))
    answer = bob.get(f"/login/callback?{provider.log_in(begun(bob))}")
    assert answer.status == 403 and bob.get("/requests").status == 303
    assert not any("visit" in name for name in bob.cookies)


@pytest.mark.parametrize(
    "answer",
    [
        {"id_token": None},
        {"id_token": 7},
        {"id_token": "a.b.c"},
        {"id_token": "{access}"},
    ],
    ids=str,
)
def test_no_other_answer_lets_in(office: Any, provider: Provider, answer: Any) -> None:
    """Without an ID token, or with an access token in its place, nobody comes in."""
    if answer.get("id_token") == "{access}":
        answer = {"id_token": office.issuer.mint("bob", ["boss"], audience="console")}
    provider.answer = answer
    bob = office.visitor(office.console(LOGIN))
    assert bob.get(f"/login/callback?{provider.log_in(begun(bob))}").status == 403
    assert bob.get("/requests").status == 303


@pytest.mark.parametrize(
    "changed",
    [
        {"state": "0" * 64},
        {"state": None},
        {"state": "é"},
        {"iss": "https://evil.test"},
        {"code": None},
        {"code": "x" * 5_000},
        {"code": "guessed"},
        {"error": "access_denied", "error_description": "<script>alert(1)</script>"},
    ],
    ids=lambda changed: str(changed)[:40],
)
def test_no_other_way_back_lets_in(office: Any, provider: Provider, changed: Any) -> None:
    """An answer of another login or provider, or of none, is refused, and shows nothing of it."""
    bob = office.visitor(office.console(LOGIN))
    answer = bob.get(f"/login/callback?{provider.log_in(begun(bob), **changed)}")
    assert answer.status in (403, 414) and bob.get("/requests").status == 303
    assert "alert(" not in answer.text and "evil" not in answer.text


def test_an_answer_names_its_provider_where_it_can(office: Any, provider: Provider) -> None:
    """RFC 9207: where the provider says that it names itself, an answer without is refused."""
    bob = office.visitor(office.console(LOGIN))
    assert bob.get(f"/login/callback?{provider.log_in(begun(bob), iss=None)}").status == 303
    provider.metadata = {"authorization_response_iss_parameter_supported": True}
    bob = office.visitor(office.console(LOGIN))
    assert bob.get(f"/login/callback?{provider.log_in(begun(bob), iss=None)}").status == 403


def test_an_answer_is_for_the_browser_that_left(office: Any, provider: Provider) -> None:
    """Nobody is logged in by an answer to another browser's login (RFC 6749, 10.12)."""
    console = office.console(LOGIN)
    mallory, victim = office.visitor(console), office.visitor(console)
    query = provider.log_in(begun(mallory))
    assert victim.get(f"/login/callback?{query}", headers=CROSS).status == 403
    begun(victim)
    assert victim.get(f"/login/callback?{query}", headers=CROSS).status == 403
    assert victim.get("/requests").status == 303
    away = {name: value for name, value in mallory.cookies.items() if "away" in name}
    for broken in ("x", "", "é", *(value[:-1] + "01"[value[-1] == "0"] for value in away.values())):
        mallory.cookies |= dict.fromkeys(away, broken)
        assert mallory.get(f"/login/callback?{query}").status == 403


def test_a_login_is_used_once_and_soon(office: Any, provider: Provider, clock: Any) -> None:
    """Neither the same answer nor the same cookie lets in again, nor after ten minutes."""
    bob = office.visitor(office.console(LOGIN))
    address = begun(bob)
    away = dict(bob.cookies)
    query = provider.log_in(address)
    assert bob.get(f"/login/callback?{query}").status == 303
    assert bob.get(f"/login/callback?{query}").status == 403
    # A second code for the same state and nonce, and the cookie that was kept.
    bob.cookies = away
    assert bob.get(f"/login/callback?{provider.log_in(address)}").status == 403
    assert bob.get("/requests").status == 303
    query = provider.log_in(begun(bob))
    clock.now += 601
    assert bob.get(f"/login/callback?{query}").status == 403


def test_another_site_does_not_begin_a_login(office: Any, provider: Provider) -> None:
    """A login begins on our own page, and with a provider that the policy names."""
    bob = office.visitor(office.console(LOGIN))
    assert bob.get("/login/with/corp", headers=CROSS).status == 404
    for name in ("other", "CORP", "..", "corp%00"):
        assert bob.get(f"/login/with/{name}").status == 404


@pytest.mark.parametrize(
    "metadata",
    [
        {"issuer": "https://evil.test"},
        {"authorization_endpoint": None},
        {"authorization_endpoint": "http://evil.test/authorize"},
        {"authorization_endpoint": "javascript:alert(1)"},
        {"authorization_endpoint": "https://evil.test/a\r\nset-cookie: a=b"},
    ],
    ids=str,
)
def test_nobody_is_sent_where_it_is_not_safe(
    office: Any, provider: Provider, metadata: Any
) -> None:
    """Metadata of another issuer, or that leads out of https, sends nobody anywhere."""
    provider.metadata = metadata
    bob = office.visitor(office.console(LOGIN))
    answer = bob.get("/login/with/corp")
    assert answer.status == 503 and not answer.header("location")


def test_a_provider_that_fails_lets_nobody_in(office: Any, provider: Provider) -> None:
    """Errors of the token endpoint are told in few words, and nothing of what it said."""
    bob = office.visitor(office.console(LOGIN))
    provider.status, provider.answer = 500, {"error_description": "canary"}
    answer = bob.get(f"/login/callback?{provider.log_in(begun(bob))}")
    assert answer.status == 403 and "canary" not in answer.text
    assert bob.get("/requests").status == 303


def test_a_provider_that_is_down_is_not_asked_again_at_once(
    office: Any, provider: Provider
) -> None:
    """Who has proved nothing can't keep the console busy with asking a provider."""
    provider.metadata = {"issuer": "https://evil.test"}
    bob = office.visitor(office.console(LOGIN))
    for _ in range(5):
        assert bob.get("/login/with/corp").status == 503
    assert provider.asked == 1
