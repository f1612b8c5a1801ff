"""The frozen values of what a policy says of the web console."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from tracewall.policy.glob import Glob

LoginToken: TypeAlias = Literal["id", "access"]


@dataclass(frozen=True, slots=True)
class Login:
    """A way to log in to the console: by the OpenID provider of an issuer of the policy.

    ``issuer`` is that issuer's name; the console is its client ``client_id``, with a secret
    in ``client_secret_env`` or ``client_secret_file``, or without one. ``scopes`` are asked
    for besides ``openid``, and ``resource`` (RFC 8707) where it is not empty. Who has logged
    in is whom the ID token names, or, where ``token`` says so, the access token, which then
    is one that the wall itself would take.
    """

    issuer: str
    client_id: str
    client_secret_env: str = ""
    client_secret_file: str = ""
    scopes: tuple[str, ...] = ()
    resource: str = ""
    token: LoginToken = "id"
    line: int = 0


@dataclass(frozen=True, slots=True)
class Console:
    """Where the web console is reached, who logs in how, and who sees what.

    ``url`` is where browsers find it (empty: on this machine only), ``hosts`` are further
    values of Host that it answers to. Members of ``viewers`` see recorded sessions, members of
    ``auditors`` the audit record; requests are seen by who may decide on them and by who asks.
    With ``tokens`` people may also log in by pasting an access token. Nobody stays logged in
    longer than ``lasts`` seconds, nor than their token. Decisions are signed by the key in
    ``key_env`` (name of an environment variable) or ``key_file`` (a path). A record in PostgreSQL
    is read by the login of ``record_conninfo``, with the password of ``record_password_env`` or
    ``record_password_file``.
    """

    url: str = ""
    hosts: tuple[str, ...] = ()
    viewers: tuple[Glob, ...] = ()
    auditors: tuple[Glob, ...] = ()
    tokens: bool = True
    lasts: float = 28_800.0
    key_env: str = ""
    key_file: str = ""
    record_conninfo: str = ""
    record_password_env: str = ""
    record_password_file: str = ""
    logins: tuple[Login, ...] = ()


CLOSED = Console()
"""What holds where a policy says nothing of it: nobody sees sessions or the record."""
