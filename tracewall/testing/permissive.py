"""A wall that permits everything, for programs and test suites that know no tokens."""

from __future__ import annotations

import json
import tempfile
import weakref
from dataclasses import replace
from pathlib import Path

from tracewall.audit.store import AuditLog
from tracewall.telemetry import Telemetry
from tracewall.testing.issuer import TokenIssuer
from tracewall.wall import Wall

__all__ = ["permit_all"]

_YEAR = 366 * 24 * 3600.0
_POLICY = """
version = 1
name = "permit-all"

[audit]
durability = "buffered"

[[issuers]]
name = "permit-all"
issuer = {issuer}
audience = "permit-all"
keys = "jwks.json"
max_lifetime = 0

[[grants]]
name = "everything"
groups = ["*"]
actions = ["anything"]
"""


def permit_all(
    conninfo: str = "",
    *,
    issuer: TokenIssuer | None = None,
    audit: AuditLog | None = None,
    telemetry: Telemetry | None = None,
) -> Wall:
    """Give a wall that lets every statement through, whoever sends it, and masks nothing.

    It is for tests of what a guarded connection does besides guarding, such as the suites
    of psycopg and SQLAlchemy. Whoever brings no token acts as ``anonymous``, in the group
    ``everybody``; callers log in where and as whom they like. That both guards are off
    is written to the record. Statements are still parsed, recorded and traced.

    Args:
        conninfo: the connection options that callers leave out, without a password.
        issuer: whose tokens are accepted besides (audience ``permit-all``, at least one
            group); by default one that nobody else knows.
        audit: where the record is kept; by default in files that are deleted with the wall.
        telemetry: whose spans and metrics are used; by default the global ones.

    Example:
        with permit_all() as wall:
            conn = tracewall.connect("dbname=test", wall=wall)
    """
    issuer = issuer or TokenIssuer("https://permit-all.test")
    folder = tempfile.TemporaryDirectory(prefix="tracewall-")
    home = Path(folder.name)
    issuer.write_jwks(home / "jwks.json")
    policy = _POLICY.format(issuer=_quoted(issuer.issuer))
    if conninfo:
        policy += f"[database]\nconninfo = {_quoted(conninfo)}\n"
    (home / "policy.toml").write_text(policy, encoding="utf-8")
    token = issuer.mint("anonymous", ["everybody"], audience="permit-all", lifetime=_YEAR)
    guarded = Wall.load(home / "policy.toml", audit=audit, telemetry=telemetry)
    wall = replace(guarded, unsafe_anonymous=token, unsafe_logins=True)
    weakref.finalize(wall, folder.cleanup)
    return wall


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)
