"""What is looked at before and after a stage: masked decodes of real rows, and how far weights moved."""

from __future__ import annotations

import math
from typing import Any

import torch

from specsci.core.errors import SpecsciError
from specsci.core.token_row import TokenRow
from specsci.models.structure import positions_of
from specsci.train.distributed import is_first, whole


def masked_decode(rows: list[TokenRow], tokenizer: Any, count: int = 3) -> list[str]:
    """The first rows as text, supervised stretches in ⟦brackets⟧: what the loss is really taken on."""
    return [_decode(row, tokenizer) for row in rows[:count]]


def _decode(row: TokenRow, tokenizer: Any) -> str:
    pieces, start = [], 0
    marks = row.supervised or [True] * len(row.input_ids)
    for end in range(1, len(marks) + 1):
        if end == len(marks) or marks[end] != marks[start]:
            text = tokenizer.decode(row.input_ids[start:end])
            pieces.append(f"⟦{text}⟧" if marks[start] else text)
            start = end
    return " ".join(pieces)


def check_positions(model: Any, rows: list[TokenRow], max_length_tokens: int) -> None:
    """Hold the longest row, cut as it will be, against a model that has a fixed number of positions.

    Raises:
        SpecsciError: the row is longer, which would be an index out of range in the middle of the stage.
    """
    limit, fixed = positions_of(model)
    longest = min(max((len(row.input_ids) for row in rows), default=0), max_length_tokens)
    if fixed and limit is not None and longest > limit:
        raise SpecsciError(
            f"a row has {longest:,} tokens, and the model {limit:,} positions",
            hint=f"write recipe.max_length_tokens: {limit}: longer rows are then cut",
        )


def snapshot(model: Any) -> dict[str, torch.Tensor]:
    """Copies of all trainable weights, in main memory: the device has none to spare. Only the rank that writes has them."""
    if not is_first():
        return {}
    return {name: p.detach().to("cpu", copy=True) for name, p in model.named_parameters() if p.requires_grad}


def change_by_module(model: Any, before: dict[str, torch.Tensor]) -> dict[str, float]:
    """Relative change of the trainable weights by module type: |after - before| / |before|.

    Raises:
        SpecsciError: a weight is not finite, or nothing moved at all.
    """
    moved: dict[str, list[float]] = {}
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        after = whole(parameter)  # all ranks take part, one keeps it
        if name not in before:
            continue
        delta = float((after - before[name]).norm())
        if not math.isfinite(delta):
            raise SpecsciError(f"'{name}' is not finite after training", hint="lower the learning rate")
        kind = next((part for part in reversed(name.split(".")) if part not in ("weight", "bias", "default")), name)
        total = moved.setdefault(kind, [0.0, 0.0])
        total[0] += delta**2
        total[1] += float(before[name].norm()) ** 2
    change = {kind: math.sqrt(d) / max(math.sqrt(n), 1e-12) for kind, (d, n) in moved.items()}
    if is_first() and not any(change.values()):
        raise SpecsciError("no weight moved in training", hint="check that the recipe trains something")
    return {kind: float(f"{value:.4g}") for kind, value in change.items()}
