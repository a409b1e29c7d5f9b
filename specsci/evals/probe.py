"""The absorption probe: how well a model predicts held-out texts, before midtraining and after it.

Held-out documents about the spec should become easier by more than control text does; where they do not,
the spec was not installed, and a null result of its arm says nothing about the spec.
"""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import torch

from specsci.core.context import Facts, StepContext
from specsci.core.errors import StepFailed
from specsci.core.rows import read_texts, read_token_rows
from specsci.core.token_row import IGNORED, TokenRow
from specsci.evals.forward import batch_limit, batches, padded
from specsci.evals.model import scored_model
from specsci.models.hf import load_tokenizer, pad_id

NLL = "nll.parquet"
LEAST_UNSEEN = 20
"""Texts that a judgement needs."""


def run_probe(context: StepContext) -> Facts:
    """Negative log-likelihood (nats) of the probe's texts, those that the model was not trained on where there are enough."""
    rows, seen = _texts(context)
    tokenizer = load_tokenizer(context.inputs["tokenizer"])
    nats = nll(scored_model(context), rows, pad_id(tokenizer))
    predicted = [sum(label != IGNORED for label in row.labels()) for row in rows]
    table = {"row": list(range(len(rows))), "tokens": predicted, "nll": nats}
    pq.write_table(pa.table(table), context.out / NLL)
    return {"texts": len(rows), "seen_texts": seen, "tokens": sum(predicted), "nll_per_token": sum(nats) / sum(predicted)}


def _texts(context: StepContext) -> tuple[list[TokenRow], int]:
    """Texts up to the declared number of tokens, and how many of them also stand in the training corpus.

    A small grammar writes the same texts again; where it leaves fewer than `LEAST_UNSEEN` new ones, all are read.
    """
    source = context.inputs["documents"]
    trained = set(read_texts(context.inputs["trained"])) if "trained" in context.inputs else set()
    found = [
        (TokenRow(row.input_ids), text in trained)
        for row, text in zip(read_token_rows(source), read_texts(source), strict=True)
        if len(row.input_ids) >= 2
    ]
    unseen = [pair for pair in found if not pair[1]]
    kept: list[TokenRow] = []
    left, seen = context.params["tokens"], 0
    for row, known in unseen if len(unseen) >= LEAST_UNSEEN else found:
        if len(row.input_ids) <= left:
            kept.append(row)
            left -= len(row.input_ids)
            seen += known
    if not kept:
        raise StepFailed(f"no probe text fits into {context.params['tokens']:,} tokens", hint="raise probe.tokens")
    return kept, seen


@torch.no_grad()
def nll(model: Any, rows: list[TokenRow], pad_token_id: int) -> list[float]:
    """Summed negative log-likelihood of each row's predicted tokens, in nats, in the rows' order."""
    device, limit = next(model.parameters()).device, batch_limit(model)
    shortest_first = sorted(range(len(rows)), key=lambda n: len(rows[n].input_ids))
    out = [0.0] * len(rows)
    for batch in batches(shortest_first, limit, lambda n: len(rows[n].input_ids)):
        ids, mask = padded([rows[n].input_ids for n in batch], pad_token_id)
        labels, _ = padded([rows[n].labels() for n in batch], IGNORED)
        logits = model(input_ids=ids.to(device), attention_mask=mask.to(device)).logits[:, :-1].float()
        losses = torch.nn.functional.cross_entropy(
            logits.transpose(1, 2), labels[:, 1:].to(device), ignore_index=IGNORED, reduction="none"
        )
        for number, loss in zip(batch, losses.sum(1).cpu().tolist(), strict=True):
            out[number] = loss
    return out
