"""How alignment follows midtraining: what the plan makes of `chain`, of 4-bit recipes and of presets."""

from __future__ import annotations

import pytest

from specsci.core.errors import InputFileError
from specsci.plan.build import declared
from specsci.recipe.presets import PRESETS, origin_of
from specsci.recipe.recipe import Recipe
from specsci.study.load import load_study

FULL = ("method: full, learning_rate: 1.0e-3", "method: full, learning_rate: 1.0e-4")


def with_methods(first: str, second: str, chain: str = "") -> tuple[tuple[str, str], ...]:
    edits = [(FULL[0], f"method: {first}, learning_rate: 1.0e-3"), (FULL[1], f"method: {second}, learning_rate: 1.0e-4")]
    return (*edits, ("align:\n", f"align:\n  chain: {chain}\n")) if chain else tuple(edits)


def test_a_chain_that_goes_on_is_in_no_identity_and_needs_nothing_below(plan_of) -> None:
    assert set(plan_of(("align:\n", "align:\n  chain: continue\n")).steps) == set(plan_of().steps)
    assert not any("below" in s.inputs or "chain" in s.params for s in plan_of().steps.values())


@pytest.mark.parametrize(
    ("first", "second", "chain"), [("lora", "lora", "merge"), ("lora", "lora", "new"), ("full", "lora", "merge")]
)
def test_a_second_adapter_is_scored_on_what_it_stands_on(plan_of, first, second, chain) -> None:
    plan = plan_of(*with_methods(first, second, chain))
    midtrains = {s.digest for s in plan.of_kind("midtrain")}
    scored = [s for s in plan.of_kind("score") if "below" in s.inputs]
    assert scored and {s.params["chain"] for s in scored} == {chain}
    for step in scored:
        align = plan.steps[step.inputs["model"]]
        assert step.inputs["below"] == align.inputs["model"] and step.inputs["below"] in midtrains
        assert align.params["chain"] == chain
    others = [s for s in plan.of_kind("score") if "below" not in s.inputs]
    assert all("chain" not in s.params for s in others)
    assert {plan.steps[s.inputs["model"]].kind for s in others if "model" in s.inputs} == {"midtrain", "align"}


@pytest.mark.parametrize(
    ("edits", "what"),
    [
        (with_methods("full", "lora"), "nothing goes on; write align.chain: merge"),
        (with_methods("full", "full", "new"), "full training needs continue or merge"),
        (with_methods("lora, lora: {rank: 4}", "lora, lora: {rank: 8}"), "both recipes need the same `lora:`"),
        (with_methods("full, weights: bf16", "full"), "full training holds its weights in fp32"),
        (with_methods("lora, preset: msm-papr", "lora"), "msm-paper"),
        (with_methods("lora, preset: [full]", "lora"), "preset"),
        (with_methods("qlora", "lora", "merge"), "every model of a study is scored with one dtype and quantisation"),
        (
            with_methods("lora, weights: bf16", "lora", "new"),
            "every model of a study is scored with one dtype and quantisation",
        ),
        (with_methods("qlora", "qlora", "merge"), "fits no others: align.chain: continue or new"),
        (
            (("threads_per_worker: 1", "threads_per_worker: 1, micro_batch_sequences: 3"),),
            "micro_batch_sequences: 3 does not divide",
        ),
        (
            (("threads_per_worker: 1", "threads_per_worker: 1, devices_per_stage: 3"),),
            "devices_per_stage: 3 does not divide 8 sequences per update of midtrain",
        ),
        (
            (("threads_per_worker: 1", "threads_per_worker: 1, devices_per_stage: 2, micro_batch_sequences: 3"),),
            "micro_batch_sequences: 3 does not divide the 4 sequences per update and device of midtrain",
        ),
        (
            (
                ("threads_per_worker: 1", "threads_per_worker: 1, devices_per_stage: 2"),
                ("{method: full, ", "{method: full, optimizer: adamw_8bit, "),
            ),
            "adamw_8bit of midtrain cannot work on shards: take adamw, or runtime.sharding: ddp",
        ),
    ],
)
def test_stages_that_do_not_follow_are_refused(edited, edits, what) -> None:
    with pytest.raises(InputFileError) as caught:
        load_study(str(edited(*edits)))
    assert what in str(caught.value)


def test_every_model_of_a_four_bit_study_is_scored_in_four_bits(plan_of) -> None:
    """The base too: else the contrast of base and trained arms would hold the rounding."""
    plan = plan_of(*with_methods("qlora, weights: bf16", "qlora, weights: bf16"))
    formats = [s.params.get("holding") for kind in ("score", "probe") for s in plan.of_kind(kind)]
    assert formats and all(f == {"weights": "bf16", "quantised": True} for f in formats)
    assert not any("holding" in s.params for s in plan_of().steps.values())


def test_a_preset_fills_in_what_is_not_given_and_is_itself_no_identity() -> None:
    paper = Recipe(preset="msm-paper", sequences_per_update=8)
    assert (paper.lora.rank, paper.lora.alpha, paper.learning_rate, paper.sequences_per_update) == (64, 128, 1e-4, 8)
    assert declared(paper) == declared(Recipe(sequences_per_update=8)), "what the paper states are the defaults"
    one = Recipe(preset="qlora-1gpu", learning_rate=2e-4, lora={"rank": 16})
    assert (one.method, one.optimizer, one.weights, one.learning_rate) == ("qlora", "paged_adamw", "bf16", 2e-4)
    assert (one.lora.rank, one.lora.alpha) == (16, 128), "a mapping goes deep"
    assert "preset" not in declared(one)
    assert all(Recipe(preset=name).method == values["method"] for name, values in PRESETS.items())


def test_every_value_says_where_it_comes_from() -> None:
    given = {"preset": "qlora-1gpu", "learning_rate": 1e-5}
    assert origin_of("learning_rate", given, "qlora-1gpu", 12) == "study line 12"
    assert origin_of("optimizer", given, "qlora-1gpu", 12) == "preset qlora-1gpu"
    assert origin_of("warmup_share", given, "qlora-1gpu", 12) == "paper"
    assert origin_of("sequences_per_update", None, "", 12) == "ours"
