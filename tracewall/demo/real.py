"""Traces from a file into the store: JSON Lines, gzipped or plain.

A line has ``run_id`` (a UUID), ``source``, ``model``, ``system`` (text or null),
``prompt``, ``steps`` (each with ``kind`` and ``content``), ``answer`` and, where someone
judged it, ``correct``. Texts arrive in the store as they are, but for characters that
PostgreSQL cannot hold and the secrets planted among them. What a file does not tell and
the store wants (tenant, user, address, times, token counts) is made up from the seed.
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from itertools import islice
from pathlib import Path
from random import Random
from typing import BinaryIO
from uuid import UUID

import msgspec

from tracewall.demo.fill import Filled, fill
from tracewall.demo.people import client_address, make_callers
from tracewall.demo.secrets import Secret
from tracewall.demo.trace import Caller, Kind, Step, Trace, check_share, plant, starts

LONGEST_LINE = 16 * 1024 * 1024
"""How many bytes a line of a trace file may have, so that a small gzip cannot fill memory."""

_GZIP_MAGIC = b"\x1f\x8b"
_REPLACEMENT = "\ufffd"
# The first two are the solvers of the grade-school-math data set.
_PROVIDERS = (
    ("6b_", "openai"),
    ("175b_", "openai"),
    ("gpt-", "openai"),
    ("claude-", "anthropic"),
    ("gemini-", "gcp.gemini"),
    ("mistral-", "mistral_ai"),
)


class _Told(msgspec.Struct, frozen=True):
    """A step as a file has it."""

    kind: Kind
    content: str


class _Line(msgspec.Struct, frozen=True):
    """A line of a trace file."""

    run_id: UUID
    source: str
    model: str
    prompt: str
    steps: list[_Told]
    answer: str
    system: str | None = None
    correct: bool | None = None


def load_traces(
    admin_conninfo: str,
    path: Path,
    *,
    seed: int = 1,
    limit: int | None = None,
    secrets: float = 0.02,
) -> Filled:
    """Store the traces of the file at `path`, or the first `limit` of them.

    `secrets` is the share (0 to 1) of prompts, steps and answers that get a planted
    secret. The same file, seed and share give the same rows. All traces are stored or none.

    Raises ValueError, naming file and line, for a line that is no trace, that comes twice
    or that is too long, and for a damaged archive; OSError for a file that cannot be read.
    """
    return fill(admin_conninfo, read_traces(path, seed=seed, limit=limit, secrets=secrets))


def read_traces(
    path: Path, *, seed: int = 1, limit: int | None = None, secrets: float = 0.02
) -> Iterator[Trace]:
    """Give the traces that `load_traces` stores, one after another."""
    if limit is not None and limit < 0:
        raise ValueError("the limit of traces must not be negative")
    check_share(secrets)
    # Made-up callers and secrets want numbers that come again, not unforeseeable ones.
    return _traces(path, Random(seed), limit, secrets)  # noqa: S311  # the same story for a seed


def _traces(path: Path, rng: Random, limit: int | None, secrets: float) -> Iterator[Trace]:
    callers = make_callers(rng, ("openai",))["openai"]
    planter = _Planter(rng, secrets)
    for line, started in zip(islice(_lines(path), limit), starts(rng), strict=False):
        yield _trace(line, planter, rng.choice(callers), started)


def _lines(path: Path) -> Iterator[_Line]:
    decoder = msgspec.json.Decoder(_Line)
    seen: set[UUID] = set()
    for number, raw in _numbered(path):
        try:
            line = decoder.decode(raw)
        except (ValueError, RecursionError) as error:
            raise ValueError(f"{path}:{number}: not a trace: {_complaint(error)}") from None
        if line.run_id in seen:
            raise ValueError(f"{path}:{number}: this run_id came before")
        seen.add(line.run_id)
        yield line


def _complaint(error: Exception) -> str:
    # Said in our own words where Python's would tell of bytes and interpreters.
    if isinstance(error, UnicodeDecodeError):
        return "not valid UTF-8"
    return str(error) if isinstance(error, msgspec.DecodeError) else "nested too deeply"


def _numbered(path: Path) -> Iterator[tuple[int, bytes]]:
    """Give each line that is not blank, with its number from 1."""
    number = 0
    with _opened(path) as file:
        while True:
            number += 1
            try:
                raw = file.readline(LONGEST_LINE + 1)
            except (EOFError, zlib.error, gzip.BadGzipFile):
                raise ValueError(f"{path}:{number}: the archive is damaged") from None
            if not raw:
                return
            if len(raw) > LONGEST_LINE:
                raise ValueError(f"{path}:{number}: longer than {LONGEST_LINE} bytes")
            if raw.strip():
                yield number, raw


@contextmanager
def _opened(path: Path) -> Iterator[BinaryIO | gzip.GzipFile]:
    with path.open("rb") as file:
        zipped = file.read(2) == _GZIP_MAGIC
        file.seek(0)
        if not zipped:
            yield file
            return
        with gzip.GzipFile(fileobj=file) as unzipped:
            yield unzipped


class _Planter:
    """Puts secrets among texts, as often as it was told."""

    __slots__ = ("rng", "secrets")

    def __init__(self, rng: Random, secrets: float) -> None:
        self.rng, self.secrets = rng, secrets

    def text(self, text: str) -> tuple[str, tuple[Secret, ...]]:
        clean = _storable(text)
        return plant(self.rng, clean) if self.rng.random() < self.secrets else (clean, ())

    def step(self, told: _Told) -> Step:
        content, secrets = self.text(told.content)
        step = Step(told.kind, content, secrets, duration_ms=self.rng.randrange(20, 4000))
        if told.kind == "tool_call":
            # A command's first word is the tool; where a secret stands before it, it is not.
            step.tool = (_storable(told.content).split(maxsplit=1) or ["unknown"])[0]
            step.arguments = {"command": content}
        elif told.kind == "tool_call_response":
            step.result = {"output": content}
        return step


def _storable(text: str) -> str:
    """Replace what PostgreSQL cannot hold: NUL."""
    return text.replace("\0", _REPLACEMENT)


def _trace(line: _Line, planter: _Planter, caller: Caller, started: datetime) -> Trace:
    prompt, prompt_secrets = planter.text(line.prompt)
    steps = [planter.step(told) for told in line.steps]
    answer, answer_secrets = planter.text(line.answer)
    source = _storable(line.source)
    attributes: dict[str, object] = {"source": source}
    if line.correct is not None:
        attributes["correct"] = line.correct
    return Trace(
        run_id=line.run_id,
        caller=caller,
        conversation_id=f"conv_{planter.rng.getrandbits(64):016x}",
        client_ip=client_address(planter.rng),
        agent=source,
        provider=_provider(line.model),
        model=_storable(line.model),
        operation="invoke_agent" if _uses_tools(steps) else "chat",
        system=None if line.system is None else _storable(line.system),
        started_at=started,
        prompt=prompt,
        steps=steps,
        answer=answer,
        attributes=attributes,
        prompt_secrets=prompt_secrets,
        answer_secrets=answer_secrets,
    )


def _provider(model: str) -> str:
    return next((name for prefix, name in _PROVIDERS if model.startswith(prefix)), "unknown")


def _uses_tools(steps: list[Step]) -> bool:
    return any(step.kind != "reasoning" for step in steps)
