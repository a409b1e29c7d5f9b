"""Arms as lists of treatments: the other order, and more than one of a sort."""

from __future__ import annotations

import pytest

from specsci.core.errors import InputFileError
from specsci.database.manifest import manifest_of
from specsci.study.arms import ResolvedArm, confounds
from specsci.study.load import load_study

PLAIN = "  rules: {title: MSM and AFT, midtrain: rules, align: choices}"


def arms(*more: str) -> tuple[str, str]:
    return PLAIN, "\n".join([PLAIN, *(f"  {m}" for m in more)])


def chain(plan, digest: str) -> list[str]:
    """Kinds of steps from a model down to its base."""
    step = plan.steps[digest]
    below = step.inputs.get("model")
    return [step.kind, *(chain(plan, below) if below else [])]


def test_stages_in_the_usual_order_are_the_usual_arm(plan_of) -> None:
    plan = plan_of(arms("same: {stages: [{midtrain: rules}, {align: choices}]}"))
    assert plan.models["same", 1, 300] == plan.models["rules", 1, 300], "one model, trained once"
    assert set(plan_of().steps) == set(plan.steps)


def test_the_swapped_order_midtrains_the_aligned_model(plan_of) -> None:
    plan = plan_of(arms("swapped: {stages: [{align: choices}, {midtrain: rules}]}"))
    model = plan.models["swapped", 1, 300]
    assert chain(plan, model) == ["midtrain", "align"]
    assert plan.steps[model].inputs["model"] == plan.models["aft", 1, 300], (
        "the fine-tuning is that of the arm without midtraining"
    )
    assert set(plan_of().steps) < set(plan.steps)
    assert len({plan.models["swapped", 1, b] for b in (150, 300)}) == 2, "each budget is midtrained by itself"


def test_two_midtrainings_are_two_stages_with_draws_of_their_own(plan_of) -> None:
    plan = plan_of(arms("twice: {stages: [{midtrain: rules}, {midtrain: general}, {align: choices}]}"))
    top = plan.models["twice", 1, 150]
    assert chain(plan, top) == ["align", "midtrain", "midtrain"]
    second = plan.steps[plan.steps[top].inputs["model"]]
    first = plan.steps[second.inputs["model"]]
    assert second.params["seed"] != first.params["seed"] and "general" in second.label and "rules" in first.label
    assert {s.params["variant"] for s in plan.of_kind("corpus")} == {"rules", "general"}


def test_what_differs_names_the_order(edited) -> None:
    study = load_study(str(edited(arms("swapped: {stages: [{align: choices}, {midtrain: rules}]}")))).study
    assert confounds(study, {"rules": 1.0, "swapped": -1.0}, 300, "order") == []
    assert confounds(study, {"rules": 1.0, "swapped": -1.0}, 300, "midtrain") == ["order (None against align, midtrain)"]
    twice = load_study(str(edited(arms("twice: {stages: [{midtrain: rules}, {midtrain: rules}, {align: choices}]}")))).study
    assert ResolvedArm.of(twice, "twice", 300).midtrain_tokens == 2 * twice.midtrain.tokens


def test_manifests_of_plain_arms_are_as_they_were(plan_of) -> None:
    said = manifest_of(plan_of(arms("swapped: {stages: [{align: choices}, {midtrain: rules}]}"))).plain()["arms"]
    assert said["rules"] == {"title": "MSM and AFT", "midtrain": "rules", "align": "choices"}
    assert (said["swapped"]["midtrain"], said["swapped"]["align"], len(said["swapped"]["stages"])) == ("rules", "choices", 2)


@pytest.mark.parametrize(
    ("arm", "said"),
    [
        ("x: {stages: [{midtrain: rules, align: choices}]}", "either `midtrain: VARIANT` or `align: SET`"),
        ("x: {stages: [{}]}", "either `midtrain: VARIANT` or `align: SET`"),
        ("x: {stages: [{midtrain: rulez}]}", "unknown variant 'rulez'"),
        ("x: {stages: [{align: choicez}]}", "unknown conversation set 'choicez'"),
        ("x: {midtrain: general, stages: [{midtrain: rules}]}", "remove `midtrain`"),
        ("x: {stages: [{prompt: rules}]}", "unknown key 'prompt'"),
        ("x: {stages: rules}", "list"),
        ("x@1: {midtrain: rules}", "is not a safe arm name"),
    ],
)
def test_stages_that_are_none_are_told_at_their_place(arm: str, said: str, edited) -> None:
    with pytest.raises(InputFileError) as caught:
        load_study(str(edited(arms(arm))))
    assert said in str(caught.value)
