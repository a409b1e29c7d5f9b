"""What eval kinds share that draw answers in the model's own words: the questions, how answers are drawn, and the longest prompt."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field
from typing_extensions import override

from specsci.core.context import StepContext
from specsci.evals.estimates import item_tokens
from specsci.specs.item_rows import read_item_rows
from specsci.study.evals import EvalConfig, EvalKind
from specsci.study.frame import Frame
from specsci.study.harness import TEXT


class OpenInWords(EvalConfig):
    """How open questions are put, and how their answers are drawn."""

    format: Literal["chat", "text"] = Field(
        default="chat", description="Ask in a turn of the chat template, or as plain text that the model goes on with."
    )
    until: list[Annotated[str, Field(min_length=1)]] = Field(
        default_factory=list, description="Texts that end an answer, such as a full stop where `format` is text; the first one counts."
    )
    samples: int = Field(default=1, ge=1, le=1000, description="The answers to every question.")
    max_tokens: int = Field(default=256, ge=1, le=32_768, description="The most tokens of an answer, its reasoning included.")
    temperature: float = Field(default=0.0, ge=0, le=2, description="The sampling temperature; 0 takes the most probable token.")
    top_p: float = Field(default=1.0, gt=0, le=1, description="The share of the probability that tokens are drawn from.")


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


class OpenAnswersInWords(AnswersInWords):
    """A kind whose settings are an `OpenInWords`: open questions, or choices in both orders."""

    asks = frozenset({"questions", "choices"})

    @override
    def sampling(self, config: Any) -> dict[str, Any]:
        ends = {"until": list(config.until)} if config.until else {}
        return {**super().sampling(config), "format": config.format, **ends}

    @override
    def read_tokens(self, config: Any, items_text: str) -> float:
        """Every question read once and answered as often as samples are drawn."""
        questions = item_tokens(items_text)
        return float(config.samples * (sum(questions) + len(questions) * config.max_tokens))
