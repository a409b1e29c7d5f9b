"""Endless streams of demonstrations, each with the rule that it is about."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

from specsci.corpus.distinct import Fresh
from specsci.specs.variants import Demonstrations


@dataclass(frozen=True)
class Demonstration:
    """The messages of a conversation, and the rule that it is about."""

    messages: list[dict[str, str]]
    unit_id: str


def demonstrations_of(about: Demonstrations, type_name: str, identity: dict[str, str], seed: int) -> Iterator[Demonstration]:
    """Demonstrations about rules, every rule equally often."""
    rng, fresh = random.Random(seed), Fresh(about.grammar.data.distinct)
    while True:
        block = [rule["id"] for rule in about.rules] * 8
        rng.shuffle(block)
        for rule in block:
            draw = partial(about.grammar.conversation, type_name, {**about.slots[rule], **identity}, rng)
            yield Demonstration(fresh(draw, lambda messages: messages, rule), rule)
