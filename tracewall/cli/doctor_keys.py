"""What is wrong with what tokens are verified by: issuers' keys, their age, and their clocks."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

from tracewall.cli.findings import Finding, Severity
from tracewall.errors import PolicyError
from tracewall.identity.certificates import ends
from tracewall.identity.fetch import FetchFailed, Location, stamps
from tracewall.identity.keys import KeyKeeper, KeySet
from tracewall.policy.model import Issuer, Policy
from tracewall.trust import verifier_of

_TIMEOUT = 5.0
_LONG = 180 * 86_400.0
_SOON = 30 * 86_400.0


def of_keys(policy: Policy) -> Iterator[Finding]:
    """Find issuers whose keys can't be had, or can't be used; asks them over the network."""
    try:
        verifier = verifier_of(policy)
    except PolicyError as error:
        yield Finding("keys.issuer", "error", error.message, error.help, error.line)
        return
    verifier.refresh()
    problems, sets, keepers = verifier.problems(), verifier.key_sets(), verifier.keepers()
    if not policy.issuers:
        message = "the policy names no issuer, so no token is accepted"
        yield Finding("keys.issuer", "error", message, "write [[issuers]]")
    for issuer in policy.issuers:
        if issuer.name in problems:
            message = f"the keys of the issuer {issuer.name} {problems[issuer.name]}"
            help = "is it reachable from here, without a proxy, and is its certificate trusted?"
            yield Finding("keys.unreachable", "error", message, help, issuer.line)
        elif found := sets.get(issuer.name):
            yield from _of_set(issuer, found)
            yield from _of_source(issuer, keepers[issuer.name])
    if "revocations" in problems:
        message = f"the list of what is revoked {problems['revocations']}"
        yield Finding("keys.revocations", "error", message, "an empty file revokes nothing")


def _of_set(issuer: Issuer, found: KeySet) -> Iterator[Finding]:
    name, line, accepted = issuer.name, issuer.line, issuer.algorithms or ()
    for why in found.ignored:
        published = "private half" in why
        severity: Severity = "error" if published else "note"
        message = f"a key of the issuer {name} is not used: {why}"
        help = "tokens signed by it are refused"
        help += "; whoever read the set can sign: have the issuer replace it" * published
        yield Finding("keys.ignored", severity, message, help, line)
    keys = found.ids.values()
    if not keys:
        message = f"the issuer {name} has no key that can be used: every token is refused"
        help = "RSA of 2048 bits, P-256, P-384, Ed25519"
        yield Finding("keys.none", "error", message, help, line)
    elif accepted and not any(key.algorithms & set(accepted) for key in keys):
        message = f"no key of the issuer {name} is for {', '.join(accepted)}"
        yield Finding("keys.none", "error", message, "change `algorithms`", line)
    if any(not key.name for key in keys):
        several = len(keys) > 1
        why = "so tokens can't say which they mean" if several else "so a second one can't come"
        what = "some keys" if several else "the key"
        message = f"{what} of the issuer {name} {'have' if several else 'has'} no kid, {why}"
        help = "have the issuer give each key a kid: keys are changed with both there for a while"
        yield Finding("keys.kid", "warning" if several else "note", message, help, line)


def _of_source(issuer: Issuer, keeper: KeyKeeper) -> Iterator[Finding]:
    place = keeper.place()
    if isinstance(place, Path):
        changed = place.stat().st_mtime
        help = "a file is not renewed by itself: has the issuer changed its keys since?"
        yield from _of_age(issuer, "are in a file that was", changed, help)
    else:
        yield from _of_answer(issuer, place)
    yield from _of_certificates(issuer, keeper.document)


def _of_age(issuer: Issuer, where: str, changed: float, help: str) -> Iterator[Finding]:
    old = time.time() - changed
    if old > _LONG:
        days = f"changed {old // 86_400:.0f} days ago"
        message = f"the keys of the issuer {issuer.name} {where} {days}"
        yield Finding("keys.age", "note", message, help, issuer.line)


def _of_answer(issuer: Issuer, place: Location) -> Iterator[Finding]:
    """Find what the headers of an answer tell of its maker's clock, and of the keys' age."""
    before = time.time()
    try:
        said, changed = stamps(place, timeout=_TIMEOUT)
    except FetchFailed:
        return  # Its keys came: not every server says what time it is.
    if changed is not None:
        help = "whoever had a key of then can still sign: does the issuer change its keys?"
        yield from _of_age(issuer, "were, as it says,", changed, help)
    # It says whole seconds.
    apart = max(before - (said + 1), said - time.time(), 0.0)
    leeway = issuer.leeway
    if apart > 1:
        severity: Severity = "warning" if apart > leeway else "note"
        message = f"this machine's clock and that of {place.host} are {apart:.0f} seconds apart"
        help = f"tokens are too early or over by that much ({leeway:.0f} are allowed): use NTP"
        yield Finding("keys.clock", severity, message, help, issuer.line)


def _of_certificates(issuer: Issuer, document: bytes) -> Iterator[Finding]:
    """Find what is over, or soon is, of the certificates that some issuers put beside keys."""
    for at, end in ends(document).items():
        left = end - time.time()
        if left < _SOON:
            says = f"ends in {left // 86_400:.0f} days" if left > 0 else "is over"
            message = f"the certificate of keys[{at}] of the issuer {issuer.name} {says}"
            help = "its key is used all the same; a new one is due: see that it is published here"
            yield Finding("keys.certificate", "note", message, help, issuer.line)
