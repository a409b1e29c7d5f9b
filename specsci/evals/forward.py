"""Log-probabilities of continuations: what a causal model says of given tokens after given tokens.

What several continuations share is run once and its cache serves them all (see `shared_prefixes`), in models where that gives what a
whole forward pass gives; it is proved once for every architecture. In others every continuation is run as a whole.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import torch

from specsci.evals.shared_prefixes import LEAST_STEM_TOKENS, common_tokens, read_shared

Row = TypeVar("Row")
BATCH_TOKENS = 16_384
CPU_BATCH_TOKENS, LARGE_HIDDEN = 2_048, 512
"""On a CPU, of models of this hidden size and more."""
BATCH_LOGITS = 2**27
"""The most logits of one batch: half a GiB in fp32, which a large vocabulary reaches first."""
LONG_BEGINNING_TOKENS = 64
"""From so many tokens that all prompts begin with alike, options of one token are read behind a shared beginning as well."""
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
    if common_tokens([o.ids[:-1] for o in words]) >= LONG_BEGINNING_TOKENS and shares_cache(model, pad_token_id):
        words, phrases = [], options  # behind a spec in the prompt: it is run once for all
    scores = _read_words(model, words, pad_token_id)
    if phrases and shares_cache(model, pad_token_id):
        scores.update(read_shared(model, phrases, pad_token_id, shared_limit(model)))
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
    begin, stem = tuple(sample.row(3, 70)), tuple(sample.row(LEAST_STEM_TOKENS + 2, 80))  # prompts that share all three levels, and some that do not
    cluster = tuple(sample.row(LEAST_STEM_TOKENS + 1, 75))
    alike = [begin + cluster + stem + tuple(sample.row(length, 60 + length)) for length in (2, 5)]
    prompts = [*alike, begin + cluster + tuple(sample.row(6, 65)), *(begin + tuple(sample.row(length, length)) for length in (1, 12)), tuple(sample.row(room, room))]
    prompts = [prompt[:room] for prompt in prompts if len(prompt) > 1]
    sets = [prompts[:-1], prompts]
    tails = [tuple(sample.row(length, 90 + length)) for length in (2, 3, 4)]
    try:
        for some in sets:
            if not _alike(model, [_Option(prompt + tail, len(prompt)) for prompt in dict.fromkeys(some) for tail in tails], pad):
                return False
    except torch.OutOfMemoryError:
        raise
    except Exception:  # noqa: BLE001 - each architecture fails in its own way where its cache cannot be shared
        return False
    return True


def _alike(model: Any, options: list[Any], pad: int) -> bool:
    """Whether options read over shared caches have the log-probabilities that whole passes give."""
    whole, shared = read_whole(model, options, pad), read_shared(model, options, pad, shared_limit(model))
    same = SAME_NATS.get(next(model.parameters()).dtype, SAME_NATS_REDUCED)
    return all(abs(shared[o] - whole[o]) <= same * max(1.0, abs(whole[o]) / 10) for o in options)


def shared_limit(model: Any) -> int:
    """Tokens of one batch over shared caches: on a CPU so few that what is worked on stays near it."""
    small = next(model.parameters()).device.type == "cpu" and model.config.get_text_config().hidden_size >= LARGE_HIDDEN
    return min(batch_limit(model), CPU_BATCH_TOKENS) if small else batch_limit(model)


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
