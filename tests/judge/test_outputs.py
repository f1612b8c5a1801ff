"""What hides an output, by how each protected column's value gets there: flows made by hand."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from tracewall.masking.config import Method
from tracewall.policy.decide import decide
from tracewall.policy.model import Decision, Glob, Limits, Mask
from tracewall.policy.rights import Rights
from tracewall.sql.catalog import Catalog
from tracewall.sql.flow import Access, How, Source
from tracewall.sql.statement import Statement

NOTES, DOC, TOKEN = "shop.people.notes", "shop.people.doc", "shop.people.token"
OTHER = "shop.accounts.token"

Output = Callable[..., Any]


@pytest.fixture
def output(catalog: Catalog, words: Any) -> Callable[..., Decision]:
    """Give the decision on an output of some columns' values, each ``(column, how)``."""
    columns = {
        f"{relation.qualified}.{column.name}": (relation.oid, column.attnum)
        for relation in catalog.relations.values()
        for column in relation.columns
    }

    def decided(sources: list[tuple[str, How]], *rules: Any) -> Decision:
        flow = frozenset(Source(columns[name], how) for name, how in sources)
        asked = Statement("select", "SELECT", "", columns=(("x", flow),))
        return decide(asked, Rights(words.policy(*rules), catalog, frozenset({"people"})))

    return decided


def inside(*columns: str, name: str = "paths") -> Mask:
    """Give a mask on what lies inside documents."""
    globs = tuple(Glob(column) for column in columns)
    return Mask(name, globs, Method("redact"), "any", paths=("$.a",))


def hides(decision: Decision) -> tuple[str, tuple[str, ...]]:
    """Give the mask on the one output (``-``: none; ``!``: whole), and the scans of it."""
    assert decision.allowed, decision.reason
    (column,) = decision.columns
    mask = column.mask
    told = "-" if mask is None else mask.name if mask.inside or mask.columns else f"!{mask.name}"
    return told, tuple(scan.name for scan in column.scans)


@pytest.mark.parametrize(
    ("how", "told"),
    [
        (How.EXACT, "paths"),
        (How.AMONG, "paths"),
        (How.INHERITED, "!paths"),
        (How.PART, "paths"),
        (How.TAKEN, "paths"),
        (How.SLICED, None),
        (How.MEASURED, "-"),
        (How.COMPARED, "-"),
        (How.DERIVED, None),
    ],
)
def test_a_document_is_masked_inside_as_far_as_it_stays_one(
    output: Output, how: How, told: str | None
) -> None:
    """Whole or in parts it keeps its mask, measures are clear, else it is hidden or refused."""
    decision = output([(DOC, how)], inside(DOC))
    assert decision.allowed == (told is not None)
    assert told is None or hides(decision) == (told, ())


@pytest.mark.parametrize(
    ("how", "told"),
    [
        (How.EXACT, ("-", ("scan",))),
        (How.AMONG, ("-", ("scan",))),
        (How.INHERITED, ("!scan", ())),
        (How.PART, ("-", ("scan",))),
        (How.TAKEN, ("-", ("scan",))),
        (How.SLICED, None),
        (How.MEASURED, ("-", ())),
        (How.COMPARED, ("-", ())),
        (How.DERIVED, None),
    ],
)
def test_a_scanned_text_is_scanned_as_far_as_it_is_text(
    output: Output, words: Any, how: How, told: Any
) -> None:
    """Whole or in whole parts it is scanned, measures are clear, else hidden or refused."""
    decision = output([(NOTES, how)], words.scan(NOTES))
    assert decision.allowed == (told is not None)
    assert told is None or hides(decision) == told


@pytest.mark.parametrize(
    ("how", "told"),
    [
        (How.EXACT, "mask"),
        (How.AMONG, "mask"),
        (How.INHERITED, "!mask"),
        (How.PART, None),
        (How.TAKEN, None),
        (How.MEASURED, None),
        (How.COMPARED, None),
        (How.DERIVED, None),
    ],
)
def test_a_masked_value_shows_as_itself_only(
    output: Output, words: Any, how: How, told: str | None
) -> None:
    """As itself it is masked, generated from it hidden; whatever else shows it is refused."""
    decision = output([(TOKEN, how)], words.mask(TOKEN))
    assert decision.allowed == (told is not None)
    assert told is None or hides(decision) == (told, ())


def test_several_scans_of_one_generated_column_hide_it_once(output: Output, words: Any) -> None:
    """What was generated of two texts under the same scans is one constant of both scans."""
    scans = (words.scan(f"{NOTES} {OTHER}", name="a"), words.scan(f"{NOTES} {OTHER}", name="b"))
    sources = [(NOTES, How.INHERITED), (OTHER, How.INHERITED)]
    assert hides(output(sources, *scans)) == ("!a+b", ())


def test_two_columns_under_one_rule_are_under_it_once(output: Output, words: Any) -> None:
    """A value of either of two columns has what both have, not a constant for both together."""
    either = [(TOKEN, How.EXACT), (OTHER, How.EXACT)]
    assert hides(output(either, words.mask(f"{TOKEN} {OTHER}"))) == ("mask", ())
    assert hides(output(either, words.scan(f"{TOKEN} {OTHER}"))) == ("-", ("scan",))


def test_two_columns_under_two_rules_are_hidden_whole(output: Output, words: Any) -> None:
    """A value of either of two columns under different rules shows nothing of itself."""
    either = [(TOKEN, How.EXACT), (NOTES, How.EXACT)]
    first, second = words.mask(TOKEN, name="a"), words.mask(NOTES, name="b")
    assert hides(output(either, first, second)) == ("!a+b", ())
    assert hides(output(either, first, words.scan(NOTES))) == ("!a+scan", ())


def test_a_document_masked_inside_is_scanned_too(output: Output, words: Any) -> None:
    """A mask inside leaves the rest to scans; one on the whole value leaves them nothing."""
    scan = words.scan(DOC)
    assert hides(output([(DOC, How.EXACT)], inside(DOC), scan)) == ("paths", ("scan",))
    assert hides(output([(DOC, How.EXACT)], words.mask(DOC), scan)) == ("mask", ())
    assert hides(output([(DOC, How.EXACT)], inside(DOC))) == ("paths", ())


def test_what_shows_no_column_is_clear(output: Output, words: Any) -> None:
    """A constant is masked by nothing, whatever else is."""
    assert hides(output([], words.mask("shop.*.*"))) == ("-", ())


# --- settings, channels, words ------------------------------------------------------


def setting(catalog: Catalog, words: Any, name: str, value: str | None, *rules: Any) -> Decision:
    """Give the decision on SET under a limit of five seconds for a statement."""
    policy = replace(words.policy(*rules), limits=Limits(statement_timeout=5))
    asked = Statement("set", "SET", "", settings=((name, value),))
    return decide(asked, Rights(policy, catalog, frozenset({"people"})))


@pytest.mark.parametrize(
    ("value", "allowed"),
    [
        ("5000", True),
        ("5001", False),
        ("5s", True),
        (" 5 s ", True),
        ("6s", False),
        ("1min", False),
        ("1ms", True),
        ("0", False),
        ("0s", False),
        ("-1", False),
        ("", False),
        (None, False),
        ("5000us", False),
        ("1 us", False),
        ("1.5s", False),
        ("0x10", False),
        ("9999999999999", False),
        ("1h", False),
        ("1d", False),
    ],
)
def test_a_time_limit_is_only_tightened(
    catalog: Catalog, words: Any, value: str | None, allowed: bool
) -> None:
    """A limit is set between a millisecond and the policy's; what may come to none is refused."""
    decision = setting(catalog, words, "statement_timeout", value)
    assert decision.allowed == allowed
    assert allowed or decision.rule == "limits.statement_timeout"


@pytest.mark.parametrize(
    ("value", "allowed"),
    [
        ("1d", True),
        ("2d", False),
        ("24h", True),
        ("25h", False),
        ("1440min", True),
        ("1441min", False),
        ("86400s", True),
        ("86401s", False),
        ("86400000ms", True),
        ("86400001ms", False),
    ],
)
def test_each_unit_of_time_is_what_it_is(
    catalog: Catalog, words: Any, value: str, allowed: bool
) -> None:
    """Under a limit of a day, a day is a day in each unit that PostgreSQL knows."""
    policy = replace(words.policy(), limits=Limits(statement_timeout=86_400))
    asked = Statement("set", "SET", "", settings=(("statement_timeout", value),))
    assert decide(asked, Rights(policy, catalog, frozenset({"people"}))).allowed == allowed


@pytest.mark.parametrize("kind", ["fetch", "move"])
def test_rows_of_a_cursor_are_not_followed(catalog: Catalog, words: Any, kind: str) -> None:
    """Whose rows FETCH and MOVE give is not said: they need the grant of what declares cursors."""
    asked = Statement(kind, kind.upper(), "")
    for rules, allowed in (((), False), ((words.grant("", "prepare"),), True)):
        told = decide(asked, Rights(words.policy(*rules), catalog, frozenset({"people"})))
        assert told.allowed == allowed
        assert allowed or (told.unreadable and kind.upper() in told.reason)


def test_what_was_understood_is_not_called_unreadable(judge: Any) -> None:
    """A refusal for want of a grant is one of a statement that was read."""
    assert not judge("SELECT id FROM people").unreadable
    assert judge("SELEKT").unreadable


def test_other_parameters_are_no_matter_of_limits_or_masks(catalog: Catalog, words: Any) -> None:
    """A time zone is set under a limit of time, and where something is masked."""
    assert setting(catalog, words, "timezone", "UTC").allowed
    assert setting(catalog, words, "timezone", "UTC", words.mask(TOKEN)).allowed


def test_a_silent_denial_of_a_channel_gets_the_words_of_what_nothing_grants(
    catalog: Catalog, words: Any
) -> None:
    """A denial without a reason names neither itself nor that it is there."""

    def heard(*rules: Any) -> tuple[str, str]:
        asked = Statement("listen", "LISTEN", "", channels=(("listen", "jobs"),))
        told = decide(asked, Rights(words.policy(*rules), catalog, frozenset({"people"})))
        assert told.outcome == "forbidden"
        return told.rule, told.reason

    hear = words.grant("", "listen", channels=(Glob("jobs"),))
    hushed = words.denial("", "listen", channels=(Glob("jobs"),), name="hushed")
    assert heard(hear, hushed) == heard()


def test_a_hint_names_no_relation_beneath_a_view(catalog: Catalog, words: Any) -> None:
    """Who is refused a view is not told what it reads, though they may read some of that."""
    oids = {relation.qualified: relation.oid for relation in catalog.relations.values()}
    view, base = oids["shop.faces"], oids["shop.people"]
    seen = (Access("select", view, 1, "id"), Access("select", base, 1, "id", view))
    asked = Statement("select", "SELECT", "", accesses=seen)
    few = words.grant("shop.people", columns="name")
    refused = decide(asked, Rights(words.policy(few), catalog, frozenset({"people"})))
    assert (refused.outcome, refused.hint) == ("forbidden", "")
    own = decide(
        Statement("select", "SELECT", "", accesses=(Access("select", base, 1, "id"),)),
        Rights(words.policy(few), catalog, frozenset({"people"})),
    )
    assert own.hint == "columns of shop.people for you to select: name"


def test_a_refusal_says_relation_or_column(judge: Any, words: Any) -> None:
    """What is not granted is called what it is in the statement."""
    few = words.grant("shop.people", columns="id")
    assert judge("SELECT count(*) FROM accounts", few).reason.startswith('relation "accounts"')
    assert judge("SELECT email FROM people", few).reason.startswith('column "email"')
