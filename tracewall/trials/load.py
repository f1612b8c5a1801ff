"""Reads a file of policy tests, as strictly as a policy is read."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from tracewall.policy.load import complain, located, text_of
from tracewall.policy.locate import Place
from tracewall.policy.reading import Reading, did_you_mean, listed
from tracewall.trials.format import TRIALS, Party, Trial, Trials

_SOURCES = ("catalog", "schema", "dsn_env", "tables")


@dataclass(frozen=True, slots=True)
class Sheet:
    """A file of tests, read: ``places`` has for each test the line and column of each key."""

    path: Path
    trials: Trials
    parties: Mapping[str, Party]
    places: tuple[Mapping[str, tuple[int, int]], ...]

    def beside(self, name: str) -> Path:
        """Give a path that the file names, relative to its own directory."""
        return self.path.parent / name


def load(path: str | os.PathLike[str]) -> Sheet:
    """Read the tests in a file. Raises PolicyError, with the first complaint and its place."""
    name = os.fspath(path)
    return loads(text_of(name, "the tests"), name)


def loads(text: str, path: str) -> Sheet:
    """Read tests; `path` is what names in it are relative to. Raises PolicyError."""
    raw, root, reading = located(text, path)
    trials = TRIALS.read(raw, root, reading)
    complain(reading, path)
    places = list(root.inside["tests"].inside.values())
    _complain_of_names(trials, root, reading)
    for trial, place in zip(trials.tests, places, strict=True):
        _complain_of_trial(trial, place, trials, reading)
    complain(reading, path)
    return Sheet(
        Path(path).absolute(),
        trials,
        {party.name: party for party in trials.principals},
        tuple(
            {str(key): reading.at(inner.start) for key, inner in place.inside.items()}
            | {"": reading.at(place.start)}
            for place in places
        ),
    )


def _complain_of_names(trials: Trials, root: Place, reading: Reading) -> None:
    if not any(getattr(trials, source) not in ("", (), None) for source in _SOURCES):
        help = f"write one of {listed(_SOURCES)}"
        reading.wrong(root.inside["policy"], "no catalog to judge by is named", help)
    for section in ("principals", "tests"):
        seen: set[str] = set()
        for at, each in enumerate(getattr(trials, section)):
            if each.name in seen:
                place = root.inside[section].inside[at].inside["name"]
                reading.wrong(place, "this name is taken already", "give each its own")
            seen.add(each.name)


def _complain_of_trial(trial: Trial, place: Place, trials: Trials, reading: Reading) -> None:
    known = {party.name: party for party in trials.principals}
    for name in trial.who:
        if name not in known:
            help = did_you_mean(name, known, f"the principals are {listed(sorted(known))}")
            reading.wrong(place.inside["as"], f"no principal is called '{name[:80]}'", help)
    for key, message, help in _wrong(trial):
        reading.wrong(place.inside[key], message, help)
    if trial.rows is not None and any(known[name].actors for name in trial.who if name in known):
        message = "rows can't be tried for those whom others act for"
        reading.wrong(place.inside["rows"], message, "try masks instead")


def _wrong(trial: Trial) -> Iterator[tuple[str, str, str]]:
    """Yield what is wrong with a test: the key it is about, the message and the help."""
    for key in ("masks", "shows", "rows", "gives"):
        if trial.expect == "forbidden" and getattr(trial, key) is not None:
            yield key, "nothing comes back of what is forbidden", "leave it out"
    if trial.expect == "asks" and trial.rows is not None:
        yield "rows", "nothing comes back before people have decided", "leave it out"
    for one, other in (("rows", "gives"), ("gives", "rows")):
        if getattr(trial, one) is not None and getattr(trial, other) is None:
            yield one, f"rows and gives go together; '{other}' is missing", f"write {other} = [...]"
