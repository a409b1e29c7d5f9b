"""What people's verdicts on texts come to: shares with intervals, agreement, and whether they are enough."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import combinations
from typing import Any

from specsci.stats.intervals import wilson
from specsci.store.artifact import Store
from specsci.store.reviews import GOOD, reviews, settled


@dataclass(frozen=True)
class Reviewed:
    """One artefact's reviews.

    Attributes:
        rows: rows with a verdict. good: rows that every reviewer of them finds good.
        low, high: Wilson's 95 % interval of the share of good rows.
        agreement: share of rows with two reviewers on which they agree; None without any.
        kappa: Cohen's kappa of the two reviewers with most rows in common; None without two, or where nothing differs.
    """

    artefact: str
    rows: int
    good: int
    low: float
    high: float
    reviewers: tuple[str, ...]
    agreement: float | None
    kappa: float | None

    @property
    def share(self) -> float:
        """Good rows of those with a verdict."""
        return self.good / self.rows if self.rows else 0.0

    def as_dict(self) -> dict[str, Any]:
        """For JSON and records."""
        return {**vars(self), "reviewers": list(self.reviewers), "share": self.share}


def reviewed(store: Store, digest: str) -> Reviewed:
    """What the reviews of an artefact say."""
    by_row = settled(reviews(store, digest))
    good = sum(all(r.verdict == GOOD for r in by.values()) for by in by_row.values())
    low, high = wilson(good, len(by_row))
    names = sorted({name for by in by_row.values() for name in by})
    pairs = [[by[a].verdict == GOOD, by[b].verdict == GOOD] for by in by_row.values() for a, b in combinations(sorted(by), 2)]
    agreement = sum(a == b for a, b in pairs) / len(pairs) if pairs else None
    return Reviewed(digest, len(by_row), good, low, high, tuple(names), agreement, _kappa(pairs))


def _kappa(pairs: list[list[bool]]) -> float | None:
    if not pairs:
        return None
    first, second = (sum(p[side] for p in pairs) / len(pairs) for side in (0, 1))
    chance = first * second + (1 - first) * (1 - second)
    seen = sum(a == b for a, b in pairs) / len(pairs)
    return None if chance >= 1 else (seen - chance) / (1 - chance)


def lacking(found: Iterable[tuple[str, Reviewed]], rows: int, share: float) -> list[str]:
    """What is missing for an approval, one sentence for each text set.

    Args:
        found: roles with their reviews.
        rows: the fewest rows with a verdict.
        share: what the lower end of the interval must reach.
    """
    out = []
    for role, review in found:
        if review.rows < rows:
            out.append(f"{role}: {review.rows} of {rows} rows were reviewed")
        elif review.low < share:
            out.append(f"{role}: {review.good} of {review.rows} reviewed rows are good (95 % interval from {review.low:.2f}), and {share:.2f} is wanted")
    return out
