"""Why a step would run, and the plan as a person reads it."""

from __future__ import annotations

import json

import harness

from specsci.plan.explain import differences, explain, flat
from specsci.plan.gates import findings
from specsci.report.plan import as_dict, lines


def records_of(plan):
    return [harness.record(s.kind, s.digest, label=s.label, identity=s.identity) for s in plan.steps.values()]


def reasons(before, after):
    have = set(before.steps)
    return {r.label: r.because for r in explain(after, have, records_of(before))}


def test_a_finished_study_has_no_reason_to_run(plan_of) -> None:
    plan = plan_of()
    assert explain(plan, set(plan.steps), records_of(plan)) == []


def test_a_new_study_was_never_run_or_waits_for_its_inputs(plan_of) -> None:
    plan = plan_of()
    found = {r.label: r.because for r in explain(plan, set(), [])}
    assert len(found) == len({s.label for s in plan.steps.values()})
    assert found["base dev"] == found["spec rules"] == ["it was never run"]
    assert found["corpus rules, replicate 1"] == [
        "its input is to be made: spec rules",
        "its input is to be made: tokenizer of dev",
    ]


def test_the_changed_field_is_named_with_old_and_new_value_and_what_follows_from_it(plan_of) -> None:
    found = reasons(plan_of(), plan_of(("learning_rate: 1.0e-3", "learning_rate: 2.0e-3")))
    assert found["midtrain rules, replicate 1"] == ["params.recipe.learning_rate: 0.001 -> 0.002"]
    assert found["align rules at 150 tokens, replicate 1"] == ["its input is to be made: midtrain rules, replicate 1"]
    assert "align aft at 150 tokens, replicate 1" not in found


def test_a_value_set_for_the_first_time_is_shown_against_its_default(plan_of) -> None:
    found = reasons(plan_of(), plan_of(("learning_rate: 1.0e-4", "clip_norm: 0.5, learning_rate: 1.0e-4")))
    assert found["align aft at 150 tokens, replicate 1"] == ["params.recipe.clip_norm: 1.0 (default) -> 0.5"]


def test_the_old_number_is_shown_where_it_is_the_default_that_the_study_wrote_down(plan_of) -> None:
    found = reasons(plan_of(), plan_of(("learning_rate: 1.0e-4", "learning_rate: 2.0e-4")))
    assert found["align aft at 150 tokens, replicate 1"] == ["params.recipe.learning_rate: 0.0001 (default) -> 0.0002"]
    every = [b for because in found.values() for b in because]
    assert not any("(not set)" in b or ": (default)" in b or "-> (default)" in b for b in every)


def test_the_nearest_of_several_artefacts_explains(plan_of) -> None:
    far = plan_of(("learning_rate: 1.0e-4", "clip_norm: 0.5, learning_rate: 3.0e-4"))
    near = plan_of(("learning_rate: 1.0e-4", "learning_rate: 2.0e-4"))
    plan = plan_of()
    have = set(far.steps) & set(near.steps) & set(plan.steps)
    found = {r.label: r.because for r in explain(plan, have, records_of(far) + records_of(near))}
    assert found["align aft at 150 tokens, replicate 1"] == ["params.recipe.learning_rate: 0.0002 -> 0.0001 (default)"]


def test_causes_stand_before_consequences(plan_of) -> None:
    plan = plan_of()
    order = [r.digest for r in explain(plan, set(), [])]
    at = {digest: number for number, digest in enumerate(order)}
    assert len(order) == len(plan.steps)
    assert all(at[needed] < at[digest] for digest in order for needed in plan.steps[digest].needs)


def test_flat_and_differences_on_nested_values() -> None:
    assert flat({"a": {"b": [1, {"c": 2}]}, "d": [], "e": {}}) == {"a.b[0]": 1, "a.b[1].c": 2, "d": [], "e": {}}
    assert differences({"a": [1, 2], "x": 1}, {"a": [1, 3, 4], "y": 2}) == [
        "a[1]: 2 -> 3", "a[2]: (not set) -> 4", "y: (not set) -> 2", "x: 1 -> (not set)",
    ]  # fmt: skip
    assert differences({"a": "x" * 70}, {"a": "y"}) == [f"a: {'x' * 57}... -> y"]


def test_the_plan_says_where_each_value_comes_from_and_what_it_costs(plan_of, place) -> None:
    plan = plan_of()
    text = "\n".join(lines(plan, set(), findings(plan)))
    tokens, budgets = (place(plan.loaded.file, n).split(":")[0] for n in ("tokens: 2000", "budgets_tokens"))
    for expected in (
        "tiny: A tiny study",
        "2 replicates: seed 1 on dev, seed 2 on dev",
        "  base: the base model (no treatment)",
        "  rules: midtrain on rules (8 units); align on choices at 150, 300 tokens",
        f"  midtrain: 2,000 tokens (study line {tokens}), 4 updates of 512 tokens, warm-up 0%, full, lr 0.001",
        f"  align: 300 tokens (study line {budgets}), 2 updates of 260 tokens, warm-up 0%, full, lr 0.0001",
        "  midtrain: 6 -> 2 -> 2",
        "  score: 24 -> 22 -> 22",
        "to run: 59 of 59 steps; 5,800 training tokens in 20 updates",
        "warn: dose: midtraining makes 4 optimizer updates",
    ):
        assert expected in text


def test_the_plan_as_data_counts_what_is_done(plan_of) -> None:
    plan = plan_of()
    have = {s.digest for s in plan.steps.values() if s.kind != "score"}
    data = json.loads(json.dumps(as_dict(plan, have, findings(plan))))
    assert data["to_run"] == 22 and len(data["steps"]) == 59
    assert data["kinds"]["midtrain"] == {"requested": 6, "steps": 2, "to_run": 0}
    assert data["estimate"]["training_tokens"] == 0
    assert data["arms"]["rules"]["budgets"] == [150, 300]
    assert {s["digest"]: s["done"] for s in data["steps"]} == {d: d in have for d in plan.steps}


def test_what_is_done_costs_nothing(plan_of) -> None:
    plan = plan_of()
    text = "\n".join(lines(plan, set(plan.steps), []))
    assert "to run: 0 of 59 steps; 0 training tokens in 0 updates" in text
    assert "(0 core-seconds, modelled), 0.00 GiB of disk, price unknown" in text


def test_the_planner_says_what_each_contrast_detects_and_what_half_would_cost(plan_of) -> None:
    from specsci.plan.power import ASSUMED_SPREAD, contrast_power, power_lines
    from specsci.stats.power import power_of

    more = "".join(f"  - {{seed: {s}, base_model: dev}}\n" for s in range(3, 7))
    second = "  - {seed: 2, base_model: dev}\n"
    plan = plan_of((second, second + more), ("threads_per_worker: 1", "threads_per_worker: 1, usd_per_h: 2"))
    (one,) = contrast_power(plan, {})
    assert (one.replicates, one.spread, one.measured_over) == (6, ASSUMED_SPREAD, 0)
    assert one.detects is not None and abs(power_of(one.detects, one.spread, 6) - 0.8) < 1e-6
    assert one.half_takes is not None and power_of(one.detects / 2, one.spread, one.half_takes) >= 0.8
    assert one.more_hours is not None and one.more_hours >= 0 and one.more_usd is not None
    (text,) = power_lines([one])[1:]
    assert text.startswith(f"  rules_over_aft: 6 replicates detect {one.detects:.3f} (rate scale, spread 0.100 assumed)")
    (known,) = contrast_power(plan, {"rules_over_aft": [0.1, 0.3, 0.2, 0.4]})
    assert known.measured_over == 4 and abs(known.spread - 0.1291) < 1e-3 and known.detects > one.detects
    assert known.detects_surely is not None and known.detects_surely > known.detects and one.detects_surely is None
    said = power_lines([known])
    assert f"measured over 4, {known.detects_surely:.3f} at its upper 80 % limit" in said[1] and "63 to 73 %" in said[2]
    (wished,) = contrast_power(plan, {"rules_over_aft": [0.1, 0.3, 0.2]}, 0.05)
    assert (wished.spread, wished.measured_over) == (0.05, 0)


def test_a_single_replicate_has_no_power_to_plan(plan_of) -> None:
    from specsci.plan.power import contrast_power, power_lines

    alone = contrast_power(plan_of(("  - {seed: 2, base_model: dev}\n", "")), {})
    assert alone[0].detects is None and "no test with 1 replicate" in power_lines(alone)[1]
    two = contrast_power(plan_of(), {})
    assert two[0].detects is not None and two[0].detects > 1, "no difference of rates is that large"
    assert "2 replicates detect nothing" in power_lines(two)[1]
