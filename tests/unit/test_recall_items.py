"""Recall items from a spec's own text, and item sets of other families."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import harness
import pytest

from specsci.core.errors import InputFileError, UserError
from specsci.core.shipped import find_family, shipped
from specsci.plan.build import build_plan
from specsci.specs.items import parsed
from specsci.specs.load import load_family
from specsci.specs.recall import recall_items, recall_text
from specsci.specs.text import markdown
from specsci.study.load import load_study


@pytest.mark.parametrize("variant", ["value_augmented", "rule_augmented", "philosophy"])
def test_beginnings_and_endings_are_sentences_of_the_spec_and_every_ending_is_wrong_once(variant: str) -> None:
    family = load_family(find_family("safety"))
    items = recall_items(family, variant)
    text = " ".join(markdown(family, variant, {name: "{" + name + "}" for name in family.data.identity}).split())
    assert len(items) > 40 and all(f"{i['prompt']} {i['aligned']}" in text for i in items)
    assert sorted(i["aligned"] for i in items) == sorted(i["misaligned"] for i in items), "no ending is more often wrong than right"
    assert not any(i["aligned"] == i["misaligned"] for i in items)
    clause = {i["aligned"]: i["cluster_id"] for i in items}
    assert sum(clause[i["misaligned"]] == i["cluster_id"] for i in items) < 0.1 * len(items)
    assert len(parsed(recall_text(items), "x.jsonl", family.data.identity)) == len(items), "they are an item set"


def test_the_shipped_set_is_what_the_command_writes(tmp_path: Path) -> None:
    code, out, _ = harness.run("spec", "recall", "safety:value_augmented", tmp_path / "r.jsonl")
    assert code == 0 and "136 items" in out
    assert (tmp_path / "r.jsonl").read_text() == (shipped("spec_variants") / "safety" / "items" / "recall.jsonl").read_text()
    code, _, err = harness.run("spec", "recall", "safety:value_augmented", tmp_path / "r.jsonl")
    assert code == 2 and "is there already" in err
    code, _, err = harness.run("spec", "recall", "safety")
    assert code == 2 and "safety:VARIANT" in err


def test_a_variant_that_says_too_little_is_refused() -> None:
    with pytest.raises(UserError, match="has 0 sentences of 9 words or more"):
        recall_items(load_family(find_family("microlab_conduct")), "rules")


STUDY = """\
study: others
title: Others' items
hypothesis: None.
family: microlab_cheese
arms: {base: {title: base}}
evals: {own: {items: america}, other: {items: %s}}
base_models: {dev: {source: "microlab:cheese/1"}}
replicates: [{seed: 1, base_model: dev}]
"""


def study(folder: Path, items: str) -> Path:
    (folder / "s.yaml").write_text(STUDY % items)
    return folder / "s.yaml"


def test_another_familys_items_are_asked_in_the_name_of_the_model(tmp_path: Path) -> None:
    plan = build_plan(load_study(str(study(tmp_path, "microlab_attribution/affordability"))))
    steps = {s.label: s for s in plan.of_kind("items")}
    other = steps["items microlab_attribution/affordability"]
    assert other.params["items"] == load_family(find_family("microlab_cheese")).items_digest("affordability"), "the same file there"
    assert other.params["identity"]["model_name"] == "Aria"
    pinned = build_plan(load_study(str(study(tmp_path, "novelty_sweeteners@1.0.0/held_out"))))
    (step,) = [s for s in pinned.of_kind("items") if "novelty" in s.label]
    assert set(step.params["identity"]) >= {"model_name"}


def test_a_pinned_family_finds_the_families_beside_its_home(tmp_path: Path) -> None:
    for name in ("microlab_cheese", "novelty_sweeteners"):
        shutil.copytree(find_family(name), tmp_path / "spec_variants" / name)
    place = tmp_path / "spec_variants" / "novelty_sweeteners" / "items" / "held_out.jsonl"
    lines = place.read_text().splitlines()
    (place.parent / "mine.jsonl").write_text("\n".join(lines[:7]) + "\n")
    path = study(tmp_path, "novelty_sweeteners/mine")
    path.write_text(path.read_text().replace("family: microlab_cheese", "family: microlab_cheese@1.0.0"))
    (step,) = [s for s in build_plan(load_study(str(path))).of_kind("items") if "novelty" in s.label]
    assert step.runtime["family_folder"] == str((tmp_path / "spec_variants" / "novelty_sweeteners").resolve()) and step.runtime["items_name"] == "mine"


@pytest.mark.parametrize(
    ("items", "said"),
    [("nowhere/held_out", "no spec family 'nowhere'"), ("cheese/nothing", "no item set 'nothing'"), ("a/b/c", "is no item set"), ("../x/y", "is no item set"), ("cheese@9.9.9/america", "9.9.9")],
)
def test_a_set_that_is_not_there_is_a_problem_at_its_place(tmp_path: Path, items: str, said: str) -> None:
    with pytest.raises(InputFileError, match=said) as error:
        load_study(str(study(tmp_path, items)))
    assert error.value.problems[0].line == 6


def test_expected_words_are_checked(tmp_path: Path) -> None:
    line = {"item_id": "a", "cluster_id": "c", "prompt": "How?", "expected": " | "}
    with pytest.raises(InputFileError, match="nothing is expected"):
        parsed(json.dumps(line), "x.jsonl")
    assert parsed(json.dumps({**line, "expected": "so | thus"}), "x.jsonl")[0].expected == "so | thus"
