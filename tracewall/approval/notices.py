"""Telling people that something waits: webhooks, in a thread of their own.

1. A webhook is signed after Standard Webhooks: whoever gets it can tell that it is ours.
2. Neither says what the statement is, nor any parameter or reason: these are for approvers,
   who see them by the command line.
3. What can't be delivered is tried again a few times, later and later, then given up: the
   request is kept in any case.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import os
import queue
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from typing import Final, TypeAlias

from tracewall.approval.request import Request

DELAYS: Final = (0.0, 1.0, 5.0, 30.0, 120.0)
"""How long (seconds) is waited before each attempt."""

_TIMEOUT = 5.0
_MOST_WAITING = 1_000
_PREFIX = "whsec_"
_EVENTS = {"requested": "approval.requested", "glass_broken": "approval.glass_broken"}

Notice: TypeAlias = Callable[[str, Request], None]


class BadSecret(ValueError):
    """A secret is not in the form of Standard Webhooks; nothing of it is told."""


def signature(secret: bytes, id: str, at: int, body: bytes) -> str:
    """Give the ``webhook-signature`` of a body (HMAC-SHA256 over ``id.timestamp.body``)."""
    signed = hmac.new(secret, f"{id}.{at}.".encode() + body, hashlib.sha256).digest()
    return f"v1,{base64.b64encode(signed).decode()}"


def secret_key(text: str) -> bytes:
    """Read ``whsec_`` and base64 of 24 to 64 bytes.

    Raises:
        BadSecret: it is none.
    """
    try:
        key = base64.b64decode(text.removeprefix(_PREFIX), validate=True)
    except binascii.Error:
        key = b""
    if not text.startswith(_PREFIX) or not 24 <= len(key) <= 64:
        raise BadSecret("a webhook's secret is whsec_ and base64 of 24 to 64 bytes")
    return key


class Webhook:
    """Posts JSON of each request to a URL, signed."""

    def __init__(self, url: str, secret: bytes) -> None:
        self._url, self._secret = url, secret

    def __call__(self, event: str, request: Request) -> None:
        """Post an event; raises what went wrong."""
        at = int(time.time())
        data = {
            "id": request.id,
            "requester": {"issuer": request.act.issuer, "subject": request.act.subject},
            "summary": request.shown.summary,
            "rules": [rule.rule for rule in request.requirements],
            "expires_at": request.expires_at,
        }
        body = json.dumps({"type": _EVENTS[event], "timestamp": at, "data": data}).encode()
        # The same id at each attempt, by which a receiver knows what it has already.
        id = f"msg_{request.id}_{event}"
        headers = {
            "webhook-id": id,
            "webhook-timestamp": str(at),
            "webhook-signature": signature(self._secret, id, at, body),
        }
        _post(self._url, body, headers)


class Chat:
    """Posts a line to a chat's incoming webhook (Slack's form), without anything sensitive."""

    def __init__(self, url: str) -> None:
        self._url = url

    def __call__(self, event: str, request: Request) -> None:
        """Post an event; raises what went wrong."""
        rules = ", ".join(rule.rule for rule in request.requirements)
        what = "waits for approval" if event == "requested" else "broke the glass: review it"
        text = f"{request.id} {what} (rule {rules}): tracewall approvals show {request.id}"
        _post(self._url, json.dumps({"text": text}).encode(), {})


class Teller:
    """Tells requests to notices in a thread of its own, with retries; a listener of a desk."""

    def __init__(self, notices: tuple[Notice, ...], delays: tuple[float, ...] = DELAYS) -> None:
        self._notices, self._delays = notices, delays
        self._waiting: queue.Queue[tuple[str, Request]] = queue.Queue(_MOST_WAITING)
        self._thread: threading.Thread | None = None
        self._pid = 0

    def __call__(self, event: str, request: Request) -> None:
        """Let it be told soon; never blocks."""
        if self._pid != os.getpid():
            # The child of a fork has no thread, and may have copied a lock that is held.
            self._waiting, self._pid = queue.Queue(_MOST_WAITING), os.getpid()
            self._thread = threading.Thread(target=self._run, name="tracewall-notice", daemon=True)
            self._thread.start()
        self._waiting.put_nowait((event, request))

    def _run(self) -> None:
        while True:
            event, request = self._waiting.get()
            left = list(self._notices)
            for delay in self._delays:
                time.sleep(delay if left else 0.0)
                left = [notice for notice in left if not _told(notice, event, request)]


def _told(notice: Notice, event: str, request: Request) -> bool:
    try:
        notice(event, request)
    except Exception:
        # A place out of reach, or a notice with a fault: either way it is tried again.
        return False
    return True


class _Stay(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: object, **__: object) -> None:
        """Follow no redirect: what is posted is for the URL of the policy alone."""


def _post(url: str, body: bytes, headers: Mapping[str, str]) -> None:
    request = urllib.request.Request(  # noqa: S310 (the policy's loader takes https only)
        url, data=body, headers={"Content-Type": "application/json", **headers}, method="POST"
    )
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), _Stay())
    try:
        with opener.open(request, timeout=_TIMEOUT) as answer:
            answer.read(1024)
    except urllib.error.HTTPError as error:
        # It holds the connection, until somebody closes it.
        error.close()
        raise
