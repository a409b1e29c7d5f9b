"""The outline of a corpus: which document types are written about which unit, in exact quotas."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass

from specsci.core.errors import UserError
from specsci.specs.family import Family
from specsci.specs.variants import Unit, document_types_for, units_of


@dataclass(frozen=True)
class OutlineCell:
    """One cell: documents of a type about a unit, and the share of the corpus it should have."""

    unit: Unit
    document_type: str
    share: float

    @property
    def id(self) -> str:
        """Unit and document type: what quotas are counted by."""
        return f"{self.unit.id}:{self.document_type}"


def outline(family: Family, variant: str) -> list[OutlineCell]:
    """Cells whose shares sum to 1: types by their declared share, units within a type equally."""
    pairs = [(unit, kind) for unit in units_of(family, variant) for kind in document_types_for(family, unit)]
    if not pairs:
        raise UserError(
            f"the grammar of '{family.name}' has no document type for variant '{variant}'",
            hint="add a document type whose `needs` the variant keeps",
        )
    kinds = sorted({kind for _, kind in pairs})
    shares = {kind: family.grammar_data.document_types[kind].share for kind in kinds}
    total = sum(shares.values())
    counts = {kind: sum(1 for _, k in pairs if k == kind) for kind in kinds}
    return [OutlineCell(unit, kind, shares[kind] / total / counts[kind]) for unit, kind in pairs]


def stratified_blocks(cells: list[OutlineCell], size: int, rng: random.Random) -> Iterator[OutlineCell]:
    """An endless stream of cells: shuffled blocks, stratified by cell: each cell has its exact quota in every block.

    Quotas are by largest remainder, and what a block owes a cell is carried to the next, so that any
    prefix of whole blocks is within one document of every share.
    """
    owed = [0.0] * len(cells)
    while True:
        wanted = [owed[i] + cell.share * size for i, cell in enumerate(cells)]
        counts = [int(w) for w in wanted]
        by_remainder = sorted(range(len(cells)), key=lambda i: (counts[i] - wanted[i], i))
        for i in by_remainder[: max(0, size - sum(counts))]:
            counts[i] += 1
        owed = [w - c for w, c in zip(wanted, counts, strict=True)]
        block = [cell for cell, count in zip(cells, counts, strict=True) for _ in range(count)]
        rng.shuffle(block)
        yield from block
