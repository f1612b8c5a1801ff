"""What is hidden of a row because a key runs through texts that stand side by side in it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import TypeVar

from tracewall.errors import Withheld
from tracewall.masking.joined import crossing, without
from tracewall.shield import Veil

_Error = TypeVar("_Error", bound=BaseException)


def joined(
    veils: Mapping[int, Veil],
    run: Sequence[int],
    raw: Sequence[bytes | bytearray | memoryview | None],
) -> dict[int, str]:
    """Give by position those texts of a run that a key runs through, with it hidden.

    Raises:
        Withheld: they can't be searched.
    """
    found_by = veils[run[0]].joins
    assert found_by is not None
    # Whatever fails on the way to a return withholds the rows.
    with suppress(Exception):
        texts = [bytes(each or b"").decode() for each in raw]
        cut = zip(run, texts, crossing(texts, found_by), strict=True)
        return {at: without(text, spans, veils[at].hide) for at, text, spans in cut if spans}
    # Out here, so that no context of the error holds a value.
    raise withheld(veils[run[0]], 0, too_large=False)


def side_by_side(veils: Mapping[int, Veil]) -> list[list[int]]:
    """Give the positions that stand side by side and are searched together."""
    found: list[list[int]] = []
    for at in sorted(at for at, veil in veils.items() if veil.joins is not None):
        if found and found[-1][-1] == at - 1 and veils[at].joins is veils[at - 1].joins:
            found[-1].append(at)
        else:
            found.append([at])
    return [run for run in found if len(run) > 1]


def withheld(veil: Veil, most: int, too_large: bool) -> Withheld:
    """Give the error for a value that could not be masked, or is too large to be."""
    what, rule = "a value could not be masked", veil.rule
    if too_large:
        what = f"a value has more than {most} bytes, which is the policy's limit for masking"
        rule += "; limits.masked_value"
    return Withheld(f"{what}, so the rows are withheld (rule {rule})")


def bare(error: _Error) -> _Error:
    """Take from an error the frames that it went through, where values may be; give it."""
    error.__context__ = None
    return error.with_traceback(None)
