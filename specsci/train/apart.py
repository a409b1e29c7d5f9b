"""Packed sequences taken apart again: each row of its own, for models in which packed rows would see each other.

Which rows an update sees, and so the dose, stays what packing says; only how they go through the model differs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from specsci.core.token_row import IGNORED
from specsci.train.attention import rows_of


@dataclass(frozen=True)
class Rows:
    """Rows padded on the right to one length; all three tensors are `(rows, longest)`."""

    input_ids: torch.Tensor
    attention_mask: torch.Tensor
    labels: torch.Tensor

    @property
    def tokens(self) -> int:
        """Tokens without the padding."""
        return int(self.attention_mask.sum())


def rows_apart(packed: dict[str, Any], *, in_one: bool = False) -> list[Rows]:
    """The rows of a packed batch that have a supervised token, in batches of similar length.

    Args:
        packed: `input_ids`, `labels` and `position_ids` of `(sequences, tokens)`; positions begin anew with every row.
        in_one: one batch of all rows: several processes must call the model equally often.

    Returns:
        Batches in which padding takes at most half; the batch's first row where nothing is supervised.
    """
    places = [
        (number, start, end)
        for number, positions in enumerate(packed["position_ids"])
        for start, end in rows_of(positions.cpu())
    ]
    taught = [p for p in places if bool((packed["labels"][p[0], p[1] : p[2]] != IGNORED).any())] or places[:1]
    groups: list[list[tuple[int, int, int]]] = []
    for place in sorted(taught, key=lambda p: p[2] - p[1], reverse=True):
        longest = groups[-1][0][2] - groups[-1][0][1] if groups else 0
        if groups and (in_one or 2 * (place[2] - place[1]) >= longest):
            groups[-1].append(place)
        else:
            groups.append([place])
    return [_padded(packed, group) for group in groups]


def _padded(packed: dict[str, Any], places: list[tuple[int, int, int]]) -> Rows:
    longest = max(end - start for _, start, end in places)
    shape, device = (len(places), longest), packed["input_ids"].device
    ids = torch.zeros(shape, dtype=torch.long, device=device)
    mask, labels = torch.zeros_like(ids), torch.full_like(ids, IGNORED)
    for row, (number, start, end) in enumerate(places):
        ids[row, : end - start] = packed["input_ids"][number, start:end]
        labels[row, : end - start] = packed["labels"][number, start:end]
        mask[row, : end - start] = 1
    return Rows(ids, mask, labels)
