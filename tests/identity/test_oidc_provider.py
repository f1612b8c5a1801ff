"""A certified OpenID provider, npm's oidc-provider: what it publishes and issues is accepted.

It runs where Node is there, with the package in ``TRACEWALL_NODE_MODULES`` (a folder that
holds ``node_modules``) or got by npm within a minute; elsewhere these tests are skipped.
"""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import tempfile
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from http.cookiejar import CookieJar
from pathlib import Path
from typing import Any

import pytest

import tracewall
from tracewall import Wall
from tracewall.identity import Principal, Rejection, TrustedIssuer, Verifier

HERE = Path(__file__).parent / "oidc"


def modules() -> Path:
    """Return a folder with the provider's node_modules, or skip."""
    if shutil.which("node") is None:
        pytest.skip("Node is not here")
    given = os.environ.get("TRACEWALL_NODE_MODULES")
    for folder in (Path(given) if given else HERE, HERE):
        if (folder / "node_modules/oidc-provider").is_dir():
            return folder
    if shutil.which("npm") is None:
        pytest.skip("npm's oidc-provider is not here, nor npm")
    folder = Path(tempfile.gettempdir()) / f"tracewall-oidc-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    if (folder / "node_modules/oidc-provider").is_dir():
        return folder
    shutil.copy(HERE / "package.json", folder)
    command = ["npm", "install", "--no-audit", "--no-fund", "--ignore-scripts"]
    try:
        subprocess.run(command, cwd=folder, check=True, timeout=60, capture_output=True)
    except (subprocess.SubprocessError, OSError):
        pytest.skip("npm could not get oidc-provider")
    return folder


class Provider:
    """The running provider."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        self.url = f"http://127.0.0.1:{process.stdout.readline().strip()}"
        jar = urllib.request.HTTPCookieProcessor(CookieJar())
        self.browser = urllib.request.build_opener(urllib.request.ProxyHandler({}), jar, Stay())

    def command(self, *parts: str) -> None:
        """Rotate keys, or change manners."""
        self.browser.open(f"{self.url}/{'/'.join(parts)}").close()

    def token(self, **form: str) -> dict[str, Any]:
        """Ask the token endpoint."""
        secret = {"client_id": "svc", "client_secret": "for the tests only"}
        data = urllib.parse.urlencode(secret | form).encode()
        with self.browser.open(f"{self.url}/token", data) as answer:
            found: dict[str, Any] = json.load(answer)
        return found

    def service_token(self) -> str:
        """Get an access token by client credentials."""
        return str(self.token(grant_type="client_credentials", scope="read")["access_token"])

    def user_tokens(self) -> dict[str, Any]:
        """Log in as ana, by authorization code, and get an access token and an ID token."""
        back = "http://127.0.0.1/callback"
        query = {
            "client_id": "svc",
            "response_type": "code",
            "scope": "openid read",
            "redirect_uri": back,
            "nonce": "n-1",
        }
        url = f"{self.url}/auth?{urllib.parse.urlencode(query)}"
        while not url.startswith(back):
            with self.browser.open(url) as answer:
                url = urllib.parse.urljoin(url, answer.headers["Location"])
        code = urllib.parse.parse_qs(urllib.parse.urlsplit(url).query)["code"][0]
        return self.token(grant_type="authorization_code", code=code, redirect_uri=back)


class Stay(urllib.request.HTTPRedirectHandler):
    """Hand redirects to the test, which follows them itself."""

    def http_error_302(self, req: Any, fp: Any, code: int, msg: str, headers: Any) -> Any:
        return fp

    http_error_303 = http_error_302


@pytest.fixture(scope="module")
def running() -> Iterator[Provider]:
    """Start the provider; it ends when its input does."""
    command = ["node", str(HERE / "provider.mjs"), str(modules())]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    with subprocess.Popen(command, text=True, **pipes) as process:  # type: ignore[call-overload]
        yield Provider(process)
        process.stdin.close()
        process.wait(10)


@pytest.fixture
def provider(running: Provider) -> Iterator[Provider]:
    """Return the provider with good manners."""
    yield running
    running.command("mode", "up")


def trusting(provider: Provider, *audiences: str, **given: Any) -> Verifier:
    """Return a verifier that knows the provider's name alone."""
    trusted = TrustedIssuer("npm", provider.url, audiences or ("traces",), **given)
    made = Verifier([trusted], timeout=2.0, cooldown=0.0)
    made.refresh()
    assert made.problems() == {}
    return made


def accepted(answer: Principal | Rejection) -> Principal:
    """Return the principal of a token that must be accepted."""
    assert isinstance(answer, Principal), answer
    return answer


def test_client_credentials_and_custom_groups(provider: Provider) -> None:
    """A service's access token (at+jwt) is accepted, with the groups that the provider adds."""
    found = accepted(trusting(provider).verify(provider.service_token(), time.time()))
    assert found.issuer == provider.url
    assert found.groups == {"operators"}
    assert found.token_id


def test_an_authorization_code_gives_two_tokens_that_are_not_mixed_up(provider: Provider) -> None:
    """The access token is accepted as such, the ID token only where the policy says so."""
    tokens = provider.user_tokens()
    access = trusting(provider)
    found = accepted(access.verify(tokens["access_token"], time.time()))
    assert (found.subject, found.groups) == ("ana", {"analysts"})
    identity = trusting(provider, "svc", tokens="id", token_types=("JWT", "none"))
    assert accepted(identity.verify(tokens["id_token"], time.time())).subject == "ana"
    for verifier, token in ((access, "id_token"), (identity, "access_token")):
        assert isinstance(verifier.verify(tokens[token], time.time()), Rejection)
    wrong_audience = trusting(provider, "svc").verify(tokens["access_token"], time.time())
    assert isinstance(wrong_audience, Rejection)
    assert wrong_audience.reason == "wrong_audience"


def test_no_changed_token_of_the_provider_is_accepted(provider: Provider) -> None:
    """One letter more in the groups, and its signature is another's."""
    head, payload, signature = provider.service_token().split(".")
    claims = json.loads(base64.urlsafe_b64decode(payload + "=="))
    claims["groups"] = ["admins"]
    forged = base64.urlsafe_b64encode(json.dumps(claims).encode()).rstrip(b"=").decode()
    answer = trusting(provider).verify(f"{head}.{forged}.{signature}", time.time())
    assert isinstance(answer, Rejection)
    assert answer.reason == "bad_signature"


@pytest.mark.parametrize("manners", ["down", "hang", "garbage", "huge"])
def test_a_provider_that_misbehaves_costs_a_bounded_time(provider: Provider, manners: str) -> None:
    """Known keys go on; a new verifier has none; neither waits longer than its deadline."""
    verifier, token = trusting(provider), provider.service_token()
    provider.command("mode", manners)
    started = time.monotonic()
    verifier.refresh()
    fresh = Verifier([TrustedIssuer("npm", provider.url, ("traces",))], timeout=2.0)
    fresh.refresh()
    assert time.monotonic() - started < 20
    assert verifier.problems()["npm"]
    accepted(verifier.verify(token, time.time()))
    answer = fresh.verify(token, time.time())
    assert isinstance(answer, Rejection)
    assert answer.reason == "keys_unavailable"


POLICY = """
version = 1
[database]
conninfo = "{conninfo}"
[[issuers]]
name = "npm"
issuer = "{issuer}"
audience = "traces"
[[grants]]
groups = ["operators"]
actions = ["select"]
tables = ["traces.*"]
"""


def test_keys_rotate_while_connections_are_open(
    provider: Provider, store: Any, tmp_path: Path
) -> None:
    """RS256, ES256, EdDSA: each new key is found, each old one ends, on one open connection."""
    path = tmp_path / "tracewall.toml"
    path.write_text(POLICY.format(conninfo=store.dsn, issuer=provider.url))
    with Wall.load(path, password=lambda: store.password) as wall:
        # The cool-down is for attackers; this test has no ten seconds for each key.
        keeper = wall.verifier._by_name["npm"].keeper
        keeper._cooldown = 0.0
        with tracewall.connect(wall=wall) as conn:
            conn.autocommit = True
            old = ""
            for algorithm in ("RS256", "ES256", "EdDSA"):
                provider.command("rotate", algorithm)
                token = provider.service_token()
                head = json.loads(base64.urlsafe_b64decode(token.split(".")[0] + "=="))
                assert head["alg"] == algorithm
                keeper._turn().next_fetch = float("-inf")
                with wall.acting_as(token):
                    assert conn.execute("select 1 from traces.runs limit 1").fetchone()
                if old:
                    with wall.acting_as(old), pytest.raises(tracewall.TokenRejected) as caught:
                        conn.execute("select 1 from traces.runs limit 1")
                    assert caught.value.reason == "key_withdrawn"
                old = token
    provider.command("rotate", "RS256")
