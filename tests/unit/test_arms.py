"""Arms resolved, the cells of a design, and what confounds a contrast."""

from __future__ import annotations

import pytest

from specsci.study.arms import ResolvedArm, budgets_of, cells, confounds
from specsci.study.load import load_study


@pytest.fixture
def study(edited):
    more = "  general: {title: G, midtrain: general, align: choices}\n  it: {title: IT, align: it_mix}\nevals:\n"
    return load_study(str(edited(("evals:\n", more)))).study


def test_an_arm_resolves_to_what_it_does_at_a_budget(study) -> None:
    assert ResolvedArm.of(study, "rules", 300) == ResolvedArm(True, "rules", 2000, "choices", 300)
    assert ResolvedArm.of(study, "msm_rules", 300) == ResolvedArm(True, "rules", 2000, None, 0)
    assert ResolvedArm.of(study, "base", 300) == ResolvedArm(False, None, 0, None, 0)


def test_cells_are_arms_by_replicates_by_the_budgets_that_an_arm_has(study) -> None:
    assert budgets_of(study, "rules") == [150, 300] and budgets_of(study, "base") == [0]
    found = [(c.arm, c.replicate.seed, c.aft_tokens) for c in cells(study)]
    assert len(found) == len(set(found)) == (2 + 4 * 2) * 2
    assert found[:6] == [("base", 1, 0), ("base", 2, 0), ("aft", 1, 150), ("aft", 1, 300), ("aft", 2, 150), ("aft", 2, 300)]


CONFOUNDS = [
    ({"rules": 1, "general": -1}, 300, "msm_spec", []),
    ({"rules": 1, "aft": -1}, 300, "midtrain", []),
    ({"rules": 1, "aft": -1}, 300, "msm_spec", ["midtrain (True against False)", "midtrain_tokens (2000 against 0)"]),
    ({"rules": 1, "msm_rules": -1}, 300, "align", []),
    ({"rules": 1, "msm_rules": -1}, 300, "aft_tokens", ["align (choices against None)"]),
    ({"it": 1, "aft": -1}, 300, "align", []),
    (
        {"rules": 1, "base": -1},
        150,
        "midtrain",
        ["align (choices against None)", "aft_tokens (150 against 0)"],
    ),
    ({"rules": 1, "general": 1, "aft": -2}, 300, "midtrain", []),
    ({"rules": 1, "msm_rules": -1, "aft": -1, "base": 1}, 300, "midtrain", []),
]


@pytest.mark.parametrize(("weights", "budget", "factor", "expected"), CONFOUNDS, ids=str)
def test_confounds_are_what_differs_besides_the_declared_factor(study, weights, budget, factor, expected) -> None:
    assert confounds(study, weights, budget, factor) == expected


def test_the_sign_of_a_contrast_does_not_change_its_confounds_but_their_order(study) -> None:
    forward = confounds(study, {"rules": 1, "aft": -1}, 300, "msm_spec")
    backward = confounds(study, {"rules": -1, "aft": 1}, 300, "msm_spec")
    assert backward == [
        c.replace("True against False", "False against True").replace("2000 against 0", "0 against 2000") for c in forward
    ]
