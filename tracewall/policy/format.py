"""The format of a policy file: every key, what it may hold, and what it is for.

The loader reads by this description, and `schema` makes of it what editors check by.
"""

from __future__ import annotations

from typing import Any, get_args

from tracewall.masking.config import DETECTORS, Method, MethodName, Pattern, Unit
from tracewall.policy.checks import conninfo, own_regex
from tracewall.policy.kinds import (
    ANYTHING,
    END,
    Choice,
    DottedName,
    Duration,
    Flag,
    GroupName,
    Only,
    Positive,
    Text,
    Whole,
)
from tracewall.policy.model import (
    ACTIONS,
    CHANNEL_ACTIONS,
    TABLE_ACTIONS,
    Audit,
    Database,
    Denial,
    Durability,
    Expressions,
    Glob,
    Grant,
    Limits,
    Mask,
    Policy,
    Predicates,
    Scan,
)
from tracewall.policy.sections import Key, Many, Section
from tracewall.policy.trust import ACTOR, ISSUER, RULE_NAME

_MARKER_NAME = Text(
    "a name of lower-case letters, digits, '_' and '-'", rf"^[a-z][a-z0-9_-]{{0,30}}{END}"
)
_MANY_ROWS = 2**63 - 1
_LONG_TEXT = 2**31 - 1

_GROUPS = Many(GroupName())
_CHANNELS = Many(GroupName("channel"))
_TABLES = Many(DottedName("table", "schema.table"))
_COLUMNS = Many(DottedName("column", "column"))
_FULL_COLUMNS = Many(DottedName("column", "schema.table.column"))
_PREDICATES = Key(
    Choice(get_args(Predicates)),
    "How a statement may compare the column: not at all (none), by = and IN with a parameter, "
    "a literal or a column under the same mask (equality), or freely (any).",
)

DATABASE = Section(
    Database,
    "Where tracewall logs in.",
    {
        "conninfo": Key(
            Text("a connection string", check=conninfo),
            "A libpq connection string or URI without a password.",
        ),
        "password_env": Key(Text(), "The environment variable that holds the password."),
        "password_file": Key(Text("a path"), "The file that holds the password."),
    },
    exclusive=(("password_env", "password_file"),),
)
AUDIT = Section(
    Audit,
    "Where the record of every statement is kept, and how strongly.",
    {
        "directory": Key(Text("a path"), "The directory of the record."),
        "durability": Key(
            Choice(get_args(Durability)),
            "What the record survives: nothing certain (buffered), the death of the process "
            "(written), the death of the machine (synced).",
        ),
    },
)
LIMITS = Section(
    Limits,
    "What one statement may return, and how long it may take.",
    {
        "rows": Key(Whole(_MANY_ROWS), "The most rows; 0: no limit."),
        "statement_timeout": Key(Duration(), "The longest time; 0: the server's own setting."),
    },
)
GRANT = Section(
    Grant,
    "Lets groups do actions: on columns of tables, on channels, or as such. What no grant lets "
    "is refused.",
    {
        "name": Key(RULE_NAME, "What decisions call this rule."),
        "groups": Key(_GROUPS, "Whom it lets; * stands for any text.", required=True),
        "actions": Key(Many(Choice(ACTIONS), frozenset), "What it lets them do.", required=True),
        "tables": Key(
            _TABLES, "On which tables, as schema.table; * stands for anything but a dot."
        ),
        "channels": Key(_CHANNELS, "On which channels (listen, notify); * stands for any text."),
        "columns": Key(_COLUMNS, "On which of the tables' columns."),
        "lifts": Key(Many(RULE_NAME, frozenset), "The names of masks and scans that it takes off."),
    },
)


def _denial(
    *, tables: tuple[Glob, ...] = (), channels: tuple[Glob, ...] = (), **values: Any
) -> Denial:
    """Make a denial; without actions it takes every one that can be done to what it names."""
    implied = (*(TABLE_ACTIONS if tables else ()), *(CHANNEL_ACTIONS if channels else ()))
    return Denial(tables=tables, channels=channels, **({"actions": frozenset(implied)} | values))


DENIAL = Section(
    Denial,
    "Takes actions from groups, on tables, on channels or as such, whatever grants say.",
    {
        "name": Key(RULE_NAME, "What decisions call this rule."),
        "groups": Key(_GROUPS, "From whom; * stands for any text.", default=["*"]),
        "actions": Key(
            Many(Choice(ACTIONS), frozenset),
            "What it takes from them; left out: all that can be done to what it names.",
        ),
        "tables": Key(
            _TABLES, "On which tables, as schema.table; * stands for anything but a dot."
        ),
        "channels": Key(_CHANNELS, "On which channels (listen, notify); * stands for any text."),
        "columns": Key(_COLUMNS, "On which of the tables' columns."),
        "reason": Key(Text(), "Why, in words that the caller is shown."),
    },
    make=_denial,
)
_MASK_OPTIONS = {
    "partial": {
        "keep_first": Key(Whole(_LONG_TEXT), "How many characters stay at the start."),
        "keep_last": Key(Whole(_LONG_TEXT), "How many characters stay at the end."),
    },
    "constant": {"value": Key(Text(pattern=ANYTHING, blank=True), "What is shown.", required=True)},
    "date": {"unit": Key(Choice(get_args(Unit)), "What it is truncated to.", required=True)},
    "number": {
        "bucket": Key(Positive(), "It is rounded down to a multiple of this.", required=True)
    },
}


def _mask(*, method: MethodName, **values: Any) -> Mask:
    """Make a mask of keys that stand side by side in the file."""
    options = {name: values.pop(name) for name in _MASK_OPTIONS.get(method, {}) if name in values}
    return Mask(method=Method(method, **options), **values)


MASK = Section(
    Mask,
    "Masks whole values of columns.",
    {
        "name": Key(RULE_NAME, "What grants and decisions call this mask.", required=True),
        "columns": Key(
            _FULL_COLUMNS,
            "Which columns, as schema.table.column; * stands for anything but a dot.",
            required=True,
        ),
        "method": Key(Choice(get_args(MethodName)), "How a value is masked.", required=True),
        "predicates": _PREDICATES,
        "expressions": Key(
            Choice(get_args(Expressions)),
            "What becomes of an expression over the column in the output: refused (refuse), or "
            "shown as a constant (mask).",
        ),
    },
    make=_mask,
    option_of="method",
    options=_MASK_OPTIONS,
)
PATTERN = Section(
    Pattern,
    "A detector of the policy's own.",
    {
        "name": Key(_MARKER_NAME, "What stands in place of what it finds.", required=True),
        "regex": Key(
            Text("a regular expression", check=own_regex),
            "A regular expression in RE2's syntax.",
            required=True,
        ),
    },
)
SCAN = Section(
    Scan,
    "Masks what detectors find inside the text or JSON of columns.",
    {
        "name": Key(RULE_NAME, "What grants and decisions call this scan.", required=True),
        "columns": Key(
            _FULL_COLUMNS,
            "Which columns, as schema.table.column; * stands for anything but a dot.",
            required=True,
        ),
        "detectors": Key(
            Many(Choice(("*", *DETECTORS)), empty=True), "The built-in detectors; *: all of them."
        ),
        "patterns": Key(Many(PATTERN), "Detectors of your own."),
        "predicates": _PREDICATES,
    },
)
POLICY = Section(
    Policy,
    "What tracewall lets whom do, what it masks, and how it keeps the record.",
    {
        "version": Key(Only(1, "this tracewall reads version 1"), "The format's version.", True),
        "name": Key(Text(), "What the record calls this policy."),
        "strict": Key(Flag(), "Refuse what the second parser can't read."),
        "database": Key(DATABASE, DATABASE.purpose),
        "audit": Key(AUDIT, AUDIT.purpose),
        "limits": Key(LIMITS, LIMITS.purpose),
        "issuers": Key(Many(ISSUER), ISSUER.purpose),
        "actors": Key(Many(ACTOR), ACTOR.purpose),
        "grants": Key(Many(GRANT), GRANT.purpose),
        "denials": Key(Many(DENIAL), DENIAL.purpose),
        "masks": Key(Many(MASK), MASK.purpose),
        "scans": Key(Many(SCAN), SCAN.purpose),
    },
    make=dict,
)
"""The whole file. Its ``make`` gives the fields of a `Policy`, which lacks its hash and path."""
