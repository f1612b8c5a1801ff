"""A seeded generator of traces: any number of runs, the same ones for the same seed."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from itertools import islice
from random import Random
from types import MappingProxyType
from typing import TypeAlias
from uuid import UUID

from tracewall.demo.fill import Filled, fill
from tracewall.demo.people import client_address, make_callers
from tracewall.demo.phrases import CLOSERS, OPENERS, SCENARIOS, WORDS, Scenario, Tool
from tracewall.demo.secrets import Secret
from tracewall.demo.trace import Caller, Step, Trace, check_share, plant, starts

_MODELS = MappingProxyType(
    {
        "openai": ("gpt-4o", "gpt-4o-mini", "o3-mini"),
        "anthropic": ("claude-sonnet-4-0", "claude-3-5-haiku-latest"),
    }
)
_TURNS = (1, 1, 2, 2, 3, 3, 4)

_Slots: TypeAlias = dict[str, str]
_Text: TypeAlias = tuple[str, tuple[Secret, ...]]


def generate(admin_conninfo: str, runs: int, *, seed: int = 1, secrets: float = 0.02) -> Filled:
    """Fill the store with `runs` generated runs of about eight steps each.

    `secrets` is the share (0 to 1) of texts, among prompts, steps and answers, that hold
    a planted secret. The same arguments give the same rows; fewer runs give the first of
    them. Raises ValueError for a negative number of runs, for a share that is none, and
    when runs of this seed are in the store already.
    """
    return fill(admin_conninfo, made_up_traces(runs, seed=seed, secrets=secrets))


def made_up_traces(runs: int, *, seed: int = 1, secrets: float = 0.02) -> Iterator[Trace]:
    """Give the traces that `generate` stores, one after another."""
    if runs < 0:
        raise ValueError("the number of runs must not be negative")
    check_share(secrets)
    # Made-up traces want numbers that come again, not numbers nobody can foresee.
    return _traces(runs, Random(seed), secrets)  # noqa: S311  # the same story for a seed


def _traces(runs: int, rng: Random, secrets: float) -> Iterator[Trace]:
    callers = make_callers(rng, tuple(_MODELS))
    for started in islice(starts(rng), runs):
        yield _Author(rng, secrets).trace(callers, started)


class _Author:
    """Writes one trace, from the next numbers of `rng`."""

    __slots__ = ("rng", "secrets", "slots")

    def __init__(self, rng: Random, secrets: float) -> None:
        self.rng, self.secrets = rng, secrets
        self.slots: _Slots = {name: rng.choice(words) for name, words in WORDS.items()}
        self.slots["order"] = f"{rng.choice('ABCDEFGH')}-{rng.randrange(10_000, 99_999)}"
        self.turn()

    def turn(self) -> None:
        """Draw the words that change from turn to turn."""
        number = int(self.rng.random() * 900) + 2
        self.slots["n"] = str(number)
        self.slots["amount"] = f"{number * 7 % 500}.{number * 13 % 100:02}"

    def trace(self, callers: dict[str, list[Caller]], started: datetime) -> Trace:
        rng = self.rng
        scenario = rng.choice(SCENARIOS)
        provider = rng.choice(tuple(_MODELS))
        prompt, prompt_secrets = self.text(rng.choice(scenario.prompts))
        steps = list(self.steps(scenario))
        answer, answer_secrets = self.text(rng.choice(scenario.answers))
        return Trace(
            run_id=UUID(int=rng.getrandbits(128), version=4),
            caller=rng.choice(callers[provider]),
            conversation_id=f"conv_{rng.getrandbits(64):016x}",
            client_ip=client_address(rng),
            agent=scenario.agent,
            provider=provider,
            model=rng.choice(_MODELS[provider]),
            operation="invoke_agent",
            system=scenario.system,
            started_at=started,
            prompt=prompt,
            steps=steps,
            answer=answer,
            status="error" if rng.random() < 0.03 else "ok",
            attributes={"source": "generated"},
            prompt_secrets=prompt_secrets,
            answer_secrets=answer_secrets,
        )

    def text(self, template: str) -> _Text:
        text = template % self.slots
        return plant(self.rng, text) if self.rng.random() < self.secrets else (text, ())

    def steps(self, scenario: Scenario) -> Iterator[Step]:
        for _ in range(self.rng.choice(_TURNS)):
            self.turn()
            tool = self.rng.choice(scenario.tools)
            yield self.thought(self.rng.choice(tool.thoughts))
            yield self.call(tool)
            yield self.response(tool)
        yield self.thought(self.rng.choice(scenario.conclusions))

    def thought(self, thought: str) -> Step:
        rng = self.rng
        content, secrets = self.text(rng.choice(OPENERS) + thought + rng.choice(CLOSERS))
        return Step("reasoning", content, secrets, duration_ms=self.lasting(4000))

    def call(self, tool: Tool) -> Step:
        arguments, secrets = self.values(tool.arguments)
        inside = ", ".join([f"{name}={value}" for name, value in arguments.items()])
        return Step(
            "tool_call", f"{tool.name}({inside})", secrets, tool.name, arguments,
            duration_ms=self.lasting(300),
        )  # fmt: skip

    def response(self, tool: Tool) -> Step:
        rng = self.rng
        failed = rng.random() < 0.04
        pairs = (("error", tool.failure),) if failed else rng.choice(tool.results)
        result, secrets = self.values(pairs)
        return Step(
            "tool_call_response",
            "\n".join([f"{name}: {value}" for name, value in result.items()]),
            secrets,
            result=result,
            error=tool.failure % self.slots if failed else None,
            duration_ms=self.lasting(2000),
        )

    def values(
        self, pairs: tuple[tuple[str, str], ...]
    ) -> tuple[dict[str, object], tuple[Secret, ...]]:
        values: dict[str, object] = {name: text % self.slots for name, text in pairs}
        if self.rng.random() >= self.secrets:
            return values, ()
        note, secrets = plant(self.rng, "see below")
        return {**values, "note": note}, secrets

    def lasting(self, milliseconds: int) -> int:
        return int(self.rng.random() * milliseconds) + 20
