"""A contrast of one's own: which estimator the data's design gets, what it flags, and what it refuses."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from scipy import stats

from specsci.core.errors import UserError
from specsci.inference.contrast_spec import parse_weights


def texts(row: dict[str, Any]) -> list[str]:
    return [f["text"] for f in row["flags"]]


HEADER = "arm,seed,eval,aligned,valid,attempted"


SEEDS = [
    f"{arm},{s},q,{k},100,100"
    for arm, ks in {"a": (80, 70, 75, 90), "b": (60, 65, 50, 72)}.items()
    for s, k in enumerate(ks)
]


def test_replicates_are_the_unit_where_there_are_several(ask) -> None:
    found = ask(SEEDS, "a=1,b=-1")
    differences = np.array([0.2, 0.05, 0.25, 0.18])
    reference = stats.ttest_1samp(differences, 0)
    assert found["estimate"] == pytest.approx(differences.mean()) and found["n"] == 4
    assert (found["statistic"], found["p"]) == (pytest.approx(reference.statistic), pytest.approx(reference.pvalue))
    low, high = reference.confidence_interval()
    assert (found["ci_low"], found["ci_high"]) == (pytest.approx(low), pytest.approx(high))
    assert found["method"].startswith("paired t over 4 replicates") and found["per_replicate"] == pytest.approx(differences)
    assert set(found) >= {"estimate", "se", "statistic", "p", "ci_low", "ci_high", "n", "method", "flags"}


def test_arms_are_paired_by_seed_whatever_the_order_of_rows(ask) -> None:
    assert ask(SEEDS[::-1], "a=1,b=-1")["per_replicate"] == ask(SEEDS, "a=1,b=-1")["per_replicate"]


def test_weights_are_of_any_number_of_arms_and_keep_their_factor(ask) -> None:
    more = [*SEEDS, *(f"c,{s},q,50,100,100" for s in range(4)), *(f"d,{s},q,40,100,100" for s in range(4))]
    did = ask(more, "a=1,b=-1,c=-1,d=1")
    assert did["estimate"] == pytest.approx(0.17 - 0.1)
    assert ask(SEEDS, "a=2,b=-2")["estimate"] == pytest.approx(0.34)


def test_a_single_replicate_of_counts_is_two_proportions_and_a_thin_one_is_exact(ask) -> None:
    found = ask(["a,1,q,80,100,100", "b,1,q,60,95,100"], "b=-1,a=1")
    assert found["method"].startswith("two-proportion z") and found["estimate"] == pytest.approx(80 / 100 - 60 / 95)
    assert ask(["a,1,q,9,10,10", "b,1,q,2,10,10"], "a=1,b=-1")["method"].startswith("Fisher exact")
    three = ask(["a,1,q,80,100,100", "b,1,q,60,95,100", "c,1,q,50,90,90"], "a=1,b=-0.5,c=-0.5")
    assert three["method"].startswith("linear combination") and three["n"] == 3


ITEMS = "arm,seed,eval,aligned,valid,attempted,item_id,cluster_id"


def items(arm: str, answers: list[int], seed: int = 1) -> list[str]:
    return [f"{arm},{seed},q,{a},1,1,i{n},c{n // 4}" for n, a in enumerate(answers)]


def test_a_single_replicate_of_answers_is_judged_by_clusters_of_items(ask) -> None:
    rng = np.random.default_rng(0)
    one, two = rng.integers(0, 2, 40), rng.integers(0, 2, 40)
    found = ask([*items("a", one.tolist()), *items("b", two.tolist())], "a=1,b=-1", ITEMS)
    differences = (one - two).reshape(10, 4).mean(axis=1)
    assert found["method"].startswith("paired t over 10 item clusters")
    assert found["p"] == pytest.approx(stats.ttest_1samp(differences, 0).pvalue)
    exact = ask([*items("a", one.tolist()), *items("b", two.tolist())], "a=1,b=-1", ITEMS, method="mcnemar")
    assert exact["estimate"] == pytest.approx((one - two).mean())


def test_what_ignores_replicates_says_so(ask) -> None:
    note = "replicates are fixed: the interval says nothing about other seeds"
    assert note not in texts(ask(SEEDS, "a=1,b=-1"))
    for method in ("two_proportion", "linear", "exact"):
        assert note in texts(ask(SEEDS, "a=1,b=-1", method=method))


def test_models_of_answers_and_the_bootstrap_agree_on_a_clear_effect(ask) -> None:
    rng = np.random.default_rng(2)
    lines = []
    for seed in range(6):
        lines += items("a", (rng.random(60) < 0.8).astype(int).tolist(), seed)
        lines += items("b", (rng.random(60) < 0.5).astype(int).tolist(), seed)
    wanted = math.log(4) - 0
    for method in ("mixed", "gee"):
        found = ask(lines, "a=1,b=-1", ITEMS, method=method, scale="logit")
        assert found["estimate"] == pytest.approx(wanted, abs=0.5) and found["n"] == 6
        assert found["ci_low"] < wanted < found["ci_high"] and found["p"] < 0.01
    drawn, paired = (ask(lines, "a=1,b=-1", ITEMS, method=m) for m in ("bootstrap", "paired_t"))
    assert drawn["estimate"] == pytest.approx(paired["estimate"], abs=1e-9)
    assert drawn["ci_low"] < 0.3 < drawn["ci_high"] and drawn["p"] < 0.05


def test_undecided_answers_that_could_change_the_result_are_said(ask) -> None:
    flags = texts(ask(["a,1,q,60,62,100", "b,1,q,70,100,100"], "a=1,b=-1"))
    assert any(f.startswith("the share of valid answers differs between arms (a 0.620, b 1.000)") for f in flags)
    assert any(f.startswith("the sign flips with the denominator (attempted: -0.100)") for f in flags)
    assert any(f.startswith("answers that are not valid could turn the sign (worst cases -0.100 to +0.280") for f in flags)
    attempted = ask(["a,1,q,60,62,100", "b,1,q,70,100,100"], "a=1,b=-1", denominator="attempted")
    assert attempted["estimate"] == pytest.approx(-0.1)
    valid = ask(["a,1,q,60,100,100", "b,1,q,70,100,100"], "a=1,b=-1")["flags"]
    assert [f["code"] for f in valid] == ["one_replicate"]


def test_one_replicate_that_decides_and_one_that_is_missing_are_said(ask) -> None:
    lines = [f"a,{s},q,{k},100,100" for s, k in enumerate((60, 61, 62, 90))] + [f"b,{s},q,{50},100,100" for s in range(4)]
    assert "sensitive: one replicate decides the verdict" in texts(
        ask([*lines[:3], "a,3,q,30,100,100", *lines[4:]], "a=1,b=-1")
    )
    missing = ask(lines[:-1], "a=1,b=-1")
    assert any(t.startswith("3 of 4 replicates are shared by all arms") for t in texts(missing)) and missing["n"] == 4
    assert missing["replicates"] == {"a": 4, "b": 3} and missing["counts"]["a"]["aligned"] == 60 + 61 + 62 + 90
    shared = ask(lines[:-1], "a=1,b=-1", paired=True)
    assert shared["n"] == 3 and "unshared_left_out" in [f["code"] for f in shared["flags"]]


@pytest.mark.parametrize(
    ("weights", "more", "what"),
    [
        ("a=1,z=-1", {}, "no scores of an arm 'z'"),
        ("a=1,b=-1", {"method": "gee"}, "needs single answers and the logit scale"),
        ("a=1,b=-1", {"method": "two_proportion", "scale": "logit"}, "compares two arms on the rate scale"),
        ("a=1,b=-1", {"method": "mcnemar"}, "the study has counts alone"),
        ("a=1,b=-1", {"budget_tokens": 7}, "'a' has no budget of 7 tokens"),
    ],
)
def test_what_the_data_do_not_allow_is_refused_with_a_hint(ask, weights, more, what) -> None:
    header = HEADER + ",aft_tokens"
    lines = (
        [f"{line},{b}" for line in SEEDS for b in (100, 200)]
        if "budget_tokens" in more
        else [f"{line},100" for line in SEEDS]
    )
    with pytest.raises(UserError, match=what) as caught:
        ask(lines, weights, header, **more)
    assert caught.value.hint


@pytest.mark.parametrize("text", ["a", "a=", "=1", "a=x", "a=1,a=2", "a=0,b=0", "a=nan", ""])
def test_weights_that_are_none_are_refused(text) -> None:
    with pytest.raises(UserError):
        parse_weights(text)


def test_weights_are_read_as_written() -> None:
    assert parse_weights("MSM+AFT=1, aft = -1e0,c=0") == {"MSM+AFT": 1.0, "aft": -1.0}


def test_a_linear_mixed_model_is_the_paired_t_where_all_is_balanced(ask) -> None:
    rng, lines = np.random.default_rng(6), []
    for seed in range(1, 7):
        for arm, rate in (("a", 0.7 + 0.05 * seed / 6), ("b", 0.5 + 0.1 * (seed % 3))):
            lines += items(arm, (rng.random(80) < rate).astype(int).tolist(), seed)
    mixed = ask(lines, "a=1,b=-1", ITEMS, method="mixed")
    paired = ask(lines, "a=1,b=-1", ITEMS)
    assert mixed["method"].startswith("linear mixed model") and {f["severity"] for f in mixed["flags"]} == {"note"}
    assert mixed["estimate"] == pytest.approx(paired["estimate"]) and mixed["n"] == 6
    assert mixed["ci_high"] - mixed["ci_low"] == pytest.approx(paired["ci_high"] - paired["ci_low"], rel=0.1)
    with pytest.raises(UserError, match="rate or the logit"):
        ask(lines, "a=1,b=-1", ITEMS, method="mixed", scale="arcsine")


def test_single_items_that_decide_are_named(ask) -> None:
    """Five replicates, in which two arms differ on two items alone; without either of them nothing is left to see."""
    lines = []
    for seed in range(1, 6):
        lines += items("a", [1] * 6 + [1, 1] + [int(seed == 2)], seed) + items(
            "b", [1] * 6 + [0, 0] + [int(seed == 4)], seed
        )
    flags = texts(ask(lines, "a=1,b=-1", ITEMS))
    assert not any("single items" in f for f in flags), "two say the same: either is enough"
    lines = [line.replace(",q,1,1,1,i7,", ",q,0,1,1,i7,") for line in lines]
    flags = texts(ask(lines, "a=1,b=-1", ITEMS))
    assert any(f.startswith("sensitive: single items decide the verdict (1 of 9: i6") for f in flags), flags
