"""What a judge of documents found, as findings: statements that no clause supports, and a judge that cannot be trusted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from specsci.corpus.audit.findings import Found
from specsci.stats.intervals import wilson
from specsci.study.audit import PolicyJudge

CLAIM_FACTS = (
    "documents", "asked", "answered", "statements", "unsupported", "with_unsupported", "planted", "planted_found",
    "control_statements", "control_unsupported", "by_clause",
)  # fmt: skip


def policies(judged: Mapping[str, Mapping[str, Any]], settings: PolicyJudge | None) -> list[Found]:
    """Findings of the judge, by role of the texts."""
    if settings is None:
        return []
    return [finding for role, facts in judged.items() for finding in _of(role, facts, settings)]


def _of(role: str, facts: Mapping[str, Any], settings: PolicyJudge) -> list[Found]:
    found = []
    planted, seen = facts["planted"], facts["planted_found"]
    if not planted or seen / planted < settings.min_found:
        text = f"the judge found {seen:,} of {planted:,} planted policies, so that what it says of the others is not known"
        found.append(Found("policy_judge", "block", role, text))
    shown, wrong = facts["control_statements"], facts["control_unsupported"]
    if shown and wrong / shown > settings.max_false:
        text = f"the judge called {wrong:,} of {shown:,} statements of the spec's own clauses unsupported"
        found.append(Found("policy_judge", "block", role, text))
    statements, unsupported = facts["statements"], facts["unsupported"]
    if statements and unsupported / statements > settings.max_unsupported:
        some, documents = facts["with_unsupported"], facts["documents"]
        low, high = wilson(some, documents)
        text = (
            f"{unsupported:,} of {statements:,} statements about the model are supported by no clause ({unsupported / statements:.0%}); "
            f"{some:,} of {documents:,} judged documents have some (95 % interval {low:.0%} to {high:.0%} of all)"
        )
        found.append(Found("policy_hallucination", "block", role, text))
    return found
