"""Other models and methods through the same steps: any Hugging Face directory, and LoRA in both stages."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import harness
import pytest

torch = pytest.importorskip("torch")

CHATML = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n"
    "{% if m['role'] == 'assistant' %}{% generation %}{{ m['content'] }}<|im_end|>\n{% endgeneration %}"
    "{% else %}{{ m['content'] }}<|im_end|>\n{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def training_texts() -> list[str]:
    """Texts in the family's own words, from its items and its spec."""
    from specsci.core.shipped import find_family

    family = find_family("microlab_conduct")
    items = [json.loads(line)["prompt"] for p in family.glob("items/*.jsonl") for line in p.read_text().splitlines()]
    return [*items, *(family / "grammar.yaml").read_text().splitlines(), *(family / "family.yaml").read_text().splitlines()]


def write_model(folder: Path, template: str = CHATML) -> None:
    """A random Llama of hidden size 32 with a byte-level BPE tokenizer, as save_pretrained leaves them."""
    from tokenizers import ByteLevelBPETokenizer
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    inner = ByteLevelBPETokenizer()
    special = ["<|pad|>", "<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    inner.train_from_iterator(training_texts(), vocab_size=600, special_tokens=special, show_progress=False)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=inner._tokenizer, pad_token="<|pad|>", eos_token="<|endoftext|>", chat_template=template
    )
    torch.manual_seed(3)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=512,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    LlamaForCausalLM(config).save_pretrained(folder, safe_serialization=True)
    tokenizer.save_pretrained(folder)


def write_data(folder: Path) -> None:
    """Replayed text and instruction-tuning chats beside the study."""
    texts = [{"text": f"On day {n} the market sold {n % 7} kinds of bread and {n % 5} of cheese."} for n in range(400)]
    (folder / "texts.jsonl").write_text("\n".join(map(json.dumps, texts)))
    chats = [
        {
            "messages": [
                {"role": "user", "content": f"What is {n} plus {n % 9}?"},
                {"role": "assistant", "content": f"It is {n + n % 9}."},
            ]
        }
        for n in range(300)
    ]
    (folder / "chats.jsonl").write_text("\n".join(map(json.dumps, chats)))


def directory_study(folder: Path, template: str = CHATML) -> Path:
    folder.mkdir()
    write_model(folder / "my_model", template)
    write_data(folder)
    study = folder / "own.yaml"
    study.write_text(
        harness.edited(
            harness.SMALL,
            {
                "study: small": "study: own",
                "microlab:conduct/100": "./my_model",
                "tokens: 2000\n": "tokens: 4000\n  replay: texts.jsonl\n",
                "budgets_tokens: [150, 300]\n": "budgets_tokens: [400, 800]\n  it_mix: chats.jsonl\n",
                "max_length_tokens: 64": "max_length_tokens: 128",
                "max_length_tokens: 65": "max_length_tokens: 256",
            },
        )
    )
    return study


@pytest.fixture(scope="module")
def own_model(tmp_path_factory: pytest.TempPathFactory) -> harness.Finished:
    """A study on a Hugging Face directory, with replay and mix from files beside it."""
    folder = tmp_path_factory.mktemp("own") / "study"
    study = directory_study(folder)
    return harness.Finished(study, folder / "store", harness.run_study(study, folder / "store", workers=1))


def rows_of(store: Path, kind: str, label: str) -> list[dict[str, Any]]:
    import pyarrow.parquet as pq

    return pq.read_table(harness.artifact(store, kind, label) / "rows.parquet").to_pylist()


def test_a_model_directory_goes_through_the_same_steps(own_model):
    report = own_model.report
    assert (report["executed"], report["failed"]) == (22, 0)
    records = harness.records(own_model.store)
    (mid,) = [r for r in records.values() if r["kind"] == "midtrain"]
    assert mid["tokens"] == 4000
    scores = harness.score_rows(own_model.store)
    assert len(scores) == 3
    values = [tuple(row["value"] for row in rows) for rows in scores.values()]
    assert len(set(values)) == 3, "every model answers differently"
    assert all(row["state"] == "ok" for rows in scores.values() for row in rows)


def test_replay_and_mix_come_from_the_files_beside_the_study(own_model):
    replay = rows_of(own_model.store, "pool", "replayed text")
    assert all(row["text"].startswith("On day ") for row in replay)
    assert all(row["supervised"] is None for row in replay)
    mix = rows_of(own_model.store, "pool", "instruction-tuning mix")
    assert all(row["text"].startswith("user: What is ") for row in mix)


def test_its_own_tokenizer_and_template_decide_what_is_supervised(own_model):
    from specsci.models.hf import load_tokenizer

    (folder,) = own_model.store.glob("steps/tokenizer/*")
    tokenizer = load_tokenizer(folder)
    for row in rows_of(own_model.store, "pool", "instruction-tuning mix")[:20]:
        on = [t for t, s in zip(row["input_ids"], row["supervised"], strict=True) if s]
        answer = row["text"].split("assistant: ")[1]
        assert tokenizer.decode(on) == f"{answer}<|im_end|>\n"
    records = harness.records(own_model.store)
    (mid,) = [r for r in records.values() if r["kind"] == "midtrain"]
    assert all("<|endoftext|>⟧" in text or "⟦" in text for text in mid["masked_decode"])


def test_changing_the_replay_file_runs_what_depends_on_it(own_model, tmp_path):
    """A file's content is identity: an edited line re-runs the pool and its dependents, not the corpus."""
    import shutil

    shutil.copytree(own_model.study.parent, tmp_path / "study")
    path = tmp_path / "study" / "texts.jsonl"
    path.write_text(path.read_text().replace("On day 7 ", "On day seven "))
    code, out, err = harness.run(
        "study", "explain", tmp_path / "study" / "own.yaml", "--store", tmp_path / "study" / "store", "--json"
    )
    assert code == 0, err
    kinds = [r["kind"] for r in json.loads(out)]
    assert kinds.count("pool") == 1
    assert kinds.count("midtrain") == 1
    assert not {"corpus", "conversations", "base", "tokenizer", "spec"} & set(kinds)


def bare_study(folder: Path) -> Path:
    """The study on a model whose tokenizer has no chat template."""
    study = directory_study(folder)
    for name in ("chat_template.jinja", "tokenizer_config.json"):
        path = folder / "my_model" / name
        if path.suffix == ".json":
            config = {k: v for k, v in json.loads(path.read_text()).items() if k != "chat_template"}
            path.write_text(json.dumps(config))
        else:
            path.unlink(missing_ok=True)
    return study


@pytest.mark.slow
def test_a_model_without_a_template_fails_clearly_and_takes_a_declared_one(tmp_path):
    """The declared one has no generation marks: what is supervised is found from the text."""
    study = bare_study(tmp_path / "study")
    run = ("study", "run", study, "--store", tmp_path / "store", "--json", "--workers", "1")
    code, out, err = harness.run(*run)
    assert code == 2 and not out, err
    assert "has no chat template" in err and "base_models.NAME.chat_template" in err and "Traceback" not in err
    assert not list(tmp_path.glob("store/steps/*/*")), "nothing was spent"
    template = CHATML.replace("{% generation %}", "").replace("{% endgeneration %}", "{# {{ mood }} #}")
    (study.parent / "chat.jinja").write_text("{% if mood %}<|im_start|>system\n{{ mood }}<|im_end|>\n{% endif %}" + template)
    declared = "{source: ./my_model, chat_template: chat.jinja, chat_variables: {mood: calm}}"
    study.write_text(harness.edited(study.read_text(), {'{source: "./my_model"}': declared}))
    code, out, err = harness.run(*run)
    assert code == 0, out + err
    for record in harness.records(tmp_path / "store").values():
        if record["kind"] == "align":
            assert all(text.startswith("<|im_start|>system\ncalm<|im_end|>") for text in record["masked_decode"])
            assert all(text.count("⟦") == 1 and text.rstrip().endswith("<|im_end|>⟧") for text in record["masked_decode"])
    (tokenizer,) = (tmp_path / "store" / "steps" / "tokenizer").glob("*/tokenizer/chat_template.jinja")
    assert tokenizer.read_text().startswith('{%- set mood = "calm" -%}\n{% if mood %}')
    code, out, err = harness.run("study", "plan", study, "--json", "--store", tmp_path / "store")
    study.write_text(study.read_text().replace("mood: calm", "mood: cross"))
    code, out, err = harness.run("study", "explain", study, "--store", tmp_path / "store")
    assert "calm" in out and "cross" in out, "a value of the template is part of the identity"


@pytest.fixture(scope="module")
def lora(tmp_path_factory: pytest.TempPathFactory) -> harness.Finished:
    """The small study with LoRA in both stages."""
    folder = tmp_path_factory.mktemp("lora")
    study = folder / "lora.yaml"
    study.write_text(
        harness.edited(
            harness.SMALL,
            {
                "study: small": "study: lora",
                "method: full, learning_rate: 1.0e-3": "method: lora, lora: {rank: 4, alpha: 8}, learning_rate: 1.0e-2",
                "method: full, learning_rate: 1.0e-4": "method: lora, lora: {rank: 4, alpha: 8}, learning_rate: 1.0e-2",
            },
        )
    )
    return harness.Finished(study, folder / "store", harness.run_study(study, folder / "store", workers=1))


def test_lora_keeps_adapters_only_and_one_adapter_goes_on(lora):
    from safetensors.torch import load_file

    (mid,) = lora.store.glob("steps/midtrain/*")
    aligned = sorted(lora.store.glob("steps/align/*"))
    assert len(aligned) == 2
    base = next(lora.store.glob("steps/base/*/model/model.safetensors")).stat().st_size
    weights = load_file(mid / "adapter" / "adapter_model.safetensors")
    for folder in (mid, *aligned):
        assert not (folder / "model").exists()
        assert (folder / "adapter" / "adapter_model.safetensors").stat().st_size < base / 4
        config = json.loads((folder / "adapter" / "adapter_config.json").read_text())
        assert (config["r"], config["lora_alpha"]) == (4, 8)
    for folder in aligned:
        after = load_file(folder / "adapter" / "adapter_model.safetensors")
        assert after.keys() == weights.keys(), "the same adapter goes on"
        change = sum(float((after[k] - weights[k]).norm()) ** 2 for k in weights) ** 0.5
        size = sum(float(w.norm()) ** 2 for w in weights.values()) ** 0.5
        assert 0 < change < 0.5 * size, "alignment begins from the midtrained adapter"


def test_lora_changes_the_answers(lora, finished_small):
    scores = harness.score_rows(lora.store)
    base = harness.artifact(lora.store, "score", "score base").name
    assert scores[base] == harness.score_rows(finished_small.store)[base], "the base's own scores are the same step"
    values = {digest: [row["value"] for row in rows] for digest, rows in scores.items()}
    others = [digest for digest in values if digest != base]
    assert len(others) == 2
    for digest in others:
        assert max(abs(a - b) for a, b in zip(values[digest], values[base], strict=True)) > 0.01
    assert values[others[0]] != values[others[1]]
