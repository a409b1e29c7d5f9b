"""Contrasts over imported rows against scipy, statsmodels and formulae: seeds that are not shared, unequal clusters, certain results."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scipy import stats
from statsmodels.regression.linear_model import OLS
from statsmodels.stats.proportion import confint_proportions_2indep, proportion_confint, proportions_ztest

from specsci.core.errors import UserError
from specsci.inference.contrast_spec import parse_weights
from specsci.stats.clusters import over_clusters
from specsci.stats.replicates import over_replicates

HEADER = "arm,seed,eval,aligned,valid,attempted"
ITEMS = HEADER + ",item_id,cluster_id"
Ask = Callable[..., dict[str, Any]]


def counts(arm: str, by_seed: dict[int, int], n: int = 400) -> list[str]:
    return [f"{arm},{seed},q,{k},{n},{n}" for seed, k in by_seed.items()]


def cluster(arm: str, name: str, aligned: int, n: int, seed: int = 1) -> list[str]:
    return [f"{arm},{seed},q,{int(i < aligned)},1,1,{name}.{i},{name}" for i in range(n)]


def codes(found: dict[str, Any]) -> list[str]:
    return [f["code"] for f in found["flags"]]


def close(value: float) -> Any:
    return pytest.approx(value, abs=1e-6)


A, B = {0: 300, 1: 180, 2: 260, 3: 210}, {10: 200, 11: 190, 12: 240, 13: 170}


def test_arms_with_seeds_of_their_own_are_compared_by_welchs_t(ask: Ask) -> None:
    found = ask([*counts("a", A), *counts("b", B)], "a=1,b=-1")
    one, two = (np.array(list(k.values())) / 400 for k in (A, B))
    reference = stats.ttest_ind(one, two, equal_var=False)
    low, high = reference.confidence_interval()
    assert (found["estimate"], found["p"]) == (close(one.mean() - two.mean()), close(reference.pvalue))
    assert (found["ci_low"], found["ci_high"], found["freedom"]) == (close(low), close(high), close(reference.df))
    assert found["p"] == close(0.275396) and found["replicates"] == {"a": 4, "b": 4}
    assert "unshared" in codes(found) and "incomplete" not in codes(found)


def test_weights_of_several_unshared_arms_follow_welch_and_satterthwaite(ask: Ask) -> None:
    third = {20: 90, 21: 150, 22: 100}
    found = ask([*counts("a", A), *counts("b", B), *counts("c", third)], "a=1,b=-0.5,c=-0.5")
    arms = [np.array(list(k.values())) / 400 for k in (A, B, third)]
    parts = [w**2 * x.var(ddof=1) / len(x) for w, x in zip((1, -0.5, -0.5), arms, strict=True)]
    freedom = sum(parts) ** 2 / sum(v**2 / (len(x) - 1) for v, x in zip(parts, arms, strict=True))
    estimate = arms[0].mean() - 0.5 * arms[1].mean() - 0.5 * arms[2].mean()
    half = stats.t.ppf(0.975, freedom) * math.sqrt(sum(parts))
    assert (found["estimate"], found["se"], found["freedom"]) == (
        close(estimate),
        close(math.sqrt(sum(parts))),
        close(freedom),
    )
    assert (found["ci_low"], found["ci_high"]) == (close(estimate - half), close(estimate + half))


def test_unpaired_is_welch_whatever_is_shared_and_paired_takes_the_shared(ask: Ask) -> None:
    rows = [*counts("a", A), *counts("b", {0: 200, 1: 190, 2: 240})]
    one, two = np.array([300, 180, 260, 210]) / 400, np.array([200, 190, 240]) / 400
    assert ask(rows, "a=1,b=-1", paired=False)["p"] == close(stats.ttest_ind(one, two, equal_var=False).pvalue)
    paired = ask(rows, "a=1,b=-1", paired=True)
    assert paired["p"] == close(stats.ttest_rel(one[:3], two).pvalue) and "unshared_left_out" in codes(paired)
    both = ask(rows, "a=1,b=-1")
    assert both["estimate"] == close(one.mean() - two.mean()) and both["n"] == 4, "every seed of every arm is used"
    with pytest.raises(UserError, match="all arms share 0"):
        ask([*counts("a", A), *counts("b", B)], "a=1,b=-1", paired=True)


def test_partly_shared_replicates_have_the_cr2_variance() -> None:
    """The variance by the definition of Bell and McCaffrey: residuals times (I - H)^(-1/2), clusters being replicates."""
    rng = np.random.default_rng(4)
    values = rng.normal(0.5, 0.1, (7, 3))
    values[0, 1] = values[1, 2] = values[6, 0] = values[6, 1] = np.nan
    weights = np.array([1.0, -0.5, -0.5])
    unit, arm = np.nonzero(~np.isnan(values))
    y, design = values[unit, arm], np.eye(3)[arm]
    bread = np.linalg.inv(design.T @ design)
    rest = y - design @ (bread @ design.T @ y)
    meat = np.zeros((3, 3))
    for u in range(7):
        x, e = design[unit == u], rest[unit == u]
        vals, vecs = np.linalg.eigh(np.eye(len(x)) - x @ bread @ x.T)
        adjusted = x.T @ (vecs @ np.diag(vals**-0.5) @ vecs.T) @ e
        meat += np.outer(adjusted, adjusted)
    found = over_replicates(values, weights)
    assert found.estimate == close(float(weights @ (bread @ design.T @ y)))
    assert found.se == close(math.sqrt(weights @ bread @ meat @ bread @ weights))
    assert found.se == pytest.approx(
        OLS(y, design).fit(cov_type="cluster", cov_kwds={"groups": unit, "use_correction": False}).t_test(weights).sd.item(),
        rel=0.25,
    ), "near the uncorrected sandwich of statsmodels"


def test_one_seed_against_several_borrows_their_spread_and_says_so(ask: Ask) -> None:
    found = ask([*counts("a", {0: 300, 1: 180, 2: 260}), *counts("b", {7: 200})], "a=1,b=-1")
    x = np.array([300, 180, 260]) / 400
    se = x.std(ddof=1) * math.sqrt(1 / 3 + 1)
    assert (found["se"], found["freedom"]) == (close(se), close(2))
    assert found["p"] == close(2 * stats.t.sf(abs(x.mean() - 0.5) / se, 2)) and "one_replicate" in codes(found)


def test_unequal_clusters_give_the_estimate_of_the_counts(ask: Ask) -> None:
    rows = [*cluster("a", "c0", 180, 200), *cluster("b", "c0", 100, 200)]
    for n in range(1, 10):
        rows += [*cluster("a", f"c{n}", 1, 2), *cluster("b", f"c{n}", 2, 2)]
    found = ask(rows, "a=1,b=-1", ITEMS)
    assert found["estimate"] == close(189 / 218 - 118 / 218)
    said = {a: c["aligned"] / c["valid"] for a, c in found["counts"].items()}
    assert found["estimate"] == close(said["a"] - said["b"])
    assert found["p"] > 0.3 and {"few_clusters", "one_replicate"} <= set(codes(found))


def test_clusters_of_unequal_size_have_the_cr2_variance_and_its_degrees_of_freedom() -> None:
    """By the definition, over single answers: adjustment matrices, and Satterthwaite with the identity as working model."""
    sizes, aligned = np.array([9, 4, 2, 5]), np.array([[7, 1, 2, 2], [3, 2, 0, 1]])
    weights = np.array([1.0, -1.0])
    arm = np.concatenate([np.full(n, a) for a in (0, 1) for n in sizes])
    group = np.concatenate([np.full(n, c) for _ in (0, 1) for c, n in enumerate(sizes)])
    y = np.concatenate([np.arange(n) < k for row in aligned for n, k in zip(sizes, row, strict=True)]).astype(float)
    design = np.eye(2)[arm]
    bread = np.linalg.inv(design.T @ design)
    maker = np.eye(len(y)) - design @ bread @ design.T
    pulls = []
    for c in range(4):
        at = group == c
        vals, vecs = np.linalg.eigh(np.eye(at.sum()) - design[at] @ bread @ design[at].T)
        adjust = vecs @ np.diag(vals**-0.5) @ vecs.T
        pulls.append(maker[at].T @ adjust @ design[at] @ bread @ weights)
    pull = np.array(pulls)
    found = over_clusters(aligned, np.array([sizes, sizes]), weights)
    assert found.se == close(math.sqrt(((pull @ y) ** 2).sum()))
    middle = pull @ pull.T
    assert found.freedom == close(np.trace(middle) ** 2 / (middle**2).sum())


@pytest.mark.parametrize("sizes", [(80, 80, 80), (25, 25, 25, 25), (10,) * 5])
def test_equal_clusters_are_the_t_over_their_means(ask: Ask, sizes: tuple[int, ...]) -> None:
    shares = [(0.875, 0.375), (0.75, 0.5), (0.25, 0.3125), (0.5, 0.2), (0.9, 0.6)]
    rows, means = [], []
    for c, n in enumerate(sizes):
        one, two = (round(n * s) for s in shares[c])
        rows += [*cluster("a", f"c{c}", one, n), *cluster("b", f"c{c}", two, n)]
        means.append((one - two) / n)
    found = ask(rows, "a=1,b=-1", ITEMS)
    reference = stats.ttest_1samp(means, 0)
    low, high = reference.confidence_interval()
    assert (found["p"], found["ci_low"], found["ci_high"]) == (close(reference.pvalue), close(low), close(high))


def test_one_cluster_has_an_estimate_and_no_test(ask: Ask) -> None:
    found = ask([*cluster("a", "c", 30, 40), *cluster("b", "c", 10, 40)], "a=1,b=-1", ITEMS)
    assert found["estimate"] == close(0.5) and found["p"] is None and found["ci_low"] is None
    assert {"one_cluster", "one_replicate"} <= set(codes(found))
    apart = ask([*cluster("a", "c", 30, 40), *cluster("b", "d", 10, 40), *cluster("b", "e", 12, 40)], "a=1,b=-1", ITEMS)
    assert apart["p"] is None and "one_cluster" in codes(apart), "an arm of one cluster has no spread over clusters"


def test_equivalence_over_few_clusters_follows_their_t(ask: Ask) -> None:
    rows = []
    for c, (one, two) in enumerate(((20, 18), (15, 15), (22, 21), (9, 10))):
        rows += [*cluster("a", f"c{c}", one, 25), *cluster("b", f"c{c}", two, 25)]
    means = np.array([2, 0, 1, -1]) / 25
    found = ask(rows, "a=1,b=-1", ITEMS, margin=0.1)["equivalence"]
    se = means.std(ddof=1) / 2
    assert found["p"] == close(stats.t.cdf((means.mean() - 0.1) / se, 3))


@pytest.mark.parametrize("method", ["auto", "two_proportion", "exact", "linear", "cluster_t", "mcnemar"])
def test_one_replicate_says_so_whatever_the_method(ask: Ask, method: str) -> None:
    rows = [line for arm, k in (("a", 14), ("b", 9)) for n in range(20) for line in cluster(arm, f"c{n}", int(n < k), 1)]
    assert "one_replicate" in codes(ask(rows, "a=1,b=-1", ITEMS, method=method))


def test_a_certain_result_has_a_verdict_of_its_items(ask: Ask) -> None:
    found = ask([*counts("a", {1: 100, 2: 100}, 100), *counts("b", {1: 0, 2: 0}, 100)], "a=1,b=-1")
    low, high = confint_proportions_2indep(100, 100, 0, 100, method="newcomb", compare="diff")
    assert (found["estimate"], found["ci_low"], found["ci_high"]) == (close(1), close(low), close(high))
    assert found["p"] == pytest.approx(proportions_ztest([100, 0], [100, 100])[1], rel=1e-6)
    assert "item_level" in codes(found) and "item level" in found["method"]
    same = ask([*counts("a", {1: 58, 2: 58}, 100), *counts("b", {1: 50, 2: 50}, 100)], "a=1,b=-1")
    low, high = confint_proportions_2indep(58, 100, 50, 100, method="newcomb", compare="diff")
    assert (same["ci_low"], same["ci_high"]) == (close(low), close(high)) and "item_level" in codes(same)


def test_a_certain_result_of_answers_counts_each_cluster_once(ask: Ask) -> None:
    rows = []
    for seed in (1, 2):
        for c in range(12):
            rows += [*cluster("a", f"c{c}", 3, 3, seed), *cluster("b", f"c{c}", 0, 3, seed)]
    found = ask(rows, "a=1,b=-1", ITEMS)
    low, high = confint_proportions_2indep(12, 12, 0, 12, method="newcomb", compare="diff")
    assert (found["ci_low"], found["ci_high"]) == (close(low), close(high)) and "item_level" in codes(found)


def test_equal_replicates_are_said_with_the_p_without_them(ask: Ask) -> None:
    a, b = {1: 80, 2: 80, 3: 84, 4: 84}, {1: 70, 2: 70, 3: 75, 4: 75}
    found = ask([*counts("a", a, 100), *counts("b", b, 100)], "a=1,b=-1")
    reference = stats.ttest_1samp([0.10, 0.09], 0).pvalue
    said = next(f for f in found["flags"] if f["code"] == "equal_replicates")
    assert said["severity"] == "warning" and "1 and 2, 3 and 4" in said["text"] and f"{reference:.2g}" in said["text"]
    b[2] = 71
    b[4] = 74
    assert "equal_replicates" not in codes(ask([*counts("a", a, 100), *counts("b", b, 100)], "a=1,b=-1")), "one arm alone"
    alone = ask([*counts("a", {1: 80, 2: 80}, 100), *counts("b", {7: 70, 8: 73}, 100)], "a=1,b=-1")
    by_chance = next(f for f in alone["flags"] if f["code"] == "equal_replicates")
    assert by_chance["severity"] == "note" and "chance" in by_chance["text"], "one arm's counts agree now and then"


def test_equal_answers_are_told_from_equal_counts(ask: Ask) -> None:
    def rows(second: list[int]) -> list[str]:
        first = [int(n % 3 > 0) for n in range(30)]
        return [f"{arm},{s},q,{x},1,1,i{n},i{n}" for arm, turn in (("a", 0), ("b", 1)) for s, of in ((1, first), (2, second)) for n, x in enumerate(of[turn:] + of[:turn])]  # fmt: skip

    assert "equal_replicates" in codes(ask(rows([int(n % 3 > 0) for n in range(30)]), "a=1,b=-1", ITEMS))
    assert "equal_replicates" not in codes(ask(rows([int(n % 3 < 2) for n in range(30)]), "a=1,b=-1", ITEMS)), (
        "same count, other answers"
    )


def test_the_logit_is_smoothed_by_each_arms_own_answers(ask: Ask) -> None:
    rows = [*(f"a,{s},q,10,10,200" for s in range(3)), *(f"b,{s},q,{k},200,200" for s, k in enumerate((190, 189, 188)))]
    found = ask(rows, "a=1,b=-1", scale="logit")
    mean = np.mean([math.log((k + 0.5) / (200 - k + 0.5)) for k in (190, 189, 188)])
    assert found["estimate"] == close(math.log(10.5 / 0.5) - mean) and found["estimate"] == pytest.approx(0.24, abs=0.005)
    assert "saturated_arm" in codes(found)


def test_saturated_arms_are_refused_or_flagged_by_every_method_on_the_logit(ask: Ask) -> None:
    rng, rows = np.random.default_rng(1), []
    for seed in range(6):
        for n in range(40):
            rows += [f"a,{seed},q,1,1,1,i{n},i{n}", f"b,{seed},q,{int(rng.random() < 0.8)},1,1,i{n},i{n}"]
    with pytest.raises(UserError, match="all or none of the answers of 'a' are aligned"):
        ask(rows, "a=1,b=-1", ITEMS, scale="logit", method="gee")
    for method in ("auto", "paired_t", "unpaired_t", "linear", "mixed", "cluster_t"):
        found = ask(rows, "a=1,b=-1", ITEMS, scale="logit", method=method)
        assert "saturated_arm" in codes(found) and 0 < found["estimate"] < 6, method
    assert "saturated_arm" in codes(ask(rows, "b=1,a=-1", ITEMS, scale="logit")), "whichever arm it is"
    assert "saturated_arm" not in codes(ask(rows, "a=1,b=-1", ITEMS)), "a rate of 1 is a rate"


def test_the_mixed_logistic_model_gives_the_same_number_every_time(ask: Ask) -> None:
    rng, rows = np.random.default_rng(2), []
    for seed in range(3):
        for n in range(30):
            rows += [f"{arm},{seed},q,{int(rng.random() < rate)},1,1,i{n},i{n}" for arm, rate in (("a", 0.7), ("b", 0.5))]
    np.random.seed(1)
    first = ask(rows, "a=1,b=-1", ITEMS, scale="logit", method="mixed")["estimate"]
    np.random.seed(2)
    assert ask(rows, "a=1,b=-1", ITEMS, scale="logit", method="mixed")["estimate"] == first


@pytest.mark.parametrize("weights", ["a=1,b=1", "a=1,b=-0.5", "a=2", "a=-1", "a=1,b=1,c=-1"])
def test_weights_that_do_not_sum_to_0_are_refused(weights: str) -> None:
    with pytest.raises(UserError) as caught:
        parse_weights(weights)
    assert caught.value.hint


def test_a_single_arm_has_an_interval_and_no_test(ask: Ask) -> None:
    rates = np.array([0.80, 0.70, 0.75, 0.90])
    found = ask(counts("a", {s: round(r * 100) for s, r in enumerate(rates)}, 100), "a=1")
    low, high = stats.ttest_1samp(rates, 0).confidence_interval()
    assert (found["estimate"], found["ci_low"], found["ci_high"]) == (close(rates.mean()), close(low), close(high))
    assert found["p"] is None and found["statistic"] is None
    one = ask(counts("a", {1: 97}, 100), "a=1")
    assert (one["ci_low"], one["ci_high"]) == close(proportion_confint(97, 100, method="wilson"))
    assert one["p"] is None and "one_replicate" in codes(one)


def test_arms_of_different_base_models_and_seeds_of_one_are_said(ask: Ask) -> None:
    header = HEADER + ",base_model"
    apart = [f"{arm},{s},q,{k},100,100,{base}" for arm, base, ks in (("a", "one", (60, 64, 71)), ("b", "two", (50, 58, 49))) for s, k in enumerate(ks)]  # fmt: skip
    assert "bases_differ" in codes(ask(apart, "a=1,b=-1", header))
    one = [line.replace(",two", ",one") for line in apart]
    said = next(f for f in ask(one, "a=1,b=-1", header)["flags"] if f["code"] == "one_base")
    assert said["severity"] == "note" and "other base models" in said["text"]


def test_clusters_that_a_method_ignores_are_said(ask: Ask) -> None:
    rows = [line for c in range(8) for line in (*cluster("a", f"c{c}", 3, 4), *cluster("b", f"c{c}", c % 4, 4))]
    for method in ("two_proportion", "linear", "exact"):
        assert "clusters_ignored" in codes(ask(rows, "a=1,b=-1", ITEMS, method=method))
    assert "clusters_ignored" not in codes(ask(rows, "a=1,b=-1", ITEMS))


@pytest.mark.parametrize("weights", ["a=1e308,b=-1e308", "a=1001,b=-1001"])
def test_weights_beyond_what_can_be_read_are_refused(weights: str) -> None:
    with pytest.raises(UserError, match="at most 1000"):
        parse_weights(weights)
