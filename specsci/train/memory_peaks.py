"""Measured peaks of device memory, kept beside a store's steps: they correct the next estimate of a stage of that sort."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

from specsci.recipe.memory import Shape
from specsci.recipe.recipe import Recipe, Runtime

FILE = "memory.jsonl"
LAST = 20
"""How many measurements of a sort are looked at: what drivers and libraries did long ago says little."""


def sort_of(shape: Shape, recipe: Recipe, runtime: Runtime, device_name: str) -> dict[str, object]:
    """What an estimate's error depends on; the numbers of sequences and tokens are in the estimate itself."""
    formats = recipe.model_dump(mode="json", include={"method", "precision", "weights", "optimizer"})
    spread = runtime.spread(recipe)
    return {**asdict(shape), **formats, "recompute": runtime.recompute, "spread": spread, "device": device_name}


def remember(store: Path, sort: dict[str, object], estimated_gib: float, measured_gib: float) -> None:
    """Keep one measurement, as one line."""
    line = json.dumps({"sort": sort, "estimated_gib": estimated_gib, "measured_gib": measured_gib})
    with (store / FILE).open("a", encoding="utf-8") as file:
        file.write(line + "\n")


def correction(store: Path, sort: dict[str, object]) -> float:
    """The largest of the last measured peaks over their estimates; 1 where nothing of this sort was measured."""
    if not (store / FILE).is_file():
        return 1.0
    ratios = []
    for line in (store / FILE).read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            entry = json.loads(line)
        except json.JSONDecodeError:  # a kill cut this line short; the measurements on the others stand
            continue
        if entry["sort"] == sort:
            ratios.append(entry["measured_gib"] / entry["estimated_gib"])
    return max(ratios[-LAST:], default=1.0)
