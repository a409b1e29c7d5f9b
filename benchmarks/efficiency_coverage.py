"""How often the 95 % interval of a token ratio covers the truth, by simulation over replicates and situations.

python -m benchmarks.efficiency_coverage --studies 1000
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import click
import numpy as np

from specsci.stats.efficiency import token_ratio

BUDGETS = np.array([500, 1000, 2000, 4000, 8000, 16000], float)
ANSWERS = 384
TOP = 0.95
"""Rate of the base model, the level being half of it."""


@dataclass(frozen=True)
class Situation:
    """Where two curves cross half the base's rate (tokens), how steep they are, and how replicates differ.

    `slope` is of the logit per log token; `shared` and `own` are standard deviations of log tokens between replicates, of what
    both arms share and of each arm's own.
    """

    name: str
    reference_tokens: float
    arm_tokens: float
    slope: float = 1.5
    shared: float = 0.25
    own: float = 0.2


SITUATIONS = (
    Situation("mid-grid, ratio 2.4", 4800, 2000),
    Situation("mid-grid, noisy", 4800, 2000, shared=0.4, own=0.4),
    Situation("ratio 1", 3000, 3000),
    Situation("reference at the grid's end, ratio 2", 15000, 7500),
    Situation("reference far beyond, ratio 5", 40000, 8000),
    Situation("arm below the first budget, ratio 10", 4000, 400),
    Situation("both near the end, ratio 1.3", 17000, 13000),
    Situation("steep (slope 6), ratio 2.4", 4800, 2000, slope=6.0),
)


def covered(situation: Situation, replicates: int, studies: int, seed: int = 0) -> dict[str, float]:
    """Shares of simulated studies: interval `covers` the truth, and of those with no limit or one limit open.

    The truth is the ratio of the crossings of the mean curves over replicates to come, which is the estimand.
    """
    rng = np.random.default_rng([seed, replicates, int(situation.reference_tokens), int(situation.slope * 10)])
    truth = _truth(situation)
    counts = {"covers": 0, "open": 0, "one_sided": 0}
    for study in range(studies):
        rates = _drawn(situation, replicates, rng)
        found = token_ratio(BUDGETS, rates[0], rates[1], rates[2][:, 0] * 0.5, seed=study)
        counts["covers"] += (found.ci_low or 0.0) <= truth <= (found.ci_high or math.inf)
        ends = [found.ci_low, found.ci_high].count(None)
        counts["open"] += ends == 2
        counts["one_sided"] += ends == 1
    return {k: v / studies for k, v in counts.items()}


def _curve(slope: float, log_tokens: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Rates that fall through half of TOP at `log_tokens`."""
    return TOP / (1 + np.exp(slope * (at - log_tokens)))


def _drawn(s: Situation, n: int, rng: np.random.Generator) -> np.ndarray:
    """Observed misaligned rates of reference, arm and base, shape (3, n, budgets); the base is the same at every budget."""
    shared = rng.normal(0, s.shared, n)
    shifts = [math.log(t) + shared + rng.normal(0, s.own, n) for t in (s.reference_tokens, s.arm_tokens)]
    curves = [_curve(s.slope, shift[:, None], np.log(BUDGETS)[None]) for shift in shifts]
    base = np.repeat(rng.binomial(ANSWERS, TOP, (n, 1)), len(BUDGETS), axis=1) / ANSWERS
    return np.stack([*(rng.binomial(ANSWERS, c) / ANSWERS for c in curves), base])


def _truth(s: Situation) -> float:
    """Crossings of the mean curves by quadrature over the shift; symmetric, so that they are at the named tokens."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(41)
    spread = math.hypot(s.shared, s.own)

    def crossing(tokens: float) -> float:
        low, high = math.log(tokens) - 3, math.log(tokens) + 3
        for _ in range(60):
            middle = (low + high) / 2
            mean = (weights * _curve(s.slope, math.log(tokens) + spread * nodes, np.array(middle))).sum() / weights.sum()
            low, high = (middle, high) if mean > TOP / 2 else (low, middle)
        return math.exp(low)

    return crossing(s.reference_tokens) / crossing(s.arm_tokens)


@click.command(help=__doc__)
@click.option("--studies", type=click.IntRange(1), default=1000, show_default=True)
@click.option("--replicates", default="2,3,4,8", show_default=True, help="Comma-separated.")
def main(studies: int, replicates: str) -> None:
    numbers = [int(n) for n in replicates.split(",")]
    click.echo("| coverage (no interval / one limit open) | " + " | ".join(f"n = {n}" for n in numbers) + " |")
    click.echo("|---|" + "---|" * len(numbers))
    for situation in SITUATIONS:
        cells = []
        for n in numbers:
            found = covered(situation, n, studies)
            cells.append(f"{found['covers']:.3f} ({found['open']:.2f} / {found['one_sided']:.2f})")
        click.echo(f"| {situation.name} | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
