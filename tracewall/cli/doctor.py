"""``tracewall doctor``: is what stands around a wall as safe as the wall takes it to be."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import click
from rich.text import Text

from tracewall.cli.doctor_here import of_installation, of_places, of_secrets
from tracewall.cli.doctor_keys import of_keys
from tracewall.cli.doctor_reach import of_addresses
from tracewall.cli.doctor_recordings import of_recordings
from tracewall.cli.doctor_role import of_role
from tracewall.cli.doctor_server import of_server
from tracewall.cli.doctor_stores import of_stores
from tracewall.cli.findings import IGNORE, Finding, kept, tell, worst
from tracewall.cli.grants import Rightful, rightful, script
from tracewall.cli.live import Server, server, user
from tracewall.cli.options import DSN, JSON, policy_argument
from tracewall.cli.reading import against, reached, read
from tracewall.cli.screen import answer, console, plain, safe, several
from tracewall.policy.model import Policy
from tracewall.sql.catalog import Catalog
from tracewall.sql.quoting import comment

_GRAVITY = ("error", "warning", "note")


@click.command(short_help="Look at the role, the server, keys and places of a policy.")
@policy_argument
@DSN
@click.option("--role", metavar="NAME",
              help="The role that the wall logs in as; by default the policy's user.")  # fmt: skip
@click.option("--sql", "as_sql", is_flag=True, help="Print the SQL that mends what SQL can mend.")
@click.option("--strict", is_flag=True, help="Fail on warnings too, not on errors only.")
@IGNORE
@JSON
def doctor(
    policy: Path,
    dsn: str | None,
    role: str | None,
    as_sql: bool,
    strict: bool,
    ignored: Sequence[str],
    as_json: bool,
) -> None:
    """Look at what stands around a wall: nothing is changed, and no table is read.

    But for one thing: where recordings are shipped to a URL, a few bytes are written there, and
    deleted again.

    The role that the wall logs in as: its powers, what it owns, where it may create, and
    whether it has more or less than the policy needs. The server: extensions, settings that
    write values to its log, who is let in without a password, encryption, clocks, version.
    This machine: keys of the issuers and their clocks, secrets, modes and owners of files, room
    for the record. Addresses of webhooks and the like: they are connected to, and nothing is
    sent. Stores in PostgreSQL: what their roles may do. Each finding comes with its remedy.
    The exit code is 1 where there is an error, with --strict also where there is a warning.
    """
    found = read(policy)
    place = reached(found, dsn)
    known = against(found, place)
    with server(place) as asked:
        name = role or user(found.database.conninfo) or known.role
        compared = rightful(found, known, asked, name)
        listed = kept(_found(found, known, asked, compared), ignored)
    if as_sql:
        plain("\n".join(_sql(listed, compared, found)))
    elif as_json:
        told = {"ok": not worst(listed, strict=strict), "path": found.path, "role": name}
        more = {"database": known.database, "server": _version(asked)}
        answer(told | more | {"findings": [each.as_json() for each in listed]})
    else:
        tell(listed, safe(found.path))
        _sum(listed, name, known.database)
    raise click.exceptions.Exit(1 if worst(listed, strict=strict) else 0)


def _found(policy: Policy, known: Catalog, asked: Server, compared: Rightful) -> Iterable[Finding]:
    name = compared.name
    found = [*of_role(compared, asked), *of_server(policy, known, asked, name)]
    found += [*of_installation(), *of_keys(policy), *of_places(policy)]
    found += [
        *of_secrets(policy),
        *of_addresses(policy),
        *of_stores(policy),
        *of_recordings(policy),
    ]
    return sorted(found, key=lambda each: _GRAVITY.index(each.severity))


def _version(asked: Server) -> str:
    return f"{asked.version // 10_000}.{asked.version % 10_000}"


def _sql(found: Iterable[Finding], compared: Rightful, policy: Policy) -> Iterable[str]:
    for each in found:
        # What is about privileges, the script below says whole.
        if each.sql and not each.check.startswith("role."):
            yield f"-- {each.severity}: {comment(each.message)} [{each.check}]"
            yield f"{each.sql}\n"
    yield from script(compared, policy, revoke=True, public=False)


def _sum(found: Sequence[Finding], role: str, database: str) -> None:
    out = console()
    counted = [(sum(each.severity == what for each in found), what) for what in _GRAVITY]
    said = ", ".join(several(many, what) for many, what in counted if many)
    head = ("found ", "bold yellow") if found else ("ok ", "bold green")
    told = safe(f"{said or 'nothing found'}: the role {role} in the database {database}")
    out.print(Text.assemble(head, told), soft_wrap=True)
