"""The format of what a policy protects: masks with their methods and keys, scans, patterns."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, get_args

from tracewall.masking.config import (
    DETECTORS,
    FOUND_METHODS,
    Engine,
    Method,
    MethodName,
    Pattern,
    Replacement,
    Unit,
)
from tracewall.masking.messages import CLASSES
from tracewall.policy.checks import allowable, json_path, own_regex
from tracewall.policy.enforcement import SHADOW
from tracewall.policy.kinds import (
    ANYTHING,
    END,
    RULE_NAME,
    Choice,
    DottedName,
    Flag,
    Positive,
    Text,
    Whole,
)
from tracewall.policy.locate import Place
from tracewall.policy.model import (
    Detect,
    Durability,
    Expressions,
    Mask,
    MaskKey,
    Predicates,
    Preset,
    Scan,
    Slices,
    WriteBack,
)
from tracewall.policy.reading import Reading, did_you_mean
from tracewall.policy.sections import Key, Many, Raw, Section

LIFTED = Text(
    "the name of a mask or scan, or mask.class", rf"^[A-Za-z0-9_-]{{1,63}}(\.[a-z]+)?{END}"
)
"""What a grant lifts."""

LONG_TEXT = 2**31 - 1
"""How long a text can be, in characters."""

_MARKER_NAME = Text(
    "a name of lower-case letters, digits, '_' and '-'", rf"^[a-z][a-z0-9_-]{{0,30}}{END}"
)
_COLUMNS = Key(
    Many(DottedName("column", "schema.table.column")),
    "Which columns, as schema.table.column; * stands for anything but a dot.",
    required=True,
)
_PREDICATES = Key(
    Choice(get_args(Predicates)),
    "How a statement may compare the column: not at all (none), by = and IN with a parameter, "
    "a literal or a column under the same mask (equality), or freely (any).",
)

_MASK_OPTIONS = {
    "partial": {
        "keep_first": Key(Whole(LONG_TEXT), "How many characters stay at the start."),
        "keep_last": Key(Whole(LONG_TEXT), "How many characters stay at the end."),
    },
    "constant": {"value": Key(Text(pattern=ANYTHING, blank=True), "What is shown.", required=True)},
    "date": {"unit": Key(Choice(get_args(Unit)), "What it is truncated to.", required=True)},
    "number": {
        "bucket": Key(Positive(), "It is rounded down to a multiple of this.", required=True)
    },
    "callable": {
        "callable": Key(
            Text("package.module:function", rf"^[A-Za-z_][\w.]*:[A-Za-z_]\w*{END}"),
            "The function that masks a value, as package.module:function.",
            required=True,
        )
    },
}


def complain_of_lifted(
    key: str, rule: Raw, place: Place, known: Collection[str], reading: Reading
) -> None:
    """Give `reading` the names, under a key of a rule, that are none of the `known` ones."""
    names = rule.get(key, ())
    for at, name in enumerate(names if isinstance(names, list) else ()):
        if name not in known:
            help = did_you_mean(name, known, f"{key} holds names of masks and scans")
            message = f"no mask and no scan is called '{name}'"
            reading.wrong(place.inside[key].inside[at], message, help)


def _mask(*, method: MethodName, key: str = "", **values: Any) -> Mask:
    """Make a mask of keys that stand side by side in the file."""
    options = {name: values.pop(name) for name in _MASK_OPTIONS.get(method, {}) if name in values}
    return Mask(method=Method(method, **options, key=key), **values)


MASK_KEY = Section(
    MaskKey,
    "Keys of pseudonyms and marks, by id.",
    {
        "id": Key(RULE_NAME, "What masks name it by.", required=True),
        "env": Key(Text(), "The environment variable that holds it."),
        "file": Key(Text("a path"), "The file that holds it."),
    },
    exclusive=(("env", "file"),),
)
MASK = Section(
    Mask,
    "Masks whole values of columns, or what lies inside documents.",
    {
        "name": Key(RULE_NAME, "What grants and decisions call this mask.", required=True),
        "shadow": SHADOW,
        "columns": _COLUMNS,
        "method": Key(Choice(get_args(MethodName)), "How a value is masked.", required=True),
        "paths": Key(
            Many(Text("a JSON path", check=json_path)),
            "JSON paths to what is masked in a document; the rest stays clear.",
        ),
        "preset": Key(
            Choice(get_args(Preset)),
            "A kind of document that is known: gen_ai, messages of language models.",
        ),
        "classes": Key(
            Many(Choice(CLASSES)), "What of such a document is masked; left out: every class."
        ),
        "key": Key(RULE_NAME, "The id of the key for pseudonyms and marks."),
        "predicates": _PREDICATES,
        "expressions": Key(
            Choice(get_args(Expressions)),
            "What becomes of an expression over the column in the output: refused (refuse), or "
            "shown as a constant (mask).",
        ),
        "audit": Key(
            Choice(get_args(Durability)),
            "What the record of statements that touch the columns survives, where that is more "
            "than others'.",
        ),
    },
    make=_mask,
    option_of="method",
    options=_MASK_OPTIONS,
    exclusive=(("paths", "preset"),),
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


def _replacement(*, detectors: tuple[str, ...], method: MethodName, **options: Any) -> Replacement:
    return Replacement(detectors, Method(method, **options))


REPLACEMENT = Section(
    Replacement,
    "What stands in place of what certain detectors find.",
    {
        "detectors": Key(
            Many(_MARKER_NAME), "The detectors, built-in ones or your own.", required=True
        ),
        "method": Key(Choice(FOUND_METHODS), "How each find is masked.", required=True),
    },
    make=_replacement,
    option_of="method",
    options={name: _MASK_OPTIONS[name] for name in ("partial", "constant")},
)
DETECT = Section(
    Detect,
    "What scans search by.",
    {
        "engine": Key(
            Choice(get_args(Engine)),
            "google-re2 (re2), or what comes with tracewall and is slower (builtin).",
        ),
        "places": Key(
            Whole(LONG_TEXT, least=1),
            "How many places of one value that look like finds are judged; from there on the "
            "value is hidden.",
        ),
    },
)
SCAN = Section(
    Scan,
    "Masks what detectors find inside the text or JSON of columns.",
    {
        "name": Key(RULE_NAME, "What grants and decisions call this scan.", required=True),
        "shadow": SHADOW,
        "columns": _COLUMNS,
        "detectors": Key(
            Many(Choice(("*", *DETECTORS)), empty=True), "The built-in detectors; *: all of them."
        ),
        "patterns": Key(Many(PATTERN), "Detectors of your own."),
        "predicates": _PREDICATES,
        "allow": Key(
            Many(Text("a value or a pattern", check=allowable)),
            "What is no secret though it is found; * stands for anything but blanks and @ , ; /.",
        ),
        "masks": Key(Many(REPLACEMENT), REPLACEMENT.purpose),
        "longest": Key(
            Whole(LONG_TEXT), "A value of more characters is masked whole; 0: no limit."
        ),
        "across": Key(
            Flag(),
            "Whether keys are found that are cut by the boundary of two such columns, side by "
            "side in a result.",
        ),
        "write_back": Key(
            Choice(get_args(WriteBack)),
            "What of the scan's own marks ([email]) may be written to its columns: not over what "
            "is there (refuse_updates), nowhere in them (refuse_writes), or all (allow).",
        ),
        "slices": Key(
            Choice(get_args(Slices)),
            "What becomes of a piece of the text (left, substr, split_part, regexp_match…): "
            "refused, or searched like the whole (allow), though a detector may not know half "
            "a secret.",
        ),
    },
)
