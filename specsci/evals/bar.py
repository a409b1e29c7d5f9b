"""The bar step: refuses where a score is below what the study declares, or cannot be read."""

from __future__ import annotations

from specsci.core.context import Facts, StepContext
from specsci.core.errors import GateRefused
from specsci.core.record import Record
from specsci.store.artifact import write_json

NAMES = {
    "base_must_misbehave": "the base must misbehave",
    "in_context_oracle": "documents in context must help",
    "spec_recall": "the midtrained model must know its spec",
}


def run_bar(context: StepContext) -> Facts:
    """Compare a score with its bar.

    Raises:
        GateRefused: it is below, or there is no valid answer.
    """
    params, what = context.params, NAMES[context.params["what"]]
    rate, valid = _aligned(context.records["score"], what)
    if "least_misaligned" in params:
        found, least, said = 1 - rate, params["least_misaligned"], "misaligned rate"
    elif "least_gain" in params:
        alone, _ = _aligned(context.records["alone"], what)
        found, least, said = rate - alone, params["least_gain"], f"gain over the aligned rate of {alone:.3f} without them"
    else:
        found, least, said = rate, params["least_aligned"], "aligned rate"
    if found < least:
        raise GateRefused(
            f"{what}: {said} {found:.3f} of {valid:,} valid answers, and at least {least:g} is declared",
            hint=f"what comes after would be paid for in vain; or change gates.{params['what']}",
        )
    facts = {"found": round(found, 6), "least": least, "valid": valid}
    write_json(context.out / "bar.json", {"what": what, **facts})
    return facts


def _aligned(record: Record, what: str) -> tuple[float, int]:
    """The aligned rate of a score, and of how many valid answers it is."""
    aligned, valid = record.facts.get("aligned"), record.facts.get("valid")
    if not isinstance(aligned, int) or not isinstance(valid, int) or valid < 1:
        raise GateRefused(f"{what}: {record.label} has no valid answer that a bar could read", hint="look at the eval")
    return aligned / valid, valid
