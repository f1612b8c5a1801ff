"""Judging, masks, free text and the record, each by itself."""

from __future__ import annotations

from collections.abc import Iterator

import detectors
import judge as judging
import masks as masking
from audit import proof, throughput
from figures import Figure
from ground import Ground, Scale
from pairs import Spread, apart, spread

from parts.lookup import compared
from tracewall.masking.detectors import detectors as all_of

TABLES = {"mixed": "mixed types", "plain": "integers and texts"}


def judge(ground: Ground, scale: Scale) -> Iterator[Figure]:
    """Time judging: processor time, no server."""
    share = min(1.0, scale.rounds / 60)
    for title, took in judging.first_sights(share):
        yield Figure("judge", f"first sight, {title}", spread(took).times(1e3), "ms")
    took = judging.repeated(max(2, int(50 * share)))
    yield Figure("judge", "seen before", spread(took).times(1e6), "µs")


def masks(ground: Ground, scale: Scale) -> Iterator[Figure]:
    """Compare 10,000 rows of ten columns, two of them masked."""
    conninfo = ground.database("masks")
    plain = ground.plain(conninfo)
    plain.execute(masking.SETUP)
    guards = ground.stack.enter_context(masking.guards(ground.folder, conninfo))
    for table, title in TABLES.items():
        for method, guarded in guards.items():
            apart(plain, guarded)
            pair = [masking.reading(conn, table) for conn in (guarded, plain)]
            yield compared(f"{title}, {method}", *pair, scale, part="masks", share=0.2)


def text(ground: Ground, scale: Scale) -> Iterator[Figure]:
    """Time free text through all detectors: processor time."""
    maker, found_by = detectors.corpus_maker(), all_of(("*",))
    real = detectors.texts_of(ground.traces) if ground.traces else list(maker.SENTENCES)
    size = 1_000_000 if scale.rounds > 2 else 20_000
    clean = detectors.quiet(found_by, real[:2_000], size)
    made = {"clean": [detectors.rate(found_by, detectors.cut(clean))]}
    for every in (10_000, 2_000, 500, 100):
        planted = detectors.dense(maker, clean, every)
        made[f"a value each {every:,} bytes"] = [detectors.rate(found_by, planted)]
    hostile = [
        detectors.rate(found_by, [unit * (size // 10 // len(unit))]) for unit in detectors.HOSTILE
    ]
    made["hostile, the slowest of eight"] = [min(hostile)]
    for name, rates in made.items():
        note = "real text" if ground.traces else "a dozen made sentences"
        yield Figure("text", name, spread(rates), "MB/s", "" if "hostile" in name else note)


def record(ground: Ground, scale: Scale) -> Iterator[Figure]:
    """Time the audit log: how much it takes, and how long its proof takes."""
    for durability in ("buffered", "written"):
        rates = [throughput(durability, min(0.3, scale.rounds / 100)) / 1e3 for _ in range(3)]
        yield Figure("record", f"records a second, `{durability}`", spread(rates), "thousand")
    took = proof(scale.records) * 1_000_000 / scale.records
    note = f"measured on {scale.records:,}"
    yield Figure("record", "1,000,000 statements verified", Spread(took, took, took), "s", note)
