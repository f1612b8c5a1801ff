"""What roles, types and broken documents say of themselves does not get them past a mask."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tracewall.masking.messages import CLASSES, MessageMask
from tracewall.masking.methods import MAX_DEPTH, MaskFailed
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


# --- class by class -------------------------------------------------------------------

USER = {"role": "user", "parts": [{"type": "text", "content": CANARY}]}
CALL = {"name": "search", "arguments": CANARY}
HELD = {
    "instructions": [
        {"role": "system", "content": CANARY},
        {"role": "developer", "parts": [CANARY]},
        {"gen_ai.system_instructions": CANARY},
        {"system_instructions": [CANARY]},
    ],
    "text": [
        USER,
        {"role": "model", "content": CANARY},
        {"gen_ai.input.messages": [USER]},
        {"gen_ai.output.messages": json.dumps([USER])},
        {"messages": [USER]},
    ],
    "reasoning": [
        {"type": "thinking", "thinking": CANARY},
        {"role": "assistant", "reasoning_content": CANARY},
        {"role": "assistant", "reasoning": CANARY},
        {"thinking": CANARY},
    ],
    "arguments": [
        {"gen_ai.tool.call.arguments": CANARY},
        {"role": "assistant", "tool_calls": [{"id": "c1", "type": "function", "function": CALL}]},
        {"role": "assistant", "tool_calls": [CANARY]},
        {"role": "assistant", "function_call": CALL},
        {"type": "function_call", "function": CALL},
    ],
    "responses": [
        {"gen_ai.tool.call.result": CANARY},
        {"type": "tool_result", "tool_use_id": "u1", "content": CANARY},
        {"role": "tool", "parts": [{"type": "tool_call_response", "result": CANARY}]},
    ],
    "other": [
        CANARY,
        {"x": CANARY},
        {"id": CANARY},
        {"role": "user", "beside": CANARY},
        {"type": "blob", "content": CANARY},
    ],
}


@pytest.mark.parametrize(
    ("kind", "message"), [(kind, message) for kind, each in HELD.items() for message in each]
)
def test_each_class_is_hidden_by_itself(kind: str, message: Any) -> None:
    """What a class holds is hidden with it, and stays as it is written with all the others."""
    assert set(HELD) == set(CLASSES)
    assert CANARY not in shown(message, kind)
    others = frozenset(CLASSES) - {kind}
    assert CANARY in json.dumps(MessageMask(others, lambda value: "-").whole(message)[0])
    told, count = MessageMask(frozenset({kind}), lambda value: "-").part(message)
    assert CANARY not in json.dumps(told) and count == 1


BUILT = {"id": "a1", "call_id": "b", "tool_call_id": "c", "tool_use_id": "d", "index": 0}


@pytest.mark.parametrize(
    ("message", "made", "count"),
    [
        ({"role": "tool", **BUILT, "content": "x"}, {"role": "tool", **BUILT, "content": "-"}, 1),
        (
            {"type": "tool_call", **BUILT, "name": "search", "arguments": {"q": 1}, "note": None},
            {"type": "tool_call", **BUILT, "name": "search", "arguments": "-", "note": None},
            1,
        ),
        (
            {"role": "assistant", "tool_calls": [{"id": "a1", "function": CALL}, CALL]},
            {
                "role": "assistant",
                "tool_calls": [
                    {"id": "a1", "function": CALL | {"arguments": "-"}},
                    CALL | {"arguments": "-"},
                ],
            },
            2,
        ),
        (
            {"role": "assistant", "function_call": CALL, "finish_reason": "stop"},
            {
                "role": "assistant",
                "function_call": CALL | {"arguments": "-"},
                "finish_reason": "stop",
            },
            1,
        ),
        (
            {"role": "user", "name": "two words", "id": "x" * 129},
            {"role": "user", "name": "-", "id": "-"},
            2,
        ),
        (
            {"role": "user", "name": ["a"], "id": 7, "index": 1.5},
            {"role": "user", "name": "-", "id": 7, "index": "-"},
            2,
        ),
        ({"role": "wizard", "finish_reason": "magic"}, {"role": "-", "finish_reason": "-"}, 2),
        (
            {"role": "user", "content": None, "parts": [], "x": None},
            {"role": "user", "content": None, "parts": [], "x": None},
            0,
        ),
        ({"id": "a1", "name": "n"}, {"id": "-", "name": "-"}, 2),
        ([], [], 0),
        ("", "", 0),
        (7, "-", 1),
        (None, None, 0),
    ],
)
def test_how_a_conversation_is_built_stays(message: Any, made: Any, count: int) -> None:
    """Ids, names and known words stay, and all that is hidden is counted."""
    assert MessageMask(frozenset(CLASSES), lambda value: "-").whole(message) == (made, count)


@pytest.mark.parametrize(
    ("text", "made", "count"),
    [
        ('{"role": "user", "content": "x"}', '{"role":"user","content":"-"}', 1),
        ('{"role": "user", "content": "x", "content": ""}', '{"role":"user","content":""}', 1),
        ('{"role": "tool", "content": "x"}', '{"role": "tool", "content": "x"}', 0),
        (
            '[{"role":"user","content":"é"},{"role":"tool","content":"é"}]',
            '[{"role":"user","content":"-"},{"role":"tool","content":"é"}]',
            1,
        ),
        (
            '[{"role":"user","content":"é"},{"role":"tool","content":"\\ud800"}]',
            '[{"role":"user","content":"-"},{"role":"tool","content":"\\ud800"}]',
            1,
        ),
        ('"x"', '"x"', 0),
    ],
)
def test_messages_in_a_text_are_followed(text: str, made: str, count: int) -> None:
    """A text that holds messages is masked as they are, and nothing in it is out of sight."""
    told = MessageMask(frozenset({"text"}), lambda value: "-").whole(text)
    assert told == (made, count)
    assert told[0].encode()


def test_a_document_in_ascii_stays_so() -> None:
    """Whoever wrote escapes, or needed none, reads no other letters after a mask."""
    for content in ("x", "\\u00e9"):
        text = f'{{"role": "user", "content": "{content}", "type": "text"}}'
        for made, _ in (
            MessageMask(frozenset({"text"}), lambda value: "é").whole(text),
            path_mask(["$.content"], lambda value: "é").whole(text),
        ):
            assert made.isascii() and json.loads(made)["content"] == "é"


@pytest.mark.parametrize("part", [False, True])
def test_messages_that_are_nested_too_deep_are_not_given_out(part: bool) -> None:
    """Lists, objects and texts are followed to the limit of nesting, and fail beyond it."""
    mask = MessageMask(frozenset({"text"}), lambda value: "-")
    for inmost in ([7], {"type": "text", "content": 7}, '{"x": 7}'):
        value: Any = inmost
        for _ in range(MAX_DEPTH - 2):
            value = [value]
        work = mask.part if part else mask.whole
        assert work(value)[1] <= 1
        with pytest.raises(MaskFailed):
            work([[value]])


def test_calls_nested_too_deeply_fail_as_all_that_is_nested_too_deeply() -> None:
    """A call in a call in a call: a mask that gives up says so, and nothing of the value."""
    call: dict[str, Any] = {"arguments": CANARY}
    for _ in range(20 * MAX_DEPTH):
        call = {"function": call}
    with pytest.raises(MaskFailed):
        shown({"role": "assistant", "tool_calls": [call]}, "arguments")
