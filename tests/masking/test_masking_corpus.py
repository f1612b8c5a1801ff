"""Recall and precision of each detector, measured on the labelled corpus."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

from tracewall.masking.config import DETECTORS
from tracewall.masking.detectors import Detectors, detectors

RECALL, PRECISION = 0.99, 0.98


def measured(
    every: Detectors, samples: Iterable[Any], known: str
) -> dict[str, tuple[float, float]]:
    """Give recall and precision by detector; `known` stands in the sentences themselves.

    A planted value is recalled when one find of its kind covers all of it. A find is
    right when it overlaps a planted value of its kind.
    """
    planted, recalled, found, right = Counter[str](), Counter[str](), Counter[str](), Counter[str]()
    for sample in samples:
        finds = [f for f in every.find(sample.text) if known not in sample.text[f.start : f.end]]
        for start, end, kind in sample.planted:
            planted[kind] += 1
            recalled[kind] += any(
                find.name == kind and find.start <= start and end <= find.end for find in finds
            )
        for find in finds:
            found[find.name] += 1
            right[find.name] += any(
                find.name == kind and find.start < end and start < find.end
                for start, end, kind in sample.planted
            )
    return {
        kind: (recalled[kind] / planted[kind], right[kind] / max(found[kind], 1))
        for kind in planted
    }


def falls_short(figures: dict[str, tuple[float, float]]) -> list[str]:
    return [
        f"{kind}: recall {recall:.3f}, precision {precision:.3f}"
        for kind, (recall, precision) in figures.items()
        if recall < RECALL or precision < PRECISION
    ]


def test_made_sentences_keep_recall_and_precision(every: Detectors, made_corpus: list[Any]) -> None:
    """Each detector finds 99 % of what was planted, and 98 % of its finds were planted."""
    figures = measured(every, made_corpus, known="\0")
    assert set(figures) == set(DETECTORS)
    assert falls_short(figures) == []


def test_real_sentences_keep_recall_and_precision(
    every: Detectors, real_sentences: list[str], plant: Callable[..., list[Any]]
) -> None:
    """Among real reasoning, tool calls and their answers the figures hold as well."""
    figures = measured(every, plant(11, real_sentences, 80), known="maintainer@example.org")
    assert set(figures) == set(DETECTORS)
    assert falls_short(figures) == []


def test_real_traces_raise_no_false_alarm(every: Detectors, real_sentences: list[str]) -> None:
    """In 23,000 texts of arithmetic and programming only the addresses in them are found."""
    finds = Counter(
        text[find.start : find.end] for text in real_sentences for find in every.find(text)
    )
    assert all("@" in found for found in finds)
    assert len(finds) <= 2


def test_nothing_planted_survives_masking(every: Detectors, made_corpus: list[Any]) -> None:
    """Whatever the detectors call it, a planted value is gone from the masked text."""
    left = [
        sample.text[start:end]
        for sample in made_corpus
        for start, end, _ in sample.planted
        if sample.text[start:end] in every.mask(sample.text)[0]
    ]
    assert left == []


def test_the_measure_can_fail(made_corpus: list[Any]) -> None:
    """One detector alone falls short of every other kind."""
    short = falls_short(measured(detectors(("email",)), made_corpus, known="\0"))
    assert {line.split(":")[0] for line in short} >= set(DETECTORS) - {"email"}
