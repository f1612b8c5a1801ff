"""The desk of a policy: where its requests are kept, whose signatures count, who is told."""

from __future__ import annotations

from collections.abc import Callable

from tracewall.approval.desk import Desk
from tracewall.approval.notices import BadSecret, Chat, Notice, Teller, Webhook, secret_key
from tracewall.approval.postgres import PostgresStore
from tracewall.approval.sqlite import SqliteStore
from tracewall.approval.store import Store
from tracewall.errors import PolicyError
from tracewall.places import beside, from_variable, secret
from tracewall.policy.checks import webhook
from tracewall.policy.glob import Glob
from tracewall.policy.model import Policy
from tracewall.signing import PublicKey


def desk_of(policy: Policy, store: Store | None, clock: Callable[[], float]) -> Desk:
    """Open the desk of a policy, with its own store where none is given.

    Raises:
        StoreUnavailable: the store can't be used.
        PolicyError: its password is not where the policy says.
    """
    keys = [PublicKey.parse(key) for key in policy.approval.keys]
    told = notices(policy)
    listeners = [Teller(told)] if told else []
    return Desk(
        store or store_of(policy),
        keys,
        matches,
        clock=clock,
        listeners=listeners,
        most_pending=policy.approval.most_pending,
        keep=policy.approval.keep,
    )


def store_of(policy: Policy) -> Store:
    """Open the store that a policy names.

    Raises:
        StoreUnavailable: it can't be used.
        PolicyError: its password is not where the policy says.
    """
    where = policy.approval
    if where.conninfo:
        what = "the password of the store of requests"
        return PostgresStore(
            where.conninfo, secret(policy, where.password_env, where.password_file, what)
        )
    return SqliteStore(beside(policy, policy.approval.store))


def notices(policy: Policy) -> tuple[Notice, ...]:
    """Give what tells people of new requests, as a policy says.

    Raises:
        PolicyError: a secret is not where the policy says, or is none.
    """
    where = policy.approval
    found: list[Notice] = []
    if where.webhook:
        what = "the secret of the webhook"
        text = secret(policy, where.webhook_secret_env, where.webhook_secret_file, what)
        try:
            found.append(Webhook(where.webhook, secret_key(text)))
        except BadSecret as ex:
            raise PolicyError(f"{what}: {ex}", path=policy.path) from None
    if where.chat_env:
        url = from_variable(where.chat_env, "the chat's incoming webhook")
        if complaint := webhook(url):
            raise PolicyError(f"the chat's incoming webhook: {complaint[0]}", path=where.chat_env)
        found.append(Chat(url))
    return tuple(found)


def matches(glob: str, group: str) -> bool:
    """Tell whether a pattern of a policy matches the name of a group."""
    return Glob(glob, dots=True).matches(group)
