"""Continuations that share beginnings: what several prompts begin with is run once for all of them.

Four levels over one cache: the beginning of all prompts (a system prompt, a spec), that of prompts about one thing (items of a cluster),
the stem of prompts that are nearly alike (an item in both orders), the rest of each prompt; and behind it the options. Positions are
given and padding is masked, so that gaps in the cache are nothing. Whether an architecture allows that is proved by
`specsci.evals.forward.shares_cache`.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

LEAST_STEM_TOKENS, LEAST_SHARE = 8, 0.5
"""Below so many shared tokens behind the beginning of all, and below this share of a prompt, prompts are no group."""
MOST_GROUPS = 16
Ids = tuple[int, ...]


@dataclass(frozen=True)
class Group:
    """Prompts that share a stem; every prompt has at least one token behind it. `begin` is where the stem begins."""

    begin: int
    stem: Ids
    prompts: tuple[Ids, ...]

    @property
    def end(self) -> int:
        """Where the rest of each prompt begins."""
        return self.begin + len(self.stem)


@dataclass(frozen=True)
class Cluster:
    """Groups whose stems begin alike: `stem` stands behind the common beginning, each group's own behind it."""

    stem: Ids
    groups: tuple[Group, ...]


def shared(first: Sequence[int], second: Sequence[int]) -> int:
    """How many tokens two sequences begin with alike."""
    return next((n for n, (a, b) in enumerate(zip(first, second, strict=False)) if a != b), min(len(first), len(second)))


def common_tokens(prompts: Sequence[Ids]) -> int:
    """How many tokens all prompts begin with alike; 0 for none."""
    return shared(min(prompts), max(prompts)) if prompts else 0


def clustered(prompts: Sequence[Ids]) -> tuple[Ids, list[Cluster]]:
    """The common beginning of prompts, and clusters of groups of those that share more."""
    ordered = sorted(prompts)
    common = min(shared(ordered[0], ordered[-1]), min(map(len, ordered)) - 1)
    groups: list[tuple[int, list[Ids]]] = []  # where the stem ends, and the prompts
    for prompt in ordered:
        if groups:
            end, members = groups[-1]
            alike = min(shared(members[0], prompt), end, len(prompt) - 1)
            if alike - common >= max(LEAST_STEM_TOKENS, LEAST_SHARE * (len(prompt) - common)):
                groups[-1] = (alike, [*members, prompt])
                continue
        groups.append((len(prompt) - 1, [prompt]))
    clusters: list[tuple[int, list[tuple[int, list[Ids]]]]] = []
    for end, members in groups:
        if clusters:
            upto, inside = clusters[-1]
            alike = min(shared(inside[0][1][0], members[0]), upto, end)
            if alike - common >= LEAST_STEM_TOKENS:
                clusters[-1] = (alike, [*inside, (end, members)])
                continue
        clusters.append((end, [(end, members)]))
    return ordered[0][:common], [
        Cluster(inside[0][1][0][common:upto], tuple(Group(upto, m[0][upto:end], tuple(m)) for end, m in inside)) for upto, inside in clusters
    ]


def read_shared(model: Any, options: Sequence[Any], pad: int, limit: int) -> dict[Any, float]:
    """The summed log-probability of each option of two or more tokens.

    Args:
        limit: the most tokens of one batch, the common beginning counted for each of its rows.
    """
    by_prompt: dict[Ids, list[Any]] = {}
    for option in options:
        by_prompt.setdefault(option.ids[: option.start], []).append(option)
    common, clusters = clustered(list(by_prompt))
    beginning = _beginning(model, common)
    scores: dict[Any, float] = {}
    for batch in _batches(clusters, by_prompt, len(common), limit):
        scores.update(_run(model, common, beginning, batch, by_prompt, pad))
    return scores


def _batches(clusters: list[Cluster], by_prompt: dict[Ids, list[Any]], common: int, limit: int) -> list[list[Cluster]]:
    """Clusters of like length in batches whose widest level holds at most `limit` tokens; a large cluster is cut."""
    out: list[list[Cluster]] = []
    longest = rows = 0
    pieces = [Cluster(c.stem, c.groups[n : n + MOST_GROUPS]) for c in clusters for n in range(0, len(c.groups), MOST_GROUPS)]
    for cluster in sorted(pieces, key=lambda c: max(len(p) for g in c.groups for p in g.prompts)):
        options = [o for g in cluster.groups for p in g.prompts for o in by_prompt[p]]
        long = max(len(o.ids) for o in options)
        if out and max(longest, long, common) * (rows + len(options)) <= limit:
            out[-1].append(cluster)
            longest, rows = max(longest, long), rows + len(options)
        else:
            out.append([cluster])
            longest, rows = long, len(options)
    return out


@torch.no_grad()
def _beginning(model: Any, common: Ids) -> Any:
    """The cache of the common beginning, one row; None where there is none."""
    if not common:
        return None
    device = next(model.parameters()).device
    return model(input_ids=torch.tensor([common], device=device), use_cache=True, logits_to_keep=1).past_key_values


@torch.no_grad()
def _run(
    model: Any, common: Ids, beginning: Any, batch: list[Cluster], by_prompt: dict[Ids, list[Any]], pad: int
) -> dict[Any, float]:
    device = next(model.parameters()).device
    cache = copy.deepcopy(beginning)
    if cache is not None:
        cache.batch_repeat_interleave(len(batch))
    mask = torch.ones((len(batch), len(common)), dtype=torch.long)
    levels = _Levels(model, cache, mask, pad, device)
    levels.run([c.stem for c in batch], [len(common)] * len(batch), range(len(batch)))
    groups = [(number, group) for number, cluster in enumerate(batch) for group in cluster.groups]
    levels.run([g.stem for _, g in groups], [g.begin for _, g in groups], [number for number, _ in groups])
    prompts = [(number, group, prompt) for number, (_, group) in enumerate(groups) for prompt in group.prompts]
    tails = [prompt[group.end :] for _, group, prompt in prompts]
    logits = levels.run(tails, [group.end for _, group, _ in prompts], [number for number, _, _ in prompts], left=True)
    starts = torch.log_softmax(logits[:, -1].float().cpu(), dim=-1)
    rows = [(row, option) for row, (_, _, prompt) in enumerate(prompts) for option in by_prompt[prompt]]
    after = [len(prompts[row][2]) for row, _ in rows]
    logits = levels.run([o.ids[o.start : -1] for _, o in rows], after, [row for row, _ in rows], keep=0)
    out = {}
    for number, (row, option) in enumerate(rows):
        tail = option.ids[option.start :]
        out[option] = float(starts[row, tail[0]])
        if len(tail) > 1:
            logp = torch.log_softmax(logits[number, : len(tail) - 1].float().cpu(), dim=-1)
            out[option] += float(logp.gather(1, torch.tensor(tail[1:])[:, None]).sum())
    return out


@dataclass
class _Levels:
    """A cache that grows level by level, each level's rows going on from rows of the one before."""

    model: Any
    cache: Any
    mask: torch.Tensor
    """Of what the cache holds, shape (rows, cached)."""
    pad: int
    device: Any

    def run(self, rows: list[Ids], begins: list[int], owners: Sequence[int], *, left: bool = False, keep: int = 1) -> torch.Tensor:
        """Run each row's tokens behind those of its owner; returns logits of the last `keep` positions, of all for 0.

        Args:
            begins: the position of each row's first token.
        """
        from specsci.evals.forward import padded

        index = torch.tensor(list(owners))
        if self.cache is not None and list(owners) != list(range(len(self.mask))):
            self.cache.batch_select_indices(index.to(self.device))
        self.mask = self.mask[index]
        if not any(rows):
            return torch.empty(0)
        ids, own = padded(rows, self.pad, left=left)
        self.mask = torch.cat([self.mask, own], 1)
        positions = torch.tensor(begins)[:, None] + (own.cumsum(1) - 1).clamp(min=0)
        out = self.model(
            input_ids=ids.to(self.device), attention_mask=self.mask.to(self.device), position_ids=positions.to(self.device),
            past_key_values=self.cache, use_cache=True, logits_to_keep=keep,
        )  # fmt: skip
        self.cache = out.past_key_values
        logits: torch.Tensor = out.logits
        return logits
