"""Results of policy tests as people, programs and build servers read them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any
from xml.etree import ElementTree

from tracewall.trials.run import Result


def lines(result: Result, path: str) -> Iterator[str]:
    """Say what a failed test expected, what came, and where that stands."""
    for key, expected, got, line, column in result.mismatches:
        yield f"{path}:{line}:{column}: {key}"
        yield f"  expected  {expected}"
        yield f"  got       {got}"
    if result.decision.hint and not result.decision.allowed:
        yield f"  hint      {result.decision.hint}"


def as_json(result: Result, path: str) -> dict[str, Any]:
    """Give a result as one JSON object."""
    decision = result.decision
    return {
        "file": path,
        "line": result.line,
        "name": result.name,
        "as": result.who,
        "passed": result.passed,
        "outcome": decision.outcome,
        "rule": decision.rule,
        "reason": decision.reason,
        "masks": {column.name: column.rule for column in decision.columns if column.rule},
        "mismatches": [mismatch._asdict() for mismatch in result.mismatches],
        "seconds": round(result.seconds, 6),
    }


def junit(results: Sequence[tuple[str, Result]]) -> str:
    """Give results as JUnit's XML: a suite for each file."""
    root = ElementTree.Element("testsuites")
    for path in dict.fromkeys(path for path, _ in results):
        _suite(root, path, [result for of, result in results if of == path])
    ElementTree.indent(root)
    return ElementTree.tostring(root, "unicode", xml_declaration=True) + "\n"


def _suite(root: ElementTree.Element, path: str, results: Iterable[Result]) -> None:
    suite = ElementTree.SubElement(root, "testsuite", name=_clean(path))
    count = failed = 0
    for result in results:
        name = f"{result.name} (as {result.who})"
        case = ElementTree.SubElement(
            suite, "testcase", classname=_clean(path), name=_clean(name), file=_clean(path),
            line=str(result.line), time=f"{result.seconds:.6f}",
        )  # fmt: skip
        count += 1
        if not result.passed:
            failed += 1
            keys = ", ".join(mismatch.key for mismatch in result.mismatches)
            failure = ElementTree.SubElement(case, "failure", message=f"unexpected {keys}")
            failure.text = _clean("\n".join(lines(result, path)))
    suite.set("tests", str(count))
    suite.set("failures", str(failed))


def _clean(text: str) -> str:
    # XML 1.0 has no way to write most control characters.
    return "".join(char if char.isprintable() or char == "\n" else "\ufffd" for char in text)
