"""Functions that policies name as masks of their own."""

from __future__ import annotations

from typing import Any


def gone(value: object) -> None:
    """Hide any value."""
    return None


def shout(value: str) -> str:
    """Give the first letter, in capitals."""
    return value[:1].upper() + "!"


def raises(value: object) -> Any:
    """Fail, and quote the value."""
    raise RuntimeError(f"can't mask {value}")


def mistypes(value: object) -> Any:
    """Give a list of whatever comes."""
    return [value]


NOT_A_FUNCTION = 7
