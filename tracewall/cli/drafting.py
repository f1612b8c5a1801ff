"""Writes a proposed policy as TOML, with the reason for each part beside it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from tracewall.cli.proposal import Hidden, Proposal, Tenant
from tracewall.masking.config import Engine, Method

_HEAD = """\
# A policy for {database}, proposed by `tracewall init`. Read all of it: names, types and
# samples told what to hide, and none of them knows what your data mean.
#
#     tracewall check {path} --dsn "..."     is it valid, and what is likely a mistake
#     tracewall explain "SELECT ..." --config {path} --dsn "..." --groups {group}
#     tracewall grants {path} --dsn "..." --role {role}     the role's privileges
#     tracewall doctor {path}     what stands around it
#
# What no grant allows is refused. Masks and scans hold for everybody, unless a grant lifts
# them by name.

version = 1
name = {name}
"""
_DATABASE = """
# Where tracewall logs in: by a role that owns nothing and bypasses nothing. The password is
# never written here, only where to find it.
[database]
conninfo = {conninfo}
password_env = "TRACEWALL_DB_PASSWORD"
"""
_REST = """
# Who asked what, what was decided and how it ended; the path is relative to this file.
# "written" survives the death of the process, "synced" that of the machine.
[audit]
directory = "audit"
durability = "written"
# `tracewall audit keygen` makes a key; signed, nobody can write the record anew.
# signing_key_env = "TRACEWALL_AUDIT_KEY"

# For each statement.
[limits]
rows = 10_000
statement_timeout = "30s"
"""
_ISSUER = """
# Whose tokens are accepted. Its keys are found by its metadata (OpenID Connect Discovery);
# `keys` names a JSON Web Key Set instead.{stub}
[[issuers]]
name = "login"
issuer = {issuer}
audience = {audience}
"""
_STUB = "\n# CHANGE ME: init was not told which issuer and audience are yours."
_WRITES = """
# To let a group write, name the tables, and perhaps the columns:
#
# [[grants]]
# name = "writers"
# groups = ["writers"]
# actions = ["select", "insert", "update"]
# tables = [{table}]
"""
_TENANT = """
# Most tables of {schema} have the column {column}. To give callers the rows of their own alone,
# replace the grant on these tables by this one (the claim is a guess), and run what
# `tracewall rls` prints:
#
# [[grants]]
# name = {name}
# groups = [{groups}]
# actions = ["select"]
# tables = [
{tables}
# ]
# rows = "{column} = claim('{column}'){cast}"
"""


@dataclass(frozen=True, slots=True)
class Draft:
    """What a policy is drafted from: who may read which schemas, and where all of it is.

    ``stub`` is true where `issuer` and `audience` are made up; ``engine`` is what scans
    search by.
    """

    path: str
    database: str
    conninfo: str
    role: str
    issuer: str
    audience: str
    groups: tuple[str, ...]
    schemas: Mapping[str, int]
    example: str
    engine: Engine
    stub: bool


def drafted(draft: Draft, proposal: Proposal) -> str:
    """Write the policy."""
    return "".join(_parts(draft, proposal))


def _parts(draft: Draft, proposal: Proposal) -> Iterator[str]:
    spelt = {
        "database": _comment(draft.database), "path": _comment(draft.path),
        "group": _comment(draft.groups[0]), "role": _comment(draft.role),
        "name": text(draft.database),
    }  # fmt: skip
    yield _HEAD.format(**spelt)
    yield _DATABASE.format(conninfo=text(draft.conninfo))
    yield _REST
    issuer, audience = text(draft.issuer), text(draft.audience)
    yield _ISSUER.format(issuer=issuer, audience=audience, stub=_STUB if draft.stub else "")
    yield "\n# ---- Who may do what ----\n"
    for at, (schema, tables) in enumerate(draft.schemas.items(), start=1):
        yield _grant(at, schema, tables, draft.groups)
    if draft.example:
        yield _WRITES.format(table=text(draft.example))
    for tenant in proposal.tenants:
        yield _tenant(tenant, draft.groups)
    if proposal.hidden:
        yield "\n# ---- What is hidden ----\n"
    yield from _masks(proposal)
    if proposal.scans:
        yield "\n# Scans hide what detectors find in free text and JSON; the rest stays readable.\n"
        if draft.engine != "re2":
            yield f'[detect]\nengine = "{draft.engine}" # google-re2 is not installed here\n\n'
        yield f'[[scans]]\nname = "free-text"\n{_columns(proposal.scans)}'
    if proposal.unnamed:
        yield "\n# No pattern names these alone, for what is in their names; a wider one does:\n"
        yield from (f"#     {_comment(name)}\n" for name in proposal.unnamed)


def _grant(at: int, schema: str, tables: int, groups: tuple[str, ...]) -> str:
    of = "table or view" if tables == 1 else "tables and views"
    listed = ", ".join(map(text, groups))
    name = schema if schema.isascii() and schema.replace("_", "").isalnum() else f"schema-{at}"
    return (
        f"\n# {tables} {of}. Leave out what these groups need not see.\n[[grants]]\n"
        f'name = "read-{name[:50]}"\ngroups = [{listed}]\nactions = ["select"]\n'
        f"tables = [{text(schema + '.*')}]\n"
    )


def _tenant(tenant: Tenant, groups: tuple[str, ...]) -> str:
    return _TENANT.format(
        schema=_comment(tenant.schema),
        column=tenant.column,
        name=text(f"own-{tenant.column.replace('_', '-')}"),
        groups=", ".join(map(text, groups)),
        tables="\n".join(f"#     {text(table)}," for table in tenant.tables),
        cast=tenant.cast,
    )


def _masks(proposal: Proposal) -> Iterator[str]:
    names: dict[str, int] = {}
    for (kind, method), columns in proposal.masks().items():
        names[kind] = names.get(kind, 0) + 1
        name = kind if names[kind] == 1 else f"{kind}-{names[kind]}"
        note = ""
        if method.name == "hash":
            note = "# Pseudonyms need a key: the environment variable TRACEWALL_MASK_KEY.\n"
        yield f'\n{note}[[masks]]\nname = "{name}"\n{_columns(columns)}{_method(method)}'


def _columns(columns: list[Hidden]) -> str:
    lines = [f"    {text(each.column)}, # {_comment(each.evidence)}\n" for each in columns]
    return f"columns = [\n{''.join(lines)}]\n"


def _method(method: Method) -> str:
    lines = [f'method = "{method.name}"']
    if method.name == "partial":
        lines.append(f"keep_last = {method.keep_last}")
    if method.name == "date":
        lines.append(f'unit = "{method.unit}"')
    if method.name == "number":
        lines.append(f"bucket = {method.bucket:g}")
    return "\n".join(lines) + "\n"


def text(value: str) -> str:
    """Give a text as TOML writes it, everything that can't be seen as an escape."""
    return f'"{"".join(map(_char, value))}"'


def _char(char: str) -> str:
    if char in '"\\':
        return f"\\{char}"
    return char if char.isprintable() else f"\\U{ord(char):08x}"


def _comment(words: str) -> str:
    return "".join(c if c.isprintable() else f"\\U{ord(c):08x}" for c in " ".join(words.split()))
