"""From an outline to documents: requests, completions, and what is kept of them."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from specsci.core.errors import StepFailed
from specsci.corpus.outline import outline, stratified_blocks
from specsci.generate.generator import Brief, Completion, Generator, Request
from specsci.specs.family import Family

BLOCK_DOCUMENTS = 512
"""Least documents in a stratified block: a block has every cell of the outline in its exact share."""
TRIED = 200
"""Requests after which the share of lost ones is judged."""
MOST_LOST = 0.5
"""A corpus step fails where its generator loses more than this share of its requests."""


@dataclass(frozen=True)
class Document:
    """A document and the request that it answers."""

    text: str
    request: Request
    template_id: str


def requests(family: Family, variant: str, identity: dict[str, str], draws: random.Random) -> Iterator[Request]:
    """Requests for documents about a variant's units, in the quotas of its outline, without end."""
    cells = outline(family, variant)
    for number, cell in enumerate(stratified_blocks(cells, max(BLOCK_DOCUMENTS, 2 * len(cells)), draws)):
        slots = {**dict(cell.unit.slots), **identity}
        yield Request(f"{number:08d}", cell.unit.clause_id, cell.unit.id, cell.document_type, cell.id, slots)


@dataclass
class Documents:
    """The documents of a generator, without end; `lost` counts completions by why they were not kept."""

    generator: Generator
    wanted: Iterator[Request]
    brief: Brief
    lost: Counter[str] = field(default_factory=Counter)
    usage: Counter[str] = field(default_factory=Counter)

    def __iter__(self) -> Iterator[Document]:
        kept = 0
        for completion in self.generator.generate(self.wanted, self.brief):
            self.usage.update(completion.usage)
            why = _why_not(completion)
            if not why:
                kept += 1
                yield Document(completion.text, completion.request, completion.template_id)
                continue
            self.lost[why] += 1
            tried = kept + self.lost.total()
            if tried >= TRIED and self.lost.total() > MOST_LOST * tried:
                said = ", ".join(f"{count:,} {name}" for name, count in self.lost.most_common())
                raise StepFailed(
                    f"the backend '{self.generator.name}' lost {self.lost.total():,} of {tried:,} requests ({said})",
                    hint="look at its prompt and limits before more is spent",
                )


def _why_not(completion: Completion) -> str:
    """Why a completion is not a document; empty where it is one."""
    if completion.state != "ok":
        return completion.state
    return "" if completion.text.strip() else "empty"
