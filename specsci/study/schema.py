"""The study file's schema: the design (arms, evals, contrasts) and, per profile, its scale."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from specsci.core.errors import nearest
from specsci.core.ids import is_safe_name
from specsci.core.yaml_file import Strict
from specsci.generate.generator import GENERATORS
from specsci.generate.settings import GeneratorSettings
from specsci.recipe.recipe import Recipe
from specsci.study.audit import AuditSettings
from specsci.study.evals import EVALS, Eval, EvalConfig
from specsci.study.harness import Condition
from specsci.study.parts import (
    Arm,
    BaseModelSource,
    Contrast,
    Engine,
    Gates,
    Probe,
    Replicate,
    RuntimeSettings,
    TokenEfficiency,
)
from specsci.study.texts import (
    DEFAULT,
    ConversationFiles,
    ConversationSet,
    Corpus,
    CorpusFiles,
    Mix,
    WrittenConversations,
    WrittenCorpus,
)
from specsci.study.tuning import Tuning

BASE_PRETRAINING = "pretraining"
MOST_WEIGHT = 1000.0
"""The largest weight of an arm in a contrast: rates lie between 0 and 1, and so do differences that can be read."""
IT_MIX = "it_mix"
OF_THE_SOURCE = ("items", "harness", "arms", "budgets_tokens")
"""What an eval that reads the answers of another takes from it."""


class Midtrain(Strict):
    """The midtraining stage: training on documents about a spec, mixed with replayed text."""

    tokens: int = Field(
        ge=1, description="The tokens of training text: documents about the spec and replayed text together."
    )
    replay_share: float = Field(
        default=0.5, ge=0, lt=1, description="The share of the tokens that is replayed text, from 0 (none) to below 1."
    )
    replay: str = Field(
        default=BASE_PRETRAINING,
        description="The replayed text: `pretraining` for the base model's own pretraining text, which comes with microlab "
        "bases, a JSON Lines file of `text` rows beside the study, or a recipe of `mixes`.",
    )
    backend: str = Field(
        default="grammar",
        description="The generation backend that writes the documents; `grammar` fills the spec family's templates, "
        "offline.",
    )
    generator: dict[str, Any] = Field(
        default_factory=dict, description="Settings of the generation backend; `grammar` reads none."
    )
    recipe: Recipe = Field(description="The training recipe of midtraining.")

    @field_validator("backend")
    @classmethod
    def _known(cls, name: str) -> str:
        if name not in GENERATORS:
            raise ValueError(f"no generation backend of that name; {nearest(name, GENERATORS.objects)}")
        return name


class Align(Strict):
    """The alignment fine-tuning (AFT) stage: training on demonstrations, mixed with instruction-tuning data."""

    budgets_tokens: list[int] = Field(
        min_length=1,
        description="AFT budgets in tokens, increasing; a model is trained for each. A budget counts demonstrations and "
        "the instruction-tuning mix together, and holds the conversations of the smaller budgets.",
    )
    it_mix_share: float = Field(
        default=0.5,
        ge=0,
        lt=1,
        description="The share of a budget that is instruction-tuning mix, from 0 (none) to below 1; arms with `align: "
        "it_mix` train on the mix alone.",
    )
    it_mix: str = Field(
        default=BASE_PRETRAINING,
        description="The instruction-tuning mix: `pretraining` for chats of the base model's own pretraining, which come "
        "with microlab bases, a JSON Lines file of `messages` rows beside the study, or a recipe of `mixes`.",
    )
    chain: Literal["continue", "merge", "new"] = Field(
        default="continue",
        description="How AFT follows midtraining: `continue` trains the same weights or adapter further, `merge` first "
        "merges the midtrained adapter into the weights, and `new` freezes the midtrained adapter and trains a new one "
        "beside it.",
    )
    recipe: Recipe = Field(description="The training recipe of alignment fine-tuning.")

    @field_validator("budgets_tokens")
    @classmethod
    def _increasing(cls, budgets: list[int]) -> list[int]:
        if budgets != sorted(set(budgets)) or budgets[0] < 1:
            raise ValueError("budgets must be positive, increasing and distinct")
        return budgets


class Study(Strict):
    """A study under one profile: everything resolved."""

    study: str = Field(description="The study's name in the results: lower-case letters, digits, '_', '-' and '.'.")
    title: str = Field(description="The study's title, printed above its tables.")
    hypothesis: str = Field(
        description="The hypothesis in words, printed above the tables; `specsci study lock` freezes the hypothesis with "
        "the contrasts."
    )
    notes: str = Field(
        default="", description="Remarks for readers of the HTML report, such as how models and doses were chosen."
    )
    tuned_to_target: str = Field(
        default="",
        description="The settings, in words, that were chosen while looking at a published number; contrasts without a "
        "text of their own carry this text as a flag.",
    )
    family: str = Field(
        description="The spec family that variants, demonstrations and eval items come from; `NAME@1.0.0` pins its version."
    )
    arms: dict[str, Arm] = Field(min_length=1, description="The arms by name: what is done to each base model.")
    evals: dict[str, Eval] = Field(
        min_length=1, description="The evals by name; every model of the study is asked all of them, unless an eval names `arms` or `budgets_tokens`."
    )
    harness: dict[str, Condition] = Field(
        default_factory=dict,
        description="Harness conditions by name: what stands around a question. Evals that name some are asked under each of them.",
    )
    contrasts: list[Contrast] = Field(
        default_factory=list, description="The comparisons of arms, declared before anything runs."
    )
    correction: Literal["holm", "bh", "none"] = Field(
        default="holm",
        description="The correction of p-values within each family of contrasts: Holm (`holm`), Benjamini-Hochberg (`bh`), "
        "or none.",
    )
    token_efficiency: TokenEfficiency | None = Field(
        default=None, description="The comparison of AFT tokens that arms need to reach a level; there is none by default."
    )
    base_models: dict[str, BaseModelSource] = Field(
        min_length=1, description="The base models by the names that replicates use."
    )
    replicates: list[Replicate] = Field(
        min_length=1, description="The replicates; every arm is trained and evaluated in each of them."
    )
    without: dict[str, str] = Field(
        default_factory=dict,
        description="Evals that are left out, each with the reason in words: for profiles that cannot ask them. Their contrasts are left out too.",
    )
    generators: dict[str, GeneratorSettings] = Field(
        default_factory=dict, description="Language models that write, revise and judge, by the names that other keys use."
    )
    engines: dict[str, Engine] = Field(
        default_factory=dict,
        description="vLLM servers by the base model that they serve: evals that are answered in words ask there, each model as an adapter that is "
        "loaded under its digest. `specsci model serve` starts one. By default models answer in specsci's own processes.",
    )
    corpora: dict[str, Corpus] = Field(
        default_factory=dict,
        description="Where documents come from, by variant: files of your own (`files`) or a language model (`generator`). An entry may "
        "be for a variant of the family, whose spec the documents are then about, or for a new name with files; `default` is for "
        "every variant without an entry. Documents of variants without any are written by `midtrain.backend`.",
    )
    conversations: dict[str, ConversationSet] = Field(
        default_factory=dict,
        description="Sets of conversations by the names that arms use in `align`: files of your own (`files`) or written by a language "
        "model (`generator`); a set of the family that has the same name is replaced. An arm may also name a file itself (`align: "
        "chats.jsonl`).",
    )
    mixes: dict[str, Mix] = Field(
        default_factory=dict,
        description="Named recipes of texts that no spec made, files with their shares of the tokens; `align.it_mix`, `midtrain.replay` "
        "and `probe.control` may name one.",
    )
    midtrain: Midtrain | None = Field(default=None, description="The midtraining stage; required where an arm is midtrained.")
    align: Align | None = Field(default=None, description="The alignment fine-tuning (AFT) stage; required where an arm is fine-tuned.")
    probe: Probe = Field(
        default=Probe(),
        description="The settings of the absorption probe, which tests whether midtraining made documents about the spec "
        "easier to predict.",
    )
    gates: Gates = Field(default=Gates(), description="Limits that the plan must keep before it is run.")
    audit: AuditSettings = Field(
        default=AuditSettings(), description="Limits for texts that language models wrote or that the study brings."
    )
    runtime: RuntimeSettings = Field(
        default=RuntimeSettings(),
        description="The settings of how the study is run: devices, memory, checkpoints, price and trackers.",
    )

    tuning: Tuning | None = Field(
        default=None, description="A search for training settings with the same budget for every arm, run by `specsci tune`; there is none by default."
    )

    @field_validator("evals", mode="before")
    @classmethod
    def _as_their_source(cls, evals: Any) -> Any:
        """An eval that reads another's answers has its items, conditions, arms and budgets where it names none."""
        if not isinstance(evals, dict):
            return evals
        out = dict(evals)
        for name, given in evals.items():
            source = evals.get(given["of"]) if isinstance(given, dict) and isinstance(given.get("of"), str) else None
            if isinstance(source, dict):
                out[name] = {**{key: source[key] for key in OF_THE_SOURCE if key in source}, **given}
        return out

    @field_validator("study")
    @classmethod
    def _safe(cls, name: str) -> str:
        if not is_safe_name(name) or "@" in name:
            raise ValueError("use a name of lower-case letters, digits, '_', '-' and '.', no path")
        return name

    @field_validator("family")
    @classmethod
    def _safe_family(cls, name: str) -> str:
        if not is_safe_name(name) or name.count("@") > 1 or name.endswith("@"):
            raise ValueError("use a family's name, no path, pinned as NAME@1.0.0")
        return name

    @property
    def corpus_files(self) -> dict[str, CorpusFiles]:
        """The variants whose documents the study brings."""
        return {name: texts for name, texts in self.corpora.items() if isinstance(texts, CorpusFiles)}

    @property
    def conversation_files(self) -> dict[str, ConversationFiles]:
        """The sets of conversations that the study brings."""
        return {name: texts for name, texts in self.conversations.items() if isinstance(texts, ConversationFiles)}

    def written(self, variant: str) -> WrittenCorpus | None:
        """How a language model writes a variant's documents; None where none does."""
        found = self.corpora.get(variant, self.corpora.get(DEFAULT))
        return found if isinstance(found, WrittenCorpus) else None

    def written_conversations(self, name: str) -> WrittenConversations | None:
        """How a language model writes a set of conversations; None where none does."""
        found = self.conversations.get(name)
        return found if isinstance(found, WrittenConversations) else None

    @property
    def family_name(self) -> str:
        """The family without its pin."""
        return self.family.partition("@")[0]

    @property
    def family_version(self) -> str | None:
        """The version that the family is pinned to; None for the family as it is."""
        return self.family.partition("@")[2] or None

    @model_validator(mode="after")
    def _stages_are_there(self) -> Study:
        if self.midtrain is None and any(a.midtrain for a in self.arms.values()):
            raise ValueError("arms midtrain, but the study has no `midtrain:` stage")
        if self.align is None and any(a.align for a in self.arms.values()):
            raise ValueError("arms align, but the study has no `align:` stage")
        return self

    @model_validator(mode="after")
    def _micro_batches_divide(self) -> Study:
        micro, devices = self.runtime.micro_batch_sequences, self.runtime.devices_per_stage
        for name, stage in (("midtrain", self.midtrain), ("align", self.align)):
            whole = stage.recipe.sequences_per_update if stage else 0
            if whole % devices:
                raise ValueError(
                    f"runtime.devices_per_stage: {devices} does not divide {whole} sequences per update of {name}"
                )
            sharded = stage and devices > 1 and self.runtime.sharding == "fsdp2" and stage.recipe.method != "qlora"
            if stage and sharded and stage.recipe.optimizer != "adamw":
                raise ValueError(
                    f"the optimizer {stage.recipe.optimizer} of {name} cannot work on shards: take adamw, or runtime.sharding: ddp"
                )
            share = whole // devices
            if micro and share > micro and share % micro:
                each = f"the {share} sequences per update and device" if devices > 1 else f"{whole} sequences per update"
                raise ValueError(f"runtime.micro_batch_sequences: {micro} does not divide {each} of {name}")
        return self

    @model_validator(mode="after")
    def _engines_serve_adapters(self) -> Study:
        stages = {"midtrain": self.midtrain, "align": self.align} if self.engines else {}
        full = next((name for name, stage in stages.items() if stage and not stage.recipe.adapter), None)
        if full:
            raise ValueError(f"`engines` serve adapters over a base, and {full} trains all weights: leave out `engines`")
        four_bit = next((name for name, stage in stages.items() if stage and stage.recipe.method == "qlora"), None)
        if four_bit:
            raise ValueError(f"an engine serves the base as it is, and {four_bit} trains over 4-bit weights: leave out `engines`, or write method: lora")
        if self.engines and self.align and self.align.chain != "continue" and any(a.midtrain and a.align for a in self.arms.values()):
            raise ValueError("`engines` serve one adapter over a base: write align.chain: continue, or leave out `engines`")
        return self

    @model_validator(mode="after")
    def _stages_follow(self) -> Study:
        if self.midtrain is None or self.align is None:
            return self
        first, second, chain = self.midtrain.recipe, self.align.recipe, self.align.chain
        swapped = [name for name, arm in self.arms.items() if arm.order]
        if swapped and chain != "continue":
            raise ValueError(f"the stages of '{swapped[0]}' train one model further: write align.chain: continue")
        if chain == "continue" and first.method != second.method:
            raise ValueError(
                f"midtraining is {first.method} and alignment {second.method}: nothing goes on; write align.chain: merge"
            )
        if chain == "continue" and first.adapter and first.lora != second.lora:
            raise ValueError(
                "the adapter goes on, so both recipes need the same `lora:`; or write align.chain: new or merge"
            )
        if first.weight_format != second.weight_format:
            raise ValueError(
                f"midtraining keeps its base as {first.method} {first.weights} and alignment as {second.method} {second.weights}: "
                "every model of a study is scored with one dtype and quantisation, so give both stages the same"
            )
        if chain == "merge" and first.method == "qlora":
            raise ValueError("an adapter trained over 4-bit weights fits no others: align.chain: continue or new, not merge")
        if chain == "new" and not second.adapter:
            raise ValueError("align.chain: new puts a new adapter beside the first; full training needs continue or merge")
        return self

    @property
    def weight_format(self) -> dict[str, Any]:
        """The dtype and quantisation in which models of this study are scored; empty where it is fp32."""
        stage = self.midtrain or self.align
        return stage.recipe.weight_format if stage and stage.recipe.weight_format != Recipe().weight_format else {}


PROFILE_KEYS = (
    "notes",
    "tuned_to_target",
    "family",
    "base_models",
    "replicates",
    "without",
    "generators",
    "engines",
    "corpora",
    "conversations",
    "mixes",
    "harness",
    "midtrain",
    "align",
    "probe",
    "gates",
    "audit",
    "runtime",
    "tuning",
)
"""What a profile may set: scale and substrate, nothing of the design."""
DEFAULT_PROFILE = "micro"
IMPORTED = "imported"
"""What stands for the profile of results that were made elsewhere; no study has a profile of that name."""


def json_schema() -> dict[str, Any]:
    """The JSON schema of a study file, for editors: what profiles may set is optional at the top."""
    schema = Study.model_json_schema()
    overlay = {k: v for k, v in schema["properties"].items() if k in PROFILE_KEYS}
    schema["required"] = [k for k in schema["required"] if k not in PROFILE_KEYS]
    schema["properties"]["default_profile"] = {
        "type": "string",
        "default": DEFAULT_PROFILE,
        "description": "The profile that is used where the command names none.",
    }
    schema["properties"]["profiles"] = {
        "type": "object",
        "additionalProperties": {"type": "object", "properties": overlay, "additionalProperties": False},
        "description": "Named overlays that set the scale and the substrate of the study.",
    }
    schema["$defs"]["EvalConfig"] = _any_eval(schema["$defs"])
    schema["title"] = "specsci study"
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


def _any_eval(shared: dict[str, Any]) -> dict[str, Any]:
    """The schema of an eval of any kind; definitions that a kind needs are put beside the others."""
    kinds = []
    for kind in EVALS:
        found = kind.config.model_json_schema(ref_template="#/$defs/{model}")
        shared |= found.pop("$defs", {})
        kinds.append(found)
    return {"anyOf": kinds, "title": "Eval", "description": EvalConfig.__doc__}
