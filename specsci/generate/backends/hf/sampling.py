"""Sampling that depends on a request alone, not on what shares its batch.

The token with the largest sum of a scaled logit and Gumbel noise is a draw from the softmax of the logits (Gumbel, 1954; Maddison
et al., 2014). The noise of every request comes from its own digest, so that a request gets the same reply in any batch, up to
rounding.
"""

from __future__ import annotations

from typing import Any

import torch
from transformers import LogitsProcessor

SEED_DIGITS = 15


class SeededSampling(LogitsProcessor):
    """Adds each row's own noise to its scores; a row without a `temperature` above 0 stays as it is, and is decoded greedily."""

    def __init__(self, digests: list[str], params: list[dict[str, Any]]) -> None:
        self.temperatures = [float(p.get("temperature", 1.0)) for p in params]
        self.top_p = [float(p.get("top_p", 1.0)) for p in params]
        self.draws = [torch.Generator().manual_seed(int(d[:SEED_DIGITS], 16)) for d in digests]

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """Scores whose largest is the sampled token, shape (rows, vocabulary)."""
        out = scores.float().clone()
        for row, (temperature, top_p, draws) in enumerate(zip(self.temperatures, self.top_p, self.draws, strict=True)):
            if temperature <= 0:
                continue
            scaled = out[row] / temperature
            if top_p < 1:
                scaled = _within(scaled, top_p)
            uniform = torch.rand(scaled.shape[-1], generator=draws, dtype=torch.float64)
            noise = -torch.log(-torch.log(uniform.clamp_min(1e-300)))
            out[row] = scaled + noise.to(scaled)
        return out


def _within(scores: torch.Tensor, top_p: float) -> torch.Tensor:
    """Scores with all tokens outside of the most likely `top_p` ruled out."""
    ordered, order = torch.sort(scores, descending=True)
    before = torch.cumsum(torch.softmax(ordered, -1), -1) - torch.softmax(ordered, -1)
    return scores.masked_fill(torch.zeros_like(scores, dtype=torch.bool).scatter(0, order, before >= top_p), float("-inf"))
