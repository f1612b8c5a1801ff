"""``tracewall console``: serve the web console."""

from __future__ import annotations

import os
import socket
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tracewall.approval.store import StoreUnavailable
from tracewall.cli.approvals import KEY_VARIABLE
from tracewall.cli.options import CONFIG, FILE, json_option
from tracewall.cli.reading import complaint, read
from tracewall.cli.screen import Missing, either, safe
from tracewall.cli.tapes import KEY, keys, store
from tracewall.errors import PolicyError

if TYPE_CHECKING:
    from tracewall.console import Console

_NEEDED = ("starlette", "jinja2", "markupsafe", "uvicorn")
_LOOPBACK = ("127.0.0.1", "::1", "localhost")
_AT_ONCE = 64


@click.command()
@CONFIG
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option(
    "--port",
    type=click.IntRange(0, 65_535),
    default=8731,
    show_default=True,
    help="The port to listen on; 0: any that is free.",
)
@click.option("--tls-cert", type=FILE, help="The certificate (PEM) to serve https with.")
@click.option("--tls-key", type=FILE, help="The private key (PEM) of the certificate.")
@click.option(
    "--behind-proxy",
    is_flag=True,
    help="A proxy before it ends TLS; browsers find it at the url under [console] in the policy.",
)
@click.option(
    "--key-file",
    type=FILE,
    help=f"The key to sign with; else that of the policy, or in {KEY_VARIABLE}.",
)
@click.option(
    "--recordings",
    default="",
    help="The directory or the URL of recorded sessions, in place of the policy's.",
)
@KEY
@json_option("Print one JSON object on where it is.")
def console(
    policy: Path,
    host: str,
    port: int,
    tls_cert: Path | None,
    tls_key: Path | None,
    behind_proxy: bool,
    key_file: Path | None,
    recordings: str,
    key: Path | None,
    as_json: bool,
) -> None:
    """Serve the web console.

    It shows requests to decide on, recorded sessions and the audit record. By default on this
    machine only. Anywhere else it wants TLS, or a proxy that has it.
    """
    _installed()
    tls = _tls(tls_cert, tls_key)
    if host not in _LOOPBACK and not tls and not behind_proxy:
        help = "give --tls-cert and --tls-key, or --behind-proxy where a proxy ends TLS"
        raise Missing("tokens and decisions would go over plain http", help)
    with _listening(host, port) as listener:
        url = "" if tls or behind_proxy else _here(host, listener)
        made = _made(policy, url, key_file, recordings, keys(key))
        with made:
            place = made.house.place
            if (tls or behind_proxy) and not place.secure:
                raise Missing("the policy's console.url is not https", 'write url = "https://..."')
            url = f"{place.url}/"
            either(as_json, {"url": url}, f"the console is at {safe(url)} (Ctrl-C ends it)")
            _serve(made, listener, **tls)


def _installed() -> None:
    for name in _NEEDED:
        if find_spec(name) is None:
            help = 'pip install "pgtracewall[console]"'
            raise Missing(f"the console needs {name}, which is not installed", help)


def _made(
    policy: Path, url: str, key_file: Path | None, recordings: str, identities: Sequence[Any]
) -> Console:
    from tracewall.console import app

    try:
        found = read(policy)
        named = found.console.key_env or found.console.key_file
        given = None if named else os.environ.get(KEY_VARIABLE)
        return app(
            found,
            url=url,
            key=_key(key_file) if key_file else given,
            recordings=store(recordings) if recordings else None,
            identities=identities,
        )
    except PolicyError as error:
        raise complaint(error) from None
    except StoreUnavailable as error:
        raise Missing(f"requests are out of reach: {error}") from None


def _key(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except (OSError, ValueError):
        raise Missing("the key to sign with can't be read", str(path)) from None


def _serve(made: Console, listener: socket.socket, **options: Any) -> None:
    import uvicorn

    config = uvicorn.Config(
        made,
        # What a request says of its origin is nobody's word: where the console is, the policy says.
        proxy_headers=False,
        server_header=False,
        access_log=False,
        log_level="warning",
        ws="none",
        limit_concurrency=_AT_ONCE,
        timeout_keep_alive=5,
        h11_max_incomplete_event_size=32 * 1024,
        **options,
    )
    try:
        uvicorn.Server(config).run(sockets=[listener])
    except KeyboardInterrupt:
        return


def _tls(cert: Path | None, key: Path | None) -> dict[str, str]:
    if not cert and not key:
        return {}
    if not cert or not key:
        raise Missing("TLS needs a certificate and its key", "give --tls-cert and --tls-key")
    return {"ssl_certfile": str(cert), "ssl_keyfile": str(key)}


def _listening(host: str, port: int) -> socket.socket:
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family, reuse_port=False)
    except OSError as error:
        raise Missing(f"{host}:{port} can't be listened on: {error.strerror}") from None


def _here(host: str, listener: socket.socket) -> str:
    named = f"[{host}]" if ":" in host else host
    return f"http://{named}:{listener.getsockname()[1]}"
