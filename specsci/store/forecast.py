"""What a plan finds in a store: steps that are done, what they say against the plan, and how long such steps took."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from specsci.core.kinds import names
from specsci.core.record import Record
from specsci.plan.distinct import distinct_findings
from specsci.plan.gates import Finding, findings
from specsci.plan.plan import Plan
from specsci.plan.price import Speeds
from specsci.store.artifact import Store, read_record

MOST_EARLIER = 300
"""Records of each kind that a plan reads to learn how long steps take."""


@dataclass(frozen=True)
class Forecast:
    """Digests of steps that are done, the findings of all gates, and the speeds of earlier steps."""

    have: set[str]
    findings: list[Finding]
    speeds: Speeds


def forecast(plan: Plan, store: Store) -> Forecast:
    """What a plan finds in a store, which need not exist.

    Raises:
        InputFileError: a base model is refused by its examination.
    """
    have = store.have(list(plan.steps.values()))
    corpora = {s.digest: read_record(store.path(s.kind, s.digest)) for s in plan.of_kind("corpus") if s.digest in have}
    found = [*findings(plan), *distinct_findings(plan, corpora)]
    return Forecast(have, found, Speeds(plan, _earlier(store, plan, have)))


def _earlier(store: Store, plan: Plan, have: set[str]) -> Iterator[Record]:
    """Records of finished steps that tell how long such steps take: this study's first, then others', at most so many."""
    if len(have) == len(plan.steps):
        return
    for kind in names(lambda kind: kind.timed):
        own = [s.digest for s in plan.of_kind(kind) if s.digest in have]
        folder = store.root / "steps" / kind
        others = sorted(p.name for p in folder.iterdir() if p.name not in have) if folder.is_dir() else []
        for digest in [*own, *others][:MOST_EARLIER]:
            if record := read_record(store.path(kind, digest)):
                yield record
