"""Which files of a policy others own, may write, or may read though they hold a secret."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from tracewall.policy.model import Policy
from tracewall.policy.weaknesses import Weakness


def exposed(policy: Policy) -> list[Weakness]:
    """Return what the permissions of a policy's files weaken; nothing where there are none."""
    if os.name != "posix" or not policy.path:
        return []
    home, trusted, secret = Path(policy.path).parent, _trusted(policy), _secret(policy)
    found = [
        Weakness("files", line, f"everybody may change {what}: {name}")
        for name, what, line in (*trusted, *secret)
        if name and any(_is_open(mode, stat.S_IWOTH) for mode in _modes(home / name))
    ]
    return found + [
        Weakness("files", line, f"everybody may read {what}: {name}")
        for name, what, line in secret
        if name and any(mode & stat.S_IROTH for mode in _mode(home / name))
    ]


def shared(policy: Policy) -> list[Weakness]:
    """Return which of those files a group may change, or read though they hold a secret."""
    if os.name != "posix" or not policy.path:
        return []
    home, secret = Path(policy.path).parent, _secret(policy)
    found = [
        Weakness("files", line, f"a group may change {what}: {name}")
        for name, what, line in (*_trusted(policy), *secret)
        if name and any(mode & stat.S_IWGRP for mode in _mode(home / name))
    ]
    return found + [
        Weakness("files", line, f"a group may read {what}: {name}")
        for name, what, line in secret
        if name and any(mode & stat.S_IRGRP for mode in _mode(home / name))
    ]


def foreign(policy: Policy, own: frozenset[int]) -> list[Weakness]:
    """Return which of those files, and of their directories, have other owners.

    Args:
        policy: whose files count.
        own: the users (uids) that may own them.
    """
    if os.name != "posix" or not policy.path:
        return []
    home = Path(policy.path).parent
    named = [each for each in (*_trusted(policy), *_secret(policy)) if each[0]]
    found = [
        Weakness(
            "files", line, f"{who} is the owner of {what}, and may change what is there: {name}"
        )
        for name, what, line in named
        for who in stranger(home / name, own)
    ]
    return found + [
        Weakness("files", 0, f"{who} owns a directory, and may replace what is in it: {place}")
        for place in dict.fromkeys((home / name).parent for name, _, _ in named)
        for who in stranger(place, own)
    ]


def stranger(path: Path, own: frozenset[int]) -> Iterator[str]:
    """Yield the owner's name where a path is there, and has an owner that is none of `own`."""
    try:
        if path.stat().st_uid not in own:
            yield path.owner()
    except KeyError:
        yield f"the user {path.stat().st_uid}"
    except (OSError, ValueError):
        return


def _trusted(policy: Policy) -> list[tuple[str, str, int]]:
    """Give the files that say who may do what: name, what they are, line."""
    found = [(policy.path, "the policy", 0), (policy.identity.revocations, "the revocations", 0)]
    return found + [(i.keys, "the keys", i.line) for i in policy.issuers if "://" not in i.keys]


def _secret(policy: Policy) -> list[tuple[str, str, int]]:
    """Give the files that hold secrets."""
    return [
        (policy.database.password_file, "the password", 0),
        (policy.audit.signing_key_file, "the signing key", 0),
        *((key.file, f"the key {key.id}", key.line) for key in policy.keys),
        (policy.audit.password_file, "the password of the record", 0),
        (policy.audit.anchor_password_file, "the password of the anchor", 0),
        (policy.approval.password_file, "the password of the requests", 0),
        (policy.approval.webhook_secret_file, "the secret of the webhook", 0),
        (policy.console.key_file, "the key that signs decisions", 0),
        (policy.console.record_password_file, "the password of the record's reader", 0),
        *(
            (way.client_secret_file, "the client's secret", way.line)
            for way in policy.console.logins
        ),
    ]


def _modes(path: Path) -> Iterator[int]:
    """Give the modes of a file and of its directory, in which it could be replaced."""
    yield from _mode(path)
    yield from _mode(path.parent)


def _mode(path: Path) -> Iterator[int]:
    try:
        yield path.stat().st_mode
    except (OSError, ValueError):
        return


def _is_open(mode: int, to: int) -> bool:
    # In a directory with the sticky bit only a file's owner may replace it.
    return bool(mode & to) and not (stat.S_ISDIR(mode) and mode & stat.S_ISVTX)
