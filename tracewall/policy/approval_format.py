"""The format of what a policy lets people decide."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, TypeAlias, get_args

from tracewall.policy.approvals import Approval, Approving, Mode, Reason
from tracewall.policy.checks import conninfo, webhook
from tracewall.policy.covering import liftable
from tracewall.policy.enforcement import SHADOW
from tracewall.policy.hours import WorkingHours, zone
from tracewall.policy.kinds import (
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
from tracewall.policy.locate import Place
from tracewall.policy.mask_format import LIFTED, complain_of_lifted
from tracewall.policy.model import FREE_ACTIONS, TABLE_ACTIONS, Policy
from tracewall.policy.reading import Complaint, Reading, listed
from tracewall.policy.sections import Key, Many, OneOrMany, Section
from tracewall.signing import BadKey, PublicKey

Raw: TypeAlias = dict[str, Any]

_CONDITIONS = (
    *("actions", "tables", "columns", "protected", "no_where", "rows", "bytes", "runs", "hours"),
    "reveal",
)
_UNCONDITIONAL = frozenset({"update", "delete", "truncate"})
_MANY_PEOPLE = 100
_YEAR = 366 * 86_400
_GROUPS = Many(GroupName())


def _public(text: str) -> Complaint | None:
    try:
        PublicKey.parse(text)
    except BadKey:
        help = "tracewall audit keygen NAME makes a pair; here goes NAME+HASH+KEY, the public one"
        return Complaint("this is no public key of an approver", help)
    return None


def _regex(text: str) -> Complaint | None:
    try:
        re.compile(text)
    except re.error as ex:
        return Complaint(f"this is no regular expression: {ex.msg}")
    return None


APPROVAL = Section(
    Approval,
    "Has people decide on statements that are permitted otherwise. It asks where everything "
    "holds that is written.",
    {
        "name": Key(RULE_NAME, "What decisions call this rule."),
        "groups": Key(_GROUPS, "Whose statements; * stands for any text.", default=["*"]),
        "actions": Key(
            Many(Choice((*TABLE_ACTIONS, *FREE_ACTIONS)), frozenset),
            "What is done; left out: anything that is done to a table.",
        ),
        "tables": Key(Many(DottedName("table", "schema.table")), "To which tables."),
        "columns": Key(
            Many(DottedName("column", "schema.table.column")), "One of these columns is touched."
        ),
        "protected": Key(Flag(), "A column is touched that a mask or scan is on."),
        "no_where": Key(Flag(), "Rows are updated, deleted or truncated without a condition."),
        "rows": Key(Whole(MOST_ROWS, least=1), "More rows come back or are changed."),
        "bytes": Key(Size(), "More bytes come back; goes with per."),
        "runs": Key(
            Whole(MOST_ROWS, least=1),
            "More different statements, or one with different parameters; goes with per.",
        ),
        "per": Key(Duration(_YEAR), "Rows, bytes and runs are counted over so long, per person."),
        "hours": Key(OneOrMany(WorkingHours()), "It is not within these hours."),
        "timezone": Key(Text("a time zone", check=zone), "Of the hours, as Europe/Berlin."),
        "reveal": Key(
            Many(LIFTED, frozenset), "Which masks and scans may be lifted once, by asking for it."
        ),
        "approvers": Key(_GROUPS, "The groups whose members decide.", required=True),
        "people": Key(Whole(_MANY_PEOPLE, least=1), "How many different people must agree."),
        "expires": Key(Duration(_YEAR), "How long a request waits."),
        "valid": Key(Duration(_YEAR), "How long what was agreed to may be done."),
        "reason": Key(Choice(get_args(Reason)), "Whether whoever asks must say why."),
        "ticket": Key(
            Text("a regular expression", check=_regex),
            "What the ticket is like (Python's re, all of it); left out: no ticket is needed.",
        ),
        "mode": Key(
            Choice(get_args(Mode)),
            "Whether it may be done once, or as often as the statement has the same shape.",
        ),
        "shadow": SHADOW,
        "break_glass": Key(_GROUPS, "The groups whose members may go on alone, to be reviewed."),
    },
)
APPROVING = Section(
    Approving,
    "Where requests wait for approval, and whose decisions count.",
    {
        "store": Key(Text("a path"), "The SQLite file of requests."),
        "conninfo": Key(
            Text("a connection string", check=conninfo),
            "The PostgreSQL database of requests, in place of the file; without a password.",
        ),
        "password_env": Key(Text(), "The environment variable that holds the password."),
        "password_file": Key(Text("a path"), "The file that holds the password."),
        "keys": Key(
            Many(Text("a public key", check=_public)),
            "The public keys of what approvers decide with (NAME+HASH+KEY).",
        ),
        "webhook": Key(Text("a URL", check=webhook), "Where each request is told, signed."),
        "webhook_secret_env": Key(Text(), "The environment variable with the webhook's secret."),
        "webhook_secret_file": Key(Text("a path"), "The file with the webhook's secret."),
        "chat_env": Key(
            Text(), "The environment variable with a chat's incoming webhook (as Slack's)."
        ),
        "most_pending": Key(
            Whole(_MANY_PEOPLE * 100, least=1), "How many requests of one person may wait."
        ),
        "keep": Key(
            Duration(10 * _YEAR), "How long requests are kept when they are over; 0: for good."
        ),
    },
    exclusive=(
        ("password_env", "password_file"),
        ("webhook_secret_env", "webhook_secret_file"),
        ("store", "conninfo"),
    ),
)


def complain_of_approvals(policy: Policy, raw: Raw, root: Place, reading: Reading) -> None:
    """Give `reading` what is contradictory in the rules that ask."""
    _complain_of_webhook(policy, root, reading)
    if "approvals" not in root.inside:
        return
    places = list(root.inside["approvals"].inside.values())
    if not policy.approval.keys:
        help = "write keys = [...] under [approval]; tracewall audit keygen NAME makes a pair"
        reading.wrong(places[0], "nobody could decide: no key of approvers is known", help)
    known = liftable(policy)
    for rule, written, place in zip(policy.approvals, raw["approvals"], places, strict=True):
        for key, message, help in _wrong(rule, written):
            reading.wrong(place.inside[key] if key else place, message, help)
        complain_of_lifted("reveal", written, place, known, reading)


def _complain_of_webhook(policy: Policy, root: Place, reading: Reading) -> None:
    where = policy.approval
    if where.webhook and not (where.webhook_secret_env or where.webhook_secret_file):
        at = root.inside["approval"].inside["webhook"]
        help = "write webhook_secret_env or webhook_secret_file"
        reading.wrong(at, "nobody could tell that this webhook is yours", help)


def _wrong(rule: Approval, written: Raw) -> Iterator[tuple[str, str, str]]:
    """Yield what is wrong with one rule: the key it is about, the message and the help."""
    if not written.keys() & set(_CONDITIONS):
        yield "", "this asks for every statement", f"write one of {listed(_CONDITIONS)}"
    if "per" in written and not rule.counts:
        yield "per", "nothing is counted over this time", "write rows, bytes or runs, too"
    if "runs" in written and not rule.per:
        yield "runs", "runs are counted over a time", 'write per = "1h", or the like'
    if "bytes" in written and not rule.per:
        yield "bytes", "bytes are counted over a time", 'write per = "1h", or the like'
    if "timezone" in written and not rule.hours:
        yield "timezone", "there are no hours that this is about", "write hours, or leave it out"
    if rule.no_where and rule.actions and rule.actions.isdisjoint(_UNCONDITIONAL):
        yield "no_where", "no action here has a condition to lack", f"add {listed(_UNCONDITIONAL)}"
    if not (rule.people and rule.expires and rule.valid):
        key = "expires" if not rule.expires else "valid"
        yield key, "in no time nobody can decide", "write a length of time above 0"
    free = rule.actions.intersection(FREE_ACTIONS)
    if free and (written.keys() & {"tables", "columns", "protected", "rows", "bytes", "runs"}):
        help = "write a rule of its own for it"
        yield "actions", f"what {listed(sorted(free))} reaches is not known", help
