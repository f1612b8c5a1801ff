"""What a process holds others can tell, and where nothing can be held that is told too."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tracewall import filelocks
from tracewall.testing import TokenIssuer

POLICY = """
version = 1

[[issuers]]
issuer = "https://idp.test"
audience = "traces"
keys = "jwks.json"

[[recordings]]
name = "all"
groups = ["*"]
"""

WITHOUT = """
import sys
sys.modules["fcntl"] = None

from pathlib import Path

from tracewall import Wall
from tracewall.cli import main
from tracewall.filelocks import AVAILABLE

assert not AVAILABLE
Path("recordings").mkdir()
for _ in range(2):
    with Wall.load("tracewall.toml"):
        pass
assert main(["audit", "verify", "audit"]) == 0
assert main(["sessions", "list", "recordings"]) == 0
"""


def test_where_there_are_no_locks_all_else_works(tmp_path: Path) -> None:
    """Without `fcntl`, as on Windows, walls are made, and records are verified and listed."""
    TokenIssuer("https://idp.test").write_jwks(tmp_path / "jwks.json")
    (tmp_path / "tracewall.toml").write_text(POLICY)
    # The folder that this tracewall was imported from, installed or not.
    environment = os.environ | {"PYTHONPATH": str(Path(filelocks.__file__).parent.parent)}
    line = [sys.executable, "-c", WITHOUT]
    done = subprocess.run(
        line, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.skipif(not filelocks.AVAILABLE, reason="this system has no locks on files")
def test_a_file_is_held_until_it_is_closed(tmp_path: Path) -> None:
    """Who opens a held file is told so, and can neither hold it; after its end they can."""
    path = tmp_path / "held"
    with path.open("wb") as mine, path.open("rb") as theirs:
        assert not filelocks.is_held(theirs.fileno())
        assert filelocks.hold(mine.fileno())
        assert filelocks.is_held(theirs.fileno())
        assert not filelocks.hold(theirs.fileno())
        mine.close()
        assert not filelocks.is_held(theirs.fileno())
        assert filelocks.hold(theirs.fileno())
