"""Contexts of single steps, without a study around them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from specsci.core.context import StepContext


def context_of(
    kind: str, params: dict[str, Any], folder: Path, inputs: dict[str, Path] | None = None, outside: str = ""
) -> StepContext:
    """What an action gets for a step that reads the given inputs and writes below a folder."""
    out, scratch = folder / "out", folder / "scratch"
    for made in (out, scratch):
        made.mkdir(parents=True, exist_ok=True)
    inputs = inputs or {}
    digests = {role: f"{number:024x}" for number, role in enumerate(inputs)}
    return StepContext(kind, "0" * 24, params, inputs, {}, digests, out, scratch, {"device": "cpu"}, outside=outside)
