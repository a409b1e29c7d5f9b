"""The model that a step reads out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from specsci.core.context import StepContext
from specsci.core.errors import StepFailed
from specsci.core.ids import canonical_json
from specsci.models.hf import FP32, WeightFormat, folded, kept_model, load_model


def scored_model(context: StepContext) -> Any:
    """The model that a step reads out, in the number format that its study says; the last one is kept for the next step.

    Raises:
        StepFailed: the model was trained with another tokenizer or chat template than it would be served with.
    """
    key, load = _loading(context)
    return kept_model(key, load)


def fresh_model(context: StepContext) -> Any:
    """The same, loaded for this step alone, so that it may be changed; raises as `scored_model` does."""
    return _loading(context)[1]()


def _loading(context: StepContext) -> tuple[str, Callable[[], Any]]:
    """What tells the model from others, and how it is loaded."""
    record, served = context.records.get("model"), context.input_digests["tokenizer"]
    if record is not None and record.identity.inputs["tokenizer"] != served:
        raise StepFailed(
            f"the model was trained under another tokenizer or chat template than {served}",
            hint="score it with the tokenizer it was trained with: train and serve templates must be one",
        )
    places = {role: context.inputs[role] for role in ("base", "model", "below") if role in context.inputs}
    weight_format = WeightFormat(**context.params.get("holding", {}))
    merge, device = context.params.get("chain") != "new", context.runtime.get("device", "cpu")

    def load() -> Any:
        trained, below = places.get("model"), places.get("below")
        model = load_model(
            places["base"],
            trained,
            below=below,
            merge=merge,
            weight_format=weight_format,
            device=device,
            scratch=context.scratch,
        )
        return (folded(model) if weight_format == FP32 else model).eval()

    return canonical_json([{r: str(p) for r, p in places.items()}, asdict(weight_format), merge, device]), load
