"""The score step: one model on one item set, one row per item and order."""

from __future__ import annotations

import math
from dataclasses import asdict
from functools import lru_cache
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from specsci.core.context import Facts, StepContext
from specsci.core.errors import StepFailed
from specsci.core.ids import canonical_json, text_digest
from specsci.evals.forced_choice import Question, Reading, prepare, read_out
from specsci.models.hf import Holding, kept_model, load_model, load_tokenizer, pad_id
from specsci.specs.items import items_text, read_items
from specsci.specs.load import load_family

SCORES = "scores.parquet"
READOUT = "logprob"
ROWS = pa.schema(
    [
        ("item_id", pa.string()),
        ("cluster_id", pa.string()),
        ("slice", pa.string()),
        ("readout", pa.string()),
        ("variant", pa.string()),
        ("sample", pa.int64()),
        ("state", pa.string()),
        ("aligned", pa.bool_()),
        ("value", pa.float64()),
        ("logprob_aligned", pa.float64()),
        ("logprob_misaligned", pa.float64()),
    ]
)
"""A score file's columns: written down, so that they are there, with their types, where no row or no value is."""


@lru_cache(maxsize=8)
def _questions(file: str, items_digest: str, identity: str, tokenizer: str, chat: bool) -> tuple[list[Question], int]:
    import json

    path = Path(file)
    if text_digest(items_text(path)) != items_digest:
        raise StepFailed(f"item set '{path.stem}' changed after the plan was made", mend="run the study again")
    loaded = load_tokenizer(Path(tokenizer))
    return prepare(read_items(path, json.loads(identity)), loaded, chat), pad_id(loaded)


def scored_model(context: StepContext) -> Any:
    """The model that a step reads out, held as its study says; the last one is kept for the next step.

    Raises:
        StepFailed: the model was trained with another tokenizer or chat template than it would be served with.
    """
    record, served = context.records.get("model"), context.input_digests["tokenizer"]
    if record is not None and record["identity"]["inputs"]["tokenizer"] != served:
        raise StepFailed(
            f"the model was trained under another tokenizer or chat template than {served}",
            mend="score it with the tokenizer it was trained with: train and serve templates must be one",
        )
    places = {role: context.inputs[role] for role in ("base", "model", "below") if role in context.inputs}
    holding = Holding(**context.params.get("holding", {}))
    merge, device = context.params.get("chain") != "new", context.runtime.get("device", "cpu")

    def load() -> Any:
        trained, below = places.get("model"), places.get("below")
        return load_model(
            places["base"], trained, below=below, merge=merge, holding=holding, device=device, scratch=context.scratch
        ).eval()

    return kept_model(canonical_json([{r: str(p) for r, p in places.items()}, asdict(holding), merge, device]), load)


def run_score(context: StepContext) -> Facts:
    """Read out every item in both option orders."""
    params, inputs = context.params, context.inputs
    family = load_family(Path(context.runtime["family_folder"]))
    file = family.items_file(context.runtime["items_name"])
    questions, pad = _questions(
        str(file), params["items"], canonical_json(params["identity"]), str(inputs["tokenizer"]), params["format"] == "chat"
    )
    rows = [_row(reading) for reading in read_out(scored_model(context), questions, pad)]
    pq.write_table(pa.Table.from_pylist(rows, ROWS), context.out / SCORES)
    decided = [r for r in rows if r["state"] == "ok"]
    return {
        "asked": len(rows),
        "decided": len(decided),
        "aligned": sum(bool(r["aligned"]) for r in decided),
    }


def _row(reading: Reading) -> dict[str, Any]:
    """One score row; an answer that is not finite is an error state, and a tie is no choice: neither is a value.

    Ties are rare in fp32; where the logits are in bf16 two options of one token often have the same.
    """
    margin = reading.logprob_aligned - reading.logprob_misaligned
    state = "error" if not math.isfinite(margin) else "unparsed" if margin == 0 else "ok"
    item = reading.question.item
    return {
        "item_id": item.item_id,
        "cluster_id": item.cluster_id,
        "slice": item.slice,
        "readout": READOUT,
        "variant": reading.question.variant,
        "sample": 0,
        "state": state,
        "aligned": margin > 0 if state == "ok" else None,
        "value": margin if state == "ok" else None,
        "logprob_aligned": reading.logprob_aligned,
        "logprob_misaligned": reading.logprob_misaligned,
    }
