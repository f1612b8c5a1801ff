"""What is wrong with the addresses that a wall sends things to: can they be reached from here."""

from __future__ import annotations

import os
from collections.abc import Iterator

from tracewall.cli.findings import Finding, Severity
from tracewall.identity.fetch import FetchFailed, locate, reach
from tracewall.policy.model import Policy

_TIMEOUT = 5.0


def of_addresses(policy: Policy) -> Iterator[Finding]:
    """Find addresses that give no connection. Nothing is sent to them, so nobody is told anything.

    An address may be a secret, as that of a chat is: only its host is told.
    """
    for check, severity, what, url, line in _addresses(policy):
        try:
            place = locate(url)
            reach(place, timeout=_TIMEOUT)
        except ValueError:
            continue  # What is no address is found where it stands.
        except FetchFailed as error:
            message = f"{what} at {place.host} can't be reached from here: {error}"
            help = "is it up, is there a way to it without a proxy, and is its certificate trusted?"
            yield Finding(check, severity, message, help, line)


def _addresses(policy: Policy) -> Iterator[tuple[str, Severity, str, str, int]]:
    for issuer in policy.issuers:
        if issuer.introspection is not None:
            what = f"the introspection of the issuer {issuer.name}"
            yield "keys.reach", "error", what, issuer.introspection.url, issuer.line
    yield "audit.reach", "warning", "the place of checkpoints", policy.audit.anchor_url, 0
    where = policy.approval
    yield "approvals.reach", "warning", "the webhook of requests", where.webhook, 0
    chat = os.environ.get(where.chat_env, "") if where.chat_env else ""
    yield "approvals.reach", "warning", "the chat that requests are told to", chat, 0
