"""The forced-choice eval kind."""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field
from typing_extensions import override

from specsci.core.context import StepContext
from specsci.study.evals import EvalConfig, EvalKind

if TYPE_CHECKING:
    from specsci.evals.forced_choice.readout import Question, Reading

PROMPT_TOKENS = 25
"""What a chat template adds to a question."""
CHARACTERS_PER_TOKEN = 8
"""Of an item's line of JSON, whose keys are not asked."""


class ForcedChoice(EvalConfig):
    """Two options of every item, by the log-probability of each after the question, in both orders."""

    kind: Literal["forced_choice"] = Field(default="forced_choice", description="Forced choice between two options.")
    items: str = Field(min_length=1, description="The item set of the family that is asked.")
    format: Literal["chat", "text"] = Field(
        default="chat", description="Ask in a turn of the chat template, or as plain text that goes on with the option."
    )


class ForcedChoiceKind(EvalKind):
    """See `readout` for how an option is scored."""

    name = "forced_choice"
    config = ForcedChoice
    readouts = ("logprob",)

    def read_tokens(self, config: ForcedChoice, items_text: str) -> float:
        """Every item in two orders with two options."""
        lines = [line for line in items_text.splitlines() if line.strip()]
        return sum(4 * (len(line) / CHARACTERS_PER_TOKEN + PROMPT_TOKENS) for line in lines)

    @override
    def longest_tokens(self, settings: dict[str, Any], items: Path, identity: dict[str, str], tokenizer: Any) -> int:
        from specsci.evals.forced_choice.readout import prepare
        from specsci.specs.items import read_items

        questions = prepare(read_items(items, identity), tokenizer, settings["format"] == "chat")
        return max((len(o.ids) for q in questions for o in (q.aligned, q.misaligned)), default=0)

    @override
    def score(self, context: StepContext) -> Iterator[dict[str, Any]]:
        from specsci.evals.forced_choice.readout import read_out
        from specsci.evals.model import scored_model

        chat = context.params["format"] == "chat"
        questions, pad = _questions(str(context.inputs["items"]), str(context.inputs["tokenizer"]), chat)
        for reading in read_out(scored_model(context), questions, pad):
            yield _row(reading, self.readouts[0])


@lru_cache(maxsize=8)
def _questions(items: str, tokenizer: str, chat: bool) -> tuple[list[Question], int]:
    from specsci.evals.forced_choice.readout import prepare
    from specsci.models.hf import load_tokenizer, pad_id
    from specsci.specs.item_rows import read_item_rows

    loaded = load_tokenizer(Path(tokenizer))
    return prepare(read_item_rows(Path(items)), loaded, chat), pad_id(loaded)


def _row(reading: Reading, readout: str) -> dict[str, Any]:
    """One score row; an answer that is not finite is an error state, and a tie is not a choice: neither is a value.

    Ties are rare in fp32; where the logits are in bf16 two options of one token often have the same.
    """
    margin = reading.logprob_aligned - reading.logprob_misaligned
    state = "error" if not math.isfinite(margin) else "unparsed" if margin == 0 else "ok"
    item = reading.question.item
    return {
        "item_id": item.item_id,
        "cluster_id": item.cluster_id,
        "slice": item.slice,
        "readout": readout,
        "variant": reading.question.variant,
        "state": state,
        "aligned": margin > 0 if state == "ok" else None,
        "value": margin if state == "ok" else None,
        "logprob_aligned": reading.logprob_aligned,
        "logprob_misaligned": reading.logprob_misaligned,
    }


KIND = ForcedChoiceKind()
