"""Recall, precision and speed of the detectors, each by itself.

    python benchmarks/detectors.py [--traces traces.jsonl.gz] [--presidio PYTHON] [--json]

The corpus is made from a seed: values of every kind and near misses, planted among the texts of
the traces, or, without them, among a dozen made sentences. With `--presidio`, the interpreter of
an environment that has presidio-analyzer, its pattern recognisers are measured on the same corpus.
"""

from __future__ import annotations

import argparse
import gzip
import importlib.util
import json
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from random import Random
from typing import Any

sys.path.append(str(Path(__file__).resolve().parents[1]))

from tracewall.masking.config import DETECTORS, Engine
from tracewall.masking.detectors import Detectors, detectors

ROOT = Path(__file__).resolve().parents[1]
HOSTILE = ("token:", "pwd='", "a@b.co ", "://a:b", "4111 ", "10.1.1.1 ", "2000::", "eyJhbGciOi.")


def corpus_maker() -> Any:
    """Load the tests' maker of corpora."""
    path = ROOT / "tests/masking/conftest.py"
    spec = importlib.util.spec_from_file_location("corpus_maker", path)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules["corpus_maker"] = module
    spec.loader.exec_module(module)
    return module


def texts_of(traces: Path) -> list[str]:
    """Read all texts of the traces."""
    with gzip.open(traces, "rt") as lines:
        return [step["content"] for line in lines for step in json.loads(line)["steps"]]


def table(samples: list[Any], finds: list[list[tuple[int, int, str]]]) -> dict[str, list[float]]:
    """Give planted, found, recall and precision by kind."""
    planted, recalled, found, right = Counter[str](), Counter[str](), Counter[str](), Counter[str]()
    for sample, seen in zip(samples, finds, strict=True):
        for start, end, kind in sample.planted:
            planted[kind] += 1
            recalled[kind] += any(k == kind and s <= start and end <= e for s, e, k in seen)
        for start, end, kind in seen:
            if "maintainer@example.org" in sample.text[start:end]:
                continue  # stands in the traces themselves
            found[kind] += 1
            right[kind] += any(k == kind and s < end and start < e for s, e, k in sample.planted)
    return {
        kind: [
            planted[kind],
            found[kind],
            recalled[kind] / max(planted[kind], 1),
            right[kind] / found[kind] if found[kind] else float("nan"),
        ]
        for kind in planted
    }


PRESIDIO = """
import gzip, json, sys, time
from presidio_analyzer import AnalyzerEngine, RecognizerRegistry
from presidio_analyzer.nlp_engine import NlpArtifacts, NlpEngine
import spacy
class Blank(NlpEngine):
    def __init__(self): self.nlp = spacy.blank("en")
    def load(self): pass
    def is_loaded(self): return True
    def get_supported_entities(self): return []
    def get_supported_languages(self): return ["en"]
    def is_stopword(self, word, language): return False
    def is_punct(self, word, language): return not word.isalnum()
    def process_text(self, text, language):
        doc = self.nlp(text)
        return NlpArtifacts([], doc, [t.idx for t in doc], [t.text for t in doc], self, "en")
    def process_batch(self, texts, language, **more):
        return ((t, self.process_text(t, language)) for t in texts)
registry = RecognizerRegistry()
registry.load_predefined_recognizers(languages=["en"])
registry.recognizers = [r for r in registry.recognizers if "Spacy" not in type(r).__name__]
engine = AnalyzerEngine(registry=registry, nlp_engine=Blank(), supported_languages=["en"])
names = {"EMAIL_ADDRESS": "email", "PHONE_NUMBER": "phone", "CREDIT_CARD": "card",
         "IBAN_CODE": "iban", "IP_ADDRESS": "ip"}
texts = json.load(open(sys.argv[1]))
began, made = time.process_time(), []
for text in texts:
    hits = engine.analyze(text, language="en", entities=list(names), score_threshold=0.35)
    made.append([[h.start, h.end, names[h.entity_type]] for h in hits])
json.dump([made, time.process_time() - began], sys.stdout)
"""


def presidio(python: str, texts: list[str]) -> tuple[list[Any], float]:
    """Let presidio find in `texts`, in its own environment; give finds and seconds."""
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump(texts, file)
        file.flush()
        command = [python, "-W", "ignore", "-c", PRESIDIO, file.name]
        told = subprocess.run(command, check=True, capture_output=True, text=True)
    finds, seconds = json.loads(told.stdout.splitlines()[-1])
    return finds, seconds


def rate(found_by: Detectors, texts: list[str]) -> float:
    """Give the best of three passes, in MB/s."""
    size = sum(len(text.encode("utf-8", "replace")) for text in texts)
    best = float("inf")
    for _ in range(3):
        began = time.process_time()
        for text in texts:
            found_by.mask(text)
        best = min(best, time.process_time() - began)
    return size / best / 1e6


def dense(maker: Any, clean: str, every: int) -> list[str]:
    """Plant a value of some kind each so many bytes of clean text."""
    rng, kinds, pieces = Random(5), list(maker.MAKERS), []
    for at in range(0, len(clean), every):
        pieces += [clean[at : at + every], f" {maker.MAKERS[rng.choice(kinds)](rng)} "]
    return cut("".join(pieces))


def cut(text: str) -> list[str]:
    """Cut a text into values as a column has them."""
    return [text[at : at + 20_000] for at in range(0, len(text), 20_000)]


def quiet(found_by: Detectors, texts: list[str], size: int = 1_000_000) -> str:
    """Give so many bytes of the texts in which nothing is found."""
    clean = [text for text in texts if text.isascii() and not found_by.find(text)]
    return " ".join(clean * (1 + size // sum(map(len, clean))))[:size]


def speeds(maker: Any, texts: list[str], engine: Engine) -> dict[str, float]:
    """Measure clean, dense and hostile text."""
    found_by = detectors(("*",), engine=engine)
    clean = quiet(found_by, texts)
    made = {"clean": rate(found_by, cut(clean))}
    for every in (10_000, 2_000, 500, 100):
        made[f"a value each {every} bytes"] = rate(found_by, dense(maker, clean, every))
    for unit in HOSTILE:
        made[f"hostile {unit!r}"] = rate(found_by, [unit * (100_000 // len(unit))])
    return made


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--traces", type=Path)
    parser.add_argument("--presidio", metavar="PYTHON")
    parser.add_argument("--each", type=int, default=200, help="values of each kind")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    maker = corpus_maker()
    texts = texts_of(options.traces) if options.traces else list(maker.SENTENCES)
    samples = maker.corpus(11, texts, options.each)
    every = detectors(("*",))
    found = table(samples, [[tuple(f) for f in every.find(sample.text)] for sample in samples])
    theirs: dict[str, list[float]] = {}
    if options.presidio:
        seen, seconds = presidio(options.presidio, [sample.text for sample in samples])
        theirs = table(samples, seen)
        size = sum(len(sample.text.encode()) for sample in samples)
        print(f"presidio: {size / seconds / 1e6:.3f} MB/s")
    print(f"{len(samples)} texts, {sum(len(sample.planted) for sample in samples)} planted")
    print("| Detector | Planted | Recall | Precision | presidio's recall | its precision |")
    print("|---|---|---|---|---|---|")
    for kind in DETECTORS:
        planted, _, recall, precision = found[kind]
        other = theirs.get(kind, [0, 0, 0, 0])
        more = f"{other[2]:.3f} | {other[3]:.3f}" if other[1] else "– | –"
        print(f"| `{kind}` | {planted} | {recall:.3f} | {precision:.3f} | {more} |")
    rates = {engine: speeds(maker, texts, engine) for engine in ("re2", "builtin")}
    print("| Text | re2, MB/s | builtin, MB/s |\n|---|---|---|")
    for name, value in rates["re2"].items():
        print(f"| {name} | {value:.1f} | {rates['builtin'][name]:.1f} |")
    if options.json:
        print(json.dumps({"found": found, "rates": rates}))


if __name__ == "__main__":
    main()
