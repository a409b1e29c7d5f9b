"""The protocol of an eval kind, and what every eval of a study declares.

An eval kind is one folder: its settings, the identity of its score steps, and how a model is read out. An installed package adds
its own by an entry point of the group `specsci.evals`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field, SerializeAsAny, ValidationError, field_validator
from pydantic_core import InitErrorDetails, PydanticCustomError

from specsci.core.errors import nearest
from specsci.core.registry import Registry
from specsci.core.yaml_file import Strict

if TYPE_CHECKING:
    from specsci.core.context import Facts, StepContext

Role = Literal["outcome", "trained", "competence", "capability", "guard", "recall"]
Outcome = Literal["binary", "ordinal", "rate"]
"""What an answer is: aligned or not; a `value` on an ordered scale; a `value` that is a share of samples. The last two are
analysed as means of `value`."""
MIN_COMPETENCE, MAX_CAPABILITY_LOSS = 0.7, 0.1
DEFAULT_KIND = "forced_choice"


class EvalConfig(Strict):
    """One eval: what is asked, how, and what it is for. Further keys are those of its kind."""

    kind: str = Field(default=DEFAULT_KIND, description="The eval kind: what is asked of a model and how it is read out.")
    items: str = Field(default="", description="The item set of the family that is asked; for kinds that ask one.")
    role: Role = Field(
        default="outcome",
        description="What the eval is for: the outcome, items that training named, a competence control in the same format "
        "(verdicts are withheld below `min_competence`), a general capability set or a guard (over-refusal, over-deference, coherence: "
        "an arm that answers either worse than the base model (no treatment) by more than `max_capability_loss` is flagged), or recall "
        "of the spec.",
    )
    min_competence: float = Field(
        default=MIN_COMPETENCE,
        ge=0.5,
        le=1,
        description="Of a competence control: the least rate at which verdicts are given.",
    )
    max_capability_loss: float = Field(
        default=MAX_CAPABILITY_LOSS,
        ge=0,
        le=1,
        description="Of a capability set or a guard: how much worse than the base is not flagged.",
    )
    readout: str = Field(
        default="", description="Which readout tables and contrasts take, where the kind has several; its first by default."
    )

    harness: list[str] = Field(
        default_factory=list,
        description="The harness conditions that it is asked under, by their names in `harness`; tables and arms without a condition take the "
        "first. By default questions are asked as they are.",
    )
    arms: list[str] = Field(default_factory=list, description="The arms that are asked; all by default.")
    budgets_tokens: list[int] = Field(
        default_factory=list, description="The AFT budgets of aligned arms at which they are asked; all by default."
    )

    @field_validator("harness", "arms", "budgets_tokens")
    @classmethod
    def _once(cls, given: list[Any]) -> list[Any]:
        if len(set(given)) < len(given):
            raise ValueError("an entry is there twice")
        return given

    @classmethod
    def alternatives(cls) -> list[type[EvalConfig]]:
        """The settings of every kind, for hints on unknown keys."""
        return [kind.config for kind in EVALS] if cls is EvalConfig else [cls]

    def declared(self) -> dict[str, Any]:
        """What the study says of the eval, as manifests and registrations keep it."""
        later = ("readout", "harness", "arms", "budgets_tokens")  # registrations of earlier versions do not have these keys
        return {key: value for key, value in self.model_dump().items() if value or key not in later}


@dataclass(frozen=True)
class Judging:
    """What a language model is asked about the answers of one model.

    Attributes:
        role: the input of the score step that holds its verdicts.
        generator: its name in `generators`.
        params: what decides the verdicts beside the answers and the generator.
        spec: a variant whose spec it is shown; empty for none.
        requests: about how many, for each question that is asked once.
        prompt_characters, reply_tokens: about how long a request is without the answer, and how long a verdict is.
    """

    role: str
    generator: str
    params: dict[str, Any]
    spec: str
    requests: float
    prompt_characters: int
    reply_tokens: int


Read = Callable[[str, str, int], str]
"""A text that a key of the eval gives: the text itself, or that of a file beside the study of at most so many bytes."""


class EvalKind(ABC):
    """One way to ask a model.

    Attributes:
        name: what studies write as `kind`.
        config: its settings; fields beyond those of `EvalConfig` are the kind's own.
        outcome: what an answer is.
        readouts: the names that its rows have as `readout`, the one that contrasts take first.
        step: the kind of step that scores; `score` calls `score` below.
        sampled: whether the model's answers are drawn in a step of their own, by `sample`; `score` then reads them, and asks no model.
        sample_step: of one that is `sampled`, the kind of step that draws; it calls `sample` below.
        asks: the sort of items that it can ask: `choices` with two options, open `questions`, or both.
        expresses: what of a harness condition it can put around a question; names of `specsci.study.harness`.
        elsewhere: whether scores are made elsewhere and `brought`, so that the study asks no model.
        version: bumped by hand when the code changes what it computes; the bump asks every model again.
    """

    name: ClassVar[str]
    config: ClassVar[type[EvalConfig]]
    outcome: ClassVar[Outcome] = "binary"
    readouts: ClassVar[tuple[str, ...]]
    step: ClassVar[str] = "score"
    sampled: ClassVar[bool] = False
    sample_step: ClassVar[str] = "sample"
    asks: ClassVar[frozenset[str]] = frozenset({"choices"})
    expresses: ClassVar[frozenset[str]] = frozenset()
    elsewhere: ClassVar[bool] = False
    version: ClassVar[int] = 1

    def identity(self, config: Any) -> dict[str, Any]:
        """The settings that decide a score: params of its step beside the items, the model and the tokenizer."""
        common = EvalConfig.model_fields
        return {k: v for k, v in config.model_dump(mode="json").items() if k not in common}

    def outcome_of(self, config: Any) -> Outcome:
        """What an answer of one eval is; a kind that leaves it to the study has a setting `outcome`, and has it in its identity."""
        found: Outcome = getattr(config, "outcome", self.outcome)
        return found

    def outside(self, config: Any) -> list[str]:
        """Files beside the study that the score step takes, part of its identity by their content."""
        return []

    def brought(self, config: Any, folder: Path, model: str) -> dict[str, Any] | None:
        """Of a kind whose scores are made `elsewhere`: what identifies those of a model, in the study's folder; None where there are none yet.

        Raises:
            UserError: the file that holds them is not usable.
        """
        return {}

    def generators(self, config: Any) -> dict[str, str]:
        """Language models that the scoring asks: the eval's key to the name in `generators`."""
        return {}

    def requests(self, config: Any) -> tuple[int, float, float]:
        """Of a kind whose sampling asks a generator: about how many requests of a model, and the tokens of each, in and out."""
        return 0, 0.0, 0.0

    def judging(self, config: Any, read: Read) -> list[Judging]:
        """The steps in which language models judge a model's answers; raises UserError where a text of the study is not usable."""
        return []

    def told(self, config: Any) -> dict[str, Any]:
        """What the score step is told that decides no score: `runtime["eval"]` of its context."""
        return {}

    def sampling(self, config: Any) -> dict[str, Any]:
        """Of a kind that is `sampled`: the settings that decide an answer; `identity` has those that decide how it is read."""
        return {}

    def answers_of(self, config: Any) -> str:
        """Of a kind that is `sampled`: the other eval of the study whose answers it reads; empty for answers of its own."""
        return ""

    def answers_to_each(self, config: Any) -> int:
        """Of a kind that is `sampled`: how many answers a model gives to one question in one order."""
        return int(getattr(config, "samples", 1))

    def judge(self, context: StepContext) -> Facts:
        """Of a kind with `judging`: ask a language model about the answers of one model, and write the judgements and requests."""
        raise NotImplementedError(f"answers of '{self.name}' are not judged")

    def sample(self, context: StepContext) -> Iterable[dict[str, Any]]:
        """Of a kind that is `sampled`: the answers of one model, columns of `specsci.evals.samples.ROWS`."""
        raise NotImplementedError(f"answers of '{self.name}' are not sampled")

    def readouts_of(self, config: Any) -> tuple[str, ...]:
        """The readouts that the rows of one eval have, the one that contrasts take first."""
        return self.readouts

    def in_chats(self, settings: dict[str, Any]) -> bool:
        """Whether it asks in turns of the chat template, by what `identity` gave."""
        return bool(settings.get("format", "chat") == "chat")

    @abstractmethod
    def read_tokens(self, config: Any, items_text: str) -> float:
        """About how many tokens a model reads and writes for all items, for estimates."""

    @abstractmethod
    def longest_tokens(self, settings: dict[str, Any], items: Path, identity: dict[str, str], tokenizer: Any) -> int:
        """Tokens of the longest question with its answer, asked before anything is spent.

        Args:
            settings: what `identity` gave; under a harness condition, `frame` is what stands around the question.
            items: the item set's file; `identity` are the names that its braces hold.

        Raises:
            SpecsciError: an item cannot be asked under this tokenizer.
        """

    @abstractmethod
    def score(self, context: StepContext) -> Iterable[dict[str, Any]]:
        """The rows of one model: columns of `specsci.evals.rows.ROWS`; a column that is not given has no value."""


BUILT_IN = (
    "specsci.evals.forced_choice.kind:KIND",
    "specsci.evals.generated_choice.kind:KIND",
    "specsci.evals.judged.kind:KIND",
    "specsci.evals.reasons.kind:KIND",
    "specsci.evals.open_answers.kind:KIND",
    "specsci.evals.agents.kind:KIND",
    "specsci.evals.command.kind:KIND",
    "specsci.evals.imported.kind:KIND",
)
EVALS: Registry[EvalKind] = Registry("specsci.evals", "eval kind", BUILT_IN, lambda kind: kind.name, EvalKind)


def of_kind(value: Any) -> Any:
    """The settings of an eval, checked by those of its kind."""
    if isinstance(value, EvalConfig):
        return value
    if not isinstance(value, dict):
        raise PydanticCustomError("no_eval", "must be a mapping of an eval's settings, such as {items: held_out}")
    name = value.get("kind", DEFAULT_KIND)
    kind = EVALS.get(name) if isinstance(name, str) else None
    if kind is None:
        raise _wrong("kind", f"no eval kind '{name}'; {nearest(str(name), EVALS.objects)}", name)
    found = kind.config.model_validate(value)
    has = kind.readouts_of(found)
    if found.readout and found.readout not in has:
        raise _wrong("readout", f"'{name}' has no readout '{found.readout}'; {nearest(found.readout, has)}", found.readout)
    return found


def _wrong(key: str, said: str, given: Any) -> ValidationError:
    what = PydanticCustomError("wrong_eval", "{said}", {"said": said})
    return ValidationError.from_exception_data("Eval", [InitErrorDetails(type=what, loc=(key,), input=given)])


Eval = Annotated[SerializeAsAny[EvalConfig], BeforeValidator(of_kind)]


def readout_of(config: EvalConfig) -> str:
    """The readout that tables and contrasts take of an eval."""
    return config.readout or EVALS[config.kind].readouts_of(config)[0]
