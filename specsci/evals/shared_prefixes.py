"""Continuations that share beginnings: what all prompts begin with is run once, what some share is run once for those.

Three levels over one cache: the beginning of all prompts (a system prompt, a spec), the stem of prompts that are alike (an item in both
orders), the rest of each prompt; and behind it the options. Positions are given and padding is masked, so that gaps in the cache are
nothing. Whether an architecture allows that is proved by `specsci.evals.forward.shares_cache`.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

LEAST_STEM_TOKENS = 8
"""Below so many shared tokens behind the beginning of all, prompts are no group."""
Ids = tuple[int, ...]


@dataclass(frozen=True)
class Group:
    """Prompts that share a stem behind the common beginning; every prompt has at least one token behind it."""

    stem: Ids
    prompts: tuple[Ids, ...]


def shared(first: Sequence[int], second: Sequence[int]) -> int:
    """How many tokens two sequences begin with alike."""
    return next((n for n, (a, b) in enumerate(zip(first, second, strict=False)) if a != b), min(len(first), len(second)))


def grouped(prompts: Sequence[Ids]) -> tuple[Ids, list[Group]]:
    """The common beginning of prompts, and groups of those that share more."""
    ordered = sorted(prompts)
    shortest = min(map(len, ordered))
    common = min(shared(ordered[0], ordered[-1]), shortest - 1)
    groups: list[list[Ids]] = []
    stems: list[int] = []
    for prompt in ordered:
        if groups:
            alike = min(shared(groups[-1][0], prompt), stems[-1], len(prompt) - 1)
            if alike - common >= LEAST_STEM_TOKENS:
                groups[-1].append(prompt)
                stems[-1] = alike
                continue
        groups.append([prompt])
        stems.append(len(prompt) - 1)
    made = [Group(members[0][common:length], tuple(members)) for members, length in zip(groups, stems, strict=True)]
    return ordered[0][:common], made


def read_shared(model: Any, options: Sequence[Any], pad: int, limit: int) -> dict[Any, float]:
    """The summed log-probability of each option of two or more tokens.

    Args:
        limit: the most tokens of one batch, the common beginning counted for each of its rows.
    """
    by_prompt: dict[Ids, list[Any]] = {}
    for option in options:
        by_prompt.setdefault(option.ids[: option.start], []).append(option)
    common, groups = grouped(list(by_prompt))
    beginning = _beginning(model, common)
    scores: dict[Any, float] = {}
    for batch in _batches(groups, by_prompt, len(common), limit):
        scores.update(_run(model, common, beginning, batch, by_prompt, pad))
    return scores


def _batches(groups: list[Group], by_prompt: dict[Ids, list[Any]], common: int, limit: int) -> list[list[Group]]:
    """Groups of like length in batches whose widest level holds at most `limit` tokens."""
    out: list[list[Group]] = []
    longest = rows = 0
    for group in sorted(groups, key=lambda g: max(map(len, g.prompts))):
        wide = sum(len(by_prompt[p]) for p in group.prompts)
        long = max(len(o.ids) for p in group.prompts for o in by_prompt[p])
        if out and max(longest, long, common) * (rows + wide) <= limit:
            out[-1].append(group)
            longest, rows = max(longest, long), rows + wide
        else:
            out.append([group])
            longest, rows = long, wide
    return out


@torch.no_grad()
def _beginning(model: Any, common: Ids) -> Any:
    """The cache of the common beginning, one row; None where there is none."""
    if not common:
        return None
    device = next(model.parameters()).device
    return model(input_ids=torch.tensor([common], device=device), use_cache=True, logits_to_keep=1).past_key_values


@torch.no_grad()
def _run(model: Any, common: Ids, beginning: Any, batch: list[Group], by_prompt: dict[Ids, list[Any]], pad: int) -> dict[Any, float]:
    device = next(model.parameters()).device
    cache = copy.deepcopy(beginning)
    if cache is not None:
        cache.batch_repeat_interleave(len(batch))
    mask = torch.ones((len(batch), len(common)), dtype=torch.long)
    position = torch.full((len(batch), 1), len(common))
    if any(group.stem for group in batch):
        cache, mask, _ = _step(model, [g.stem for g in batch], cache, mask, position, pad, device, left=False)
    prompts = [(number, prompt) for number, group in enumerate(batch) for prompt in group.prompts]
    owners = torch.tensor([number for number, _ in prompts])
    begins = [len(common) + len(batch[number].stem) for number, _ in prompts]
    if cache is not None:
        cache.batch_select_indices(owners.to(device))
    tails = [prompt[begin:] for (_, prompt), begin in zip(prompts, begins, strict=True)]
    cache, mask, logits = _step(model, tails, cache, mask[owners], torch.tensor(begins)[:, None], pad, device, left=True)
    starts = torch.log_softmax(logits[:, -1].float().cpu(), dim=-1)
    rows = [(row, option) for row, (_, prompt) in enumerate(prompts) for option in by_prompt[prompt]]
    owners = torch.tensor([row for row, _ in rows])
    cache.batch_select_indices(owners.to(device))
    ends = torch.tensor([[len(prompts[row][1])] for row, _ in rows])
    _, _, logits = _step(model, [o.ids[o.start : -1] for _, o in rows], cache, mask[owners], ends, pad, device, left=False, keep=0)
    out = {}
    for number, (row, option) in enumerate(rows):
        tail = option.ids[option.start :]
        logp = torch.log_softmax(logits[number, : len(tail) - 1].float().cpu(), dim=-1)
        out[option] = float(starts[row, tail[0]]) + float(logp.gather(1, torch.tensor(tail[1:])[:, None]).sum())
    return out


def _step(
    model: Any, rows: list[Ids], cache: Any, mask: torch.Tensor, position: torch.Tensor, pad: int, device: Any, *, left: bool, keep: int = 1
) -> tuple[Any, torch.Tensor, torch.Tensor]:
    """Run some tokens of every row over its cache; returns cache, mask and logits.

    Args:
        mask: of what the cache holds, shape (rows, cached).
        position: of each row's first token, shape (rows, 1).
        keep: the last positions whose logits are made; 0 for all.
    """
    from specsci.evals.forward import padded

    ids, own = padded(rows, pad, left=left)
    whole = torch.cat([mask, own], 1)
    positions = position + (own.cumsum(1) - 1).clamp(min=0)
    out = model(
        input_ids=ids.to(device), attention_mask=whole.to(device), position_ids=positions.to(device), past_key_values=cache, use_cache=True,
        logits_to_keep=keep,
    )  # fmt: skip
    return out.past_key_values, whole, out.logits
