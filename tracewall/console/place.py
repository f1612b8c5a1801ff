"""Where the console is reached: which hosts it answers to, and what its cookies are called."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import urlsplit

_USUAL_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Place:
    """The one place that browsers know the console by.

    ``url`` has no slash at its end; ``hosts`` are all values of Host that are answered to, in
    lower case; nothing that a request says of itself changes either.
    """

    url: str
    hosts: frozenset[str]

    @classmethod
    def of(cls, url: str, more: Iterable[str] = ()) -> Place:
        """Make the place of a URL, which is answered under further hosts, too.

        Raises:
            ValueError: it is neither https nor on this machine.
        """
        parts = urlsplit(url)
        host = parts.hostname or ""
        if parts.scheme != "https" and not (parts.scheme == "http" and is_loopback(host)):
            raise ValueError("the console is reached by https, or by http on this machine")
        return cls(url.rstrip("/"), frozenset({_authority(url), *(name.lower() for name in more)}))

    @property
    def secure(self) -> bool:
        """True where it is reached by https."""
        return self.url.startswith("https:")

    @property
    def path(self) -> str:
        """The path that it is below, or empty."""
        return urlsplit(self.url).path

    @property
    def origins(self) -> frozenset[str]:
        """The origins (RFC 6454) whose forms are its own."""
        scheme = urlsplit(self.url).scheme
        return frozenset(f"{scheme}://{host}" for host in self.hosts)

    def cookie(self, name: str) -> str:
        """Give the full name of a cookie.

        With https browsers take it from this very host only, and for all of it. Cookies are
        shared by the ports of a host, so on this machine the port is in the name.
        """
        if self.secure:
            return f"__Host-tracewall-{name}"
        return f"tracewall-{urlsplit(self.url).port or 80}-{name}"


def is_loopback(host: str) -> bool:
    """Tell whether a host is this machine, whatever a resolver says."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _authority(url: str) -> str:
    """Give host and port as a browser's Host header has them."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    named = f"[{host}]" if ":" in host else host
    usual = parts.port in (None, _USUAL_PORTS.get(parts.scheme))
    return named if usual else f"{named}:{parts.port}"
