"""Chat templates: a conversation as text, and where in it the assistant answers.

An assistant's turn is `before + answer + end` by construction: two renders with different answers share what stands
before and behind, and the turn with the real answer must be exactly that. Nothing is looked for in the text.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from specsci.core.errors import UserError

Messages = list[dict[str, Any]]
"""Messages with `role` and `content`; an assistant's may have `tool_calls`."""
Span = tuple[int, int]
MARK = re.compile(r"\{%-?\s*generation\s*-?%\}")
SENTINELS = ("Qk7", "zX4v")
"""Two answers that differ in their first and in their last character."""
OWN_TEMPLATE = "name a template of your own (base_models.NAME.chat_template: FILE)"
MARK_TURNS = "wrap assistant turns in {% generation %} ... {% endgeneration %} (chat_template: FILE)"
THINK = re.compile(r"think|reason", re.IGNORECASE)


@dataclass(frozen=True)
class Turn:
    """The last turn of a conversation: `prompt` asks for it, `before + answer + end` is the rendered conversation.

    `before` is `prompt`, and behind it white space, or the header that a template without a generation prompt leaves out.
    """

    prompt: str
    before: str
    answer: str
    end: str

    @property
    def supervised(self) -> Span:
        """The characters that the loss is on: the answer with its turn end, less white space behind that."""
        spaced = not self.before[len(self.prompt) :].strip()
        begin = len(self.prompt) if spaced else len(self.before)
        return begin, len(self.before) + len(self.answer) + len(self.end.rstrip() or self.end)


def template_of(tokenizer: Any) -> str:
    """The tokenizer's chat template; of several the one named `default`.

    Raises:
        UserError: there is none.
    """
    found = getattr(tokenizer, "chat_template", None)
    if isinstance(found, dict):
        if "default" not in found:
            raise UserError(
                f"the tokenizer has several chat templates ({', '.join(sorted(found))}) and none is the default",
                hint=OWN_TEMPLATE,
            )
        found = found["default"]
    if not found:
        raise UserError(
            "the tokenizer has no chat template",
            hint="name one in the study (base_models.NAME.chat_template: FILE), or put chat_template.jinja beside the tokenizer",
        )
    return str(found)


def render(messages: Messages, tokenizer: Any, *, answer: bool = False, **variables: Any) -> str:
    """A conversation as text; with `answer` up to where the assistant begins to answer.

    Raises:
        UserError: the template fails.
    """
    template = template_of(tokenizer)
    try:
        return str(
            tokenizer.apply_chat_template(
                messages, chat_template=template, tokenize=False, add_generation_prompt=answer, **variables
            )
        )
    except Exception as error:  # a template is foreign code: it may raise anything
        raise _failed(error, messages) from error


def render_marked(messages: Messages, tokenizer: Any, **variables: Any) -> tuple[str, list[Span]]:
    """A conversation as text, and the stretches that the template marks as the assistant's.

    Raises:
        UserError: the template fails.
    """
    from transformers.utils.chat_template_utils import render_jinja_template

    try:
        rendered: Any = render_jinja_template(
            conversations=[messages],
            chat_template=template_of(tokenizer),
            return_assistant_tokens_mask=True,
            **variables,
            **tokenizer.special_tokens_map,
        )
    except Exception as error:  # as above
        raise _failed(error, messages) from error
    texts, marks = rendered
    return str(texts[0]), [(int(begin), int(end)) for begin, end in marks[0]]


def marks_turns(messages: Messages, tokenizer: Any) -> bool:
    """Whether the template marks the assistant's stretches in a conversation."""
    return MARK.search(template_of(tokenizer)) is not None and bool(render_marked(messages, tokenizer)[1])


def shown(text: Any, most: int = 200) -> str:
    """A text or a conversation as a message quotes it."""
    quoted = repr(text)
    return quoted if len(quoted) <= most else f"{quoted[: most - 4]} ..."


def _failed(error: Exception, messages: Messages) -> UserError:
    from jinja2 import TemplateError

    name = "" if type(error) is TemplateError else f"{type(error).__name__}: "
    said = " ".join(str(error).split())[:300] or type(error).__name__
    return UserError(f"the chat template fails: {name}{said}", hint=f"it was given {shown(messages)}; or {OWN_TEMPLATE}")


@dataclass(frozen=True)
class Frame:
    """What a template writes around an answer after a user's question: between prompt and answer, and behind it.

    `asks`: whether `add_generation_prompt` changes what it writes.
    """

    gap: str
    end: str
    asks: bool


def frame_of(tokenizer: Any) -> Frame:
    """The frame of a tokenizer's template.

    Raises:
        UserError: a turn is not prompt + answer + turn end.
    """
    return _frame(tokenizer, template_of(tokenizer))


@lru_cache(maxsize=32)
def _frame(tokenizer: Any, template: str) -> Frame:
    question: Messages = [{"role": "user", "content": "Is it so?"}]
    prompt = render(question, tokenizer, answer=True)
    asks = prompt != render(question, tokenizer)
    before, end = around([*question, {"role": "assistant", "content": ""}], tokenizer)
    gap = gap_of(prompt, before, asks, tokenizer)
    if not asks and not gap.strip() and end.strip() and prompt.endswith(end):
        _check_end(question, before, end, tokenizer)
    return Frame(gap, end, asks)


def _check_end(question: Messages, before: str, end: str, tokenizer: Any) -> None:
    """What ends a prompt also ends an answer: right where it ends every message, and not where it is the next header.

    Raises:
        UserError: it is not there once the user speaks again.
    """
    word = SENTINELS[0]
    longer = render([*question, {"role": "assistant", "content": word}, *question], tokenizer)
    if not longer.startswith(before + word + end):
        raise UserError(
            f"the chat template writes {shown(end)} behind an answer, the header of a turn that nobody asked for",
            hint=f"{OWN_TEMPLATE} that writes it only {{% if add_generation_prompt %}}",
        )


def around(messages: Messages, tokenizer: Any, number: int = -1) -> tuple[str, str]:
    """What is rendered before and behind the content of one message, whatever it says.

    Raises:
        UserError: the template leaves the content out.
    """
    texts = []
    for word in SENTINELS:
        changed = [dict(m) for m in messages]
        changed[number]["content"] = word
        texts.append(render(changed, tokenizer))
    if texts[0] == texts[1]:
        role = messages[number]["role"]
        raise UserError(f"the chat template leaves out what the {role} says", hint=OWN_TEMPLATE)
    before, behind = _shared(*texts), _shared(*(text[::-1] for text in texts))[::-1]
    return before, behind


def _shared(first: str, second: str) -> str:
    """What both texts begin with."""
    length = next((n for n, (a, b) in enumerate(zip(first, second, strict=False)) if a != b), min(len(first), len(second)))
    return first[:length]


def gap_of(prompt: str, before: str, asks: bool, tokenizer: Any) -> str:
    """What stands between the generation prompt and the answer.

    Raises:
        UserError: the rendered turn goes on otherwise than the prompt: a think block in one of them, or another header.
    """
    if before.startswith(prompt):
        gap = before[len(prompt) :]
        if not gap.strip() or not asks:
            return gap
        what = f"a rendered turn has {shown(gap)} between the generation prompt and the answer"
        raise UserError(f"{what}: it is not prompt + answer + turn end", hint=_hint(gap, tokenizer))
    if prompt.startswith(before):
        opened = prompt[len(before) :]
        what = f"the generation prompt ends with {shown(opened)}, which a rendered turn does not have before its answer"
        raise UserError(f"{what}: it is not prompt + answer + turn end", hint=_hint(opened, tokenizer))
    same = len(_shared(prompt, before))
    raise UserError(
        f"the generation prompt ends with {shown(prompt[same:])} where a rendered turn has {shown(before[same:])}: "
        "it is not prompt + answer + turn end",
        hint=_hint(prompt[same:] + before[same:], tokenizer),
    )


def _hint(between: str, tokenizer: Any) -> str:
    """What helps: the template's own variable where it is about thinking, else another template."""
    if not THINK.search(between):
        return f"{OWN_TEMPLATE} whose turns go on exactly where its generation prompt ends"
    return f"{thinking_off(tokenizer)}{OWN_TEMPLATE} without a think block, or with the same one in both"


def thinking_off(tokenizer: Any) -> str:
    """A hint at the variable by which a template's thinking is switched off; empty where it reads none."""
    names = [name for name in variables_of(template_of(tokenizer)) if THINK.search(name)]
    return f"set the template's variable (chat_variables: {{{names[0]}: false}}), or " if names else ""


def _parsed(template: str) -> Any:
    """A template's tree; None where it cannot be parsed (rendering says why)."""
    from jinja2 import TemplateError, nodes
    from jinja2.ext import Extension, loopcontrols
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    class Generation(Extension):
        tags = {"generation"}  # noqa: RUF012

        def parse(self, parser: Any) -> Any:
            line = next(parser.stream).lineno
            return nodes.Scope(parser.parse_statements(("name:endgeneration",), drop_needle=True), lineno=line)

    environment = ImmutableSandboxedEnvironment(extensions=[Generation, loopcontrols])
    try:
        return environment.parse(template)
    except (TemplateError, RecursionError):
        return None


def variables_of(template: str) -> list[str]:
    """The variables that a template reads and does not set, those that every template is given left out."""
    from jinja2 import meta

    tree = _parsed(template)
    return sorted(meta.find_undeclared_variables(tree) - GIVEN) if tree else []


def draws_of(template: str) -> str:
    """What in a template is drawn at random, such as the filter `random`; empty where nothing is."""
    from jinja2 import nodes

    tree = _parsed(template)
    if tree is None:
        return ""
    filters = {"random"} & {node.name for node in tree.find_all(nodes.Filter)}
    names = {"lipsum"} & {node.name for node in tree.find_all(nodes.Name)}
    return ", ".join(sorted(filters | names))


GIVEN = frozenset({
    "messages", "tools", "documents", "add_generation_prompt", "raise_exception", "strftime_now", "range", "dict", "lipsum",
    "cycler", "joiner", "namespace", "bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token",
    "mask_token", "additional_special_tokens",
})  # fmt: skip
"""Names that transformers gives to every template."""


def turn_of(messages: Messages, tokenizer: Any) -> Turn:
    """The last turn of a conversation, an assistant's, as the template renders it.

    Raises:
        UserError: it is not prompt + answer + turn end; the template alters the answer, or leaves it out.
    """
    answer, frame = messages[-1]["content"], frame_of(tokenizer)
    prompt, whole = render(messages[:-1], tokenizer, answer=True), render(messages, tokenizer)
    found = _fitted(whole, prompt, prompt + frame.gap, answer, frame.end)
    if found is not None:
        return found
    before, end = around(messages, tokenizer)
    asks = frame.asks and prompt != render(messages[:-1], tokenizer)
    gap_of(prompt, before, asks, tokenizer)
    found = _fitted(whole, prompt, before, answer, end)
    if found is None:
        inside = whole[len(before) : len(whole) - len(end)] if whole.startswith(before) and whole.endswith(end) else whole
        raise UserError(
            f"the chat template alters an answer: {shown(answer)} becomes {shown(inside)}",
            hint=f"{OWN_TEMPLATE} that writes message['content'] as it is",
        )
    return found


def _fitted(whole: str, prompt: str, before: str, answer: str, end: str) -> Turn | None:
    """The turn, if the text is exactly what stands around an answer with the answer, or the answer trimmed, in it."""
    if len(whole) > len(before) + len(answer) + len(end) or not (whole.startswith(before) and whole.endswith(end)):
        return None
    said = whole[len(before) : len(whole) - len(end)] if len(whole) >= len(before) + len(end) else None
    if said is None or said not in (answer, answer.strip(), answer.rstrip(), answer.lstrip()):
        return None
    return Turn(prompt, before, said, end)
