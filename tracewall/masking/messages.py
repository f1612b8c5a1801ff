"""Messages of language models, after OpenTelemetry's gen_ai conventions, class by class.

The conventions (semantic conventions for generative AI, input and output messages, system
instructions) give a conversation as a list of messages with a ``role`` and ``parts``; a
part has a ``type``. Each of `CLASSES` is hidden by itself:

- ``instructions``  what a system or developer message says, and ``system_instructions``
- ``text``          what users and models say
- ``reasoning``     what a model thinks before it answers
- ``arguments``     what a tool is called with
- ``responses``     what a tool gives back
- ``other``         everything else: blobs, files, parts of unknown types, what is no message

1. What no class claims belongs to ``other``: an unknown shape is never shown for its shape.
   What could be of several classes, as what an unknown role says, is hidden with any of them.
2. What says how a conversation is built stays: ids, names of tools, and the role, type and
   finish_reason where they are words that the conventions or the larger providers know.
3. The older forms are known too: ``content`` beside ``role``, ``tool_calls``, spans'
   attributes such as ``gen_ai.input.messages``, each as JSON or as a text that holds it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from tracewall.masking.documents import dumped, loaded
from tracewall.masking.methods import MAX_DEPTH, MaskFailed

CLASSES: tuple[str, ...] = (
    "instructions",
    "text",
    "reasoning",
    "arguments",
    "responses",
    "other",
)
"""The classes of what a conversation holds."""

_PARTS: Mapping[str, str] = MappingProxyType(
    dict.fromkeys(("text", "input_text", "output_text", "refusal"), "text")
    | dict.fromkeys(("reasoning", "thinking", "redacted_thinking"), "reasoning")
    | dict.fromkeys(("tool_call", "tool_use", "function_call", "server_tool_call"), "arguments")
    | dict.fromkeys(
        ("tool_call_response", "tool_result", "function_call_output", "server_tool_call_response"),
        "responses",
    )
)
_ATTRIBUTES: Mapping[str, str] = MappingProxyType(
    {
        "gen_ai.system_instructions": "instructions",
        "system_instructions": "instructions",
        "gen_ai.tool.call.arguments": "arguments",
        "gen_ai.tool.call.result": "responses",
        "reasoning": "reasoning",
        "reasoning_content": "reasoning",
        "thinking": "reasoning",
    }
)
_LISTS = frozenset(
    "gen_ai.input.messages gen_ai.output.messages messages input_messages output_messages".split()
)
_NAMES = frozenset(("id", "call_id", "tool_call_id", "tool_use_id", "name", "index"))
_WORD = re.compile(r"[\w.:/+-]{1,128}")
_KNOWN: Mapping[str, frozenset[str]] = MappingProxyType(
    {
        "role": frozenset("system developer user assistant tool function model".split()),
        "type": frozenset((*_PARTS, *"blob file uri message function custom generic".split())),
        "finish_reason": frozenset(
            "stop length content_filter tool_call tool_calls tool_use error end_turn max_tokens"
            " stop_sequence function_call".split()
        ),
    }
)
_SAID: Mapping[str, str] = MappingProxyType(
    dict.fromkeys(("system", "developer"), "instructions")
    | dict.fromkeys(("tool", "function"), "responses")
    | dict.fromkeys(("user", "assistant", "model"), "text")
)
_SAYABLE = ("other", "responses", "instructions", "text")


@dataclass(frozen=True, slots=True)
class MessageMask:
    """Masks by `leaf` what belongs to the classes `hidden`."""

    hidden: frozenset[str]
    leaf: Callable[[object], object]

    def whole(self, value: object) -> tuple[Any, int]:
        """Mask messages, parts, or a span's attributes; all else is of the class other."""
        return self._any(value, "other", 0)

    def part(self, value: object) -> tuple[Any, int]:
        """Mask what was taken out of such a document: its shape says as much as that of a whole."""
        return self.whole(value)

    def _any(self, value: Any, kind: str, depth: int) -> tuple[Any, int]:
        """Mask a value that is of a class unless it says itself what it is."""
        if value is None or value == "" or value == [] or value == {}:
            return value, 0
        if depth >= MAX_DEPTH:
            raise MaskFailed
        if isinstance(value, str):
            return self._text(value, kind, depth)
        if isinstance(value, list):
            return _gathered([self._any(item, kind, depth + 1) for item in value])
        if isinstance(value, dict):
            return self._object(value, kind, depth + 1)
        return self._shown(value, kind)

    def _text(self, value: str, kind: str, depth: int) -> tuple[Any, int]:
        inner = loaded(value) if kind == "other" else None
        if inner is None or not isinstance(inner.value, dict | list):
            return self._shown(value, kind)
        made, count = self._any(inner.value, kind, depth + 1)
        if not count and not inner.ambiguous:
            return value, 0
        return dumped(made, value), max(count, 1)

    def _shown(self, value: Any, kind: str) -> tuple[Any, int]:
        return (self.leaf(value), 1) if kind in self.hidden else (value, 0)

    def _object(self, value: dict[str, Any], kind: str, depth: int) -> tuple[Any, int]:
        role, type_ = value.get("role"), value.get("type")
        part = _PARTS.get(type_, "") if isinstance(type_, str) else ""
        if isinstance(role, str) and part not in self.hidden:
            return self._members(value, self._said(role), depth)
        if isinstance(type_, str):
            found = part or "other"
            if found in ("text", "other"):
                found = self._within(kind, found)
            return self._part(value, found, depth)
        if kind == "other":
            return self._members(value, "other", depth)
        return self._shown(value, self._within(kind, "other"))

    def _said(self, role: str) -> str:
        """Give the class of what somebody says."""
        if role in _SAID:
            return _SAID[role]
        return next((each for each in _SAYABLE if each in self.hidden), "text")

    def _within(self, around: str, found: str) -> str:
        """Give the class of what is found inside something of another class."""
        if found == "text":
            return found if around == "other" else around
        return around if around in self.hidden else found

    def _part(self, value: dict[str, Any], kind: str, depth: int) -> tuple[Any, int]:
        if depth >= MAX_DEPTH:
            raise MaskFailed
        made, count = {}, 0
        for key, item in value.items():
            if _is_built(key, item):
                made[key] = item
                continue
            if kind == "arguments" and key == "function" and isinstance(item, dict):
                made[key], more = self._part(item, kind, depth + 1)
            else:
                made[key], more = self._whole(item, kind)
            count += more
        return made, count

    def _members(self, value: dict[str, Any], said: str, depth: int) -> tuple[Any, int]:
        made, count = {}, 0
        for key, item in value.items():
            if said != "other" and _is_built(key, item):
                made[key] = item
                continue
            made[key], more = self._member(key, item, said, depth)
            count += more
        return made, count

    def _member(self, key: str, item: Any, said: str, depth: int) -> tuple[Any, int]:
        if key in _ATTRIBUTES:
            return self._whole(item, _ATTRIBUTES[key])
        if key in ("tool_calls", "function_call"):
            return self._calls(item, depth)
        if key in _LISTS or (said != "other" and key in ("parts", "content")):
            return self._any(item, said, depth)
        # A span's other attributes may be anything; what a message holds beside its parts too.
        return self._whole(item, "other")

    def _whole(self, item: Any, kind: str) -> tuple[Any, int]:
        return (item, 0) if item is None else self._shown(item, kind)

    def _calls(self, item: Any, depth: int) -> tuple[Any, int]:
        calls = item if isinstance(item, list) else [item]
        made = [
            self._part(call, "arguments", depth)
            if isinstance(call, dict)
            else self._whole(call, "arguments")
            for call in calls
        ]
        found, count = _gathered(made)
        return (found if isinstance(item, list) else found[0]), count


def _is_built(key: str, item: object) -> bool:
    """Tell whether a member says how a conversation is built, in a word that is known."""
    if key in _KNOWN:
        return isinstance(item, str) and item in _KNOWN[key]
    if key not in _NAMES:
        return False
    return isinstance(item, int) or (isinstance(item, str) and _WORD.fullmatch(item) is not None)


def _gathered(made: list[tuple[Any, int]]) -> tuple[list[Any], int]:
    return [item for item, _ in made], sum(count for _, count in made)
