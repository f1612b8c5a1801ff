"""The desk of a policy: where its requests are kept, whose signatures count, who is told."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from tracewall.approval.desk import Desk
from tracewall.approval.postgres import PostgresStore
from tracewall.approval.sqlite import SqliteStore
from tracewall.approval.store import Store
from tracewall.errors import PolicyError
from tracewall.policy.glob import Glob
from tracewall.policy.model import Policy
from tracewall.signing import PublicKey
from tracewall.trust import beside


def desk_of(policy: Policy, store: Store | None, clock: Callable[[], float]) -> Desk:
    """Open the desk of a policy, with its own store where none is given.

    Raises:
        StoreUnavailable: the store can't be used.
        PolicyError: its password is not where the policy says.
    """
    keys = [PublicKey.parse(key) for key in policy.approval.keys]
    return Desk(store or store_of(policy), keys, matches, clock=clock)


def store_of(policy: Policy) -> Store:
    """Open the store that a policy names.

    Raises:
        StoreUnavailable: it can't be used.
        PolicyError: its password is not where the policy says.
    """
    where = policy.approval
    if where.conninfo:
        what = "the password of the store of requests"
        password = secret(policy, where.password_env, where.password_file, what)
        return PostgresStore(where.conninfo, password)
    return SqliteStore(beside(policy, policy.approval.store))


def matches(glob: str, group: str) -> bool:
    """Tell whether a pattern of a policy matches the name of a group."""
    return Glob(glob, dots=True).matches(group)


def secret(policy: Policy, env: str, file: str, what: str) -> str:
    """Give what is in an environment variable or a file; empty where neither is named.

    Raises:
        PolicyError: it is not there.
    """
    if env:
        found = os.environ.get(env, "")
    elif file:
        found = _read(beside(policy, file))
    else:
        return ""
    if not found:
        where = env or file
        raise PolicyError(f"{what} is missing", path=where, help="it is not in its place")
    return found


def _read(path: Path) -> str:
    try:
        return path.read_text().rstrip("\r\n")
    except OSError:
        return ""
