"""Rows of tokens from conversations and documents, and which of their tokens the loss is on.

A conversation is supervised on the assistant's answers with their turn ends, and on nothing else. A template with
`{% generation %}` marks tells these stretches itself, and is checked against it; of any other they are found by construction
(see `specsci.models.template`). Every row begins as the tokenizer begins a text (see `specsci.models.tokens`).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Any

from specsci.core.errors import SpecsciError, UserError
from specsci.core.token_row import TokenRow
from specsci.models.template import (
    MARK,
    MARK_TURNS,
    Messages,
    Span,
    render,
    render_marked,
    shown,
    template_of,
    thinking_off,
    turn_of,
)
from specsci.models.tokens import check_words, encode, encode_plain
from specsci.models.tool_turns import Tools, spoken_with_tools, uses_tools, words_of
from specsci.sources.files import TEMPLATE_FILE


def conversation_row(messages: Messages, tokenizer: Any) -> TokenRow:
    """A conversation, supervised on the assistant's tokens only, its turn end included.

    Raises:
        UserError: the tokenizer has no chat template, or its template does not tell the assistant's tokens.
    """
    return conversation_rows([messages], tokenizer)[0]


def conversation_rows(
    conversations: Sequence[Messages],
    tokenizer: Any,
    places: Sequence[str] | None = None,
    tools: Sequence[Tools] | None = None,
) -> list[TokenRow]:
    """Many conversations at once (see `conversation_row`).

    Args:
        places: where each conversation comes from, such as `chats.jsonl:3`, for messages.
        tools: the tools that each conversation declares.
    """
    found = []
    for number, messages in enumerate(conversations):
        declared = tools[number] if tools else ()
        try:
            check_messages(messages, tokenizer, declared)
            found.append(spoken(messages, tokenizer, declared))
        except UserError as error:
            if not places or error.where:
                raise
            raise UserError(error.what, where=places[number], hint=error.hint) from error
    rows = []
    encoded = encode([text for text, _ in found], tokenizer, offsets=True)
    for (_, spans), tokens, messages in zip(found, encoded, conversations, strict=True):
        mask = [any(begin < right and left < end for begin, end in spans) for left, right in tokens.offsets]
        _check_turns(mask, messages)
        rows.append(TokenRow(tokens.ids, mask))
    return rows


def check_messages(messages: Messages, tokenizer: Any, tools: Tools = ()) -> None:
    """Refuse a conversation whose words the tokenizer would take for control tokens (see `check_words`)."""
    for message in messages:
        check_words(message["content"], tokenizer, f"the {message['role']}'s text")
    for text, what in words_of(messages, tools):
        check_words(text, tokenizer, what)


def spoken(messages: Messages, tokenizer: Any, tools: Tools = ()) -> tuple[str, list[Span]]:
    """A conversation as text, and the stretches of it that the loss is on.

    Raises:
        UserError: the template does not tell them, or alters what is said.
    """
    if uses_tools(messages, tools):
        return spoken_with_tools(messages, tools, tokenizer)
    if MARK.search(template_of(tokenizer)):
        text, spans = render_marked(messages, tokenizer)
        if spans:
            return text, _held(messages, text, spans, tokenizer)
    return _by_construction(messages, tokenizer)


def _check_turns(mask: Sequence[bool], messages: Messages) -> None:
    """One supervised stretch for every assistant turn, and at least one."""
    if not any(mask):
        raise UserError(
            f"no supervised token in the conversation {shown(messages)}",
            hint="give it an assistant's turn; the chat template must wrap those in {% generation %} ... {% endgeneration %}",
        )
    roles = [m["role"] for m in messages]
    turns = sum(r == "assistant" and before != "assistant" for r, before in zip(roles, ["", *roles], strict=False))
    stretches = sum(on and not before for on, before in zip(mask, [False, *mask], strict=False))
    if stretches != turns:
        raise UserError(
            f"the chat template marks {stretches} stretches in a conversation of {turns} assistant turns: {shown(messages)}",
            hint="wrap every assistant turn in {% generation %} ... {% endgeneration %}, its end on a token, not on a space",
        )


def _by_construction(messages: Messages, tokenizer: Any) -> tuple[str, list[Span]]:
    """The rendered text, and where the assistant speaks in it: each answer with its turn end.

    Raises:
        UserError: a turn is not prompt + answer + turn end, or is rendered otherwise once there are later ones.
    """
    whole, spans = render(messages, tokenizer), []
    for number, message in enumerate(messages):
        if message["role"] != "assistant":
            continue
        if number == 0:
            raise UserError(
                f"a conversation begins with the assistant: {shown(messages)}",
                hint="begin with a user's turn, or mark assistant turns in the template with {% generation %}",
            )
        upto = messages[: number + 1]
        if len(upto) < len(messages) and not whole.startswith(render(upto, tokenizer)):
            raise UserError(
                f"the chat template renders turn {number + 1} otherwise inside the conversation than at its end",
                hint=f"{thinking_off(tokenizer)}{MARK_TURNS}, or give one turn a conversation",
            )
        spans.append(turn_of(upto, tokenizer).supervised)
    return whole, spans


def _held(messages: Messages, text: str, spans: list[Span], tokenizer: Any) -> list[Span]:
    """The stretches that a template marks, which hold every answer and nothing else.

    Raises:
        UserError: a mark without its answer, or marks that hold what is not the assistant's.
    """
    check_marks(tokenizer, template_of(tokenizer), tuple(m["role"] for m in messages))
    spans = [(begin, end) for begin, end in spans if begin < end]
    answers = [m["content"].strip() for m in messages if m["role"] == "assistant"]
    if len(answers) == len(spans):
        for answer, (begin, end) in zip(answers, spans, strict=True):
            if answer not in text[begin:end]:
                said = f"the chat template's marks hold {shown(text[begin:end])} where the assistant says {shown(answer)}"
                raise UserError(said, hint=MARK_TURNS)
    return spans


@lru_cache(maxsize=256)
def check_marks(tokenizer: Any, template: str, roles: tuple[str, ...]) -> str:
    """Hold a template's marks to what they say, for one order of roles.

    Returns:
        What is rendered behind the last mark: the turn end, where the marks leave it out.

    Raises:
        UserError: a mark holds what a user says or the header of a turn, or an answer is not in the marks.
    """
    first, second = ([{"role": r, "content": f"{word} {n}?"} for n, r in enumerate(roles)] for word in ("Alder", "birch"))
    asked = [b if r != "assistant" else a for a, b, r in zip(first, second, roles, strict=True)]
    answered = [b if r == "assistant" else a for a, b, r in zip(first, second, roles, strict=True)]
    text, spans = render_marked(first, tokenizer)
    if not spans:
        raise UserError(f"the chat template marks nothing in a conversation of {', '.join(roles)}", hint=MARK_TURNS)
    if _parts(text, spans)[0] != _parts(*render_marked(asked, tokenizer))[0]:
        raise UserError(
            "the chat template's {% generation %} marks hold what users say: the loss would be on their turns",
            hint="put the marks around the assistant's content and turn end alone",
        )
    if _parts(text, spans)[1] != _parts(*render_marked(answered, tokenizer))[1]:
        raise UserError("the chat template's {% generation %} marks leave out what the assistant says", hint=MARK_TURNS)
    for number, role in enumerate(roles):
        if role != "assistant" or number == 0:
            continue
        prompt = render(first[:number], tokenizer, answer=True)
        header = len(prompt.rstrip())
        if text.startswith(prompt.rstrip()) and any(begin < header < end for begin, end in spans):
            raise UserError(
                "the chat template's {% generation %} marks hold the header of the assistant's turn, which is not an answer",
                hint="begin {% generation %} behind the header, where the generation prompt ends",
            )
    return text[spans[-1][1] :] if roles[-1] == "assistant" else ""


def _parts(text: str, spans: list[Span]) -> tuple[list[str], list[str]]:
    """The marked stretches of a text, and what lies around them."""
    edges = [0, *(place for span in spans for place in span), len(text)]
    parts = [text[begin:end] for begin, end in pairwise(edges)]
    return parts[1::2], parts[0::2]


def document_row(text: str, tokenizer: Any) -> TokenRow:
    """A document as plain text with the end-of-text token after it; every token supervised."""
    return document_rows([text], tokenizer)[0]


def document_rows(texts: list[str], tokenizer: Any) -> list[TokenRow]:
    """Many documents at once (see `document_row`). Control tokens' strings in them stay plain text."""
    if tokenizer.eos_token_id is None:
        raise UserError("the tokenizer has no end-of-text token", hint="set eos_token in tokenizer_config.json")
    return [TokenRow([*ids, tokenizer.eos_token_id]) for ids in encode_plain(texts, tokenizer)]


def declare_template(folder: Path, declared: dict[str, Any]) -> None:
    """Put a declared chat template, and values of its variables, into a tokenizer's folder.

    Args:
        declared: `text`, the template (else the folder's own is kept), and `variables`, name to value.

    Raises:
        SpecsciError: values without a template.
    """
    template = declared.get("text") or _own_template(folder)
    if not template:
        raise SpecsciError("the tokenizer has no chat template", hint="name one: chat_template: FILE beside the study")
    (folder / TEMPLATE_FILE).write_text(with_variables(template, declared.get("variables", {})), encoding="utf-8")


def with_variables(template: str, values: dict[str, Any]) -> str:
    """A template that sees declared values of its variables."""
    lines = [f"{{%- set {name} = {json.dumps(value, ensure_ascii=False)} -%}}\n" for name, value in sorted(values.items())]
    return "".join(lines) + template


def _own_template(folder: Path) -> str:
    """The template in a tokenizer's folder, of several the default; empty where it has none."""
    file, config = folder / TEMPLATE_FILE, folder / "tokenizer_config.json"
    if file.is_file():
        return file.read_text(encoding="utf-8")
    found = json.loads(config.read_text(encoding="utf-8")).get("chat_template") if config.is_file() else None
    if isinstance(found, list):
        found = next((t["template"] for t in found if t.get("name") == "default"), None)
    return found if isinstance(found, str) else ""
