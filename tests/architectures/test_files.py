"""Directories that are not a usable base: one sentence at the base's line of the study, exit 2, and nothing is run."""

from __future__ import annotations

import json
import re
import struct
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import zoo
from safetensors.torch import load_file, save_file

from specsci.cli.main import main
from specsci.core.shipped import cache_folder

STUDY = """\
study: own
title: A base of one's own
hypothesis: machinery
family: microlab_conduct
arms:
  base: {title: base}
evals:
  held_out: {items: held_out}
base_models:
  own: {source: ./my_model}
replicates:
  - {seed: 1, base_model: own}
"""
LINE = 1 + STUDY.splitlines().index("  own: {source: ./my_model}")


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, in_process: None) -> Path:
    """A study on a base of its own, which is whole."""
    (tmp_path / "study.yaml").write_text(STUDY)
    zoo.write(zoo.CAUSAL["llama"], tmp_path / "my_model")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *args: str) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of a command in this process; an exception other than an exit fails the test."""
    monkeypatch.setattr(sys, "argv", ["specsci", *args])
    try:
        main()
        code = 0
    except SystemExit as end:
        code = int(end.code or 0)
    out = capsys.readouterr()
    return code, out.out, out.err


def refused(place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> str:
    """What `study check` says of the base; it must be one problem at the base's line, with a hint, and exit 2."""
    code, out, err = call(monkeypatch, capsys, "study", "check", "study.yaml")
    assert code == 2, out + err
    assert "Traceback" not in err
    assert len(re.findall(r"study\.yaml:\d+:\d+", err)) == 1 and f"study.yaml:{LINE}:" in err, err
    return err


def weights(place: Path, change: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    file = place / "my_model" / "model.safetensors"
    found = {k: v.clone() for k, v in load_file(file).items()}
    save_file(change(found), file, metadata={"format": "pt"})


def config(place: Path, **values: Any) -> None:
    file = place / "my_model" / "config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **values}))


def without(place: Path, key: str) -> None:
    file = place / "my_model" / "config.json"
    file.write_text(json.dumps({k: v for k, v in json.loads(file.read_text()).items() if k != key}))


def model_file(place: Path, name: str) -> Path:
    return place / "my_model" / name


def sharded(place: Path, **names: str) -> None:
    """The weights as two shards with an index, whose file names may be changed."""
    file = model_file(place, "model.safetensors")
    found = {k: v.clone() for k, v in load_file(file).items()}
    file.unlink()
    half = sorted(found)[: len(found) // 2]
    parts = {"a.safetensors": half, "b.safetensors": sorted(set(found) - set(half))}
    for part, keys in parts.items():
        save_file({k: found[k] for k in keys}, model_file(place, part), metadata={"format": "pt"})
    mapping = {k: names.get(part[0], part) for part, keys in parts.items() for k in keys}
    model_file(place, "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": mapping}))


def nan(found: dict[str, Any]) -> dict[str, Any]:
    found["model.layers.1.mlp.up_proj.weight"][0, 0] = float("nan")
    return found


def rename(prefix: str) -> Callable[[dict[str, Any]], dict[str, Any]]:
    return lambda found: {prefix + k: v for k, v in found.items()}


def cut(place: Path) -> None:
    file = model_file(place, "model.safetensors")
    file.write_bytes(file.read_bytes()[:-500])


def pickle_beside(place: Path) -> None:
    model_file(place, "model.safetensors").rename(model_file(place, "other.safetensors"))
    torch.save(load_file(model_file(place, "other.safetensors")), model_file(place, "pytorch_model.bin"))


def missing_shard(place: Path) -> None:
    sharded(place)
    model_file(place, "b.safetensors").unlink()


def outside(place: Path) -> None:
    sharded(place, b="../other/b.safetensors")
    (place / "other").mkdir()
    model_file(place, "b.safetensors").rename(place / "other" / "b.safetensors")


def sub_folder(place: Path) -> None:
    sharded(place, b="deep/b.safetensors")
    model_file(place, "deep").mkdir()
    model_file(place, "b.safetensors").rename(model_file(place, "deep") / "b.safetensors")


def slow_tokenizer(place: Path) -> None:
    """A tokenizer of Python alone, as some models of other languages have it."""
    model_file(place, "tokenizer.json").unlink()
    model_file(place, "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "BertJapaneseTokenizer"}))
    model_file(place, "vocab.txt").write_text("[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\na\nb\n")


def small_embedding(place: Path) -> None:
    config(place, vocab_size=200)
    weights(place, lambda d: {k: v[:200] if "embed" in k or "head" in k else v for k, v in d.items()})


def own_code(place: Path) -> None:
    config(
        place, model_type="my_own", architectures=["MyOwn"], auto_map={"AutoConfig": "c.C", "AutoModelForCausalLM": "c.M"}
    )
    model_file(place, "c.py").write_text("raise SystemExit('this must not run')\n")


def write_text(name: str, text: str) -> Callable[[Path], None]:
    return lambda place: model_file(place, name).write_text(text) and None


def rewrite(change: Callable[[dict[str, Any]], dict[str, Any]]) -> Callable[[Path], None]:
    return lambda place: weights(place, change)


def header_only(place: Path) -> None:
    model_file(place, "model.safetensors").write_bytes(struct.pack("<Q", 2**40) + b"{}")


FAULTS: dict[str, tuple[Callable[[Path], Any], str]] = {
    "prefix of torch.compile": (rewrite(rename("_orig_mod.")), "_orig_mod.lm_head.weight"),
    "prefix of DDP": (rewrite(rename("module.")), "missing.*lm_head.weight.*left over.*module.lm_head.weight"),
    "no head": (rewrite(lambda d: {k: v for k, v in d.items() if k != "lm_head.weight"}), "missing.*lm_head.weight"),
    "a layer missing": (
        rewrite(lambda d: {k: v for k, v in d.items() if "layers.1" not in k}),
        r"missing.*model\.layers\.1\.",
    ),
    "a layer too many": (lambda p: config(p, num_hidden_layers=1), r"unused: model\.layers\.1\."),
    "a bias too many": (
        rewrite(lambda d: {**d, "model.layers.0.mlp.up_proj.bias": torch.zeros(32)}),
        r"unused: model\.layers\.0\.mlp\.up_proj\.bias",
    ),
    "another shape": (lambda p: config(p, intermediate_size=48), "shape"),
    "NaN in the weights": (rewrite(nan), r"NaN or infinity: model\.layers\.1\.mlp\.up_proj\.weight"),
    "Git LFS pointer": (
        write_text("model.safetensors", "version https://git-lfs.github.com/spec/v1\noid sha256:0\n"),
        "Git LFS",
    ),
    "cut short": (cut, "cut short: 500 bytes"),
    "empty file": (write_text("model.safetensors", ""), "cut short"),
    "not safetensors": (header_only, "not a safetensors file"),
    "pickle beside a foreign file": (pickle_beside, "neither model.safetensors nor"),
    "missing shard": (missing_shard, "missing: b.safetensors"),
    "index names a file outside": (outside, r"outside the directory: '\.\./other/b\.safetensors'"),
    "index names a sub-folder": (sub_folder, "outside the directory: 'deep/b.safetensors'"),
    "config is a list": (write_text("config.json", "[1]"), "config.json holds a list"),
    "config is not valid JSON": (write_text("config.json", "{"), "config.json is not valid JSON"),
    "config is latin-1": (
        lambda p: model_file(p, "config.json").write_bytes('{"model_type": "é"}'.encode("latin-1")),
        "config.json is not UTF-8",
    ),
    "deep config": (write_text("config.json", "[" * 100_000), "config.json cannot be read as JSON"),
    "text_config is a string": (lambda p: config(p, text_config="x"), "text_config holds a string"),
    "card is a list": (write_text("specsci.json", "[]"), "specsci.json holds a list"),
    "card is not valid JSON": (write_text("specsci.json", "{"), "specsci.json is not valid JSON"),
    "no model_type": (lambda p: without(p, "model_type"), "no model_type"),
    "unknown model_type": (lambda p: config(p, model_type="llama9"), "does not know the model type 'llama9'"),
    "encoder-decoder": (lambda p: config(p, model_type="t5", is_encoder_decoder=True), "encoder-decoder"),
    "vision-language": (lambda p: config(p, vision_config={"hidden_size": 8}), "other input"),
    "GPTQ": (lambda p: config(p, quantization_config={"quant_method": "gptq", "bits": 4}), "quantised.*gptq"),
    "classifier": (lambda p: config(p, architectures=["LlamaForSequenceClassification"]), "predicts no next token"),
    "an adapter beside": (write_text("adapter_config.json", "{}"), "holds an adapter"),
    "slow tokenizer": (slow_tokenizer, "tokenizer"),
    "larger tokenizer": (small_embedding, "token 260.*200 rows"),
    "tokenizer is not valid JSON": (write_text("tokenizer.json", "nope"), "tokenizer.json is not valid JSON"),
    "code of its own": (own_code, "code of its own"),
    "layers as a text": (lambda p: config(p, num_hidden_layers="two"), r"config\.json"),
    "ten million layers": (lambda p: config(p, num_hidden_layers=10**7), "10,000,000 layers"),
    "a width beyond all memory": (lambda p: config(p, hidden_size=10**9), "shape"),
    "an attention that is not installed": (lambda p: config(p, attn_implementation="flash_attention_2"), "FlashAttention2"),
    "a dtype that there is not": (lambda p: config(p, dtype="float99"), "float99|config"),
    "generation settings as a list": (write_text("generation_config.json", "[1]"), r"generation_config\.json"),
    "weights as a folder": (
        lambda p: (model_file(p, "model.safetensors").unlink(), model_file(p, "model.safetensors").mkdir()),
        "weights|neither",
    ),
    "a vocabulary larger than the weights": (lambda p: config(p, vocab_size=300), "shape"),
    "an index that is a list": (
        lambda p: (sharded(p), model_file(p, "model.safetensors.index.json").write_text("[]")),
        r"index\.json holds a list",
    ),
    "an index that names what no file has": (
        lambda p: (
            sharded(p),
            model_file(p, "model.safetensors.index.json").write_text(
                '{"weight_map": {"a": "a.safetensors", "x": "a.safetensors"}}'
            ),
        ),
        "no weight file has",
    ),
    "sizes that make no model": (lambda p: config(p, num_attention_heads=0), "config.json|cannot|built"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_refused_at_check(
    fault: str, place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    break_, wanted = FAULTS[fault]
    break_(place)
    said = refused(place, monkeypatch, capsys)
    assert re.search(wanted, said, re.S), said
    assert re.search(r"(hint|hint): \S", said)


def test_a_whole_base_passes_every_command_of_the_plan(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = call(monkeypatch, capsys, "study", "check", "study.yaml", "--json")
    assert code == 0, err
    assert any(f["gate"] == "base" and "trained packed" in f["text"] for f in json.loads(out)["findings"])
    code, out, _ = call(monkeypatch, capsys, "model", "check", "my_model", "--json")
    said = json.loads(out)
    assert code == 0 and said["judgement"] == "ok" and said["facts"]["packs"] is True
    checks = {f["check"] for f in said["findings"]}
    assert checks >= {
        "weights_complete",
        "finite",
        "causal",
        "padding",
        "packing",
        "scoring",
        "gradients",
        "saving",
        "tokenizer",
    }


def test_a_second_check_reads_what_the_first_found(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from specsci.sources import examine

    files = examine.files_of(place / "my_model")
    first = examine.examine(place / "my_model", files)
    monkeypatch.setattr(examine, "_in_a_process", lambda request: pytest.fail("examined twice"))
    assert examine.examine(place / "my_model", files) == first
    assert examine.examine(place / "my_model", files, quick=False).facts == first.facts
    (note,) = cache_folder("intake").glob("*.json")
    note.write_text("{")
    with pytest.raises(pytest.fail.Exception):
        examine.examine(place / "my_model", files)


def test_a_process_that_dies_is_a_refusal(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from specsci.sources import examine

    monkeypatch.undo()
    monkeypatch.setenv("XDG_CACHE_HOME", str(place / "notes"))
    monkeypatch.setattr(sys, "executable", "/bin/false")
    found = examine.examine(place / "my_model", {"a": "b"})
    assert found.refused and "ended without a result" in found.refusals[0].text
    assert not list(cache_folder("intake").glob("*.json"))


def test_links_to_the_files_are_read_through(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The hub's own cache holds a snapshot as links to its blobs."""
    snapshot, blobs = place / "hub" / "snapshots" / "0a1b", place / "hub" / "blobs"
    snapshot.parent.mkdir(parents=True)
    blobs.mkdir()
    (place / "my_model").rename(snapshot)
    for number, file in enumerate(sorted(snapshot.iterdir())):
        file.rename(blobs / str(number))
        file.symlink_to(f"../../blobs/{number}")
    (place / "study.yaml").write_text(STUDY.replace("./my_model", str(snapshot)))
    code, _, err = call(monkeypatch, capsys, "study", "check", "study.yaml")
    assert code == 0, err


def test_a_head_for_ppo_beside_the_model_is_left_out_with_a_word(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    weights(place, lambda d: {**d, "v_head.summary.weight": torch.zeros(1, 16)})
    code, out, _ = call(monkeypatch, capsys, "model", "check", "my_model", "--json")
    said = json.loads(out)
    assert code == 0 and said["judgement"] == "warn"
    assert any("v_head.summary.weight" in f["text"] for f in said["findings"] if f["judgement"] == "warn")


def test_code_of_another_repository_is_not_fetched_for_an_examination(place: Path) -> None:
    from specsci.sources.examine import examine, files_of

    config(place, auto_map={"AutoModelForCausalLM": "somebody/else--own.Model"})
    found = examine(place / "my_model", files_of(place / "my_model"), trusted=True)
    assert found.refusals[0].check == "code" and "somebody/else--own.Model" in found.refusals[0].text


@pytest.mark.parametrize("source", ["./nothing", "study.yaml", "microlab:nope/1", "package:nope", "hub:foo/bar", "."])
def test_a_source_that_names_no_model(
    source: str, place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = call(monkeypatch, capsys, "model", "check", source)
    assert code == 2 and "Traceback" not in out + err
    assert re.search(r"(hint|hint): \S", out + err)


def test_a_registered_base_needs_no_examination(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, _ = call(monkeypatch, capsys, "model", "check", "microlab:conduct/100", "--json")
    assert code == 0 and json.loads(out)["findings"][0]["check"] == "registered"
