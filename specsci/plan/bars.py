"""Bars: what a model must show before more is paid for. A bar is a step that refuses where a score is below what the study declares.

The base must misbehave before a language model writes; a corpus must help in the student's context before midtraining; a midtrained
model must know its spec before fine-tuning.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

from specsci.core.kinds import KINDS
from specsci.core.step import Step
from specsci.plan.plan import Plan
from specsci.study.parts import Replicate

Score = Callable[..., str]
"""Adds the step that scores a model (None for the base) of a replicate on an eval, its items given; returns its digest."""


class Bars:
    """Adds a plan's bars, and has the steps that they guard wait for them."""

    def __init__(self, plan: Plan, score: Score, runtime: Callable[[], dict[str, Any]]) -> None:
        self.plan, self.score, self.runtime = plan, score, runtime
        self.gates = plan.loaded.study.gates

    def replicate(self, replicate: Replicate, data: dict[str, str], midtrained: dict[tuple[str, int], str]) -> None:
        """The bars of one replicate.

        Args:
            data: its data steps by role.
            midtrained: models by variant and seed.
        """
        if (base := self.gates.base_must_misbehave) is not None:
            params = {"what": "base_must_misbehave", "least_misaligned": base.misaligned}
            bar = self._bar(f"the base misbehaves on {base.eval}", params, {"score": self.score(base.eval, replicate, data)}, replicate)
            self._guard(bar, (d for d, s in self.plan.steps.items() if KINDS[s.kind].asks and not KINDS[s.kind].of_eval))
        if (oracle := self.gates.in_context_oracle) is not None:
            alone = self.score(oracle.eval, replicate, data)
            for role in [r for r in data if r.startswith("corpus.") and (r[7:] in oracle.variants or not oracle.variants)]:
                shown = self._in_context(oracle.eval, oracle.words, role, data)
                inputs = {"score": self.score(oracle.eval, replicate, data, items=shown), "alone": alone}
                params = {"what": "in_context_oracle", "least_gain": oracle.gain}
                bar = self._bar(f"documents of {role[7:]} in context help on {oracle.eval}", params, inputs, replicate)
                self._guard(bar, self._using("midtrain", data[role]))
        if (recall := self.gates.spec_recall) is not None:
            for (variant, seed), model in midtrained.items():
                if seed != replicate.seed or (recall.variants and variant not in recall.variants):
                    continue
                params = {"what": "spec_recall", "least_aligned": recall.aligned}
                inputs = {"score": self.score(recall.eval, replicate, data, model=model)}
                bar = self._bar(f"the model midtrained on {variant} knows its spec by {recall.eval}", params, inputs, replicate)
                self._guard(bar, self._using("align", model))

    def _bar(self, what: str, params: dict[str, Any], inputs: dict[str, str], replicate: Replicate) -> str:
        return self.plan.add(Step("bar", params, inputs, f"bar: {what}, replicate {replicate.seed}", self.runtime()))

    def _in_context(self, eval_name: str, words: int, role: str, data: dict[str, str]) -> str:
        """A step that puts documents of a corpus before an eval's questions."""
        name = self.plan.loaded.study.evals[eval_name].items
        inputs = {"items": data[f"items.{name}"], "corpus": data[role]}
        label = f"items {name} with documents of {role[7:]} before them"
        return self.plan.add(Step("context_items", {"words": words}, inputs, label, self.runtime()))

    def _using(self, kind: str, digest: str) -> list[str]:
        return [d for d, s in self.plan.steps.items() if s.kind == kind and digest in s.inputs.values()]

    def _guard(self, bar: str, guarded: Iterable[str]) -> None:
        """Have steps wait for a bar."""
        for digest in list(guarded):
            step = self.plan.steps[digest]
            if bar not in step.after:
                self.plan.steps[digest] = replace(step, after=(*step.after, bar))


def in_order(steps: dict[str, Step]) -> dict[str, Step]:
    """Steps so that every one follows what it needs, otherwise in their order."""
    out: dict[str, Step] = {}

    def place(digest: str) -> None:
        stack = [(digest, iter(sorted(steps[digest].needs)))]
        while stack:
            current, needs = stack[-1]
            missing = next((n for n in needs if n not in out), None)
            if missing is None:
                out[current] = steps[current]
                stack.pop()
            else:
                stack.append((missing, iter(sorted(steps[missing].needs))))

    for digest in steps:
        if digest not in out:
            place(digest)
    return out
