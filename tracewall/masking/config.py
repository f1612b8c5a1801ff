"""What a policy says about a mask: the frozen configuration of methods and detectors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

MethodName: TypeAlias = Literal[
    "redact", "null", "constant", "partial", "email", "hash", "date", "number", "callable"
]
Unit: TypeAlias = Literal["year", "month", "day", "hour"]

Engine: TypeAlias = Literal["re2", "builtin"]
"""What reads texts for detectors: google-re2, or the slower engine that comes with tracewall."""

PLACES = 100_000
"""How many places of one value are judged by default: up to about a second's work."""

DETECTORS: tuple[str, ...] = (
    "email",
    "phone",
    "card",
    "iban",
    "ip",
    "jwt",
    "pem",
    "aws",
    "gcp",
    "azure",
    "github",
    "slack",
    "stripe",
    "openai",
    "anthropic",
    "token",
    "password",
)
"""The names of the built-in detectors, as a scan may list them.

``token`` is for the keys of further known issuers (GitLab, npm, PyPI, SendGrid…).
"""


@dataclass(frozen=True, slots=True)
class Method:
    """How a value is masked.

    ``name`` is the method; ``keep_first`` and ``keep_last`` (characters) go with
    ``partial``, ``value`` (text) with ``constant``, ``unit`` with ``date`` (truncate to
    it), ``bucket`` (a positive number) with ``number`` (round down to a multiple),
    ``callable`` (``package.module:function``) with ``callable``. ``key`` is the id of the
    key that pseudonyms and marks are made with; empty: the wall's own.
    """

    name: MethodName
    keep_first: int = 0
    keep_last: int = 0
    value: str = ""
    unit: Unit = "day"
    bucket: float = 0.0
    callable: str = ""
    key: str = ""


@dataclass(frozen=True, slots=True)
class Replacement:
    """What stands in place of what ``detectors`` find: each find masked by ``method``."""

    detectors: tuple[str, ...]
    method: Method


FOUND_METHODS: tuple[MethodName, ...] = ("redact", "constant", "partial", "email", "hash")
"""The methods that make a text of a text, so that a find can be masked by them."""


@dataclass(frozen=True, slots=True)
class Pattern:
    """A policy's own detector: a ``name`` and an RE2 ``regex`` over UTF-8 text."""

    name: str
    regex: str
