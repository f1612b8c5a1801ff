"""The frozen values of a policy, and of a decision made by it.

A policy is read by `policy.load`, a decision is made by `policy.decide`; here are only
the shapes both speak in. Names of relations are ``schema.table``, of columns
``schema.table.column``, as PostgreSQL stores them (no quotes, case as it is).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias, get_args

from tracewall.masking.config import PLACES, Engine, Method, Pattern, Replacement
from tracewall.policy.approvals import USUAL, told
from tracewall.policy.approvals import Approval as Approval
from tracewall.policy.approvals import Approving as Approving
from tracewall.policy.console import CLOSED
from tracewall.policy.console import Console as Console
from tracewall.policy.glob import Glob as Glob
from tracewall.policy.issuers import DEFAULTS, Identity
from tracewall.policy.issuers import Actor as Actor
from tracewall.policy.issuers import Issuer as Issuer
from tracewall.policy.settings import Audit as Audit
from tracewall.policy.settings import Database as Database
from tracewall.policy.settings import Durability as Durability
from tracewall.policy.settings import Enforcement as Enforcement
from tracewall.policy.settings import EnforcementMode as EnforcementMode
from tracewall.policy.settings import Limits as Limits
from tracewall.policy.settings import Recording as Recording
from tracewall.sql.rowfilter import Condition

TableAction: TypeAlias = Literal[
    "select", "insert", "update", "delete", "truncate", "explain", "lock"
]
ChannelAction: TypeAlias = Literal["listen", "notify"]
FreeAction: TypeAlias = Literal["ddl", "do", "call", "temp", "prepare", "maintain", "anything"]
Action: TypeAlias = TableAction | ChannelAction | FreeAction
TABLE_ACTIONS: tuple[TableAction, ...] = get_args(TableAction)
"""What is done to relations."""
CHANNEL_ACTIONS: tuple[ChannelAction, ...] = get_args(ChannelAction)
"""What is done to channels of notifications."""
FREE_ACTIONS: tuple[FreeAction, ...] = get_args(FreeAction)
"""What statements do that can't be followed to the objects they reach."""
DATA_CHANGES: frozenset[Action] = frozenset({"insert", "update", "delete", "truncate"})
"""What changes rows."""
ACTIONS: tuple[Action, ...] = (*TABLE_ACTIONS, *CHANNEL_ACTIONS, *FREE_ACTIONS)
Predicates: TypeAlias = Literal["none", "equality", "any"]
Expressions: TypeAlias = Literal["refuse", "mask"]
Preset: TypeAlias = Literal["gen_ai"]
Slices: TypeAlias = Literal["refuse", "allow"]
WriteBack: TypeAlias = Literal["refuse_updates", "refuse_writes", "allow"]
OnFailure: TypeAlias = Literal["refuse", "go_on"]
Outcome: TypeAlias = Literal["allowed", "asks", "forbidden"]


@dataclass(frozen=True, slots=True)
class Grant:
    """Lets ``groups`` do ``actions`` on the ``columns`` of ``tables``, or on ``channels``.

    ``lifts`` names the masks and scans that it lifts. ``rows`` is the condition on the rows
    that it is about (None: all). Actions that can't be followed
    (`FREE_ACTIONS`) have neither tables nor channels. ``audit`` is how strongly statements
    that use it are recorded at least (empty: as all are).
    """

    name: str
    groups: tuple[Glob, ...]
    actions: frozenset[Action]
    tables: tuple[Glob, ...] = ()
    columns: tuple[Glob, ...] = (Glob("*"),)
    lifts: frozenset[str] = frozenset()
    channels: tuple[Glob, ...] = ()
    rows: Condition | None = None
    audit: Durability | Literal[""] = ""
    line: int = 0


@dataclass(frozen=True, slots=True)
class Denial:
    """Takes ``actions`` from ``groups``, whatever grants say.

    They are taken on the ``columns`` of ``tables``, on ``channels``, or as such
    (`FREE_ACTIONS`). ``reason`` is shown to the caller. A ``shadow`` takes nothing.
    """

    name: str
    groups: tuple[Glob, ...]
    actions: frozenset[Action]
    tables: tuple[Glob, ...] = ()
    columns: tuple[Glob, ...] = (Glob("*"),)
    reason: str = ""
    channels: tuple[Glob, ...] = ()
    shadow: bool = False
    line: int = 0


@dataclass(frozen=True, slots=True)
class Mask:
    """Masks whole values of ``columns`` by ``method``, or what lies inside documents.

    ``paths`` are JSON paths to what is masked; a ``preset`` knows a kind of document, of
    which it masks ``classes`` (none named: all). ``predicates`` says how a masked column
    may be compared, ``expressions`` whether an expression over it is refused or becomes a
    constant. ``audit`` is how strongly statements that touch one of the columns are recorded
    at least, whoever sees them masked (empty: as all are). A ``shadow`` hides nothing.
    """

    name: str
    columns: tuple[Glob, ...]
    method: Method
    predicates: Predicates = "equality"
    expressions: Expressions = "refuse"
    paths: tuple[str, ...] = ()
    preset: Preset | Literal[""] = ""
    classes: tuple[str, ...] = ()
    audit: Durability | Literal[""] = ""
    shadow: bool = False
    line: int = 0

    @property
    def inside(self) -> bool:
        """True where it masks parts of a document and leaves the rest clear."""
        return bool(self.paths or self.preset)


@dataclass(frozen=True, slots=True)
class Scan:
    """Masks what detectors find inside the text of ``columns`` (text or JSON).

    ``detectors`` are names of built-in detectors (``*``: all of them), ``patterns`` the
    policy's own. What is found stays where it is among ``allow`` (``*`` stands for any run
    of characters but blanks, ``@``, ``,``, ``;`` and ``/``), and is masked by the one of
    ``masks`` for its detector, else by ``[detector]``. A value of more than ``longest``
    characters is masked whole (0: no limit). ``predicates`` says how the column may be
    compared, ``slices`` whether pieces of its text may be shown, which can be too small
    for a detector to know them. With ``across``, keys are found too that are cut by the
    boundary of two such columns which stand side by side in a result. ``write_back`` says
    what may be written to the columns that holds the scan's own marks. A ``shadow`` hides
    nothing.
    """

    name: str
    columns: tuple[Glob, ...]
    detectors: tuple[str, ...] = ("*",)
    patterns: tuple[Pattern, ...] = ()
    predicates: Predicates = "any"
    allow: tuple[str, ...] = ()
    masks: tuple[Replacement, ...] = ()
    longest: int = 0
    slices: Slices = "refuse"
    across: bool = True
    write_back: WriteBack = "refuse_updates"
    shadow: bool = False
    line: int = 0


@dataclass(frozen=True, slots=True)
class Detect:
    """What all scans search by: the ``engine``, and how many ``places`` of a value it judges."""

    engine: Engine = "re2"
    places: int = PLACES


@dataclass(frozen=True, slots=True)
class MaskKey:
    """A key that pseudonyms and marks are made with, by the ``id`` that masks name.

    It is in the environment variable ``env`` or in the ``file``; with neither the program
    gives it to the wall.
    """

    id: str
    env: str = ""
    file: str = ""
    line: int = 0


@dataclass(frozen=True, slots=True)
class Trust:
    """Lets ``groups`` use functions and operators of users' own (``schema.name``).

    Whoever writes it vouches that they read nothing but their arguments.
    """

    name: str
    functions: tuple[Glob, ...]
    groups: tuple[Glob, ...]
    line: int = 0


@dataclass(frozen=True, slots=True)
class RecordingRule:
    """Records what ``groups`` send and are given: at all, or of ``actions`` on ``tables``.

    Of each statement at most ``rows`` rows and ``bytes`` bytes are recorded. Recordings are
    deleted ``keep_for`` seconds after their last line (0: never). A recording goes on in
    another one after ``rotate_size`` bytes or ``rotate_interval`` seconds (0: never).
    ``on_failure`` says whether a caller who can't be recorded is refused.
    """

    name: str
    groups: tuple[Glob, ...] = (Glob("*", dots=True),)
    tables: tuple[Glob, ...] = ()
    actions: frozenset[Action] = frozenset()
    rows: int = 1000
    bytes: int = 1_000_000
    rotate_size: int = 256 << 20
    rotate_interval: float = 86_400.0
    keep_for: float = 0.0
    on_failure: OnFailure = "refuse"
    line: int = 0


@dataclass(frozen=True, slots=True)
class Policy:
    """Everything a policy file says; ``hash`` is the SHA-256 (hex) of its meaning.

    ``path`` is the file it came from (empty: from text); relative paths in it are
    relative to that file's directory.
    """

    version: int
    hash: str
    name: str = ""
    path: str = ""
    strict: bool = False
    database: Database = Database()
    audit: Audit = Audit()
    recording: Recording = Recording()
    recordings: tuple[RecordingRule, ...] = ()
    identity: Identity = DEFAULTS
    issuers: tuple[Issuer, ...] = ()
    actors: tuple[Actor, ...] = ()
    grants: tuple[Grant, ...] = ()
    denials: tuple[Denial, ...] = ()
    masks: tuple[Mask, ...] = ()
    scans: tuple[Scan, ...] = ()
    functions: tuple[Trust, ...] = ()
    approvals: tuple[Approval, ...] = ()
    approval: Approving = USUAL
    console: Console = CLOSED
    keys: tuple[MaskKey, ...] = ()
    limits: Limits = Limits()
    enforcement: Enforcement = Enforcement()
    detect: Detect = Detect()


@dataclass(frozen=True, slots=True)
class OutputColumn:
    """What the judgement says of one output position.

    ``sources`` are the base columns (table oid, attnum) whose values may show here
    unchanged; ``mask`` masks the whole value or parts of it, ``scans`` what is found inside
    it. ``lineage`` has each base column by its name (``schema.table.column``) with how its
    value gets here: ``exact``, ``among``, ``inherited``, ``part``, ``taken``, ``sliced``,
    ``measured``, ``compared`` or ``derived`` (see `tracewall.sql.flow`).
    """

    name: str
    sources: frozenset[tuple[int, int]] = frozenset()
    mask: Mask | None = None
    scans: tuple[Scan, ...] = ()
    lineage: tuple[tuple[str, str], ...] = ()

    @property
    def part(self) -> bool:
        """True where a document's part may show, and not only the whole."""
        return any(how in ("part", "taken") for _, how in self.lineage)

    @property
    def shows(self) -> str:
        """How the value is shown: ``clear``, a mask's method, or ``scanned``."""
        return self.mask.method.name if self.mask else "scanned" if self.scans else "clear"

    @property
    def rule(self) -> str:
        """The names of the rules that mask this position, comma separated; empty: clear."""
        rules = [f"masks.{self.mask.name}"] if self.mask else []
        return ", ".join(rules + [f"scans.{scan.name}" for scan in self.scans])


@dataclass(frozen=True, slots=True, eq=False)
class Decision:
    """What the policy says of one statement for one set of groups.

    ``outcome`` is ``allowed``, ``asks`` or ``forbidden``; ``rule`` names what decided,
    ``reason`` says why, ``hint`` what to do instead. ``columns`` has one entry for each
    output position; ``relations`` maps each relation touched to the actions done to it.
    ``summary`` is short and ``text`` literal-free, both fit for logs. ``unreadable`` is
    true where the statement was not understood, ``unknown`` where a refusal is
    about what it names (so that a catalog read anew may change the answer). An
    ``unfollowed`` statement is allowed though nobody knows what it gives back: it has no
    ``columns``, and nothing of its result is masked. ``approvals`` are the rules that ask,
    or may ask when rows are counted or the clock is looked at, in the order of the file:
    each of them has to be satisfied, the ``strictest`` among them.
    """

    outcome: Outcome
    rule: str
    reason: str = ""
    hint: str = ""
    policy_hash: str = ""
    summary: str = ""
    text: str = ""
    columns: tuple[OutputColumn, ...] = ()
    relations: tuple[tuple[str, tuple[str, ...]], ...] = ()
    row_limit: int = 0
    byte_limit: int = 0
    unreadable: bool = False
    unknown: bool = False
    unfollowed: bool = False
    approvals: tuple[Approval, ...] = ()

    @property
    def allowed(self) -> bool:
        """True when the statement may be sent as it is."""
        return self.outcome == "allowed"

    @property
    def strictest(self) -> Approval | None:
        """The rule that asks for the most people, or waits for the shortest time."""
        return min(self.approvals, key=lambda rule: (-rule.people, rule.expires), default=None)

    def for_caller(self) -> Decision:
        """The decision as its caller may have it.

        A refusal that listed what the statement touches would tell what there is.
        """
        if self.outcome != "forbidden":
            return self
        verb = self.summary.partition(" ")[0]
        return replace(self, summary=verb, columns=(), relations=(), unknown=False)

    def __str__(self) -> str:
        """Give the decision in lines that people read."""
        lines = [f"{self.outcome} by {self.rule}"]
        lines += [f"  {what}: {why}" for what, why in self._why() if why]
        width = max((len(column.name) for column in self.columns), default=0)
        lines += [
            f"  column {column.name:<{width}}  {_origin(column)}  {_shown(column)}"
            for column in self.columns
        ]
        return "\n".join(lines)

    def _why(self) -> Iterator[tuple[str, str]]:
        yield "reason", self.reason
        yield "hint", self.hint
        for rule in self.approvals:
            most = " (the strictest)" * (rule is self.strictest and len(self.approvals) > 1)
            yield f"approvals.{rule.name}", told(rule) + most
        if self.outcome != "forbidden":
            for name, actions in self.relations:
                yield name, ", ".join(actions)
            yield "not followed", "nothing of the result is checked or masked" * self.unfollowed
            yield "rows", f"at most {self.row_limit}" if self.row_limit else ""
            yield "bytes", f"at most {self.byte_limit}" if self.byte_limit else ""


def _origin(column: OutputColumn) -> str:
    return ", ".join(f"{name} ({how})" for name, how in column.lineage) or "no column"


def _shown(column: OutputColumn) -> str:
    return f"{column.shows} by {column.rule}" if column.rule else column.shows
