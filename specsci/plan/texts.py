"""The steps that make or hold texts: tokenizers and bases, pools, corpora, conversations, audits, probe texts."""

from __future__ import annotations

from functools import cached_property
from typing import Any

from specsci.core.errors import InputFileError, UserError
from specsci.core.ids import derive_seed
from specsci.core.remembered import remembered_sha256
from specsci.core.step import OUTSIDE, Step
from specsci.generate.generator import GENERATORS
from specsci.plan.cost import BYTES_PER_PARAMETER, CostModel
from specsci.plan.embeddings import embeddings_of
from specsci.plan.plan import Plan
from specsci.plan.pools import pool_step
from specsci.plan.written import WrittenSteps, can_be_written, clause_texts
from specsci.sources.documents import facts_of
from specsci.sources.files import inside
from specsci.sources.registry import source_of
from specsci.sources.text_files import read_passages
from specsci.specs.variants import demonstrations
from specsci.study.parts import Replicate
from specsci.study.schema import BASE_PRETRAINING, IT_MIX
from specsci.study.texts import WrittenConversations, WrittenCorpus

NEUTRAL = "neutral"
"""The variant that states no spec: its documents are the probe's control where there is no other text."""
FILES = "files"
"""The backend of a corpus that was not written but brought."""
DOCUMENTS = {"corpus": "corpus", "heldout": "held-out documents", "control": "control documents"}
"""Kinds of steps that hold documents, and what they are called."""
JUDGED = "claims."
"""How the roles of a judge's steps begin in the audit's inputs."""
CORPUS_HEADROOM = 1.02
"""A corpus is generated slightly longer than its budget, so that the exact subset can be drawn."""


class TextSteps:
    """Adds a replicate's data to a plan."""

    def __init__(self, plan: Plan, cost: CostModel) -> None:
        self.plan, self.cost, self.loaded = plan, cost, plan.loaded
        self.study, self.family = plan.loaded.study, plan.loaded.family
        self.variants = sorted({v for a in self.study.arms.values() for v in a.variants})
        self.conversation_sets = sorted({s for a in self.study.arms.values() for s in a.sets if s != IT_MIX})
        self._variant_identities = {
            v: self.family.variant_identity(v) for v in self.variants if v in self.family.data.variants
        }
        self._files: dict[tuple[str, str], dict[str, str]] = {}
        self._items = {e.items: self.family.items_digest(e.items) for e in self.study.evals.values() if e.items}
        self._family_folder = str(self.family.folder.resolve())
        self.written = WrittenSteps(plan, self._family_folder)

    def names(self, replicate: Replicate) -> dict[str, str]:
        """Values of the persona placeholders in specs and items: the family's, and the base's own over them."""
        return {**self.family.data.identity, **self.study.base_models[replicate.base_model].identity}

    def replicate(self, replicate: Replicate) -> dict[str, str]:
        """The digests of a replicate's data steps: tokenizer, base, pools, corpora, conversations, audit."""
        base = self.plan.bases[replicate.base_model]
        runtime = {OUTSIDE: str(base.path)} if base.path else {}
        source = self.study.base_models[replicate.base_model].source
        out = {
            "tokenizer": self.plan.add(
                Step("tokenizer", base.tokenizer, label=f"tokenizer of {replicate.base_model}", runtime=runtime)
            ),
            "base": self.plan.add(self._base(replicate.base_model, runtime)),
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
        for name in self._items:
            out[f"items.{name}"] = self._item_rows(name, replicate)
        out["audit"] = self._audit(replicate, out)
        return out

    def _item_rows(self, name: str, replicate: Replicate) -> str:
        """A step that holds an item set with its persona placeholders filled in."""
        params: dict[str, Any] = {"items": self._items[name], "identity": {**self.family.names_of(name), **self.names(replicate)}}
        if self.loaded.item_limit is not None:
            params["limit"] = self.loaded.item_limit
        folder, own = self.family.home_of(name)
        runtime = {**self.family_runtime(), "family_folder": str(folder.resolve()), "items_name": own}
        return self.plan.add(self.cost.small(Step("items", params, {}, f"items {name}", runtime)))

    def _base(self, name: str, runtime: dict[str, Any]) -> Step:
        """The step that copies a base model, 4 bytes to a parameter where no file tells the size."""
        base = self.plan.bases[name]
        size, weights = base.parameters, base.weights_bytes
        if weights is None and size is not None:
            weights = size * BYTES_PER_PARAMETER
        return self.cost.copy(Step("base", base.base, label=f"base {name}", runtime=runtime), size, weights)

    def _trains_it_only(self) -> bool:
        return any(IT_MIX in a.sets for a in self.study.arms.values())

    def _pool(
        self, role: str, source: str, base_source: str, tokens: int, replicate: Replicate, data: dict[str, str]
    ) -> str:
        """A step that holds text which no spec made, for one role of POOLS."""
        step = pool_step(self.loaded, role, source, base_source, tokens, replicate, data["tokenizer"])
        return self.plan.add(self.cost.data(step))

    def _corpus(self, variant: str, tokens: int, replicate: Replicate, data: dict[str, str]) -> str:
        seed, wanted = derive_seed("corpus", replicate.seed), int(tokens * CORPUS_HEADROOM) + 64
        return self.documents(variant, wanted, seed, replicate, data, "corpus")

    def documents(self, variant: str, tokens: int, seed: int, replicate: Replicate, data: dict[str, str], kind: str) -> str:
        """A step that writes documents about a variant, at least `tokens` tokens, or takes them from the study's own files."""
        if variant in self.study.corpus_files:
            return self._of_files(variant, tokens, replicate, data, kind)
        texts = self.study.written(variant)
        if texts is not None and (variant in self.study.corpora or can_be_written(self.family, variant)):
            return self._of_generator(variant, texts, tokens, replicate, data, kind)
        spec = self._spec_of(variant, replicate, kind)
        params = {
            "family": self.family.name,
            "variant": variant,
            **self._written_by(),
            "tokens": tokens,
            "seed": seed,
            "identity": self.names(replicate),
        }
        inputs = {"spec": spec, "tokenizer": data["tokenizer"]}
        label = f"{DOCUMENTS[kind]} {variant}, replicate {replicate.seed}"
        return self.plan.add(self.cost.data(Step(kind, params, inputs, label, self.family_runtime())))

    def _spec(self, variant: str, replicate: Replicate, kind: str) -> str:
        """The step that holds the text of a variant's spec, with the persona of the replicate's base in it."""
        identity, persona = self._variant_identities[variant], self.study.base_models[replicate.base_model].identity
        if persona:
            identity = {**identity, "student": persona}
        spec = self.plan.add(Step("spec", identity, label=f"spec {variant}", runtime=self.family_runtime()))
        if kind == "corpus":
            self.plan.specs[variant, replicate.seed] = spec
        return spec

    def _of_files(self, variant: str, tokens: int, replicate: Replicate, data: dict[str, str], kind: str) -> str:
        """A step that samples a variant's documents from the study's own files; held-out ones from the other end."""
        params: dict[str, Any] = {
            "variant": variant,
            "backend": FILES,
            "files": self._digests("corpora", variant),
            "tokens": tokens,
            "seed": derive_seed("corpus", replicate.seed),
            **({"from_end": True} if kind != "corpus" else {}),
        }
        inputs = {"tokenizer": data["tokenizer"]}
        if variant in self._variant_identities:
            inputs["spec"] = self._spec(variant, replicate, kind)
        label = f"{DOCUMENTS[kind]} {variant}, replicate {replicate.seed}"
        return self.plan.add(self.cost.data(Step(kind, params, inputs, label, self._beside_the_study())))

    def _of_generator(
        self, variant: str, texts: WrittenCorpus, tokens: int, replicate: Replicate, data: dict[str, str], kind: str
    ) -> str:
        """A step that samples a variant's documents from those that a language model wrote; held-out ones from the other end."""
        spec, identity = self._spec_of(variant, replicate, kind), self.names(replicate)
        inputs = {"spec": spec, "tokenizer": data["tokenizer"]}
        whole = texts.tokens or self._tokens_to_write()
        written = self.written.documents(variant, texts, whole, inputs, identity, self.plan.access)
        params: dict[str, Any] = {
            "variant": variant,
            "family": self.family.name,
            "backend": self.study.generators[texts.generator].backend,
            "tokens": tokens,
            "seed": derive_seed("corpus", replicate.seed),
            **({"from_end": True} if kind != "corpus" else {}),
        }
        label = f"{DOCUMENTS[kind]} {variant}, replicate {replicate.seed}"
        return self.plan.add(self.cost.data(Step(kind, params, {**inputs, "written": written}, label, self.family_runtime())))

    def _tokens_to_write(self) -> int:
        """What midtraining takes of a variant, and the absorption probe beside it."""
        stage = self.study.midtrain
        assert stage is not None
        own = stage.tokens - round(stage.tokens * stage.replay_share)
        return int(own * CORPUS_HEADROOM) + 64 + int(self.study.probe.tokens * CORPUS_HEADROOM) + 64

    def spec(self, variant: str, replicate: Replicate) -> str:
        """The step that holds a variant's spec, for a prompt."""
        return self._spec_of(variant, replicate, "prompt")

    def _spec_of(self, variant: str, replicate: Replicate, kind: str) -> str:
        if variant not in self._variant_identities:
            self._variant_identities[variant] = self.family.variant_identity(variant)
        return self._spec(variant, replicate, kind)

    def _digests(self, section: str, name: str) -> dict[str, str]:
        """The files of a corpus or of a set of conversations, checked, with their SHA-256.

        Raises:
            InputFileError: a file is not there, lies elsewhere, or holds a row that is none.
        """
        if (section, name) not in self._files:
            folder = self.loaded.file.resolve().parent
            declared = getattr(self.study, section).get(name)
            found = {}
            for number, file in enumerate(declared.files if declared else [name]):
                try:
                    path = inside(file, folder, "text file")
                    if section == "corpora":
                        facts = facts_of(path, file)
                        self.plan.files.setdefault(name, {})[file] = facts
                        found[file] = facts.sha256
                    else:
                        read_passages(path, file, "conversations")
                        found[file] = remembered_sha256(path)
                except InputFileError:
                    raise  # it names the file and the line
                except UserError as error:
                    place = (section, name, "files", number) if declared else ("arms", *self._arm_of(name))
                    raise self.loaded.problem(error, *place) from error
            self._files[section, name] = found
        return self._files[section, name]

    def _arm_of(self, file: str) -> tuple[str, str]:
        """The first arm that names a file of conversations itself."""
        return next((name, "align") for name, arm in self.study.arms.items() if file in arm.sets)

    def _beside_the_study(self) -> dict[str, Any]:
        """What a step that reads files of the study's folder needs to find them; no part of its identity."""
        return {**self.family_runtime(), OUTSIDE: str(self.loaded.file.resolve().parent)}

    def _written_by(self) -> dict[str, Any]:
        """What identifies the generator of documents."""
        stage = self.study.midtrain
        generator = GENERATORS[stage.backend if stage else "grammar"]
        settings = generator.identity(stage.generator if stage else {})
        grammar = {"grammar": self.family.grammar_digest} if generator.from_grammar else {}
        return {"backend": generator.name, **grammar, **({"generator": settings} if settings else {})}

    def _conversations(self, name: str, tokens: int, replicate: Replicate, data: dict[str, str]) -> str:
        texts = self.study.written_conversations(name)
        if texts is not None:
            return self._answers(name, texts, tokens, replicate, data)
        if name in self.study.conversations or name not in self.family.data.conversations:
            return self._conversation_files(name, tokens, replicate, data)
        declared_set = self.family.data.conversations[name]
        about = demonstrations(self.family, declared_set.variant, subrules=declared_set.subrules)
        params = {
            "family": self.family.name,
            "set": declared_set.model_dump(exclude_defaults=True),
            **about.identity(),
            "grammar": self.family.grammar_digest,
            "tokens": tokens,
            "seed": derive_seed("conversations", replicate.seed),
            "identity": self.names(replicate),
        }
        label = f"conversations {name}, replicate {replicate.seed}"
        step = Step("conversations", params, {"tokenizer": data["tokenizer"]}, label, self.family_runtime())
        return self.plan.add(self.cost.data(step))

    def _conversation_files(self, name: str, tokens: int, replicate: Replicate, data: dict[str, str]) -> str:
        """A step that samples conversations from the study's own files."""
        params = {
            "files": self._digests("conversations", name),
            "tokens": tokens,
            "seed": derive_seed("conversations", replicate.seed),
        }
        label = f"conversations {name}, replicate {replicate.seed}"
        step = Step("conversations", params, {"tokenizer": data["tokenizer"]}, label, self._beside_the_study())
        return self.plan.add(self.cost.data(step))

    def _answers(
        self, name: str, texts: WrittenConversations, tokens: int, replicate: Replicate, data: dict[str, str]
    ) -> str:
        """A step that samples conversations from those that a language model wrote."""
        identity = self.names(replicate)
        answers = self.written.conversations(
            name, texts, lambda variant: self._spec_of(variant, replicate, "conversations"), identity, self.plan.access
        )
        params = {"tokens": tokens, "think": texts.think, "seed": derive_seed("conversations", replicate.seed)}
        inputs = {"tokenizer": data["tokenizer"], "answers": answers}
        label = f"conversations {name}, replicate {replicate.seed}"
        return self.plan.add(self.cost.data(Step("conversations", params, inputs, label, self.family_runtime())))

    def _audit(self, replicate: Replicate, data: dict[str, str]) -> str:
        roles = ("corpus.", "conversations.")
        texts = {role: d for role, d in data.items() if role.startswith(roles) or role in ("replay", "it")}
        held_out = {f"items.{e.items}" for e in self.study.evals.values() if e.role == "outcome" and e.items}
        texts |= {role: data[role] for role in sorted(held_out)}
        params: dict[str, Any] = {
            "accepted": self.study.gates.accept_leaks,
            "max_token_mismatch": self.study.gates.max_token_mismatch,
        }
        params |= self._examined(replicate, texts)
        if self.study.audit.policy_judge:
            texts |= self._judged(replicate, params.get("clauses", {}), texts)
        model, where = self._embeddings if "audit" in params else ({}, {})
        label = f"audit of the training texts, replicate {replicate.seed}"
        return self.plan.add(Step("audit", {**params, **model}, texts, label, {**self.family_runtime(), **where}))

    @cached_property
    def _embeddings(self) -> tuple[dict[str, Any], dict[str, Any]]:
        return embeddings_of(self.loaded)

    def _examined(self, replicate: Replicate, texts: dict[str, str]) -> dict[str, Any]:
        """What the whole examination needs, for texts that were written by a language model or brought; empty without any."""
        asks = ("written", "answers")
        steps = {role: self.plan.steps[digest] for role, digest in texts.items() if role.startswith(("corpus.", "conversations."))}
        roles = sorted(r for r, s in steps.items() if "files" in s.params or any(name in s.inputs for name in asks))
        if not roles:
            return {}
        names = self.names(replicate)
        variants = {r: r.removeprefix("corpus.") for r in roles if r.startswith("corpus.")}
        with_spec = {r: v for r, v in variants.items() if v in self.family.data.variants and can_be_written(self.family, v)}
        probes = {f"{name}.{p.id}": p.terms for name, items in self.family.data.items.items() for p in items.probes}
        return {
            "texts": roles,
            "audit": self.study.audit.model_dump(exclude_defaults=True),
            "identity": names,
            "clauses": {role: clause_texts(self.family, variant, names) for role, variant in with_spec.items()},
            "probes": probes,
            **({"review": review.model_dump()} if (review := self.study.gates.require_review) else {}),
        }

    def _judged(self, replicate: Replicate, clauses: dict[str, Any], texts: dict[str, str]) -> dict[str, str]:
        """The judge's steps by role, for the corpora that have a spec; of what was written all replicates share one."""
        found, names = {}, self.names(replicate)
        for role in clauses:
            corpus = self.plan.steps[texts[role]]
            digest = corpus.inputs.get("written", texts[role])
            variant = role.removeprefix("corpus.")
            found[f"{JUDGED}{role}"] = self.written.claims(role, variant, digest, names, self.plan.access)
        return found

    def control(self, variant: str, tokens: int, replicate: Replicate, data: dict[str, str]) -> str | None:
        """The probe's control text; None where there is none that the variant's corpus does not teach."""
        control, base = self.study.probe.control, self.study.base_models[replicate.base_model].source
        if control or source_of(base).text_identity(base):
            source = control or BASE_PRETRAINING
            return self._pool("control", source, base, tokens, replicate, data)
        if variant == NEUTRAL or NEUTRAL not in self.family.data.variants:
            return None
        return self.documents(NEUTRAL, tokens, derive_seed("probe", replicate.seed), replicate, data, "control")

    def family_runtime(self) -> dict[str, Any]:
        """What a step that reads the family needs to find it; no part of its identity."""
        price = self.study.runtime.usd_per_h
        return {
            "family_folder": self._family_folder,
            "access": self.plan.access,
            **({"usd_per_h": price} if price else {}),
        }
