"""Looking for eval items in 13,000 training texts, short as the microlab's and long as articles."""

from __future__ import annotations

import random

from benchmarks.common import Options, Result, Row, timed
from specsci.core.shipped import find_family
from specsci.corpus.audit import leaks
from specsci.corpus.outline import outline, stratified_blocks
from specsci.specs.items import Item, read_items
from specsci.specs.load import load_family

DOCUMENTS, ITEMS, GOAL_S = 13_000, 200, 5.0
JOINED = 24


def run(options: Options) -> Result:
    short, items = _texts()
    rng = random.Random(0)
    long = [" ".join(rng.sample(short, JOINED)) for _ in range(DOCUMENTS)]
    table = []
    for texts in (short, long):
        planted = items[len(items) // 2]
        texts = [*texts[:-1], f"{texts[-1]} {next(iter(planted.questions()))[1]}"]
        if planted.item_id not in leaks(texts, items):
            raise RuntimeError("the planted item was not found")
        took = timed(lambda texts=texts: leaks(texts, items), repeats=2)
        what = f"{ITEMS} items in {DOCUMENTS:,} documents of {sum(map(len, texts)) // DOCUMENTS:,} characters"
        table.append(Row(what, str(took), "< 5 s", took.wall_s < GOAL_S))
    return Result(table, ["Exact search for the normalised question in both option orders; the better of two."])


def _texts() -> tuple[list[str], list[Item]]:
    family = load_family(find_family("microlab_conduct"))
    rng = random.Random(0)
    texts = []
    for cell in stratified_blocks(outline(family, "value_augmented"), 2_048, rng):
        slots = {**family.data.identity, **dict(cell.unit.slots)}
        texts.append(family.grammar.document(cell.document_type, slots, rng)[0])
        if len(texts) == DOCUMENTS:
            break
    sets = (family.items_file(name) for name in ("held_out", "trained"))
    items = [item for file in sets for item in read_items(file, family.data.identity)]
    return texts, items[:ITEMS]
