"""tracewall console: where it listens, and what it wants before it does."""

from __future__ import annotations

import datetime
import os
import re
import signal
import socket
import ssl
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

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
            with pytest.raises(urllib.error.HTTPError, match="421") as refused:
                urllib.request.urlopen(other)
            refused.value.close()
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
        assert ("can't be used: this is no private key" in result.output) is (
            "--key-file" in arguments
        )


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[Path, Path]:
    """A certificate of one's own for console.test, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "console.test")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .sign(key, hashes.SHA256())
    )
    paths = tmp_path / "cert.pem", tmp_path / "key.pem"
    paths[0].write_bytes(made.public_bytes(serialization.Encoding.PEM))
    plain = serialization.NoEncryption()
    form = serialization.PrivateFormat.PKCS8
    paths[1].write_bytes(key.private_bytes(serialization.Encoding.PEM, form, plain))
    return paths


@pytest.mark.parametrize("tls", [True, False], ids=["tls", "proxy"])
def test_it_serves_others(office: Any, certificate: Any, tls: bool) -> None:
    """With a certificate, or behind a proxy that has one, it is where the policy says: below a
    path, with cookies for https only.
    """
    office.console('url = "https://console.test/desk"')
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    environment = os.environ | {"PYTHONPATH": str(Path(str(tracewall.__file__)).parents[1])}
    line = [sys.executable, "-m", "tracewall", "console", "--config", "policy.toml"]
    line += ["--port", str(port)]
    cert, key = certificate
    line += ["--tls-cert", str(cert), "--tls-key", str(key)] if tls else ["--behind-proxy"]
    with subprocess.Popen(
        line, cwd=office.folder, env=environment, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            assert "https://console.test/desk/" in process.stdout.readline()
            context = ssl.create_default_context(cafile=str(cert))
            context.check_hostname = False
            # A proxy takes the path off.
            url = f"{'https' if tls else 'http'}://127.0.0.1:{port}{'/desk' * tls}/login"
            asked = urllib.request.Request(url, headers={"Host": "console.test"})
            options = {"context": context} if tls else {}
            with urllib.request.urlopen(asked, **options) as answer:
                cookie = answer.headers["set-cookie"]
                assert cookie.startswith("__Host-tracewall-login=") and "Secure" in cookie
                assert 'action="/desk/login"' in answer.read().decode()
        finally:
            process.terminate()
