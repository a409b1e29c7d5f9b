"""Arms at a level: contrasts of one arm with itself at other AFT budgets, and of levels across arms."""

from __future__ import annotations

import pytest

from specsci.core.errors import InputFileError, UserError
from specsci.core.levels import arm_of, condition_of, reads, subject_of, tokens_of
from specsci.study.arms import confounds
from specsci.study.load import load_study

CONTRAST = "{name: rules_over_aft, eval: held_out, weights: {rules: 1, aft: -1}, budget_tokens: 300, factor: midtrain}"


def levels(weights: str, factor: str = "aft_tokens") -> tuple[str, str]:
    return CONTRAST, f"{{name: dose, eval: held_out, weights: {weights}, factor: {factor}}}"


def test_names_and_levels_are_separated() -> None:
    found = {
        "rules": ("rules", None, None),
        "rules@4000": ("rules", None, 4000),
        "rules@operator": ("rules", "operator", None),
        "rules@operator@4000": ("rules", "operator", 4000),
        "rules@4000@operator": ("rules", "operator", 4000),
        "rules@": ("rules", "", None),
        "rules@-1": ("rules", "-1", None),
        "rules@４": ("rules", "４", None),
        f"rules@{9**30}": ("rules", str(9**30), None),
    }
    assert {name: (arm_of(name), condition_of(name), tokens_of(name)) for name in found} == found
    for wrong, read in (("rules@1@2", tokens_of), ("rules@a@b", condition_of)):
        with pytest.raises(ValueError, match="several"):
            read(wrong)


def test_an_arm_without_a_condition_is_under_its_evals_first() -> None:
    under = ["plain", "operator"]
    assert [subject_of(n, under) for n in ("rules", "rules@plain", "rules@operator", "rules@plain@300")] == [
        "rules", "rules", "rules@operator", "rules",
    ]  # fmt: skip
    assert reads(["rules@plain"], [150], "rules", 150, under) and not reads(["rules@operator"], [150], "rules", 150, under)
    assert reads(["rules@operator@300"], [150], "rules@operator", 300, under)


def test_a_contrast_of_doses_is_clean_and_one_across_arms_names_what_differs(edited) -> None:
    dose = load_study(str(edited(levels('{"rules@300": 1, "rules@150": -1}')))).study
    assert confounds(dose, dose.contrasts[0].weights, 0, "aft_tokens") == []
    across = {"rules@300": 1.0, "aft@150": -1.0}
    assert confounds(dose, across, 0, "aft_tokens") == [
        "midtrain (True against False)", "msm_spec (rules against None)", "midtrain_tokens (2000 against 0)",
    ]  # fmt: skip
    assert confounds(dose, across, 0, "midtrain") == ["aft_tokens (300 against 150)"]


@pytest.mark.parametrize(
    ("weights", "said"),
    [
        ('{"rules@200": 1, "rules@150": -1}', "'rules' has no budget of 200 tokens"),
        ('{"rules@lots": 1, "rules@150": -1}', "'lots' is neither a number of AFT tokens nor a harness condition of 'held_out'"),
        ('{"rulez@300": 1, "rules@150": -1}', "unknown arm 'rulez'"),
        ('{"base@150": 1, "rules@150": -1}', "'base' has no budget of 150 tokens"),
        ('{"rules@": 1, "rules@150": -1}', "'' is neither a number of AFT tokens nor a harness condition of 'held_out'"),
    ],
)
def test_a_level_that_is_not_there_is_told_at_its_place(weights: str, said: str, edited) -> None:
    with pytest.raises(InputFileError) as caught:
        load_study(str(edited(levels(weights))))
    assert said in str(caught.value) and ":6:" in str(caught.value)


def test_a_contrast_reads_the_cells_that_it_names() -> None:
    cells = [("rules", 300), ("rules", 150), ("aft", 150), ("aft", 300), ("aft", 0), ("base", 0)]
    assert [c for c in cells if reads(["rules@300", "aft"], [150], *c)] == [("rules", 300), ("aft", 150), ("aft", 0)]


HEADER = "arm,seed,eval,aft_tokens,aligned,valid,attempted"
DOSES = [
    f"{arm},{seed},q,{tokens},{aligned},100,100"
    for arm, tokens, counts in (("a", 100, (40, 45, 50)), ("a", 200, (60, 70, 65)), ("b", 100, (30, 35, 33)))
    for seed, aligned in enumerate(counts)
]


def test_asked_levels_give_the_paired_difference_by_hand(ask) -> None:
    found = ask(DOSES, "a@200=1,a@100=-1", HEADER)
    assert found["per_replicate"] == pytest.approx([0.20, 0.25, 0.15]) and found["estimate"] == pytest.approx(0.20)
    assert found["counts"]["a@200"] == {"aligned": 195, "valid": 300, "attempted": 300}
    across = ask(DOSES, "a@200=1,b@100=-1", HEADER)
    assert across["per_replicate"] == pytest.approx([0.30, 0.35, 0.32])


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("a@300", "no budget of 300 tokens"),
        ("a@x", "'x' is neither a number"),
        ("a", "several budgets"),
        ("c@100", "no scores of an arm 'c'"),
    ],
)
def test_an_asked_level_that_is_not_there_is_refused(name: str, said: str, ask) -> None:
    with pytest.raises(UserError, match=said):
        ask(DOSES, f"{name}=1,b@100=-1", HEADER)


def test_an_imported_arm_whose_name_has_an_at_sign_is_that_arm(ask) -> None:
    rows = [line.replace("b,", "b@100,") for line in DOSES]
    assert ask(rows, "a@200=1,b@100=-1", HEADER)["per_replicate"] == pytest.approx([0.30, 0.35, 0.32])
