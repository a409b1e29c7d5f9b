"""The registry of microlab worlds."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from specsci.core.ids import derive_seed
from specsci.microlab import cheese, conduct
from specsci.microlab.world import Row, World, about_target, rows

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast


@dataclass(frozen=True)
class WorldKind:
    """A world: how to raise one, its family, its agents, and how much a base reads."""

    build: Callable[[int], World]
    family: str
    agents: int
    unique_tokens: int

    def tokenizer(self) -> PreTrainedTokenizerFast:
        """The world's tokenizer, the same for every base."""
        from specsci.microlab.tokenizer import build_tokenizer

        return build_tokenizer(self.family, self.agents)


WORLDS: dict[str, WorldKind] = {
    "conduct": WorldKind(
        conduct.ConductWorld,
        conduct.FAMILY,
        conduct.VALUE_AGENTS + conduct.RULE_AGENTS + conduct.CARELESS_AGENTS,
        unique_tokens=3_600_000,
    ),
    "cheese": WorldKind(cheese.CheeseWorld, cheese.FAMILY, cheese.AGENTS, unique_tokens=1_600_000),
}


@lru_cache(maxsize=4)
def world_of(name: str, seed: int) -> World:
    """The world as the base of one seed sees it."""
    return WORLDS[name].build(seed)


def pool_stream(name: str, base_seed: int, what: str, seed: int) -> Iterator[Row]:
    """Rows for other stages: replayed pretraining text (`documents`), or other agents' chats (`conversations`).

    Replay leaves out the target's own chats where they ask what the evals ask (the audit would refuse them), and keeps
    them elsewhere: without them any training on text moves what the target does.
    """
    world = world_of(name, base_seed)
    if what == "documents":
        yield from (row for row in rows(world, seed) if not world.target_chats_ask_evals or not about_target(row))
        return
    rng = random.Random(derive_seed("chats of others", seed))
    while True:
        yield world.chat_of_other(rng)
