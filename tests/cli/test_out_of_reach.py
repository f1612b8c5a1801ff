"""What a command says where a server that keeps its record, requests or keys gives no answer."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import pytest

from tracewall.signing import Signer
from tracewall.testing import TokenIssuer

POLICY = """
version = 1
[approval]
keys = ["{key}"]
{store}
[audit]
{record}
[[issuers]]
issuer = "https://idp.test"
audience = "notes"
keys = "{keys}"
algorithms = ["ES256"]
[[approvals]]
rows = 10
approvers = ["boss"]
"""


@pytest.fixture
def nobody() -> str:
    """A port of this machine that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return f"127.0.0.1:{listener.getsockname()[1]}"


@pytest.fixture
def policy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """What writes a policy with some of its places elsewhere."""
    issuer, signer = TokenIssuer("https://idp.test"), Signer.make("desk")
    issuer.write_jwks(tmp_path / "jwks.json")
    monkeypatch.setenv("TRACEWALL_APPROVAL_KEY", signer.secret())
    monkeypatch.setenv("TRACEWALL_TOKEN", issuer.mint("bob", ["boss"], audience="notes"))

    def write(store: str = "", record: str = "", keys: str = "jwks.json") -> Path:
        path = tmp_path / "policy.toml"
        text = POLICY.format(key=signer.public, store=store, record=record, keys=keys)
        path.write_text(text, "utf-8")
        return path

    return write


@pytest.mark.parametrize(
    "line",
    ["verify {uri}", "tail {uri}", "search {uri}", "export {uri}", "erase {uri} --subject ann",
     "fetch {new} --conninfo {uri}", "prune --conninfo {uri} --config {policy}"],
)  # fmt: skip
def test_a_record_out_of_reach_is_no_verdict(
    run: Any, policy: Any, nobody: str, tmp_path: Path, line: str
) -> None:
    """Exit code 3, as for every server that had to be asked."""
    uri = f"postgresql://x@{nobody}/x"
    found = policy(record=f'conninfo = "{uri}"\nkeep_for = "1d"')
    words = line.format(uri=uri, new=tmp_path / "new", policy=found).split()
    result = run("audit", *words)
    assert result.exit_code == 3 and nobody.rpartition(":")[2] in result.output


def test_a_uri_that_is_none_is_asked_wrongly(run: Any) -> None:
    """Nobody was asked: exit code 2."""
    assert run("audit", "verify", "postgresql:///x?none=1").exit_code == 2


@pytest.mark.parametrize(
    "uri",
    ["postgresql://x@127.0.0.1:secret/x", "postgresql://x@127.0.0.1:99999/x",
     "postgresql://x@127.0.0.1/x?sslmode=secret", "postgresql://x@127.0.0.1/x?port=1,2,3"],
)  # fmt: skip
@pytest.mark.parametrize("line", ["audit verify", "scan", "explain --config {policy} select --dsn"])
def test_an_address_that_is_none_is_asked_wrongly(
    run: Any, policy: Any, uri: str, line: str
) -> None:
    """A port that is no number, as any value that libpq does not take: no server was asked."""
    result = run(*line.format(policy=policy()).split(), uri)
    assert result.exit_code == 2 and "secret" not in result.output


@pytest.mark.parametrize("line", ["list", "show x", "watch --timeout 0.1", "prune", "approve x"])
def test_requests_out_of_reach_are_no_verdict(
    run: Any, policy: Any, nobody: str, line: str
) -> None:
    """Exit code 3, where they are kept in PostgreSQL."""
    found = policy(store=f'conninfo = "postgresql://x@{nobody}/x"')
    result = run("approvals", *line.split(), "--config", found)
    assert result.exit_code == 3 and "requests are out of reach" in result.output


def test_a_token_that_nobody_can_verify_is_not_refused(run: Any, policy: Any, nobody: str) -> None:
    """Where the issuer's keys are out of reach nothing is known of the token: exit code 3."""
    found = policy(keys=f"http://{nobody}/jwks.json")
    result = run("approvals", "approve", "x", "--config", found)
    assert result.exit_code == 3 and "out of reach" in result.output


def test_a_file_of_requests_that_is_none_is_missing(run: Any, policy: Any, tmp_path: Path) -> None:
    """No server had to be asked: exit code 2."""
    (tmp_path / "approvals.db").mkdir()
    assert run("approvals", "list", "--config", policy()).exit_code == 2


@pytest.mark.parametrize(
    "line",
    ["approvals approve x --token-file", "approvals approve x --key-file",
     "console --port 0 --key-file"],
)  # fmt: skip
def test_a_secret_that_is_no_text_is_asked_wrongly(
    run: Any, policy: Any, tmp_path: Path, line: str
) -> None:
    """A file of bytes: told in a sentence, and nothing of it is printed."""
    (tmp_path / "secret").write_bytes(b"CANARY\xff\xfe")
    if line.startswith("console"):
        pytest.importorskip("uvicorn")
        pytest.importorskip("starlette")
        pytest.importorskip("jinja2")
    result = run(*line.split(), tmp_path / "secret", "--config", policy())
    assert result.exit_code == 2 and "CANARY" not in result.output
