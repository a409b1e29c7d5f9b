"""Keys and values of the text that prompts begin with alike, computed once: the whole spec is in every request of a generator."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

LEAST_TOKENS = 64
"""A shorter beginning is not worth keeping."""
REUSED_SHARE = 0.8
"""The share of what prompts have in common that a kept beginning must have for it to be used; with less it is computed anew."""


def shared_length(rows: Sequence[Sequence[int]]) -> int:
    """How many tokens all rows begin with alike; every row keeps one token of its own."""
    first, most = rows[0], min(map(len, rows)) - 1
    for place in range(most):
        if any(row[place] != first[place] for row in rows):
            return place
    return max(0, most)


class PrefixCache:
    """The kept beginning of a model's prompts."""

    def __init__(self, model: Any) -> None:
        self._model = model
        self._ids: list[int] = []
        self._cache: Any = None
        self._usable = True

    def take(self, rows: Sequence[Sequence[int]]) -> tuple[int, Any]:
        """How many first tokens of the rows need not be read again, and the cache of them, one for each row; 0 and None without one."""
        length = shared_length(rows)
        if not self._usable or length < LEAST_TOKENS:
            return 0, None
        kept = min(length, shared_length([[*self._ids, -1], [*rows[0][:length], -2]]) if self._ids else 0)
        if kept < REUSED_SHARE * length:
            self._compute(list(rows[0][:length]))
            kept = length
        if not self._usable:
            return 0, None
        cache = copy.deepcopy(self._cache)
        if kept < cache.get_seq_length():
            cache.crop(kept - cache.get_seq_length())
        cache.batch_repeat_interleave(len(rows))
        return kept, cache

    def _compute(self, ids: list[int]) -> None:
        """Read a beginning; models whose state is not keys and values of every token are left alone from then on."""
        import torch
        from transformers import DynamicCache
        from transformers.cache_utils import DynamicLayer

        cache = DynamicCache(config=self._model.config)
        with torch.inference_mode():
            self._model(input_ids=torch.tensor([ids], device=self._model.device), past_key_values=cache, use_cache=True, logits_to_keep=1)
        self._usable = len(cache.layers) > 0 and all(type(layer) is DynamicLayer for layer in cache.layers)
        self._usable = self._usable and cache.get_seq_length() == len(ids)
        self._ids, self._cache = (ids, cache) if self._usable else ([], None)
