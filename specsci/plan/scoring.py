"""The steps that ask a study's models: what stands around questions, answers in words, verdicts of judges, scores."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from specsci.core.errors import InputFileError, UserError
from specsci.core.ids import file_sha256
from specsci.core.step import OUTSIDE, Step
from specsci.core.user_files import read_user_text
from specsci.plan.cost import CostModel
from specsci.plan.frames import Frames, variants_in
from specsci.plan.plan import Plan
from specsci.plan.texts import TextSteps
from specsci.plan.written import CHARACTERS_PER_TOKEN, cost_of, each
from specsci.recipe.memory import Shape
from specsci.sources.files import inside
from specsci.study.arms import Cell
from specsci.study.evals import EVALS, EvalConfig, EvalKind, Judging
from specsci.study.frame import ROLE as FRAME
from specsci.study.frame import frame_tokens
from specsci.study.harness import is_text_name
from specsci.study.parts import Replicate

Size = Callable[[Replicate], tuple[int | None, Shape | None]]
"""A replicate's base: parameters and shape, as far as they are known."""


class ScoreSteps:
    """Adds the steps that score a plan's models."""

    def __init__(self, plan: Plan, cost: CostModel, texts: TextSteps, size: Size) -> None:
        self.plan, self.cost, self.texts, self._size = plan, cost, texts, size
        self.loaded, self.study, self.family = plan.loaded, plan.loaded.study, plan.loaded.family
        self.frames = Frames(plan)
        self._judges: dict[str, list[Judging]] = {}
        self._read_tokens = {name: self._tokens_of(spec) for name, spec in self.study.evals.items()}

    def score(self, cell: Cell, name: str, model: str | None, data: dict[str, str], condition: str | None = None) -> str:
        """The step that scores a cell's model on an eval, under a condition of it; None for a bar's own models."""
        spec = self.study.evals[name]
        kind = EVALS[spec.kind]
        asked: dict[str, Any] = {"kind": spec.kind}
        if self.study.weight_format:
            asked["holding"] = self.study.weight_format
        inputs = {"base": data["base"], "tokenizer": data["tokenizer"]}
        if spec.items:
            inputs["items"] = data[f"items.{spec.items}"]
        if model:
            inputs["model"] = model
        align = self.plan.steps[model] if model else None
        if align is not None and "chain" in align.params:
            asked["chain"], inputs["below"] = align.params["chain"], align.inputs["model"]
        under = f" under {condition}" if condition else ""
        at = f"{cell.arm} at {cell.aft_tokens:,} tokens on {name}{under}, replicate {cell.replicate.seed}"
        read_tokens = self._read_tokens[name]
        if frame := self._frame(cell, condition):
            inputs[FRAME] = frame
            read_tokens += self._questions(name) * frame_tokens(self.plan.steps[frame].runtime["frame"])
        params = {**asked, **kind.identity(spec), **({"version": kind.version} if kind.version > 1 else {})}
        if kind.sampled:
            source = kind.answers_of(spec) or name  # the eval whose answers are read
            drawn, answers_at = EVALS[self.study.evals[source].kind], at.replace(f" on {name}", f" on {source}", 1)
            inputs["samples"] = self._sample(
                cell, source, drawn, {**asked, "kind": drawn.name}, inputs, f"answers of {answers_at}", self._read_tokens[source]
            )
            for judging in self._judging(name):
                inputs[judging.role] = self._judge(judging, cell, name, source, inputs, f"verdicts on {at}")
            step = Step(kind.step, params, inputs, f"score {at}", self.texts.family_runtime())
            return self.plan.add(self.cost.small(step))
        runtime = self.texts.family_runtime()
        if told := kind.told(spec):
            runtime["eval"] = told
        if files := self._outside(name, kind.outside(spec)):
            params["files"], runtime[OUTSIDE] = files, str(self.loaded.file.resolve().parent)
        if kind.elsewhere:
            brought = self._brought(name, kind, model or data["base"])
            if brought is None:
                return Step(kind.step, params, inputs, f"score {at}", runtime).digest  # not in the plan: it waits
            params, runtime = {**params, **brought}, {**runtime, OUTSIDE: str(self.loaded.file.resolve().parent)}
        step = Step(kind.step, params, inputs, f"score {at}", runtime)
        return self.plan.add(self.cost.read(step, read_tokens, self._size(cell.replicate)[0]))

    def _brought(self, name: str, kind: EvalKind, model: str) -> dict[str, Any] | None:
        """What identifies the scores that a model got elsewhere; a model without any waits."""
        try:
            found = kind.brought(self.study.evals[name], self.loaded.file.resolve().parent, model)
        except InputFileError:
            raise
        except UserError as error:
            raise self.loaded.problem(error, "evals", name, "scores") from error
        if found is None:
            self.plan.waiting.setdefault(name, set()).add(model)
        return found

    def _frame(self, cell: Cell, condition: str | None) -> str | None:
        """The step that holds what stands around the cell's questions; None where nothing does, as around those of a bar."""
        if condition is None:
            return None
        variants = variants_in(self.loaded, cell.arm, condition)
        specs = {v: self.texts.spec(v, cell.replicate) for v in variants}
        return self.frames.step(cell.arm, condition, self.texts.names(cell.replicate), specs, self.texts.family_runtime())

    def _judging(self, name: str) -> list[Judging]:
        """What language models are asked about an eval's answers, its texts read."""
        if name not in self._judges:
            spec = self.study.evals[name]

            def read(key: str, given: str, most_bytes: int) -> str:
                try:
                    if not is_text_name(given) and not given.endswith(".jsonl"):
                        return given
                    return read_user_text(inside(given, self.loaded.file.resolve().parent, "text file"), most_bytes, "shorten it")
                except UserError as error:
                    raise self.loaded.problem(error, "evals", name, key) from error

            try:
                self._judges[name] = EVALS[spec.kind].judging(spec, read)
            except InputFileError:
                raise
            except UserError as error:
                raise self.loaded.problem(error, "evals", name) from error
        return self._judges[name]

    def _judge(self, judging: Judging, cell: Cell, name: str, source: str, inputs: dict[str, str], label: str) -> str:
        """The step in which a language model judges one model's answers, those to the eval `source`."""
        settings, spec, answered = self.study.generators[judging.generator], self.study.evals[name], self.study.evals[source]
        asked: dict[str, str] = {role: inputs[role] for role in ("samples", "items") if role in inputs}
        if judging.spec:
            asked["spec"] = self.texts.spec(judging.spec, cell.replicate)
        params = {"kind": spec.kind, **judging.params, "generator": settings.identity()}
        told = self._told(judging.generator)
        questions = self._questions(name) * (EVALS[answered.kind].answers_to_each(answered) if source != name else 1)
        requests = math.ceil(questions * judging.requests) + int(judging.params.get("injections", 0))
        answer = judging.prompt_characters / CHARACTERS_PER_TOKEN + getattr(answered, "max_tokens", 0)
        step = Step("judge", params, asked, label, {"access": self.plan.access, "generator": told})
        return self.plan.add(replace(step, cost=cost_of(each(requests, answer, judging.reply_tokens), settings)))

    def _questions(self, name: str) -> int:
        """How many questions an eval asks of a model, every order for itself; 1 where it has no items."""
        if not self.study.evals[name].items:
            return 1
        items = self.family.items(self.study.evals[name].items)[: self.loaded.item_limit]
        return sum(2 if item.ordered else 1 for item in items)

    def _outside(self, name: str, files: list[str]) -> dict[str, str]:
        """Files beside the study that an eval takes, with their SHA-256."""
        found = {}
        for number, file in enumerate(files):
            try:
                found[file] = file_sha256(inside(file, self.loaded.file.resolve().parent, "file"))
            except UserError as error:
                raise self.loaded.problem(error, "evals", name, "files", number) from error
        return found

    def _sample(
        self, cell: Cell, name: str, kind: EvalKind, asked: dict[str, Any], inputs: dict[str, str], label: str, tokens: float
    ) -> str:
        """The step that draws a model's answers; how they are read is no part of it."""
        spec, runtime = self.study.evals[name], self.texts.family_runtime()
        params = {**asked, **kind.sampling(spec)}
        engine = self.study.engines.get(cell.replicate.base_model)
        if told := kind.told(spec):
            runtime["eval"] = told
        if engine is not None and "served" not in told:
            params["engine"], runtime["engine"] = "vllm", engine.model_dump()
        if files := self._outside(name, kind.outside(spec)):
            params["files"], runtime[OUTSIDE] = files, str(self.loaded.file.resolve().parent)
        requests, input_tokens, output_tokens = kind.requests(spec)
        generator = next(iter(kind.generators(spec).values()), "") if requests else ""
        if generator:
            settings = self.study.generators[generator]
            params["judge"], runtime["generator"] = settings.identity(), self._told(generator)
        step = self.cost.read(Step(kind.sample_step, params, dict(inputs), label, runtime), tokens, self._size(cell.replicate)[0])
        if generator:
            paid = cost_of(each(requests, input_tokens, output_tokens), self.study.generators[generator])
            step = replace(step, cost={**step.cost, **{key: value for key, value in paid.items() if key not in step.cost}})
        return self.plan.add(step)

    def _told(self, generator: str) -> dict[str, Any]:
        """What a step that asks a generator needs to find it; no part of its identity."""
        return {
            "name": generator, "study": self.study.study, "study_usd": self.study.gates.max_usd,
            "settings": self.study.generators[generator].model_dump(mode="json"),
        }  # fmt: skip

    def _tokens_of(self, spec: EvalConfig) -> float:
        return EVALS[spec.kind].read_tokens(spec, self.family.items_text(spec.items) if spec.items else "")
