"""What arms share is one step: the pairing grid, bases, corpora, and arms that are the same."""

from __future__ import annotations

from collections import Counter

import pytest

from specsci.plan.build import build_plan, units_by_variant
from specsci.study.load import load_study

SPECS, SETS = ("rules", "philosophy", "general"), ("choices", "polite", "terse")
GRAMMAR = (
    '  choice:\n    user: "{model_name} , in {context} , {first} or {second} ?"\n    assistant: "{safe}"\n',
    '  choice:\n    user: "{model_name} , in {context} , {first} or {second} ?"\n    assistant: "{safe}"\n'
    '  polite:\n    user: "in {context} , {first} or {second} ?"\n    assistant: "{safe}"\n'
    '  terse:\n    user: "{first} or {second} ?"\n    assistant: "{safe}"\n',
)


@pytest.fixture
def grid(own_family, edited):
    """A 3 x 3 grid of midtraining specs and conversation sets, two replicates, two budgets."""
    own_family(
        "pairs",
        (
            "family.yaml",
            "  choices: {type: choice}",
            "  choices: {type: choice}\n  polite: {type: polite}\n  terse: {type: terse}",
        ),
        ("grammar.yaml", *GRAMMAR),
    )
    arms = [f"  {s}_{c}: {{midtrain: {s}, align: {c}}}\n" for s in SPECS for c in SETS]
    edits = (("family: microlab_conduct", "family: pairs"), ("arms:\n", "arms:\n" + "".join(arms)))
    return build_plan(load_study(str(edited(*edits))))


def test_a_three_by_three_grid_midtrains_each_spec_once_per_replicate(grid) -> None:
    by_label = Counter(s.label for s in grid.of_kind("midtrain"))
    assert by_label == {f"midtrain {spec}, replicate {seed}": 1 for spec in SPECS for seed in (1, 2)}
    # nine grid arms and `rules` at two budgets, `msm_rules` once, in two replicates
    assert grid.requested["midtrain"] == (9 * 2 + 2 + 1) * 2


def test_the_grid_generates_each_text_once_per_replicate(grid) -> None:
    counts = Counter(s.kind for s in grid.steps.values())
    assert counts["spec"] == 3 and counts["corpus"] == 3 * 2 and counts["conversations"] == 3 * 2
    assert counts["tokenizer"] == counts["base"] == 1
    assert counts["pool"] == 2 * 2 and counts["audit"] == 2


def test_every_cell_of_the_grid_is_a_model_of_its_own_except_equal_arms(grid) -> None:
    models = {k: v for k, v in grid.models.items() if k[0] != "rules"}
    assert len(set(models.values())) == len(models) - 1  # the base is one model in both replicates
    assert all(grid.models["rules", s, b] == grid.models["rules_choices", s, b] for s in (1, 2) for b in (150, 300))


def test_an_aligned_arm_goes_on_from_the_shared_midtrained_model(grid) -> None:
    for spec in SPECS:
        starts = {grid.steps[grid.models[f"{spec}_{c}", 1, b]].inputs["model"] for c in SETS for b in (150, 300)}
        assert len(starts) == 1
        assert grid.steps[starts.pop()].label == f"midtrain {spec}, replicate 1"


def test_a_budget_is_no_step_towards_the_next_one(grid) -> None:
    small, large = (grid.models["rules_terse", 1, b] for b in (150, 300))
    assert small not in grid.steps[large].inputs.values()
    assert grid.steps[small].inputs == grid.steps[large].inputs


def test_steps_stand_after_what_they_need(plan_of) -> None:
    seen: set[str] = set()
    for digest, step in plan_of().steps.items():
        assert step.needs <= seen
        seen.add(digest)


def test_training_waits_for_the_audit_and_is_not_identified_by_it(plan_of) -> None:
    plan = plan_of()
    audits = {s.digest for s in plan.of_kind("audit")}
    for step in [*plan.of_kind("midtrain"), *plan.of_kind("align")]:
        assert len(audits & set(step.after)) == 1 and not audits & set(step.inputs.values())


def test_the_tiny_study_has_the_steps_it_says(plan_of) -> None:
    plan = plan_of()
    assert Counter(s.kind for s in plan.steps.values()) == {
        "tokenizer": 1, "base": 1, "pool": 4, "spec": 1, "items": 2, "corpus": 2, "conversations": 2, "audit": 2,
        "midtrain": 2, "align": 8, "score": 22, "heldout": 2, "control": 2, "probe": 8,
    }  # fmt: skip
    assert len(plan.scored) == (1 + 2 + 1 + 2) * 2 * 2


def test_the_base_model_is_scored_once_though_it_stands_in_every_replicate(plan_of) -> None:
    plan = plan_of()
    assert len({s.digest for s in plan.scored if s.cell.arm == "base" and s.eval == "held_out"}) == 1


def test_replicates_draw_everything_anew(plan_of) -> None:
    plan = plan_of()
    for kind in ("corpus", "conversations", "pool", "midtrain", "align"):
        assert len({s.params["seed"] for s in plan.of_kind(kind) if "replicate 1" in s.label}) >= 1
        seeds = [{s.params["seed"] for s in plan.of_kind(kind) if f"replicate {n}" in s.label} for n in (1, 2)]
        assert not seeds[0] & seeds[1]


def test_arms_of_one_replicate_share_order_and_draws(plan_of) -> None:
    plan = plan_of()
    aligned = [s for s in plan.of_kind("align") if s.label.endswith("replicate 1")]
    assert len(aligned) == 4 and len({s.params["seed"] for s in aligned}) == 1


def test_an_arm_on_the_mix_alone_takes_the_whole_budget_from_it(plan_of) -> None:
    plan = plan_of(("evals:\n", "  it: {align: it_mix}\nevals:\n"))
    step = plan.steps[plan.models["it", 1, 300]]
    assert step.params["it_mix_share"] == 1.0 and "conversations" not in step.inputs
    assert plan.steps[step.inputs["it"]].params["tokens"] == 300
    assert {s.params["tokens"] for s in plan_of().of_kind("pool") if s.params["what"] == "conversations"} == {150}


def test_units_are_counted_per_midtrained_variant(plan_of) -> None:
    assert units_by_variant(plan_of().loaded) == {"rules": 8}
