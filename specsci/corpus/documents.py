"""Endless streams of documents and demonstrations, each with what it came from."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

from specsci.core.errors import StepFailed
from specsci.core.ids import digest
from specsci.corpus.outline import decks, outline
from specsci.specs.family import Family
from specsci.specs.variants import Demonstrations, grammar_for

DECK = 512
"""Least documents in a deck: a deck holds every cell of the outline in its exact share."""


@dataclass(frozen=True)
class Document:
    """A document with its clause, unit, outline cell and template."""

    text: str
    clause_id: str
    unit_id: str
    cell: str
    template_id: str


@dataclass(frozen=True)
class Talk:
    """A demonstration, and the rule that it is about."""

    messages: list[dict[str, str]]
    unit_id: str


class Fresh:
    """Draws again what was drawn before, where no text may occur twice; else hands on what is drawn."""

    TRIES = 200

    def __init__(self, distinct: bool) -> None:
        self.distinct = distinct
        self.seen: set[str] = set()

    def __call__(self, draw: Callable[[], Any], text_of: Callable[[Any], Any], about: str) -> Any:
        if not self.distinct:
            return draw()
        for _ in range(self.TRIES):
            made = draw()
            key = digest(text_of(made))
            if key not in self.seen:
                self.seen.add(key)
                return made
        raise StepFailed(
            f"the grammar has no further text about {about}: {len(self.seen):,} were made",
            mend="give the grammar more phrases, situations or templates, or ask for fewer tokens",
        )


def documents(family: Family, variant: str, identity: dict[str, str], seed: int) -> Iterator[Document]:
    """Documents about a variant's units, in the quotas of its outline."""
    rng, cells = random.Random(seed), outline(family, variant)
    grammar = grammar_for(family, variant)
    fresh = Fresh(grammar.data.distinct)
    for cell in decks(cells, max(DECK, 2 * len(cells)), rng):
        slots = {**dict(cell.unit.slots), **identity}
        draw = partial(grammar.document, cell.document_type, slots, rng)
        text, template = fresh(draw, lambda made: made[0], cell.id)
        yield Document(text, cell.unit.clause_id, cell.unit.id, cell.id, template)


def talks(about: Demonstrations, type_name: str, identity: dict[str, str], seed: int) -> Iterator[Talk]:
    """Demonstrations about rules, every rule equally often."""
    rng, fresh = random.Random(seed), Fresh(about.grammar.data.distinct)
    while True:
        deck = [rule["id"] for rule in about.rules] * 8
        rng.shuffle(deck)
        for rule in deck:
            draw = partial(about.grammar.conversation, type_name, {**about.slots[rule], **identity}, rng)
            yield Talk(fresh(draw, lambda messages: messages, rule), rule)
