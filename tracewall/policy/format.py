"""The format of a policy file: every key, what it may hold, and what it is for.

The loader reads by this description, and `schema` makes of it what editors check by.
"""

from __future__ import annotations

from typing import Any, get_args

from tracewall.policy.approval_format import APPROVAL, APPROVING
from tracewall.policy.checks import anchor, conninfo
from tracewall.policy.console_format import CONSOLE
from tracewall.policy.enforcement import ENFORCEMENT, SHADOW
from tracewall.policy.issuer_format import ACTOR, IDENTITY, ISSUER
from tracewall.policy.kinds import (
    CENTURY,
    MOST_ROWS,
    RULE_NAME,
    Choice,
    DottedName,
    Duration,
    Flag,
    GroupName,
    Only,
    RowFilter,
    Size,
    Text,
    Whole,
)
from tracewall.policy.mask_format import DETECT, LIFTED, LONG_TEXT, MASK, MASK_KEY, SCAN
from tracewall.policy.model import (
    ACTIONS,
    CHANNEL_ACTIONS,
    TABLE_ACTIONS,
    Audit,
    Database,
    Denial,
    Durability,
    Glob,
    Grant,
    Limits,
    Policy,
    Trust,
)
from tracewall.policy.recording_format import RECORDING, RECORDING_RULE
from tracewall.policy.sections import Key, Many, Section

_GROUPS = Many(GroupName())
_OBJECTS = {
    "tables": Key(
        Many(DottedName("table", "schema.table")),
        "On which tables, as schema.table; * stands for anything but a dot.",
    ),
    "channels": Key(
        Many(GroupName("channel")), "On which channels (listen, notify); * stands for any text."
    ),
    "columns": Key(Many(DottedName("column", "column")), "On which of the tables' columns."),
}
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
        "catalog_max_age": Key(
            Duration(),
            "How long it may take until a change of the schema is looked for; 0: before each "
            "statement.",
        ),
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
        "writes": Key(
            Choice(get_args(Durability)),
            "What the record of statements that change rows survives, where that is more.",
        ),
        "deadline": Key(
            Duration(),
            "How long a record may take until its statement is refused; 0: as long as it takes.",
        ),
        "conninfo": Key(
            Text("a connection string", check=conninfo),
            "The PostgreSQL database of the record, in place of files; without a password.",
        ),
        "password_env": Key(Text(), "The environment variable that holds its password."),
        "password_file": Key(Text("a path"), "The file that holds its password."),
        "schema": Key(Text("a name"), "The schema that `tracewall audit migration` has made."),
        "bytes": Key(Flag(), "Whether the bytes of large results are counted, not estimated."),
        "erasable": Key(
            Flag(),
            "Whether people are recorded by pseudonyms, and statements by salted commitments, so "
            "that somebody's data can be erased.",
        ),
        "mirror": Key(
            Flag(),
            "Whether records are emitted as OpenTelemetry log records besides, which nobody relies "
            "on.",
        ),
        "signing_key_env": Key(
            Text(), "The environment variable that holds the key that signs checkpoints."
        ),
        "signing_key_file": Key(
            Text("a path"), "The file that holds the key that signs checkpoints."
        ),
        "checkpoint_records": Key(
            Whole(MOST_ROWS, least=1), "A checkpoint is signed after so many records."
        ),
        "checkpoint_interval": Key(
            Duration(), "A checkpoint is signed after so long, where there are new records."
        ),
        "anchor_file": Key(
            Text("a path"), "The file that checkpoints are appended to; best on another machine."
        ),
        "anchor_url": Key(
            Text("a URL", check=anchor), "The https URL that checkpoints are posted to."
        ),
        "anchor_conninfo": Key(
            Text("a connection string", check=conninfo),
            "The PostgreSQL database that checkpoints are added to; best one that the record's "
            "owner can't get at; without a password.",
        ),
        "anchor_password_env": Key(Text(), "The environment variable that holds its password."),
        "anchor_password_file": Key(Text("a path"), "The file that holds its password."),
        "anchor_schema": Key(
            Text("a name"), "The schema that `tracewall audit migration --anchor` has made."
        ),
        "rotate_size": Key(Size(), "A file ends when it is so large; 0: never."),
        "rotate_interval": Key(Duration(CENTURY), "A file ends when it is so old; 0: never."),
        "pack": Key(Flag(), "Whether files that have ended are packed."),
        "compression": Key(Choice(("gzip", "zstd")), "What they are packed by; zstd is smaller."),
        "keep_for": Key(
            Duration(CENTURY), "A file is deleted so long after its last record; 0: never."
        ),
        "keep_size": Key(
            Size(), "The oldest files are deleted while there are more bytes; 0: never."
        ),
    },
    exclusive=(
        ("signing_key_env", "signing_key_file"),
        ("password_env", "password_file"),
        ("anchor_password_env", "anchor_password_file"),
    ),
)
LIMITS = Section(
    Limits,
    "What one statement may return, and how long it may take.",
    {
        "rows": Key(Whole(MOST_ROWS), "The most rows; 0: no limit."),
        "bytes": Key(Size(), "The most bytes, as the server sends the values; 0: no limit."),
        "statement_timeout": Key(Duration(), "The longest time; 0: the server's own setting."),
        "masked_value": Key(
            Whole(LONG_TEXT),
            "The most bytes of a value that has to be read to be masked; 0: no limit.",
        ),
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
        **_OBJECTS,
        "lifts": Key(
            Many(LIFTED, frozenset),
            "The names of masks and scans that it takes off; mask.class for a class of a preset.",
        ),
        "rows": Key(
            RowFilter(),
            "Which rows it is about: an SQL condition over the tables' columns and the token's "
            "claims, as tenant_id = claim('tenant'). The server holds it; see tracewall rls.",
        ),
        "audit": Key(
            Choice(get_args(Durability)),
            "What the record of statements that use it survives, where that is more than others'.",
        ),
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
        **_OBJECTS,
        "reason": Key(Text(), "Why, in words that the caller is shown."),
        "shadow": SHADOW,
    },
    make=_denial,
)
FUNCTION = Section(
    Trust,
    "Functions of your own that may be called, for they read nothing but their arguments.",
    {
        "name": Key(RULE_NAME, "What you call this rule."),
        "functions": Key(
            Many(DottedName("function", "schema.function")),
            "Which functions and operators, as schema.name; * stands for anything but a dot.",
            required=True,
        ),
        "groups": Key(_GROUPS, "Who may call them; * stands for any text.", default=["*"]),
    },
)
POLICY = Section(
    Policy,
    "What tracewall lets whom do, what it masks, and how it keeps the record.",
    {
        "version": Key(Only(1, "this tracewall reads version 1"), "The format's version: 1.", True),
        "name": Key(Text(), "What the record calls this policy."),
        "strict": Key(Flag(), "Refuse what the second parser can't read."),
        "database": Key(DATABASE, DATABASE.purpose),
        "audit": Key(AUDIT, AUDIT.purpose),
        "recording": Key(RECORDING, RECORDING.purpose),
        "recordings": Key(Many(RECORDING_RULE), RECORDING_RULE.purpose),
        "limits": Key(LIMITS, LIMITS.purpose),
        "enforcement": Key(ENFORCEMENT, ENFORCEMENT.purpose),
        "identity": Key(IDENTITY, IDENTITY.purpose),
        "issuers": Key(Many(ISSUER), ISSUER.purpose),
        "actors": Key(Many(ACTOR), ACTOR.purpose),
        "grants": Key(Many(GRANT), GRANT.purpose),
        "denials": Key(Many(DENIAL), DENIAL.purpose),
        "masks": Key(Many(MASK), MASK.purpose),
        "scans": Key(Many(SCAN), SCAN.purpose),
        "functions": Key(Many(FUNCTION), FUNCTION.purpose),
        "approvals": Key(Many(APPROVAL), APPROVAL.purpose),
        "approval": Key(APPROVING, APPROVING.purpose),
        "console": Key(CONSOLE, CONSOLE.purpose),
        "detect": Key(DETECT, DETECT.purpose),
        "keys": Key(Many(MASK_KEY), MASK_KEY.purpose),
    },
    make=dict,
)
"""The whole file. Its ``make`` gives the fields of a `Policy`, which lacks its hash and path."""
