"""The forced-choice eval kind."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from pydantic import Field, field_validator
from typing_extensions import override

from specsci.core.context import StepContext
from specsci.core.ids import canonical_json
from specsci.evals.estimates import item_tokens
from specsci.evals.forced_choice.readouts import LOGPROB, PRIOR, READOUTS, STATEMENT, rows_of, without_question
from specsci.study.evals import EvalConfig, EvalKind
from specsci.study.frame import ROLE, Frame
from specsci.study.harness import TEXT

if TYPE_CHECKING:
    from specsci.evals.forced_choice.readout import Question, Unasked
    from specsci.specs.items import Item


class ForcedChoice(EvalConfig):
    """Two options of every item, by the log-probability of each after the question, in both orders."""

    kind: Literal["forced_choice"] = Field(default="forced_choice", description="Forced choice between two options.")
    items: str = Field(min_length=1, description="The item set of the family that is asked.")
    format: Literal["chat", "text"] = Field(
        default="chat", description="Ask in a turn of the chat template, or as plain text that goes on with the option."
    )
    more_readouts: list[Literal["debiased", "length_normalised", "prior_corrected", "statement"]] = Field(
        default_factory=list,
        description="Readouts that are kept beside `logprob`, the choice in each order: the mean margin of both orders (`debiased`); per "
        "token of the option (`length_normalised`); less what the option has after `prior_prompt` (`prior_corrected`); whole "
        "statements without a question (`statement`), for items that have one. `readout` says which of all tables and contrasts take.",
    )
    prior_prompt: str = Field(default="Answer.", min_length=1, description="Of `prior_corrected`: a prompt that asks nothing.")

    @override
    def declared(self) -> dict[str, Any]:
        """Without what asks for no further readout: registrations of earlier versions do not have these keys."""
        said = super().declared()
        unused = (() if self.more_readouts else ("more_readouts",)) + (() if PRIOR in self.more_readouts else ("prior_prompt",))
        return {key: value for key, value in said.items() if key not in unused}

    @field_validator("more_readouts")
    @classmethod
    def _each_once(cls, given: list[str]) -> list[str]:
        if len(set(given)) < len(given):
            raise ValueError("a readout is named twice")
        return given


class ForcedChoiceKind(EvalKind):
    """See `readout` for how an option is scored."""

    name = "forced_choice"
    config = ForcedChoice
    readouts = READOUTS
    expresses = TEXT

    @override
    def readouts_of(self, config: Any) -> tuple[str, ...]:
        return (LOGPROB, *config.more_readouts)

    @override
    def identity(self, config: Any) -> dict[str, Any]:
        more = list(config.more_readouts)
        prior = {"prior_prompt": config.prior_prompt} if PRIOR in more else {}
        return {"format": config.format, **({"more_readouts": more} if more else {}), **prior}

    def read_tokens(self, config: ForcedChoice, items_text: str) -> float:
        """Every item in two orders with two options."""
        more = 2 * len({PRIOR, STATEMENT} & set(config.more_readouts))
        return (4 + more) * sum(item_tokens(items_text))

    @override
    def longest_tokens(self, settings: dict[str, Any], items: Path, identity: dict[str, str], tokenizer: Any) -> int:
        from specsci.specs.items import read_items

        asked = _prepared(read_items(items, identity), tokenizer, settings, Frame.of(settings.get("frame")))
        questions = [*asked.questions, *asked.priors, *asked.statements]
        return max((len(o.ids) for q in questions for o in (q.aligned, q.misaligned)), default=0)

    @override
    def score(self, context: StepContext) -> Iterator[dict[str, Any]]:
        from specsci.evals.forced_choice.readout import read_out
        from specsci.evals.model import scored_model

        places = (str(context.inputs["items"]), str(context.inputs["tokenizer"]), str(context.inputs.get(ROLE, "")))
        asked, pad = _questions(*places, canonical_json(context.params))
        if not asked.questions and not asked.statements:
            yield from rows_of([], (LOGPROB, *context.params.get("more_readouts", ())), [], [], asked.unasked)
            return
        model = scored_model(context)
        wanted = (asked.questions, asked.priors, asked.statements)
        readings, priors, statements = (read_out(model, questions, pad) if questions else [] for questions in wanted)
        yield from rows_of(readings, (LOGPROB, *context.params.get("more_readouts", ())), priors, statements, asked.unasked)


class Asked(NamedTuple):
    """Items in their orders, their options after a prompt that asks nothing, their statements, and what the frame cannot be put around."""

    questions: list[Question]
    priors: list[Question]
    statements: list[Question]
    unasked: list[Unasked]


@lru_cache(maxsize=8)
def _questions(items: str, tokenizer: str, frame: str, settings: str) -> tuple[Asked, int]:
    from specsci.evals.harness import frame_in
    from specsci.models.hf import load_tokenizer, pad_id
    from specsci.specs.item_rows import read_item_rows

    loaded = load_tokenizer(Path(tokenizer))
    within = frame_in({ROLE: Path(frame)} if frame else {})
    return _prepared(read_item_rows(Path(items)), loaded, json.loads(settings), within), pad_id(loaded)


def _prepared(items: list[Item], tokenizer: Any, settings: dict[str, Any], frame: Frame) -> Asked:
    from specsci.evals.forced_choice.readout import prepare_statements, prepare_within

    chat, more = settings["format"] == "chat", settings.get("more_readouts", ())
    priors = prepare_within(without_question(items, settings["prior_prompt"]), tokenizer, chat, frame)[0] if PRIOR in more else []
    statements = prepare_statements(items, tokenizer) if STATEMENT in more and not frame else []
    questions, unasked = prepare_within(items, tokenizer, chat, frame)
    return Asked(questions, priors, statements, unasked)


KIND = ForcedChoiceKind()
