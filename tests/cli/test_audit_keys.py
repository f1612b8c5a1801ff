"""``tracewall audit keygen``, and ``verify`` with keys and anchored checkpoints."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tracewall.audit.anchor import Checkpoints, FileAnchor
from tracewall.audit.log import FileLog
from tracewall.audit.notes import PublicKey, Signer
from tracewall.events import Ended, What, Who


@pytest.fixture
def signer() -> Signer:
    return Signer.make("audit.test")


@pytest.fixture
def signed(tmp_path: Path, signer: Signer) -> Path:
    """A signed log in ``log``, with its notes in ``notes``."""
    who = Who(issuer="i", subject="s", session="x", database="d", role="r")
    what = What(summary="S", text="S", sha256="0" * 64, decision="allowed", rule="r", policy="p")
    checkpoints = Checkpoints(signer, [FileAnchor(tmp_path / "notes")], records=5)
    with FileLog(tmp_path / "log", checkpoints=checkpoints) as log:
        for _ in range(10):
            log.outcome(log.intent(who, what), Ended(status="ok"))
    return tmp_path


def test_keygen_makes_a_pair(run: Any) -> None:
    """The private key goes to standard output alone, the public one to standard error."""
    result = run("audit", "keygen", "audit.example.org")
    assert result.exit_code == 0
    made = Signer.parse(result.stdout)
    assert result.stderr.strip() == f"public key: {made.public}"
    assert run("audit", "keygen", "two words").exit_code == 2


def test_keygen_never_overwrites(run: Any, tmp_path: Path) -> None:
    """With --out the private key goes to a new file for its owner alone, and nowhere else."""
    result = run("audit", "keygen", "a", "--out", tmp_path / "key")
    assert result.exit_code == 0
    made = Signer.parse((tmp_path / "key").read_text())
    assert made.secret() not in result.stdout + result.stderr
    assert (tmp_path / "key").stat().st_mode & 0o077 == 0
    assert run("audit", "keygen", "a", "--out", tmp_path / "key").exit_code == 2
    assert Signer.parse((tmp_path / "key").read_text()).public == made.public


def test_a_signed_log_verifies_with_its_key(run: Any, signed: Path, signer: Signer) -> None:
    """With the right key and the anchored notes, exit code 0; the key may be in a file."""
    (signed / "key.pub").write_text(f"{signer.public}\n")
    for key in (str(signer.public), signed / "key.pub"):
        result = run("audit", "verify", signed / "log", "--key", key, "--anchor", signed / "notes")
        assert result.exit_code == 0, result.stderr
        assert "signed for" in result.stdout


def test_a_cut_signed_log_is_found(run: Any, signed: Path, signer: Signer) -> None:
    """A record less at the end: exit code 1 with the anchor, whatever the log itself says."""
    (file,) = (signed / "log").iterdir()
    file.write_bytes(b"".join(file.read_bytes().splitlines(keepends=True)[:-6]))
    assert run("audit", "verify", signed / "log").exit_code == 0
    told = ("--key", str(signer.public), "--anchor", signed / "notes")
    result = run("audit", "verify", signed / "log", *told)
    assert result.exit_code == 1
    assert "which is remembered" in result.stderr


def test_a_strange_key_or_note_is_refused(run: Any, signed: Path, signer: Signer) -> None:
    """Another's key, a note of another's, a key that is none, an anchor without a key."""
    log, other = signed / "log", Signer.make("audit.test")
    assert run("audit", "verify", log, "--key", str(other.public)).exit_code == 1
    (signed / "strange").write_text(other.note("tracewall.audit/x\n1\n" + "A" * 43 + "=\n"))
    key = ("--key", str(signer.public))
    assert run("audit", "verify", log, *key, "--anchor", signed / "strange").exit_code == 1
    assert run("audit", "verify", log, "--key", "nonsense").exit_code == 2
    assert run("audit", "verify", log, "--key", signer.secret()).exit_code == 2
    assert run("audit", "verify", log, "--anchor", signed / "notes").exit_code == 2
    assert PublicKey.parse(str(signer.public)) == signer.public
