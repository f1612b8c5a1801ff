"""Logging in with a certified OpenID provider, npm's oidc-provider.

It runs where Node is there, with the package in ``TRACEWALL_NODE_MODULES`` or where
tests/identity/test_oidc_provider.py has put it; elsewhere it is skipped.
"""

from __future__ import annotations

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

HERE = Path(__file__).parents[1] / "identity/oidc"
LOGIN = """
[[console.logins]]
issuer = "corp"
client_id = "console"
scopes = ["read"]
"""


class Stay(urllib.request.HTTPRedirectHandler):
    """Hand redirects to the test, which follows them itself."""

    def http_error_302(self, req: Any, fp: Any, code: int, msg: str, headers: Any) -> Any:
        return fp

    http_error_303 = http_error_302


@pytest.fixture
def provider() -> Iterator[str]:
    """Start the provider, and give its URL."""
    places = [
        Path(os.environ.get("TRACEWALL_NODE_MODULES") or HERE),
        HERE,
        Path(tempfile.gettempdir()) / f"tracewall-oidc-{os.getuid()}",
    ]
    found = [place for place in places if (place / "node_modules/oidc-provider").is_dir()]
    if shutil.which("node") is None or not found:
        pytest.skip("Node or npm's oidc-provider is not here")
    command = ["node", str(HERE / "provider.mjs"), str(found[0])]
    with subprocess.Popen(
        command,
        text=True,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as process:
        assert process.stdin is not None and process.stdout is not None
        yield f"http://127.0.0.1:{process.stdout.readline().strip()}"
        process.stdin.close()
        process.wait(10)


@pytest.mark.parametrize("token", ["id", "access"])
def test_a_certified_provider_logs_in(office: Any, clock: Any, provider: str, token: str) -> None:
    """The provider takes our PKCE and code, and we take its tokens, of either kind."""
    clock.now = time.time()
    office.issuer.issuer = provider
    # Its ID tokens name no groups; its access tokens do.
    console = office.console(
        f'{LOGIN}token = "{token}"\n',
        issued='audience = "traces"\ntoken_type = ["at+jwt", "JWT"]\n',
    )
    id = office.ask("svc", approvers=("analysts",))
    ana = office.visitor(console)
    url = ana.get("/login/with/corp").header("location")
    jar = urllib.request.HTTPCookieProcessor(CookieJar())
    browser = urllib.request.build_opener(urllib.request.ProxyHandler({}), jar, Stay())
    while not url.startswith(office.url):
        with browser.open(url) as answer:
            url = urllib.parse.urljoin(url, answer.headers["Location"])
    back = ana.get(url.removeprefix(office.url), headers={"sec-fetch-site": "cross-site"})
    assert (back.status, back.header("location")) == (303, "/requests"), back.text[-600:]
    assert ">ana<" in ana.get("/requests").text
    assert ana.get(f"/requests/{id}").status == (200 if token == "access" else 404)
