"""What the parts of a policy say against each other, though each alone is right."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, TypeAlias

from tracewall.masking.config import DETECTORS, Method
from tracewall.masking.patterns import PatternInvalid, tables
from tracewall.policy.approval_format import complain_of_approvals
from tracewall.policy.checks import key_set
from tracewall.policy.console_format import complain_of_console
from tracewall.policy.covering import liftable
from tracewall.policy.enforcement import complain_of_enforcement
from tracewall.policy.locate import Place
from tracewall.policy.mask_format import complain_of_lifted
from tracewall.policy.model import CHANNEL_ACTIONS, TABLE_ACTIONS, Denial, Grant, Policy, Scan
from tracewall.policy.reading import Reading, did_you_mean, listed
from tracewall.policy.rows import FILTERED_ACTIONS

Raw: TypeAlias = dict[str, Any]


def complain_of_contradictions(policy: Policy, raw: Raw, root: Place, reading: Reading) -> None:
    """Give `reading` what is contradictory in `policy`, which was written as `raw` at `root`."""
    for sections in (
        ("issuers",),
        ("actors",),
        ("grants",),
        ("denials",),
        ("masks", "scans"),
        ("functions",),
        ("recordings",),
        ("approvals",),
    ):
        entries = [entry for section in sections for entry in _entries(policy, root, section)]
        names = ((rule.name, place.inside.get("name", place)) for rule, place in entries)
        _complain_of_twins(names, "the name '{}' is taken", reading)
    _complain_of_issuers(policy, root, reading)
    _complain_of_anchors(policy, root, reading)
    _complain_of_store(policy, root, reading)
    _complain_of_recording(policy, root, reading)
    _complain_of_objects(policy, raw, root, reading)
    _complain_of_actors(policy, root, reading)
    _complain_of_lifts(policy, raw, root, reading)
    _complain_of_grants(policy, root, reading)
    _complain_of_rows(policy, raw, root, reading)
    _complain_of_masks(policy, root, reading)
    _complain_of_scans(policy, root, reading)
    complain_of_approvals(policy, raw, root, reading)
    complain_of_console(policy, root, reading)
    complain_of_enforcement(policy, root, reading)


def _entries(policy: Policy, root: Place, section: str) -> Iterator[tuple[Any, Place]]:
    """Yield each rule of a section with its place."""
    if section in root.inside:
        yield from zip(getattr(policy, section), root.inside[section].inside.values(), strict=True)


def _complain_of_twins(
    said: Iterable[tuple[object, Place]], message: str, reading: Reading
) -> None:
    """Complain of what is said a second time, in the order of the file."""
    seen: dict[object, Place] = {}
    for thing, place in sorted(said, key=lambda pair: pair[1].start):
        first = seen.setdefault(thing, place)
        if first is not place:
            line, _ = reading.at(first.start)
            reading.wrong(place, message.format(thing), f"line {line} has it already")


_OF_CHECKPOINTS = (
    *("anchor_file", "anchor_url", "anchor_conninfo", "checkpoint_records", "checkpoint_interval"),
)
_OF_ANCHOR = ("anchor_password_env", "anchor_password_file", "anchor_schema")


def _complain_of_anchors(policy: Policy, root: Place, reading: Reading) -> None:
    if "audit" not in root.inside:
        return
    inside, audit = root.inside["audit"].inside, policy.audit
    for key in _OF_CHECKPOINTS:
        if key in inside and not audit.signed:
            help = "write signing_key_env or signing_key_file; tracewall audit keygen makes a key"
            reading.wrong(inside[key], "without a signing key there are no checkpoints", help)
    for key in _OF_ANCHOR:
        if key in inside and not audit.anchor_conninfo:
            help = "write anchor_conninfo beside it"
            reading.wrong(inside[key], "this is about checkpoints in PostgreSQL", help)
    if audit.anchor_conninfo and audit.anchor_conninfo == audit.conninfo:
        help = "write the database of another server, or another role's login"
        reading.wrong(inside["anchor_conninfo"], "the record itself is kept there", help)


_OF_FILES = (
    *("durability", "writes", "rotate_size", "rotate_interval", "pack", "compression", "keep_size"),
)
_OF_DATABASE = ("password_env", "password_file", "schema")


def _complain_of_store(policy: Policy, root: Place, reading: Reading) -> None:
    """Complain of what is about files where the record is in a database, and of the reverse."""
    if "audit" not in root.inside:
        return
    inside, stored = root.inside["audit"].inside, bool(policy.audit.conninfo)
    for key in _OF_FILES if stored else _OF_DATABASE:
        if key in inside and stored:
            help = "leave it out: every record is committed before its statement is sent"
            reading.wrong(inside[key], "this is about files, and the record is in PostgreSQL", help)
        elif key in inside:
            help = "write conninfo beside it"
            reading.wrong(inside[key], "this is about a record that is kept in PostgreSQL", help)
    if stored and policy.audit.patience <= 0:
        help = "write how long a statement may wait for its record"
        reading.wrong(inside["deadline"], "a database may be out of reach for ever", help)


def _complain_of_recording(policy: Policy, root: Place, reading: Reading) -> None:
    if "recording" in root.inside and not policy.recordings:
        help = "write [[recordings]] with groups or tables; recording is opt-in"
        reading.wrong(root.inside["recording"], "no rule says what is recorded", help)
    if "recording" in root.inside and not policy.recording.url:
        inside = root.inside["recording"].inside
        for key in ("remove_shipped", "max_unshipped"):
            if key in inside:
                reading.wrong(inside[key], "nothing is shipped", 'write url = "s3://..." beside it')


def _complain_of_issuers(policy: Policy, root: Place, reading: Reading) -> None:
    entries = _entries(policy, root, "issuers")
    said = ((issuer.issuer, place.inside["issuer"]) for issuer, place in entries)
    _complain_of_twins(said, "the issuer '{}' is there twice", reading)
    for issuer, place in _entries(policy, root, "issuers"):
        found = issuer.keys or issuer.discovery or "://" in issuer.issuer
        if not found or (issuer.provider == "spiffe" and not issuer.keys):
            reading.wrong(place, "the key 'keys' is missing", _NO_METADATA)
        elif not (issuer.keys or issuer.discovery) and key_set(issuer.issuer):
            reading.wrong(place.inside["issuer"], "no keys can be found from here", _NO_METADATA)
        if issuer.introspection and not issuer.introspection.lasts:
            at = place.inside["introspection"].inside["lasts"]
            reading.wrong(at, "an answer that lasts no time is none", "write a time above 0")


_NO_METADATA = (
    "name a JSON Web Key Set; only an issuer that is an https URL has metadata to find one by"
)


def _complain_of_actors(policy: Policy, root: Place, reading: Reading) -> None:
    known = {issuer.name for issuer in policy.issuers}
    for actor, place in _entries(policy, root, "actors"):
        if actor.issuer and actor.issuer not in known:
            help = did_you_mean(actor.issuer, known, "give the name of one of the issuers")
            reading.wrong(place.inside["issuer"], f"no issuer is called '{actor.issuer}'", help)


def _complain_of_lifts(policy: Policy, raw: Raw, root: Place, reading: Reading) -> None:
    known = liftable(policy)
    for index, (_, place) in enumerate(_entries(policy, root, "grants")):
        complain_of_lifted("lifts", raw["grants"][index], place, known, reading)


def _complain_of_grants(policy: Policy, root: Place, reading: Reading) -> None:
    """Complain of a grant and a denial that say the very same of the very same."""
    grants = {_extent(grant): grant.name for grant in policy.grants}
    for denial, place in _entries(policy, root, "denials"):
        if grant := grants.get(_extent(denial)):
            message = f"this takes all that the grant '{grant}' gives"
            reading.wrong(place, message, "leave both out, or narrow one of them")


def _complain_of_objects(policy: Policy, raw: Raw, root: Place, reading: Reading) -> None:
    """Complain of actions without what they are done to, and of objects without actions."""
    for section in ("grants", "denials"):
        for index, (rule, place) in enumerate(_entries(policy, root, section)):
            _complain_of_rule(rule, raw[section][index], place, reading)


def _complain_of_rows(policy: Policy, raw: Raw, root: Place, reading: Reading) -> None:
    for index, (grant, place) in enumerate(_entries(policy, root, "grants")):
        if grant.rows is None:
            continue
        for at, action in enumerate(raw["grants"][index]["actions"]):
            if action not in FILTERED_ACTIONS:
                where = place.inside["actions"].inside[at]
                help = "grant it apart, without rows, to those who may do it to all rows"
                reading.wrong(where, f"'{action}' can't be held to some rows", help)
        if "name" not in raw["grants"][index]:
            help = "the server's policies are called by it, and a position changes"
            reading.wrong(place.inside["rows"], "a grant with rows needs a name", help)


_DONE_TO = {"tables": TABLE_ACTIONS, "channels": CHANNEL_ACTIONS}
_EXAMPLES = {"tables": '["schema.table"]', "channels": '["channel"]'}


def _complain_of_rule(rule: Grant | Denial, raw: Raw, place: Place, reading: Reading) -> None:
    for objects, actions in _DONE_TO.items():
        help = f"write {objects} = {_EXAMPLES[objects]}"
        for at, action in enumerate(raw.get("actions", ())):
            if action in actions and objects not in raw:
                where = place.inside["actions"].inside[at]
                reading.wrong(where, f"'{action}' is done to {objects}, and none are named", help)
        if objects in raw and rule.actions.isdisjoint(actions):
            help = f"add one of {listed(actions)} to actions, or leave {objects} out"
            reading.wrong(place.inside[objects], "no action here is done to them", help)
    for key in ("columns", "lifts"):
        if key in raw and "tables" not in raw:
            help = f"write tables = {_EXAMPLES['tables']}"
            reading.wrong(place.inside[key], f"'{key}' is about tables, and none are named", help)
    if not rule.actions:
        reading.wrong(place, "this takes nothing", "name actions, tables or channels")


def _extent(rule: Grant | Denial) -> tuple[object, ...]:
    globs = (frozenset(globs) for globs in (rule.groups, rule.tables, rule.columns, rule.channels))
    return (rule.actions, *globs)


def _complain_of_masks(policy: Policy, root: Place, reading: Reading) -> None:
    said: list[tuple[object, Place]] = []
    ids = [(key.id, place.inside["id"]) for key, place in _entries(policy, root, "keys")]
    _complain_of_twins(ids, "the key '{}' is there twice", reading)
    keys = {id for id, _ in ids}
    for mask, place in _entries(policy, root, "masks"):
        said += zip(mask.columns, place.inside["columns"].inside.values(), strict=True)
        method = mask.method
        if mask.classes and not mask.preset:
            help = 'write preset = "gen_ai", or leave the classes out'
            reading.wrong(place.inside["classes"], "only a preset has classes", help)
        if method.key and method.key not in keys:
            help = did_you_mean(method.key, keys, "write [[keys]] with this id")
            reading.wrong(place.inside["key"], f"no key has the id '{method.key}'", help)
        _complain_of_method(method, place, reading)
    _complain_of_twins(said, "another mask covers '{0.text}' too", reading)


def _complain_of_method(method: Method, place: Place, reading: Reading) -> None:
    if method.name == "partial" and method.keep_first == method.keep_last == 0:
        help = 'write keep_first or keep_last, or method = "redact"'
        reading.wrong(place.inside["method"], "'partial' that keeps nothing", help)


def _complain_of_scans(policy: Policy, root: Place, reading: Reading) -> None:
    for scan, place in _entries(policy, root, "scans"):
        if not scan.detectors and not scan.patterns:
            help = "name detectors, or write [[scans.patterns]]"
            reading.wrong(place.inside["detectors"], "this scan finds nothing", help)
        patterns = place.inside["patterns"].inside.values() if scan.patterns else ()
        names = [
            (pattern.name, at.inside["name"])
            for pattern, at in zip(scan.patterns, patterns, strict=True)
        ]
        for name, at in names:
            if name in DETECTORS:
                help = "call your own pattern something else"
                reading.wrong(at, f"'{name}' is a built-in detector", help)
        _complain_of_twins(names, "the name '{}' is taken", reading)
        _complain_of_replacements(scan, place, reading)
        if policy.detect.engine == "builtin":
            _complain_of_tables(scan, patterns, reading)


def _complain_of_replacements(scan: Scan, place: Place, reading: Reading) -> None:
    own = {pattern.name for pattern in scan.patterns}
    known = own | set(DETECTORS if "*" in scan.detectors else scan.detectors)
    said: list[tuple[object, Place]] = []
    for number, made in enumerate(scan.masks):
        at = place.inside["masks"].inside[number]
        names = [*zip(made.detectors, at.inside["detectors"].inside.values(), strict=True)]
        said += names
        for name, where in names:
            if name not in known:
                help = did_you_mean(name, known, "name detectors of this scan")
                reading.wrong(where, f"this scan has no detector '{name}'", help)
        _complain_of_method(made.method, at, reading)
    _complain_of_twins(said, "the finds of '{}' are masked already", reading)


def _complain_of_tables(scan: Scan, patterns: Iterable[Place], reading: Reading) -> None:
    """Complain of own patterns that google-re2 reads, and the engine chosen does not."""
    for pattern, at in zip(scan.patterns, patterns, strict=True):
        try:
            tables((pattern,))
        except PatternInvalid as invalid:
            message = f"the engine builtin can't search by this pattern: {invalid.message}"
            reading.wrong(at.inside["regex"], message, "write it otherwise, or take the engine re2")
