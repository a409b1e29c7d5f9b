"""The `tuning:` block of a study: which settings are searched, for which arms, by which objective."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from specsci.core.yaml_file import Strict
from specsci.study.parts import Replicate

LOSS = "loss"
"""The objective that needs no eval: the loss on held-out documents of the arm's own spec, in nats per token, after midtraining."""


class Range(Strict):
    """The values that one setting may take."""

    low: float = Field(description="The smallest value.")
    high: float = Field(description="The largest value.")
    scale: Literal["linear", "log"] = Field(default="linear", description="Whether values are spread evenly, or evenly by their logarithm (`log`).")

    @model_validator(mode="after")
    def _ordered(self) -> Range:
        if not self.low < self.high:
            raise ValueError("`low` must be below `high`")
        if self.scale == "log" and self.low <= 0:
            raise ValueError("a logarithmic range begins above 0")
        return self


class Constraint(Strict):
    """What a setting must keep to count: a floor for another eval's rate."""

    eval: str = Field(description="The eval, such as a capability eval.")
    at_least: float = Field(ge=0, le=1, description="The lowest rate that a tuned model may have there, as the mean over the tuning replicates.")


class Tuning(Strict):
    """A search for training settings with the same budget for every arm (see `specsci tune`)."""

    space: dict[str, Range] = Field(
        min_length=1, description="The settings that are searched, by dotted key, such as `align.recipe.learning_rate`, with their ranges."
    )
    arms: list[str] = Field(min_length=1, description="The arms that are tuned, each with as many trials as the others.")
    trials: int = Field(
        default=8, ge=2, le=1000,
        description="Trials of each arm. Up to 24 all arms try the same scrambled Sobol points; from 25 on each has a TPE sampler of its own.",
    )  # fmt: skip
    seed: int = Field(default=0, ge=0, lt=2**31, description="The seed of the Sobol points, or of the samplers.")
    replicates: list[Replicate] = Field(min_length=1, description="The replicates of every trial; their seeds are none of the study's.")
    objective: str = Field(
        default=LOSS,
        description="What a setting is chosen by: `loss` (on held-out documents of the arm's own spec, after midtraining), or an eval's rate. "
        "An eval that a contrast reports flags that contrast as tuned to its target.",
    )
    budget_tokens: int | None = Field(default=None, description="The AFT budget at which an eval is read; by default the largest.")
    constraint: Constraint | None = Field(default=None, description="What a setting must keep to be chosen; by default nothing.")

    @model_validator(mode="after")
    def _distinct(self) -> Tuning:
        if len(set(self.arms)) < len(self.arms):
            raise ValueError("an arm is named twice")
        if len({(r.seed, r.base_model) for r in self.replicates}) < len(self.replicates):
            raise ValueError("a replicate is named twice")
        return self
