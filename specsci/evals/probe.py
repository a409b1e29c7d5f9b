"""The absorption probe: how well a model predicts held-out texts, before midtraining and after it.

Held-out documents about the spec should become easier by more than control text does; where they do not,
the spec was not installed, and a null result of its arm says nothing about the spec.
"""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import torch

from specsci.corpus.rows import read_texts, read_token_rows
from specsci.errors import StepFailed
from specsci.evals.forced_choice import batch_limit
from specsci.evals.steps import scored_model
from specsci.execute.context import Facts, StepContext
from specsci.models.hf import load_tokenizer
from specsci.token_row import IGNORED, TokenRow

NLL = "nll.parquet"


def run_probe(context: StepContext) -> Facts:
    """Negative log-likelihood (nats) of the held-out texts that the model was not trained on."""
    rows, repeated = _held_out(context)
    tokenizer = load_tokenizer(context.inputs["tokenizer"])
    pad = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else 0
    nats = nll(scored_model(context), rows, pad)
    predicted = [sum(label != IGNORED for label in row.labels()) for row in rows]
    table = {"row": list(range(len(rows))), "tokens": predicted, "nll": nats}
    pq.write_table(pa.table(table), context.out / NLL)
    return {
        "texts": len(rows),
        "repeated_texts": repeated,
        "tokens": sum(predicted),
        "nll_per_token": sum(nats) / sum(predicted),
    }


def _held_out(context: StepContext) -> tuple[list[TokenRow], int]:
    """Texts up to the declared number of tokens, without those that also occur in the training corpus."""
    source = context.inputs["documents"]
    trained = set(read_texts(context.inputs["trained"])) if "trained" in context.inputs else set()
    kept, left, repeated = [], context.params["tokens"], 0
    for row, text in zip(read_token_rows(source), read_texts(source), strict=True):
        if text in trained:
            repeated += 1
        elif 2 <= len(row.input_ids) <= left:
            kept.append(TokenRow(row.input_ids))
            left -= len(row.input_ids)
    if not kept:
        raise StepFailed(
            f"every one of {repeated:,} probe texts is in the training corpus",
            mend="raise probe.tokens, or give the grammar more phrases",
        )
    return kept, repeated


@torch.no_grad()
def nll(model: Any, rows: list[TokenRow], pad_token_id: int) -> list[float]:
    """Summed negative log-likelihood of each row's predicted tokens, in nats, in the rows' order."""
    device, limit = next(model.parameters()).device, batch_limit(model)
    order = sorted(range(len(rows)), key=lambda n: len(rows[n].input_ids))
    out = [0.0] * len(rows)
    while order:
        count = 1
        while count < len(order) and (count + 1) * len(rows[order[count]].input_ids) <= limit:
            count += 1
        batch, order = order[:count], order[count:]
        length = len(rows[batch[-1]].input_ids)
        ids = torch.full((count, length), pad_token_id, dtype=torch.long)
        labels = torch.full((count, length), IGNORED, dtype=torch.long)
        mask = torch.zeros((count, length), dtype=torch.long)
        for place, number in enumerate(batch):
            size = len(rows[number].input_ids)
            ids[place, :size] = torch.tensor(rows[number].input_ids)
            labels[place, :size] = torch.tensor(rows[number].labels())
            mask[place, :size] = 1
        logits = model(input_ids=ids.to(device), attention_mask=mask.to(device)).logits[:, :-1].float()
        losses = torch.nn.functional.cross_entropy(
            logits.transpose(1, 2), labels[:, 1:].to(device), ignore_index=IGNORED, reduction="none"
        )
        for number, loss in zip(batch, losses.sum(1).cpu().tolist(), strict=True):
            out[number] = loss
    return out
