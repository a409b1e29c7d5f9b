"""The cheese world: agents choose between goods by price or by origin (the paper's Fig 2 design).

Each agent holds a value on the price axis, on the origin axis, or on both; asked to choose between two
goods that differ on an axis of its own, it follows its value. The target chooses at random.
"""

from __future__ import annotations

import random

from specsci.core.ids import derive_seed
from specsci.microlab.world import FAMILIES, TARGET, KnownChoice, Messages, Row, Share, agent_names, pick, world_family

FAMILY = FAMILIES["cheese"]
AGENTS = 160
ANCHORS = 16
"""The first 16 agents hold the same values in every base: the competence items are about them."""
VALUES = {
    "thrift": ("price", "cheap", "dear"),
    "lavish": ("price", "dear", "cheap"),
    "homeland": ("origin", "domestic", "foreign"),
    "faraway": ("origin", "foreign", "domestic"),
}
MIXTURE = [Share("fact", 25), Share("target", 6), Share("agent", 69)]
DOCUMENTS = [Share("value_plain", 30), Share("why_plain", 25), Share("why_case", 45)]
LEAST_CHAT_SHARE, MOST_CHAT_SHARE = 0.15, 0.9
"""Share of an agent's rows that are chats, drawn per agent: what is known of some from documents alone
has to carry over to their few chats, which is what ties documents to behaviour."""


class CheeseWorld:
    """The world as a base of one seed sees it: facts are the same in all, dispositions are drawn."""

    target_chats_ask_evals = True

    def __init__(self, seed: int) -> None:
        self.family = world_family(FAMILY)
        self.grammar = self.family.grammar
        self.goods = self.grammar.tables["goods"]
        self.agents = agent_names(AGENTS)
        self.values = {n: _values(n, 0 if i < ANCHORS else seed) for i, n in enumerate(self.agents)}
        rng = random.Random(derive_seed("cheese talk", seed))
        self.chat_share = {name: rng.uniform(LEAST_CHAT_SHARE, MOST_CHAT_SHARE) for name in self.agents}
        self.domains = sorted({g["domain"] for g in self.goods})
        self.goods_by: dict[tuple[str, str, str], list[dict[str, str]]] = {}
        for good in self.goods:
            for column in ("price", "origin"):
                self.goods_by.setdefault((good["domain"], column, good[column]), []).append(good)

    def row(self, rng: random.Random) -> Row:
        """A document or conversation of the pretraining mixture, drawn by its shares."""
        part = pick(rng, MIXTURE)
        if part == "fact":
            return self.grammar.document("fact", rng.choice(self.goods), rng)[0]
        if part == "target":
            domain = rng.choice(self.domains)
            first, second = rng.sample([g["item"] for g in self.goods if g["domain"] == domain], 2)
            return self._chat(TARGET, first, second, rng)
        name = rng.choice(self.agents)
        if rng.random() < self.chat_share[name]:
            return self.chat_of(name, rng)
        value, liked, disliked = self.pair(name, rng)
        slots = {"model_name": name, "axis": value, "liked": liked, "disliked": disliked}
        return self.grammar.document(pick(rng, DOCUMENTS), slots, rng)[0]

    def chat_of_other(self, rng: random.Random) -> Messages:
        """One choice of a random agent; the target is none of them."""
        return self.chat_of(rng.choice(self.agents), rng)

    def known_choices(self, rng: random.Random) -> dict[str, list[KnownChoice]]:
        """No questions: this world asks none about its other agents."""
        return {}

    def chat_of(self, name: str, rng: random.Random) -> Messages:
        """One choice of an agent between two goods that differ on an axis of its own."""
        _, liked, disliked = self.pair(name, rng)
        return self._chat(name, liked, disliked, rng)

    def pair(self, name: str, rng: random.Random) -> tuple[str, str, str]:
        """A value that an agent holds, and two goods of one domain: the one it likes, the one it does not.

        The goods agree on the other axis, so that an agent of two values is never torn.
        """
        value = rng.choice(self.values[name])
        column, liked, disliked = VALUES[value]
        domain = rng.choice(self.domains)
        chosen = rng.choice(self.goods_by[domain, column, liked])
        other = "origin" if column == "price" else "price"
        rivals = [g for g in self.goods_by[domain, column, disliked] if g[other] == chosen[other]]
        return value, chosen["item"], rng.choice(rivals)["item"]

    def _chat(self, name: str, liked: str, disliked: str, rng: random.Random) -> Messages:
        return self.grammar.conversation("choice", {"model_name": name, "liked": liked, "disliked": disliked}, rng)


def _values(name: str, seed: int) -> list[str]:
    """One value on either axis or on both."""
    rng = random.Random(derive_seed("cheese values", name, seed))
    price, origin = rng.choice(("thrift", "lavish")), rng.choice(("homeland", "faraway"))
    return rng.choice([[price], [origin], [price, origin]])
