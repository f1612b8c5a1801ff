"""tracewall console: where it listens, and what it wants before it does."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

import tracewall
from tracewall.cli.commands import tracewall as command


def run(*arguments: object) -> Any:
    """Run the command in this process; it must not come to serve."""
    return CliRunner().invoke(command, ["console", *map(str, arguments)])


def test_it_serves_this_machine(office: Any) -> None:
    """By default it listens on loopback, says where, answers there, and ends when told to."""
    office.console()
    environment = os.environ | {"PYTHONPATH": str(Path(str(tracewall.__file__)).parents[1])}
    line = [sys.executable, "-m", "tracewall", "console", "--config", "policy.toml", "--port", "0"]
    with subprocess.Popen(
        line,
        cwd=office.folder,
        env=environment | {"TRACEWALL_APPROVAL_KEY": office.signer.secret()},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stdout is not None
            url = re.findall(r"http://127\.0\.0\.1:\d+/", process.stdout.readline())[0]
            with urllib.request.urlopen(f"{url}login") as answer:
                assert answer.headers["server"] is None
                assert "Log in by token" in answer.read().decode()
            other = url.replace("127.0.0.1", "localhost")
            with pytest.raises(urllib.error.HTTPError, match="421"):
                urllib.request.urlopen(other)
        finally:
            process.send_signal(signal.SIGINT)
        assert process.wait(timeout=60) in (0, -signal.SIGINT)
        assert process.stderr is not None and "Traceback" not in process.stderr.read()


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "console.test"])
def test_elsewhere_it_wants_tls(office: Any, host: str) -> None:
    """Plain http leaves no machine."""
    office.console()
    result = run("--config", office.folder / "policy.toml", "--host", host, "--port", "0")
    assert result.exit_code == 2 and "plain http" in result.output


def test_behind_a_proxy_it_wants_a_place(office: Any) -> None:
    """Where browsers find it is the policy's to say."""
    office.console()
    result = run("--config", office.folder / "policy.toml", "--behind-proxy", "--port", "0")
    assert result.exit_code == 2 and "https" in result.output
    result = run("--config", office.folder / "policy.toml", "--tls-cert", __file__)
    assert result.exit_code == 2 and "its key" in result.output


def test_what_is_wrong_is_told(office: Any, tmp_path: Path) -> None:
    """A policy, key or directory that can't be used is told in a sentence."""
    office.console()
    policy = office.folder / "policy.toml"
    key = tmp_path / "bad.key"
    key.write_text("no key")
    for arguments in (
        ("--config", tmp_path / "none.toml"),
        ("--config", policy, "--key-file", key),
        ("--config", policy, "--recordings", tmp_path / "none"),
        ("--config", policy, "--identity", key),
    ):
        result = run(*arguments, "--port", "0")
        assert result.exit_code == 2 and "error:" in result.output
        assert result.exception is None or isinstance(result.exception, SystemExit)
