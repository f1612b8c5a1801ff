"""What is wrong on this machine: what is installed, and where secrets and records are."""

from __future__ import annotations

import csv
import os
import shutil
import stat
import sys
from base64 import urlsafe_b64encode
from collections.abc import Callable, Iterator
from functools import partial
from hashlib import sha256
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from tracewall import pq, version
from tracewall.audit.verify import verify
from tracewall.cli.findings import Finding
from tracewall.counter import notices
from tracewall.errors import PolicyError
from tracewall.logbook import checkpoints
from tracewall.places import beside, secret
from tracewall.policy.exposed import exposed, foreign, shared, stranger
from tracewall.policy.model import Policy
from tracewall.signing import BadKey, Signer

_LEAST_FREE = 1 << 30
_READ_AT_ONCE = 64 << 20
_MASK_KEY = "TRACEWALL_MASK_KEY"


def of_installation() -> Iterator[Finding]:
    """Find what of the installation is slower or weaker than it could be.

    That the unrelated distribution `tracewall` is not here is seen to when the package is
    imported: it would not have come so far.
    """
    if pq.__impl__ == "python":
        message = "psycopg runs without its C implementation, some times slower"
        help = 'pip install "pgtracewall[binary]"'
        yield Finding("install.psycopg", "note", message, help)
    if sys.flags.optimize:
        message = "Python runs with -O, which takes assertions away"
        yield Finding("install.python", "note", message, "run it without -O and PYTHONOPTIMIZE")
    changed = sum(1 for _ in _changed())
    if changed:
        message = f"{changed} of tracewall's files are not those that were installed"
        help = "the distribution named tracewall may have replaced them, or somebody else:"
        help += " pip uninstall tracewall; pip install --force-reinstall --no-deps pgtracewall"
        yield Finding("install.changed", "error", message, help)


def _changed() -> Iterator[Path]:
    """Yield the files of the installation that are not as pip recorded them (PEP 376)."""
    try:
        installed = distribution("pgtracewall")
    except PackageNotFoundError:
        return
    if Path(str(installed.locate_file("tracewall/version.py"))) != Path(version.__file__):
        return  # It runs from elsewhere: a checkout.
    # `files` leaves out those that are gone, from some Python on.
    for name, hash, *_ in csv.reader((installed.read_text("RECORD") or "").splitlines()):
        if name.startswith("tracewall/") and hash.startswith("sha256="):
            path = Path(str(installed.locate_file(name)))
            found = sha256(path.read_bytes()).digest() if path.is_file() else b""
            if urlsafe_b64encode(found).rstrip(b"=").decode() != hash.removeprefix("sha256="):
                yield path


def of_places(policy: Policy) -> Iterator[Finding]:
    """Find files and directories that others may read or change, or that are full."""
    for weakness in exposed(policy):
        mends = "chmod o-w" if "change" in weakness.how else "chmod o-r"
        yield Finding("files.mode", "error", weakness.how, mends, weakness.line)
    for weakness in shared(policy):
        change = "change" in weakness.how
        mends = "chmod g-w" if change else "chmod g-r, unless the wall reads it as that group"
        yield Finding(
            "files.group", "warning" if change else "note", weakness.how, mends, weakness.line
        )
    yield from _of_owners(policy)
    if not policy.audit.conninfo:
        yield from _of_audit(policy)
    if policy.recordings and "://" not in policy.recording.directory:
        place = beside(policy, policy.recording.directory)
        yield from of_directory("recording", "the recordings", place)
    if policy.approvals and not policy.approval.conninfo:
        yield from _of_file("approvals", "the requests", beside(policy, policy.approval.store))
    hashed = [mask for mask in policy.masks if mask.method.name == "hash" and not mask.method.key]
    if hashed and not os.environ.get(_MASK_KEY):
        message = f"masks.{hashed[0].name} makes pseudonyms, and {_MASK_KEY} is not set here"
        help = f"set {_MASK_KEY} to a secret of at least 16 bytes, or give mask_key to the wall"
        yield Finding("keys.mask", "warning", message, help, hashed[0].line)


def _of_owners(policy: Policy) -> Iterator[Finding]:
    """Find files whose owner is neither root nor the wall's user.

    Whoever runs this counts as the wall's user; for root that is the owner of the record, or of
    the policy where there is no record yet.
    """
    if os.name != "posix" or not policy.path:
        return
    record, user = beside(policy, policy.audit.directory), os.geteuid()
    if user == 0:
        user = (record if record.is_dir() else Path(policy.path)).stat().st_uid
    own = frozenset({0, user})
    help = "chown it to root or to the wall's user; if that is its owner, run this as that user"
    for weakness in foreign(policy, own):
        yield Finding("files.owner", "warning", weakness.how, help, weakness.line)
    kept = {
        "the record": record,
        "the recordings": beside(policy, policy.recording.directory),
        "the requests": beside(policy, policy.approval.store),
    }
    for what, place in kept.items():
        for who in stranger(place, own):
            message = f"{who} is the owner of {what}, and may change what is there: {place}"
            yield Finding("files.owner", "warning", message, help)


def of_secrets(policy: Policy) -> Iterator[Finding]:
    """Find secrets that a policy names and that are not here, or are none."""
    asked: list[tuple[str, int, Callable[[], object]]] = [
        ("audit.key", 0, lambda: checkpoints(policy, ())),
        ("approvals.notices", 0, lambda: notices(policy)),
    ]
    asked += [
        ("keys.mask", key.line, partial(secret, policy, key.env, key.file, f"the key {key.id}"))
        for key in policy.keys
    ]
    asked += [
        ("console.secret", way.line, partial(
            secret, policy, way.client_secret_env, way.client_secret_file, "the client's secret"))
        for way in policy.console.logins
    ]  # fmt: skip
    for check, line, ask in asked:
        try:
            ask()
        except PolicyError as error:
            message = f"{error.message} ({error.path})"
            yield Finding(check, "error", message, error.help or "put it there", line)
    yield from _of_console(policy)


def _of_console(policy: Policy) -> Iterator[Finding]:
    """Find a console whose decisions count nowhere."""
    what, console = "the key that signs decisions", policy.console
    try:
        text = secret(policy, console.key_env, console.key_file, what)
        signer = Signer.parse(text.strip()) if text else None
    except PolicyError as error:
        message = f"{error.message} ({error.path})"
        yield Finding("console.key", "error", message, error.help or "put it there")
    except BadKey as error:
        yield Finding(
            "console.key", "error", f"{what} can't be used: {error}", "tracewall audit keygen NAME"
        )
    else:
        if signer and str(signer.public) not in policy.approval.keys:
            message = f"{what} in the console is none of those that count"
            help = "write its public key into [approval] keys"
            yield Finding("console.key", "error", message, help)


def _of_audit(policy: Policy) -> Iterator[Finding]:
    place = beside(policy, policy.audit.directory)
    yield from of_directory("audit", "the record", place)
    if not policy.audit.signed:
        message = "the record is not signed: who may write it may write all of it anew"
        yield Finding("audit.unsigned", "note", message, "tracewall audit keygen makes a key")
    if not place.is_dir():
        return
    try:
        size = sum(file.stat().st_size for file in place.iterdir() if file.is_file())
        report = verify(place) if size <= _READ_AT_ONCE else None
    except OSError as error:
        message = f"the record in {place} can't be read: {error.strerror}"
        yield Finding("audit.unreadable", "error", message, "run this as the wall's user")
        return
    if report is None:
        message = f"the record in {place} is large, and was not verified now"
        yield Finding("audit.unverified", "note", message, f"run tracewall audit verify {place}")
    elif not report.ok:
        message = f"the record in {place} does not verify"
        yield Finding("audit.broken", "error", message, f"run tracewall audit verify {place}")


def of_directory(check: str, what: str, place: Path) -> Iterator[Finding]:
    """Find a directory that can't be written, that others may read, or that is full."""
    there = next((each for each in (place, *place.absolute().parents) if each.exists()), place)
    if there != place and not os.access(there, os.W_OK):
        message = f"the directory of {what}, {place}, is not there and can't be made"
        yield Finding(f"{check}.directory", "error", message, "make it, for the wall's user alone")
    elif there == place:
        if not os.access(place, os.W_OK):
            message = f"the directory of {what}, {place}, can't be written by this user"
            yield Finding(f"{check}.directory", "error", message, "run this as the wall's user")
        yield from _of_mode(check, what, place, "chmod 700")
    free = shutil.disk_usage(there).free
    if free < _LEAST_FREE:
        message = f"there are {free >> 20} MiB left for {what} in {place}"
        help = "statements are refused when there is no room; see rotate_size, keep_for"
        yield Finding(f"{check}.space", "warning", message, help)


def _of_file(check: str, what: str, place: Path) -> Iterator[Finding]:
    if place.exists():
        yield from _of_mode(check, what, place, "chmod 600")


def _of_mode(check: str, what: str, place: Path, mends: str) -> Iterator[Finding]:
    mode = place.stat().st_mode if os.name == "posix" else 0
    if mode & stat.S_IWOTH and not mode & stat.S_ISVTX:
        message = f"everybody on this machine may change {what} in {place}"
        yield Finding(f"{check}.mode", "error", message, f"{mends} {place}")
    elif mode & (stat.S_IROTH | stat.S_IWOTH):
        message = f"everybody on this machine may read {what} in {place}"
        yield Finding(f"{check}.mode", "warning", message, f"{mends} {place}")
