"""Where an issuer's keys are, by the metadata that it publishes of itself.

OpenID Connect Discovery 1.0 appends the well-known path to the issuer, RFC 8414 puts it
before the issuer's own path; the one is tried after the other. What comes back is
believed only if it names the issuer to the letter.
"""

from __future__ import annotations

import json
import ssl
import time
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from tracewall.identity.fetch import FetchFailed, Location, fetch, locate

_LARGEST = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Metadata:
    """The metadata of ``issuer``: at ``url``, or where it is empty at the well-known places."""

    issuer: str
    url: str = ""

    def places(self) -> tuple[Location, ...]:
        """Give where the metadata may be; ValueError where it may not be fetched from there."""
        if self.url:
            return (locate(self.url),)
        parts = urlsplit(self.issuer)
        if parts.scheme not in ("http", "https") or parts.query or parts.fragment:
            raise ValueError("an issuer without keys must be an https URL, where they are found")
        root, path = f"{parts.scheme}://{parts.netloc}", parts.path.rstrip("/")
        openid, oauth = (
            "/.well-known/openid-configuration",
            "/.well-known/oauth-authorization-server",
        )
        urls = (f"{root}{path}{openid}", f"{root}{oauth}{path}", f"{root}{openid}{path}")
        return tuple(dict.fromkeys(locate(url) for url in urls))


def discovered(
    metadata: Metadata, *, timeout: float, limit: int, tls: ssl.SSLContext | None
) -> bytes:
    """Fetch the key set that the metadata leads to, within `timeout` seconds in all.

    Raises:
        FetchFailed: there is no metadata, it is of another issuer, or leads nowhere good.
    """
    ends = time.monotonic() + timeout
    document = _document(metadata, ends, tls)
    location = _key_set(document, metadata)
    return fetch(location, timeout=ends - time.monotonic(), limit=limit, tls=tls)


def published(
    metadata: Metadata, *, timeout: float, tls: ssl.SSLContext | None = None
) -> dict[str, Any]:
    """Fetch what an issuer publishes of itself, within `timeout` seconds in all.

    Raises:
        FetchFailed: there is no metadata, or it is of another issuer.
    """
    try:
        return _of_issuer(_document(metadata, time.monotonic() + timeout, tls), metadata)
    except ValueError:
        raise FetchFailed("has metadata nowhere that may be fetched") from None


def _document(metadata: Metadata, ends: float, tls: ssl.SSLContext | None) -> bytes:
    missing = FetchFailed("has no metadata")
    for place in metadata.places():
        try:
            return fetch(place, timeout=ends - time.monotonic(), limit=_LARGEST, tls=tls)
        except FetchFailed as failed:
            # Only where there is nothing does another place make sense.
            if not 400 <= failed.status < 500:
                raise
            missing = failed
    raise FetchFailed(f"has no metadata: {missing}", missing.status)


def _of_issuer(document: bytes, metadata: Metadata) -> dict[str, Any]:
    try:
        found = json.loads(document, object_pairs_hook=_unique)
    except (ValueError, RecursionError):
        raise FetchFailed("has metadata that is not JSON") from None
    if not isinstance(found, dict) or found.get("issuer") != metadata.issuer:
        raise FetchFailed("has metadata of another issuer")
    return found


def _key_set(document: bytes, metadata: Metadata) -> Location:
    found = _of_issuer(document, metadata)
    try:
        location = locate(str(found["jwks_uri"]))
    except (KeyError, ValueError):
        raise FetchFailed("has metadata without a jwks_uri that may be fetched") from None
    if location.scheme == "http" and metadata.places()[0].scheme == "https":
        raise FetchFailed("has metadata by https that leads to keys by http")
    return location


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a name twice")
    return members
