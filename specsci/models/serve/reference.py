"""What a trained model predicts at some places of a text, as the trainer computes it: what a served copy of it is held against.

The reference lies beside the adapter as `reference.json`: the token ids of a text that it was trained on, and of some beginnings of that
text the most probable next tokens with their log-probabilities.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from specsci.models.serve.server import TOP, TopLogprobs

FILE = "reference.json"
MOST_TOKENS, PLACES = 48, 8
KEPT = 4 * TOP
"""Kept of each place: a server's most probable tokens are among them where it serves the same model."""


@dataclass(frozen=True)
class Reference:
    """Token ids of a text, and what follows some beginnings of it: their length to the most probable next tokens."""

    ids: list[int]
    following: dict[int, TopLogprobs]

    @property
    def prompts(self) -> list[list[int]]:
        """The beginnings, in the order of `following`."""
        return [self.ids[:length] for length in self.following]


def reference_of(model: Any, ids: Sequence[int]) -> Reference:
    """The reference of a model on a text, in the dtype that it is scored in: mixed precision is the trainer's alone, and is taken off."""
    import torch
    from accelerate.utils.other import extract_model_from_parallel

    model = extract_model_from_parallel(model, keep_fp32_wrapper=False)
    kept = list(ids[:MOST_TOKENS])
    lengths = _places(len(kept))
    was = model.training
    model.eval()
    try:
        with torch.inference_mode():
            device = next(model.parameters()).device
            logits = model(input_ids=torch.tensor([kept], device=device)).logits[0].float().log_softmax(-1)
        following = {}
        for length in lengths:
            values, tokens = logits[length - 1].topk(min(KEPT, logits.shape[-1]))
            following[length] = dict(zip(tokens.tolist(), (round(v, 6) for v in values.tolist()), strict=True))
        return Reference(kept, following)
    finally:
        model.train(was)


def _places(tokens: int) -> list[int]:
    """Lengths of beginnings, spread over a text; the whole text is one of them."""
    count = min(PLACES, tokens)
    return sorted({max(1, round(tokens * (n + 1) / count)) for n in range(count)})


def write_reference(folder: Path, reference: Reference) -> None:
    """Write a reference into an artefact's folder."""
    following = {str(length): {str(token): value for token, value in top.items()} for length, top in reference.following.items()}
    (folder / FILE).write_text(json.dumps({"ids": reference.ids, "following": following}) + "\n", encoding="utf-8")


def read_reference(folder: Path) -> Reference | None:
    """The reference in an artefact's folder; None where an earlier version, or several devices, wrote none."""
    path = folder / FILE
    if not path.is_file():
        return None
    said = json.loads(path.read_text(encoding="utf-8"))
    following = {int(length): {int(token): float(value) for token, value in top.items()} for length, top in said["following"].items()}
    return Reference([int(token) for token in said["ids"]], following)
