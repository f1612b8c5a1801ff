"""What is left of a policy while it, or a rule of it, is only observed: no server."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import msgspec
import pytest

from tracewall.policy.decide import decide
from tracewall.policy.enforcement import has_shadows, in_force, observed
from tracewall.policy.model import Approval, Enforcement, Glob
from tracewall.policy.rights import Rights
from tracewall.sql.catalog import Attribute, Catalog, Relation, read
from tracewall.sql.statement import understand


def whole(words: Any) -> Any:
    """Give a policy with one rule of each kind that takes, hides or asks."""
    asks = Approval(name="asks", groups=(Glob("people"),), approvers=(Glob("boss"),))
    rules = (words.grant(), words.denial("shop.logs"), words.mask("a.b.c"), words.scan("a.b.d"))
    return replace(words.policy(*rules), approvals=(asks,))


@pytest.mark.parametrize("section", ["denials", "masks", "scans", "approvals"])
def test_a_rule_in_shadow_changes_nothing(words: Any, section: str) -> None:
    """A rule of any kind that takes, hides or asks may be in shadow, and is left out."""
    policy = whole(words)
    assert not has_shadows(policy) and in_force(policy) is policy
    (rule,) = getattr(policy, section)
    shaded = replace(policy, **{section: (replace(rule, shadow=True), replace(rule, name="on"))})
    assert has_shadows(shaded) is True
    left = in_force(shaded)
    assert [each.name for each in getattr(left, section)] == ["on"]
    assert left.hash == policy.hash
    for other in {"denials", "masks", "scans", "approvals", "grants"} - {section}:
        assert getattr(left, other) == getattr(policy, other)


@pytest.mark.parametrize("masks", ["enforce", "observe"])
def test_an_observed_policy_takes_nothing(words: Any, masks: Any) -> None:
    """Nothing is denied or asked for; masks stay where they are said to; grants go on lifting."""
    policy = replace(whole(words), enforcement=Enforcement("observe", masks=masks))
    left, alone = observed(policy), observed(policy, grants=False)
    for each in (left, alone):
        assert (each.denials, each.approvals) == ((), ())
        kept = (policy.masks, policy.scans) if masks == "enforce" else ((), ())
        assert (each.masks, each.scans) == kept
    assert left.grants[:-1] == policy.grants and len(alone.grants) == 1


@pytest.mark.parametrize("groups", [(), ("people",), ("anybody.at.all",)])
def test_everybody_may_do_everything_while_it_is_observed(
    catalog: Catalog, words: Any, groups: tuple[str, ...]
) -> None:
    """Whoever they are, and whatever it is: no statement is refused for want of a grant."""
    policy = observed(replace(words.policy(), enforcement=Enforcement("observe")))
    held = frozenset(groups or ("\0nobody",))
    for sql in ("SELECT * FROM people", "DELETE FROM logs", 'LISTEN "a.b"', "CREATE TABLE t ()"):
        told = decide(understand(sql.encode(), catalog), Rights(policy, catalog, held))
        assert told.allowed, told.reason


def server_s_own() -> Catalog:
    """Give a catalog with one relation of the server's own, and one that can be masked."""
    columns = (Attribute(1, "oid"), Attribute(2, "relname"))
    relations = [
        Relation(1259, "pg_catalog", "pg_class", columns=columns),
        Relation(100, "shop", "people", columns=(Attribute(1, "token"),)),
    ]
    settings = {"database": "shop", "role": "service", "path": ["pg_catalog", "shop"]}
    answers = (settings, relations, [], [], [], [], [], [], [], [])
    return read([msgspec.json.encode(answer) for answer in answers])


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("sql", ["SELECT relname FROM pg_class", 'LISTEN "a.b"'])
def test_what_only_its_own_name_grants_is_open_while_it_is_observed(
    words: Any, sql: str, masked: bool
) -> None:
    """The server's own catalog and channels with dots, which stars do not give, are given too.

    Also where masks stay in force, for then the grant of anything gives nothing.
    """
    rules = [words.mask("shop.people.token")] if masked else []
    catalog, people = server_s_own(), frozenset({"people"})
    stars = words.policy(words.grant("*.*", channels=(Glob("*"),)), *rules)
    told = understand(sql.encode(), catalog)
    assert not decide(told, Rights(stars, catalog, people)).allowed
    policy = observed(replace(stars, enforcement=Enforcement("observe", masks="enforce")))
    found = decide(told, Rights(policy, catalog, people))
    assert found.allowed, found.reason
