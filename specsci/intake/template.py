"""The examination of a chat template, by what it renders: every order of roles that a study uses, and hard answers.

What is found here is what training and scoring rest on: a turn is prompt + answer + turn end, every message is there
and in its order, nothing depends on the day or on chance, and the loss is on the answers and their turn ends.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from specsci.core.errors import UserError, nearest
from specsci.core.findings import Finding
from specsci.intake.bounded import OutOfTime, bounded
from specsci.models.chat import check_marks, spoken, with_variables
from specsci.models.template import (
    GIVEN,
    OWN_TEMPLATE,
    Messages,
    around,
    draws_of,
    frame_of,
    marks_turns,
    render,
    shown,
    template_of,
    turn_of,
    variables_of,
)
from specsci.models.tokens import encode, opening, opening_text

LIMIT_S = 20.0
"""Seconds within which a template renders all that is asked of it; most need a hundredth."""
SAID = {"system": "Be brief.", "developer": "Be kind.", "user": "Is it so?", "assistant": "It is.", "tool": "42"}
ANSWERS = (
    "An Answer of TWO lines:\n\n- it says “yes”,  twice; 100 % <b>so</b>, \\n and {{ braces }} & 'quotes'.",
    "word " * 2_000 + "end",
    "A",
)
"""Answers that a template might alter: capitals, lines, spaces, quotes, Jinja, length."""
SPACED = "  spaced out \n"
OPTIONS = ("A", "B", "Yes", "no.", "(A)", "7", "green tea")


@dataclass(frozen=True)
class Uses:
    """What a study does with a chat template.

    Attributes:
        trained: the orders of roles of the conversations that it trains on.
        scored: whether it asks in chats (`format: chat`).
    """

    trained: tuple[tuple[str, ...], ...] = ()
    scored: bool = True

    @property
    def orders(self) -> list[tuple[str, ...]]:
        """Every order of roles in use, each once."""
        asked = [("user", "assistant")] if self.scored else []
        return list(dict.fromkeys([*asked, *self.trained]))


def examine_template(
    tokenizer: Any, *, uses: Uses, variables: Mapping[str, Any] | None = None, limit_s: float = LIMIT_S
) -> list[Finding]:
    """Findings on the template that a tokenizer carries; none where the study uses no chats.

    Args:
        tokenizer: as it is used, declared variables written into its template (see `declare_template`).
        variables: the declared variables (`chat_variables`).
    """
    if not uses.orders:
        return []
    try:
        found: list[Finding] = bounded(partial(_examine, tokenizer, uses, dict(variables or {})), limit_s)
    except OutOfTime:
        what = f"the chat template does not end: {len(uses.orders) * 10} short renders took more than {limit_s:g} s, or too much memory"
        return [Finding("template_renders", "refuse", what, f"take the endless loop out, or {OWN_TEMPLATE}")]
    if any(f.judgement == "refuse" for f in found):
        return found
    return [*found, *_opening(tokenizer), *_boundary(tokenizer, uses)]


def _examine(tokenizer: Any, uses: Uses, variables: dict[str, Any]) -> list[Finding]:
    """What the renders tell; a check that refuses is the last one where the others would only repeat it."""
    try:
        template = template_of(tokenizer)
        render([{"role": "user", "content": SAID["user"]}], tokenizer, answer=True)
    except UserError as error:
        return [Finding("template_renders", "refuse", error.what, error.hint)]
    found: list[Finding] = []
    checks: list[Callable[[], list[Finding]]] = [
        partial(_variables, template, variables),
        partial(_chance, template),
        *(partial(_clock, tokenizer, order) for order in uses.orders),
        *(partial(_messages, tokenizer, order) for order in uses.orders),
        partial(_prompt, tokenizer, uses),
        *(partial(_turns, tokenizer, order) for order in uses.orders),
    ]
    for check in checks:
        try:
            found += check()
        except UserError as error:
            found.append(Finding("template_turn", "refuse", error.what, error.hint))
        if found and found[-1].judgement == "refuse":
            return found
    return found


def _said(order: tuple[str, ...]) -> Messages:
    """A conversation of an order of roles, no two messages alike."""
    return [{"role": role, "content": f"{SAID[role]} ({number})"} for number, role in enumerate(order)]


def _variables(template: str, variables: dict[str, Any]) -> list[Finding]:
    """Declared variables are ones that the template reads."""
    own = template.removeprefix(with_variables("", variables))
    read = variables_of(own)
    for name in variables:
        if name in GIVEN:
            what = f"chat_variables sets '{name}', which every template is given"
            return [Finding("template_variables", "refuse", what, "remove it")]
        if name not in read:
            hint = nearest(name, read) if read else "remove it: the template reads no variable"
            return [Finding("template_variables", "refuse", f"the chat template reads no variable '{name}'", hint)]
    return []


def _chance(template: str) -> list[Finding]:
    """Nothing in the template is drawn at random."""
    drawn = draws_of(template)
    if not drawn:
        return []
    return [Finding("template_chance", "refuse", f"the chat template draws at random ({drawn})", OWN_TEMPLATE)]


def _clock(tokenizer: Any, order: tuple[str, ...]) -> list[Finding]:
    """The template does not ask what day it is."""
    asked: list[str] = []

    def now(form: str = "") -> str:
        asked.append(str(form))
        return "1 Jan 2000"

    for length in range(1, len(order) + 1):
        for answer in (False, True):
            try:
                render(_said(order)[:length], tokenizer, answer=answer, strftime_now=now)
            except UserError:
                continue  # the checks of its turns say what fails
    if not asked:
        return []
    dates = [
        name for name in variables_of(template_of(tokenizer)) if any(w in name.lower() for w in ("date", "time", "today"))
    ]
    fixed = f'fix the date: chat_variables: {{{dates[0]}: "26 Jul 2024"}}, or ' if dates else ""
    what = "the chat template writes today's date: the same study would train on other texts tomorrow"
    return [Finding("template_clock", "refuse", what, f"{fixed}{OWN_TEMPLATE} without strftime_now")]


def _messages(tokenizer: Any, order: tuple[str, ...]) -> list[Finding]:
    """Every message is in the text, and in its order."""
    said = _said(order)
    try:
        places = [len(around(said, tokenizer, number)[0]) for number in range(len(said))]
    except UserError as error:
        what = f"for a conversation of {', '.join(order)}: {error.what}"
        return [Finding("template_messages", "refuse", what, error.hint or OWN_TEMPLATE)]
    for number in range(1, len(places)):
        if places[number] <= places[number - 1]:
            what = f"the chat template moves what the {order[number]} says before the {order[number - 1]}'s words ({', '.join(order)})"
            return [Finding("template_messages", "refuse", what, OWN_TEMPLATE)]
    return []


def _prompt(tokenizer: Any, uses: Uses) -> list[Finding]:
    """A prompt is a user's question up to where the assistant begins to answer."""
    if not uses.scored and all(marks_turns(_said(order), tokenizer) for order in uses.orders):
        return []
    frame = frame_of(tokenizer)
    if frame.gap.strip():
        what = f"the chat template ignores add_generation_prompt: prompts end before its header {shown(frame.gap)}"
        hint = "specsci takes the header from a rendered answer; a server will not: end the template with "
        return [Finding("template_prompt", "warn", what, hint + "{% if add_generation_prompt %}HEADER{% endif %}")]
    return []


def _turns(tokenizer: Any, order: tuple[str, ...]) -> list[Finding]:
    """Answers stand in their turns as they are, and the loss is on them and their turn ends."""
    found: list[Finding] = []
    said = _said(order)
    last = max((n for n, role in enumerate(order) if role == "assistant"), default=None)
    if last is None:
        return []
    where = f"({', '.join(order)})"
    for answer in ANSWERS:
        messages = [dict(m) for m in said]
        messages[last]["content"] = answer
        spoken(messages, tokenizer)
    if marks_turns(said, tokenizer):
        left = check_marks(tokenizer, template_of(tokenizer), order)
        if left.strip():
            what = (
                f"the template's {{% generation %}} marks leave the turn end {shown(left.strip())} out of the loss {where}"
            )
            return [
                Finding(
                    "template_marks",
                    "warn",
                    what,
                    "put {% endgeneration %} behind the turn end: else no model learns to stop",
                )
            ]
        return [Finding("template_turn", "ok", f"the marks hold the assistant's answers with their turn ends {where}")]
    turn = turn_of(said[: last + 1], tokenizer)
    if not turn.end.strip():
        kind = "white space alone" if turn.end else "nothing"
        what = f"the chat template writes {kind} behind an answer: a model learns no turn end {where}"
        found.append(Finding("template_end", "warn", what, f"{OWN_TEMPLATE} that writes eos_token behind an answer"))
    messages = [*said[:last], {"role": "assistant", "content": SPACED}]
    if turn_of(messages, tokenizer).answer != SPACED:
        what = f"the chat template trims white space around answers {where}"
        found.append(Finding("template_trims", "ok", what))
    text = f"an answer stands between {shown(turn.before[-40:])} and the turn end {shown(turn.end)} {where}"
    return [*found, Finding("template_turn", "ok", text)]


def _opening(tokenizer: Any) -> list[Finding]:
    """A chat has the tokenizer's opening once."""
    begin = list(opening(tokenizer))
    if not begin:
        return []
    (ids,) = tokenizer([render(_said(("user",)), tokenizer, answer=True)], add_special_tokens=False)["input_ids"]
    written, name = list(ids[: len(begin)]) == begin, opening_text(tokenizer)
    if written and list(ids[len(begin) : 2 * len(begin)]) == begin:
        return [
            Finding("template_opening", "refuse", f"the chat template writes {name} twice at its beginning", OWN_TEMPLATE)
        ]
    if written:
        return [Finding("template_opening", "ok", f"chats begin with {name}, once")]
    what = f"the chat template does not write {name}, with which the tokenizer begins texts: chats are given it here"
    return [
        Finding("template_opening", "warn", what, "write {{ bos_token }} at its beginning, so that servers give it as well")
    ]


def _boundary(tokenizer: Any, uses: Uses) -> list[Finding]:
    """An answer's last token is the same with the turn end behind it (training) and without (scoring)."""
    if not uses.scored:
        return []
    joined = []
    for option in OPTIONS:
        turn = turn_of([*_said(("user",)), {"role": "assistant", "content": option}], tokenizer)
        text = turn.before + turn.answer
        alone, whole = encode([text, text + turn.end], tokenizer)
        if whole.ids[: len(alone.ids)] != alone.ids:
            joined.append(option)
    if not joined:
        return []
    what = (
        f"the last token of answers such as {shown(joined[0])} joins the turn end: training sees another token than scoring"
    )
    return [Finding("template_boundary", "warn", what, "begin the turn end with a control token (eos_token)")]
