"""Arms resolved into recipes, and into the cells that a study scores."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from specsci.core.levels import arm_of, condition_of, tokens_of
from specsci.study.evals import EvalConfig
from specsci.study.parts import Replicate
from specsci.study.schema import Study


@dataclass(frozen=True)
class ResolvedArm:
    """What an arm does at one budget, field by field: what contrasts compare."""

    midtrain: bool
    msm_spec: str | None
    midtrain_tokens: int
    align: str | None
    aft_tokens: int
    order: str | None = None
    prompt: str = ""

    @classmethod
    def of(cls, study: Study, name: str, budget: int) -> ResolvedArm:
        """An arm at a budget; an arm that does not align has budget 0."""
        arm = study.arms[name]
        midtrained = sum(t.midtrain is not None for t in arm.treatments)
        aligned = len(arm.treatments) - midtrained
        return cls(
            midtrain=midtrained > 0,
            msm_spec=arm.midtrain,
            midtrain_tokens=midtrained * study.midtrain.tokens if study.midtrain else 0,
            align=arm.align,
            aft_tokens=aligned * budget,
            order=arm.order,
            prompt=arm.prompt,
        )


@dataclass(frozen=True)
class Cell:
    """One trained model of the design: an arm in a replicate at a budget."""

    arm: str
    replicate: Replicate
    aft_tokens: int


FACTOR_PARTS = {"midtrain": ("midtrain", "msm_spec", "midtrain_tokens"), "align": ("align", "aft_tokens"), "interaction": ()}
"""Fields that one factor sets together; any other factor is the field of its name."""


def budgets_of(study: Study, arm: str) -> list[int]:
    """The budgets that an arm is trained at; `[0]` for one that does not align."""
    return list(study.align.budgets_tokens) if study.arms[arm].align and study.align else [0]


def cells(study: Study) -> Iterator[Cell]:
    """Every cell of the design, arm by arm."""
    for arm in study.arms:
        for replicate in study.replicates:
            for budget in budgets_of(study, arm):
                yield Cell(arm, replicate, budget)


def is_asked(study: Study, spec: EvalConfig, arm: str, budget: int) -> bool:
    """Whether an eval asks an arm at a budget; budgets are those of arms that align."""
    if spec.arms and arm not in spec.arms:
        return False
    return not spec.budgets_tokens or not study.arms[arm].align or budget in spec.budgets_tokens


def confounds(study: Study, weights: dict[str, float], budget: int, factor: str, conditions: Sequence[str] = ()) -> list[str]:
    """What differs between the two sides of a contrast besides the declared factor.

    Args:
        weights: of arms, or of arms at a level (`rules@4000`).
        conditions: the harness conditions that the contrast's eval is asked under.

    Returns:
        Texts such as `aft_tokens (0 against 4000)`; empty when the contrast is clean.
    """
    sides = [[_at(study, name, budget, conditions) for name, w in weights.items() if w * sign > 0] for sign in (1, -1)]
    meant = FACTOR_PARTS.get(factor, (factor,))
    found = []
    for field in sides[0][0]:
        values = [sorted({str(arm[field]) for arm in side}) for side in sides]
        if values[0] != values[1] and field not in meant:
            found.append(f"{field} ({'/'.join(values[0])} against {'/'.join(values[1])})")
    return found


def _at(study: Study, name: str, budget: int, conditions: Sequence[str]) -> dict[str, Any]:
    """The resolved values of `ARM` or `ARM@LEVEL`, field by field, with the condition that it is asked under."""
    tokens, condition = tokens_of(name), condition_of(name) or next(iter(conditions), "")
    return {**asdict(ResolvedArm.of(study, arm_of(name), budget if tokens is None else tokens)), "harness": condition}
