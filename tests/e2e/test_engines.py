"""Evals whose models an engine serves, each as an adapter under its digest: the same answers as in process, and four checks before the first."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import duckdb
import harness
import pytest
from engine_server import EngineServer
from safetensors.torch import load_file, save_file

from specsci.core.errors import StepFailed
from specsci.models.serve.probe import MOST_NATS, check_keys, distance, probe
from specsci.models.serve.reference import read_reference
from specsci.models.serve.server import Server
from specsci.plan.build import build_plan
from specsci.study.load import load_study

STUDY = """\
study: engines
title: Engines
hypothesis: An engine serves what was trained.
family: microlab_conduct
arms:
  base: {{title: base}}
  aft: {{align: choices}}
  reasoned: {{align: by_value_augmented}}
evals:
  in_words: {{kind: generated_choice, items: held_out, max_tokens: 8}}
  routine: {{kind: open_answers, items: routine, role: guard, max_tokens: 8, readout: delivered}}
base_models:
  dev: {{source: "microlab:conduct/100"}}
replicates: [{{seed: 1, base_model: dev}}]
{engines}align:
  budgets_tokens: [1500]
  it_mix_share: 0
  recipe: {{method: lora, lora: {{rank: 4, alpha: 8}}, learning_rate: 5.0e-3, sequences_per_update: 2, max_length_tokens: 65}}
gates: {{accept_few_updates: a test of the machinery}}
runtime: {{threads_per_worker: 1}}
"""


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("SPECSCI_CACHE", str(tmp_path_factory.mktemp("cache")))


def base_of(path: Path) -> str:
    return next(d for d, s in build_plan(load_study(str(path))).steps.items() if s.kind == "base")


def write(folder: Path, engines: str = "") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "s.yaml").write_text(STUDY.format(engines=engines))
    return folder / "s.yaml"


def answers(store: Path) -> dict[tuple, str]:
    with duckdb.connect(str(store / "results.duckdb"), read_only=True) as db:
        found = db.execute("SELECT arm, eval, item_id, variant, reply, state FROM transcripts").fetchall()
    return {row[:4]: (row[4], row[5]) for row in found}


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    """A study run in process, and again with an engine, which takes its trained models from the same store."""
    with pytest.MonkeyPatch.context() as patch:  # the process is other tests' too
        patch.setenv("SPECSCI_CACHE", str(tmp_path_factory.mktemp("cache")))
        folder = tmp_path_factory.mktemp("engines")
        plain = write(folder / "plain")
        harness.run_study(plain, folder / "store")
        here = answers(folder / "store")
        base = base_of(plain)
        with EngineServer(base, lambda: folder / "store" / "steps" / "base" / base) as server:
            path = write(folder / "served", f'engines: {{dev: {{base_url: "{server.url}/v1"}}}}\n')
            report = harness.run_study(path, folder / "store")
    yield folder, here, server, report, base


def adapters(folder: Path) -> list[Path]:
    return sorted(p for p in (folder / "store" / "steps" / "align").iterdir() if (p / "adapter").is_dir())


def test_an_engine_gives_the_answers_that_the_models_give_in_process(ran) -> None:
    folder, here, server, report, base = ran
    assert report["executed"] == 2 * 2 * 3, "answers are drawn and read anew; nothing is trained anew"
    served = answers(folder / "store")
    assert served == here and len({reply for reply, _ in here.values()}) > 5
    assert set(server.asked) == {base, *(p.name for p in adapters(folder))} and server.calls["/v1/load_lora_adapter"] == 2 * 2, "loaded, and once again in the probe"


def test_the_same_command_asks_nobody_again(ran) -> None:
    folder, *_ = ran
    assert harness.run_study(folder / "served" / "s.yaml", folder / "store")["executed"] == 0


def test_a_trained_adapter_keeps_what_its_trainer_computes(ran) -> None:
    folder, _, _, _, base = ran
    first, second = adapters(folder)
    one, other = read_reference(first), read_reference(second)
    assert one is not None and other is not None and one.ids != other.ids
    with EngineServer(base, lambda: folder / "store" / "steps" / "base" / base) as engine, Server(engine.url) as server:
        for place, reference in ((first, one), (second, other)):
            server.load(place.name, place / "adapter")
            told = probe(server, base, place.name, place / "adapter", reference)
            assert told["own_nats"] < 1e-4 and told["reloaded_nats"] < 1e-4 and told["base_nats"] > 0.05


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("wrong", "serves another model as|cannot be told from its base"),
        ("base", "serves another model as|cannot be told from its base"),
        ("reload", "after it was loaded anew"),
        ("mixed", "adapters are mixed up|serves another model as"),
        ("no log-probabilities", "gives no log-probabilities"),
    ],
)
def test_a_server_that_serves_another_model_is_found_out(ran, fault: str, said: str) -> None:
    folder, _, _, _, base = ran
    first, second = adapters(folder)
    with EngineServer(base, lambda: folder / "store" / "steps" / "base" / base, fault) as engine, Server(engine.url) as server:
        server.load(first.name, first / "adapter")
        server.load(second.name, second / "adapter")
        reference = read_reference(second)
        assert reference is not None
        with pytest.raises(StepFailed, match=said):
            probe(server, base, second.name, second / "adapter", reference)


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("wrong", "serves another model as|cannot be told"),
        ("unlisted", "does not list the adapter"),
        ("no ids", "gives no token ids"),
        ("prose", "with no JSON"),
        ("500 on answers", "answers 500 to /v1/completions: .*EngineCore"),
    ],
)
def test_a_step_fails_where_its_engine_does_and_another_engine_goes_on(ran, tmp_path: Path, fault: str, said: str) -> None:
    folder, _, _, _, base = ran
    store = tmp_path / "store"
    shutil.copytree(folder / "store", store)
    text = STUDY.replace("max_tokens: 8}}\n", "max_tokens: 7}}\n", 1)
    with EngineServer(base, lambda: store / "steps" / "base" / base, fault) as server:
        (tmp_path / "s.yaml").write_text(text.format(engines=f'engines: {{dev: {{base_url: "{server.url}"}}}}\n'))
        code, out, err = harness.run("study", "run", tmp_path / "s.yaml", "--store", store)
        assert code == 1, out + err
        assert re.search(said, out + err), out + err
    with EngineServer(base, lambda: store / "steps" / "base" / base) as server:
        (tmp_path / "s.yaml").write_text(text.format(engines=f'engines: {{dev: {{base_url: "{server.url}"}}}}\n'))
        assert harness.run_study(tmp_path / "s.yaml", store)["failed"] == 0


def test_no_server_and_no_address_are_said(ran, tmp_path: Path) -> None:
    folder, *_ = ran
    store = tmp_path / "store"
    shutil.copytree(folder / "store", store)
    text = STUDY.replace("max_tokens: 8}}\n", "max_tokens: 7}}\n", 1)
    for engine, said in (('base_url: "http://127.0.0.1:9"', "does not answer"), ("base_url_env: NOWHERE_AT_ALL", "NOWHERE_AT_ALL is empty")):
        (tmp_path / "s.yaml").write_text(text.format(engines=f"engines: {{dev: {{{engine}}}}}\n"))
        code, out, err = harness.run("study", "run", tmp_path / "s.yaml", "--store", store)
        assert code == 1 and said in out + err and "Traceback" not in out + err, out + err


def test_an_engine_that_serves_another_base_is_refused(ran, tmp_path: Path) -> None:
    folder, _, _, _, base = ran
    store = tmp_path / "store"
    shutil.copytree(folder / "store", store)
    with EngineServer("f" * 24, lambda: store / "steps" / "base" / base) as server:
        (tmp_path / "s.yaml").write_text(STUDY.replace("max_tokens: 8}}\n", "max_tokens: 7}}\n", 1).format(engines=f'engines: {{dev: {{base_url: "{server.url}"}}}}\n'))
        code, out, err = harness.run("study", "run", tmp_path / "s.yaml", "--store", store)
    assert code == 1 and f"and not the base {base}" in out + err


def test_a_tensor_that_belongs_to_no_matrix_of_the_base_is_refused(ran, tmp_path: Path) -> None:
    folder, _, _, _, base = ran
    place, trained = folder / "store" / "steps" / "base" / base, adapters(folder)[0]
    assert check_keys(place, trained) > 0
    (tmp_path / "adapter").mkdir()
    tensors = load_file(trained / "adapter" / "adapter_model.safetensors")
    name = next(n for n in tensors if "lora_A" in n)
    save_file({**tensors, name.replace("layers.0", "layers.77"): tensors[name].clone()}, tmp_path / "adapter" / "adapter_model.safetensors")
    with pytest.raises(StepFailed, match=r"layers\.77.*belongs to no matrix of the base"):
        check_keys(place, tmp_path)
    save_file({"base_model.model.lm_head.modules_to_save.weight": tensors[name].clone()}, tmp_path / "adapter" / "adapter_model.safetensors")
    with pytest.raises(StepFailed, match="modules_to_save"):
        check_keys(place, tmp_path)


def test_one_address_has_one_spelling() -> None:
    spelt = ("http://127.0.0.1:8000", "http://LOCALHOST:8000/v1/", "HTTP://localhost:8000/", "http://127.0.0.1:8000/v1")
    assert {Server(url).url for url in spelt} == {"http://127.0.0.1:8000"}
    assert Server("https://host.example/engine/v1").url == "https://host.example/engine"


def test_distances_are_mean_differences_and_a_missing_token_counts_with_the_least() -> None:
    mine = [{1: -0.1, 2: -3.0, 3: -6.0}]
    assert distance(mine, [{1: -0.1, 2: -3.5}]) == pytest.approx(0.25)
    assert distance(mine, [{9: -1.0}]) == pytest.approx(5.0) and MOST_NATS < 1


def test_a_study_that_trains_all_weights_has_no_engine(tmp_path: Path) -> None:
    text = STUDY.format(engines='engines: {dev: {base_url: "http://127.0.0.1:9"}}\n')
    for old, new, said in (
        ("method: lora, lora: {rank: 4, alpha: 8}", "method: full", "trains all weights"),
        ("method: lora, lora", "method: qlora, lora", "trains over 4-bit weights"),
        ("engines: {dev:", "engines: {deb:", "unknown base model 'deb'"),
        ('base_url: "http://127.0.0.1:9"', 'base_url: "localhost:9"', "begins with http://"),
        ('base_url: "http://127.0.0.1:9"', 'base_url: "http://x", base_url_env: X', "one address"),
    ):
        assert old in text
        (tmp_path / "s.yaml").write_text(text.replace(old, new))
        code, _, err = harness.run("study", "check", tmp_path / "s.yaml")
        assert code == 2 and said in err, err


def test_the_command_that_serves_names_base_tokenizer_and_rank(ran, tmp_path: Path) -> None:
    folder, _, _, _, base = ran
    path = folder / "served" / "s.yaml"
    code, out, err = harness.run("model", "serve", path, "--store", folder / "store", "--print", "--port", "8123", "--", "--enforce-eager")
    assert code == 0, err
    assert f"--served-model-name {base}" in out and "--max-lora-rank 8" in out and "--dtype float32" in out and out.rstrip().endswith("--enforce-eager")
    assert "VLLM_ALLOW_RUNTIME_LORA_UPDATING=True" in out and "--host 127.0.0.1" in out
    code, _, err = harness.run("model", "serve", path, "--store", tmp_path / "empty", "--print")
    assert code == 2 and "does not lie in this store yet" in err
    code, _, err = harness.run("model", "serve", path, "--store", folder / "store", "--base", "nobody", "--print")
    assert code == 2 and "no base model 'nobody'" in err
    code, _, err = harness.run("model", "serve", path, "--store", folder / "store", "--python", tmp_path / "nothing")
    assert code == 2 and "cannot be started" in err and "Traceback" not in err
