"""What a stage makes of a stranger's base: adapters by block, settings that cannot be saved, rows longer than its positions."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
import zoo
from test_architectures import RECIPE, rows
from test_files import STUDY, call, config, nan, place, refused, weights

from specsci.core.context import StepContext
from specsci.core.errors import GateRefused, SpecsciError
from specsci.core.token_row import TokenRow
from specsci.intake.model import QUICK_GIB, examine_model
from specsci.models import steps
from specsci.models.generation import settle_generation
from specsci.models.hf import MODEL, load_weights, save_model
from specsci.recipe.reach import unreached
from specsci.recipe.recipe import Recipe
from specsci.sources.examination import ITSELF, TWIN
from specsci.train.adapters import reach, with_adapter
from specsci.train.checks import check_positions
from specsci.train.stage import train_stage

__all__ = ["place"]


def lora(*targets: str, **more: Any) -> Recipe:
    settings = {"rank": 4, "alpha": 8, "targets": list(targets), **more}
    return Recipe(method="lora", lora=settings, sequences_per_update=8, max_length_tokens=64, warmup_share=0.0)


BLOCKS = {
    "gpt2": (["c_attn"], "GPT2MLP"),
    "gpt_bigcode": (["c_attn"], "GPTBigCodeMLP"),
    "openai_gpt": (["c_attn"], "MLP"),
    "gpt_neox": (["query_key_value"], "GPTNeoXMLP"),
    "mamba": (["lm_head"], "MambaMixer"),
    "mixtral": (["q_proj"], "MixtralExperts, MixtralTopKRouter"),
    "falcon_h1": (["q_proj", "up_proj"], "FalconH1Mixer"),
}


@pytest.mark.parametrize("name", BLOCKS)
def test_adapters_reach_by_block_whatever_the_class_of_a_layer(name: str) -> None:
    targets, frozen = BLOCKS[name]
    torch.manual_seed(0)
    with pytest.raises(SpecsciError, match=f"blocks of type {frozen}"):
        with_adapter(zoo.CAUSAL[name](), lora(*targets))


def test_adapters_on_every_block_of_conv1d_pass() -> None:
    model = with_adapter(zoo.CAUSAL["gpt2"](), lora("c_attn", "c_fc", "c_proj"))
    assert reach(model) == {"GPT2Attention": {"matrices": 4, "adapted": 4}, "GPT2MLP": {"matrices": 4, "adapted": 4}}
    accepted = with_adapter(zoo.CAUSAL["gpt2"](), lora("c_attn", accept_frozen=["GPT2MLP"]))
    assert reach(accepted)["GPT2MLP"]["adapted"] == 0


def test_reach_by_names_says_what_reach_on_the_model_says(tmp_path: Path) -> None:
    """The plan knows names alone; it must refuse what the stage would."""
    for name, (targets, frozen) in BLOCKS.items():
        blocks = examine_model(zoo.write(zoo.CAUSAL[name], tmp_path / name)).facts["blocks"]
        assert ", ".join(unreached(blocks, tuple(targets), ())[1]).endswith(frozen.split(", ")[-1])
    blocks = {"A": ["h.N.attn.c_attn"], "B": ["h.N.mlp.c_fc", "h.N.mlp.c_proj"]}
    assert unreached(blocks, ("attn.c_attn", "h.3.mlp.c_fc"), ()) == ([], [])
    assert unreached(blocks, ("c_attn", "q_proj"), ("B",)) == (["q_proj"], [])
    assert unreached(blocks, ("attn",), ()) == (["attn"], ["A", "B"])


TRAINED = (
    STUDY.replace("  base: {title: base}\n", "  base: {title: base}\n  rules: {title: MSM, midtrain: rules}\n")
    + """\
midtrain:
  tokens: 4000
  replay_share: 0
  recipe: {method: METHOD, learning_rate: 1.0e-3, sequences_per_update: 8, max_length_tokens: 512}
gates: {accept_few_updates: a test of the machinery}
"""
)


def base(place: Path, name: str) -> None:
    shutil.rmtree(place / "my_model")
    zoo.write(zoo.CAUSAL[name], place / "my_model")


@pytest.mark.parametrize(
    ("name", "method", "wanted"),
    [
        ("gpt2", "lora, lora: {rank: 4, targets: [c_attn]}", "midtrain: no adapter reaches the blocks of type GPT2MLP"),
        ("gpt2", "lora", "match no matrix.*name some of c_attn, c_fc, c_proj"),
        ("mixtral", "lora, lora: {rank: 4, targets: [q_proj]}", "MixtralExperts"),
    ],
)
def test_a_plan_refuses_adapters_that_leave_a_block_out(
    name: str, method: str, wanted: str, place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import re

    base(place, name)
    (place / "study.yaml").write_text(TRAINED.replace("METHOD", method))
    code, _, err = call(monkeypatch, capsys, "study", "check", "study.yaml")
    assert code == 2 and re.search(wanted, err, re.S), err


def test_a_plan_says_which_base_is_trained_unpacked(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    base(place, "bloom")
    (place / "study.yaml").write_text(TRAINED.replace("METHOD", "full"))
    code, out, err = call(monkeypatch, capsys, "study", "plan", "study.yaml", "--store", "store", "--json")
    assert code == 0, err
    said = [f["text"] for f in json.loads(out)["findings"] if f["gate"] == "base"]
    assert any("would see each other in bloom" in t for t in said) and any("trained unpacked" in t for t in said)


def test_rows_longer_than_fixed_positions_are_refused_before_anything_is_spent(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    base(place, "gpt2")
    (place / "study.yaml").write_text(
        TRAINED.replace("METHOD", "full").replace("max_length_tokens: 512", "max_length_tokens: 513")
    )
    code, _, err = call(monkeypatch, capsys, "study", "check", "study.yaml")
    assert code == 2 and "max_length_tokens is 513, and the model has 512 positions" in err
    base(place, "llama")
    code, out, _ = call(monkeypatch, capsys, "study", "check", "study.yaml")
    assert code == 0 and "longer rows would be untrained" in out
    model = zoo.CAUSAL["gpt2"]()
    check_positions(model, [TokenRow([9] * 512)], 4096)
    check_positions(model, [TokenRow([9] * 600)], 512)  # it is cut
    with pytest.raises(SpecsciError, match="a row has 513 tokens, and the model 512 positions"):
        check_positions(model, [TokenRow([9] * 5), TokenRow([9] * 513)], 4096)
    check_positions(zoo.CAUSAL["mamba"](), [TokenRow([9] * 5000)], 8192)


def test_items_longer_than_the_positions_are_refused(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    config(place, max_position_embeddings=20)
    assert "tokens with its option, and the model 20 positions" in refused(place, monkeypatch, capsys)


SETTINGS = {
    "sampling without do_sample": ({"do_sample": False, "temperature": 0.6, "top_p": 0.9}, {"temperature", "top_p"}),
    "negative padding id": ({"pad_token_id": -1}, {"pad_token_id"}),
    "beams without beams": ({"length_penalty": 2.0}, {"length_penalty"}),
    "min_p": ({"min_p": 0.1, "eos_token_id": [1, 3]}, {"min_p"}),
}


@pytest.mark.parametrize("name", SETTINGS)
def test_generation_settings_that_cannot_be_saved_lose_no_stage(name: str, tmp_path: Path) -> None:
    given, gone = SETTINGS[name]
    folder = zoo.write(zoo.CAUSAL["llama"], tmp_path / "base")
    (folder / "generation_config.json").write_text(json.dumps({"eos_token_id": 1, **given}))
    found = {f.check: f for f in examine_model(folder).findings}
    assert found["generation_config"].judgement == "warn" and all(n in found["generation_config"].text for n in gone)
    model = load_weights(folder)
    train_stage(
        model, zoo.tokenizer(), rows(), RECIPE, 7, scratch=str(tmp_path / "scratch"), checkpoints=str(tmp_path / "c")
    )
    save_model(model, tmp_path / "trained")
    again = load_weights(tmp_path / "trained")
    assert all(torch.equal(p, q) for p, q in zip(model.parameters(), again.parameters(), strict=True))
    assert again.generation_config.eos_token_id == given.get("eos_token_id", 1)
    assert settle_generation(again) == []


def step(base_folder: Path, out: Path, **params: Any) -> StepContext:
    out.mkdir()
    (out.parent / "scratch").mkdir(exist_ok=True)
    from specsci.sources.examine import files_of

    params = {"files": files_of(base_folder), **params}
    where = {"path": str(base_folder)}
    more: dict[str, Any] = {"runtime": where}
    if "outside" in StepContext.__dataclass_fields__:
        more["outside"] = str(base_folder)
    return StepContext("base", "d", params, {}, {}, {}, out, out.parent / "scratch", **more)


def test_the_base_step_records_every_finding(tmp_path: Path, in_process: None) -> None:
    folder = zoo.write(zoo.CAUSAL["opt"], tmp_path / "given")
    facts = steps.run_base(step(folder, tmp_path / "out"))
    assert facts["packs"] is False and facts["on"] == ITSELF
    assert {"packing", "causal", "weights_complete", "saving"} <= {f["check"] for f in facts["examination"]}
    assert json.dumps(facts)  # as the record is written
    assert (tmp_path / "out" / MODEL / "model.safetensors").is_file()


def test_the_base_step_refuses_what_a_plan_could_not_see(tmp_path: Path, in_process: None) -> None:
    folder = zoo.write(zoo.REFUSED["bert_both_ways"], tmp_path / "given")
    with pytest.raises(GateRefused, match="attention is not causal"):
        steps.run_base(step(folder, tmp_path / "out"))


def test_incomplete_weights_never_load(place: Path) -> None:
    weights(place, lambda d: {k: v for k, v in d.items() if "layers.1.mlp" not in k})
    with pytest.raises(SpecsciError, match=r"lack model\.layers\.1\.mlp\.down_proj\.weight"):
        load_weights(place / "my_model")
    config(place, intermediate_size=16)
    with pytest.raises(SpecsciError, match="lack"):
        load_weights(place / "my_model")


@pytest.mark.parametrize("name", ["llama", "gemma2", "opt", "mamba", "qwen3_next", "gpt_oss", "deepseek_v3", "falcon_h1"])
def test_a_small_twin_shows_what_the_model_itself_shows(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = zoo.write(zoo.CAUSAL[name], tmp_path / "base")
    one = examine_model(folder)
    monkeypatch.setattr("specsci.intake.model.QUICK_GIB", 0.0)
    assert QUICK_GIB > 0
    two = examine_model(folder, quick=True)
    assert (one.facts["on"], two.facts["on"]) == (ITSELF, TWIN) and not two.refused
    assert all(one.facts[k] == two.facts[k] for k in ("packs", "positions", "fixed_positions", "blocks", "shares_cache"))
    assert any(f.check == "finite" and "not examined here" in f.text for f in two.findings)


def test_a_model_too_big_for_memory_is_read_for_damage_all_the_same(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("specsci.intake.model.MEMORY_SHARE", 0.0)
    assert not examine_model(place / "my_model").refused
    weights(place, nan)
    found = examine_model(place / "my_model")
    assert found.refusals[0].check == "finite" and "model.layers.1.mlp.up_proj.weight" in found.refusals[0].text


@pytest.mark.parametrize("positions", [4, 8, 20])
def test_very_few_positions(positions: int, tmp_path: Path) -> None:
    """The proofs' own rows must fit as well."""
    import transformers as tf

    few = {**zoo.GPT, "n_positions": positions}
    folder = zoo.write(lambda: tf.GPT2LMHeadModel(tf.GPT2Config(**few)), tmp_path / "base")
    found = examine_model(folder)
    assert not found.refused and found.facts["positions"] == positions and found.facts["packs"] is True, found.findings


def test_a_twin_still_names_missing_weights(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    weights(place, lambda d: {k: v for k, v in d.items() if k != "lm_head.weight"})
    monkeypatch.setattr("specsci.intake.model.QUICK_GIB", 0.0)
    found = examine_model(place / "my_model", quick=True)
    assert found.refused and "lm_head.weight" in found.refusals[0].text


def test_registered_bases_are_what_their_record_says(tmp_path: Path) -> None:
    """Every family of architectures that the registry ships packs; `REGISTERED` says so without a proof at run time."""
    from specsci.microlab.base import write_base
    from specsci.microlab.source import registry as microlab_registry
    from specsci.models.proofs import isolates_rows
    from specsci.sources.registry import SOURCES

    bases = microlab_registry()["bases"]
    worlds = {name.split("/")[0]: name for name in sorted(bases)}
    for number, name in enumerate(worlds.values()):
        write_base(f"microlab:{name}", bases[name]["weights_sha256"], tmp_path / str(number))
        assert isolates_rows(load_weights(tmp_path / str(number)))
    assert SOURCES["microlab:"].registered.packs is True
