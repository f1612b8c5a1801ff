"""A trace as it is told, before it is laid out in rows.

A generated trace and one read from a file take this one shape, so that both reach the
tables by the same way. Secrets are planted here, in the telling: whatever is derived
from a text then holds the secret too, and each place is known.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Literal, TypeAlias
from uuid import UUID

from tracewall.demo.secrets import Secret, any_secret

Kind: TypeAlias = Literal["reasoning", "tool_call", "tool_call_response"]

_CARRIERS = (
    "For the record: {}",
    "They wrote {} in the ticket.",
    "I was given {} for this.",
    "Noted from the customer: {} (please keep).",
    "Config says {} here.",
    "Seen in the log: {} .",
)


@dataclass(slots=True)
class Step:
    """One step of a run; ``secrets`` are those that ``content`` holds.

    ``tool`` and ``arguments`` belong to a tool call, ``result`` and ``error`` to its
    response; they hold the same secrets as ``content``. ``duration_ms`` is milliseconds.
    """

    kind: Kind
    content: str
    secrets: tuple[Secret, ...] = ()
    tool: str = ""
    arguments: dict[str, object] = field(default_factory=dict)
    result: object = None
    error: str | None = None
    duration_ms: int = 0


@dataclass(slots=True)
class Caller:
    """Who asked: a user of a tenant, with the key the service used for them."""

    tenant: str
    user_id: str
    email: str
    api_key: str


@dataclass(slots=True)
class Trace:
    """One run, start to end: what was asked, each step, and what was answered.

    ``prompt_secrets`` and ``answer_secrets`` are the secrets that those texts hold.
    """

    run_id: UUID
    caller: Caller
    conversation_id: str
    client_ip: str
    agent: str
    provider: str
    model: str
    operation: str
    system: str | None
    started_at: datetime
    prompt: str
    steps: Sequence[Step]
    answer: str
    status: Literal["ok", "error"] = "ok"
    attributes: dict[str, object] = field(default_factory=dict)
    prompt_secrets: tuple[Secret, ...] = ()
    answer_secrets: tuple[Secret, ...] = ()


def starts(rng: Random) -> Iterator[datetime]:
    """Give when one run after another starts, seconds apart, without end."""
    started = datetime(2025, 1, 6, tzinfo=UTC)
    while True:
        started += timedelta(milliseconds=rng.randrange(1000, 90_000))
        yield started


def check_share(secrets: float) -> None:
    """Raise ValueError unless `secrets` is a share of texts, 0 to 1."""
    if not 0.0 <= secrets <= 1.0:
        raise ValueError("the share of texts with secrets must be between 0 and 1")


def plant(rng: Random, text: str) -> tuple[str, tuple[Secret, ...]]:
    """Put a secret into `text`, in a sentence of its own between two lines or at an end.

    Returns the new text and the secret that it now holds.
    """
    secret = any_secret(rng)
    sentence = rng.choice(_CARRIERS).replace("{}", secret.text)
    lines = text.split("\n")
    lines.insert(rng.randrange(len(lines) + 1), sentence)
    return "\n".join(lines), (secret,)
