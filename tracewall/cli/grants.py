"""``tracewall grants``: the privileges of a role that can do what a policy permits, and no more."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import click

from tracewall.cli.holdings import Holdings, holdings, surroundings
from tracewall.cli.live import Server, server
from tracewall.cli.options import DSN, JSON, policy_argument
from tracewall.cli.reading import against, reached, read
from tracewall.cli.roles import Role, role_named
from tracewall.cli.screen import answer, plain
from tracewall.policy.model import Policy
from tracewall.policy.needs import Needs, needs
from tracewall.policy.privileges import Privilege, Thing, covers, granted, revoked
from tracewall.sql.catalog import Catalog
from tracewall.sql.quoting import comment, quoted


@dataclass(frozen=True, slots=True)
class Rightful:
    """A role beside what a policy needs of it: what it lacks, and what it has beyond that.

    ``public`` is what it has beyond that because anybody has.
    """

    name: str
    role: Role | None
    needs: Needs
    held: Holdings

    @property
    def lacking(self) -> frozenset[Privilege]:
        """What the policy needs, and the role does not hold."""
        held = self.held.own | self.held.public
        return frozenset(each for each in self.needs.privileges if not covers(held, each))

    @property
    def surplus(self) -> frozenset[Privilege]:
        """What the role holds, and the policy does not need."""
        return self._beyond(self.held.own)

    @property
    def public(self) -> frozenset[Privilege]:
        """What anybody holds beyond that, but what PostgreSQL gives to all and is harmless."""
        definers = self.held.definers
        return frozenset(
            each
            for each in self._beyond(self.held.public)
            if each.thing.kind != "LANGUAGE" and each.right not in ("CONNECT", "USAGE")
            and (each.thing.kind != "ROUTINE" or each.thing in definers)
        )  # fmt: skip

    def _beyond(self, held: frozenset[Privilege]) -> frozenset[Privilege]:
        return frozenset(each for each in held if not covers(self.needs.privileges, each))


def rightful(policy: Policy, known: Catalog, asked: Server, name: str) -> Rightful:
    """Compare what a role holds with what a policy needs. Raises psycopg.Error."""
    wanted = needs(policy, known, surroundings(asked))
    return Rightful(name, role_named(asked, name), wanted, holdings(asked, name))


@click.command(short_help="Print the GRANTs of a least-privilege role.")
@policy_argument
@DSN
@click.option("--role", required=True, metavar="NAME", help="The role that the wall logs in as.")
@click.option("--revoke", is_flag=True, help="Take from the role what it has beyond that.")
@click.option("--revoke-public", is_flag=True, help="Take it from everybody, too.")
@JSON
def grants(
    policy: Path, dsn: str | None, role: str, revoke: bool, revoke_public: bool, as_json: bool
) -> None:
    """Print the SQL that gives a role just what a policy's grants need.

    Nothing is changed: read it, and run it as the owner of the tables. It may be run again.
    What the role, or everybody, holds beyond that stands there as comments, which
    --revoke and --revoke-public turn into statements. The exit code is 0, also where nothing
    is left to do.
    """
    found = read(policy)
    place = reached(found, dsn)
    known = against(found, place)
    with server(place) as asked:
        compared = rightful(found, known, asked, role)
    if as_json:
        answer(_as_json(compared))
    else:
        plain("\n".join(script(compared, found, revoke=revoke, public=revoke_public)))


def script(found: Rightful, policy: Policy, *, revoke: bool, public: bool) -> Iterator[str]:
    """Yield the lines of the SQL, in one transaction."""
    name = quoted(found.name)
    yield f"-- What the role {comment(found.name)} needs for the policy"
    yield f"-- {comment(policy.name) or 'without a name'} ({policy.hash[:12]}), and no more."
    yield "-- Run it as the owner of the tables. It may be run again."
    yield from (f"-- Not here: {comment(each)}." for each in found.needs.untold)
    yield "BEGIN;\nSET LOCAL search_path = pg_catalog;"
    yield from _role(found.role, name, revoke=revoke)
    yield from _revoked(found.surplus, name, "The role has more than it needs", act=revoke)
    title = "Everybody has this, the role too; others may need it"
    yield from _revoked(found.public, "PUBLIC", title, act=public)
    yield f"\n-- What the grants of {comment(policy.name) or 'the policy'} need:"
    yield from granted(found.needs.privileges, name)
    yield "COMMIT;"


def _role(role: Role | None, name: str, *, revoke: bool) -> Iterator[str]:
    if role is None:
        yield f"\n-- Give it a password by \\password {comment(name)} in psql."
        yield (
            f"CREATE ROLE {name} LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOINHERIT NOREPLICATION"
            " NOBYPASSRLS;"
        )
        return
    lines = list(role.weakened(name))
    if lines:
        yield "\n-- The role has powers that no privilege limits:"
        yield from lines if revoke else (f"--   {line}" for line in lines)
    if role.owns:
        yield "\n-- It owns what follows; an owner may do anything to it. Give it to another role:"
        yield from (f"--   {comment(kind)} {comment(owned)}" for kind, owned in role.owns)


def _revoked(held: frozenset[Privilege], role: str, title: str, *, act: bool) -> Iterator[str]:
    if not held:
        return
    yield f"\n-- {title}:"
    for line in revoked(held, role):
        yield line if act else f"--   {line}"


def _as_json(found: Rightful) -> dict[str, object]:
    return {
        "role": found.name,
        "exists": found.role is not None,
        "needs": _listed(found.needs.privileges),
        "lacks": _listed(found.lacking),
        "surplus": _listed(found.surplus),
        "public": _listed(found.public),
        "untold": list(found.needs.untold),
        "grant": list(granted(found.needs.privileges, quoted(found.name))),
        "revoke": list(revoked(found.surplus, quoted(found.name))),
    }


def _listed(privileges: frozenset[Privilege]) -> list[dict[str, str]]:
    return [
        {"right": each.right, "on": each.thing.kind.lower(), "name": _named(each.thing),
         "column": each.column}
        for each in sorted(privileges)
    ]  # fmt: skip


def _named(thing: Thing) -> str:
    return f"{thing.schema}.{thing.name}" if thing.schema else thing.name
