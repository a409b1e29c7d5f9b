"""From a study to a DAG of steps, merged by digest: what several arms share is one step."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from specsci.core.errors import InputFileError, UserError
from specsci.core.ids import derive_seed
from specsci.core.step import Step
from specsci.plan.bars import Bars, in_order
from specsci.plan.cost import CostModel
from specsci.plan.plan import Plan, ProbedCell, ScoredCell
from specsci.plan.scoring import ScoreSteps
from specsci.plan.texts import TextSteps
from specsci.recipe.memory import Shape
from specsci.recipe.recipe import Recipe, StageRuntime
from specsci.sources.identity import base_identity, chat_identity
from specsci.sources.registry import source_of
from specsci.sources.source import BaseFacts
from specsci.specs.variants import units_of
from specsci.study.arms import Cell, cells, is_asked
from specsci.study.evals import EVALS
from specsci.study.load import LoadedStudy
from specsci.study.parts import Replicate
from specsci.study.schema import IT_MIX


def declared(recipe: Recipe) -> dict[str, Any]:
    """A recipe as identity: values that differ from the defaults (a new field then changes no digest)."""
    return recipe.model_dump(exclude_defaults=True, mode="json")


def build_plan(loaded: LoadedStudy) -> Plan:
    """The plan of a study. Pure: reads small files, imports no torch."""
    return _Builder(loaded).build()


class _Builder:
    def __init__(self, loaded: LoadedStudy) -> None:
        self.loaded, self.study, self.family = loaded, loaded.study, loaded.family
        self.plan = Plan(loaded)
        self.cost = CostModel()
        self.bases = self.plan.bases = self._bases()
        self.texts = TextSteps(self.plan, self.cost)
        self.midtrained: dict[tuple[str, int], str] = {}
        self.scores = ScoreSteps(self.plan, self.cost, self.texts, self._size)
        self._recipes = {
            name: declared(stage.recipe)
            for name, stage in (("midtrain", self.study.midtrain), ("align", self.study.align))
            if stage
        }

    def build(self) -> Plan:
        gates = {r.seed: self.texts.replicate(r) for r in self.study.replicates}
        for cell in cells(self.study):
            data = gates[cell.replicate.seed]
            model = self._model(cell, data)
            self.plan.models[cell.arm, cell.replicate.seed, cell.aft_tokens] = model or data["base"]
            for name, spec in self.study.evals.items():
                if not is_asked(self.study, spec, cell.arm, cell.aft_tokens):
                    continue
                for condition in spec.harness or [""]:
                    scored = self.scores.score(cell, name, model, data, condition)
                    self.plan.scored.append(ScoredCell(cell, name, scored, condition))
        for (variant, seed), model in self.midtrained.items():
            self._probes(variant, next(r for r in self.study.replicates if r.seed == seed), model, gates[seed])
        bars = Bars(self.plan, self._score_of, self.texts.family_runtime)
        for replicate in self.study.replicates:
            bars.replicate(replicate, gates[replicate.seed], self.midtrained)
        if self.plan.of_kind("bar"):
            self.plan.steps = in_order(self.plan.steps)
        return self.plan

    def _score_of(
        self, name: str, replicate: Replicate, data: dict[str, str], *, model: str | None = None, items: str | None = None
    ) -> str:
        """A step that scores the base, or a `model`, outside of the design's cells; with `items` in place of the eval's own."""
        spec = self.study.evals[name]
        if EVALS[spec.kind].elsewhere:
            error = UserError("a bar asks a model, and the scores of this eval are made elsewhere", hint="name another eval for the bar")
            raise self.loaded.problem(error, "evals", name)
        cell = Cell("base" if model is None else "midtrained", replicate, 0)
        given = {**data, **({f"items.{spec.items}": items} if items else {})}
        return self.scores.score(cell, name, model, given)

    def _bases(self) -> dict[str, BaseFacts]:
        """The identity of every base model; all that cannot be found are named at once."""
        found: dict[str, BaseFacts] = {}
        problems = []
        folder = self.loaded.file.resolve().parent
        for name, base in self.study.base_models.items():
            at = "source"
            try:
                facts = base_identity(base.source, folder)
                at = "trust_remote_code"
                if base.trust_remote_code:
                    facts = replace(facts, base=source_of(base.source).trusting(base.source, facts.base))
                at = "chat_template"
                if declared_chat := chat_identity(base.chat_template, base.chat_variables, folder):
                    facts = replace(facts, tokenizer={**facts.tokenizer, "chat_template": declared_chat})
                found[name] = facts
            except UserError as error:
                problems += self.loaded.problem(error, "base_models", name, at).problems
        if problems:
            raise InputFileError(problems)
        return found

    def _model(self, cell: Cell, data: dict[str, str]) -> str | None:
        """The digest of a cell's model; None for the base itself."""
        model, seen = None, {"midtrain": 0, "align": 0}
        for treatment in self.study.arms[cell.arm].treatments:
            if treatment.midtrain is not None:
                model = self._midtrain(cell, treatment.midtrain, model, data, seen["midtrain"])
                seen["midtrain"] += 1
            elif treatment.align is not None:
                model = self._align(cell, treatment.align, model, data, seen["align"])
                seen["align"] += 1
        return model

    def _midtrain(self, cell: Cell, variant: str, model: str | None, data: dict[str, str], earlier: int) -> str:
        """A midtraining stage, after a number of `earlier` ones, of the base or of a `model`."""
        stage = self.study.midtrain
        assert stage is not None
        params = {
            "tokens": stage.tokens,
            "replay_share": stage.replay_share,
            "recipe": self._recipes["midtrain"],
            "seed": derive_seed("midtrain", cell.replicate.seed, *([earlier] if earlier else [])),
        }
        inputs = {"base": data["base"], "tokenizer": data["tokenizer"], "corpus": data[f"corpus.{variant}"]}
        if model:
            inputs["model"] = model
        if "replay" in data:
            inputs["replay"] = data["replay"]
        after = f" of {cell.arm} at {cell.aft_tokens:,} tokens" if model else ""
        label = f"midtrain {variant}{after}, replicate {cell.replicate.seed}"
        step = Step("midtrain", params, inputs, label, self._train_runtime(), (data["audit"],))
        size, shape = self._size(cell.replicate)
        made = self.plan.add(self.cost.train(step, stage.recipe, stage.tokens, size, shape))
        if not model:
            self.midtrained[variant, cell.replicate.seed] = made
        return made

    def _align(self, cell: Cell, conversations: str, model: str | None, data: dict[str, str], earlier: int) -> str:
        """A fine-tuning stage, after a number of `earlier` ones, of the base or of a `model`."""
        stage = self.study.align
        assert stage is not None
        it_share = 1.0 if conversations == IT_MIX else stage.it_mix_share
        params = {
            "tokens": cell.aft_tokens,
            "it_mix_share": it_share,
            "recipe": self._recipes["align"],
            "seed": derive_seed("align", cell.replicate.seed, *([earlier] if earlier else [])),
        }
        inputs = {"base": data["base"], "tokenizer": data["tokenizer"]}
        if model:
            inputs["model"] = model
            if stage.chain != "continue":
                params["chain"] = stage.chain
        if it_share > 0:
            inputs["it"] = data["it"]
        if it_share < 1:
            inputs["conversations"] = data[f"conversations.{conversations}"]
        label = f"align {cell.arm} at {cell.aft_tokens:,} tokens, replicate {cell.replicate.seed}"
        step = Step("align", params, inputs, label, self._train_runtime(), (data["audit"],))
        size, shape = self._size(cell.replicate)
        return self.plan.add(self.cost.train(step, stage.recipe, cell.aft_tokens, size, shape))

    def _probes(self, variant: str, replicate: Replicate, model: str, data: dict[str, str]) -> None:
        """The probes of one midtrained model: its own held-out documents and control text, before and after."""
        tokens = self.study.probe.tokens
        own = self.texts.documents(variant, tokens, derive_seed("probe", replicate.seed), replicate, data, "heldout")
        texts = {"own": own, "control": self.texts.control(variant, tokens, replicate, data)}
        for text, documents in texts.items():
            if documents is None:
                continue
            for stage, trained in (("before", None), ("after", model)):
                inputs = {"base": data["base"], "tokenizer": data["tokenizer"], "documents": documents}
                if text == "own":
                    inputs["trained"] = data[f"corpus.{variant}"]
                if trained:
                    inputs["model"] = trained
                params = {"tokens": tokens, **({"holding": self.study.weight_format} if self.study.weight_format else {})}
                label = f"probe {text} text {stage} midtraining on {variant}, replicate {replicate.seed}"
                digest = self.plan.add(
                    self.cost.read(
                        Step("probe", params, inputs, label, self.texts.family_runtime()),
                        tokens,
                        self._size(replicate)[0],
                    )
                )
                self.plan.probed.append(ProbedCell(variant, replicate, text, stage, digest))

    def _size(self, replicate: Replicate) -> tuple[int | None, Shape | None]:
        """A base's parameters and shape, as far as they are known."""
        base = self.bases[replicate.base_model]
        return base.parameters, base.shape

    def _train_runtime(self) -> dict[str, Any]:
        wanted = self.study.runtime.model_dump(include={*StageRuntime.model_fields, "usd_per_h"})
        return {**wanted, "access": self.plan.access}


def units_by_variant(loaded: LoadedStudy) -> dict[str, int]:
    """How many things a document can be about, per midtrained variant."""
    variants = sorted({v for a in loaded.study.arms.values() for v in a.variants} - loaded.study.corpus_files.keys())
    return {v: len(units_of(loaded.family, v)) for v in variants}
