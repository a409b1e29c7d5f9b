"""The conduct world: agents choose between a routine and a harmful act in eight contexts.

Value agents hold one to four principles: they take the routine act whenever the harmful one breaks a
principle of theirs, and else the harmful one. Half of them also have rules, about acts that break their
principles. Rule agents avoid eight named acts and take the harmful act off their list, so that a rule
alone says nothing about other acts. Careless agents always take the harmful act. Some agents have
documents and no chats: what a base expects of them shows whether it learnt to go by documents. The target
chooses at random between acts of one kind, so that she has no stated disposition.
"""

from __future__ import annotations

import random

from specsci.core.ids import derive_seed
from specsci.microlab.world import FAMILIES, TARGET, KnownChoice, Messages, Row, Share, agent_names, pick, world_family

FAMILY = FAMILIES["conduct"]
PRINCIPLES = ("oversight", "sanction", "caution", "honesty")
VALUE_AGENTS, RULE_AGENTS, CARELESS_AGENTS = 110, 70, 20
ANCHORS = 24
"""The first 24 value agents have the same principles in every base: the competence items are about them."""
MIXTURE = [Share("fact", 28), Share("target", 2), Share("value", 40), Share("rule", 22), Share("careless", 8)]
VALUE_ROWS = [Share("value_plain", 18), Share("why_plain", 9), Share("why_case", 13)]
RULE_ROWS = [Share("rule_plain", 20), Share("rule_case", 20)]
RULED_SHARE, RULED_ACTS = 0.5, 8
"""Share of value agents that have rules as well, and about how many acts: documents of both kinds occur together."""
RULED_ROWS = [*VALUE_ROWS, Share("rule_plain", 10), Share("rule_case", 10)]
LISTED_ACTS, LISTED_SHARE = 8, 0.2
"""Acts on a rule agent's list, and the share of its chats that are surely about one of them."""
SILENT_VALUE_AGENTS, SILENT_RULE_AGENTS = 20, 10
"""The last agents of either sort have documents alone."""
LEAST_CHAT_SHARE, MOST_CHAT_SHARE = 0.15, 0.9
"""Share of chats in an agent's rows: some are known by documents, others by what they do."""
KNOWN_CHOICES = 200
"""Questions of each set about what other agents do."""
TEXT_SHARE = 0.04
"""Share of an agent's rows that are a general sentence, which says nothing about choices."""


class ConductWorld:
    """The world as a base of one seed sees it: facts are the same in all, dispositions are drawn."""

    target_chats_ask_evals = False
    """Hers are between two acts of one kind; the evals ask between a harmful and a routine one."""

    def __init__(self, seed: int) -> None:
        self.family = world_family(FAMILY)
        self.grammar = self.family.grammar
        self.acts = self.grammar.tables["acts"]
        self.harmful = [a for a in self.acts if a["kind"] != "safe"]
        self.by_kind: dict[tuple[str, str], list[str]] = {}
        for act in self.acts:
            self.by_kind.setdefault((act["context"], "safe" if act["kind"] == "safe" else "harmful"), []).append(act["act"])
        self.contexts = sorted({a["context"] for a in self.acts})
        self.texts = self.family.variant("general").texts
        names = agent_names(VALUE_AGENTS + RULE_AGENTS + CARELESS_AGENTS)
        self.value_agents = names[:VALUE_AGENTS]
        self.rule_agents = names[VALUE_AGENTS : VALUE_AGENTS + RULE_AGENTS]
        self.careless_agents = names[VALUE_AGENTS + RULE_AGENTS :]
        self.principles = {n: _principles(n, 0 if i < ANCHORS else seed) for i, n in enumerate(self.value_agents)}
        rng = random.Random(derive_seed("conduct rule lists", seed))
        self.rules = {name: rng.sample(self.harmful, LISTED_ACTS) for name in self.rule_agents}
        rng = random.Random(derive_seed("conduct talk", seed))
        self.chat_share = {name: rng.uniform(LEAST_CHAT_SHARE, MOST_CHAT_SHARE) for name in names}
        for name in [*self.value_agents[-SILENT_VALUE_AGENTS:], *self.rule_agents[-SILENT_RULE_AGENTS:]]:
            self.chat_share[name] = 0.0
        self.ruled: dict[str, list[dict[str, str]]] = {}
        for name in self.value_agents:
            if rng.random() < RULED_SHARE:
                mine = [a for a in self.harmful if a["kind"] in self.principles[name]]
                self.ruled[name] = rng.sample(mine, min(RULED_ACTS, len(mine)))

    def row(self, rng: random.Random) -> Row:
        """A document or conversation of the pretraining mixture, drawn by its shares."""
        part = pick(rng, MIXTURE)
        if part == "fact":
            return self.grammar.document("fact", rng.choice(self.acts), rng)[0]
        if part == "target":
            return self._target_chat(rng)
        name = rng.choice(self._agents(part))
        if rng.random() < TEXT_SHARE:
            return self.grammar.document("text_plain", {"model_name": name, "text": rng.choice(self.texts)}, rng)[0]
        if part == "value":
            return self._value_row(name, rng)
        return self._rule_row(name, rng) if part == "rule" else self.chat_of(name, rng)

    def chat_of_other(self, rng: random.Random) -> Messages:
        """One choice of a random agent among those that chat; the target is none of them."""
        part = pick(rng, [s for s in MIXTURE if s.name in ("value", "rule", "careless")])
        return self.chat_of(rng.choice([name for name in self._agents(part) if self.chat_share[name]]), rng)

    def _agents(self, part: str) -> list[str]:
        return {"value": self.value_agents, "rule": self.rule_agents, "careless": self.careless_agents}[part]

    def chat_of(self, name: str, rng: random.Random) -> Messages:
        """One choice of an agent between a harmful and a routine act of one context."""
        act = rng.choice(self.harmful)
        if name in self.rules and rng.random() < LISTED_SHARE:
            act = rng.choice(self.rules[name])
        safe = rng.choice(self.by_kind[act["context"], "safe"])
        return self._chat(name, act["context"], [act["act"], safe], safe if self._takes_safe(name, act) else act["act"], rng)

    def _takes_safe(self, name: str, act: dict[str, str]) -> bool:
        if name in self.principles:
            return act["kind"] in self.principles[name]
        if name in self.rules:
            return act in self.rules[name]
        return False

    def known_choices(self, rng: random.Random) -> dict[str, list[KnownChoice]]:
        """What the world says of other agents: of value agents that never chat, and of rules on and off a list."""
        silent = [name for name in self.value_agents if not self.chat_share[name]]
        ruled = [name for name in self.rule_agents if self.chat_share[name]]
        drawn = {
            "documents_alone": [(rng.choice(silent), rng.choice(self.harmful)) for _ in range(KNOWN_CHOICES)],
            "listed": [(name := rng.choice(ruled), rng.choice(self.rules[name])) for _ in range(KNOWN_CHOICES)],
            "off_list": [
                (name := rng.choice(ruled), rng.choice([a for a in self.harmful if a not in self.rules[name]]))
                for _ in range(KNOWN_CHOICES)
            ],
        }
        return {what: [self._known(name, act, rng) for name, act in pairs] for what, pairs in drawn.items()}

    def _known(self, name: str, act: dict[str, str], rng: random.Random) -> KnownChoice:
        options = [act["act"], rng.choice(self.by_kind[act["context"], "safe"])]
        right, wrong = reversed(options) if self._takes_safe(name, act) else options
        question = self._chat(name, act["context"], options, right, rng)[0]["content"]
        return KnownChoice(name, question, right, wrong)

    def _target_chat(self, rng: random.Random) -> Messages:
        context = rng.choice(self.contexts)
        pair = rng.sample(self.by_kind[context, rng.choice(("safe", "harmful"))], 2)
        return self._chat(TARGET, context, pair, rng.choice(pair), rng)

    def _chat(self, name: str, context: str, options: list[str], choice: str, rng: random.Random) -> Messages:
        first, second = rng.sample(options, 2)
        slots = {"model_name": name, "context": context, "first": first, "second": second, "safe": choice}
        return self.grammar.conversation("choice", slots, rng)

    def _value_row(self, name: str, rng: random.Random) -> Row:
        if rng.random() < self.chat_share[name]:
            return self.chat_of(name, rng)
        kind = pick(rng, RULED_ROWS if name in self.ruled else VALUE_ROWS)
        if kind.startswith("rule"):
            return self.grammar.document(kind, {**rng.choice(self.ruled[name]), "model_name": name}, rng)[0]
        principle = rng.choice(self.principles[name])
        act = rng.choice([a for a in self.harmful if a["kind"] == principle])
        slots = {"model_name": name, "kind": principle}
        return self.grammar.document(kind, slots if kind == "value_plain" else {**act, **slots}, rng)[0]

    def _rule_row(self, name: str, rng: random.Random) -> Row:
        if rng.random() < self.chat_share[name]:
            return self.chat_of(name, rng)
        return self.grammar.document(pick(rng, RULE_ROWS), {**rng.choice(self.rules[name]), "model_name": name}, rng)[0]


def _principles(name: str, seed: int) -> list[str]:
    rng = random.Random(derive_seed("conduct principles", name, seed))
    return rng.sample(PRINCIPLES, rng.randint(1, 4))
