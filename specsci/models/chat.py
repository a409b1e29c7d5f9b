"""Chat rendering: token ids and the assistant mask, from the tokenizer's own template."""

from __future__ import annotations

from typing import Any

from specsci.errors import SpecsciError
from specsci.token_row import TokenRow


def conversation_row(messages: list[dict[str, str]], tokenizer: Any) -> TokenRow:
    """A conversation, supervised on the assistant's tokens only, its turn end included.

    Raises:
        SpecsciError: the tokenizer has no chat template, or its template marks no assistant tokens.
    """
    return conversation_rows([messages], tokenizer)[0]


def conversation_rows(conversations: list[list[dict[str, str]]], tokenizer: Any) -> list[TokenRow]:
    """Many conversations at once (see `conversation_row`)."""
    _check_template(tokenizer)
    encoded = tokenizer.apply_chat_template(
        conversations, tokenize=True, return_dict=True, return_assistant_tokens_mask=True, padding=False
    )
    rows = []
    for ids, mask, messages in zip(encoded["input_ids"], encoded["assistant_masks"], conversations, strict=True):
        if not any(mask):
            raise SpecsciError(
                f"no supervised token in the conversation {messages!r}",
                mend="the chat template must wrap assistant turns in {% generation %} ... {% endgeneration %}",
            )
        _check_turns(mask, messages)
        rows.append(TokenRow(list(ids), [bool(m) for m in mask]))
    return rows


def _check_turns(mask: list[int], messages: list[dict[str, str]]) -> None:
    """One supervised stretch for every assistant turn.

    A `{% generation %}` block that ends on white space which the tokenizer drops has no last token, and
    transformers then marks everything up to the end of the conversation, the user's later turns included.
    """
    roles = [m["role"] for m in messages]
    turns = sum(r == "assistant" and before != "assistant" for r, before in zip(roles, ["", *roles], strict=False))
    stretches = sum(bool(on) and not before for on, before in zip(mask, [0, *mask], strict=False))
    if stretches != turns:
        raise SpecsciError(
            f"the chat template marks {stretches} stretches in a conversation of {turns} assistant turns: {messages!r}",
            mend="wrap every assistant turn in {% generation %} ... {% endgeneration %}, its end on a token, not on a space",
        )


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
    return str(
        tokenizer.apply_chat_template([{"role": "user", "content": question}], tokenize=False, add_generation_prompt=True)
    )


def _check_template(tokenizer: Any) -> None:
    if not getattr(tokenizer, "chat_template", None):
        raise SpecsciError("the tokenizer has no chat template", mend="add chat_template.jinja beside the model's tokenizer")
