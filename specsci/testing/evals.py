"""The conformance suite of eval kinds.

class TestMine(EvalKindSuite):
    kind = MyKind()
    settings = {"kind": "mine", "items": "held_out"}
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import pyarrow.parquet as pq
import pytest

from specsci.core.context import StepContext
from specsci.core.ids import digest
from specsci.core.kinds import KINDS
from specsci.core.shipped import find_family
from specsci.evals.rows import ROWS, SCORES, STATES
from specsci.models.steps import run_base, run_tokenizer
from specsci.sources.registry import source_of
from specsci.specs.item_rows import write_item_rows
from specsci.specs.items import read_items
from specsci.specs.load import load_family
from specsci.study.evals import EVALS, EvalConfig, EvalKind, of_kind
from specsci.testing.steps import context_of

ITEMS = 6


class EvalKindSuite:
    """What tables and contrasts rest on, however a model is asked.

    Attributes:
        kind: the one under test, registered.
        settings: an eval of the kind, as a study writes it.
        family: where its items come from.
        base: the model that is asked.
    """

    kind: ClassVar[EvalKind]
    settings: ClassVar[dict[str, Any]]
    family: ClassVar[str] = "microlab_conduct"
    base: ClassVar[str] = "microlab:conduct/1"

    @pytest.fixture(scope="class")
    def asked(self, tmp_path_factory: pytest.TempPathFactory) -> Iterator[StepContext]:
        """A score step of a real base, run."""
        folder = tmp_path_factory.mktemp("eval")
        facts, config = source_of(self.base).facts(self.base, folder), self._config()
        base = context_of("base", facts.base, folder / "base")
        tokenizer = context_of("tokenizer", facts.tokenizer, folder / "tokenizer")
        run_base(base)
        run_tokenizer(tokenizer)
        inputs = {"base": base.out, "tokenizer": tokenizer.out}
        if config.items:
            family = load_family(find_family(self.family))
            inputs["items"] = folder / "items"
            inputs["items"].mkdir()
            write_item_rows(inputs["items"], read_items(family.items_file(config.items), family.data.identity)[:ITEMS])
        if self.kind.sampled:
            drawn = context_of("sample", {"kind": self.kind.name, **self.kind.sampling(config)}, folder / "samples", inputs)
            KINDS["sample"].load_action()(drawn)
            inputs["samples"] = drawn.out
        params = {"kind": self.kind.name, **self.kind.identity(config)}
        context = context_of(self.kind.step, params, folder / "score", inputs)
        KINDS[self.kind.step].load_action()(context)
        yield context

    def _config(self) -> EvalConfig:
        found = of_kind(dict(self.settings))
        assert isinstance(found, EvalConfig)
        return found

    def test_it_is_registered_and_its_settings_are_its_own(self) -> None:
        assert EVALS[self.kind.name] is self.kind and self.kind.readouts
        assert isinstance(self._config(), self.kind.config)
        assert all(f.description for f in self.kind.config.model_fields.values()), "every field is described"

    def test_its_identity_is_plain_values_and_no_name_of_the_study(self) -> None:
        config = self._config()
        found = self.kind.identity(config)
        assert digest(found) == digest(self.kind.identity(config))
        other = of_kind({**self.settings, "role": "trained"})
        assert self.kind.identity(other) == found, "what an eval is for decides no score"

    def test_its_rows_are_answers_or_say_why_there_is_none(self, asked: StepContext) -> None:
        table = pq.read_table(asked.out / SCORES)
        assert table.schema.equals(ROWS)
        rows = table.to_pylist()
        assert rows and {r["readout"] for r in rows} <= set(self.kind.readouts)
        assert {r["state"] for r in rows} <= set(STATES)
        keys = [(r["item_id"], r["readout"], r["variant"], r["sample"]) for r in rows]
        assert len(set(keys)) == len(keys), "no question has two answers"
        answer = "aligned" if self.kind.outcome_of(self._config()) == "binary" else "value"
        assert all((r[answer] is not None) == (r["state"] == "ok") for r in rows)

    def test_the_same_model_gives_the_same_answers(self, asked: StepContext, tmp_path: Path) -> None:
        again = context_of(asked.kind, asked.params, tmp_path, asked.inputs)
        KINDS[self.kind.step].load_action()(again)
        first, second = (pq.read_table(c.out / SCORES).to_pylist() for c in (asked, again))
        assert first == second

    def test_estimates_grow_with_the_items(self) -> None:
        config = self._config()
        family = load_family(find_family(self.family))
        text = family.items_text(config.items) if config.items else ""
        assert self.kind.read_tokens(config, text) > 0
        assert self.kind.read_tokens(config, text * 2) >= self.kind.read_tokens(config, text)
