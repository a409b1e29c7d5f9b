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
CANDIDATES = 512
"""Most likely tokens that are looked at first, before all are sorted."""


class SeededSampling(LogitsProcessor):
    """Leaves each row the one token that it draws; a row without a `temperature` above 0 stays as it is, and is decoded greedily."""

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
            values, tokens = _likely(out[row] / temperature, top_p)
            uniform = torch.rand(len(values), generator=draws, dtype=torch.float64)
            noise = -torch.log(-torch.log(uniform.clamp_min(1e-300)))
            chosen = tokens[(values.double().cpu() + noise).argmax()]
            out[row] = float("-inf")
            out[row, chosen] = 0.0
        return out


def _likely(scores: torch.Tensor, top_p: float) -> tuple[torch.Tensor, torch.Tensor]:
    """The scores of the most likely tokens that hold `top_p` of the probability, and the tokens, the likeliest first."""
    if top_p >= 1:
        return scores, torch.arange(len(scores), device=scores.device)
    log_whole = torch.logsumexp(scores, -1)
    for most in (min(CANDIDATES, len(scores)), len(scores)):
        values, tokens = torch.topk(scores, most)
        shares = torch.exp(values - log_whole)
        reached = torch.cumsum(shares, -1)
        if reached[-1] >= top_p:
            break
    kept = int((reached - shares < top_p).sum())
    return values[:kept], tokens[:kept]
