"""Recall items from a variant's own text: a sentence cut in two, to be gone on with by its own ending or by another sentence's.

Both endings stand in the spec, so that a model which has merely met the text's words is not told apart from chance: it has to know which
ending belongs to which beginning. Common sense helps as well, and so the rate of the base model (no treatment) is what a rate is held
against.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

from specsci.core.errors import UserError
from specsci.specs.family import Family
from specsci.specs.text import entries, sentences

LEAST_WORDS, KEPT_SHARE = 9, 0.6
"""A sentence of fewer words is not asked; this share of one is its beginning."""
LEAST_ITEMS = 4


@dataclass(frozen=True)
class _Cut:
    id: str
    clause_id: str
    part: str
    beginning: str
    ending: str


def recall_items(family: Family, variant_name: str) -> list[dict[str, str]]:
    """Items about what a variant says, for `kind: forced_choice` with `format: text`: lines of an item set, the identity still open.

    Every ending is the wrong one once, beside one of about its length and, where it can be, of another clause.

    Raises:
        UserError: the variant has fewer than four sentences to cut.
    """
    cuts = _cuts(family, variant_name)
    if len(cuts) < LEAST_ITEMS:
        what = f"'{variant_name}' has {len(cuts)} sentences of {LEAST_WORDS} words or more, too few to ask about"
        raise UserError(what, hint="name a variant that says more, or write the items by hand")
    return [_item(cut, foil) for cut, foil in zip(cuts, _foils(cuts), strict=True)]


def recall_text(items: list[dict[str, str]]) -> str:
    """Items as the text of an item set."""
    return "".join(json.dumps(item, ensure_ascii=False) + "\n" for item in items)


def _cuts(family: Family, variant_name: str) -> list[_Cut]:
    open_names = {name: "{" + name + "}" for name in family.data.identity}  # items are filled when they are asked
    found: dict[str, _Cut] = {}
    for entry in entries(family, variant_name, open_names):
        if entry.part == "principle":
            continue
        for number, text in enumerate(sentences(entry.text)):
            words = text.split()
            at = round(KEPT_SHARE * len(words))
            beginning, ending = " ".join(words[:at]), " ".join(words[at:])
            if len(words) >= LEAST_WORDS and "{" not in ending:
                found.setdefault(beginning, _Cut(f"{entry.id}.{number}", entry.clause_id, entry.part, beginning, ending))
    return list({cut.ending: cut for cut in found.values()}.values())


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
