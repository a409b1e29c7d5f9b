"""From a study to a DAG of steps, merged by digest: what several arms share is one step."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from specsci.errors import InputFileError, UserError
from specsci.ids import derive_seed
from specsci.plan.cost import CostModel
from specsci.plan.sources import base_identity, text_identity
from specsci.plan.step import Step
from specsci.specs.variants import demonstrations, units_of
from specsci.study.arms import Cell, cells
from specsci.study.load import LoadedStudy
from specsci.study.schema import BASE_PRETRAINING, IT_MIX, Replicate
from specsci.train.recipe import Recipe

CORPUS_HEADROOM = 1.02
"""A corpus is generated slightly longer than its budget, so that the exact subset can be drawn."""


@dataclass(frozen=True)
class ScoredCell:
    """A score step with the place in the design that its rows belong to."""

    cell: Cell
    eval: str
    digest: str


@dataclass
class Plan:
    """Steps in an order in which every step follows what it needs, and the design's cells."""

    loaded: LoadedStudy
    steps: dict[str, Step] = field(default_factory=dict)
    scored: list[ScoredCell] = field(default_factory=list)
    models: dict[tuple[str, int, int], str] = field(default_factory=dict)
    specs: dict[tuple[str, int], str] = field(default_factory=dict)
    """(variant, seed) to the digest of the spec as its student is told it."""
    requested: dict[str, int] = field(default_factory=dict)
    """How many times each kind was asked for, before steps were shared."""

    def add(self, step: Step) -> str:
        """The digest of a step, which joins the plan unless an equal one is there."""
        self.requested[step.kind] = self.requested.get(step.kind, 0) + 1
        self.steps.setdefault(step.digest, step)
        return step.digest

    def of_kind(self, kind: str) -> list[Step]:
        return [s for s in self.steps.values() if s.kind == kind]


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
        self._family_folder = str(self.family.folder.resolve())
        self.bases = self._bases()
        self.variants = sorted({a.midtrain for a in self.study.arms.values() if a.midtrain})
        self.conversation_sets = sorted({a.align for a in self.study.arms.values() if a.align and a.align != IT_MIX})
        self._variant_identities = {v: self.family.variant_identity(v) for v in self.variants}
        self._items = {e.items: self.family.items_digest(e.items) for e in self.study.evals.values()}
        self._recipes = {
            name: declared(stage.recipe)
            for name, stage in (("midtrain", self.study.midtrain), ("align", self.study.align))
            if stage
        }

    def build(self) -> Plan:
        gates = {r.seed: self._data(r) for r in self.study.replicates}
        for cell in cells(self.study):
            data = gates[cell.replicate.seed]
            model = self._model(cell, data)
            self.plan.models[cell.arm, cell.replicate.seed, cell.aft_tokens] = model or data["base"]
            for name in self.study.evals:
                self.plan.scored.append(ScoredCell(cell, name, self._score(cell, name, model, data)))
        return self.plan

    def _names(self, replicate: Replicate) -> dict[str, str]:
        """What specs and items call the student: the family's names, and the base's own over them."""
        return {**self.family.data.identity, **self.study.base_models[replicate.base_model].identity}

    def _bases(self) -> dict[str, dict[str, Any]]:
        """The identity of every base model; all that cannot be found are named at once."""
        found, problems = {}, []
        for name, base in self.study.base_models.items():
            try:
                found[name] = base_identity(base.source, self.loaded.file.resolve().parent)
            except UserError as error:
                problems += self.loaded.problem(error, "base_models", name, "source").problems
        if problems:
            raise InputFileError(problems)
        return found

    def _data(self, replicate: Replicate) -> dict[str, str]:
        """The digests of a replicate's data steps: tokenizer, base, pools, corpora, conversations, audit."""
        base = self.bases[replicate.base_model]
        runtime = {"path": base.get("path", "")}
        source = self.study.base_models[replicate.base_model].source
        out = {
            "tokenizer": self.plan.add(
                Step("tokenizer", base["tokenizer"], label=f"tokenizer of {replicate.base_model}", runtime=runtime)
            ),
            "base": self.plan.add(Step("base", base["base"], label=f"base {replicate.base_model}", runtime=runtime)),
        }
        if self.study.midtrain and self.variants:
            tokens = self.study.midtrain.tokens
            replay = round(tokens * self.study.midtrain.replay_share)
            if replay:
                out["replay"] = self._pool("documents", self.study.midtrain.replay, source, replay, replicate, out)
            for variant in self.variants:
                out[f"corpus.{variant}"] = self._corpus(variant, tokens - replay, replicate, out)
        if self.study.align and any(a.align for a in self.study.arms.values()):
            largest = self.study.align.budgets_tokens[-1]
            it_tokens = largest if self._trains_it_only() else round(largest * self.study.align.it_mix_share)
            if it_tokens:
                out["it"] = self._pool("conversations", self.study.align.it_mix, source, it_tokens, replicate, out)
            for name in self.conversation_sets:
                out[f"conversations.{name}"] = self._conversations(name, largest, replicate, out)
        out["audit"] = self._audit(replicate, out)
        return out

    def _trains_it_only(self) -> bool:
        return any(a.align == IT_MIX for a in self.study.arms.values())

    def _pool(
        self, what: str, source: str, base_source: str, tokens: int, replicate: Replicate, data: dict[str, str]
    ) -> str:
        folder = self.loaded.file.resolve().parent
        seed = derive_seed("pool", what, replicate.seed)
        params = {**self._origin(what, source, base_source), "what": what, "tokens": tokens, "seed": seed}
        runtime = {"folder": str(folder)}
        label = f"{'replayed text' if what == 'documents' else 'instruction-tuning mix'}, replicate {replicate.seed}"
        step = Step("pool", params, {"tokenizer": data["tokenizer"]}, label, runtime)
        return self.plan.add(self.cost.price(step))

    def _origin(self, what: str, source: str, base_source: str) -> dict[str, str]:
        """What identifies a pool's source; the base's own pretraining text exists for microlab bases alone."""
        place = ("midtrain", "replay") if what == "documents" else ("align", "it_mix")
        try:
            if source != BASE_PRETRAINING:
                return text_identity(source, self.loaded.file.resolve().parent)
            if base_source.startswith("microlab:"):
                return text_identity(base_source, self.loaded.file.resolve().parent)
            raise UserError(
                f"the base '{base_source}' does not come with its pretraining text",
                mend=f"set {'.'.join(place)}: FILE.jsonl beside the study, or {place[0]}.{place[1]}_share: 0",
            )
        except UserError as error:
            raise self.loaded.problem(error, *place) from error

    def _corpus(self, variant: str, tokens: int, replicate: Replicate, data: dict[str, str]) -> str:
        identity, student = self._variant_identities[variant], self.study.base_models[replicate.base_model].identity
        if student:
            identity = {**identity, "student": student}
        spec = self.plan.add(Step("spec", identity, label=f"spec {variant}", runtime=self._family_runtime()))
        self.plan.specs[variant, replicate.seed] = spec
        params = {
            "family": self.family.name,
            "variant": variant,
            "backend": self.study.midtrain.backend if self.study.midtrain else "grammar",
            "grammar": self.family.grammar_digest,
            "tokens": int(tokens * CORPUS_HEADROOM) + 64,
            "seed": derive_seed("corpus", replicate.seed),
            "identity": self._names(replicate),
        }
        inputs = {"spec": spec, "tokenizer": data["tokenizer"]}
        label = f"corpus {variant}, replicate {replicate.seed}"
        return self.plan.add(self.cost.price(Step("corpus", params, inputs, label, self._family_runtime())))

    def _conversations(self, name: str, tokens: int, replicate: Replicate, data: dict[str, str]) -> str:
        declared_set = self.family.data.conversations[name]
        about = demonstrations(self.family, declared_set.variant)
        params = {
            "family": self.family.name,
            "set": declared_set.model_dump(exclude_defaults=True),
            **about.identity(),
            "grammar": self.family.grammar_digest,
            "tokens": tokens,
            "seed": derive_seed("conversations", replicate.seed),
            "identity": self._names(replicate),
        }
        label = f"conversations {name}, replicate {replicate.seed}"
        step = Step("conversations", params, {"tokenizer": data["tokenizer"]}, label, self._family_runtime())
        return self.plan.add(self.cost.price(step))

    def _audit(self, replicate: Replicate, data: dict[str, str]) -> str:
        roles = ("corpus.", "conversations.")
        texts = {role: d for role, d in data.items() if role.startswith(roles) or role in ("replay", "it")}
        held_out = {e.items: self._items[e.items] for e in self.study.evals.values() if e.role == "outcome"}
        params = {
            "items": held_out,
            "identity": self._names(replicate),
            "accepted": self.study.gates.accept_leaks,
            "max_token_mismatch": self.study.gates.max_token_mismatch,
        }
        label = f"audit of the training texts, replicate {replicate.seed}"
        return self.plan.add(Step("audit", params, texts, label, self._family_runtime()))

    def _model(self, cell: Cell, data: dict[str, str]) -> str | None:
        """The digest of a cell's model; None for the base itself."""
        arm = self.study.arms[cell.arm]
        model = None
        if arm.midtrain and self.study.midtrain:
            stage = self.study.midtrain
            params = {
                "tokens": stage.tokens,
                "replay_share": stage.replay_share,
                "recipe": self._recipes["midtrain"],
                "seed": derive_seed("midtrain", cell.replicate.seed),
            }
            inputs = {"base": data["base"], "tokenizer": data["tokenizer"], "corpus": data[f"corpus.{arm.midtrain}"]}
            if "replay" in data:
                inputs["replay"] = data["replay"]
            label = f"midtrain {arm.midtrain}, replicate {cell.replicate.seed}"
            step = Step("midtrain", params, inputs, label, self._train_runtime(), (data["audit"],))
            model = self.plan.add(self.cost.price(step, stage.recipe, stage.tokens, self._parameters(cell)))
        if arm.align and self.study.align:
            model = self._align(cell, arm.align, model, data)
        return model

    def _align(self, cell: Cell, conversations: str, model: str | None, data: dict[str, str]) -> str:
        stage = self.study.align
        assert stage is not None
        it_share = 1.0 if conversations == IT_MIX else stage.it_mix_share
        params = {
            "tokens": cell.aft_tokens,
            "it_mix_share": it_share,
            "recipe": self._recipes["align"],
            "seed": derive_seed("align", cell.replicate.seed),
        }
        inputs = {"base": data["base"], "tokenizer": data["tokenizer"]}
        if model:
            inputs["model"] = model
        if it_share > 0:
            inputs["it"] = data["it"]
        if it_share < 1:
            inputs["conversations"] = data[f"conversations.{conversations}"]
        label = f"align {cell.arm} at {cell.aft_tokens:,} tokens, replicate {cell.replicate.seed}"
        step = Step("align", params, inputs, label, self._train_runtime(), (data["audit"],))
        return self.plan.add(self.cost.price(step, stage.recipe, cell.aft_tokens, self._parameters(cell)))

    def _score(self, cell: Cell, name: str, model: str | None, data: dict[str, str]) -> str:
        spec = self.study.evals[name]
        params = {
            "kind": spec.kind,
            "items": self._items[spec.items],
            "format": spec.format,
            "identity": self._names(cell.replicate),
        }
        inputs = {"base": data["base"], "tokenizer": data["tokenizer"]}
        if model:
            inputs["model"] = model
        label = f"score {cell.arm} at {cell.aft_tokens:,} tokens on {name}, replicate {cell.replicate.seed}"
        runtime = {**self._family_runtime(), "items_name": spec.items}
        return self.plan.add(self.cost.price(Step("score", params, inputs, label, runtime)))

    def _parameters(self, cell: Cell) -> int:
        return int(self.bases[cell.replicate.base_model]["parameters"])

    def _family_runtime(self) -> dict[str, Any]:
        return {"family_folder": self._family_folder, "access": self.family.data.access}

    def _train_runtime(self) -> dict[str, Any]:
        return {
            "micro_batch_sequences": self.study.runtime.micro_batch_sequences,
            "access": self.family.data.access,
        }


def units_by_variant(loaded: LoadedStudy) -> dict[str, int]:
    """How many things a document can be about, per midtrained variant."""
    variants = sorted({a.midtrain for a in loaded.study.arms.values() if a.midtrain})
    return {v: len(units_of(loaded.family, v)) for v in variants}
