"""What is wrong on this machine: what is installed, keys, and the places records are kept in."""

from __future__ import annotations

import os
import shutil
import stat
import sys
from collections.abc import Iterator
from pathlib import Path

from tracewall import pq
from tracewall.audit.verify import verify
from tracewall.cli.findings import Finding
from tracewall.errors import PolicyError
from tracewall.identity.keys import KeySet
from tracewall.policy.exposed import exposed
from tracewall.policy.model import Policy
from tracewall.trust import beside, verifier_of

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


def of_keys(policy: Policy) -> Iterator[Finding]:
    """Find issuers whose keys can't be had, or can't be used; asks them over the network."""
    try:
        verifier = verifier_of(policy)
    except PolicyError as error:
        yield Finding("keys.issuer", "error", error.message, error.help, error.line)
        return
    verifier.refresh()
    problems = verifier.problems()
    sets = verifier.key_sets()
    if not policy.issuers:
        message = "the policy names no issuer, so no token is accepted"
        yield Finding("keys.issuer", "error", message, "write [[issuers]]")
    for issuer in policy.issuers:
        if issuer.name in problems:
            message = f"the keys of the issuer {issuer.name} {problems[issuer.name]}"
            help = "is it reachable from here, without a proxy, and is its certificate trusted?"
            yield Finding("keys.unreachable", "error", message, help, issuer.line)
        elif found := sets.get(issuer.name):
            yield from _of_set(issuer.name, issuer.line, issuer.algorithms or (), found)
    if "revocations" in problems:
        message = f"the list of what is revoked {problems['revocations']}"
        yield Finding("keys.revocations", "error", message, "an empty file revokes nothing")


def _of_set(name: str, line: int, accepted: tuple[str, ...], found: KeySet) -> Iterator[Finding]:
    for why in found.ignored:
        message = f"a key of the issuer {name} is not used: {why}"
        help = "tokens signed by it are refused"
        yield Finding("keys.ignored", "note", message, help, line)
    keys = found.ids.values()
    if not keys:
        message = f"the issuer {name} has no key that can be used: every token is refused"
        yield Finding(
            "keys.none", "error", message, "RSA of 2048 bits, P-256, P-384, Ed25519", line
        )
    elif accepted and not any(key.algorithms & set(accepted) for key in keys):
        message = f"no key of the issuer {name} is for {', '.join(accepted)}"
        yield Finding("keys.none", "error", message, "change `algorithms`", line)
    if len(keys) > 1 and any(not key.name for key in keys):
        message = f"some keys of the issuer {name} have no kid, so tokens can't say which they mean"
        yield Finding("keys.kid", "warning", message, "have the issuer give each key a kid", line)


def of_places(policy: Policy) -> Iterator[Finding]:
    """Find files and directories that others may read or change, or that are full."""
    for weakness in exposed(policy):
        mends = "chmod o-w" if "change" in weakness.how else "chmod o-r"
        yield Finding("files.mode", "error", weakness.how, mends, weakness.line)
    if not policy.audit.conninfo:
        yield from _of_audit(policy)
    if policy.recordings and "://" not in policy.recording.directory:
        place = beside(policy, policy.recording.directory)
        yield from _of_directory("recording", "the recordings", place)
    if policy.approvals and not policy.approval.conninfo:
        yield from _of_file("approvals", "the requests", beside(policy, policy.approval.store))
    hashed = [mask for mask in policy.masks if mask.method.name == "hash" and not mask.method.key]
    if hashed and not os.environ.get(_MASK_KEY):
        message = f"masks.{hashed[0].name} makes pseudonyms, and {_MASK_KEY} is not set here"
        help = f"set {_MASK_KEY} to a secret of at least 16 bytes, or give mask_key to the wall"
        yield Finding("keys.mask", "warning", message, help, hashed[0].line)


def _of_audit(policy: Policy) -> Iterator[Finding]:
    place = beside(policy, policy.audit.directory)
    yield from _of_directory("audit", "the record", place)
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


def _of_directory(check: str, what: str, place: Path) -> Iterator[Finding]:
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
