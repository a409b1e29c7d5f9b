"""Gates: what refuses a plan, what warns, and what a written reason lifts."""

from __future__ import annotations

from dataclasses import replace

import pytest

from specsci.core.errors import GateRefused, InputFileError
from specsci.plan.gates import findings, machine, refuse_if_needed
from specsci.recipe.memory import Shape

ACCEPT = "gates: {accept_few_updates: a test of the machinery}\n"


def texts(plan, level):
    return [f"{f.gate}: {f.text}" for f in findings(plan) if f.level == level]


def test_too_small_a_dose_is_refused_with_numbers_line_and_hint(plan_of, place) -> None:
    plan = plan_of((ACCEPT, ""))
    line = place(plan.loaded.file, "tokens: 2000").split(":")[0]
    with pytest.raises(GateRefused) as error:
        refuse_if_needed(plan)
    assert error.value.exit_code == 3
    assert str(error.value) == (
        f"{plan.loaded.file}: dose: midtraining makes 4 optimizer updates (2,000 tokens, line {line}), fewer than 90; "
        "nulls at such doses are usually no dose\n"
        "  hint: raise midtrain.tokens, lower recipe.sequences_per_update, or write gates.accept_few_updates: REASON"
    )


def test_a_reason_in_writing_turns_the_refusal_into_a_warning_that_repeats_it(plan_of) -> None:
    found = refuse_if_needed(plan_of())
    dose = [f for f in found if f.gate == "dose"]
    assert [f.level for f in dose] == ["warn"]
    assert dose[0].text.endswith("nulls at such doses are usually no dose. Accepted: a test of the machinery")


def test_enough_updates_pass_without_a_word(plan_of) -> None:
    plan = plan_of((ACCEPT, ""), ("tokens: 2000", "tokens: 46080"))
    assert not [f for f in findings(plan) if f.gate == "dose"]
    assert texts(plan_of((ACCEPT, ""), ("tokens: 2000", "tokens: 45568")), "refuse")[0].startswith(
        "dose: midtraining makes 89 "
    )


def test_the_floor_itself_can_be_set(plan_of) -> None:
    assert texts(plan_of((ACCEPT, "gates: {min_midtrain_updates: 4}\n")), "refuse") == []
    assert len(texts(plan_of((ACCEPT, "gates: {min_midtrain_updates: 5}\n")), "refuse")) == 1


def test_a_confounded_contrast_is_named_and_a_primary_one_refused(plan_of) -> None:
    text = (
        "confound: 'rules_over_aft' declares msm_spec and differs also in midtrain (True against False), "
        "midtrain_tokens (2000 against 0)"
    )
    plan = plan_of(("factor: midtrain", "factor: msm_spec"))
    assert text in texts(plan, "warn") and texts(plan, "refuse") == []
    primary = plan_of(("factor: midtrain", "factor: msm_spec, primary: true"))
    with pytest.raises(GateRefused) as error:
        refuse_if_needed(primary)
    assert error.value.what == text
    assert error.value.hint == "make 'rules_over_aft' not primary, or match its arms"


def test_a_clean_contrast_raises_no_finding(plan_of) -> None:
    assert not [
        f for f in findings(plan_of(("factor: midtrain", "factor: midtrain, primary: true"))) if f.gate == "confound"
    ]


def test_replicates_that_share_a_base_warn(plan_of) -> None:
    bases = (
        'dev: {source: "microlab:conduct/100"}',
        'dev: {source: "microlab:conduct/100"}\n  one: {source: "microlab:conduct/1"}',
    )
    more = (
        "  - {seed: 2, base_model: dev}",
        "  - {seed: 2, base_model: dev}\n  - {seed: 3, base_model: one}\n  - {seed: 4, base_model: one}",
    )
    assert texts(plan_of(bases, more), "warn")[1:] == ["replicates: 4 seeds over 2 bases: the base is the cluster"]


def test_few_replicates_and_a_single_base_are_said(plan_of) -> None:
    plan = plan_of()
    assert "replicates: 2 replicates: intervals will be wide or absent" in texts(plan, "warn")
    assert "replicates: one base model: intervals say nothing about other bases" in texts(plan, "note")


def test_a_warm_up_that_eats_the_stage_warns(plan_of) -> None:
    plan = plan_of(("learning_rate: 1.0e-3", "learning_rate: 1.0e-3, warmup_share: 0.6"))
    assert "warm-up: warm-up takes 50% of midtraining's updates" in texts(plan, "warn")


def test_a_variant_that_names_what_outcome_items_test_is_refused_until_that_is_accepted_in_writing(plan_of) -> None:
    trained = ("held_out: {items: held_out}", "held_out: {items: trained}")
    (leak,) = [t for t in texts(plan_of(trained), "refuse") if t.startswith("leak")]
    assert leak.startswith(
        "leak: variant 'rules' names 8 things that outcome items test: oversight.r1 (option 'hide-mail' of"
    )
    accepted = ("gates: {", "gates: {accept_spec_leaks: it is the point of this test, ")
    assert not [t for t in texts(plan_of(trained, accepted), "refuse") if t.startswith("leak")]
    (warning,) = [t for t in texts(plan_of(trained, accepted), "warn") if t.startswith("leak")]
    assert warning.endswith("Accepted: it is the point of this test")
    assert not [t for t in texts(plan_of(), "refuse") if t.startswith("leak")]


def test_a_variant_that_names_another_model_is_refused(plan_of, own_family) -> None:
    own_family(
        "mine", ("family.yaml", 'rule_text: "{model_name} must not', 'rule_text: "{model_name}, like Qwen2.5, must not')
    )
    (refused,) = [t for t in texts(plan_of(("family: microlab_conduct", "family: mine")), "refuse") if t.startswith("spec")]
    assert "rules/oversight.r1: identity: names another model or maker, 'Qwen'" in refused and "and 4 more" in refused


def test_refusals_come_first_then_warnings_then_notes(plan_of) -> None:
    levels = [f.level for f in findings(plan_of((ACCEPT, "")))]
    assert levels == sorted(levels, key=("refuse", "warn", "note").index) and levels[0] == "refuse"


def test_token_counts_are_said_to_be_equal(plan_of) -> None:
    assert "tokens: midtraining tokens equal across variants (0.00% apart, limit 0.50%)" in texts(plan_of(), "note")


def test_a_broken_item_is_named_with_its_line(plan_of, own_family) -> None:
    folder = own_family("mine", ("items/held_out.jsonl", '{"item_id": "hide-reports.label-reports"', '{"item_id" 3'))
    with pytest.raises(InputFileError) as error:
        findings(plan_of(("family: microlab_conduct", "family: mine")))
    assert str(error.value).startswith(f"{folder}/items/held_out.jsonl:2:1: not an item: Expecting ':' delimiter")


def test_memory_is_counted_on_each_device_and_where_the_model_is_loaded(plan_of, monkeypatch) -> None:
    """A 32B model: its shards fit eight devices, and one process loads it; eight that hold it whole do not fit."""
    shape = Shape(hidden=5120, layers=64, vocabulary=152_000, intermediate=25_600)
    edits = [("method: full", "method: lora, lora: {rank: 8}, weights: bf16, precision: bf16")] * 2

    def found(devices: int, host_gib: float, sharding: str = "fsdp2", chain: str = "continue") -> list[str]:
        monkeypatch.setattr(machine, "memory_gib", lambda device: host_gib if device == "cpu" else 60.0)
        follows = ("budgets_tokens: [150, 300]", f"budgets_tokens: [150, 300]\n  chain: {chain}")
        runtime = ("threads_per_worker: 1", f"threads_per_worker: 1, devices_per_stage: {devices}, sharding: {sharding}")
        plan = plan_of(
            *edits, follows, *([("sequences_per_update: 4", "sequences_per_update: 8"), runtime] if devices > 1 else [])
        )
        plan.bases["dev"] = replace(plan.bases["dev"], shape=shape)
        return [text for text in texts(plan, "warn") if text.startswith("memory")]

    alone = found(1, 2000)
    assert len(alone) == 2 and "midtrain of 'dev' needs about 6" in alone[0] and "has 60 GiB" in alone[0]
    assert found(8, 2000) == [], "an eighth on each"
    assert found(8, 200) == [], "one process loads it"
    loading = found(8, 50)
    assert len(loading) == 2 and "midtrain: one process loads 'dev' whole, 6" in loading[0] and "there are 50" in loading[0]
    assert "align: 8 processes load 'dev' whole" in found(8, 200, "ddp")[-1]
    assert found(8, 150) == []
    (merging,) = found(8, 150, chain="merge")
    assert "align: one process loads 'dev' whole, 1" in merging, "in fp32, beside the model that it goes into"
