"""Conversations in which tools are declared or called: where the assistant speaks and calls in the rendered text.

A turn is what the template writes behind the prompt that asks for it, its turn end included. What a template leaves out of calls,
declarations or results would be lost without a word: each is looked for in the text, and its absence is an error.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

from specsci.core.errors import UserError
from specsci.models.template import (
    MARK,
    MARK_TURNS,
    OWN_TEMPLATE,
    SENTINELS,
    Messages,
    Span,
    frame_of,
    render,
    render_marked,
    shown,
    template_of,
)

Tools = Sequence[dict[str, Any]]


def uses_tools(messages: Messages, tools: Tools) -> bool:
    """Whether tools are declared or called in a conversation."""
    return bool(tools) or any(m.get("tool_calls") for m in messages)


def words_of(messages: Messages, tools: Tools) -> Iterator[tuple[str, str]]:
    """The texts of calls and declarations, each with what it is."""
    for message in messages:
        for call in message.get("tool_calls", ()):
            yield json.dumps(call["function"], ensure_ascii=False), "a tool call"
    for tool in tools:
        yield json.dumps(tool, ensure_ascii=False), "a tool's declaration"


def spoken_with_tools(messages: Messages, tools: Tools, tokenizer: Any) -> tuple[str, list[Span]]:
    """A conversation as text, and the stretches of it that the loss is on: the assistant's turns with their calls and turn ends.

    Raises:
        UserError: the template leaves out a declaration, a call or a result, or a turn does not go on from its prompt.
    """
    given: dict[str, Any] = {"tools": list(tools)} if tools else {}
    whole, spans = render(messages, tokenizer, **given), []
    _all_there(messages, tools, whole)
    if MARK.search(template_of(tokenizer)):
        marked, found = render_marked(messages, tokenizer, **given)
        if found:
            for number, message in enumerate(messages):
                if message.get("tool_calls"):
                    _writes_arguments(messages[: number + 1], tokenizer, given)
            return marked, _held(messages, marked, found)
    gap = frame_of(tokenizer).gap
    for number, message in enumerate(messages):
        if message["role"] != "assistant":
            continue
        prompt = render(messages[:number], tokenizer, answer=True, **given)
        upto = render(messages[: number + 1], tokenizer, **given)
        if not whole.startswith(upto):
            raise UserError(
                f"the chat template renders turn {number + 1} otherwise inside the conversation than at its end",
                hint=f"{MARK_TURNS}, or end the conversation there",
            )
        if not upto.startswith(prompt):
            raise UserError(
                f"turn {number + 1} does not go on where its generation prompt ends: {shown(prompt[-60:])}",
                hint=f"{OWN_TEMPLATE} whose turns go on exactly where its generation prompt ends",
            )
        if message.get("tool_calls"):
            _writes_arguments(messages[: number + 1], tokenizer, given)
        begin = len(prompt + gap) if gap.strip() and upto.startswith(prompt + gap) else len(prompt)
        _holds(message, upto[begin:])
        spans.append((begin, len(upto.rstrip() or upto)))
    return whole, spans


def _held(messages: Messages, text: str, found: list[Span]) -> list[Span]:
    """The stretches that a template marks, one for each of the assistant's turns, each with what was said and called."""
    spans = [(begin, end) for begin, end in found if begin < end]
    turns = [m for m in messages if m["role"] == "assistant"]
    if len(spans) != len(turns):
        raise UserError(
            f"the chat template marks {len(spans)} stretches in a conversation of {len(turns)} assistant turns",
            hint=MARK_TURNS,
        )
    for message, (begin, end) in zip(turns, spans, strict=True):
        _holds(message, text[begin:end])
    return spans


def _all_there(messages: Messages, tools: Tools, text: str) -> None:
    for tool in tools:
        if tool["function"]["name"] not in text:
            raise UserError(
                f"the chat template leaves out the declared tool '{tool['function']['name']}'", hint=OWN_TEMPLATE
            )
    place = 0
    for message in messages:
        place = text.find(message["content"].strip(), place)
        if place < 0:
            raise UserError(
                f"the chat template leaves out what the {message['role']} says: {shown(message['content'])}",
                hint=OWN_TEMPLATE,
            )


def _writes_arguments(messages: Messages, tokenizer: Any, given: dict[str, Any]) -> None:
    """Other arguments of the last message's calls are another text: short ones may stand in it by chance."""
    name, value = SENTINELS
    calls = [{**c, "function": {**c["function"], "arguments": {name: value}}} for c in messages[-1]["tool_calls"]]
    text = render([*messages[:-1], {**messages[-1], "tool_calls": calls}], tokenizer, **given)
    if text.count(name) < len(calls) or text.count(value) < len(calls):
        raise UserError(
            "the chat template leaves out the arguments of calls", hint=f"{OWN_TEMPLATE} that writes message['tool_calls']"
        )


def _holds(message: dict[str, Any], turn: str) -> None:
    """An assistant's turn has its text, and every call's name and arguments."""
    if message["content"].strip() not in turn:
        raise UserError(
            f"the chat template alters an answer: {shown(message['content'])} becomes {shown(turn)}", hint=OWN_TEMPLATE
        )
    for call in message.get("tool_calls", ()):
        said = call["function"]
        for value in (said["name"], *_leaves(said["arguments"])):
            if not _in(value, turn):
                raise UserError(
                    f"the chat template leaves out {shown(value)} of the call of '{said['name']}'",
                    hint=f"{OWN_TEMPLATE} that writes message['tool_calls']",
                )


def _leaves(value: Any) -> Iterator[str]:
    """The keys and values of a call's arguments, as texts."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield str(key)
            yield from _leaves(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _leaves(inner)
    else:
        yield value if isinstance(value, str) else json.dumps(value)


def _in(value: str, text: str) -> bool:
    """Whether a text has a value, as it is or as JSON or HTML-safe JSON writes it."""
    escaped = json.dumps(value)[1:-1]
    safe = escaped.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026").replace("'", "\\u0027")
    return any(form in text for form in (value, escaped, json.dumps(value, ensure_ascii=False)[1:-1], safe))
