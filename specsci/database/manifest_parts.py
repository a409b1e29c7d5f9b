"""What a study's manifest is made of: cells, contrasts, arms, evals, and what else a reader rests on.

Fields stand in the order in which they are written. A field with a default was not written by every version of specsci; the
default is what a reader takes then. Further keys are kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from specsci.core.levels import reads
from specsci.study.evals import MAX_CAPABILITY_LOSS, MIN_COMPETENCE


class Part(BaseModel):
    """A manifest, or a part of one."""

    model_config = ConfigDict(frozen=True, extra="allow", strict=True)

    def plain(self) -> dict[str, Any]:
        """The keys that were given, as plain data: what is written, and what digests are over."""
        return self.model_dump(exclude_unset=True)


class Cell(Part):
    """One cell of a study's design, and the step that holds its scores."""

    arm: str
    base_model: str
    msm_spec: str | None
    aft_spec: str | None
    aft_tokens: int = Field(ge=0, lt=2**63)
    midtrain_tokens: int = Field(ge=0, lt=2**63)
    seed: int
    eval: str
    step_digest: str
    model_digest: str | None
    items_digest: str | None = None
    samples_digest: str | None = None
    spec_digest: str | None = None
    harness: str = ""
    frame_digest: str | None = None
    judgements_digest: str | None = None
    second_digest: str | None = None


class Contrast(Part):
    """A declared comparison, with its AFT budgets and what confounds it."""

    name: str
    eval: str
    weights: dict[str, float]
    factor: str = ""
    family: str
    primary: bool
    scale: Literal["rate", "logit", "arcsine"]
    question: str
    equivalence_margin: float | None = None
    tuned_to_target: str = ""
    budgets: list[int]
    confounds: list[str]

    def reads(self, of: str, aft_tokens: int, conditions: Sequence[str] = ()) -> bool:
        """Whether it is of a subject's cell (`core.levels`) at so many AFT tokens, its eval asked under `conditions`."""
        return reads(self.weights, self.budgets, of, aft_tokens, conditions)


class Arm(Part):
    """What an arm was trained on; several names are joined by `+`."""

    title: str
    midtrain: str | None
    align: str | None
    stages: list[dict[str, str | None]] = []
    prompt: str = ""


class Eval(Part):
    """An eval as the study declares it; an imported one has a role alone."""

    kind: str | None = None
    items: str | None = None
    role: str = "outcome"
    min_competence: float = MIN_COMPETENCE
    max_capability_loss: float = MAX_CAPABILITY_LOSS
    readout: str = ""
    harness: list[str] = []
    arms: list[str] = []
    budgets_tokens: list[int] = []

    @property
    def settings(self) -> dict[str, Any]:
        """What its kind has beyond this."""
        return self.model_extra or {}


class Readout(Part):
    """Which readout tables and contrasts take of an eval, and what an answer is."""

    readout: str | None = None
    outcome: str = "binary"


class Replicate(Part):
    """One draw of everything random."""

    seed: int
    base_model: str


class TokenPair(Part):
    """Two arms whose token needs are compared."""

    arm: str
    reference: str


class TokenEfficiency(Part):
    """Which pairs are compared by the tokens that they need, and at which levels."""

    eval: str
    level_share: float
    exploratory_level_shares: list[float] = []
    base: str
    pairs: list[TokenPair]


class Probe(Part):
    """A text that a model is probed with, and the step that holds its losses."""

    msm_spec: str
    base_model: str
    seed: int
    text: str
    stage: str
    step_digest: str


class FamilyParts(Part):
    """What a study's results depend on of its family: each part with its digest."""

    variants: dict[str, str] = {}
    grammar: str
    conversations: dict[str, str] = {}
    items: dict[str, str] = {}


class Imported(Part):
    """Where an imported study's rows lie, and what they were made of."""

    source: dict[str, str]
    level: Literal["counts", "answers"]
    file: str = Field(pattern=r"^[^/\x00]+$")
    sha256: str
    rows: int = 0
    answers: int = 0
