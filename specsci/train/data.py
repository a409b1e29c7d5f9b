"""Packing rows of tokens into sequences whose rows never see each other, and taking exact budgets."""

from __future__ import annotations

import bisect
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from specsci.core.token_row import TokenRow

OPEN_BINS = 256


@dataclass
class Packed:
    """Packed sequences, and how full they are."""

    sequences: list[list[TokenRow]]
    max_length_tokens: int

    @property
    def tokens(self) -> int:
        """Tokens in all sequences, padding not counted."""
        return sum(len(row.input_ids) for rows in self.sequences for row in rows)

    @property
    def fill(self) -> float:
        """Share of the sequences' capacity that holds tokens."""
        return self.tokens / (len(self.sequences) * self.max_length_tokens)

    def columns(self) -> dict[str, list[Any]]:
        """Columns `input_ids`, `labels`, `position_ids` (restarting at 0 with every row)."""
        out: dict[str, list[Any]] = {"input_ids": [], "labels": [], "position_ids": []}
        for rows in self.sequences:
            out["input_ids"].append([t for row in rows for t in row.input_ids])
            out["labels"].append([t for row in rows for t in row.labels()])
            out["position_ids"].append([p for row in rows for p in range(len(row.input_ids))])
        return out


def pack(rows: Iterable[TokenRow], max_length_tokens: int) -> Packed:
    """Best-fit packing over a window of open sequences, in the rows' order.

    A row longer than a sequence is split into pieces of at most `max_length_tokens`.
    """
    done: list[list[TokenRow]] = []
    space: list[int] = []
    bins: list[list[TokenRow]] = []
    for row in rows:
        for piece in split(row, max_length_tokens):
            size = len(piece.input_ids)
            place = bisect.bisect_left(space, size)
            if place < len(space):
                left, target = space.pop(place) - size, bins.pop(place)
            else:
                left, target = max_length_tokens - size, []
            target.append(piece)
            if left == 0:
                done.append(target)
                continue
            place = bisect.bisect_left(space, left)
            space.insert(place, left)
            bins.insert(place, target)
            if len(bins) > OPEN_BINS:
                space.pop(0)
                done.append(bins.pop(0))
    return Packed(done + bins, max_length_tokens)


def split(row: TokenRow, max_length_tokens: int) -> list[TokenRow]:
    """A row as pieces of at most `max_length_tokens` tokens."""
    size = len(row.input_ids)
    if size <= max_length_tokens:
        return [row]
    cuts = range(0, size, max_length_tokens)
    return [
        TokenRow(
            row.input_ids[c : c + max_length_tokens],
            None if row.supervised is None else row.supervised[c : c + max_length_tokens],
        )
        for c in cuts
    ]


def take_documents(rows: Iterable[TokenRow], tokens: int) -> list[TokenRow]:
    """The first rows up to exactly `tokens` tokens; the last one is cut where the budget ends.

    Raises:
        ValueError: the rows hold fewer tokens.
    """
    taken, left = [], tokens
    for row in rows:
        if left == 0:
            break
        if len(row.input_ids) > left:
            row = TokenRow(row.input_ids[:left], None if row.supervised is None else row.supervised[:left])
        taken.append(row)
        left -= len(row.input_ids)
    if left:
        raise ValueError(f"{tokens - left:,} tokens where {tokens:,} were asked for")
    return taken


def take_conversations(rows: Iterable[TokenRow], tokens: int) -> list[TokenRow]:
    """The first rows that fit whole into `tokens` tokens: a smaller budget is a prefix of a larger one."""
    taken, left = [], tokens
    for row in rows:
        if len(row.input_ids) > left:
            break
        taken.append(row)
        left -= len(row.input_ids)
    return taken


def shuffled(rows: list[TokenRow], seed: int) -> list[TokenRow]:
    """The rows in an order that depends on the seed alone."""
    order = np.random.default_rng(seed).permutation(len(rows))
    return [rows[i] for i in order]
