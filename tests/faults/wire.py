"""A wire between client and server that a test may cut anywhere: bytes pass until they don't."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress
from types import TracebackType
from typing import Self

_BLOCK = 65536


class Wire:
    """Passes bytes between TCP clients and a server's socket, until it is told not to.

    ``up`` and ``down`` count what went to the server and to the client since `measure`.
    """

    def __init__(self, upstream: str) -> None:
        self._upstream = upstream
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._links: list[socket.socket] = []
        self._lock = threading.Lock()
        self._left: dict[str, int | None] = {"up": None, "down": None}
        self._flows = threading.Event()
        self._flows.set()
        self.passed = {"up": 0, "down": 0}
        self._closed = False
        threading.Thread(target=self._serve, daemon=True).start()

    def measure(self) -> None:
        """Count from here on."""
        self.passed = {"up": 0, "down": 0}

    def cut_after(self, direction: str, count: int) -> None:
        """Let so many more bytes pass in a direction, then cut all connections."""
        with self._lock:
            self._left[direction] = count

    def cut(self) -> None:
        """Cut all connections now."""
        with self._lock:
            links, self._links = self._links, []
            self._left = {"up": None, "down": None}
        for link in links:
            with suppress(OSError):
                link.shutdown(socket.SHUT_RDWR)

    def stall(self) -> None:
        """Let nothing pass any more, without a word to either side."""
        self._flows.clear()

    def flow(self) -> None:
        """Let bytes pass again."""
        self._flows.set()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._closed = True
        self._flows.set()
        with suppress(OSError):
            socket.create_connection(("127.0.0.1", self.port)).close()
        self.cut()

    def _serve(self) -> None:
        with self._listener:
            while not self._closed:
                link, _ = self._listener.accept()
                if self._closed:
                    link.close()
                    return
                self._join(link)

    def _join(self, client: socket.socket) -> None:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        server = socket.socket(socket.AF_UNIX)
        try:
            server.connect(self._upstream)
        except OSError:
            client.close()
            server.close()
            return
        with self._lock:
            self._links += [client, server]
        ends = [threading.Event(), threading.Event()]
        for at, (source, sink, way) in enumerate(
            ((client, server, "up"), (server, client, "down"))
        ):
            threading.Thread(
                target=self._pass, args=(source, sink, way, ends[at], ends[1 - at]), daemon=True
            ).start()

    def _pass(
        self,
        source: socket.socket,
        sink: socket.socket,
        way: str,
        mine: threading.Event,
        other: threading.Event,
    ) -> None:
        with suppress(OSError):
            while data := source.recv(_BLOCK):
                self._flows.wait()
                with self._lock:
                    left = self._left[way]
                    whole = left is None or left >= len(data)
                    data = data if whole else data[:left]
                    if left is not None:
                        self._left[way] = left - len(data)
                    self.passed[way] += len(data)
                sink.sendall(data)
                if not whole:
                    self.cut()
        for end in (source, sink):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        mine.set()
        if other.is_set():
            # Both directions have ended: nobody reads from either socket any more.
            source.close()
            sink.close()
