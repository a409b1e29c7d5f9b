"""What training and scoring take for granted of a causal language model, proved on the model itself.

Each proof runs a few short rows of tokens through a model in evaluation mode and compares logits. A difference counts
where it is large beside what the same change does inside a row: noise of rounding does not.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from specsci.models.structure import positions_of

NOISE = 2e-5
"""Differences of logits below this share of their size are those of rounding in fp32, whatever the model."""
TIMES_ROUNDING = 30
"""So many times the rounding that a model shows between batches counts as rounding too, up to `MOST_ROUNDING`."""
MOST_ROUNDING = 1e-2
LONGEST_TOKENS = 48
WINDOWS = ("sliding_window", "window_size", "attention_window_size", "attention_chunk_size")


@dataclass(frozen=True)
class Sample:
    """Rows of token ids for the proofs, and the model's vocabulary."""

    vocabulary: int
    longest: int

    def row(self, length: int, seed: int) -> list[int]:
        """Token ids that depend on the seed alone; special ones stand at the start of most vocabularies and are left out."""
        low = min(8, self.vocabulary // 2)
        generator = torch.Generator().manual_seed(seed)
        return torch.randint(low, self.vocabulary, (min(length, self.longest),), generator=generator).tolist()


def sample_for(model: Any) -> Sample:
    """A sample that the model's positions hold, longer than a short attention window."""
    positions, _ = positions_of(model)
    config = model.config.get_text_config()
    windows = [w for name in WINDOWS if isinstance(w := getattr(config, name, None), int) and 0 < w <= 256]
    longest = max([LONGEST_TOKENS, *(w + 9 for w in windows)])
    return Sample(int(config.vocab_size), min(longest, positions or longest))


@torch.no_grad()
def logits(model: Any, rows: list[list[int]], **more: Any) -> torch.Tensor:
    """Logits `(rows, tokens, vocabulary)` of rows of one length, in fp32."""
    device = next(model.parameters()).device
    ids = torch.tensor(rows, device=device)
    found: torch.Tensor = model(input_ids=ids, use_cache=False, **more).logits
    return found.float().cpu()


def _apart(a: torch.Tensor, b: torch.Tensor) -> float:
    """The largest difference, as a share of the logits' size."""
    return float((a - b).abs().max()) / max(float(a.abs().max()), 1e-9)


def rounding(model: Any, sample: Sample) -> float:
    """Up to which change of logits, as a share of their size, this model's own rounding explains it.

    Measured as what a second row of the same length in the batch changes, which is nothing but rounding.
    """
    rows = [sample.row(20, 9), sample.row(20, 10)]
    change = _apart(logits(model, rows[:1]), logits(model, rows)[:1])
    return min(max(NOISE, TIMES_ROUNDING * change), MOST_ROUNDING)


def isolates_rows(model: Any) -> bool:
    """Whether packed rows do not see each other in a model, proved on it in evaluation mode."""
    trained = bool(model.training)
    model.eval()
    try:
        sample = sample_for(model)
        change = neighbour_change(model, sample)
        return change is not None and change <= rounding(model, sample)
    finally:
        model.train(trained)


def later_change(model: Any, sample: Sample) -> float:
    """By how much a later token changes earlier logits, as a share of their size; a causal model: not at all."""
    row = sample.row(24, 1)
    half = len(row) // 2
    other = row[:half] + sample.row(24, 2)[half:]
    return _apart(logits(model, [row])[:, :half], logits(model, [other])[:, :half])


def neighbour_change(model: Any, sample: Sample) -> float | None:
    """By how much another first row of a packed sequence changes the logits of the second; None where it takes no positions.

    A packed sequence is one row of tokens whose positions begin anew with every row, without a mask, as training packs.
    """
    first, other, second = sample.row(9, 3), sample.row(9, 4), sample.row(12, 5)
    device = next(model.parameters()).device
    positions = torch.tensor([[*range(len(first)), *range(len(second))]], device=device)
    try:
        one = logits(model, [first + second], position_ids=positions)[:, len(first) :]
        two = logits(model, [other + second], position_ids=positions)[:, len(first) :]
    except torch.OutOfMemoryError:  # says nothing about the model
        raise
    except (TypeError, ValueError, RuntimeError, IndexError, AttributeError):
        return None
    return max(_apart(one, two), _apart(logits(model, [second]), one))


def padding_change(model: Any, sample: Sample) -> float:
    """By how much padding on the right changes the logits of a row, as a share of their size."""
    short, long = sample.row(11, 6), sample.row(sample.longest, 7)
    device = next(model.parameters()).device
    missing = len(long) - len(short)
    mask = torch.tensor([[1] * len(short) + [0] * missing, [1] * len(long)], device=device)
    both = logits(model, [short + [0] * missing, long], attention_mask=mask)
    return max(_apart(logits(model, [short]), both[:1, : len(short)]), _apart(logits(model, [long]), both[1:]))


def finite(model: Any) -> list[str]:
    """Names of weights and buffers that hold NaN or infinity (buffers of masks may hold minus infinity and are left out)."""
    return [name for name, p in model.named_parameters() if not bool(torch.isfinite(p).all())]


def gradient_problem(model: Any, sample: Sample) -> str | None:
    """What is wrong with one backward pass in training mode; None where loss and gradients are finite and not all zero."""
    ids = torch.tensor([sample.row(16, 8)], device=next(model.parameters()).device)
    model.train()
    try:
        logits_ = model(input_ids=ids, use_cache=False).logits.float()
        loss = torch.nn.functional.cross_entropy(logits_[0, :-1], ids[0, 1:])
        loss.backward()
        grads = [p.grad for p in model.parameters() if p.grad is not None]
        if not bool(torch.isfinite(loss)) or not all(bool(torch.isfinite(g).all()) for g in grads):
            return "its loss or its gradients are not finite"
        return None if any(bool(g.any()) for g in grads) else "no weight has a gradient"
    finally:
        model.zero_grad(set_to_none=True)
        model.eval()
