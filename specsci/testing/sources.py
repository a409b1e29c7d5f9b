"""The conformance suite of model sources.

class TestMine(ModelSourceSuite):
    source, name = MySource(), "mine:a-model"
"""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from specsci.core.ids import digest
from specsci.core.user_files import unhidden
from specsci.models.hf import MODEL, TOKENIZER, load_tokenizer, load_weights
from specsci.models.steps import run_base, run_tokenizer
from specsci.sources.registry import source_of
from specsci.sources.source import ModelSource
from specsci.testing.steps import context_of


class ModelSourceSuite:
    """What a plan and a run rest on, wherever bases come from.

    Attributes:
        source: the one under test, registered.
        name: a base that it has, as a study names it.
    """

    source: ClassVar[ModelSource]
    name: ClassVar[str]

    def test_its_names_are_its_own(self) -> None:
        assert self.name.startswith(self.source.prefix)
        assert source_of(self.name) is self.source, "the registry finds it by the prefix"

    def test_a_plan_knows_a_base_without_loading_it(self, tmp_path: Path) -> None:
        first, again = (self.source.facts(self.name, tmp_path) for _ in range(2))
        assert digest(first.base) == digest(again.base) and digest(first.tokenizer) == digest(again.tokenizer)
        assert first.parameters is None or first.parameters > 0
        assert self.source.made(first.base) and self.source.made(first.tokenizer), "its steps know that they are its own"
        assert self.source.pinned(self.source.pin(self.name)) or not self.source.pinned(self.name)

    def test_its_steps_write_a_model_that_loads_and_reads_its_own_tokens(self, tmp_path: Path) -> None:
        facts = self.source.facts(self.name, tmp_path)
        outside = str(facts.path) if facts.path else ""
        base = context_of("base", facts.base, tmp_path / "base", outside=outside)
        said = run_base(base)
        assert unhidden(base.out / MODEL, "*.safetensors"), "weights are safetensors"
        assert {"examination", "packs"} <= said.keys(), "a base says how it may be trained"
        tokenizer = context_of("tokenizer", facts.tokenizer, tmp_path / "tokenizer", outside=outside)
        run_tokenizer(tokenizer)
        assert (tokenizer.out / TOKENIZER / "tokenizer.json").is_file()
        model, words = load_weights(base.out / MODEL), load_tokenizer(tokenizer.out)
        rows = words("one two three", return_tensors="pt")["input_ids"]
        assert model(rows).logits.shape == (*rows.shape, model.config.vocab_size)
        assert len(words) <= model.get_input_embeddings().num_embeddings
