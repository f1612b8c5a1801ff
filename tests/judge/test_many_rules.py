"""What a policy of many rules costs: nothing that grows with it, once a table was looked at."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracewall.masking.config import Method
from tracewall.policy.decide import decide
from tracewall.policy.model import Glob, Mask
from tracewall.policy.rights import Rights
from tracewall.sql.catalog import Catalog
from tracewall.sql.statement import understand

looked: list[str] = []


class Watched(Glob):
    """A pattern that tells when it is looked at."""

    def reaches(self, *names: str) -> bool:
        """Take note, and answer."""
        looked.append(self.text)
        return super().reaches(*names)

    def begins(self, *names: str) -> bool:
        """Take note, and answer."""
        looked.append(self.text)
        return super().begins(*names)


@pytest.mark.parametrize("many", [10, 1_000])
def test_another_column_looks_at_no_rule_of_another_table(
    catalog: Catalog, words: Any, many: int
) -> None:
    """A new statement over a table that was seen looks at the masks on that table alone."""
    elsewhere = [
        Mask(f"m{at}", (Watched(f"shop.notes.n{at}"),), Method("redact")) for at in range(many)
    ]
    own = Mask("own", (Watched("shop.people.t*"),), Method("redact"))
    rights = Rights(words.policy(words.grant(), own, *elsewhere), catalog, frozenset({"people"}))
    first = decide(understand(b"SELECT id FROM people", catalog), rights)
    looked.clear()
    second = decide(understand(b"SELECT token, name FROM people", catalog), rights)
    assert first.allowed and second.allowed
    assert [column.rule for column in second.columns] == ["masks.own", ""]
    assert set(looked) == {"shop.people.t*"}


PARTS = st.sampled_from(["shop", "people", "accounts", "token", "s*", "*", "t*n", "*o*"])


@given(st.lists(st.tuples(PARTS, PARTS, PARTS), max_size=8))
def test_each_mask_is_on_what_its_pattern_reaches(
    catalog: Catalog, words: Any, patterns: list[tuple[str, str, str]]
) -> None:
    """A column is under exactly the masks one of whose patterns reaches its name."""
    masks = [
        Mask(f"m{at}", (Glob(".".join(parts)),), Method("redact"))
        for at, parts in enumerate(patterns)
    ]
    rights = Rights(words.policy(words.grant(), *masks), catalog, frozenset({"people"}))
    for relation in catalog.relations.values():
        # A heir's rows are its parent's too, a view's columns those beneath, and so on.
        if relation.schema != "shop" or relation.name not in ("people", "accounts", "notes"):
            continue
        for column in (each for each in relation.columns if not each.uses):
            name = "shop", relation.name, column.name
            expected = {mask.name for mask in masks if mask.columns[0].reaches(*name)}
            found = rights.shown((relation.oid, column.attnum)).masks
            assert {mask.name for mask in found} == expected
