"""Taking rows from a stream until they hold the tokens that a step wants."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any

from specsci.core.errors import StepFailed
from specsci.core.token_row import TokenRow

BATCH = 512


def until(
    tokens: int, batches: Iterator[list[Any]], tokenise: Callable[[list[Any]], list[TokenRow]]
) -> tuple[list[Any], list[TokenRow]]:
    """Rows from batches until they hold at least `tokens` tokens."""
    kept: list[Any] = []
    rows: list[TokenRow] = []
    count = 0
    for batch in batches:
        made = tokenise(batch)
        for item, row in zip(batch, made, strict=True):
            kept.append(item)
            rows.append(row)
            count += len(row.input_ids)
            if count >= tokens:
                return kept, rows
    raise StepFailed(f"the source ended after {count:,} tokens; {tokens:,} are needed", hint="give it more text")


def batches_of(stream: Iterator[Any]) -> Iterator[list[Any]]:
    """A stream in lists of at most BATCH."""
    while batch := list(islice(stream, BATCH)):
        yield batch


def tokens_of(rows: list[TokenRow]) -> int:
    """The tokens of rows."""
    return sum(len(r.input_ids) for r in rows)
