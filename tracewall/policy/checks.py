"""What can be wrong with single strings of a policy, beyond their shape."""

from __future__ import annotations

import ipaddress
import re
from urllib.parse import SplitResult, parse_qsl, urlsplit

from tracewall.masking.config import Pattern
from tracewall.masking.detectors import DetectorsUnavailable, PatternInvalid, detectors
from tracewall.masking.paths import PathInvalid, parsed
from tracewall.policy.reading import Complaint

_SECRETS = frozenset({"password", "sslpassword"})
_KEEP_OUT = Complaint(
    "a password can't be in the policy",
    "name an environment variable in password_env, or a file in password_file",
)
_UNREADABLE = Complaint(
    "this is no connection string", 'write "host=... dbname=... user=..." or "postgresql://..."'
)
# One `key = value` as libpq reads it: quoted, or up to a blank; a backslash escapes.
_SETTING = re.compile(r"\s*([^\s=']+)\s*=\s*('(?:[^'\\]|\\.)*+'|(?!')(?:[^\s\\]|\\.)*+)(?=\s|$)")
# The user's part of a URI goes up to the first "@" that comes before any "/", as in libpq.
_USER = re.compile(r"postgres(?:ql)?://([^/@]*)@")
_URL = "write https://host/path, or a path"
_RE2 = (
    "write it as in https://github.com/google/re2/wiki/Syntax: no look-around, no back-references"
)


def conninfo(text: str) -> Complaint | None:
    """Complain of a connection string that libpq can't read or that holds a password."""
    if text.startswith(("postgresql://", "postgres://")):
        return _conninfo_uri(text)
    settings, end = {}, 0
    while found := _SETTING.match(text, end):
        settings[found[1]] = re.sub(r"^'|'$|\\(.)", r"\1", found[2])
        end = found.end()
    if text[end:].strip():
        return _UNREADABLE
    if _SECRETS & settings.keys():
        return _KEEP_OUT
    # libpq may read a whole connection string where it expects the database's name.
    inner = settings.get("dbname", "")
    return conninfo(inner) if "=" in inner or "://" in inner else None


def _conninfo_uri(text: str) -> Complaint | None:
    user = _USER.match(text)
    named = {name for name, _ in parse_qsl(text.partition("?")[2], keep_blank_values=True)}
    return _KEEP_OUT if (user and ":" in user[1]) or _SECRETS & named else None


def key_set(text: str) -> Complaint | None:
    """Complain of a key set's URL by which others could slip in keys of their own."""
    if "://" not in text and not text.lower().startswith(("http:", "https:")):
        return None
    return _fetched(text, "keys")


def anchor(text: str) -> Complaint | None:
    """Complain of a URL by which others could take checkpoints in its place."""
    return _fetched(text, "checkpoints")


def webhook(text: str) -> Complaint | None:
    """Complain of a URL by which others could read who asks for what."""
    return _fetched(text, "requests")


def console_url(text: str) -> Complaint | None:
    """Complain of a URL by which others could read along, or that is no place of a page."""
    if complaint := _fetched(text, "decisions"):
        return complaint
    if "?" in text or "#" in text or text.endswith("/"):
        return Complaint(
            "this URL can't have pages below it", "write https://host or https://host/path"
        )
    return None


def console_host(text: str) -> Complaint | None:
    """Complain of what no Host header says."""
    if re.fullmatch(r"(?:[a-z0-9._-]+|\[[0-9a-f:.]+\])(?::[0-9]{1,5})?", text) is None:
        return Complaint("this is no host", "write console.example.com, or localhost:8080")
    return None


_MOVED = {"keys": "fetched", "checkpoints": "sent", "requests": "sent", "decisions": "made"}


def _fetched(text: str, what: str) -> Complaint | None:
    url = _split(text)
    if url is None or not url.scheme or re.search(r"[\s\\]", text):
        return Complaint("this URL can't be read", _URL)
    if url.scheme not in ("http", "https"):
        return Complaint(f"{what} can't be {_MOVED[what]} by {url.scheme}", _URL)
    if not url.hostname:
        return Complaint("this URL can't be read", _URL)
    if url.username is not None or url.password is not None:
        return Complaint("a URL with a user or a password can't be here", "take it out")
    if url.scheme == "https" or _is_loopback(url.hostname):
        return None
    return Complaint(
        f"{what} {_MOVED[what]} over plain http could be anybody's",
        "write https://; http:// is for this machine only (localhost, 127.0.0.1, [::1])",
    )


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _split(text: str) -> SplitResult | None:
    try:
        url = urlsplit(text)
        _ = url.port
    except ValueError:
        return None
    return url


def dotted_claim(text: str) -> Complaint | None:
    """Complain of a path with an empty step; one from ``/`` on is a JSON pointer (RFC 6901)."""
    steps = text[1:].split("/") if text.startswith("/") else text.split(".")
    if all(steps):
        return None
    return Complaint("a part of this claim's path is empty", "write a claim as realm_access.roles")


def allowable(text: str) -> Complaint | None:
    """Complain of an entry that would allow whatever is found."""
    if text.strip("*.@"):
        return None
    return Complaint("this allows whatever is found", "write more of it, as *@example.com")


def own_regex(text: str) -> Complaint | None:
    """Complain of what RE2, which alone stays linear on any text, can't search by.

    Where google-re2 is not installed there is no complaint here, nor any scan later.
    """
    try:
        detectors((), (Pattern("own", text),))
    except PatternInvalid as invalid:
        return Complaint(f"this pattern can't be used: {invalid.message}", _RE2)
    except DetectorsUnavailable:
        return None
    return None


def recipient(text: str) -> Complaint | None:
    """Complain of a key that nobody can encrypt to, above all of a private one."""
    if text.startswith("AGE-SECRET-KEY-") or "PRIVATE KEY" in text:
        return Complaint(
            "a private key can't be in the policy", "write its public part; age-keygen -y gives it"
        )
    if re.fullmatch(r"age1[02-9ac-hj-np-z]{58}|ssh-(ed25519|rsa) [A-Za-z0-9+/=]+( .*)?", text):
        return None
    return Complaint("this is no public key of age or SSH", 'write "age1..." or "ssh-ed25519 ..."')


def store_url(text: str) -> Complaint | None:
    """Complain of what is no URL, or of one that holds a credential."""
    scheme, found, rest = text.partition("://")
    if not found or not re.fullmatch(r"[a-z][a-z0-9+.:-]*", scheme):
        return Complaint("this is no URL", 'write "s3://bucket/prefix"; a path is a directory')
    if re.search(r"[@?#]", rest):
        return Complaint(
            "a credential can't be in the policy",
            "leave out user, password and query: a store finds them in the environment",
        )
    return None


def json_path(text: str) -> Complaint | None:
    """Complain of a JSON path that masks can't follow."""
    try:
        parsed(text)
    except PathInvalid as invalid:
        return Complaint(invalid.message, "write '$.name', '$..name', '$.a[*].b' or '$.a.*'")
    return None
