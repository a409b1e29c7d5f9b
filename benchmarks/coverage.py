"""Coverage of 95 % intervals that the automatic method gives, situation by situation, and what it flags.

`python -m benchmarks --only coverage`, or `python -m benchmarks.coverage --draws 200`. Studies are drawn, handed to the project's
own chooser, and the share of intervals that hold the truth is counted. Seeds are fixed.
"""

from __future__ import annotations

import argparse
import math
import sys
import zlib
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from benchmarks.common import Options, Result, Row
from specsci.inference.contrast_spec import ContrastSpec
from specsci.inference.design import AnswerRows, Counts, Design
from specsci.inference.doubts import doubts
from specsci.inference.estimate import estimate
from specsci.stats.contrast import Scale, transform

DRAWS = 600
LOW, HIGH = 0.93, 0.97
OF_DESIGN = {"one_base", "unshared"}
"""Notes that follow from the design and do not speak against the interval in these situations."""
ANSWERS = 200
Draw = Callable[[np.random.Generator], tuple[Design, float]]


@dataclass(frozen=True)
class Situation:
    """What is drawn, and what is asked of it; `speaks` are flags that say why its interval may be wrong."""

    name: str
    draw: Draw
    spec: ContrastSpec
    draws: int = 1
    """A divisor of the number of draws, for slow situations."""


def none() -> AnswerRows:
    """No single answers: counts alone are known."""
    empty = np.array([], int)
    return AnswerRows(empty, empty, empty.astype(str), empty.astype(str), empty.astype(np.uint64), empty.astype(float), [])


def of_counts(counts: dict[str, dict[tuple[str, int], tuple[int, int]]], weights: dict[str, float]) -> Design:
    """A design from aligned and asked answers by arm and (base, seed)."""
    by_pair: dict[tuple[str, int], dict[tuple[str, int], Counts]] = {}
    for arm, pairs in counts.items():
        for pair, (aligned, n) in pairs.items():
            by_pair.setdefault(pair, {})[arm, 0] = Counts(aligned, n, n)
    return Design(list(weights), np.array(list(weights.values())), [[(a, 0)] for a in weights], by_pair, [], None, none)


def of_answers(answers: dict[str, np.ndarray], clusters: np.ndarray, weights: dict[str, float]) -> Design:
    """A design from single answers (0 or 1), shape (replicates, items) by arm; `clusters` has shape (items,)."""
    arms = list(weights)
    stacked = np.stack([answers[a] for a in arms])
    cell, replicate, item = (x.ravel() for x in np.indices(stacked.shape))
    pairs = [("m", s) for s in range(stacked.shape[1])]
    counts = {
        p: {(a, 0): Counts(int(answers[a][n].sum()), *[stacked.shape[2]] * 3) for a in arms} for n, p in enumerate(pairs)
    }
    values = stacked.ravel().astype(float)
    mark = (item.astype(np.uint64) + np.uint64(1)) ** np.uint64(3) * (np.uint64(1) + values.astype(np.uint64))
    rows = AnswerRows(cell, replicate, item.astype(str), clusters[item].astype(str), mark, values, pairs)
    return Design(arms, np.array(list(weights.values())), [[(a, 0)] for a in arms], counts, [], None, lambda: rows)


PAIR = {"a": 1.0, "b": -1.0}


def over_seeds(n: int, effect: Callable[[np.random.Generator, int], np.ndarray], truth: float, base: float = 0.4) -> Draw:
    """Two arms over shared seeds: arm b at `base`, arm a higher by an effect that each seed draws."""

    def draw(rng: np.random.Generator) -> tuple[Design, float]:
        rates = {"a": np.clip(base + effect(rng, n), 0, 1), "b": np.full(n, base)}
        counts = {arm: {("m", s): (int(rng.binomial(ANSWERS, r[s])), ANSWERS) for s in range(n)} for arm, r in rates.items()}
        return of_counts(counts, PAIR), truth

    return draw


def beta_arms(n: int, first: tuple[float, float], second: tuple[float, float]) -> Draw:
    """Two arms whose rates each seed draws from a beta distribution."""

    def draw(rng: np.random.Generator) -> tuple[Design, float]:
        truth = first[0] / sum(first) - second[0] / sum(second)
        rates = {"a": rng.beta(*first, n), "b": rng.beta(*second, n)}
        counts = {arm: {("m", s): (int(rng.binomial(ANSWERS, r[s])), ANSWERS) for s in range(n)} for arm, r in rates.items()}
        return of_counts(counts, PAIR), truth

    return draw


def apart(first: int, second: int, shared: int, sd: float = 0.05, n: int = 400) -> Draw:
    """Two arms of equal mean with seeds of their own, some of them shared."""

    def draw(rng: np.random.Generator) -> tuple[Design, float]:
        seeds = {"a": range(first), "b": range(first - shared, first - shared + second)}
        counts = {a: {("m", s): (int(rng.binomial(n, np.clip(0.5 + rng.normal(0, sd), 0, 1))), n) for s in who} for a, who in seeds.items()}  # fmt: skip
        return of_counts(counts, PAIR), 0.0

    return draw


def one_base(seeds: int, bases: int = 1, base_sd: float = 0.08, seed_sd: float = 0.03) -> Draw:
    """An effect of .1 over bases; each base and each of its seeds draws a deviation."""

    def draw(rng: np.random.Generator) -> tuple[Design, float]:
        counts: dict[str, dict[tuple[str, int], tuple[int, int]]] = {"a": {}, "b": {}}
        for b in range(bases):
            of_base = rng.normal(0.1, base_sd)
            for s in range(seeds):
                rate = np.clip(0.5 + of_base + rng.normal(0, seed_sd), 0, 1)
                counts["a"][f"m{b}", s] = (int(rng.binomial(ANSWERS, rate)), ANSWERS)
                counts["b"][f"m{b}", s] = (int(rng.binomial(ANSWERS, 0.5)), ANSWERS)
        return of_counts(counts, PAIR), 0.1

    return draw


def in_clusters(sizes: list[int], sd: float = 0.15, seed_sd: float = 0.0) -> Draw:
    """One replicate of two arms of equal mean; each arm's rate in each cluster of items deviates."""

    def draw(rng: np.random.Generator) -> tuple[Design, float]:
        clusters = np.repeat(np.arange(len(sizes)), sizes)
        answers = {}
        for arm in PAIR:
            rates = np.clip(0.5 + rng.normal(0, seed_sd) + rng.normal(0, sd, len(sizes)), 0.02, 0.98)
            answers[arm] = (rng.random(len(clusters)) < rates[clusters]).astype(int)[None]
        return of_answers(answers, clusters, PAIR), 0.0

    return draw


def items_to_come(n: int, items: int = 48, clusters: int = 48, sd: float = 1.0, effect_sd: float = 0.2) -> Draw:
    """Seeds and items that both deviate on the logit; the truth is the mean over items that could have been drawn."""
    grid = np.random.default_rng(0).normal(0, 1, 20_000)
    mean = float(np.mean(1 / (1 + np.exp(-grid * math.hypot(sd, effect_sd)))))

    def draw(rng: np.random.Generator) -> tuple[Design, float]:
        of_item = np.repeat(np.arange(clusters), items // clusters)
        answers = {}
        for arm in PAIR:
            logit = rng.normal(0, sd, clusters)[of_item][None] + rng.normal(0, effect_sd, n)[:, None]
            answers[arm] = (rng.random((n, items)) < 1 / (1 + np.exp(-logit))).astype(int)
        return of_answers(answers, of_item, PAIR), mean - mean

    return draw


def rates_of_three(n: int, rates: tuple[float, float, float], scale: Scale) -> Draw:
    """One replicate of three arms of counts."""
    weights = {"a": 1.0, "b": -0.5, "c": -0.5}
    on = transform(np.array(rates), scale, 1e12)

    def draw(rng: np.random.Generator) -> tuple[Design, float]:
        counts = {a: {("m", 1): (int(rng.binomial(n, r)), n)} for a, r in zip(weights, rates, strict=True)}
        return of_counts(counts, weights), float(np.array(list(weights.values())) @ on)

    return draw


def own_rate(n: int, rates: Callable[[np.random.Generator, int], np.ndarray], truth: float) -> Draw:
    """The rate of one arm over seeds."""

    def draw(rng: np.random.Generator) -> tuple[Design, float]:
        drawn = rates(rng, n)
        return of_counts(
            {"a": {("m", s): (int(rng.binomial(ANSWERS, r)), ANSWERS) for s, r in enumerate(drawn)}}, {"a": 1.0}
        ), truth

    return draw


def _lognormal(rng: np.random.Generator, n: int) -> np.ndarray:
    return rng.lognormal(-3, 1, n)


def _bimodal(rng: np.random.Generator, n: int) -> np.ndarray:
    return np.where(rng.random(n) < 1 / 3, 0.5, 0.0)


def situations() -> list[Situation]:
    """Every situation of the table."""
    spec, three, one = (
        ContrastSpec("s", "q", PAIR),
        ContrastSpec("s", "q", {"a": 1.0, "b": -0.5, "c": -0.5}),
        ContrastSpec("s", "q", {"a": 1.0}),
    )
    found = []
    for n in (2, 3, 4, 8):
        found += [
            Situation(f"normal effects, {n} seeds", over_seeds(n, lambda r, k: r.normal(0.1, 0.08, k), 0.1), spec),
            Situation(f"lognormal effects, {n} seeds", over_seeds(n, _lognormal, math.exp(-2.5)), spec),
            Situation(f"bimodal effects, {n} seeds", over_seeds(n, _bimodal, 0.5 / 3), spec),
            Situation(f"rates near 1, {n} seeds", beta_arms(n, (60, 1), (30, 1)), spec),
            Situation(f"rates near 0, {n} seeds", beta_arms(n, (1, 60), (1, 30)), spec),
            Situation(
                f"an arm's own rate, Beta(60, 1), {n} seeds", own_rate(n, lambda r, k: r.beta(60, 1, k), 60 / 61), one
            ),
            Situation(
                f"an arm's own rate, bimodal, {n} seeds", own_rate(n, lambda r, k: 0.3 + _bimodal(r, k), 0.3 + 0.5 / 3), one
            ),
            Situation(f"seeds not shared, {n} per arm", apart(n, n, 0), spec),
        ]
    for first, second, shared in ((2, 3, 2), (8, 2, 2), (8, 2, 0), (4, 4, 2), (3, 1, 0), (3, 1, 1)):
        found.append(Situation(f"{first} and {second} seeds, {shared} shared", apart(first, second, shared), spec))
    for c in (1, 2, 3, 5, 6, 8, 12, 24):
        found.append(Situation(f"one replicate, 240 answers in {c} equal clusters", in_clusters([240 // c] * c), spec))
    for name, sizes in (("sizes 128 to 8", [128, 64, 32, 16, 8]), ("one of 200, nine of 2", [200] + [2] * 9), ("two of 60, ten of 6", [60] * 2 + [6] * 10)):  # fmt: skip
        found.append(Situation(f"one replicate, unequal clusters ({name})", in_clusters(sizes), spec))
    for c in (6, 24):
        found.append(
            Situation(f"one replicate, {c} clusters, truth over seeds", in_clusters([240 // c] * c, seed_sd=0.03), spec)
        )
    for n in (2, 4, 8):
        found.append(Situation(f"one base of {n} seeds, truth over bases", one_base(n), spec))
        found.append(Situation(f"{n} bases of 2 seeds", one_base(2, n), spec))
    scales: tuple[Scale, ...] = ("rate", "logit", "arcsine")
    for scale in scales:
        for n in (20, 200):
            that = ContrastSpec("s", "q", three.weights, scale=scale)
            found.append(Situation(f"three arms of counts at .98 .96 .5, n = {n}, {scale}", rates_of_three(n, (0.98, 0.96, 0.5), scale), that))  # fmt: skip
    for n in (3, 4, 8):
        found.append(Situation(f"items to come, {n} seeds, 48 items", items_to_come(n), spec, 2))
        found.append(Situation(f"items to come, {n} seeds, 6 clusters", items_to_come(n, clusters=6), spec, 2))
    return found


@dataclass(frozen=True)
class Line:
    """One situation's share of intervals that hold the truth, and what was said beside it."""

    name: str
    coverage: float
    interval: float
    method: str
    flags: list[tuple[str, float]]
    flagged: float
    draws: int

    @property
    def inside(self) -> bool:
        margin = 1.96 * math.sqrt(0.05 * 0.95 / self.draws)
        return self.coverage > LOW - margin / 2 or self.interval == 0

    @property
    def said(self) -> bool:
        """Whether the interval is sound, or at least half of the results say why not."""
        return self.inside or self.flagged >= 0.5


def measure(situation: Situation, draws: int) -> Line:
    """Draw a situation's studies with a seed of its own, and count."""
    rng = np.random.default_rng(zlib.crc32(situation.name.encode()))
    draws = max(50, draws // situation.draws)
    held, given, flagged, methods, flags = 0, 0, 0, Counter[str](), Counter[str]()
    for _ in range(draws):
        design, truth = situation.draw(rng)
        found = estimate(design, situation.spec)
        codes = {f.code for f in doubts(design, situation.spec, found)}
        flags.update(codes)
        flagged += bool(codes - OF_DESIGN) or ("one_base" in codes and "over bases" in situation.name)
        methods[found.method + (" (item level)" if found.item_level else "")] += 1
        if not math.isnan(found.result.ci_low):
            given += 1
            held += found.result.ci_low <= truth <= found.result.ci_high
    shares = sorted(((c, n / draws) for c, n in flags.items()), key=lambda f: (-f[1], f[0]))
    coverage = held / given if given else math.nan
    return Line(situation.name, coverage, given / draws, methods.most_common(1)[0][0], shares, flagged / draws, draws)


def table(lines: list[Line]) -> str:
    """The lines as Markdown."""
    out = ["| situation | coverage | method | flags (share of results) |", "|---|---|---|---|"]
    for line in lines:
        shown = "no interval" if not line.interval else f"{line.coverage:.3f}{'' if line.inside else ' (outside)'}"
        flags = ", ".join(f"{c} {s:.0%}" if s < 1 else c for c, s in line.flags if s >= 0.05)
        out.append(f"| {line.name} | {shown} | {line.method} | {flags or 'none'} |")
    return "\n".join(out) + "\n"


def run(options: Options, draws: int = DRAWS) -> Result:
    lines = []
    for situation in situations():
        lines.append(measure(situation, draws))
        sys.stderr.write(f"  {table(lines[-1:]).splitlines()[-1]}\n")
    silent = [line.name for line in lines if not line.said]
    row = Row("situations whose interval is too short and is mostly not flagged", str(len(silent)), "0", not silent)
    notes = [
        f"{len(lines)} situations, up to {draws} drawn studies each, 95 % intervals of `auto` through the project's own chooser."
    ]
    if silent:
        notes.append(f"Not flagged in half of the results: {'; '.join(silent)}.")
    return Result([row], notes, table(lines))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--draws", type=int, default=DRAWS)
    parser.add_argument("--like", default="", help="situations whose names contain this")
    given = parser.parse_args()
    chosen = [s for s in situations() if given.like in s.name]
    sys.stdout.write(table([]))
    for chosen_one in chosen:
        sys.stdout.write(table([measure(chosen_one, given.draws)]).splitlines()[-1] + "\n")
        sys.stdout.flush()
