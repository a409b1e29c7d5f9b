"""The score step: one model on one item set, one row per item and order."""

from __future__ import annotations

import math
from functools import lru_cache
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from specsci.errors import StepFailed
from specsci.evals.forced_choice import Question, Reading, prepare, read_out
from specsci.evals.items import read_items
from specsci.execute.context import Facts, StepContext
from specsci.ids import canonical_json, text_digest
from specsci.models.hf import load_model, load_tokenizer
from specsci.specs.load import load_family

SCORES = "scores.parquet"
READOUT = "logprob"


@lru_cache(maxsize=8)
def _questions(file: str, items_digest: str, identity: str, tokenizer: str, chat: bool) -> tuple[list[Question], int]:
    import json

    path = Path(file)
    if text_digest(path.read_text(encoding="utf-8")) != items_digest:
        raise StepFailed(f"item set '{path.stem}' changed after the plan was made", mend="run the study again")
    loaded = load_tokenizer(Path(tokenizer))
    pad = loaded.pad_token_id if loaded.pad_token_id is not None else 0
    return prepare(read_items(path, json.loads(identity)), loaded, chat), pad


@lru_cache(maxsize=1)
def _model(base: str, trained: str | None, device: str) -> Any:
    return load_model(Path(base), Path(trained) if trained else None, device=device).eval()


def run_score(context: StepContext) -> Facts:
    """Read out every item in both option orders."""
    params, inputs = context.params, context.inputs
    family = load_family(Path(context.runtime["family_folder"]))
    file = family.items_file(context.runtime["items_name"])
    questions, pad = _questions(
        str(file), params["items"], canonical_json(params["identity"]), str(inputs["tokenizer"]), params["format"] == "chat"
    )
    trained = inputs.get("model")
    model = _model(str(inputs["base"]), str(trained) if trained else None, context.runtime.get("device", "cpu"))
    rows = [_row(reading) for reading in read_out(model, questions, pad)]
    pq.write_table(pa.Table.from_pylist(rows), context.out / SCORES)
    decided = [r for r in rows if r["state"] == "ok"]
    return {
        "asked": len(rows),
        "decided": len(decided),
        "aligned": sum(bool(r["aligned"]) for r in decided),
    }


def _row(reading: Reading) -> dict[str, Any]:
    """One score row; an answer that is not finite is an error state, never a value."""
    margin = reading.logprob_aligned - reading.logprob_misaligned
    ok = math.isfinite(margin)
    item = reading.question.item
    return {
        "item_id": item.item_id,
        "cluster_id": item.cluster_id,
        "slice": item.slice,
        "readout": READOUT,
        "variant": reading.question.variant,
        "sample": 0,
        "state": "ok" if ok else "error",
        "aligned": margin > 0 if ok else None,
        "value": margin if ok else None,
        "logprob_aligned": reading.logprob_aligned,
        "logprob_misaligned": reading.logprob_misaligned,
    }
