"""Sets the stage for the demo: a server, a filled store, an issuer of tokens, a wall.

Rules of this room:

1. Everything lies in one directory that is made here, and goes with it at the end.
2. What the guard does is the product's own doing: the wall is loaded from a policy file
   like anybody's, and its keys come over http like anybody's.
3. Only what `leave` wrote stays behind, and `strike` takes it away again; it deletes
   nothing that it did not make.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path

from psycopg.conninfo import make_conninfo

from tracewall import Wall
from tracewall.demo.fill import Filled
from tracewall.demo.generate import generate
from tracewall.demo.real import load_traces
from tracewall.demo.server import embedded_server, stop_server
from tracewall.demo.spans import Spans
from tracewall.demo.store import create_store
from tracewall.policy.load import load
from tracewall.telemetry import Telemetry
from tracewall.testing import TokenIssuer

AUDIENCE = "trace-store"
"""Whom the demo's tokens are for."""

PASSWORD_VARIABLE = "TRACEWALL_DEMO_PASSWORD"
"""The environment variable that the demo's policy finds the database password in."""

KEPT_SECONDS = 12 * 3600
"""How long the token that `leave` gives is good for."""

RUNS = 300
"""How many runs are generated unless told otherwise."""

_ROLE = "trace_service"
_ISSUER = "https://login.example"
_CONNINFO = 'conninfo = "host=/run/postgresql dbname=traces user=trace_service"'
_KEYS = 'keys = "https://login.example/jwks.json"'
_POLICY, _KEY_SET, _DATA, _RECORD = "policy.toml", "jwks.json", "pg", "audit"
_MARK = ".tracewall-demo"
_PREFIX = "tracewall-demo-"
# A socket's path has room for 103 bytes; this leaves enough for its name below `_DATA`.
_LONGEST = 80


@dataclass(frozen=True, slots=True)
class Stage:
    """Where the story happens.

    ``home`` is the directory of everything; ``admin`` logs in as the server's superuser,
    without a guard; ``filled`` says what is in the store and where its secrets are;
    ``keys_url`` is where the wall fetched the issuer's keys; ``spans`` is None where the
    OpenTelemetry SDK is missing.
    """

    home: Path
    admin: str
    filled: Filled
    issuer: TokenIssuer
    keys_url: str
    wall: Wall
    spans: Spans | None
    password: str = field(repr=False)

    @property
    def record(self) -> Path:
        """The directory of the audit log."""
        return self.home / _RECORD

    def token(self, subject: str, group: str, lifetime: float = 3600) -> str:
        """Mint a token that is in order."""
        return self.issuer.mint(subject, [group], audience=AUDIENCE, lifetime=lifetime)


@dataclass(frozen=True, slots=True)
class Left:
    """What a kept demo leaves: how to connect, and the directory to stop it by."""

    home: Path
    policy: Path
    password: str = field(repr=False)
    token: str = field(repr=False)


@contextmanager
def staged(
    *,
    runs: int | None = None,
    seed: int = 1,
    traces: Path | None = None,
    share: float = 0.1,
    policy: Path | None = None,
    keep: bool = False,
) -> Iterator[Stage]:
    """Run a server with a guarded trace store until the end of the block.

    `traces` names a file of real traces to take in place of generated ones, `runs` how
    many of either (None: all of the file, 300 generated ones);
    `share` (0 to 1) of their texts get a planted secret. `policy` is used in place of the
    one that is shipped. `keep` leaves the server and its directory at the end of the
    block, unless the block raises.

    Raises ServerUnavailable, PolicyError, and what `generate` and `load_traces` raise.
    """
    text = _policy_text(policy)
    home = _home()
    try:
        with ExitStack() as stack:
            place = home / _DATA if keep else None
            server = stack.enter_context(embedded_server(place, keep=keep))
            password = secrets.token_urlsafe(16)
            create_store(server.conninfo, role=_ROLE, password=password)
            filled = _filled(server.conninfo, runs, seed, traces, share)
            stack.enter_context(_variable(PASSWORD_VARIABLE, password))
            issuer = TokenIssuer(_ISSUER)
            keys_url = stack.enter_context(issuer.serve()).jwks_url
            service = make_conninfo(server.conninfo, user=_ROLE)
            (home / _POLICY).write_text(fitted(text, service, keys_url), "utf-8")
            spans = Spans.collected()
            telemetry = Telemetry(spans.provider) if spans else None
            wall = stack.enter_context(Wall.load(home / _POLICY, telemetry=telemetry))
            yield Stage(home, server.conninfo, filled, issuer, keys_url, wall, spans, password)
    except BaseException:
        strike(home)
        raise
    if not keep:
        strike(home)


def _filled(
    conninfo: str, runs: int | None, seed: int, traces: Path | None, share: float
) -> Filled:
    if traces is None:
        return generate(conninfo, RUNS if runs is None else runs, seed=seed, secrets=share)
    return load_traces(conninfo, traces, seed=seed, limit=runs, secrets=share)


def leave(stage: Stage) -> Left:
    """Write down what a connection needs when the demo's own process is gone.

    The keys that were served over http become a file, and the policy names that.
    """
    policy = stage.home / _POLICY
    stage.issuer.write_jwks(stage.home / _KEY_SET)
    served, kept = (_quoted(keys) for keys in (stage.keys_url, _KEY_SET))
    policy.write_text(policy.read_text("utf-8").replace(served, kept), "utf-8")
    token = stage.token("ana", "analysts", KEPT_SECONDS)
    return Left(stage.home, policy, stage.password, token)


def strike(home: Path) -> list[str]:
    """Stop the server of a demo's directory and delete what the demo made there.

    Returns the names of what is left, for it was not the demo's. Raises ValueError for a
    directory that is no demo's, ServerUnavailable when the server does not end.
    """
    if not (home / _MARK).is_file():
        raise ValueError("that is not the directory of a demo: nothing was stopped or deleted")
    data = home / _DATA
    if data.is_dir():
        stop_server(data, delete=(data / "PG_VERSION").exists())
    for name in (_POLICY, _KEY_SET, _RECORD, _DATA, _MARK):
        _delete(home / name)
    rest = sorted(path.name for path in home.iterdir())
    if not rest:
        home.rmdir()
    return rest


def fitted(text: str, conninfo: str, keys: str) -> str:
    """Fit a policy to one server and one key set (a path or a URL).

    Raises ValueError when it lacks the lines of the shipped one that are to be changed.
    """
    for line, name, value in ((_CONNINFO, "conninfo", conninfo), (_KEYS, "keys", keys)):
        if text.count(line) != 1:
            raise ValueError(f"a policy for the demo has this line, once: {line}")
        text = text.replace(line, f"{name} = {_quoted(value)}")
    return text


def shipped(stage: Stage) -> str:
    """Give the text of the policy that is shipped, fitted to a stage."""
    conninfo = stage.wall.policy.database.conninfo
    return fitted(_policy_text(None), conninfo, stage.keys_url)


def _policy_text(path: Path | None) -> str:
    """Read a policy; one of somebody's own is looked at before a server is started for it."""
    if path is None:
        return resources.files(__package__).joinpath(_POLICY).read_text("utf-8")
    load(path)
    text = path.read_text("utf-8-sig")
    fitted(text, "", "")
    return text


def _quoted(value: str) -> str:
    return json.dumps(value, ensure_ascii=False)


def _home() -> Path:
    home = Path(tempfile.mkdtemp(prefix=_PREFIX)).resolve()
    if len(os.fsencode(home)) > _LONGEST:
        home.rmdir()
        home = Path(tempfile.mkdtemp(prefix=_PREFIX, dir="/tmp")).resolve()
    # Under root the server runs as another user, who has to pass through.
    home.chmod(0o711)
    (home / _MARK).touch()
    return home


def _delete(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


@contextmanager
def _variable(name: str, value: str) -> Iterator[None]:
    """Set an environment variable for the block."""
    before = os.environ.get(name)
    os.environ[name] = value
    try:
        yield
    finally:
        if before is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = before
