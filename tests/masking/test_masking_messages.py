"""What roles, types and broken documents say of themselves does not get them past a mask."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tracewall.masking.messages import CLASSES, MessageMask
from tracewall.masking.paths import parsed, path_mask

CANARY = "canary"


def shown(message: Any, *hidden: str) -> str:
    """Give what a mask of some classes shows of a message, as JSON."""
    return json.dumps(MessageMask(frozenset(hidden), lambda value: "-").whole(message)[0])


@pytest.mark.parametrize("role", ["tool", "function"])
def test_what_a_tool_gives_back_is_a_response(role: str) -> None:
    """The older role is as much a tool's as the newer one."""
    message = {"role": role, "name": "search", "content": CANARY}
    assert CANARY not in shown([message], "responses")
    assert CANARY in shown([message], *set(CLASSES) - {"responses"})


@pytest.mark.parametrize("role", ["ipython", "Tool", "observation", "critic", "", "usеr"])
@pytest.mark.parametrize("hidden", ["other", "responses", "instructions", "text"])
def test_what_an_unknown_role_says_is_hidden_with_any_class(role: str, hidden: str) -> None:
    """Nobody knows whose words they are, so no class that is hidden can be ruled out."""
    for content in (CANARY, [{"type": "text", "text": CANARY}], {"parts": [CANARY]}):
        assert CANARY not in shown([{"role": role, "content": content}], hidden)


@pytest.mark.parametrize(
    ("item", "hidden"),
    [
        ({"type": "reasoning", "role": "assistant", "summary": [{"text": CANARY}]}, "reasoning"),
        ({"type": "function_call_output", "role": "user", "output": CANARY}, "responses"),
        ({"type": "tool_call", "role": "assistant", "arguments": {"q": CANARY}}, "arguments"),
    ],
)
def test_a_type_counts_beside_a_role(item: dict[str, Any], hidden: str) -> None:
    """Who says a part does not make it another kind of part."""
    assert CANARY not in shown([item], hidden)


@pytest.mark.parametrize(
    "text",
    [
        '\ufeff{"api_key": "canary"}',
        ' \ufeff\n{"api_key": "canary"}',
        "{'api_key': 'canary'}",
        "[{'api_key': 'canary'}]",
        '[1, {"api_key": "canary"',
        '[null,{"api_key":"canary"',
        '[-1.5e3 , {"api_key": "canary"',
        '["a", {"api_key": "canary"}] trailing',
        '{"a": 1}\n{"api_key": "canary"}',
    ],
)
def test_a_text_that_begins_as_a_document_is_followed_or_hidden(text: str) -> None:
    """A byte order mark, other quotes or a cut keep no document from its paths."""
    mask = path_mask(("$..api_key",), lambda value: "-")
    assert CANARY not in json.dumps(mask.whole({"log": text})[0])
    assert mask.whole({"log": "[2024-01-01] started"})[1] == 0
    assert mask.whole({"log": "[12] a line"})[1] == 0
    assert parsed("$..api_key")
