"""Reading files of texts and of chats: JSON Lines with a `text` or with `messages` in every row.

One reader serves the study's check and the step that takes the rows in, so that both say the same.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from specsci.core.errors import Problem, nearest
from specsci.core.jsonl import Row, kind_of, parse_rows, raise_problems
from specsci.sources.parquet_rows import is_parquet, parquet_rows
from specsci.sources.tool_calls import Fault, calls_of, tools_of

TEXT, MESSAGES = "text", "messages"
FIRST_ROLES, ROLES = ("system", "developer"), ("system", "developer", "user", "assistant", "tool")
CALLS, TOOLS = "tool_calls", "tools"
KEPT = ("role", "content", "name", "tool_call_id", CALLS)
"""Keys of a message that the chat template sees."""
SPOKEN = ("function_call", "reasoning_content", "reasoning", "thinking", "refusal", "audio")
"""Keys by which a message says more than its content: they are not read."""
SHARE_GPT = {"human": "user", "gpt": "assistant", "chatgpt": "assistant", "bing": "assistant", "model": "assistant"}
HINT = 'write {"messages": [{"role": "user", "content": "..."}, {"role": "assistant", "content": "..."}]}, one object a line'


@dataclass(frozen=True)
class Passage:
    """A text, or a conversation as its messages with the tools that it declares, and the line that it stands in."""

    said: Any
    line: int
    tools: tuple[dict[str, Any], ...] = ()

    @property
    def uses_tools(self) -> bool:
        """Whether tools are declared or called in it."""
        return bool(self.tools) or any(CALLS in message for message in self.said)


def read_passages(path: Path, name: str, what: str) -> tuple[Passage, ...]:
    """The rows of a file of texts (`documents`) or of chats (`conversations`).

    Args:
        name: what the study calls the file.

    Raises:
        InputFileError: every row that is none, with its line and key.
    """
    if is_parquet(path):
        read = list(parquet_rows(path, name))
        rows, problems = [r for r in read if isinstance(r, Row)], [r for r in read if isinstance(r, Problem)]
        return _passages([Row(r.line, _without_nulls(r.data)) for r in rows], problems, name, what)
    return parse_passages(path.read_bytes(), name, what)


def _without_nulls(value: Any) -> Any:
    """Parquet gives every message all keys that any message has; those without a value are left out."""
    if isinstance(value, dict):
        return {key: _without_nulls(inner) for key, inner in value.items() if inner is not None}
    return [_without_nulls(inner) for inner in value] if isinstance(value, list) else value


@lru_cache(maxsize=8)
def parse_passages(data: bytes, name: str, what: str) -> tuple[Passage, ...]:
    """As `read_passages`, of a JSON Lines file's bytes."""
    rows, problems = parse_rows(data, name)
    return _passages(rows, problems, name, what)


def _passages(rows: list[Row], problems: list[Problem], name: str, what: str) -> tuple[Passage, ...]:
    found = []
    for row in rows:
        read = chat_of(row, name) if what == "conversations" else _text(row, name)
        if isinstance(read, Problem):
            problems.append(read)
        else:
            found.append(read)
    if not rows and not problems:
        problems.append(Problem(name, 1, 1, "the file is empty", f"give every line an object with `{_key(what)}`"))
    raise_problems(problems)
    return tuple(found)


def role_orders(passages: Iterable[Passage]) -> list[tuple[str, ...]]:
    """The orders of roles that conversations without tools have, each once, the commonest first."""
    counts: dict[tuple[str, ...], int] = {}
    for passage in passages:
        if passage.uses_tools:
            continue
        order = tuple(m["role"] for m in passage.said)
        counts[order] = counts.get(order, 0) + 1
    return sorted(counts, key=lambda order: (-counts[order], order))


def _key(what: str) -> str:
    return MESSAGES if what == "conversations" else TEXT


def _missing(row: Row, name: str, wanted: str) -> Problem:
    other = MESSAGES if wanted == TEXT else TEXT
    if other in row.data:
        hint = (
            "these are conversations: name the file under `align` or `conversations`, or write rows with `text`"
            if wanted == TEXT
            else "these are documents: name a file of chats, whose rows have `messages`"
        )
    elif wanted == MESSAGES and any(key in row.data for key in ("conversations", "conversation")):
        hint = "rename the key to messages, and in it `from` to role (human: user, gpt: assistant) and `value` to content"
    else:
        hint = nearest(wanted, row.data) if row.data else f"give it the key `{wanted}`"
        hint = f"rename the key: {hint}" if hint.startswith("did you") else f"give it the key `{wanted}`"
    return Problem(name, row.line, 1, f"{wanted}: the row has no such key", hint)


def text_of(row: Row, name: str) -> str | Problem:
    """The text of a row of texts, or what is wrong with it."""
    if TEXT not in row.data:
        return _missing(row, name, TEXT)
    text = row.data[TEXT]
    if not isinstance(text, str):
        return Problem(
            name, row.line, 1, f"text: {kind_of(text)} where a text is expected", "leave the row out, or write its text"
        )
    if not text.strip():
        return Problem(name, row.line, 1, "text: empty", "leave the row out")
    return text


def _text(row: Row, name: str) -> Passage | Problem:
    text = text_of(row, name)
    return text if isinstance(text, Problem) else Passage(text, row.line)


def chat_of(row: Row, name: str) -> Passage | Problem:
    """The conversation of a row of chats, or what is wrong with it."""
    if MESSAGES not in row.data:
        return _missing(row, name, MESSAGES)
    messages = row.data[MESSAGES]
    if not isinstance(messages, list):
        return Problem(name, row.line, 1, f"messages: {kind_of(messages)} where a list is expected", HINT)
    if not messages:
        return Problem(name, row.line, 1, "messages: an empty conversation", "leave the row out")
    try:
        tools = tools_of(row.data.get(TOOLS) or [])
    except Fault as wrong:
        return Problem(name, row.line, 1, f"{TOOLS}{wrong.what}", wrong.hint)
    for number, message in enumerate(messages):
        fault = _fault(message)
        if fault:
            what, hint = fault
            return Problem(name, row.line, 1, f"messages[{number}]{what}", hint)
    fault = _order_fault([m["role"] for m in messages])
    if fault:
        return Problem(name, row.line, 1, f"messages{fault[0]}", fault[1])
    said = [{key: m[key] for key in KEPT if m.get(key) is not None} for m in messages]
    for number, message in enumerate(said):
        try:
            calls = calls_of(message.pop(CALLS, []))
        except Fault as wrong:
            return Problem(name, row.line, 1, f"messages[{number}].{CALLS}{wrong.what}", wrong.hint)
        if calls:
            message.setdefault("content", "")
            message[CALLS] = calls
    return Passage(said, row.line, tools)


def _fault(message: Any) -> tuple[str, str] | None:
    """What is wrong with one message, and what helps; None where nothing."""
    if not isinstance(message, dict):
        return f": {kind_of(message)} where an object is expected", HINT
    if "role" not in message:
        if "from" in message:
            return (
                ".from: the key is called role here",
                "rename `from` to role (human: user, gpt: assistant) and `value` to content",
            )
        return ".role: the message has no such key", HINT
    role = message["role"]
    if role not in ROLES:
        if not isinstance(role, str):
            return f".role: {kind_of(role)} where a text is expected", f"one of {', '.join(ROLES)}"
        known = SHARE_GPT.get(role.strip().lower())
        return f".role: unknown role '{role[:40]}'", f"write '{known}'" if known else nearest(role.lower(), ROLES)
    if message.get("weight") is not None and message["weight"] != 1:
        return ".weight: it asks for another loss, and is not read", "leave the row out, or end the conversation before it"
    for key in ("train", "training"):
        if message.get(key) is False and role == "assistant":
            return (
                f".{key}: it leaves the message out of the loss, and is not read",
                "leave the row out, or end the conversation before it",
            )
    for key in SPOKEN:
        if message.get(key):
            return f".{key}: it is not read, and would be lost", "leave the row out, or write what was said into content"
    calls = message.get(CALLS)
    if calls and role != "assistant":
        return f".{CALLS}: only the assistant calls tools", "leave the row out"
    if calls and message.get("content") is None:
        return None
    if "content" not in message:
        hint = "rename the key to content" if {"value", "text"} & set(message) else HINT
        return ".content: the message has no such key", hint
    content = message["content"]
    if not isinstance(content, str):
        hint = (
            "join the parts of type text into one text"
            if isinstance(content, list)
            else "leave the row out, or write what was said"
        )
        return f".content: {kind_of(content)} where a text is expected", hint
    if not content.strip() and role in ("assistant", "user") and not calls:
        return ".content: empty", "leave the row out"
    for key in KEPT[2:4]:
        if message.get(key) is not None and not isinstance(message[key], str):
            return f".{key}: {kind_of(message[key])} where a text is expected", "leave it out"
    return None


def _order_fault(roles: list[str]) -> tuple[str, str] | None:
    """What is wrong with the order of a conversation's roles, and what helps; None where nothing."""
    begin = 1 if roles[0] in FIRST_ROLES else 0
    for number, role in enumerate(roles[begin:], begin):
        before = roles[number - 1] if number > begin else ""
        if role in FIRST_ROLES:
            return f"[{number}].role: a {role} message stands first or not at all", "move it to the beginning"
        if role == "assistant" and not before:
            return f"[{number}].role: the conversation begins with the assistant", "begin with a user's message"
        if role == "assistant" and before == "assistant":
            return f"[{number}].role: the assistant speaks twice in a row", "join the two messages"
        if role == "tool" and before not in ("assistant", "tool"):
            return f"[{number}].role: a tool's message follows the assistant's", "leave the row out"
    if "assistant" not in roles:
        return ": no message of the assistant's, so that there is nothing to learn", "leave the row out"
    return None
