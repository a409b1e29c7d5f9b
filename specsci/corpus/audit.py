"""The audit of training texts: eval items that occur in them, duplicates, and token counts per variant."""

from __future__ import annotations

import re
from typing import Any

from specsci.core.context import Facts, StepContext
from specsci.core.errors import GateRefused, StepFailed
from specsci.core.rows import read_texts
from specsci.specs.item_rows import read_item_rows
from specsci.specs.items import Item
from specsci.store.artifact import write_json

_WORD = re.compile(r"[\w'-]+")
SHOWN = 5


def normalised(text: str) -> str:
    """Words in lower case, one space apart: what texts are compared on."""
    return " ".join(_WORD.findall(text.lower()))


def leaks(texts: list[str], items: list[Item]) -> list[str]:
    """Ids of items whose question occurs in a text, in either option order."""
    whole = "\n".join(f" {normalised(t)} " for t in texts)
    return [i.item_id for i in items if any(f" {normalised(question)} " in whole for _, question in i.questions())]


def run_audit(context: StepContext) -> Facts:
    """Look for eval items in every training text; refuse unless the study accepted leaks in writing.

    Raises:
        GateRefused: an outcome item occurs in a training text, or corpora differ too much in tokens.
    """
    asked = {role: folder for role, folder in context.inputs.items() if role.startswith("items.")}
    inputs = {role: folder for role, folder in context.inputs.items() if role not in asked}
    items = [item for folder in asked.values() for item in read_item_rows(folder)]
    report: dict[str, Any] = {"items": len(items), "texts": {}}
    leaked: dict[str, list[str]] = {}
    planted = 0
    for role, folder in inputs.items():
        texts = read_texts(folder)
        found = leaks(texts, items)
        if items:
            planted += len(leaks([*texts[:50], "x " + next(iter(items[0].questions()))[1] + " y"], items[:1]))
        record = context.records[role]
        report["texts"][role] = {
            "rows": len(texts),
            "tokens": record.facts.get("tokens", 0),
            "distinct_share": round(len(set(texts)) / max(1, len(texts)), 4),
            "leaked_items": len(found),
        }
        if found:
            leaked[role] = found[:SHOWN]
    if items and planted != len(inputs):
        raise StepFailed("the leak check missed a planted item; its verdict cannot be trusted")
    report["leaked"] = leaked
    wanted = {r: record.identity.params["tokens"] for r, record in context.records.items() if r.startswith("corpus.")}
    _check_tokens(report, wanted, context.params["max_token_mismatch"])
    write_json(context.out / "audit.json", report)
    if leaked and not context.params["accepted"]:
        shown = "; ".join(f"{role}: {', '.join(ids)}" for role, ids in leaked.items())
        raise GateRefused(
            f"eval items occur in training texts ({shown})",
            hint="remove the texts or the items, or write gates.accept_leaks: REASON",
        )
    return {"leaked_items": sum(t["leaked_items"] for t in report["texts"].values()), "items": len(items)}


def _check_tokens(report: dict[str, Any], asked: dict[str, int], limit: float) -> None:
    """Corpora must hold the same tokens, as far as they were asked for: what the last document adds is not trained on."""
    counts = {role: t["tokens"] for role, t in report["texts"].items() if role.startswith("corpus.")}
    counts = {role: min(count, asked.get(role, count)) for role, count in counts.items()}
    if not counts:
        return
    mismatch = max(counts.values()) / min(counts.values()) - 1
    report["token_mismatch"] = round(mismatch, 6)
    if mismatch > limit:
        raise GateRefused(f"corpora differ by {mismatch:.2%} in tokens: {counts}", hint="generate equal corpora")
