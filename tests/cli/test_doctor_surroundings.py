"""``tracewall doctor`` on clocks, certificates, TLS, pg_hba.conf, modes, and what is installed."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import socket
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.x509.oid import NameOID

from tracewall.cli import doctor_here
from tracewall.cli.doctor_keys import of_keys
from tracewall.cli.doctor_reach import of_addresses
from tracewall.cli.doctor_server import of_server
from tracewall.policy.load import load
from tracewall.signing import Signer
from tracewall.sql.catalog import Catalog


class Issuer(BaseHTTPRequestHandler):
    """An issuer whose clock is off by ``apart`` seconds, and which publishes ``document``."""

    apart: ClassVar[float] = 0.0
    modified: ClassVar[str] = ""
    document: ClassVar[bytes] = b""

    def date_time_string(self, timestamp: float | None = None) -> str:
        """Say what time it is there."""
        return formatdate(time.time() + self.apart, usegmt=True)

    def do_GET(self) -> None:
        """Give the key set."""
        self.send_response(200)
        self.send_header("Content-Length", str(len(self.document)))
        self.end_headers()
        self.wfile.write(self.document)

    def do_HEAD(self) -> None:
        """Refuse, as many do; the date comes all the same."""
        self.send_response(405)
        if self.modified:
            self.send_header("Last-Modified", self.modified)
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@pytest.fixture
def issuer(place: Any) -> Iterator[type[Issuer]]:
    """An issuer on this machine, whose keys the policy of the place takes."""
    handler = type("Here", (Issuer,), {"document": (place.home / "jwks.json").read_bytes()})
    with HTTPServer(("127.0.0.1", 0), handler) as server:
        text = place.policy.read_text("utf-8")
        url = f"http://127.0.0.1:{server.server_port}/keys"
        place.policy.write_text(text.replace('"jwks.json"', f'"{url}"'), "utf-8")
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield handler
        server.shutdown()
        thread.join()


def keys(place: Any) -> dict[str, Any]:
    """Give what is found of the keys of a place, by check."""
    return {each.check: each for each in of_keys(load(place.policy))}


def test_an_issuer_whose_clock_is_off_is_found(place: Any, issuer: Any) -> None:
    """A little is to be known; more than the leeway has tokens refused; one second is nothing."""
    assert "keys.clock" not in keys(place)
    issuer.apart = -10.0
    assert keys(place)["keys.clock"].severity == "note"
    issuer.apart = 120.0
    found = keys(place)["keys.clock"]
    assert found.severity == "warning" and "127.0.0.1 are 1" in found.message


@pytest.mark.parametrize(("days", "said"), [(400, "400 days ago"), (2, "")])
def test_keys_at_a_url_that_have_not_changed_for_long_are_found(
    place: Any, issuer: Any, days: int, said: str
) -> None:
    """Where who serves them says when they did; one who says nothing of it is believed."""
    assert "keys.age" not in keys(place)
    issuer.modified = formatdate(time.time() - days * 86_400, usegmt=True)
    found = keys(place).get("keys.age")
    assert found is None if not said else said in found.message and found.severity == "note"


@pytest.mark.parametrize("header", ["yesterday", "Mon, 99 Foo 2026", "0" * 1000])
def test_a_time_that_is_none_hinders_nothing(place: Any, issuer: Any, header: str) -> None:
    """A server's odd header is no finding, and no traceback."""
    issuer.modified = header
    assert keys(place).keys() <= {"keys.kid"}


def test_addresses_that_give_no_connection_are_found_by_host_alone(
    place: Any, monkeypatch: Any
) -> None:
    """What is reached gets no byte; of what is not, the path stays untold: it may be a secret."""
    gone = socket.create_server(("127.0.0.1", 0))
    port = gone.getsockname()[1]
    gone.close()
    monkeypatch.setenv("CHAT", f"http://127.0.0.1:{port}/CANARY")
    with socket.create_server(("127.0.0.1", 0)) as there:
        url = f"http://127.0.0.1:{there.getsockname()[1]}/hook"
        place.write(
            f'[audit]\nsigning_key_file = "k"\nanchor_url = "{url}"\n'
            f'[approval]\nkeys = ["{Signer.make("k").public}"]\nchat_env = "CHAT"\n'
        )
        found = list(of_addresses(load(place.policy)))
        there.settimeout(30)
        asked, _ = there.accept()
        with asked:
            asked.settimeout(30)
            assert asked.recv(1) == b""
    assert [(each.check, each.severity) for each in found] == [("approvals.reach", "warning")]
    assert "127.0.0.1 can't be reached" in found[0].message
    assert "CANARY" not in str(found)


@pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="only root gives files away")
def test_files_of_other_owners_are_found(place: Any) -> None:
    """The owner of a file may change it, whatever its mode: keys, a directory, a secret."""
    inner = place.home / "keys"
    inner.mkdir(mode=0o700)
    (inner / "key").write_text("x")
    (inner / "key").chmod(0o600)
    place.write('[audit]\nsigning_key_file = "keys/key"\n')

    def owners() -> list[str]:
        found = [each for each in place.findings() if each["check"] == "files.owner"]
        assert {each["severity"] for each in found} <= {"warning"}
        return [each["message"] for each in found]

    assert owners() == []
    os.chown(place.home / "jwks.json", 54_321, 0)
    os.chown(inner, 54_321, 0)
    assert [message.partition(":")[0] for message in owners()] == [
        "the user 54321 is the owner of the keys, and may change what is there",
        "the user 54321 owns a directory, and may replace what is in it",
    ]
    # Where the wall's own user keeps the record, that user may own them.
    (place.home / "audit").mkdir(mode=0o700)
    os.chown(place.home / "audit", 54_321, 0)
    assert owners() == []


@pytest.mark.parametrize(("days", "said"), [(-1, "is over"), (5, "ends in "), (400, "")])
def test_certificates_beside_keys_are_looked_at(place: Any, days: int, said: str) -> None:
    """One that is over, or soon is, is to be known; whatever else stands there is left alone."""
    path = place.home / "jwks.json"
    listed = json.loads(path.read_text("utf-8"))["keys"]
    listed[0]["x5c"] = [certificate(days)]
    path.write_text(json.dumps({"keys": [*listed, {"x5c": ["?"]}, {"x5c": 5}, 7]}))
    found = keys(place).get("keys.certificate")
    assert (found is not None) is bool(said)
    assert found is None or (said in found.message and found.severity == "note")


def certificate(days: int) -> str:
    """Make a certificate that ends in so many days, as it stands in a key set."""
    key, now = Ed25519PrivateKey.generate(), datetime.now(UTC)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "issuer.test")])
    made = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    made = made.not_valid_before(now - timedelta(days=30))
    signed = made.not_valid_after(now + timedelta(days=days, hours=1)).sign(key, None)
    from cryptography.hazmat.primitives.serialization import Encoding

    return base64.b64encode(signed.public_bytes(Encoding.DER)).decode()


def test_keys_without_a_name_private_ones_and_old_files_are_found(place: Any) -> None:
    """Each hinders a change of keys, or is a secret that everybody has."""
    path = place.home / "jwks.json"
    listed = json.loads(path.read_text("utf-8"))["keys"]
    path.write_text(json.dumps({"keys": [{k: v for k, v in listed[0].items() if k != "kid"}]}))
    os.utime(path, (time.time() - 400 * 86_400,) * 2)
    found = keys(place)
    assert found["keys.kid"].severity == "note"
    assert "400 days" in found["keys.age"].message
    path.write_text(json.dumps({"keys": [*listed, {**listed[0], "kid": "x", "d": "AA"}]}))
    assert keys(place)["keys.ignored"].severity == "error"


def asked(**more: Any) -> Any:
    """Give a server that answers each question as told, by a word in it; to others with nothing."""
    answers = more.pop("answers", {})

    def ask(question: str, **_: Any) -> list[dict[str, Any]]:
        return next((found() for word, found in answers.items() if word in question), [])

    usual: dict[str, Any] = {"version": 180_000, "encrypted": False, "about": {}}
    rest = {"clock_timestamp": lambda: [{"now": time.time()}], "AS may": lambda: [{"may": False}]}
    answers.update({word: found for word, found in rest.items() if word not in answers})
    return SimpleNamespace(ask=ask, **usual | more)


def server_findings(place: Any, server: Any) -> dict[str, Any]:
    """Give what is found of a server, by check."""
    known = Catalog.__new__(Catalog)
    object.__setattr__(known, "database", "d")
    return {each.check: each for each in of_server(load(place.policy), known, server, "r")}


@pytest.mark.parametrize(
    ("about", "encrypted", "severity"),
    [
        ({"host": "db.test"}, False, "warning"),
        ({"host": "db.test", "sslmode": "require"}, True, "warning"),
        ({"host": "db.test", "sslmode": "verify-full"}, True, None),
        ({"host": "/run/postgresql"}, False, None),
        ({"host": "localhost"}, False, None),
        ({"host": "db.test", "hostaddr": "10.0.0.1", "sslmode": "verify-ca"}, True, "warning"),
    ],
)
def test_a_connection_in_clear_or_to_nobody_in_particular_is_found(
    place: Any, monkeypatch: Any, about: dict[str, str], encrypted: bool, severity: str | None
) -> None:
    """Over the network it has to be encrypted, and the server's name verified."""
    monkeypatch.delenv("PGSSLMODE", raising=False)
    found = server_findings(place, asked(about=about, encrypted=encrypted))
    assert found["server.tls"].severity == severity if severity else "server.tls" not in found


@pytest.mark.parametrize(("apart", "severity"), [(0, None), (5, "note"), (-90, "warning")])
def test_a_server_whose_clock_is_off_is_found(
    place: Any, apart: float, severity: str | None
) -> None:
    """More than the least leeway of an issuer is a warning."""
    answers = {"clock_timestamp": lambda: [{"now": time.time() + apart}]}
    found = server_findings(place, asked(answers=answers))
    assert found["server.clock"].severity == severity if severity else "server.clock" not in found


@pytest.mark.parametrize(
    ("type", "method", "severity"),
    [
        ("local", "trust", "error"), ("hostssl", "trust", "error"), ("host", "password", "warning"),
        ("hostssl", "password", None), ("host", "md5", "note"), ("host", "scram-sha-256", None),
        ("local", "peer", None),
    ],
)  # fmt: skip
def test_lines_that_let_the_role_in_too_easily_are_found(
    place: Any, type: str, method: str, severity: str | None
) -> None:
    """By type and method, where the login may see them."""
    lines = [{"line": 7, "type": type, "method": method}]
    answers = {"AS may": lambda: [{"may": True}], "h.line_number AS line": lambda: lines}
    found = server_findings(place, asked(answers=answers))
    assert found["server.hba"].severity == severity if severity else "server.hba" not in found


def test_lines_of_a_real_server_are_read_by_who_may(place: Any) -> None:
    """A superuser sees pg_hba.conf; the wall's own role does not, and nothing is found of it."""
    assert "server.hba" not in {each["check"] for each in place.findings()}
    # The tests' server lets anybody on this machine in, or nobody without a password.
    found = place.findings("--dsn", place.admin)
    assert all("line " in each["message"] for each in found if each["check"] == "server.hba")


@pytest.mark.skipif(os.name != "posix", reason="modes are POSIX's")
def test_what_a_group_may_change_or_read_is_found(place: Any) -> None:
    """A policy and keys that it may change, and secrets that it may read."""
    key = place.home / "key"
    key.write_text("x")
    key.chmod(0o640)
    place.write('[audit]\nsigning_key_file = "key"\n')
    found = [each for each in place.findings() if each["check"] == "files.group"]
    assert [(each["severity"], "signing key" in each["message"]) for each in found] == [
        ("note", True)
    ]
    place.policy.chmod(0o660)
    assert "files.group" in place.checks()


def test_files_that_are_not_those_installed_are_found(tmp_path: Path, monkeypatch: Any) -> None:
    """What another distribution has written over ours is told by pip's record of hashes."""
    package, record = tmp_path / "tracewall", tmp_path / "pgtracewall-1.dist-info"
    package.mkdir()
    record.mkdir()
    (record / "METADATA").write_text("Metadata-Version: 2.1\nName: pgtracewall\nVersion: 1\n")
    good = (
        "sha256=" + base64.urlsafe_b64encode(hashlib.sha256(b"ours").digest()).rstrip(b"=").decode()
    )
    (package / "version.py").write_bytes(b"ours")
    (package / "wall.py").write_bytes(b"ours")
    names = ("tracewall/version.py", "tracewall/wall.py", "tracewall/gone.py")
    (record / "RECORD").write_text("".join(f"{name},{good},4\n" for name in names[:2]))
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(doctor_here.version, "__file__", str(package / "version.py"))

    def changed() -> list[str]:
        return [each.message for each in doctor_here.of_installation() if "files" in each.message]

    assert changed() == []
    (package / "wall.py").write_bytes(b"theirs")
    assert "1 of tracewall's files" in changed()[0]
    (record / "RECORD").write_text("".join(f"{name},{good},4\n" for name in names))
    assert "2 of tracewall's files" in changed()[0]
