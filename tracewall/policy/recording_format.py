"""The part of the policy file that says which sessions are recorded, and where they are kept."""

from __future__ import annotations

from typing import get_args

from tracewall.policy.checks import recipient, store_url
from tracewall.policy.kinds import (
    CENTURY,
    MOST_ROWS,
    RULE_NAME,
    Choice,
    DottedName,
    Duration,
    Flag,
    GroupName,
    Size,
    Text,
    Whole,
)
from tracewall.policy.model import TABLE_ACTIONS, OnFailure, Recording, RecordingRule
from tracewall.policy.sections import Key, Many, Section

RECORDING = Section(
    Recording,
    "Where recorded sessions are kept.",
    {
        "directory": Key(Text("a path"), "The directory of the recordings."),
        "recipients": Key(
            Many(Text("a public key", check=recipient)),
            "Public keys, of age or SSH, that recordings are encrypted to; none: they are not.",
        ),
        "url": Key(
            Text("a URL", check=store_url),
            "Where recordings are shipped when they are closed, such as s3://bucket/prefix.",
        ),
        "remove_shipped": Key(
            Flag(), "Whether a recording is deleted in the directory when it has arrived there."
        ),
        "max_unshipped": Key(
            Size(), "Nothing more can be recorded where more bytes wait to be shipped; 0: no limit."
        ),
    },
)
RECORDING_RULE = Section(
    RecordingRule,
    "Records sessions, after masking. Each statement goes by the first rule that fits it.",
    {
        "name": Key(RULE_NAME, "What this rule is called; its recordings are in a folder of it."),
        "groups": Key(Many(GroupName()), "Whose; * stands for any text.", default=["*"]),
        "tables": Key(
            Many(DottedName("table", "schema.table")),
            "Only statements that touch one of these tables, or no table at all; left out: all.",
        ),
        "actions": Key(
            Many(Choice(TABLE_ACTIONS), frozenset),
            "Only statements that do one of these to such a table; left out: all.",
        ),
        "rows": Key(Whole(MOST_ROWS), "The most rows of a statement that are recorded."),
        "bytes": Key(Size(), "The most bytes of a statement's rows that are recorded."),
        "rotate_size": Key(
            Size(), "A session goes on in another recording after so many bytes; 0: never."
        ),
        "rotate_interval": Key(
            Duration(CENTURY), "A session goes on in another recording after so long; 0: never."
        ),
        "keep_for": Key(
            Duration(CENTURY), "A recording is pruned so long after its last line; 0: never."
        ),
        "on_failure": Key(
            Choice(get_args(OnFailure)),
            "What becomes of a caller who can't be recorded: refused, or unrecorded.",
        ),
    },
)
