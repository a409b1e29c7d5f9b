"""How often the 95 % intervals of alpha, kappa and an audited error cover the truth, by simulation.

python -m benchmarks.agreement_coverage --studies 1000
"""

from __future__ import annotations

import click
import numpy as np

from specsci.stats.agreement import Stratum, audited_error, cohen_kappa, krippendorff_alpha

AUDITS = {
    "six strata of 12": ([1000] * 6, [12] * 6, [0.02, 0.05, 0.1, 0.02, 0.2, 0.05]),
    "two of 30": ([9000, 1000], [30, 30], [0.02, 0.2]),
    "two of 10": ([5000, 5000], [10, 10], [0.05, 0.2]),
}
"""Populations of the strata, how many of each were audited, and their true error rates."""


def rated(rng: np.random.Generator, units: int, raters: int, labels: int, sure: float) -> np.ndarray:
    """Labels of raters who see a unit's truth with a chance of `sure`, else guess; kappa and alpha are the square of it."""
    truth = rng.integers(0, labels, units)
    return np.where(rng.random((units, raters)) < sure, truth[:, None], rng.integers(0, labels, (units, raters)))


def covered(units: int, raters: int, labels: int, sure: float, studies: int, seed: int = 0) -> tuple[float, float]:
    """Share of the intervals that cover, and share of the studies that have one (kappa of two raters, else alpha)."""
    rng, hits, known = np.random.default_rng([seed, units, raters, labels, round(sure * 100)]), 0, 0
    for _ in range(studies):
        y = rated(rng, units, raters, labels, sure)
        found = cohen_kappa(y[:, 0], y[:, 1]) if raters == 2 else krippendorff_alpha(y)
        if not np.isnan(found.ci_low):
            known += 1
            hits += found.ci_low <= sure**2 <= found.ci_high
    return hits / max(known, 1), known / studies


def audits_covered(name: str, studies: int, seed: int = 0) -> float:
    """Share of the intervals of an audited error that cover."""
    rng, hits = np.random.default_rng(seed), 0
    sizes, audited, rates = AUDITS[name]
    truth = sum(s * r for s, r in zip(sizes, rates, strict=True)) / sum(sizes)
    for _ in range(studies):
        strata = [
            Stratum(str(i), s, n, int(rng.binomial(n, r)))
            for i, (s, n, r) in enumerate(zip(sizes, audited, rates, strict=True))
        ]
        _, low, high = audited_error(strata)
        hits += low <= truth <= high
    return hits / studies


@click.command(help=__doc__)
@click.option("--studies", type=click.IntRange(1), default=1000, show_default=True)
def main(studies: int) -> None:
    for raters, labels, sure in ((3, 2, 0.67), (3, 3, 0.67), (2, 2, 0.67), (2, 2, 0.85), (3, 3, 0.85)):
        for units in (8, 12, 20, 50):
            share, known = covered(units, raters, labels, sure, studies)
            click.echo(f"{raters} raters, {labels} labels, true {sure**2:.2f}, {units} units: {share:.3f} of {known:.0%}")
    for name in AUDITS:
        click.echo(f"audited error, {name}: {audits_covered(name, studies):.3f}")


if __name__ == "__main__":
    main()
