"""Log-probabilities of continuations: what a causal model says of given tokens after given tokens.

A prompt that several continuations share is run once and its cache serves them all, in models where that gives what a
whole forward pass gives; it is proved once for every architecture. In others every continuation is run as a whole.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import torch

Row = TypeVar("Row")
BATCH_TOKENS = 16_384
BATCH_LOGITS = 2**27
"""The most logits of one batch: half a GiB in fp32, which a large vocabulary reaches first."""
SAME_NATS = {torch.float32: 1e-4}
"""Up to which difference two ways of scoring count as one, by the precision of the logits; else `SAME_NATS_REDUCED`."""
SAME_NATS_REDUCED = 0.05
_SHARES: dict[str, bool] = {}


class Continuation(Protocol):
    """Token ids of a prompt and what follows it, and where that begins. Hashable."""

    @property
    def ids(self) -> tuple[int, ...]:
        """Token ids up to the end of the option."""

    @property
    def start(self) -> int:
        """Where the option begins."""


@dataclass(frozen=True)
class _Option:
    ids: tuple[int, ...]
    start: int


def batch_limit(model: Any) -> int:
    """Tokens of one batch for a model."""
    return min(BATCH_TOKENS, max(1, BATCH_LOGITS // int(model.config.get_text_config().vocab_size)))


def log_probabilities(model: Any, options: list[Any], pad_token_id: int) -> dict[Any, float]:
    """The summed log-probability (nats) of each continuation's own tokens.

    Args:
        model: a causal LM in evaluation mode.
        options: `Continuation`s, each once.
    """
    words = [o for o in options if len(o.ids) - o.start == 1]
    phrases = [o for o in options if len(o.ids) - o.start != 1]
    scores = _read_words(model, words, pad_token_id)
    if phrases and shares_cache(model, pad_token_id):
        scores.update(_read_phrases(model, phrases, pad_token_id))
    else:
        scores.update(read_whole(model, phrases, pad_token_id))
    return scores


def read_whole(model: Any, options: list[Any], pad_token_id: int) -> dict[Any, float]:
    """Log-probabilities of continuations by one forward pass over prompt and continuation, padded on the right."""
    scores: dict[Any, float] = {}
    for batch in batches(sorted(options, key=lambda o: len(o.ids)), batch_limit(model), lambda o: len(o.ids)):
        scores.update(_run_whole(model, batch, pad_token_id))
    return scores


@torch.no_grad()
def _run_whole(model: Any, batch: list[Any], pad: int) -> dict[Any, float]:
    device = next(model.parameters()).device
    ids, mask = padded([o.ids for o in batch], pad)
    logits = model(input_ids=ids.to(device), attention_mask=mask.to(device), use_cache=False).logits
    out = {}
    for row, option in enumerate(batch):
        logp = torch.log_softmax(logits[row, option.start - 1 : len(option.ids) - 1].float().cpu(), dim=-1)
        out[option] = float(logp.gather(1, torch.tensor(option.ids[option.start :])[:, None]).sum())
    return out


def shares_cache(model: Any, pad_token_id: int) -> bool:
    """Whether a prompt's cache may serve several continuations of this architecture: proved once, against whole passes."""
    bare = model.get_base_model() if hasattr(model, "peft_config") else model
    key = f"{type(bare).__name__} {next(model.parameters()).dtype} {model.config.to_json_string()}"
    if key not in _SHARES:
        _SHARES[key] = _prove_sharing(model, pad_token_id)
    return _SHARES[key]


def _prove_sharing(model: Any, pad: int) -> bool:
    from specsci.models.proofs import sample_for

    sample = sample_for(model)
    room = sample.longest - 4
    if room < 2:
        return False
    prompts = [tuple(sample.row(min(length, room), length)) for length in (7, 12, room)]
    tails = [tuple(sample.row(length, 90 + length)) for length in (2, 3, 4)]
    options = [_Option(prompt + tail, len(prompt)) for prompt in prompts for tail in tails]
    whole = read_whole(model, options, pad)
    try:
        shared = _read_phrases(model, options, pad)
    except torch.OutOfMemoryError:
        raise
    except Exception:  # noqa: BLE001 - each architecture fails in its own way where its cache cannot be shared
        return False
    same = SAME_NATS.get(next(model.parameters()).dtype, SAME_NATS_REDUCED)
    return all(abs(shared[o] - whole[o]) <= same * max(1.0, abs(whole[o]) / 10) for o in options)


def _read_words(model: Any, options: list[Any], pad_token_id: int) -> dict[Any, float]:
    """Log-probabilities of options of one token: each distinct prompt is run once, its last distribution tells them all."""
    by_prompt: dict[tuple[int, ...], list[Any]] = {}
    for option in options:
        by_prompt.setdefault(option.ids[:-1], []).append(option)
    scores = {}
    for batch in batches(sorted(by_prompt, key=len), batch_limit(model), len):
        scores.update(_run_words(model, batch, by_prompt, pad_token_id))
    return scores


def batches(rows: list[Row], limit: int, length: Callable[[Row], int]) -> list[list[Row]]:
    """Rows, shortest first, in batches that hold at most `limit` tokens when padded (or one row)."""
    out: list[list[Row]] = []
    for row in rows:
        if out and length(row) * (len(out[-1]) + 1) <= limit:
            out[-1].append(row)
        else:
            out.append([row])
    return out


@torch.no_grad()
def _run_words(
    model: Any, batch: list[tuple[int, ...]], by_prompt: dict[tuple[int, ...], list[Any]], pad: int
) -> dict[Any, float]:
    device = next(model.parameters()).device
    input_ids, mask = padded(batch, pad)
    logits = model(input_ids=input_ids.to(device), attention_mask=mask.to(device)).logits.float().cpu()
    out = {}
    for row, prefix in enumerate(batch):
        logp = torch.log_softmax(logits[row, len(prefix) - 1], dim=-1)
        for option in by_prompt[prefix]:
            out[option] = float(logp[option.ids[-1]])
    return out


def _read_phrases(model: Any, options: list[Any], pad_token_id: int) -> dict[Any, float]:
    """Log-probabilities of options of several tokens: a prompt is run once, and its cache serves all its options."""
    by_prompt: dict[tuple[int, ...], list[Any]] = {}
    for option in options:
        by_prompt.setdefault(option.ids[: option.start], []).append(option)
    scores: dict[Any, float] = {}
    batch: list[tuple[int, ...]] = []
    limit = batch_limit(model)
    for prompt in sorted(by_prompt, key=len):
        wide = [o for p in (*batch, prompt) for o in by_prompt[p]]
        tokens = max(len(prompt) * (len(batch) + 1), max(len(o.ids) - o.start for o in wide) * len(wide))
        if batch and tokens > limit:
            scores.update(_run_phrases(model, batch, by_prompt, pad_token_id))
            batch = []
        batch.append(prompt)
    if batch:
        scores.update(_run_phrases(model, batch, by_prompt, pad_token_id))
    return scores


@torch.no_grad()
def _run_phrases(
    model: Any, batch: list[tuple[int, ...]], by_prompt: dict[tuple[int, ...], list[Any]], pad: int
) -> dict[Any, float]:
    """One batch: prompts padded on the left, so that their ends meet, then the options' tokens over the cache."""
    device = next(model.parameters()).device
    prompt_ids, prompt_mask = padded(batch, pad, left=True)
    positions = (prompt_mask.cumsum(1) - 1).clamp(min=0)
    first = model(
        input_ids=prompt_ids.to(device),
        attention_mask=prompt_mask.to(device),
        position_ids=positions.to(device),
        use_cache=True,
        logits_to_keep=1,
    )
    starts = torch.log_softmax(first.logits[:, -1].float().cpu(), dim=-1)
    rows = [(row, option) for row, prompt in enumerate(batch) for option in by_prompt[prompt]]
    owners = torch.tensor([row for row, _ in rows])
    ids, mask = padded([option.ids[option.start : -1] for _, option in rows], pad)
    cache = first.past_key_values
    cache.batch_select_indices(owners.to(device))
    lengths = torch.tensor([len(batch[row]) for row, _ in rows])[:, None]
    second = model(
        input_ids=ids.to(device),
        attention_mask=torch.cat([prompt_mask[owners], mask], 1).to(device),
        position_ids=(lengths + torch.arange(ids.shape[1])).to(device),
        past_key_values=cache,
        use_cache=True,
    )
    out = {}
    for number, (row, option) in enumerate(rows):
        tail = option.ids[option.start :]
        logp = torch.log_softmax(second.logits[number, : len(tail) - 1].float().cpu(), dim=-1)
        out[option] = float(starts[row, tail[0]]) + float(logp.gather(1, torch.tensor(tail[1:])[:, None]).sum())
    return out


def padded(rows: list[Any], pad: int, *, left: bool = False) -> tuple[Any, Any]:
    """Token ids and mask of rows of several lengths, `(rows, longest)` each."""
    length = max(len(row) for row in rows)
    ids = torch.full((len(rows), length), pad, dtype=torch.long)
    mask = torch.zeros((len(rows), length), dtype=torch.long)
    for number, row in enumerate(rows):
        place = slice(length - len(row), length) if left else slice(0, len(row))
        ids[number, place] = torch.tensor(row)
        mask[number, place] = 1
    return ids, mask
