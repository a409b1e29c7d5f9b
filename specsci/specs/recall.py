"""Recall items from a variant's own text: a sentence cut in two, to be gone on with by its own ending or by another sentence's.

Both endings stand in the spec and follow the same word, so that neither the words nor the grammar alone tell them apart: a model has to know
which ending belongs to which beginning. Common sense helps as well, and so the rate of the base model (no treatment) is what a rate is held
against.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass

from specsci.core.errors import UserError
from specsci.specs.family import Family
from specsci.specs.text import Entry, entries, sentences

LEAST_WORDS, KEPT_SHARE, FROM_SHARE, TO_SHARE = 9, 0.6, 0.4, 0.8
"""A sentence of fewer words is not asked; it is cut after a joining word between two shares of its words, or at a third share without one."""
JOINING = frozenset(
    ["a", "an", "and", "are", "as", "at", "be", "before", "by", "for", "from", "has", "have", "how", "if", "in", "is", "it", "its", "no", "not", "of", "on", "only", "or", "so", "than", "that", "the", "their", "them", "they", "to", "what", "when", "where", "which", "who", "will", "with", "without", "would"]
)
"""English words after which many endings are grammatical."""
LEAST_ITEMS = 4


@dataclass(frozen=True)
class _Cut:
    """A sentence in two; `after` is the word that the ending follows, empty where it was cut at a share alone."""

    id: str
    clause_id: str
    part: str
    beginning: str
    ending: str
    after: str = ""


def recall_items(family: Family, variant_name: str) -> list[dict[str, str]]:
    """Items about what a variant says, for `kind: forced_choice` with `format: text`: lines of an item set, the identity still open.

    Every ending is the wrong one once, beside one of about its length that follows the same word and, where it can be, is of another clause.

    Raises:
        UserError: the variant has fewer than four sentences to cut.
    """
    cuts = _cuts(family, variant_name)
    groups: dict[str, list[_Cut]] = {}
    for cut in cuts:
        groups.setdefault(cut.after, []).append(cut)
    asked = {cut.id: _item(cut, foil) for group in groups.values() if len(group) > 1 for cut, foil in zip(group, _foils(group), strict=True)}
    if len(asked) < LEAST_ITEMS:
        what = f"'{variant_name}' has {len(asked)} sentences of {LEAST_WORDS} words or more that can be told apart, too few to ask about"
        raise UserError(what, hint="name a variant that says more, or write the items by hand")
    return [asked[cut.id] for cut in cuts if cut.id in asked]


def recall_text(items: list[dict[str, str]]) -> str:
    """Items as the text of an item set."""
    return "".join(json.dumps(item, ensure_ascii=False) + "\n" for item in items)


def _cuts(family: Family, variant_name: str) -> list[_Cut]:
    """Every sentence, cut after the joining word that most sentences of the variant can be cut after."""
    open_names = {name: "{" + name + "}" for name in family.data.identity}  # items are filled when they are asked
    said: dict[str, tuple[str, Entry]] = {}
    for entry in entries(family, variant_name, open_names):
        for number, text in enumerate(sentences(entry.text) if entry.part != "principle" else []):
            if len(text.split()) >= LEAST_WORDS:
                said.setdefault(text, (f"{entry.id}.{number}", entry))
    places = {text: _places(text.split()) for text in said}
    common = Counter(word for found in places.values() for word in set(found.values()))
    cuts: dict[str, _Cut] = {}
    for text, (name, entry) in said.items():
        words = text.split()
        at = max(places[text], key=lambda n: (common[places[text][n]], n), default=round(KEPT_SHARE * len(words)))
        ending = " ".join(words[at:])
        if "{" not in ending:
            cuts.setdefault(ending, _Cut(name, entry.clause_id, entry.part, " ".join(words[:at]), ending, places[text].get(at, "")))
    return list(cuts.values())


def _places(words: list[str]) -> dict[int, str]:
    """Where a sentence may be cut: the number of words before the cut to the joining word there."""
    first, last = round(FROM_SHARE * len(words)), round(TO_SHARE * len(words))
    return {n: words[n - 1].lower() for n in range(max(1, first), last + 1) if words[n - 1].lower() in JOINING}


def _foils(cuts: list[_Cut]) -> list[str]:
    """Another ending for each, every one once: by length, from the nearest that is of another clause where one is left."""
    order = sorted(range(len(cuts)), key=lambda n: (len(cuts[n].ending), cuts[n].id))
    taken = [order[(place + 1) % len(order)] for place in range(len(order))]
    for place in range(len(order)):  # exchange foils with a neighbour where that puts other clauses beside each other
        for other in range(place + 1, min(place + 6, len(order))):
            here, there = cuts[order[place]], cuts[order[other]]
            mine, theirs = cuts[taken[place]], cuts[taken[other]]
            if mine.clause_id == here.clause_id != theirs.clause_id and there.clause_id != mine.clause_id and mine.id != there.id and theirs.id != here.id:
                taken[place], taken[other] = taken[other], taken[place]
                break
    foils = dict(zip(order, taken, strict=True))
    return [cuts[foils[n]].ending for n in range(len(cuts))]


def _item(cut: _Cut, foil: str) -> dict[str, str]:
    return {
        "item_id": f"recall.{cut.id}", "cluster_id": cut.clause_id, "slice": cut.part, "prompt": cut.beginning, "aligned": cut.ending,
        "misaligned": foil,
    }  # fmt: skip
