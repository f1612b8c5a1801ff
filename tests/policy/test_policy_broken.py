"""Broken policies: each complaint, where it points and what it advises.

In the texts ``«`` marks the place that the complaint must point at.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import pytest

from tracewall.errors import PolicyError
from tracewall.policy.load import load, loads
from tracewall.signing import Signer

V = "version = 1\n"
ISSUER = V + '[[issuers]]\nissuer = "i"\naudience = "a"\n'
GRANT = V + '[[grants]]\ngroups = ["a"]\nactions = ["select"]\n'
RULE = GRANT + 'tables = ["s.t"]\n'
DENIAL = V + '[[denials]]\ntables = ["s.t"]\n'
MASK = V + '[[masks]]\nname = "m"\ncolumns = ["s.t.c"]\n'
SCAN = V + '[[scans]]\nname = "f"\ncolumns = ["s.t.c"]\n'


class Broken(NamedTuple):
    """A text with the mark in it, and parts of the message and of the help."""

    text: str
    message: str
    help: str = ""


SYNTAX = [
    Broken("version = «", "not TOML: invalid value", "toml.io"),
    Broken("version = 1\nname = «trace", "not TOML: invalid value", "need quotes"),
    Broken('version = 1\nname = "a«\n', "not TOML: illegal character"),
    Broken("version = 1\n[limits«\nrows = 1", "not TOML: expected ']'"),
    Broken("version = 1\nversion = 1«", "not TOML: cannot overwrite a value"),
    Broken("version = 1\n[limits]\n[limits«]", "not TOML: cannot declare"),
    Broken('grants = [{groups = ["a"]«', "not TOML: unclosed"),
    Broken("version = 1\r\nname = «x\r\n", "not TOML: invalid value"),
    Broken("«\ufeffversion = 1", "not TOML"),
    Broken(f"version = «{'1' * 5000}", "number is too long"),
    Broken('version = 1\nname = "«\ud800"', "no character"),
    Broken("version = 1\nrows = «2026-02-30", "invalid date or datetime"),
]
KEYS = [
    Broken("«", "the policy: the key 'version' is missing", "format's version: 1"),
    Broken("«name = 'x'", "the key 'version' is missing"),
    Broken("version = «2", "version: expected 1, got another number", "reads version 1"),
    Broken('version = «"1"', "version: expected 1, got a string"),
    Broken("version = «true", "version: expected 1, got a boolean"),
    Broken("version = «1.0", "version: expected 1, got a number"),
    Broken(f"version = «0x{'f' * 9000}", "version: expected 1"),
    Broken(V + "«stric = true", "the file has no key 'stric'", "did you mean 'strict'?"),
    Broken(V + "[«limit]\nrows = 1", "the file has no key 'limit'", "did you mean 'limits'?"),
    Broken(V + "[[«grant]]", "the file has no key 'grant'", "did you mean 'grants'?"),
    Broken(V + "[«AUDIT]", "the file has no key 'AUDIT'", "did you mean 'audit'?"),
    Broken(V + "[«Audit]", "the file has no key 'Audit'", "did you mean 'audit'?"),
    Broken(V + "«zzz = 1", "no key 'zzz'", "the keys here are version, name, strict"),
    Broken(V + '«"odd key" = 1', "no key 'odd key'"),
    Broken(V + "limits.«row = 1", "limits has no key 'row'", "did you mean 'rows'?"),
    Broken(V + "limits = { rows = 1, «row = 1 }", "limits has no key 'row'"),
    Broken(V + "[audit.«what]\nx = 1", "audit has no key 'what'", "directory, durability"),
    Broken(GRANT + '«table = ["s.t"]', "grants[0] has no key 'table'", "did you mean 'tables'?"),
    Broken(RULE + "«line = 3", "grants[0] has no key 'line'"),
    Broken(V + '«hash = "x"', "the file has no key 'hash'"),
    Broken(V + '«path = "x"', "the file has no key 'path'"),
    Broken(ISSUER.replace("[[", "«[["), "the key 'keys' is missing", "JSON Web Key Set"),
    Broken(V + '«[[masks]]\nname = "m"\ncolumns = ["s.t.c"]', "the key 'method' is missing"),
    Broken(V + '«[[masks]]\nmethod = "null"\ncolumns = ["s.t.c"]', "the key 'name' is missing"),
    Broken(V + '«[[scans]]\nname = "s"', "scans[0]: the key 'columns' is missing"),
    Broken(
        SCAN + '[[scans.patterns]]\nname = "a"\nregex = "a"\n«[[scans.patterns]]\nname = "b"',
        "scans[0].patterns[1]: the key 'regex' is missing",
    ),
]
TYPES = [
    Broken(V + "name = «1", "name: expected a string, got a whole number"),
    Broken(V + 'strict = «"yes"', "strict: expected true or false, got a string", "without quotes"),
    Broken(V + "strict = «0", "strict: expected true or false"),
    Broken(V + "limits = «[]", "limits: expected a table, got a list", "write [limits] above"),
    Broken(V + "«[[audit]]", "audit: expected a table, got a list", "write [audit] above"),
    Broken(V + "«[grants]\nname = 'x'", "grants: expected a list of tables", "write [[grants]]"),
    Broken(SCAN + "«[scans.patterns]", "expected a list of tables", "write [[scans.patterns]]"),
    Broken(
        V + "masks = [«1979-05-27 07:32:00]",
        "masks[0]: expected a table, got a date or time",
        "write [[masks]] above its keys",
    ),
    Broken(V + 'limits.rows = «"10"', "limits.rows: expected a whole number, got a string"),
    Broken(V + "limits.rows = «1e3", "limits.rows: expected a whole number, got a number"),
    Broken(V + "limits.rows = «true", "limits.rows: expected a whole number, got a boolean"),
    Broken(V + "limits.statement_timeout = «07:32:00", "got a date or time", '"5min"'),
    Broken(
        RULE.replace('["a"]', '«"a"'),
        "grants[0].groups: expected a list, got a string",
        "write groups = [...] with brackets",
    ),
    Broken(GRANT + 'tables = [\n  "s.t", # one\n  «7,\n]', "expected the name of a table"),
    Broken(ISSUER + "keys = «['a']", "keys: expected a path or a URL, got a list"),
    Broken(V + "[[issuers]]\nissuer = 'i'\nkeys = 'k'\naudience = ['a', «1]", "audience[1]"),
    Broken(
        V + "[[issuers]]\nissuer = 'i'\nkeys = 'k'\naudience = «1", "audience: expected a string"
    ),
]
VALUES = [
    Broken(V + "name = «''", "name: expected a string, got an empty one"),
    Broken(V + 'name = «"a\\nb"', "control character"),
    Broken(V + 'name = «"a\\n"', "control character"),
    Broken(V + 'audit.directory = «"a\\u0000"', "control character"),
    Broken(V + "limits.rows = «-1", "expected a whole number from 0 to"),
    Broken(V + "limits.rows = «0xffffffffffffffff", "expected a whole number from 0 to"),
    Broken(V + "limits.statement_timeout = «'30 seconds'", "no length of time", '"30s"'),
    Broken(V + "limits.statement_timeout = «'-1s'", "no length of time"),
    Broken(V + "limits.statement_timeout = «'٣s'", "no length of time"),
    Broken(V + 'limits.statement_timeout = «"1s\\n"', "no length of time"),
    Broken(V + "limits.statement_timeout = «nan", "expected a length of time from 0"),
    Broken(V + "limits.statement_timeout = «inf", "expected a length of time from 0"),
    Broken(V + "limits.statement_timeout = «'30d'", "expected a length of time from 0"),
    Broken(V + f"limits.statement_timeout = «0x{'f' * 999}", "expected a length of time from 0"),
    Broken(
        V + "[audit]\nconninfo = 'dbname=audit'\npack = «true",
        "this is about files, and the record is in PostgreSQL",
        "committed before its statement is sent",
    ),
    Broken(
        V + "[audit]\nschema = «'tracewall_audit'",
        "this is about a record that is kept in PostgreSQL",
        "write conninfo",
    ),
    Broken(
        V + "[audit]\nconninfo = 'dbname=audit'\ndeadline = «0",
        "a database may be out of reach for ever",
        "how long a statement may wait",
    ),
    Broken(
        V + "[audit]\nconninfo = «'dbname=audit password=x'",
        "a password can't be in the policy",
        "password_env",
    ),
    Broken(
        V + "[audit]\nconninfo = 'dbname=a'\npassword_env = 'A'\n«password_file = 'b'",
        "exclude each other",
        "write one of them",
    ),
    Broken(
        V + "audit.durability = «'sync'",
        "expected 'buffered', 'written' or 'synced', got 'sync'",
        "did you mean 'synced'?",
    ),
    Broken(V + "grants = «[]", "grants: expected at least one value, got an empty list"),
    Broken(RULE.replace('["a"]', "«[]"), "groups: expected at least one value"),
    Broken(RULE.replace('"a"', "«''"), "groups[0]: expected the name of a group, got an empty"),
    Broken(RULE.replace('"a"', "'a', 'b',\n«'a'"), "groups[2]: this is in the list twice"),
    Broken(RULE.replace('"select"', "'select', «'select'"), "in the list twice"),
    Broken(RULE.replace('"select"', "«'read'"), "actions[0]: expected 'select'"),
    Broken(RULE.replace('"select"', "«'Select'"), "got 'Select'", "did you mean 'select'?"),
    Broken(RULE.replace('"select"', "«'*'"), "got '*'", "write 'select', 'insert'"),
    Broken(GRANT + "tables = [«'runs']", "a table has 2 parts here, not 1", "write schema.table"),
    Broken(GRANT + "tables = [«'db.s.t']", "a table has 2 parts here, not 3", "can't be written"),
    Broken(GRANT + "tables = [«'s.']", "a part of this name is empty", "write schema.table"),
    Broken(GRANT + "tables = [«'.']", "a part of this name is empty"),
    Broken(GRANT + "tables = [«'s. t']", "starts or ends in a blank"),
    Broken(GRANT + "tables = [«'s.\u00a0t']", "starts or ends in a blank"),
    Broken(GRANT + "tables = [«'s.\"T\"']", "a quote can't be part", "without quotes"),
    Broken(GRANT + 'tables = [«"s.t\\u0000"]', "control character"),
    Broken(GRANT + f"tables = [«'s.{'ä' * 32}']", "too long to match anything", "63 bytes"),
    Broken(RULE + "columns = [«'t.c']", "a column has 1 part here, not 2", "write column"),
    Broken(RULE + "columns = «[]", "expected at least one value"),
    Broken(RULE + "lifts = «[]", "expected at least one value"),
    Broken(RULE + "name = «'a.b'", "name: expected a name of letters"),
    Broken(RULE + "name = «'grants[0]'", "name: expected a name of letters"),
    Broken(RULE + 'name = «"a\\n"', "control character"),
    Broken(DENIAL + 'reason = «"a\\u001b[2J"', "control character"),
    Broken(
        MASK.replace('"s.t.c"', "«'t.c'") + "method = 'null'",
        "a column has 3 parts here, not 2",
        "write schema.table.column",
    ),
    Broken(MASK + "method = «'redcat'", "got 'redcat'", "did you mean 'redact'?"),
    Broken(
        MASK + "method = 'redact'\n«keep_last = 4",
        "masks[0] has no key 'keep_last'",
        "'keep_last' goes with method = \"partial\"",
    ),
    Broken(
        MASK + "«unit = 'day'\nmethod = 'null'", "has no key 'unit'", 'goes with method = "date"'
    ),
    Broken(MASK + "method = 'hash'\n«value = ''", "has no key 'value'", 'method = "constant"'),
    Broken(MASK + "method = 'email'\n«bucket = 2", "has no key 'bucket'", 'method = "number"'),
    Broken(MASK.replace("[[", "«[[") + "method = 'date'", "masks[0]: the key 'unit' is missing"),
    Broken(
        MASK.replace("[[", "«[[") + "method = 'number'", "masks[0]: the key 'bucket' is missing"
    ),
    Broken(
        MASK.replace("[[", "«[[") + "method = 'constant'", "masks[0]: the key 'value' is missing"
    ),
    Broken(MASK + "method = 'date'\nunit = «'week'", "expected 'year', 'month', 'day' or 'hour'"),
    Broken(MASK + "method = 'number'\nbucket = «0", "expected a finite number above 0"),
    Broken(MASK + "method = 'number'\nbucket = «-inf", "expected a finite number above 0"),
    Broken(MASK + "method = 'number'\nbucket = «nan", "expected a finite number above 0"),
    Broken(MASK + "method = 'partial'\nkeep_last = «-1", "expected a whole number from 0"),
    Broken(MASK + "method = 'null'\npredicates = «'some'", "expected 'none', 'equality' or 'any'"),
    Broken(
        MASK + "method = 'null'\nexpressions = «'masked'", "got 'masked'", "did you mean 'mask'?"
    ),
    Broken(SCAN + "detectors = [«'emial']", "got 'emial'", "did you mean 'email'?"),
    Broken(SCAN + "patterns = [{name = 'x', regex = «''}]", "expected a regular expression"),
    Broken(SCAN + "patterns = [{name = «'X', regex = 'a'}]", "a name of lower-case letters"),
    Broken(SCAN + "patterns = [{name = «'a.b', regex = 'a'}]", "a name of lower-case letters"),
    Broken(SCAN + "«expressions = 'mask'", "scans[0] has no key 'expressions'"),
]
PATTERNS = [
    Broken(SCAN + f"patterns = [{{name = 'x', regex = «'{regex}'}}]", message, "google/re2")
    for regex, message in [
        ("(a", "can't be used: missing )"),
        ("a)", "can't be used: unexpected )"),
        ("[a", "can't be used: missing ]"),
        ("a**", "can't be used: bad repetition operator"),
        ("a{2000}", "can't be used: invalid repetition size"),
        ("(?=a)b", "can't be used: invalid perl operator"),
        ("(?<!a)b", "can't be used"),
        ("(?P=x)", "can't be used"),
        (r"(a)\1", "can't be used: invalid escape sequence"),
        ("a*", "can't be used: it matches the empty text"),
        ("a|", "can't be used: it matches the empty text"),
    ]
]
ISSUERS = [
    Broken(ISSUER + "keys = «''", "expected a path or a URL, got an empty one"),
    Broken(ISSUER + "keys = «'http://idp.example/k'", "over plain http", "write https://"),
    Broken(ISSUER + "keys = «'http://localhost.evil.example/k'", "over plain http"),
    Broken(ISSUER + "keys = «'http://127.0.0.1.evil.example/k'", "over plain http"),
    Broken(ISSUER + "keys = «'http://0.0.0.0/k'", "over plain http"),
    Broken(ISSUER + "keys = «'http://localhost@evil.example/k'", "user or a password"),
    Broken(ISSUER + "keys = «'https://me:pw@idp.example/k'", "user or a password"),
    Broken(ISSUER + "keys = «'http://127.0.0.1\\@evil.example/k'", "can't be read"),
    Broken(ISSUER + "keys = «'http://localhost:x/k'", "can't be read"),
    Broken(ISSUER + "keys = «'https:///k'", "can't be read", "write https://host/path"),
    Broken(ISSUER + "keys = «'https:idp.example/k'", "can't be read"),
    Broken(ISSUER + "keys = «'https://idp.example/a b'", "can't be read"),
    Broken(ISSUER + "keys = «'https://[::1/k'", "can't be read"),
    Broken(ISSUER + "keys = «'ftp://idp.example/k'", "can't be fetched by ftp"),
    Broken(ISSUER + "keys = «'a b://idp.example/k'", "can't be read"),
    Broken(ISSUER + "keys = «'://idp.example/k'", "can't be read"),
    Broken(ISSUER + "keys = «'hTTp:idp.example/k'", "can't be read"),
    Broken(ISSUER + "keys = «'file:///etc/jwks.json'", "can't be fetched by file"),
    Broken(ISSUER + "keys = 'k'\nalgorithms = [«'HS256']", "got 'HS256'", "can also make one"),
    Broken(ISSUER + "keys = 'k'\nalgorithms = ['ES256', «'none']", "got 'none'", "proves nothing"),
    Broken(ISSUER + "keys = 'k'\nalgorithms = [«'es256']", "got 'es256'", "did you mean 'ES256'?"),
    Broken(ISSUER + "keys = 'k'\ngroups_claim = «'a..b'", "path is empty", "realm_access.roles"),
    Broken(
        ISSUER + "keys = 'k'\n[[issuers]]\nissuer = «'i'\naudience = 'b'\nkeys = 'l'",
        "the issuer 'i' is there twice",
        "line 3 has it already",
    ),
    Broken(
        ISSUER + "name = 'x'\nkeys = 'k'\n[[issuers]]\nname = «'x'\nissuer = 'j'\n"
        "audience = 'b'\nkeys = 'l'",
        "the name 'x' is taken",
        "line 5 has it already",
    ),
]
SECRET = "hunter2"
PASSWORDS = [
    Broken(
        V + f"database.conninfo = «'host=h password={SECRET}'", "password can't be", "password_env"
    ),
    Broken(V + f"database.conninfo = «'password={SECRET} host=h'", "password can't be"),
    Broken(V + f"database.conninfo = «'password = {SECRET}'", "password can't be"),
    Broken(V + f"database.conninfo = «\"password='{SECRET} x'\"", "password can't be"),
    Broken(V + "database.conninfo = «'password='", "password can't be"),
    Broken(V + f"database.conninfo = «'sslpassword={SECRET}'", "password can't be"),
    Broken(V + f"database.conninfo = «'postgresql://u:{SECRET}@h/d'", "password can't be"),
    Broken(V + f"database.conninfo = «'postgres://u?:{SECRET}@h/d'", "password can't be"),
    Broken(V + f"database.conninfo = «'postgresql://h/d?password={SECRET}'", "password can't be"),
    Broken(V + f"database.conninfo = «'postgresql://h/d?p%61ssword={SECRET}'", "password can't be"),
    Broken(V + f"database.conninfo = «'dbname=postgresql://u:{SECRET}@h/d'", "password can't be"),
    Broken(V + f"database.conninfo = «\"dbname='password={SECRET}'\"", "password can't be"),
    Broken(V + f"database.conninfo = «\"host='a'password={SECRET}\"", "no connection string"),
    Broken(V + f"database.conninfo = «'{SECRET}'", "no connection string", 'write "host='),
    Broken(V + f"database.conninfo = «'mysql://u:{SECRET}@h'", "no connection string"),
    Broken(
        V + "[database]\npassword_env = 'A'\n«password_file = 'b'",
        "'password_env' and 'password_file' exclude each other",
        "write one of them",
    ),
    Broken(V + "[database]\npassword_file = 'b'\n«password_env = 'A'", "exclude each other"),
    Broken(V + f"database.«password = '{SECRET}'", "database has no key 'password'"),
]
OBJECTS = [
    Broken(
        GRANT.replace('"select"', '"ddl", «"select"'),
        "grants[0].actions[1]: 'select' is done to tables, and none are named",
        'write tables = ["schema.table"]',
    ),
    Broken(
        RULE.replace('"select"', '"select", «"notify"'),
        "'notify' is done to channels, and none are named",
        'write channels = ["channel"]',
    ),
    Broken(
        RULE.replace('"select"', '"do", "listen"').replace("tables = ", "tables = «")
        + "channels = ['c']",
        "grants[0].tables: no action here is done to them",
        "or leave tables out",
    ),
    Broken(
        RULE + "channels = «['c']",
        "grants[0].channels: no action here is done to them",
        "add one of 'listen' or 'notify' to actions",
    ),
    Broken(
        GRANT.replace("select", "ddl") + "columns = «['id']",
        "grants[0].columns: 'columns' is about tables, and none are named",
    ),
    Broken(
        GRANT.replace("select", "ddl") + "lifts = «['m']\n[[masks]]\nname = 'm'\n"
        "columns = ['s.t.c']\nmethod = 'null'",
        "grants[0].lifts: 'lifts' is about tables, and none are named",
    ),
    Broken(V + "denials = [«{}]", "denials[0]: this takes nothing", "name actions, tables or"),
    Broken(V + "denials = [{actions = [«'select']}]", "'select' is done to tables"),
    Broken(RULE + "channels = [«'']", "expected the name of a channel, got an empty one"),
    Broken(
        RULE.replace("select", "selekt").replace('["sel', '[«"sel'),
        "expected 'select', 'insert', 'update', 'delete', 'truncate', 'explain', 'lock', 'listen'",
        "did you mean 'select'?",
    ),
]
CONTRADICTIONS = [
    Broken(
        RULE + "name = 'x'\n[[grants]]\nname = «'x'\ngroups = ['b']\nactions = ['select']\n"
        "tables = ['s.t']",
        "grants[1].name: the name 'x' is taken",
        "line 6 has it already",
    ),
    Broken(DENIAL + "name = 'x'\n[[denials]]\nname = «'x'\ntables = ['s.u']", "'x' is taken"),
    Broken(
        MASK + "method = 'null'\n[[scans]]\nname = «'m'\ncolumns = ['s.t.d']",
        "scans[0].name: the name 'm' is taken",
        "line 3 has it already",
    ),
    Broken(
        SCAN + "[[masks]]\nmethod = 'null'\nname = «'f'\ncolumns = ['s.t.d']",
        "masks[0].name: the name 'f' is taken",
        "line 3 has it already",
    ),
    Broken(SCAN + "patterns = [{name='a', regex='a'}, {name=«'a', regex='b'}]", "'a' is taken"),
    Broken(SCAN + "patterns = [{name=«'email', regex='a'}]", "'email' is a built-in detector"),
    Broken(SCAN + "detectors = «[]", "this scan finds nothing", "[[scans.patterns]]"),
    Broken(SCAN + "allow = ['a@b.c', «'*@*.*']", "this allows whatever is found"),
    Broken(SCAN + "masks = [{detectors=['ip'], method=«'null'}]", "expected 'redact', 'constant'"),
    Broken(
        SCAN + "detectors = ['email']\nmasks = [{detectors=[«'card'], method='redact'}]",
        "this scan has no detector 'card'",
    ),
    Broken(
        SCAN + "masks = [{detectors=['ip'], method='hash'}, {detectors=[«'ip'], method='redact'}]",
        "the finds of 'ip' are masked already",
    ),
    Broken(
        SCAN + "masks = [{detectors=['ip'], method=«'partial'}]", "'partial' that keeps nothing"
    ),
    Broken(SCAN + "masks = [{detectors=['ip'], method='hash', «value='x'}]", "no key 'value'"),
    Broken(
        SCAN + "patterns = [{name='a', regex=«'\\pL'}]\n[detect]\nengine = 'builtin'",
        "the engine builtin can't search by this pattern",
        "take the engine re2",
    ),
    Broken(V + "detect.engine = «'re'", "expected 're2' or 'builtin', got 're'", "'re2'"),
    Broken(
        RULE + "lifts = [«'x']", "no mask and no scan is called 'x'", "names of masks and scans"
    ),
    Broken(
        RULE + "lifts = [\n'mails',\n«'api-keyz']\n[[masks]]\nname='api-keys'\nmethod='null'\n"
        "columns=['s.t.c']\n[[scans]]\nname='mails'\ncolumns=['s.t.d']",
        "no mask and no scan is called 'api-keyz'",
        "did you mean 'api-keys'?",
    ),
    Broken(
        RULE + "«[[denials]]\ngroups = ['a']\nactions = ['select']\ntables = ['s.t']",
        "denials[0]: this takes all that the grant 'grants[0]' gives",
        "narrow one",
    ),
    Broken(
        V + "«[[denials]]\nactions = ['update', 'select']\ngroups = ['b', 'a']\ntables = ['s.t']\n"
        "[[grants]]\ngroups = ['a', 'b']\nactions = ['select', 'update']\ntables = ['s.t']",
        "takes all that the grant",
    ),
    Broken(
        MASK + "method = 'null'\n[[masks]]\nname = 'n'\nmethod = 'hash'\n"
        "columns = [\n'a.b.c', «'s.t.c']",
        "another mask covers 's.t.c' too",
        "line 4 has it",
    ),
    Broken(MASK + "method = «'partial'", "'partial' that keeps nothing", 'method = "redact"'),
    Broken(MASK + "keep_first = 0\nmethod = «'partial'", "'partial' that keeps nothing"),
]
FIRST = [
    Broken(V + "strict = «1\nname = 2", "strict:"),
    Broken(V + "name = «2\nstrict = 1", "name:"),
    Broken(V + "[limits]\nrows = «-1\n[audit]\nbad = 1", "limits.rows:"),
    Broken(
        MASK.replace('"m"', "«''") + "method = 'null'\n[[grants]]\ngroups = 1", "masks[0].name:"
    ),
    Broken(V + "«[[masks]]\nname = ''", "masks[0]: the key 'columns' is missing"),
    Broken(MASK + "method = 'partial'\nkeep_last = «'x'\n[[grants]]", "masks[0].keep_last:"),
]
KEY = str(Signer("desk", b"s" * 32).public)
DESK = V + f'[approval]\nkeys = ["{KEY}"]\n'
ASKS = DESK + '[[approvals]]\napprovers = ["b"]\n'
APPROVALS = [
    Broken(V + '«[[approvals]]\nrows = 1\napprovers = ["b"]', "nobody could decide", "keygen"),
    Broken(V + '[approval]\nkeys = [«"desk+1+x"]', "no public key", "keygen"),
    Broken(DESK + '«[[approvals]]\napprovers = ["b"]', "asks for every statement", "actions"),
    Broken(DESK + "«[[approvals]]\nrows = 1", "the key 'approvers' is missing"),
    Broken(ASKS + "rows = «0", "from 1 to"),
    Broken(ASKS + 'tables = ["s.t"]\nper = «"1h"', "nothing is counted", "rows, bytes or runs"),
    Broken(ASKS + 'bytes = «"1MB"', "bytes are counted over a time", "per"),
    Broken(ASKS + 'rows = 1\ntimezone = «"UTC"', "no hours"),
    Broken(ASKS + 'hours = «"Mon-Fri 8-18"', "no hours of days", "Mon-Fri 08:00-18:00"),
    Broken(ASKS + 'hours = «"Mon-Fri 18:00-08:00"', "end before they begin", "two spans"),
    Broken(ASKS + 'hours = "Mon 08:00-09:00"\ntimezone = «"Mars/Base"', "time zone", "IANA"),
    Broken(ASKS + 'reveal = [«"nothing"]', "no mask and no scan", "reveal holds"),
    Broken(ASKS + 'rows = 1\nticket = «"("', "no regular expression"),
    Broken(ASKS + "rows = 1\npeople = «0", "from 1 to"),
    Broken(ASKS + "rows = 1\nexpires = «0", "in no time"),
    Broken(ASKS + "rows = 1\nvalid = «0", "in no time"),
    Broken(ASKS + "runs = «1", "runs are counted over a time", "per"),
    Broken(ASKS + 'actions = ["select"]\nno_where = «true', "no action here", "delete"),
    *[
        Broken(ASKS + f'actions = «["select", "ddl"]\n{more}', "is not known", "of its own")
        for more in (
            'tables = ["s.t"]',
            'columns = ["s.t.c"]',
            "protected = true",
            "rows = 1",
            'bytes = 1\nper = "1h"',
            'runs = 1\nper = "1h"',
        )
    ],
    Broken(V + '[approval]\nwebhook = «"https://h.test/"', "that this webhook is yours", "secret"),
    Broken(V + '[approval]\nwebhook = «"http://h.test/"', "plain http", "https"),
]

CORP = V + '[[issuers]]\nname = "corp"\nissuer = "https://i.test"\naudience = "a"\n'
LOGIN = CORP + "[[console.logins]]\n"
CONSOLE = [
    Broken(V + '[console]\nurl = «"http://h.test"', "plain http", "https"),
    Broken(V + '[console]\nurl = «"https://h.test/"', "pages below it", "https://host"),
    Broken(V + '[console]\nurl = «"https://h.test?x"', "pages below it"),
    Broken(V + '[console]\nurl = «"https://a:b@h.test"', "a user or a password"),
    Broken(V + '[console]\nhosts = [«"a b"]', "no host", "localhost:8080"),
    Broken(V + '[console]\nhosts = [«"*"]', "no host"),
    Broken(V + '[console]\nhosts = [«"h.test/x"]', "no host"),
    Broken(V + "[console]\nlasts = «0", "stay logged in"),
    Broken(V + "[console]\nlasts = «'2d'", "from 0 to 86400"),
    Broken(V + "[console]\ntokens = «false", "nobody could log in", "console.logins"),
    Broken(V + '[console]\nkey_env = "A"\n«key_file = "b"', "exclude each other"),
    Broken(LOGIN + 'issuer = «"crop"\nclient_id = "c"', "no issuer is called", "corp"),
    Broken(CORP + '«[[console.logins]]\nissuer = "corp"', "the key 'client_id' is missing"),
    Broken(
        LOGIN + 'issuer = "corp"\nclient_id = "c"\nscopes = [«"a b"]',
        "expected a scope",
    ),
    Broken(
        LOGIN + 'issuer = "corp"\nclient_id = "c"\n[[console.logins]]\nissuer = «"corp"\n'
        'client_id = "d"',
        "has a login already",
    ),
    Broken(
        CORP.replace("https://i.test", "corp") + 'keys = "k"\n[[console.logins]]\n'
        'issuer = «"corp"\nclient_id = "c"',
        "nobody can log in",
    ),
    Broken(
        CORP + 'tokens = "id"\n«[[console.logins]]\nissuer = "corp"\nclient_id = "c"\n'
        'token = "access"',
        "access tokens are not accepted",
    ),
]


ALL = [
    *APPROVALS,
    *CONSOLE,
    *SYNTAX,
    *KEYS,
    *TYPES,
    *VALUES,
    *PATTERNS,
    *ISSUERS,
    *PASSWORDS,
    *OBJECTS,
    *CONTRADICTIONS,
    *FIRST,
]


def complaint(text: str) -> PolicyError:
    """Return what the loader complains of in `text`."""
    with pytest.raises(PolicyError) as caught:
        loads(text, "policy.toml")
    return caught.value


@pytest.mark.parametrize("broken", ALL, ids=lambda broken: broken.message)
def test_complaint(broken: Broken) -> None:
    """Each mistake is told at its line and column, with what was expected or meant."""
    before, mark, after = broken.text.partition("«")
    assert mark
    error = complaint(before + after)
    assert broken.message in error.message
    assert broken.help in error.help
    assert error.path == "policy.toml"
    line, column = before.count("\n") + 1, len(before) - before.rfind("\n")
    assert (error.line, error.column) == (line, column)


@pytest.mark.parametrize("broken", [*PASSWORDS, *ISSUERS], ids=lambda broken: broken.message)
def test_no_secret_is_told(broken: Broken) -> None:
    """No complaint about a secret in the wrong place repeats the secret."""
    error = complaint(broken.text.replace("«", ""))
    assert SECRET not in str(error)
    assert "me:pw" not in str(error)


DEEP = [
    "x = " + "[" * 9000,
    "x = " + "{a=" * 9000,
    "a." * 200_000 + "b = 1",
    "[" + "'a'. " * 200_000 + "b]",
    '[["' + 'a"."' * 200_000 + 'b"]]',
]


@pytest.mark.parametrize("opening", DEEP)
def test_too_deep(opening: str) -> None:
    """Values nested beyond what can be read are refused like any other mistake."""
    assert "nested too deeply" in complaint(opening).message


def test_too_large(tmp_path: Path) -> None:
    """No more of a file is read than a policy can have; one that never ends, too."""
    path = tmp_path / "policy.toml"
    with path.open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(PolicyError, match="larger than 16 MiB"):
        load(path)
