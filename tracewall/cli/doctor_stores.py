"""What is wrong with stores that are kept in PostgreSQL: the record, and requests for approval.

What is kept there is as good as the rights of the role that keeps it. Each store is logged in
to as the wall does, and looked at only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from tracewall.approval.migration import ASKING, VERSION
from tracewall.approval.migration import SCHEMA as REQUESTS
from tracewall.audit.migration import FUNCTIONS, PERSON
from tracewall.audit.notary import FUNCTION as KEEP
from tracewall.cli.findings import Finding
from tracewall.cli.live import Server, server, with_password
from tracewall.cli.screen import Unanswered
from tracewall.errors import PolicyError
from tracewall.places import secret
from tracewall.policy.model import Policy
from tracewall.sql.quoting import quoted

_ROLE = """
    SELECT r.rolname::text AS name, r.rolsuper AS superuser, r.rolcreaterole AS createrole,
        pg_catalog.to_regnamespace(%(schema)s)::oid AS schema
    FROM pg_catalog.pg_roles r WHERE r.rolname = SESSION_USER"""
_SCHEMA = """
    SELECT pg_catalog.pg_has_role(n.nspowner, 'USAGE') AS owner,
        pg_catalog.has_schema_privilege(n.oid, 'USAGE') AS usage,
        pg_catalog.has_schema_privilege(n.oid, 'CREATE') AS creates
    FROM pg_catalog.pg_namespace n WHERE n.oid = %(schema)s::oid"""
_TABLES = """
    SELECT c.relname::text AS name, pg_catalog.pg_has_role(c.relowner, 'USAGE') AS owner,
        pg_catalog.has_table_privilege(c.oid, 'SELECT') AS reads, pg_catalog.has_table_privilege(
            c.oid, 'INSERT, UPDATE, DELETE, TRUNCATE') AS writes
    FROM pg_catalog.pg_class c WHERE c.relnamespace = %(schema)s::oid AND c.relkind IN ('r', 'p')
    ORDER BY 1"""
_FUNCTION = """
    SELECT pg_catalog.has_function_privilege(p.oid, 'EXECUTE') AS executes, p.prosecdef AS definer,
        coalesce(p.proconfig, '{}') @> ARRAY['search_path=pg_catalog, pg_temp'] AS fixed,
        EXISTS (SELECT FROM pg_catalog.aclexplode(coalesce(p.proacl,
            pg_catalog.acldefault('f', p.proowner))) a WHERE a.grantee = 0::oid) AS anybody
    FROM pg_catalog.pg_proc p WHERE p.oid = pg_catalog.to_regprocedure(%(name)s)::oid"""
_LESS = "give it to another role, and leave this one what the migration gives"


@dataclass(frozen=True, slots=True)
class _Store:
    """One store: its checks' group, what it is called, its schema, functions, and migration."""

    check: str
    what: str
    conninfo: str
    schema: str
    functions: tuple[str, ...]
    migration: str


def of_stores(policy: Policy) -> Iterator[Finding]:
    """Find stores in PostgreSQL that can't be reached, or whose role may do too little or much."""
    audit, approval = policy.audit, policy.approval
    if audit.conninfo:
        remedy = f"tracewall audit migration --schema {audit.schema}, run by its owner"
        functions = FUNCTIONS + ((PERSON,) if audit.erasable else ())
        yield from _of_store(
            _Store("audit", "the record", audit.conninfo, audit.schema, functions, remedy),
            lambda: secret(
                policy, audit.password_env, audit.password_file, "the password of the record"
            ),
        )
    if audit.anchor_conninfo:
        remedy = f"tracewall audit migration --anchor --schema {audit.anchor_schema}"
        store = _Store(
            "anchor", "checkpoints", audit.anchor_conninfo, audit.anchor_schema, (KEEP,), remedy
        )
        named = audit.anchor_password_env, audit.anchor_password_file
        yield from _of_store(store, lambda: secret(policy, *named, "the password of the anchor"))
    if approval.conninfo:
        remedy = f"tracewall approvals migration, run by its owner (version {VERSION})"
        yield from _of_store(
            _Store("approvals", "requests", approval.conninfo, REQUESTS, ASKING, remedy),
            lambda: secret(
                policy, approval.password_env, approval.password_file,
                "the password of the store of requests",
            ),
        )  # fmt: skip


def _of_store(store: _Store, password: Callable[[], str]) -> Iterator[Finding]:
    check = f"{store.check}.store"
    try:
        given = password()
        with server(with_password(store.conninfo, given) if given else store.conninfo) as asked:
            yield from list(_looked(store, check, asked))
    except PolicyError as error:
        yield Finding(check, "error", f"{error.path}: {error.message}", error.help)
    except Unanswered as error:
        message = f"the store of {store.what} can't be looked at: {error.message}"
        help = "statements that need it are refused; see its conninfo and password"
        yield Finding(check, "error", message, help)


def _looked(store: _Store, check: str, asked: Server) -> Iterator[Finding]:
    (role,) = asked.ask(_ROLE, schema=quoted(store.schema))
    name, schema = role["name"], role["schema"]
    if role["superuser"] or role["createrole"]:
        message = f"the role {name} of {store.what} may do anything, what is kept there among it"
        help = "log in as a role of its own, which has what the migration gives and no more"
        yield Finding(check, "error", message, help)
        return
    if schema is None:
        message = f"there is no schema {store.schema} for {store.what}"
        yield Finding(check, "error", message, store.migration)
        return
    (space,) = asked.ask(_SCHEMA, schema=schema)
    if not space["usage"]:
        message = f"the role {name} may not use the schema {store.schema} of {store.what}"
        yield Finding(check, "error", message, store.migration)
        return
    if space["owner"] or space["creates"]:
        does = "owns" if space["owner"] else "may create what it likes in"
        message = f"the role {name} {does} the schema {store.schema} of {store.what}"
        yield Finding(check, "error", message, _LESS)
    yield from _kept(store, check, asked, name, schema)
    yield from _called(store, check, asked, name)


def _kept(store: _Store, check: str, asked: Server, name: str, schema: int) -> Iterator[Finding]:
    for table in asked.ask(_TABLES, schema=schema):
        if table["owner"] or table["writes"]:
            message = f"the role {name} may change {store.what} in {table['name']} as it likes"
            yield Finding(check, "error", message, _LESS)
        elif table["reads"]:
            message = f"the role {name} may read {store.what} in {table['name']}"
            yield Finding(check, "warning", message, "let another role read it")


def _called(store: _Store, check: str, asked: Server, name: str) -> Iterator[Finding]:
    for signature in store.functions:
        function = f"{quoted(store.schema)}.{signature}"
        said = signature.partition("(")[0]
        found = asked.ask(_FUNCTION, name=function)
        if not found:
            message = f"the function {said} of {store.what} is not there, or is another version's"
            yield Finding(check, "error", message, store.migration)
        for row in found:
            if not row["executes"]:
                message = f"the role {name} may not call {said} of {store.what}"
                yield Finding(check, "error", message, store.migration)
            if not (row["definer"] and row["fixed"]):
                message = f"the function {said} of {store.what} is not as the migration makes it"
                yield Finding(check, "error", message, store.migration)
            if row["anybody"]:
                message = f"everybody may call {said} of {store.what}"
                sql = f"REVOKE ALL ON FUNCTION {function} FROM PUBLIC;"
                yield Finding(check, "error", message, "take it from PUBLIC", sql=sql)
