"""An issuer, a verifier that trusts it, and small servers that behave or misbehave."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tracewall.identity import ALGORITHMS, TrustedIssuer, Verifier
from tracewall.testing import SigningKey, TokenIssuer

NOW = 1_800_000_000.0


class Clock:
    """Seconds that pass only when told to."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds

    def pass_by(self, seconds: float) -> None:
        self.seconds += seconds


class Ring:
    """An issuer with one published key of each algorithm, and a key nobody publishes."""

    def __init__(self) -> None:
        self.issuer = TokenIssuer(algorithm="RS256", clock=lambda: NOW)
        self.keys = {"RS256": self.issuer.key}
        for algorithm in ("PS256", "ES384", "EdDSA", "ES256"):
            self.keys[algorithm] = self.issuer.rotate(algorithm)
        self.stranger = SigningKey.make("ES256")


@pytest.fixture(scope="session")
def ring() -> Ring:
    """Make the keys once: RSA is slow."""
    return Ring()


@pytest.fixture
def clock() -> Clock:
    """Return a clock at zero."""
    return Clock()


@pytest.fixture(scope="session")
def trusted(ring: Ring, tmp_path_factory: pytest.TempPathFactory) -> TrustedIssuer:
    """Trust the ring for every algorithm."""
    path = tmp_path_factory.mktemp("keys") / "jwks.json"
    ring.issuer.write_jwks(path)
    return TrustedIssuer(
        name="main",
        issuer=ring.issuer.issuer,
        audiences=("warehouse", "reports"),
        keys=str(path),
        algorithms=ALGORITHMS,
    )


@pytest.fixture(scope="session")
def verifier(trusted: TrustedIssuer) -> Verifier:
    """Its clock stands still, so its keys never age."""
    made = Verifier([trusted], clock=lambda: 0.0)
    made.refresh()
    return made


@pytest.fixture
def verifier_with(trusted: TrustedIssuer) -> Callable[..., Verifier]:
    """Make a verifier whose trusted issuer differs from the usual in some fields."""

    def make(**changes: object) -> Verifier:
        made = Verifier([replace(trusted, **changes)])  # type: ignore[arg-type]
        made.refresh()
        return made

    return make


Answer = Callable[[BaseHTTPRequestHandler], None]


class Server:
    """A loopback HTTP server that answers every GET by calling a function."""

    def __init__(self, answer: Answer) -> None:
        self.paths: list[str] = []
        self.headers: list[dict[str, str]] = []
        self.closing = threading.Event()
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                server.paths.append(self.path)
                server.headers.append(dict(self.headers))
                try:
                    answer(self)
                except OSError:
                    self.close_connection = True

            do_POST = do_GET

            def log_message(self, format: str, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self._server.server_port
        self.url = f"http://127.0.0.1:{self.port}/keys"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()

    def close(self) -> None:
        if not self.closing.is_set():
            self.closing.set()
            self._server.shutdown()
            self._server.server_close()
            self._thread.join()


@pytest.fixture
def serve() -> Iterator[Callable[[Answer], Server]]:
    """Start servers, and close them afterwards."""
    servers: list[Server] = []

    def start(answer: Answer) -> Server:
        servers.append(Server(answer))
        return servers[-1]

    yield start
    for server in servers:
        server.close()


@pytest.fixture
def jwks_file(tmp_path: Path) -> Path:
    """Return where a key set may be written."""
    return tmp_path / "jwks.json"
