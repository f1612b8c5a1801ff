"""What a scan puts in place of finds, known again where it would be written over them.

1. It is known by its words alone, for it has no room for a key: a scanned text is read on, by
   people, models and detectors, for which ``[email]`` is a word and a keyed tag is noise.
2. Words may be anybody's. So only a scan's own are looked for, and only where a statement
   writes what that scan searches: to look there is `tracewall.shield`'s part.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from tracewall.masking.config import DETECTORS, Method, Pattern, Replacement
from tracewall.masking.documents import SECRET
from tracewall.masking.markers import PLAIN, PSEUDONYM_FORM
from tracewall.masking.replacing import OVERSIZED

_SHORTEST_CONSTANT = 4


def placeholders(
    names: Iterable[str], patterns: Iterable[Pattern], replacements: Iterable[Replacement]
) -> re.Pattern[bytes]:
    """Give what finds, in bytes for the wire, the words that a scan puts in place of finds.

    Args:
        names: the built-in detectors (``*``: all of them).
        patterns: the policy's own.
        replacements: what stands in place of what certain detectors find.
    """
    listed = tuple(names)
    own = tuple(pattern.name for pattern in patterns)
    replaced = {name: each.method for each in replacements for name in each.detectors}
    words = [SECRET, OVERSIZED]
    words += [
        f"[{name}]"
        for name in (*(DETECTORS if "*" in listed else listed), *own)
        if name not in replaced
    ]
    spelled = [re.escape(word) for word in words]
    return re.compile("|".join((*spelled, *_methods(replaced.values()))).encode())


def _methods(methods: Iterable[Method]) -> Iterator[str]:
    """Give expressions for what the methods put in place of finds."""
    for method in dict.fromkeys(methods):
        if method.name == "constant":
            # Shorter ones are in any text.
            if len(method.value) >= _SHORTEST_CONSTANT:
                yield re.escape(method.value)
        elif method.name == "hash":
            yield PSEUDONYM_FORM
        else:
            yield from map(re.escape, (PLAIN.whole, PLAIN.middle, f"{PLAIN.local}@"))
