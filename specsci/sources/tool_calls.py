"""Tools and tool calls in a user's conversations, in the form of the OpenAI interface."""

from __future__ import annotations

import json
from typing import Any

from specsci.core.jsonl import kind_of

CALL_HINT = 'write {"type": "function", "function": {"name": "...", "arguments": {...}}}'
TOOL_HINT = 'write {"type": "function", "function": {"name": "...", "description": "...", "parameters": {...}}}'


class Fault(ValueError):
    """What is wrong, beginning with the key behind the list's own, and what helps."""

    def __init__(self, what: str, hint: str) -> None:
        super().__init__(what)
        self.what, self.hint = what, hint


def calls_of(given: Any) -> list[dict[str, Any]]:
    """The calls of a message, their arguments as objects; raises Fault."""
    if not isinstance(given, list):
        raise Fault(f": {kind_of(given)} where a list is expected", CALL_HINT)
    found = []
    for number, call in enumerate(given):
        function = call.get("function") if isinstance(call, dict) else None
        if not isinstance(function, dict):
            raise Fault(f"[{number}]: no call of a function", CALL_HINT)
        name, arguments = function.get("name"), function.get("arguments", {})
        if not isinstance(name, str) or not name.strip():
            raise Fault(f"[{number}].function.name: a text is expected", CALL_HINT)
        if isinstance(arguments, str):
            try:
                arguments = json.loads(arguments or "{}")
            except ValueError as error:
                raise Fault(f"[{number}].function.arguments: the text is not JSON", CALL_HINT) from error
        if not isinstance(arguments, dict):
            raise Fault(f"[{number}].function.arguments: {kind_of(arguments)} where an object is expected", CALL_HINT)
        kept = {"id": call["id"]} if isinstance(call.get("id"), str) else {}
        found.append({**kept, "type": "function", "function": {"name": name, "arguments": arguments}})
    return found


def tools_of(given: Any) -> tuple[dict[str, Any], ...]:
    """The declared tools of a conversation, a list or the same as JSON text; raises Fault."""
    if isinstance(given, str):
        try:
            given = json.loads(given or "[]")
        except ValueError as error:
            raise Fault(": the text is not JSON", TOOL_HINT) from error
    if not isinstance(given, list):
        raise Fault(f": {kind_of(given)} where a list is expected", TOOL_HINT)
    for number, tool in enumerate(given):
        function = tool.get("function") if isinstance(tool, dict) else None
        if not isinstance(function, dict):
            raise Fault(f"[{number}]: no declaration of a function", TOOL_HINT)
        if not isinstance(function.get("name"), str) or not function["name"].strip():
            raise Fault(f"[{number}].function.name: a text is expected", TOOL_HINT)
    return tuple(given)
