"""Chat rendering: token ids and the assistant mask, from the tokenizer's own template.

A template with `{% generation %}` marks tells its assistant tokens itself. Of any other the assistant's
stretch is what the rendered text gains by the assistant's turn: the text up to and including the turn,
less the text up to where the assistant begins to answer.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jinja2 import TemplateError

from specsci.errors import SpecsciError
from specsci.plan.sources import TEMPLATE_FILE
from specsci.token_row import TokenRow

Messages = list[dict[str, str]]
Span = tuple[int, int]
_MARK = re.compile(r"\{%-?\s*generation\s*-?%\}")


def conversation_row(messages: Messages, tokenizer: Any) -> TokenRow:
    """A conversation, supervised on the assistant's tokens only, its turn end included.

    Raises:
        SpecsciError: the tokenizer has no chat template, or its template does not tell the assistant's tokens.
    """
    return conversation_rows([messages], tokenizer)[0]


def conversation_rows(conversations: list[Messages], tokenizer: Any) -> list[TokenRow]:
    """Many conversations at once (see `conversation_row`)."""
    _check_template(tokenizer)
    if not _MARK.search(tokenizer.chat_template):
        return [_row_by_spans(messages, tokenizer) for messages in conversations]
    encoded = tokenizer.apply_chat_template(
        conversations, tokenize=True, return_dict=True, return_assistant_tokens_mask=True, padding=False
    )
    rows = []
    for ids, mask, messages in zip(encoded["input_ids"], encoded["assistant_masks"], conversations, strict=True):
        _check_turns(mask, messages)
        rows.append(TokenRow(list(ids), [bool(m) for m in mask]))
    return rows


def _check_turns(mask: Sequence[int], messages: Messages) -> None:
    """One supervised stretch for every assistant turn, and at least one.

    A `{% generation %}` block that ends on white space which the tokenizer drops has no last token, and
    transformers then marks everything up to the end of the conversation, the user's later turns included.
    """
    if not any(mask):
        raise SpecsciError(
            f"no supervised token in the conversation {messages!r}",
            mend="the chat template must wrap assistant turns in {% generation %} ... {% endgeneration %}",
        )
    roles = [m["role"] for m in messages]
    turns = sum(r == "assistant" and before != "assistant" for r, before in zip(roles, ["", *roles], strict=False))
    stretches = sum(bool(on) and not before for on, before in zip(mask, [0, *mask], strict=False))
    if stretches != turns:
        raise SpecsciError(
            f"the chat template marks {stretches} stretches in a conversation of {turns} assistant turns: {messages!r}",
            mend="wrap every assistant turn in {% generation %} ... {% endgeneration %}, its end on a token, not on a space",
        )


def _row_by_spans(messages: Messages, tokenizer: Any) -> TokenRow:
    """A conversation under a template without marks."""
    text, spans = _assistant_spans(messages, tokenizer)
    encoded = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
    mask = [any(begin < right and left < end for begin, end in spans) for left, right in encoded["offset_mapping"]]
    _check_turns(mask, messages)
    return TokenRow(list(encoded["input_ids"]), mask)


def _assistant_spans(messages: Messages, tokenizer: Any) -> tuple[str, list[Span]]:
    """The rendered text, and where the assistant speaks in it: each turn with its end, less white space after that.

    Raises:
        SpecsciError: the template renders earlier turns otherwise once there are later ones, or drops a turn.
    """
    whole, spans = _render(messages, tokenizer), []
    for number, message in enumerate(messages):
        if message["role"] != "assistant":
            continue
        if number == 0:
            raise SpecsciError(
                f"a conversation begins with the assistant: {messages!r}",
                mend="begin with a user's turn, or mark assistant turns in the template with {% generation %}",
            )
        before = _render(messages[:number], tokenizer, answer=True)
        upto = whole if number == len(messages) - 1 else _render(messages[: number + 1], tokenizer)
        if not (whole.startswith(upto) and upto.startswith(before)) or message["content"].strip() not in upto[len(before) :]:
            raise SpecsciError(
                f"the chat template renders turn {number + 1} otherwise inside the conversation than at its end: {messages!r}",
                mend="wrap assistant turns in {% generation %} ... {% endgeneration %} (chat_template: FILE), or set the "
                "template's variables (chat_variables: {enable_thinking: false})",
            )
        spans.append((len(before), len(before) + len(upto[len(before) :].rstrip())))
    return whole, spans


def _render(messages: Messages, tokenizer: Any, *, answer: bool = False) -> str:
    try:
        return str(tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=answer))
    except TemplateError as error:
        raise SpecsciError(f"the chat template fails: {error}", mend=f"it was given {messages!r}") from error


def document_row(text: str, tokenizer: Any) -> TokenRow:
    """A document as plain text with the end-of-text token after it; every token supervised."""
    return document_rows([text], tokenizer)[0]


def document_rows(texts: list[str], tokenizer: Any) -> list[TokenRow]:
    """Many documents at once (see `document_row`)."""
    if tokenizer.eos_token_id is None:
        raise SpecsciError("the tokenizer has no end-of-text token", mend="set eos_token in tokenizer_config.json")
    encoded = tokenizer(texts, add_special_tokens=False)["input_ids"] if texts else []
    return [TokenRow([*ids, tokenizer.eos_token_id]) for ids in encoded]


def prompt_text(question: str, tokenizer: Any) -> str:
    """A user's question as the text up to where the assistant begins to answer."""
    _check_template(tokenizer)
    return _render([{"role": "user", "content": question}], tokenizer, answer=True)


def declare_template(folder: Path, declared: dict[str, Any]) -> None:
    """Put a declared chat template, and values of its variables, into a tokenizer's folder.

    Args:
        declared: `text`, the template (else the folder's own is kept), and `variables`, name to value.

    Raises:
        SpecsciError: values without a template.
    """
    template = declared.get("text") or _own_template(folder)
    if not template:
        raise SpecsciError("the tokenizer has no chat template", mend="name one: chat_template: FILE beside the study")
    values = declared.get("variables", {})
    lines = [f"{{%- set {name} = {json.dumps(value)} -%}}\n" for name, value in sorted(values.items())]
    (folder / TEMPLATE_FILE).write_text("".join(lines) + template, encoding="utf-8")


def _own_template(folder: Path) -> str:
    file, config = folder / TEMPLATE_FILE, folder / "tokenizer_config.json"
    if file.is_file():
        return file.read_text(encoding="utf-8")
    found = json.loads(config.read_text(encoding="utf-8")).get("chat_template") if config.is_file() else None
    return found if isinstance(found, str) else ""


def _check_template(tokenizer: Any) -> None:
    if not getattr(tokenizer, "chat_template", None):
        raise SpecsciError(
            "the tokenizer has no chat template",
            mend="name one in the study (base_models.NAME.chat_template: FILE), or put chat_template.jinja beside the tokenizer",
        )
