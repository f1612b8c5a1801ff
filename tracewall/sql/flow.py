"""How values flow from base columns: the small algebra that lineage is written in.

A `Flow` is a set of sources; a source is a base column and how its value gets there:

- ``EXACT``     the value itself, unchanged;
- ``AMONG``     the value itself, among others that the statement makes up (``UNION``);
- ``INHERITED`` what the server computed from it and keeps in a generated column;
- ``PART``      it or another value, as they are (``CASE``, ``coalesce``), or spelled as text;
- ``TAKEN``     an unchanged part of it, or several of it gathered (``doc->'k'``, ``array_agg``);
- ``SLICED``    characters of it that follow each other (``left(x, 3)``);
- ``MEASURED``  a number or truth about it that shows little of it (``length(x)``);
- ``COMPARED``  only what recorded comparisons tell about it (``x = 'a'``);
- ``DERIVED``   anything else computed from it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import IntEnum
from typing import NamedTuple, TypeAlias

Column: TypeAlias = tuple[int, int]
"""A base column: its relation's oid and its attribute number."""


class How(IntEnum):
    """How a base column's value gets where it is."""

    EXACT = 0
    AMONG = 1
    INHERITED = 2
    PART = 3
    TAKEN = 4
    SLICED = 5
    MEASURED = 6
    COMPARED = 7
    DERIVED = 8


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
    return frozenset([Source(column, _AFTER[how][step]) for column, how in flow])


def merged(flows: Iterable[Flow], step: How) -> Flow:
    """Give the union of flows after each went through `step`."""
    carrying = [flow for flow in flows if flow]
    # One alone stays the object that it is, whose hash is known.
    union = carrying[0] if len(carrying) == 1 else NOTHING.union(*carrying)
    return through(union, step)


def among(flows: Sequence[Flow]) -> Flow:
    """Give the flow of a value that is one of several.

    Where some of them come from columns and some are made up, equality of such a value
    with a column would tell which of the made-up ones the column holds.
    """
    union: Flow = NOTHING.union(*flows)
    return union if all(flows) else through(union, How.AMONG)


def uncompared(flow: Flow) -> Flow:
    """Give what a flow carries beyond what recorded comparisons tell."""
    for _, how in flow:
        if how is How.COMPARED:
            return frozenset([source for source in flow if source.how is not How.COMPARED])
    return flow


def _after(how: How, step: How) -> How:
    if How.COMPARED in (how, step):
        # What is known only by recorded comparisons stays so whatever is computed from it.
        return How.COMPARED
    if step is How.AMONG:
        return How.AMONG if how is How.EXACT else how
    if how is How.MEASURED:
        # Arithmetic over a measure tells no more than the measure.
        return how
    if how is How.SLICED:
        return How.SLICED if step in (How.PART, How.TAKEN, How.SLICED) else How.DERIVED
    if how is How.TAKEN and step is How.PART:
        return how
    # A measure of what was computed can tell all of it: length(repeat('x', ascii(c))).
    return How.DERIVED if how in (How.DERIVED, How.INHERITED) else step


_AFTER = tuple(tuple(_after(how, step) for step in How) for how in How)


class Use(NamedTuple):
    """What a statement does with values besides giving them out.

    ``how`` is ``equality`` (with a constant), ``join`` (equality of two columns), ``sort``
    (ordering), ``group`` (grouping, telling apart), ``compare`` (any other comparison) or
    ``compute`` (an expression whose errors or number of rows can tell of the value);
    ``flow`` is what is used, ``other`` a join's other side.
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
    wrote it (``*`` for a star). ``via`` is the oid of the view through which a relation is
    read, 0 where the statement names it itself: the grant on the view is grant enough.
    """

    action: str
    relation: int
    attnum: int
    spelled: str
    via: int = 0
