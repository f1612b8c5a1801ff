"""Whom requests are told to: signed, again where it failed, and without what is sensitive."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from tracewall.approval.notices import BadSecret, Teller, secret_key
from tracewall.errors import ApprovalRequired, PolicyError

KEY = b"k" * 32
SECRET = "whsec_" + base64.b64encode(KEY).decode()


@pytest.fixture
def receiver() -> Iterator[Any]:
    """A server that fails at first, then keeps what is posted."""
    got: list[tuple[dict[str, str], bytes]] = []
    failures = [500]
    enough = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            code = failures.pop() if failures else 204
            if code == 204:
                got.append(({name.lower(): value for name, value in self.headers.items()}, body))
            self.send_response(code)
            self.end_headers()
            if len(got) == 2:
                enough.set()

        def log_message(self, *_: object) -> None: ...

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/", got, enough
        server.shutdown()
        thread.join()


def test_requests_are_told_signed_and_again(
    office: Any, receiver: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A webhook is signed after Standard Webhooks, tried again, and tells no statement."""
    url, got, enough = receiver
    monkeypatch.setenv("HOOK", SECRET)
    monkeypatch.setenv("CHAT", url)
    office.settings = f'webhook = "{url}"\nwebhook_secret_env = "HOOK"\nchat_env = "CHAT"\n'
    wall = office.wall()
    with office.connect(wall) as conn, pytest.raises(ApprovalRequired) as asked:
        conn.execute("select id, 'canary' from note", reason="canary")
    assert enough.wait(30)
    for headers, body in got:
        assert asked.value.request_id in body.decode() and "canary" not in body.decode()
        if "webhook-id" in headers:
            signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
            mac = base64.b64encode(hmac.new(KEY, signed, hashlib.sha256).digest()).decode()
            assert headers["webhook-signature"] == f"v1,{mac}"
            told = json.loads(body)
            assert told["type"] == "approval.requested"
            assert str(told["timestamp"]) == headers["webhook-timestamp"]
            assert told["data"].pop("expires_at") > told["timestamp"]
            assert told["data"] == {
                "id": asked.value.request_id,
                "requester": {"issuer": "https://idp.test", "subject": "ann"},
                "summary": "SELECT public.note",
                "rules": ["export"],
            }
        else:
            assert set(json.loads(body)) == {"text"}
            assert f"{asked.value.request_id} waits for approval" in json.loads(body)["text"]
        assert headers["content-type"] == "application/json"


def test_a_weak_secret_is_refused(office: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is no secret of Standard Webhooks is refused, and told by nobody."""
    for text in ("", "whsec_", SECRET[6:], "whsec_c2hvcnQ=", "whsec_!" + SECRET[7:]):
        with pytest.raises(BadSecret) as refused:
            secret_key(text)
        assert len(text) < 8 or text not in str(refused.value)
    monkeypatch.setenv("HOOK", "guess")
    office.settings = 'webhook = "https://hook.test/"\nwebhook_secret_env = "HOOK"\n'
    with pytest.raises(PolicyError, match="secret"):
        _ = office.wall().desk


@pytest.mark.parametrize(("size", "good"), [(23, False), (24, True), (64, True), (65, False)])
def test_a_secret_has_24_to_64_bytes(size: int, good: bool) -> None:
    """Standard Webhooks: a secret has between 24 and 64 bytes, both counted in."""
    text = "whsec_" + base64.b64encode(b"k" * size).decode()
    if good:
        assert secret_key(text) == b"k" * size
    else:
        with pytest.raises(BadSecret):
            secret_key(text)


def test_only_a_notice_that_failed_is_tried_again() -> None:
    """Who was told is told once, whoever else is out of reach; after the last delay it is over."""
    told: list[tuple[str, str]] = []
    over = threading.Event()

    def reached(event: str, request: Any) -> None:
        told.append(("reached", event))
        if event == "glass_broken":
            over.set()

    def out_of_reach(event: str, request: Any) -> None:
        told.append(("failed", event))
        raise OSError(event)

    tell = Teller((reached, out_of_reach), (0.0, 0.01, 0.01))
    tell("requested", None)  # type: ignore[arg-type]  # these notices look at no request
    tell("glass_broken", None)  # type: ignore[arg-type]  # the same
    assert over.wait(30)
    first = [who for who, event in told if event == "requested"]
    assert first == ["reached", "failed", "failed", "failed"]
