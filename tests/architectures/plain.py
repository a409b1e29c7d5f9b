"""What a plain transformers forward says, row by row and without any of specsci's batching: the independent values."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM

from specsci.core.token_row import TokenRow


def load(folder: Path) -> Any:
    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()


@torch.no_grad()
def loss(model: Any, rows: list[TokenRow]) -> float:
    """Mean negative log-likelihood of all tokens but each row's first, in nats."""
    total, count = 0.0, 0
    for row in rows:
        ids = torch.tensor([row.input_ids])
        logp = model(input_ids=ids).logits.double()[0, :-1].log_softmax(-1)
        total -= float(logp.gather(1, ids[0, 1:, None]).sum())
        count += ids.shape[1] - 1
    return total / count


@torch.no_grad()
def log_probability(model: Any, ids: tuple[int, ...], start: int) -> float:
    """Summed log-probability of the tokens from `start` on, in nats."""
    logp = model(input_ids=torch.tensor([ids])).logits.double()[0].log_softmax(-1)
    return sum(float(logp[place - 1, ids[place]]) for place in range(start, len(ids)))
