"""What stands around a question when a model is asked: the frame of a harness condition and of an arm's prompt.

A frame is a step of its own: `frame.json` holds the system prompt, the conversation before the question and the messages that are put
in. A condition counts only where the rendered prompt has every text at its place: a template that drops, moves or merges one makes
the condition *not expressible*, a state and no number.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from specsci.core.context import Facts, StepContext
from specsci.core.errors import StepFailed, UserError
from specsci.core.ids import digest
from specsci.models.template import Messages, render, shown
from specsci.models.tokens import check_words, encode_plain
from specsci.store.artifact import write_json
from specsci.study.frame import FILE, NONE, ROLE, Frame

WIRE_DIGITS = 32


def run_frame(context: StepContext) -> Facts:
    """Write down a frame, which the plan has resolved."""
    data = context.runtime["frame"]
    if digest(data) != context.params["sha256"]:
        raise StepFailed("the texts of the harness changed after the plan was made", hint="run the study again")
    write_json(context.out / FILE, data)
    frame = Frame.of(data)
    return {"words": len(frame.system_prompt.split()), "messages": len(frame.history) + len(frame.turns)}


def frame_in(inputs: Mapping[str, Path]) -> Frame:
    """The frame among a step's inputs; the empty one where the step has none."""
    folder = inputs.get(ROLE)
    return NONE if folder is None else Frame.of(json.loads((folder / FILE).read_text(encoding="utf-8")))


def fault_of(frame: Frame, question: str, tokenizer: Any) -> str:
    """Why a question is not asked as its frame says; empty where it is.

    Raises:
        UserError: the question itself cannot be rendered or tokenised.
    """
    if not frame:
        return ""
    messages = frame.messages(question)
    for message in messages:
        if message["content"] != question and (fault := _unspoken(message["content"], tokenizer)):
            return fault
    try:
        text = render(messages, tokenizer, answer=True)
    except UserError as error:
        return error.what
    return misplaced(messages, text) or _not_told_apart(messages, text, tokenizer)


def _unspoken(text: str, tokenizer: Any) -> str:
    """Why a text cannot be given to a model: control tokens in it, or words without a token."""
    try:
        check_words(text, tokenizer, "the harness's text")
    except UserError as error:
        return error.what
    unknown = getattr(tokenizer, "unk_token_id", None)
    if unknown is None or unknown not in encode_plain([text], tokenizer)[0]:
        return ""
    words = [w for w in dict.fromkeys(text.split()) if unknown in encode_plain([w], tokenizer)[0]]
    return f"the tokenizer has no token for words of the harness's text, such as {shown(words[0], 60) if words else shown(text, 60)}"


def misplaced(messages: Messages, text: str) -> str:
    """Which message does not stand where it was put in the rendered text, or runs into the one before it; empty where none.

    Every message is looked for behind the one before it, and what lies between two must be more than white space: a turn's end,
    or a header.
    """
    end = 0
    for number, message in enumerate(messages):
        said = message["content"].strip()
        begin = text.find(said, end)
        if begin < 0:
            lost = "moves" if said in text else "leaves out"
            return f"the chat template {lost} what the {message['role']} says in message {number + 1}: {shown(said, 60)}"
        if number and not text[end:begin].strip():
            return f"the chat template joins message {number + 1} ({message['role']}) to the one before it"
        end = begin + len(said)
    return ""


def _not_told_apart(messages: Messages, text: str, tokenizer: Any) -> str:
    """A system message that is written just as a user's would be; empty where there is none."""
    for number, message in enumerate(messages):
        if message["role"] != "system":
            continue
        changed = [*messages[:number], {**message, "role": "user"}, *messages[number + 1 :]]
        try:
            same = render(changed, tokenizer, answer=True) == text
        except UserError:
            same = False
        if same:
            return f"the chat template writes message {number + 1} of the system as a user's"
    return ""


def wire_digest(text: str) -> str:
    """What was sent, as a row keeps it: the first digits of the SHA-256 of the prompt's text."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:WIRE_DIGITS]
