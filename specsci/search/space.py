"""The space that is searched: from points of the unit cube to settings of a study, as its file would have them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from scipy.stats import qmc

from specsci.core.errors import UserError
from specsci.study.load import LoadedStudy
from specsci.study.tuning import Range

Config = tuple[tuple[str, float | int], ...]
"""A setting: values by dotted key, in the order of the space."""


@dataclass(frozen=True)
class Axis:
    """One setting's range, and whether it takes whole numbers alone."""

    key: str
    range: Range
    whole: bool

    def at(self, share: float) -> float | int:
        """The value at a place between 0 and 1, to six digits: what a person would write down."""
        low, high = self.range.low, self.range.high
        if self.range.scale == "log":
            value = math.exp(math.log(low) + share * (math.log(high) - math.log(low)))
        else:
            value = low + share * (high - low)
        if self.whole:
            return min(math.floor(high), max(math.ceil(low), round(value)))
        return float(f"{value:.6g}")


def axes(loaded: LoadedStudy) -> list[Axis]:
    """The axes of a study's tuning space.

    Raises:
        UserError: a key that names no number of the study.
    """
    tuning, whole = loaded.study.tuning, loaded.study.model_dump(mode="python")
    found = []
    for key, values in (tuning.space if tuning else {}).items():
        now = _value(whole, key)
        if isinstance(now, bool) or not isinstance(now, (int, float)):
            raise UserError(f"tuning.space.{key}: the study has no number there", hint="name a number of a stage, such as align.recipe.learning_rate")
        found.append(Axis(key, values, isinstance(now, int)))
    return found


def present(loaded: LoadedStudy) -> Config:
    """The settings that the study has now, on the axes of its space."""
    whole = loaded.study.model_dump(mode="python")
    return tuple((axis.key, _value(whole, axis.key)) for axis in axes(loaded))


def _value(node: Any, key: str) -> Any:
    for part in key.split("."):
        if isinstance(node, list) and part.isdigit() and int(part) < len(node):
            node = node[int(part)]
        elif isinstance(node, dict) and part in node:
            node = node[part]
        else:
            return None
    return node


def sobol(axes: list[Axis], trials: int, seed: int) -> list[Config]:
    """Points of a scrambled Sobol sequence: the first of a longer list are those of a shorter one; a seed always gives the same."""
    sampler = qmc.Sobol(len(axes), scramble=True, rng=seed)
    cube = sampler.random_base2(max(1, math.ceil(math.log2(trials))))[:trials]  # a power of two: balanced, and no warning
    return [tuple((axis.key, axis.at(float(share))) for axis, share in zip(axes, point, strict=True)) for point in cube]


def said(config: Config) -> str:
    """A setting as a person reads it: the last part of each key with its value."""
    return ", ".join(f"{key.rpartition('.')[2]} {value:g}" for key, value in config)
