"""The study file's schema: the design (arms, evals, contrasts) and, per profile, its scale."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from specsci.core.errors import nearest
from specsci.core.ids import is_safe_name
from specsci.core.yaml_file import Strict
from specsci.generate.generator import GENERATORS
from specsci.recipe.recipe import Recipe
from specsci.study.evals import EVALS, Eval, EvalConfig

BASE_PRETRAINING = "pretraining"
MOST_WEIGHT = 1000.0
"""The largest weight of an arm in a contrast: rates lie between 0 and 1, and so do differences that can be read."""
IT_MIX = "it_mix"
BOOLEAN_WORDS = {"no": "false", "off": "false", "false": "false", "yes": "true", "on": "true", "true": "true"}
"""Words that YAML 1.1 reads as booleans, and what to write in their place."""


class Arm(Strict):
    """One condition: which spec it is midtrained on, and what it is aligned on (`it_mix` alone is a baseline)."""

    title: str = ""
    midtrain: str | None = None
    align: str | None = None


class BaseModelSource(Strict):
    """Where a base model comes from: `microlab:WORLD/SEED`, `package:NAME`, `hub:ORG/NAME@REVISION`, or a model directory.

    `identity` gives the names that specs and items use for this student, over those of the family.
    `chat_template` is a Jinja file beside the study for a model that has none (or another than its own), and
    `chat_variables` are values that the template sees, such as `enable_thinking: false`. `trust_remote_code` runs Python
    code that the model brings, which only a hub model pinned to a commit, or a directory, may.
    """

    source: str
    identity: dict[str, str] = Field(default_factory=dict)
    trust_remote_code: bool = False
    chat_template: str = ""
    chat_variables: dict[Annotated[str, Field(pattern="^[a-zA-Z_]+$")], bool | int | str] = Field(default_factory=dict)

    @field_validator("chat_variables")
    @classmethod
    def _booleans_are_booleans(cls, values: dict[str, bool | int | str]) -> dict[str, bool | int | str]:
        for name, value in values.items():
            if isinstance(value, str) and value.strip().lower() in BOOLEAN_WORDS:
                wanted = BOOLEAN_WORDS[value.strip().lower()]
                raise ValueError(
                    f"{name}: '{value}' is a text in YAML 1.2, and any text counts as true in a template; write {name}: {wanted}"
                )
        return values


class Replicate(Strict):
    """One draw of everything random: the base model, the corpora, the data order and the initialisation."""

    seed: int = Field(ge=0, lt=2**31)
    base_model: str


class Midtrain(Strict):
    """The midtraining stage. `tokens` counts the spec corpus and the replayed text together."""

    tokens: int = Field(ge=1)
    replay_share: float = Field(default=0.5, ge=0, lt=1)
    replay: str = BASE_PRETRAINING
    backend: str = "grammar"
    generator: dict[str, Any] = Field(default_factory=dict)
    recipe: Recipe

    @field_validator("backend")
    @classmethod
    def _known(cls, name: str) -> str:
        if name not in GENERATORS:
            raise ValueError(f"no generation backend of that name; {nearest(name, GENERATORS.objects)}")
        return name


class Align(Strict):
    """Alignment fine-tuning. A budget counts demonstrations and the instruction-tuning mix together.

    `chain` says how it follows midtraining: the same weights or adapter going on (`continue`), a midtrained
    adapter merged into the weights first (`merge`), or frozen beside a new adapter (`new`).
    """

    budgets_tokens: list[int] = Field(min_length=1)
    it_mix_share: float = Field(default=0.5, ge=0, lt=1)
    it_mix: str = BASE_PRETRAINING
    chain: Literal["continue", "merge", "new"] = "continue"
    recipe: Recipe

    @field_validator("budgets_tokens")
    @classmethod
    def _increasing(cls, budgets: list[int]) -> list[int]:
        if budgets != sorted(set(budgets)) or budgets[0] < 1:
            raise ValueError("budgets must be positive, increasing and distinct")
        return budgets


class Contrast(Strict):
    """A weighted sum of arms' aligned rates. Positive: the arms with positive weights are more aligned.

    `factor` is the one thing that may differ between the two sides; whatever else differs is named as a
    confound. With several budgets the rates are averaged within each replicate first. `equivalence_margin` asks whether the
    contrast lies within ±margin of 0 (for controls, where no difference is the hypothesis). `tuned_to_target` says in writing
    which settings were chosen while looking at a published number; results carry it.
    """

    name: str
    eval: str
    weights: dict[str, float] = Field(min_length=2)
    budget_tokens: int | Annotated[list[int], Field(min_length=1)] = 0
    factor: Literal["msm_spec", "midtrain", "align", "aft_tokens"]
    family: str = "main"
    primary: bool = False
    scale: Literal["rate", "logit", "arcsine"] = "rate"
    question: str = ""
    equivalence_margin: float | None = Field(default=None, gt=0)
    tuned_to_target: str = ""

    @property
    def budgets(self) -> list[int]:
        return [self.budget_tokens] if isinstance(self.budget_tokens, int) else self.budget_tokens


class TokenPair(Strict):
    """Two arms whose token needs are compared: tokens of `reference` over tokens of `arm`."""

    arm: str
    reference: str


class TokenEfficiency(Strict):
    """AFT tokens that arms need until the misaligned rate falls to a share of the untreated base's.

    `exploratory_level_shares` are further levels, shown in tables of their own: for what was asked after rates had been seen.
    """

    eval: str
    level_share: float = Field(default=0.5, gt=0, lt=1)
    exploratory_level_shares: list[Annotated[float, Field(gt=0, lt=1)]] = Field(default_factory=list)
    base: str = "base"
    pairs: list[TokenPair] = Field(min_length=1)


class Gates(Strict):
    """Limits that a plan must keep. Going below one takes a reason in writing."""

    min_midtrain_updates: int = Field(default=90, ge=1)
    max_token_mismatch: float = Field(default=0.005, ge=0)
    max_warmup_share: float = Field(default=0.2, gt=0, le=1)
    accept_few_updates: str = ""
    accept_leaks: str = ""
    """Why it does not matter that eval items occur in training texts."""
    accept_spec_leaks: str = ""
    """Why it does not matter that a clause names what an eval tests."""


class Probe(Strict):
    """The absorption probe of every midtrained model: held-out documents against control text.

    `control` is a JSON Lines file beside the study with rows of `text`. Where none is named it is the base's
    own pretraining text (microlab), else documents of the family's neutral variant.
    """

    tokens: int = Field(default=2000, ge=100)
    control: str = ""


class RuntimeSettings(Strict):
    """How a profile is run; never part of an identity.

    `device: auto` takes the GPUs that there are, `devices_per_stage` to a worker: with more than one, a training stage is
    spread over them, the model in shards (`fsdp2`) or whole on each (`ddp`). On a CPU they are processes. `recompute`
    trades time for memory (gradient checkpointing). `usd_per_h` is what a worker's devices cost. `report_to` hands the
    curves to trackers as well.
    """

    device: Literal["auto", "cpu"] = "auto"
    devices_per_stage: int = Field(default=1, ge=1)
    sharding: Literal["ddp", "fsdp2"] = "fsdp2"
    threads_per_worker: int = Field(default=0, ge=0)
    micro_batch_sequences: int | None = Field(default=None, ge=1)
    recompute: bool = False
    checkpoint_every_s: float = Field(default=600.0, gt=0)
    usd_per_h: float = Field(default=0.0, ge=0, le=1e6)
    report_to: list[Literal["wandb", "mlflow", "tensorboard"]] = Field(default_factory=list)


class Study(Strict):
    """A study under one profile: everything resolved.

    `family` is a family's name, pinned to a version as `NAME@1.0.0`. `tuned_to_target` stamps every contrast (see there).
    """

    study: str
    title: str
    hypothesis: str
    notes: str = ""
    tuned_to_target: str = ""
    family: str
    arms: dict[str, Arm] = Field(min_length=1)
    evals: dict[str, Eval] = Field(min_length=1)
    contrasts: list[Contrast] = Field(default_factory=list)
    correction: Literal["holm", "bh", "none"] = "holm"
    token_efficiency: TokenEfficiency | None = None
    base_models: dict[str, BaseModelSource] = Field(min_length=1)
    replicates: list[Replicate] = Field(min_length=1)
    midtrain: Midtrain | None = None
    align: Align | None = None
    probe: Probe = Probe()
    gates: Gates = Gates()
    runtime: RuntimeSettings = RuntimeSettings()

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
            if stage and devices > 1 and self.runtime.sharding == "fsdp2" and stage.recipe.method != "qlora":
                if stage.recipe.optimizer != "adamw":
                    raise ValueError(
                        f"the optimizer {stage.recipe.optimizer} of {name} cannot work on shards: take adamw, or runtime.sharding: ddp"
                    )
            share = whole // devices
            if micro and share > micro and share % micro:
                each = f"the {share} sequences per update and device" if devices > 1 else f"{whole} sequences per update"
                raise ValueError(f"runtime.micro_batch_sequences: {micro} does not divide {each} of {name}")
        return self

    @model_validator(mode="after")
    def _stages_follow(self) -> Study:
        if self.midtrain is None or self.align is None:
            return self
        first, second, chain = self.midtrain.recipe, self.align.recipe, self.align.chain
        if chain == "continue" and first.method != second.method:
            raise ValueError(
                f"midtraining is {first.method} and alignment {second.method}: nothing goes on; write align.chain: merge"
            )
        if chain == "continue" and first.adapter and first.lora != second.lora:
            raise ValueError(
                "the adapter goes on, so both recipes need the same `lora:`; or write align.chain: new or merge"
            )
        if first.holding != second.holding:
            raise ValueError(
                f"midtraining holds its base as {first.method} {first.weights} and alignment as {second.method} {second.weights}: "
                "every model of a study is scored under one holding, so give both stages the same"
            )
        if chain == "merge" and first.method == "qlora":
            raise ValueError("an adapter trained over 4-bit weights fits no others: align.chain: continue or new, not merge")
        if chain == "new" and not second.adapter:
            raise ValueError("align.chain: new puts a new adapter beside the first; full training needs continue or merge")
        return self

    @property
    def holding(self) -> dict[str, Any]:
        """How models of this study hold their weights when they are scored; empty where in fp32."""
        stage = self.midtrain or self.align
        return stage.recipe.holding if stage and stage.recipe.holding != Recipe().holding else {}


PROFILE_KEYS = (
    "notes",
    "tuned_to_target",
    "family",
    "base_models",
    "replicates",
    "midtrain",
    "align",
    "probe",
    "gates",
    "runtime",
)
"""What a profile may set: scale and substrate, nothing of the design."""
DEFAULT_PROFILE = "micro"


def json_schema() -> dict[str, Any]:
    """The JSON schema of a study file, for editors: what profiles may set is optional at the top."""
    schema = Study.model_json_schema()
    overlay = {k: v for k, v in schema["properties"].items() if k in PROFILE_KEYS}
    schema["required"] = [k for k in schema["required"] if k not in PROFILE_KEYS]
    schema["properties"]["default_profile"] = {"type": "string", "default": DEFAULT_PROFILE}
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
