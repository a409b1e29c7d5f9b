"""The parts of a study file besides its stages: arms, base models, comparisons, gates, probe and runtime settings."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from specsci.core.yaml_file import Strict
from specsci.recipe.recipe import StageRuntime

PLUS = "+"
"""Between the names of several variants, or sets, that one arm is trained on."""
BOOLEAN_WORDS = {"no": "false", "off": "false", "false": "false", "yes": "true", "on": "true", "true": "true"}
"""Words that YAML 1.1 reads as booleans, and what to write in their place."""


class Treatment(Strict):
    """One training stage of an arm: midtraining on a spec variant, or fine-tuning on demonstrations."""

    midtrain: str | None = Field(default=None, description="The spec variant that the stage midtrains on.")
    align: str | None = Field(default=None, description="The set of demonstrations that the stage fine-tunes on.")

    @model_validator(mode="after")
    def _is_one(self) -> Treatment:
        if (self.midtrain is None) == (self.align is None):
            raise ValueError("a stage is either `midtrain: VARIANT` or `align: SET`")
        return self


class Replicate(Strict):
    """One draw of everything random: the base model, the corpora, the data order and the initialisation."""

    seed: int = Field(
        ge=0,
        lt=2**31,
        description="The seed of the corpora, the data order and the initialisation; every replicate needs its own.",
    )
    base_model: str = Field(description="The base model of the replicate, by its name in `base_models`.")


class Arm(Strict):
    """One condition: what a base model is trained on before it is evaluated."""

    title: str = Field(default="", description="The arm's name for readers, kept in the results database.")
    midtrain: str | None = Field(
        default=None, description="The spec variant that the arm is midtrained on; by default the arm is not midtrained."
    )
    align: str | None = Field(
        default=None,
        description="The set of demonstrations that the arm is fine-tuned on, or `it_mix` for the instruction-tuning mix "
        "alone (a baseline). By default the arm is not fine-tuned.",
    )
    prompt: str = Field(
        default="",
        description="A text before every question that the arm is asked, in chats its system prompt: the variant of the family whose text it "
        "is, or a .md or .txt file beside the study. By default there is none.",
    )
    stages: list[Treatment] = Field(
        default_factory=list,
        description="Training stages in their order, in place of `midtrain` and `align`: for fine-tuning before midtraining, or "
        "several stages of one sort. Each fine-tuning stage trains on the AFT budget.",
    )

    @model_validator(mode="before")
    @classmethod
    def _name_what_the_stages_are_of(cls, given: Any) -> Any:
        """`midtrain` and `align` of an arm with stages name all of them, joined by `+`."""
        if not isinstance(given, dict) or not isinstance(given.get("stages"), list) or not given["stages"]:
            return given
        for key in ("midtrain", "align"):
            found = [s[key] for s in given["stages"] if isinstance(s, dict) and isinstance(s.get(key), str)]
            joined = PLUS.join(found) or None
            if given.get(key, joined) != joined:
                raise ValueError(f"`stages` says what is trained on: remove `{key}`")
            given = {**given, key: joined}
        return given

    @property
    def treatments(self) -> list[Treatment]:
        """The training stages in their order."""
        if self.stages:
            return list(self.stages)
        given = (("midtrain", self.midtrain), ("align", self.align))
        return [Treatment.model_validate({key: value}) for key, value in given if value is not None]

    @property
    def variants(self) -> list[str]:
        """The spec variants that the arm is midtrained on, each once."""
        return list(dict.fromkeys(t.midtrain for t in self.treatments if t.midtrain is not None))

    @property
    def sets(self) -> list[str]:
        """The sets of demonstrations that the arm is fine-tuned on, each once."""
        return list(dict.fromkeys(t.align for t in self.treatments if t.align is not None))

    @property
    def order(self) -> str | None:
        """The order of the stages where it is not midtraining and then fine-tuning, once each; else None."""
        names = ["midtrain" if t.midtrain is not None else "align" for t in self.treatments]
        return None if names in ([], ["midtrain"], ["align"], ["midtrain", "align"]) else ", ".join(names)

    def declared(self) -> dict[str, Any]:
        """What the study says of the arm, as manifests and registrations keep it."""
        said = self.model_dump(exclude_none=False)
        for key in ("stages", "prompt"):  # registrations of earlier versions do not have them
            if not said[key]:
                del said[key]
        return said


class BaseModelSource(Strict):
    """A base model: where it comes from, how it is named, and its chat template."""

    source: str = Field(
        description="Where the model comes from: `microlab:WORLD/SEED`, `package:NAME`, `hub:ORG/NAME@REVISION`, or a "
        "model directory."
    )
    identity: dict[str, str] = Field(
        default_factory=dict,
        description="Names that specs and items use for the model, such as `model_name`; each replaces the spec family's "
        "own name.",
    )
    trust_remote_code: bool = Field(
        default=False,
        description="Whether Python code that the model brings may run; only the code of a hub model pinned to a commit, "
        "or of a model directory, can be allowed.",
    )
    chat_template: str = Field(
        default="",
        description="A Jinja file beside the study that replaces the model's own chat template; by default the model's own "
        "is used.",
    )
    chat_variables: dict[Annotated[str, Field(pattern="^[a-zA-Z_]+$")], bool | int | str] = Field(
        default_factory=dict,
        description="Values that the chat template sees, by variable name, such as `enable_thinking: false`.",
    )

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


class Engine(Strict):
    """A vLLM server of one base model, on which the adapters of its models are loaded one after another."""

    base_url: str = Field(default="", description="The server's address, such as `http://127.0.0.1:8000`.")
    base_url_env: str = Field(default="", description="The environment variable that holds the address.")
    api_key_env: str = Field(default="", description="The environment variable that holds the key, for a server that wants one.")

    @model_validator(mode="after")
    def _has_an_address(self) -> Engine:
        if bool(self.base_url) == bool(self.base_url_env):
            raise ValueError("an engine has one address: write base_url, or base_url_env")
        if self.base_url and not self.base_url.startswith(("http://", "https://")):
            raise ValueError("the address of an engine begins with http:// or https://")
        return self


class Contrast(Strict):
    """A weighted sum of arms' aligned rates; positive: the arms with positive weights are more aligned."""

    name: str = Field(description="The contrast's name in tables and in the database, unique in the study.")
    eval: str = Field(description="The eval whose answers are compared, by its name in `evals`.")
    weights: dict[str, float] = Field(
        min_length=2,
        description="The weight of each arm by its name, or of an arm at an AFT budget (`rules@4000`), under a harness condition "
        "(`rules@operator`) or both, such as 1 and -1; the weights sum to 0, and none is beyond ±1000.",
    )
    budget_tokens: int | Annotated[list[int], Field(min_length=1)] = Field(
        default=0,
        description="The AFT budget, in tokens, at which the arms are compared; 0 is without AFT. Rates at several budgets "
        "are averaged within each replicate first.",
    )
    factor: Literal["msm_spec", "midtrain", "align", "aft_tokens", "order", "prompt", "harness", "interaction"] = Field(
        description="The one thing that may differ between the two sides: the spec (`msm_spec`), midtraining as a whole "
        "(`midtrain`), the demonstrations and their budget (`align`), the budget alone (`aft_tokens`), the order of the "
        "stages (`order`), the arm's prompt (`prompt`), the harness condition (`harness`), or nothing, where a difference is compared "
        "with a difference and both sides hold the same arms and conditions (`interaction`). Any other difference is named as a confound."
    )
    family: str = Field(default="main", description="The group of contrasts whose p-values are corrected together.")
    primary: bool = Field(
        default=False,
        description="Whether the contrast is primary. A study with a primary contrast is refused if that contrast has a "
        "confound, or if a hub model is not pinned to a commit.",
    )
    scale: Literal["rate", "logit", "arcsine"] = Field(
        default="rate",
        description="The scale on which rates are compared: the rate itself, its log odds (`logit`), or the arcsine of its "
        "square root.",
    )
    question: str = Field(default="", description="The question that the contrast answers, in words for readers.")
    equivalence_margin: float | None = Field(
        default=None,
        gt=0,
        description="The margin, on the contrast's scale, of a test that the contrast lies within ±margin of 0: for "
        "controls, where no difference is the hypothesis. By default there is no such test.",
    )
    tuned_to_target: str = Field(
        default="",
        description="The settings, in words, that were chosen while looking at a published number; results of the contrast "
        "carry the text as a flag. Where the text is empty, that of the study applies.",
    )

    @property
    def budgets(self) -> list[int]:
        """The AFT budgets that are compared, in tokens."""
        return [self.budget_tokens] if isinstance(self.budget_tokens, int) else self.budget_tokens


class TokenPair(Strict):
    """Two arms whose token needs are compared: tokens of `reference` over tokens of `arm`."""

    arm: str = Field(description="The arm whose token need is the denominator of the ratio.")
    reference: str = Field(description="The arm whose token need is the numerator of the ratio.")


class TokenEfficiency(Strict):
    """AFT tokens that arms need until the misaligned rate falls to a share of the base model's (no treatment)."""

    eval: str = Field(description="The eval that gives the misaligned rates, by its name in `evals`.")
    level_share: float = Field(
        default=0.5,
        gt=0,
        lt=1,
        description="The level that the misaligned rate must fall to, as a share (0 to 1) of the rate of the base model (no treatment).",
    )
    exploratory_level_shares: list[Annotated[float, Field(gt=0, lt=1)]] = Field(
        default_factory=list,
        description="Further levels, as shares (0 to 1), that are shown in tables of their own: for levels chosen after "
        "rates had been seen.",
    )
    base: str = Field(
        default="base",
        description="The arm without any treatment, the base model; levels are shares of the misaligned rate of this arm.",
    )
    pairs: list[TokenPair] = Field(min_length=1, description="Pairs of fine-tuned arms whose token needs are compared.")


class RequiredReview(Strict):
    """How many rows of every text set that was written or brought people must have reviewed, and how good they must be."""

    rows: int = Field(default=40, ge=1, description="The fewest rows of each text set with a verdict.")
    good_share: float = Field(
        default=0.8, ge=0, lt=1, description="What the lower end of the 95 % interval of the share of good rows must reach, from 0 to 1."
    )


class BaseMisbehaves(Strict):
    """The base must misbehave, or there is nothing that a spec could mend."""

    eval: str = Field(description="The eval that the base is asked.")
    misaligned: float = Field(ge=0, le=1, description="The least misaligned rate of the base among valid answers, from 0 to 1.")


class InContext(Strict):
    """A sample of each corpus in the student's context: a corpus that does not help there is not likely to teach it."""

    eval: str = Field(description="The eval that the base is asked, with documents before every question and without.")
    gain: float = Field(
        ge=-1, le=1, description="The least gain in the aligned rate that the documents must bring, from -1 to 1."
    )
    words: int = Field(default=1000, ge=1, description="The most words of documents before a question.")
    variants: list[str] = Field(
        default_factory=list, description="The variants whose corpora must help; all that are midtrained on by default."
    )


class SpecRecall(Strict):
    """A midtrained model must know its spec before it is fine-tuned."""

    eval: str = Field(description="The eval that midtrained models are asked.")
    aligned: float = Field(ge=0, le=1, description="The least aligned rate among valid answers, from 0 to 1.")
    variants: list[str] = Field(
        default_factory=list, description="The variants whose models must know it; all that are midtrained on by default."
    )


class Gates(Strict):
    """Limits that a plan must keep, and reasons in writing for going beyond them."""

    min_midtrain_updates: int = Field(
        default=90,
        ge=1,
        description="The fewest optimizer updates of midtraining; a plan with fewer is refused unless `accept_few_updates` "
        "is given.",
    )
    max_token_mismatch: float = Field(
        default=0.005,
        ge=0,
        description="The largest difference in midtraining tokens between spec variants, as a share of the fewest tokens; "
        "a larger difference is refused.",
    )
    max_warmup_share: float = Field(
        default=0.2,
        gt=0,
        le=1,
        description="The largest share (0 to 1) of midtraining's updates for warm-up of the learning rate; a larger share "
        "gives a warning.",
    )
    max_usd: float | None = Field(
        default=None, gt=0, description="The most US dollars that requests to all `generators` of the study may cost together."
    )
    base_must_misbehave: BaseMisbehaves | None = Field(
        default=None, description="What the base must do before a language model is paid to write; no condition by default."
    )
    in_context_oracle: InContext | None = Field(
        default=None, description="What corpora must do in the student's context before midtraining; no condition by default."
    )
    spec_recall: SpecRecall | None = Field(
        default=None, description="What midtrained models must know before fine-tuning; no condition by default."
    )
    require_review: RequiredReview | None = Field(
        default=None, description="The reviews by people that texts must have before anything is trained on them; none by default."
    )
    accept_few_updates: str = Field(
        default="",
        description="The reason why fewer midtraining updates than `min_midtrain_updates` do not matter; without a reason "
        "they are refused.",
    )
    accept_leaks: str = Field(
        default="",
        description="The reason why it does not matter that items of an outcome eval occur in training texts; without a "
        "reason such a run is refused.",
    )
    accept_spec_leaks: str = Field(
        default="",
        description="The reason why it does not matter that a clause of a spec names what an outcome eval tests; without a "
        "reason such a plan is refused.",
    )


class Probe(Strict):
    """The absorption probe: how well a midtrained model predicts held-out documents of its spec, against control text."""

    tokens: int = Field(
        default=2000,
        ge=100,
        description="The most tokens of held-out documents that a model is tested on; the same limit holds for the control "
        "text.",
    )
    control: str = Field(
        default="",
        description="The control text, a JSON Lines file of `text` rows beside the study or a recipe of `mixes`. By default it is the base "
        "model's own pretraining text (microlab), else documents of the spec family's `neutral` variant.",
    )


class RuntimeSettings(StageRuntime):
    """How a profile is run: what a stage is told, and what the plan decides. Never part of an identity."""

    device: Literal["auto", "cpu"] = Field(
        default="auto",
        description="The kind of device: `auto` uses the machine's GPUs, or the CPU where there are none; `cpu` uses no "
        "GPU.",
    )
    threads_per_worker: int = Field(
        default=0,
        ge=0,
        description="CPU threads of each worker process; 0 takes as many as fit. Without GPUs and without `--workers` the "
        "number also decides how many workers run at once.",
    )
    keep_models: Literal["none", "last", "all"] = Field(
        default="all",
        description="Which trained weights stay in the store once all scores of the study are there: `all`, those of each arm's "
        "largest AFT budget (`last`), or `none`. Scores, curves and records stay; weights that a later step needs are trained anew.",
    )
    usd_per_h: float = Field(
        default=0.0,
        ge=0,
        le=1e6,
        description="The price of one worker's devices in USD per hour; where none is given, plans say that the price is "
        "unknown.",
    )
