"""What is wrong with a server: extensions, settings that write values down, the way to it."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping

from tracewall.cli.findings import Finding, Severity
from tracewall.cli.live import Server
from tracewall.policy.covering import covers
from tracewall.policy.model import Policy
from tracewall.sql.catalog import Catalog
from tracewall.sql.quoting import quoted

OLDEST, NEWEST = 15, 18
"""The versions of PostgreSQL (major) that the tests run on."""

_EXTENSIONS: dict[str, tuple[Severity, str]] = {
    "file_fdw": ("warning", "reads files of the server's machine, and runs programs there"),
    "adminpack": ("warning", "reads and writes files of the server's machine"),
    "dblink": ("warning", "sends SQL to any server, which nobody judges"),
    "postgres_fdw": ("note", "reads tables of other servers, whose owners may change them"),
    "plpython3u": ("warning", "lets functions do anything on the server's machine"),
    "plperlu": ("warning", "lets functions do anything on the server's machine"),
    "pltclu": ("warning", "lets functions do anything on the server's machine"),
    "plsh": ("warning", "lets functions do anything on the server's machine"),
    "pageinspect": ("note", "shows rows past every privilege, to superusers"),
    "pg_stat_statements": (
        "note",
        "keeps texts of statements, some with literals",
    ),
}
_INSTALLED = "SELECT extname::text AS name FROM pg_catalog.pg_extension ORDER BY 1"
_SETTINGS = """
    SELECT s.name, coalesce((SELECT pg_catalog.substr(c.setting, pg_catalog.length(s.name) + 2)
        FROM (SELECT pg_catalog.unnest(d.setconfig) AS setting, d.setdatabase <> 0::oid AS here
            FROM pg_catalog.pg_db_role_setting d JOIN pg_catalog.pg_roles r ON r.oid = d.setrole
            WHERE r.rolname::text = %(role)s) AS c
        WHERE pg_catalog.starts_with(c.setting, s.name || '=') ORDER BY c.here DESC LIMIT 1),
        s.reset_val) AS value
    FROM pg_catalog.pg_settings s
    WHERE s.name::text ~ '^(log_|auto_explain[.]|debug_print_|password_encryption$|ssl$)'"""
_CLOCK = "SELECT extract(epoch FROM pg_catalog.clock_timestamp())::float8 AS now"
_FOREIGN = """
    SELECT n.nspname::text || '.' || c.relname::text AS name, w.fdwname::text AS wrapper
    FROM pg_catalog.pg_foreign_table f JOIN pg_catalog.pg_class c ON c.oid = f.ftrelid
    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    JOIN pg_catalog.pg_foreign_server s ON s.oid = f.ftserver
    JOIN pg_catalog.pg_foreign_data_wrapper w ON w.oid = s.srvfdw"""


def of_server(policy: Policy, known: Catalog, asked: Server, role: str) -> Iterator[Finding]:
    """Find what a server does besides what a policy speaks of."""
    yield from _version(asked)
    yield from _extensions(asked)
    yield from _foreign(policy, asked)
    settings = {row["name"]: row["value"] for row in asked.ask(_SETTINGS, role=role)}
    yield from _logged(settings, quoted(role))
    yield from _let_in(asked, role, known.database)
    yield from _way(policy, asked)
    yield from _clock(asked, policy)


def _version(asked: Server) -> Iterator[Finding]:
    major = asked.version // 10_000
    if not OLDEST <= major <= NEWEST:
        message = f"PostgreSQL {major} is none of the versions that tracewall is tested on"
        help = f"use {OLDEST} to {NEWEST}; what it does not know of a newer one it refuses"
        yield Finding("server.version", "warning", message, help)


def _extensions(asked: Server) -> Iterator[Finding]:
    for row in asked.ask(_INSTALLED):
        severity, what = _EXTENSIONS.get(row["name"], ("note", ""))
        if what:
            sql = f"DROP EXTENSION {quoted(row['name'])};"
            message = f"the extension {row['name']} {what}"
            help = "drop it, or take its functions from PUBLIC; the wall refuses them unless"
            help += " [[functions]] names them"
            yield Finding("server.extension", severity, message, help, sql=sql)


def _foreign(policy: Policy, asked: Server) -> Iterator[Finding]:
    for row in asked.ask(_FOREIGN):
        for grant in policy.grants:
            if covers(grant.tables, row["name"]) and row["wrapper"] == "file_fdw":
                message = f"grants.{grant.name} gives {row['name']}, which is a file of the server"
                help = (
                    "whoever wrote the file decides what is read; leave it out if that is not you"
                )
                yield Finding("server.foreign", "warning", message, help, grant.line)


def _logged(settings: Mapping[str, str], name: str) -> Iterator[Finding]:
    """Find the settings by which statements, and the values in them, come to the server's log."""
    logs = [
        setting
        for setting, off in (
            ("log_statement", ("none", "ddl")), ("log_min_duration_statement", ("-1",)),
            ("log_min_duration_sample", ("-1",)), ("log_transaction_sample_rate", ("0",)),
        )
        if settings.get(setting, off[0]) not in off
    ]  # fmt: skip
    for setting in logs:
        yield _writes(setting, settings[setting], "the literals of statements", name)
    if logs and settings.get("log_parameter_max_length", "-1") != "0":
        value = settings.get("log_parameter_max_length", "-1")
        yield _writes("log_parameter_max_length", value, "the parameters of statements", name)
    if settings.get("log_parameter_max_length_on_error", "0") != "0":
        value = settings["log_parameter_max_length_on_error"]
        yield _writes("log_parameter_max_length_on_error", value, "parameters, on errors", name)
    if settings.get("auto_explain.log_min_duration", "-1") != "-1":
        value = settings["auto_explain.log_min_duration"]
        yield _writes("auto_explain.log_min_duration", value, "plans with their literals", name)
    if settings.get("log_min_error_statement", "error") not in ("fatal", "panic"):
        value = settings.get("log_min_error_statement", "error")
        yield _writes("log_min_error_statement", value, "statements that fail", name, "note")


_QUIET = {
    "log_statement": "none", "log_min_duration_statement": "-1", "log_min_duration_sample": "-1",
    "log_transaction_sample_rate": "0", "log_parameter_max_length": "0",
    "log_parameter_max_length_on_error": "0", "auto_explain.log_min_duration": "-1",
    "log_min_error_statement": "panic",
}  # fmt: skip


def _writes(
    setting: str, value: str, what: str, name: str, severity: Severity = "warning"
) -> Finding:
    message = f"{setting} = {value} writes {what} to the server's log, unmasked"
    help = "whoever reads that log reads them; a superuser can turn it off for the role"
    sql = f"ALTER ROLE {name} SET {setting} = '{_QUIET[setting]}';"
    return Finding("server.log", severity, message, help, sql=sql)


def _way(policy: Policy, asked: Server) -> Iterator[Finding]:
    host = asked.about.get("hostaddr") or asked.about.get("host", "")
    if not host or host.startswith(("/", "@")) or host in ("localhost", "127.0.0.1", "::1"):
        return
    if not asked.encrypted:
        message = f"the connection to {host} is not encrypted"
        help = "write sslmode=verify-full and sslrootcert in conninfo"
        yield Finding("server.tls", "error", message, help)
    mode = asked.about.get("sslmode") or os.environ.get("PGSSLMODE") or "prefer"
    if mode != "verify-full":
        message = f"sslmode is {mode}: another server could take this one's place"
        help = "write sslmode=verify-full and sslrootcert in conninfo"
        yield Finding("server.tls", "warning", message, help)


_MAY_READ = """
    SELECT pg_catalog.has_function_privilege('pg_catalog.pg_hba_file_rules()', 'EXECUTE')
        AND pg_catalog.has_table_privilege('pg_catalog.pg_hba_file_rules', 'SELECT') AS may"""
_LINES = """
    SELECT h.line_number AS line, h.type, h.auth_method AS method
    FROM pg_catalog.pg_hba_file_rules h
    WHERE h.error IS NULL AND h.database && ARRAY['all', %(database)s::text]
        AND (h.user_name && ARRAY['all', %(role)s::text] OR EXISTS (
            SELECT FROM pg_catalog.pg_roles r, pg_catalog.pg_roles g
            WHERE r.rolname::text = %(role)s AND '+' || g.rolname::text = ANY (h.user_name)
                AND pg_catalog.pg_has_role(r.oid, g.oid, 'MEMBER')))
    ORDER BY h.line_number"""


def _let_in(asked: Server, role: str, database: str) -> Iterator[Finding]:
    """Find the lines of pg_hba.conf that let the role in too easily; most logins can't see them.

    That a line before one of them takes some of its addresses is not looked at.
    """
    (row,) = asked.ask(_MAY_READ)
    if not row["may"]:
        return
    for each in asked.ask(_LINES, role=role, database=database):
        where, method = f"line {each['line']} of pg_hba.conf", each["method"]
        if method == "trust":
            message = f"{where} lets the role {role} in without a password ({each['type']})"
            help = "write scram-sha-256 in place of trust"
            yield Finding("server.hba", "error", message, help)
        elif method in ("password", "ldap", "pam", "radius") and each["type"] in (
            "host", "hostnossl",
        ):  # fmt: skip
            message = f"{where} takes the password of {role} in clear ({method}), without TLS too"
            help = "write hostssl in place of host, or scram-sha-256"
            yield Finding("server.hba", "warning", message, help)
        elif method == "md5":
            message = f"{where} takes passwords of the role {role} by md5"
            help = "write scram-sha-256, and set the password anew"
            yield Finding("server.hba", "note", message, help)


def _clock(asked: Server, policy: Policy) -> Iterator[Finding]:
    before = time.time()
    (row,) = asked.ask(_CLOCK)
    after = time.time()
    apart = max(before - row["now"], row["now"] - after, 0.0)
    least = min((issuer.leeway or 30.0 for issuer in policy.issuers), default=30.0)
    if apart > 1:
        severity: Severity = "warning" if apart > least else "note"
        message = f"this machine's clock and the server's are {apart:.0f} seconds apart"
        help = "times of tokens are checked here; keep both clocks by NTP"
        yield Finding("server.clock", severity, message, help)
