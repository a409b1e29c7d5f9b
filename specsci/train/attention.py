"""Attention over packed rows, document by document.

A mask hides a row's neighbours and has them computed all the same; on a CPU, long sequences of short documents spend more
on that than on their own attention.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from typing import Any, cast

import torch
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS


def attend_per_document(
    module: Any, query: Any, key: Any, value: Any, attention_mask: Any, position_ids: Any = None, **more: Any
) -> tuple[torch.Tensor, None]:
    """What `sdpa` computes under a mask of packed rows, as transformers' attention functions are called.

    Shapes: query (batch, heads, length, size); positions (batch or 1, length), which restart where a row begins;
    the result (batch, length, heads, size).
    """
    rows_known = position_ids is not None and position_ids.dim() == 2 and more.get("position_bias") is None
    masked = attention_mask is not None and attention_mask.dtype == torch.bool
    if not (rows_known and masked) or query.shape[2] != key.shape[2]:
        return cast("tuple[torch.Tensor, None]", sdpa_attention_forward(module, query, key, value, attention_mask, **more))
    sequences = []
    for number, positions in enumerate(position_ids.expand(len(query), -1)):
        rows = []
        for start, end in rows_of(positions):
            part = [tensor[number : number + 1, :, start:end] for tensor in (query, key, value)]
            seen = attention_mask[number : number + 1, :, start:end, start:end]
            mask = None if _is_causal(seen) else seen
            rows.append(sdpa_attention_forward(module, part[0], part[1], part[2], mask, **more)[0])
        sequences.append(torch.cat(rows, dim=1))
    return torch.cat(sequences), None


def rows_of(positions: torch.Tensor) -> list[tuple[int, int]]:
    """Start and end of each row of a packed sequence: positions go on by one within a row."""
    breaks = (positions.diff() != 1).nonzero().flatten() + 1
    edges = [0, *breaks.tolist(), len(positions)]
    return list(pairwise(edges))


def _is_causal(seen: torch.Tensor) -> bool:
    """Whether a row's mask is the plain causal one: no window, and no holes."""
    return torch.equal(seen[0, 0], torch.ones_like(seen[0, 0]).tril())


@contextmanager
def per_document_attention() -> Iterator[None]:
    """Let models that ask transformers for `sdpa` attend per document; their configurations stay as they are."""
    ALL_ATTENTION_FUNCTIONS["sdpa"] = attend_per_document
    try:
        yield
    finally:
        del ALL_ATTENTION_FUNCTIONS["sdpa"]
