"""A policy under test, with issuers and a database that are the test's."""

from __future__ import annotations

import os
import tempfile
import time
import weakref
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tracewall.connection import Connection
from tracewall.connection_async import AsyncConnection
from tracewall.identity.issuers import NO_TYPE, TrustedIssuer
from tracewall.identity.profiles import PROVIDERS
from tracewall.policy.load import load
from tracewall.policy.model import Audit, Database, Enforcement, Policy
from tracewall.testing.backend import FakeBackend
from tracewall.testing.issuer import TokenIssuer
from tracewall.trust import trusted_issuer
from tracewall.wall import Wall


@dataclass(frozen=True, eq=False)
class Bench:
    """A shipped policy on the bench: its rules are the real ones, the world around is the test's.

    ``wall`` holds the policy; ``issuers`` maps the names of its issuers to issuers that
    take their place; ``audit`` is the directory of the record.

    Example:
        with FakeBackend(tables) as backend, Bench.load("policy.toml", backend) as bench:
            with bench.connect("analysts") as conn:
                conn.execute("select ...")
    """

    wall: Wall
    issuers: Mapping[str, TokenIssuer]
    audit: Path
    _trusted: Mapping[str, TrustedIssuer]

    @classmethod
    def load(
        cls,
        policy: str | os.PathLike[str],
        backend: FakeBackend | None = None,
        *,
        conninfo: str = "",
        password: Callable[[], str] | None = None,
        clock: Callable[[], float] = time.time,
        **options: Any,
    ) -> Self:
        """Read a policy, and put the test's issuers and database in place of its own.

        Args:
            policy: the policy, in TOML.
            backend: the fake to log in to.
            conninfo: a real server to log in to, as the service's role; without either, the
                policy's own.
            password: gives the database password.
            clock: gives the time to wall and issuers, in seconds since the epoch.
            **options: more of `Wall.load`'s.

        Raises:
            PolicyError: the policy can't be enforced.
        """
        read = load(policy)
        folder = tempfile.TemporaryDirectory(prefix="tracewall-bench-")
        home = Path(folder.name)
        issuers: dict[str, TokenIssuer] = {}
        trusted: dict[str, TrustedIssuer] = {}
        for issuer in read.issuers:
            known = trusted_issuer(issuer, read)
            made = TokenIssuer(issuer.issuer, known.algorithms[0], clock=clock)
            made.write_jwks(home / f"{len(issuers)}.json")
            trusted[issuer.name] = replace(known, keys=str(home / f"{len(issuers)}.json"))
            issuers[issuer.name] = made
        changed = _at_home(read, home, trusted)
        # Rules that are only observed are tested as they will be.
        if not options.get("unsafe_observe"):
            changed = replace(changed, enforcement=Enforcement())
        login = backend.conninfo if backend is not None else conninfo
        if login:
            changed = replace(changed, database=Database(login))
        wall = Wall.from_policy(changed, password=password, clock=clock, **options)
        bench = cls(wall, issuers, home / "audit", trusted)
        weakref.finalize(bench, folder.cleanup)
        return bench

    def token(
        self, *groups: str, subject: str = "someone", issuer: str = "", **options: Any
    ) -> str:
        """Mint a token of one of the policy's issuers, by default the first; see `mint_token`."""
        name = issuer or next(iter(self.issuers))
        return mint_token(
            self._trusted[name], self.issuers[name], groups, subject=subject, **options
        )

    def connect(self, *groups: str, **options: Any) -> Connection[Any]:
        """Connect as a member of groups; `options` are those of `tracewall.connect`."""
        options.setdefault("token", self.token(*groups))
        return Connection.connect(wall=self.wall, **options)

    async def connect_async(self, *groups: str, **options: Any) -> AsyncConnection[Any]:
        """Connect asynchronously as a member of groups."""
        options.setdefault("token", self.token(*groups))
        return await AsyncConnection.connect(wall=self.wall, **options)

    def recorded(self) -> str:
        """Give everything that the record holds so far, for a test to look into."""
        self.wall.audit.flush()
        return "".join(path.read_text("utf-8") for path in sorted(self.audit.glob("*.jsonl")))

    def close(self) -> None:
        """Close the wall."""
        self.wall.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def _at_home(policy: Policy, home: Path, trusted: Mapping[str, TrustedIssuer]) -> Policy:
    """Give a policy that writes to a folder only, and reads the keys that are there."""
    keys = {name: issuer.keys for name, issuer in trusted.items()}
    # Of the record's keys those stay that say what is in it, not where it goes, nor who signs.
    said = {
        name: getattr(policy.audit, name)
        for name in ("durability", "writes", "erasable", "mirror", "bytes")
    }
    return replace(
        policy,
        issuers=tuple(replace(each, keys=keys[each.name], discovery="") for each in policy.issuers),
        audit=Audit(directory=str(home / "audit"), **said),
        recording=replace(policy.recording, directory=str(home / "recordings")),
    )


def mint_token(
    trusted: TrustedIssuer,
    issuer: TokenIssuer,
    groups: Sequence[str] = (),
    *,
    subject: str = "someone",
    lifetime: float = 300,
    claims: Mapping[str, Any] | None = None,
    headers: Mapping[str, Any] | None = None,
) -> str:
    """Give a token as an issuer of a policy would make it: its claims, type and audience.

    Args:
        trusted: how the policy checks the issuer's tokens.
        issuer: signs in the issuer's place.
        groups: the groups, put where the policy looks for them.
        subject: who.
        lifetime: seconds from now.
        claims: laid over the others; None takes one away. What a provider derives groups
            from (a repository, a service account, a tenant) is to be given here.
        headers: laid over the header.
    """
    told: dict[str, Any] = {"aud": None, "sub": None, "groups": None}
    _put(told, trusted.subject_claim, subject)
    if groups or trusted.groups_claims == ("groups",):
        prefix = trusted.groups_prefix
        listed = [group.removeprefix(prefix) for group in groups]
        _put(told, (trusted.groups_claims or ("groups",))[0], listed)
    told |= _marks(trusted)
    for path, values in trusted.require:
        _put(told, path, values[0])
    _put(told, trusted.audience_claim, trusted.audiences[0])
    kind = trusted.token_types[0]
    typed = {"typ": None if kind == NO_TYPE else kind or "JWT"}
    return issuer.mint(
        subject,
        audience=trusted.audiences[0],
        lifetime=lifetime,
        claims={**told, **(claims or {})},
        headers={**typed, **(headers or {})},
    )


def _marks(trusted: TrustedIssuer) -> dict[str, Any]:
    """Give the claims by which a provider's tokens of this kind are known."""
    profile = PROVIDERS[trusted.provider]
    marks = profile.access_marks if trusted.tokens == "access" else profile.id_marks
    return dict(marks.equal) | dict.fromkeys(marks.some[:1], "test")


def _put(claims: dict[str, Any], path: str, value: object) -> None:
    """Put a value where a path of claims leads: a name, a dotted path, or a JSON pointer."""
    if path.startswith("/"):
        parts = [part.replace("~1", "/").replace("~0", "~") for part in path[1:].split("/")]
    else:
        parts = path.split(".")
    for part in parts[:-1]:
        claims = claims.setdefault(part, {})
    claims[parts[-1]] = value
