"""Requests act under the bearer token that they bring, and under nobody else's."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tracewall import Wall, asgi, wsgi
from tracewall.identity import Principal
from tracewall.testing import SigningKey, TokenIssuer

POLICY = """
version = 1
[[issuers]]
issuer = "https://issuer.test"
audience = "app"
keys = "jwks.json"
"""


@pytest.fixture(scope="module")
def issuer() -> TokenIssuer:
    """Return the issuer that the wall trusts."""
    return TokenIssuer()


@pytest.fixture(scope="module")
def wall(issuer: TokenIssuer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Wall]:
    """Return a wall that needs no server."""
    folder = tmp_path_factory.mktemp("wall")
    issuer.write_jwks(folder / "jwks.json")
    (folder / "tracewall.toml").write_text(POLICY)
    with Wall.load(folder / "tracewall.toml") as made:
        yield made


def token(issuer: TokenIssuer, subject: str, **options: Any) -> str:
    """Mint a token for the application."""
    return issuer.mint(subject, audience="app", **options)


def who(wall: Wall) -> str:
    """Return who acts now, empty for nobody."""
    bearer = wall.acting()
    found = wall.identify(bearer) if bearer else None
    return found.subject if isinstance(found, Principal) else ""


def test_a_text_that_claims_to_be_another_is_not_that_persons_token(
    wall: Wall, issuer: TokenIssuer
) -> None:
    """Who is remembered is found by a token's letters, not by what an object says of itself."""
    good = token(issuer, "ana")

    class Alike(str):
        def __eq__(self, other: object) -> bool:
            return True

        def __hash__(self) -> int:
            return hash(good)

    with wall.acting_as(good):
        assert who(wall) == "ana"
    for purpose in (None, Alike("x")):
        with wall.acting_as(Alike("no token"), purpose):
            assert who(wall) == ""
    with wall.acting_as(Alike(good)):
        assert who(wall) == "ana"


# WSGI


class Wsgi:
    """Calls a WSGI application, and keeps what it answered."""

    def __init__(self, app: Any) -> None:
        self.app = app
        self.status = ""
        self.headers: dict[str, str] = {}

    def __call__(self, authorization: str | None = None) -> Any:
        environ = {} if authorization is None else {"HTTP_AUTHORIZATION": authorization}
        return self.app(environ, self._start)

    def _start(self, status: str, headers: list[tuple[str, str]]) -> None:
        self.status, self.headers = status, dict(headers)


@pytest.fixture
def steps(wall: Wall) -> list[str]:
    """Return who acted in each step of the last WSGI request."""
    return []


@pytest.fixture
def web(wall: Wall, steps: list[str]) -> Wsgi:
    """Return a guarded application that streams who acts."""

    class Body:
        def __iter__(self) -> Iterator[bytes]:
            steps.append(f"iter {who(wall)}")
            for _ in range(2):
                yield who(wall).encode()

        def close(self) -> None:
            steps.append(f"close {who(wall)}")

    def app(environ: Any, start: Any) -> Iterable[bytes]:
        steps.append(f"call {who(wall)}")
        start("200 OK", [])
        return Body()

    return Wsgi(wsgi.BearerMiddleware(app, wall))


def test_each_step_of_a_response_acts_under_the_token(
    wall: Wall, web: Wsgi, steps: list[str], issuer: TokenIssuer
) -> None:
    """The call, the streamed parts and the close act as the caller; the server does not."""
    body = web(f"Bearer {token(issuer, 'ana')}")
    assert who(wall) == ""
    parts = iter(body)
    for _ in range(2):
        assert next(parts) == b"ana"
        assert who(wall) == ""
    assert list(parts) == []
    body.close()
    assert who(wall) == ""
    assert steps == ["call ana", "iter ana", "close ana"]


def test_responses_that_take_turns_never_mix(web: Wsgi, issuer: TokenIssuer) -> None:
    """Two responses that one thread streams in turns each act under their own token."""
    first = iter(web(f"Bearer {token(issuer, 'ana')}"))
    second = iter(web(f"Bearer {token(issuer, 'sam')}"))
    assert [next(first), next(second), next(first), next(second)] == [b"ana", b"sam"] * 2


REFUSALS = {
    None: (401, 'Bearer realm="tracewall"'),
    "": (401, 'Bearer realm="tracewall"'),
    "Basic YTpi": (401, 'Bearer realm="tracewall"'),
    "Bearer": (400, 'Bearer realm="tracewall", error="invalid_request"'),
    "Bearer ": (400, 'Bearer realm="tracewall", error="invalid_request"'),
    "Bearer a b": (400, 'Bearer realm="tracewall", error="invalid_request"'),
    "Bearer a,b": (400, 'Bearer realm="tracewall", error="invalid_request"'),
    "Bearer é": (400, 'Bearer realm="tracewall", error="invalid_request"'),
    "Bearer a\nX: y": (400, 'Bearer realm="tracewall", error="invalid_request"'),
    "Bearer abc": (
        401,
        'Bearer realm="tracewall", error="invalid_token", error_description="malformed"',
    ),
}


@pytest.mark.parametrize("header", REFUSALS)
def test_a_request_without_a_good_token_is_challenged(
    web: Wsgi, steps: list[str], header: str | None
) -> None:
    """401 or 400 with the challenge of RFC 6750; the application hears nothing of it."""
    assert list(web(header)) == [b""]
    status, challenge = REFUSALS[header]
    assert (web.status[:3], web.headers["WWW-Authenticate"]) == (str(status), challenge)
    assert steps == []


@pytest.mark.parametrize("scheme", ["bearer", "BEARER", "Bearer  "])
def test_the_scheme_is_read_without_case(web: Wsgi, issuer: TokenIssuer, scheme: str) -> None:
    """RFC 9110: a scheme's case does not matter, and several blanks may follow."""
    assert next(iter(web(f"{scheme} {token(issuer, 'ana')}"))) == b"ana"


def test_refusals_tell_the_reason_and_nothing_of_the_token(web: Wsgi, issuer: TokenIssuer) -> None:
    """The challenge has the stable code alone."""
    bad = token(issuer, "canary", key=SigningKey.make())
    list(web(f"Bearer {bad}"))
    assert 'error_description="unknown_key"' in web.headers["WWW-Authenticate"]
    assert not any(part in json.dumps(web.headers) for part in (*bad.split("."), "canary"))
    list(web(f"Bearer {token(issuer, 'ana', lifetime=-60)}"))
    assert 'error_description="expired"' in web.headers["WWW-Authenticate"]


def test_requests_may_pass_as_nobody_where_that_is_said(wall: Wall, issuer: TokenIssuer) -> None:
    """``required=False`` lets a request without a token pass, and not one with a bad token."""

    def app(environ: Any, start: Any) -> Iterable[bytes]:
        start("200 OK", [])
        return [f"[{who(wall)}]".encode()]

    web = Wsgi(wsgi.BearerMiddleware(app, wall, required=False, realm='a"b'))
    assert list(web()) == [b"[]"]
    assert list(web("Basic YTpi")) == [b"[]"]
    assert list(web(f"Bearer {token(issuer, 'ana')}")) == [b"[ana]"]
    list(web("Bearer abc"))
    assert web.status == "401 Unauthorized"
    assert web.headers["WWW-Authenticate"].startswith('Bearer realm="a\\"b", error=')
    list(web("Bearer a b"))
    assert web.status == "400 Bad Request"


def test_a_request_without_a_token_is_nobodys_whoever_serves_it(
    wall: Wall, issuer: TokenIssuer
) -> None:
    """A server that acts under a token of its own lends it to no request."""

    def app(environ: Any, start: Any) -> Iterable[bytes]:
        return [f"[{who(wall)}]".encode()]

    async def site(scope: Any, receive: Any, send: Any) -> None:
        await send({"who": who(wall)})

    guarded = asgi.BearerMiddleware(site, wall, required=False)
    with wall.acting_as(token(issuer, "service")):
        assert list(Wsgi(wsgi.BearerMiddleware(app, wall, required=False))()) == [b"[]"]
        assert asyncio.run(request(guarded)) == [{"who": ""}]
        assert who(wall) == "service"


def test_a_header_that_is_no_latin_1_is_no_token(web: Wsgi) -> None:
    """It is answered, not raised."""
    list(web("Bearer \u0100\u0100"))
    assert web.status == "400 Bad Request"


def test_the_services_own_trouble_is_not_the_callers(issuer: TokenIssuer, tmp_path: Path) -> None:
    """Where keys are out of reach the answer is 503, and nothing is said against the token."""
    text = POLICY.replace("jwks.json", "http://127.0.0.1:1/keys")
    (tmp_path / "tracewall.toml").write_text(text)
    with Wall.load(tmp_path / "tracewall.toml") as wall:
        web = Wsgi(wsgi.BearerMiddleware(lambda environ, start: [], wall))
        list(web(f"Bearer {token(issuer, 'ana')}"))
        assert web.status == "503 Service Unavailable"
        assert "invalid_token" not in web.headers["WWW-Authenticate"]


# ASGI


async def request(
    app: Any, *authorization: str, kind: str = "http", extensions: Any = None
) -> list[dict[str, Any]]:
    """Call an ASGI application, and return what it sent."""
    sent: list[dict[str, Any]] = []
    headers = [(b"Authorization", value.encode("latin-1")) for value in authorization]
    scope = {"type": kind, "headers": headers, "extensions": extensions or {}}

    async def receive() -> dict[str, Any]:
        return {"type": f"{kind}.connect"}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)
        await asyncio.sleep(0)

    await app(scope, receive, send)
    return sent


@pytest.fixture
def site(wall: Wall) -> Any:
    """Return a guarded application that streams who acts, then works in the background."""

    async def parts() -> AsyncIterator[str]:
        for _ in range(3):
            await asyncio.sleep(0)
            yield who(wall)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        async for part in parts():
            await send({"type": "part", "who": part})
        task = asyncio.create_task(asyncio.sleep(0, who(wall)))
        await send({"type": "task", "who": await task})
        # What a framework does after the response, before the application returns.
        await send({"type": "background", "who": await asyncio.to_thread(who, wall)})

    return asgi.BearerMiddleware(app, wall)


async def test_requests_at_a_time_act_each_under_its_own_token(
    wall: Wall, site: Any, issuer: TokenIssuer
) -> None:
    """Streams, tasks and background work of one request act as its caller, all at a time."""
    names = [f"user-{at}" for at in range(8)]
    answers = await asyncio.gather(
        *(request(site, f"Bearer {token(issuer, name)}") for name in names)
    )
    for name, sent in zip(names, answers, strict=True):
        assert [message["who"] for message in sent] == [name] * 5
    assert who(wall) == ""


@pytest.mark.parametrize("header", [h for h in REFUSALS if h is not None])
async def test_a_bad_request_is_challenged(site: Any, header: str) -> None:
    """As with WSGI; the application hears nothing of it."""
    start, body = await request(site, header)
    status, challenge = REFUSALS[header]
    assert start["status"] == status
    assert dict(start["headers"])[b"www-authenticate"] == challenge.encode()
    assert body == {"type": "http.response.body", "body": b""}


async def test_two_authorization_headers_are_refused(site: Any, issuer: TokenIssuer) -> None:
    """Nobody can tell which one counts."""
    header = f"Bearer {token(issuer, 'ana')}"
    start, _ = await request(site, header, header)
    assert start["status"] == 400


async def test_a_websocket_is_denied_before_it_is_accepted(site: Any) -> None:
    """A handshake without a good token is closed, or answered where the server can do that."""
    assert await request(site, kind="websocket") == [{"type": "websocket.close", "code": 1008}]
    extensions = {"websocket.http.response": {}}
    start, body = await request(site, "Bearer abc", kind="websocket", extensions=extensions)
    assert (start["type"], start["status"]) == ("websocket.http.response.start", 401)
    assert body["type"] == "websocket.http.response.body"


async def test_a_websocket_acts_under_its_token(site: Any, issuer: TokenIssuer) -> None:
    """All of a WebSocket's messages are handled as who opened it."""
    sent = await request(site, f"Bearer {token(issuer, 'ana')}", kind="websocket")
    assert {message["who"] for message in sent} == {"ana"}


async def test_other_scopes_pass(wall: Wall) -> None:
    """Lifespan is not a request."""
    seen: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append(scope["type"])

    await asgi.BearerMiddleware(app, wall)({"type": "lifespan"}, None, None)  # type: ignore[arg-type]
    assert seen == ["lifespan"]


async def test_the_event_loop_is_not_blocked_while_keys_are_read(
    issuer: TokenIssuer, tmp_path: Path
) -> None:
    """Keys that a token needs are fetched beside the loop, and then the request is answered."""
    with issuer.serve() as served:
        (tmp_path / "tracewall.toml").write_text(POLICY.replace("jwks.json", served.jwks_url))
        with Wall.load(tmp_path / "tracewall.toml") as wall:
            threads: list[str] = []

            async def app(scope: Any, receive: Any, send: Any) -> None:
                threads.append(who(wall))

            await request(asgi.BearerMiddleware(app, wall), f"Bearer {token(issuer, 'ana')}")
            assert threads == ["ana"]
