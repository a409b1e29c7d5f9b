"""What eval kinds share that draw answers in the model's own words: the questions, how answers are drawn, and the longest prompt."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from typing_extensions import override

from specsci.core.context import StepContext
from specsci.specs.item_rows import read_item_rows
from specsci.study.evals import EvalKind
from specsci.study.frame import Frame
from specsci.study.harness import TEXT


class AnswersInWords(EvalKind):
    """A kind whose answers are sampled in a step of their own from an item set; `samples`, `max_tokens` and the like are its settings."""

    sampled = True
    expresses = TEXT

    @override
    def sampling(self, config: Any) -> dict[str, Any]:
        drawn = {"temperature": config.temperature, "top_p": config.top_p} if config.temperature else {"temperature": 0.0}
        return {"samples": config.samples, "max_tokens": config.max_tokens, **drawn}

    @override
    def longest_tokens(self, settings: dict[str, Any], items: Path, identity: dict[str, str], tokenizer: Any) -> int:
        from specsci.evals.sampling import prompt_ids
        from specsci.specs.items import read_items

        asked = [question for item in read_items(items, identity) for _, question in item.questions()]
        prompts = prompt_ids(asked, tokenizer, Frame.of(settings.get("frame")), chat=self.in_chats(settings))
        return max((len(p) for p in prompts if p is not None), default=0) + int(settings.get("max_tokens", 0))

    @override
    def sample(self, context: StepContext) -> Iterator[dict[str, Any]]:
        from specsci.evals.sampling import answers, asked_of

        yield from answers(context, asked_of(read_item_rows(context.inputs["items"]), context.params["samples"]))
