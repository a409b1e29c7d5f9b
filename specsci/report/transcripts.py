"""The same questions put to every arm: what each chose, side by side."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import duckdb

from specsci.core.errors import SpecsciError
from specsci.core.ids import derive_seed
from specsci.core.shipped import find_family
from specsci.database.connection import rows
from specsci.database.manifest import Manifest
from specsci.specs.items import Item, read_items
from specsci.specs.versions import load_version

QUESTIONS = 6


@dataclass(frozen=True)
class Transcript:
    """One question in one option order, and how many of each arm's replicates chose the aligned option."""

    item_id: str
    question: str
    aligned: str
    misaligned: str
    answers: list[tuple[str, int, int, int]]
    """(arm at its budget, aligned, valid, attempted)."""


def transcripts(db: duckdb.DuckDBPyConnection, study: str, manifest: Manifest, name: str) -> tuple[list[Transcript], str]:
    """Sample questions of an eval, chosen by a fixed draw and not by their answers; and why there are none, if so."""
    wanted = manifest.evals[name].items
    if not wanted:
        return [], "imported answers come without their questions"
    try:
        items = _items(db, study, manifest, wanted)
    except SpecsciError as error:
        return [], error.what
    if items is None:
        return [], "the family's items are no longer those that were asked"
    chosen = sorted(items.values(), key=lambda i: derive_seed("transcript", i.item_id))[:QUESTIONS]
    out = []
    for number, item in enumerate(chosen):
        questions = list(item.questions())
        variant, question = questions[number % len(questions)]
        answers = _answers(db, study, name, item, variant, list(manifest.arms))
        out.append(Transcript(item.item_id, question, item.aligned, item.misaligned, answers))
    return out, ""


def _answers(
    db: duckdb.DuckDBPyConnection, study: str, name: str, item: Item, variant: str, arms: list[str]
) -> list[tuple[str, int, int, int]]:
    query = """SELECT arm, aft_tokens, count(*) FILTER (aligned) AS a, count(aligned) AS d, count(*) AS n FROM chosen_scores
      WHERE study = ? AND eval = ? AND item_id = ? AND variant IN (?, 'both') AND subject = arm GROUP BY arm, aft_tokens
      QUALIFY aft_tokens = max(aft_tokens) OVER (PARTITION BY arm)"""
    found = sorted(rows(db, query, [study, name, item.item_id, variant]), key=lambda r: arms.index(r["arm"]))
    return [(_label(r), r["a"], r["d"], r["n"]) for r in found]


def _label(row: dict[str, Any]) -> str:
    return f"{row['arm']}, {row['aft_tokens']:,}" if row["aft_tokens"] else str(row["arm"])


def _items(db: duckdb.DuckDBPyConnection, study: str, manifest: Manifest, wanted: str) -> dict[str, Item] | None:
    """An item set by id, in the name that the model was asked under; None where the family has others by now."""
    family = load_version(find_family(manifest.family), manifest.family_version)
    then = manifest.family_parts
    if then is None or family.items_digest(wanted) != then.items.get(wanted):
        return None
    query = "SELECT any_value(identity->'$.params.identity') FROM steps WHERE study = ? AND kind IN ('items', 'score')"
    (found,) = db.execute(query, [study]).fetchone() or (None,)
    return {i.item_id: i for i in read_items(family.items_file(wanted), json.loads(found) if found else {})}
