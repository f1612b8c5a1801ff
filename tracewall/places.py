"""Where a policy says that something is: a path beside it, or a secret in a variable or a file."""

from __future__ import annotations

import os
from pathlib import Path

from tracewall.errors import PolicyError
from tracewall.policy.model import Policy


def beside(policy: Policy, name: str) -> Path:
    """Give a path that a policy names, relative to the policy's own directory."""
    return Path(policy.path).parent / name if policy.path else Path(name)


def secret(policy: Policy, env: str, file: str, what: str = "the database password") -> str:
    """Give what is in an environment variable or a file; empty where neither is named.

    Raises:
        PolicyError: it is not there, or there is nothing in it.
    """
    if env:
        return from_variable(env, what)
    return _from_file(beside(policy, file), what) if file else ""


def from_variable(name: str, what: str) -> str:
    """Give the secret in an environment variable.

    Raises:
        PolicyError: there is none.
    """
    found = os.environ.get(name)
    if not found:
        raise PolicyError(f"{what} is missing", path=name, help="set this environment variable")
    return found


def _from_file(path: Path, what: str) -> str:
    try:
        found = path.read_text(encoding="utf-8").rstrip("\r\n")
    except OSError as ex:
        raise PolicyError(f"{what} can't be read: {ex.strerror}", path=str(path)) from None
    except UnicodeDecodeError:
        raise PolicyError(f"{what} is no text in UTF-8", path=str(path)) from None
    if not found:
        raise PolicyError(f"{what} is missing", path=str(path), help="the file is empty")
    return found
