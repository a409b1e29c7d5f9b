"""A model source: untrained weights by their seed, in the words of the toy world."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from specsci.core.context import Facts, StepContext
from specsci.core.errors import UserError
from specsci.microlab.worlds import WORLDS
from specsci.sources.source import BaseFacts, ModelSource

PREFIX = "blank:"


class Blank(ModelSource):
    """`blank:SEED`."""

    prefix = PREFIX
    example = "blank:SEED"
    disclaimer = "A blank model has learnt nothing before midtraining."

    def facts(self, name: str, study_folder: Path) -> BaseFacts:
        seed = name.removeprefix(PREFIX)
        if not seed.isdigit():
            raise UserError(f"'{name}' names no seed", hint="write blank:7")
        return BaseFacts(base={"blank": int(seed)}, tokenizer={"blank": "words"}, parameters=700_000, fetched_later=True)

    def made(self, params: dict[str, Any]) -> bool:
        return "blank" in params

    def write_base(self, context: StepContext, target: Path) -> Facts:
        from specsci.microlab.pretrain import new_model

        tokenizer = WORLDS["conduct"].tokenizer()
        new_model(tokenizer, context.params["blank"]).save_pretrained(target)
        tokenizer.save_pretrained(target)
        return {}

    def write_tokenizer(self, context: StepContext, target: Path) -> None:
        WORLDS["conduct"].tokenizer().save_pretrained(target)


SOURCE = Blank()
