"""From a study to a DAG of steps, merged by digest: what several arms share is one step."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from specsci.errors import InputFileError, UserError
from specsci.ids import derive_seed
from specsci.plan.cost import CostModel, question_tokens
from specsci.plan.sources import base_identity, chat_identity, text_identity
from specsci.plan.step import Step
from specsci.specs.variants import demonstrations, units_of
from specsci.study.arms import Cell, cells
from specsci.study.load import LoadedStudy
from specsci.study.schema import BASE_PRETRAINING, IT_MIX, Replicate
from specsci.train.recipe import Recipe

NEUTRAL = "neutral"
"""The variant that states no spec: its documents are the probe's control where there is no other text."""
DOCUMENTS = {"corpus": "corpus", "heldout": "held-out documents", "control": "control documents"}
"""Kinds of steps that hold documents, and what they are called."""
CORPUS_HEADROOM = 1.02
"""A corpus is generated slightly longer than its budget, so that the exact subset can be drawn."""


@dataclass(frozen=True)
class Pool:
    """A use of text that no spec made: the step's kind, what its rows are, its seed's name, and its key in the study."""

    kind: str
    what: str
    draw: str
    place: tuple[str, str]
    title: str


POOLS = {
    "replay": Pool("pool", "documents", "documents", ("midtrain", "replay"), "replayed text"),
    "it": Pool("pool", "conversations", "conversations", ("align", "it_mix"), "instruction-tuning mix"),
    "control": Pool("control", "documents", "control", ("probe", "control"), "control text"),
}


@dataclass(frozen=True)
class ScoredCell:
    """A score step with the place in the design that its rows belong to."""

    cell: Cell
    eval: str
    digest: str


@dataclass(frozen=True)
class ProbedCell:
    """A probe step: which text a model reads, and whether it is the base (`before`) or midtrained (`after`)."""

    variant: str
    replicate: Replicate
    text: str
    stage: str
    digest: str


@dataclass
class Plan:
    """Steps in an order in which every step follows what it needs, and the design's cells."""

    loaded: LoadedStudy
    steps: dict[str, Step] = field(default_factory=dict)
    scored: list[ScoredCell] = field(default_factory=list)
    probed: list[ProbedCell] = field(default_factory=list)
    models: dict[tuple[str, int, int], str] = field(default_factory=dict)
    specs: dict[tuple[str, int], str] = field(default_factory=dict)
    """(variant, seed) to the digest of the spec as its student is told it."""
    bases: dict[str, dict[str, Any]] = field(default_factory=dict)
    """What is known of every base model: its identity, its number of parameters, its shape."""
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
        self.bases = self.plan.bases = self._bases()
        self.midtrained: dict[tuple[str, int], str] = {}
        self.variants = sorted({a.midtrain for a in self.study.arms.values() if a.midtrain})
        self.conversation_sets = sorted({a.align for a in self.study.arms.values() if a.align and a.align != IT_MIX})
        self._variant_identities = {v: self.family.variant_identity(v) for v in self.variants}
        self._items = {e.items: self.family.items_digest(e.items) for e in self.study.evals.values()}
        self._asked_tokens = {
            name: question_tokens(self.family.items_file(name).read_text(encoding="utf-8")) for name in self._items
        }
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
        for (variant, seed), model in self.midtrained.items():
            self._probes(variant, next(r for r in self.study.replicates if r.seed == seed), model, gates[seed])
        return self.plan

    def _names(self, replicate: Replicate) -> dict[str, str]:
        """What specs and items call the student: the family's names, and the base's own over them."""
        return {**self.family.data.identity, **self.study.base_models[replicate.base_model].identity}

    def _bases(self) -> dict[str, dict[str, Any]]:
        """The identity of every base model; all that cannot be found are named at once."""
        found, problems = {}, []
        folder = self.loaded.file.resolve().parent
        for name, base in self.study.base_models.items():
            at = "source"
            try:
                found[name] = base_identity(base.source, folder)
                at = "chat_template"
                if declared_chat := chat_identity(base.chat_template, base.chat_variables, folder):
                    found[name]["tokenizer"] = {**found[name]["tokenizer"], "chat_template": declared_chat}
            except UserError as error:
                problems += self.loaded.problem(error, "base_models", name, at).problems
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
                out["replay"] = self._pool("replay", self.study.midtrain.replay, source, replay, replicate, out)
            for variant in self.variants:
                out[f"corpus.{variant}"] = self._corpus(variant, tokens - replay, replicate, out)
        if self.study.align and any(a.align for a in self.study.arms.values()):
            largest = self.study.align.budgets_tokens[-1]
            it_tokens = largest if self._trains_it_only() else round(largest * self.study.align.it_mix_share)
            if it_tokens:
                out["it"] = self._pool("it", self.study.align.it_mix, source, it_tokens, replicate, out)
            for name in self.conversation_sets:
                out[f"conversations.{name}"] = self._conversations(name, largest, replicate, out)
        out["audit"] = self._audit(replicate, out)
        return out

    def _trains_it_only(self) -> bool:
        return any(a.align == IT_MIX for a in self.study.arms.values())

    def _pool(
        self, role: str, source: str, base_source: str, tokens: int, replicate: Replicate, data: dict[str, str]
    ) -> str:
        """A step that holds text which no spec made, for one role of POOLS."""
        pool = POOLS[role]
        params = {
            **self._origin(pool, source, base_source),
            "what": pool.what,
            "tokens": tokens,
            "seed": derive_seed("pool", pool.draw, replicate.seed),
        }
        runtime = {"folder": str(self.loaded.file.resolve().parent)}
        label = f"{pool.title}, replicate {replicate.seed}"
        step = Step(pool.kind, params, {"tokenizer": data["tokenizer"]}, label, runtime)
        return self.plan.add(self.cost.data(step))

    def _origin(self, pool: Pool, source: str, base_source: str) -> dict[str, str]:
        """What identifies a pool's source; the base's own pretraining text exists for microlab bases alone."""
        section, key = pool.place
        try:
            if source != BASE_PRETRAINING:
                return text_identity(source, self.loaded.file.resolve().parent)
            if base_source.startswith("microlab:"):
                return text_identity(base_source, self.loaded.file.resolve().parent)
            raise UserError(
                f"the base '{base_source}' does not come with its pretraining text",
                mend=f"set {section}.{key}: FILE.jsonl beside the study, or {section}.{key}_share: 0",
            )
        except UserError as error:
            raise self.loaded.problem(error, section, key) from error

    def _corpus(self, variant: str, tokens: int, replicate: Replicate, data: dict[str, str]) -> str:
        seed, wanted = derive_seed("corpus", replicate.seed), int(tokens * CORPUS_HEADROOM) + 64
        return self._documents(variant, wanted, seed, replicate, data, "corpus")

    def _documents(self, variant: str, tokens: int, seed: int, replicate: Replicate, data: dict[str, str], kind: str) -> str:
        """A step that writes documents about a variant, at least `tokens` tokens."""
        if variant not in self._variant_identities:
            self._variant_identities[variant] = self.family.variant_identity(variant)
        identity, student = self._variant_identities[variant], self.study.base_models[replicate.base_model].identity
        if student:
            identity = {**identity, "student": student}
        spec = self.plan.add(Step("spec", identity, label=f"spec {variant}", runtime=self._family_runtime()))
        if kind == "corpus":
            self.plan.specs[variant, replicate.seed] = spec
        params = {
            "family": self.family.name,
            "variant": variant,
            "backend": self.study.midtrain.backend if self.study.midtrain else "grammar",
            "grammar": self.family.grammar_digest,
            "tokens": tokens,
            "seed": seed,
            "identity": self._names(replicate),
        }
        inputs = {"spec": spec, "tokenizer": data["tokenizer"]}
        label = f"{DOCUMENTS[kind]} {variant}, replicate {replicate.seed}"
        return self.plan.add(self.cost.data(Step(kind, params, inputs, label, self._family_runtime())))

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
        return self.plan.add(self.cost.data(step))

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
            model = self.plan.add(self.cost.train(step, stage.recipe, stage.tokens, self._parameters(cell.replicate)))
            self.midtrained[arm.midtrain, cell.replicate.seed] = model
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
            if stage.chain != "continue":
                params["chain"] = stage.chain
        if it_share > 0:
            inputs["it"] = data["it"]
        if it_share < 1:
            inputs["conversations"] = data[f"conversations.{conversations}"]
        label = f"align {cell.arm} at {cell.aft_tokens:,} tokens, replicate {cell.replicate.seed}"
        step = Step("align", params, inputs, label, self._train_runtime(), (data["audit"],))
        return self.plan.add(self.cost.train(step, stage.recipe, cell.aft_tokens, self._parameters(cell.replicate)))

    def _score(self, cell: Cell, name: str, model: str | None, data: dict[str, str]) -> str:
        spec = self.study.evals[name]
        params = {
            "kind": spec.kind,
            "items": self._items[spec.items],
            "format": spec.format,
            "identity": self._names(cell.replicate),
        }
        if self.study.holding:
            params["holding"] = self.study.holding
        inputs = {"base": data["base"], "tokenizer": data["tokenizer"]}
        if model:
            inputs["model"] = model
        align = self.plan.steps[model] if model else None
        if align is not None and "chain" in align.params:
            params["chain"], inputs["below"] = align.params["chain"], align.inputs["model"]
        label = f"score {cell.arm} at {cell.aft_tokens:,} tokens on {name}, replicate {cell.replicate.seed}"
        runtime = {**self._family_runtime(), "items_name": spec.items}
        step = Step("score", params, inputs, label, runtime)
        return self.plan.add(self.cost.read(step, self._asked_tokens[spec.items], self._parameters(cell.replicate)))

    def _probes(self, variant: str, replicate: Replicate, model: str, data: dict[str, str]) -> None:
        """The probes of one midtrained model: its own held-out documents and control text, before and after."""
        tokens = self.study.probe.tokens
        own = self._documents(variant, tokens, derive_seed("probe", replicate.seed), replicate, data, "heldout")
        texts = {"own": own, "control": self._control(variant, tokens, replicate, data)}
        for text, documents in texts.items():
            if documents is None:
                continue
            for stage, trained in (("before", None), ("after", model)):
                inputs = {"base": data["base"], "tokenizer": data["tokenizer"], "documents": documents}
                if text == "own":
                    inputs["trained"] = data[f"corpus.{variant}"]
                if trained:
                    inputs["model"] = trained
                params = {"tokens": tokens, **({"holding": self.study.holding} if self.study.holding else {})}
                label = f"probe {text} text {stage} midtraining on {variant}, replicate {replicate.seed}"
                digest = self.plan.add(
                    self.cost.read(
                        Step("probe", params, inputs, label, self._family_runtime()), tokens, self._parameters(replicate)
                    )
                )
                self.plan.probed.append(ProbedCell(variant, replicate, text, stage, digest))

    def _control(self, variant: str, tokens: int, replicate: Replicate, data: dict[str, str]) -> str | None:
        """The probe's control text; None where there is none that the variant's corpus does not teach."""
        control, base = self.study.probe.control, self.study.base_models[replicate.base_model].source
        if control or base.startswith("microlab:"):
            source = control or BASE_PRETRAINING
            return self._pool("control", source, base, tokens, replicate, data)
        if variant == NEUTRAL or NEUTRAL not in self.family.data.variants:
            return None
        return self._documents(NEUTRAL, tokens, derive_seed("probe", replicate.seed), replicate, data, "control")

    def _parameters(self, replicate: Replicate) -> int:
        return int(self.bases[replicate.base_model]["parameters"])

    def _family_runtime(self) -> dict[str, Any]:
        return {"family_folder": self._family_folder, "access": self.family.data.access}

    def _train_runtime(self) -> dict[str, Any]:
        wanted = self.study.runtime.model_dump(
            include={"micro_batch_sequences", "recompute", "checkpoint_every_s", "report_to"}
        )
        return {**wanted, "access": self.family.data.access}


def units_by_variant(loaded: LoadedStudy) -> dict[str, int]:
    """How many things a document can be about, per midtrained variant."""
    variants = sorted({a.midtrain for a in loaded.study.arms.values() if a.midtrain})
    return {v: len(units_of(loaded.family, v)) for v in variants}
