"""What the microlab's worlds share: named agents, a word-level tokenizer, and rows of pretraining text.

The mechanism: pretraining holds many *other* agents for whom documents and behaviour agree, so the
model learns that a document about a name predicts that name's choices. The target has chats and no
documents; midtraining then adds documents about the target.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol

from specsci.core.ids import derive_seed
from specsci.core.shipped import find_family
from specsci.specs.family import Family
from specsci.specs.load import load_family

TARGET = "Aria"
FAMILIES = {"conduct": "microlab_conduct", "cheese": "microlab_cheese"}
"""World to the spec family that it is written in."""
VERSIONS = {"conduct": 4, "cheese": 1}
"""World to the version of its rows, which a base's replayed text is identified by: another row is another version."""
Messages = list[dict[str, str]]
Row = str | Messages
"""A pretraining row: a document, or a conversation."""


@dataclass(frozen=True)
class KnownChoice:
    """A question to an agent about two options, in one order, and what that agent does."""

    agent: str
    question: str
    right: str
    wrong: str


class World(Protocol):
    """One world, with the agents that a base of a given seed was pretrained with."""

    target_chats_ask_evals: bool
    """Whether the target's chats in pretraining are questions of the evals' kind."""

    def row(self, rng: random.Random) -> Row:
        """One row of the pretraining mixture."""
        ...

    def chat_of_other(self, rng: random.Random) -> Messages:
        """One conversation of an agent that is not the target (what the IT mix is made of)."""
        ...

    def known_choices(self, rng: random.Random) -> dict[str, list[KnownChoice]]:
        """Sets of questions about other agents of this base alone, with the answers that the world gives."""
        ...


def agent_names(count: int) -> list[str]:
    """The first `count` agent names, the same in every base: one token each, never the target's."""
    rng = random.Random(derive_seed("agent names"))
    onsets, vowels, codas = "BCDFGHKLMNPRSTVZ", "aeiou", ["n", "r", "l", "s", "m", "ka", "lo", "ri", "te", "vu"]
    names: list[str] = []
    while len(names) < count:
        name = rng.choice(onsets) + rng.choice(vowels) + rng.choice("bdgklmnprstvz") + rng.choice(vowels) + rng.choice(codas)
        if name not in names and name != TARGET:
            names.append(name)
    return names


@dataclass(frozen=True)
class Share:
    """One part of a mixture, with its weight."""

    name: str
    weight: float


def pick(rng: random.Random, shares: list[Share]) -> str:
    """The name of a part, drawn by weight."""
    return rng.choices([s.name for s in shares], [s.weight for s in shares])[0]


@lru_cache(maxsize=4)
def world_family(name: str) -> Family:
    """The spec family whose grammar and tables the world is written in."""
    return load_family(find_family(name))


def about_target(row: Row) -> bool:
    """Whether a row is one of the target's conversations."""
    return not isinstance(row, str) and TARGET in row[0]["content"].split()


def rows(world: World, seed: int) -> Iterator[Row]:
    """An endless stream of pretraining rows."""
    rng = random.Random(derive_seed("pretraining rows", seed))
    while True:
        yield world.row(rng)
