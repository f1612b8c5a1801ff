"""How values flow from base columns: the small algebra that lineage is written in.

A `Flow` is a set of sources; a source is a base column and how its value gets there:

- ``EXACT``     the value itself, unchanged;
- ``PART``      an unchanged part of it, or one of several values (``doc->'k'``, ``CASE``);
- ``MEASURED``  a number or truth about it that shows little of it (``length(x)``);
- ``COMPARED``  only what recorded comparisons tell about it (``x = 'a'``);
- ``DERIVED``   anything else computed from it.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import IntEnum
from typing import NamedTuple, TypeAlias

Column: TypeAlias = tuple[int, int]
"""A base column: its relation's oid and its attribute number."""


class How(IntEnum):
    """How a base column's value gets where it is."""

    EXACT = 0
    PART = 1
    MEASURED = 2
    COMPARED = 3
    DERIVED = 4


class Source(NamedTuple):
    """A base column, and how its value gets here."""

    column: Column
    how: How


Flow: TypeAlias = frozenset[Source]

NOTHING: Flow = frozenset()
"""The flow of constants, parameters and counts: no column's value is in it."""


def through(flow: Flow, step: How) -> Flow:
    """Give what becomes of a flow that goes through an operation of kind `step`."""
    if not flow or step is How.EXACT:
        return flow
    return frozenset(Source(source.column, _after(source.how, step)) for source in flow)


def merged(flows: Iterable[Flow], step: How) -> Flow:
    """Give the union of flows after each went through `step`."""
    union: Flow = NOTHING.union(*flows)
    return through(union, step)


def _after(how: How, step: How) -> How:
    # What is known only by recorded comparisons stays so whatever is computed from it,
    # and arithmetic over a measure tells no more than the measure.
    if how is How.COMPARED:
        return how
    if step is How.PART:
        return how if how is not How.EXACT else How.PART
    if step is How.DERIVED and how is How.MEASURED:
        return how
    return step


class Use(NamedTuple):
    """A comparison, ordering or grouping that a statement makes.

    ``how`` is ``equality`` (with a constant), ``join`` (equality of two columns) or
    ``compare`` (anything else); ``flow`` is what is compared, ``other`` the other side.
    """

    how: str
    flow: Flow
    other: Flow = NOTHING


class Write(NamedTuple):
    """A value written into a base column."""

    target: Column
    flow: Flow


UNKNOWN = -1
"""The attribute number of a column that does not exist."""


class Access(NamedTuple):
    """A right that a statement needs: ``action`` on a relation, or on one of its columns.

    ``relation`` is the oid, 0 where the name is unknown; ``attnum`` 0 means the relation
    as such, `UNKNOWN` a column that no relation has. ``spelled`` is the name as the caller
    wrote it (``*`` for a star).
    """

    action: str
    relation: int
    attnum: int
    spelled: str
