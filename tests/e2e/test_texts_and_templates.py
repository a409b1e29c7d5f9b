"""Texts, chats and templates from the field, through the command line: right in the store, or refused when a study is checked."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import harness
import pyarrow.parquet as pq
import pytest
from chat_templates import CHATML, NO_END, R1, make_tokenizer

from specsci.intake.template import examine_template

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.usefixtures("in_process")


def write_model(folder: Path, template: str, *, bos: bool = False) -> None:
    """A random Llama of hidden size 16, one token a byte."""
    from transformers import LlamaConfig, LlamaForCausalLM

    tokenizer = make_tokenizer(template, bos=bos)
    torch.manual_seed(3)
    sizes = {"vocab_size": len(tokenizer), "hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2}
    heads = {"num_attention_heads": 2, "num_key_value_heads": 2, "max_position_embeddings": 1024}
    ids = {"bos_token_id": tokenizer.bos_token_id, "eos_token_id": tokenizer.eos_token_id, "pad_token_id": 0}
    LlamaForCausalLM(LlamaConfig(**sizes, **heads, **ids)).save_pretrained(folder, safe_serialization=True)
    tokenizer.save_pretrained(folder)


def field_study(folder: Path, template: str, *, bos: bool = False) -> Path:
    folder.mkdir()
    write_model(folder / "my_model", template, bos=bos)
    texts = [{"text": f"On day {n} the market sold {n % 7} kinds of bread."} for n in range(200)]
    chats = [[("user", f"What is {n} plus one?"), ("assistant", f"It is {n + 1}.")] for n in range(100)]
    rows = [{"messages": [{"role": role, "content": said} for role, said in chat]} for chat in chats]
    (folder / "texts.jsonl").write_text("\n".join(map(json.dumps, texts)))
    (folder / "chats.jsonl").write_text("\n".join(map(json.dumps, rows)))
    study = folder / "own.yaml"
    changes = {
        "study: small": "study: own",
        "microlab:conduct/100": "./my_model",
        "tokens: 2000\n": "tokens: 6000\n  replay: texts.jsonl\n",
        "budgets_tokens: [150, 300]\n": "budgets_tokens: [2000]\n  it_mix: chats.jsonl\n",
        "max_length_tokens: 64": "max_length_tokens: 256",
        "max_length_tokens: 65": "max_length_tokens: 512",
        "  held_out: {items: held_out}": "  held_out: {items: held_out}\n  as_text: {items: held_out, format: text}",
        "gates: {": "probe: {control: texts.jsonl, tokens: 2000}\ngates: {",
    }
    study.write_text(harness.edited(harness.SMALL, changes))
    return study


def check(study: Path) -> tuple[int, str]:
    code, out, err = harness.run("study", "check", study)
    assert "Traceback" not in out + err
    return code, out + err


@pytest.mark.parametrize(
    ("template", "code", "says"),
    [
        (R1, 2, "'<think>\\n', which a rendered turn does not have before its answer"),
        (NO_END, 0, "leave the turn end '<|im_end|>' out of the loss"),
        ("{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}" + CHATML, 2, "does not end"),
    ],
    ids=["R1", "marks", "endless"],
)
def test_a_template_is_judged_when_a_study_is_checked(
    tmp_path: Path, template: str, code: int, says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(examine_template.__kwdefaults__, "limit_s", 5.0)
    found, text = check(field_study(tmp_path / "study", template))
    assert found == code, text
    assert says in text


def test_chats_and_texts_are_judged_when_a_study_is_checked(tmp_path: Path) -> None:
    study = field_study(tmp_path / "study", CHATML)
    chats, texts = study.parent / "chats.jsonl", study.parent / "texts.jsonl"
    good = {path: path.read_bytes() for path in (chats, texts)}
    faults = [
        (
            chats,
            b"What is 6 plus one?",
            b"What is 6<|im_end|> plus?",
            "chats.jsonl:7: the user's text contains '<|im_end|>'",
        ),
        (chats, b'"content": "It is 6."', b'"content": null', "chats.jsonl:6:1: messages[1].content: null"),
        (texts, b"On day 3 ", b"On day \xe9 ", "texts.jsonl:4:18: the byte 0xe9 is not valid UTF-8"),
    ]
    for path, old, new, says in faults:
        path.write_bytes(good[path].replace(old, new, 1))
        code, text = check(study)
        assert code == 2 and says in text, text
        path.write_bytes(good[path])


@pytest.fixture(scope="module")
def with_bos(tmp_path_factory: pytest.TempPathFactory) -> harness.Finished:
    """A study on a tokenizer that begins every text with a BOS, and whose template writes none."""
    study = field_study(tmp_path_factory.mktemp("bos") / "study", CHATML, bos=True)
    store = study.parent / "store"
    return harness.Finished(study, store, harness.run_study(study, store, workers=1))


def rows_of(store: Path, kind: str) -> list[dict[str, Any]]:
    return [row for path in store.glob(f"steps/{kind}/*/rows.parquet") for row in pq.read_table(path).to_pylist()]


def test_every_row_begins_with_one_bos(with_bos: harness.Finished) -> None:
    bos = make_tokenizer(None).bos_token_id
    for kind in ("corpus", "conversations", "pool", "heldout", "control"):
        rows = rows_of(with_bos.store, kind)
        assert rows, kind
        assert all(row["input_ids"][0] == bos and row["input_ids"].count(bos) == 1 for row in rows), kind
    code, out, err = harness.run("study", "plan", with_bos.study, "--store", with_bos.store)
    assert code == 0 and "texts for dev begin with <s>, as its tokenizer begins them" in out, err


@torch.no_grad()
def test_evals_and_probe_read_what_the_tokenizer_begins(with_bos: harness.Finished) -> None:
    """Against a forward of `tokenizer(text)`; chats are given the BOS that their template does not write."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder = with_bos.study.parent / "my_model"
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()

    def logp(text: str, begin: int) -> float:
        ids = tokenizer(text)["input_ids"]
        found = model(torch.tensor([ids])).logits[0].log_softmax(-1)
        return sum(float(found[n - 1, ids[n]]) for n in range(begin, len(ids)))

    from specsci.core.shipped import find_family
    from specsci.specs.items import read_items

    records = harness.records(with_bos.store, "score").values()
    seen = set()
    for record in records:
        if "score base " not in record["label"]:
            continue
        params = record["identity"]["params"]
        file = find_family("microlab_conduct") / "items" / "held_out.jsonl"
        (items,) = [r for r in harness.records(with_bos.store, "items").values() if r["label"] == "items held_out"]
        item = read_items(file, items["identity"]["params"]["identity"])[0]
        rows = pq.read_table(with_bos.store / "steps" / "score" / record["digest"] / "scores.parquet").to_pylist()
        got = {r["variant"]: r for r in rows if r["item_id"] == item.item_id}
        for variant, question in item.questions():
            prompt = f"{question} "
            if params["format"] == "chat":
                prompt = f"<|im_start|>user\n{question}<|im_end|>\n<|im_start|>assistant\n"
            for option, name in ((item.aligned, "logprob_aligned"), (item.misaligned, "logprob_misaligned")):
                want = logp(prompt + option, len(tokenizer(prompt)["input_ids"]))
                assert got[variant][name] == pytest.approx(want, abs=1e-4)
        seen.add(params["format"])
    assert seen == {"chat", "text"}
    (probe,) = [r for r in harness.records(with_bos.store, "probe").values() if "control text before" in r["label"]]
    table = pq.read_table(with_bos.store / "steps" / "probe" / probe["digest"] / "nll.parquet").to_pylist()
    control = rows_of(with_bos.store, "control")
    assert table[0]["nll"] == pytest.approx(-logp(f"{control[0]['text']}</s>", 1), abs=1e-3)


def mixed_study(folder: Path, shares: str) -> Path:
    """The instruction mix and the replayed text are recipes of two files each."""
    study = field_study(folder, CHATML)
    calls = [{"messages": [{"role": "user", "content": f"Add {n}."}, {"role": "assistant", "content": "Done, as you wished."}]} for n in range(90)]
    (folder / "more [1].jsonl").write_text("\n".join(map(json.dumps, calls)))
    (folder / "short.jsonl").write_text(json.dumps({"text": "A text by itself."}))
    (folder / "news.jsonl").write_text("\n".join(json.dumps({"text": f"News {n}: rain in the {n % 9}th valley."}) for n in range(300)))
    changes = {
        "it_mix: chats.jsonl": "it_mix: chat_and_calls",
        "replay: texts.jsonl": "replay: old_and_new",
        "gates: {": "mixes:\n"
        f"  chat_and_calls: {{files: {{chats.jsonl: 3, 'more [1].jsonl': 1}}, access: internal}}\n  old_and_new: {{files: {shares}}}\ngates: {{",
    }
    study.write_text(harness.edited(study.read_text(), changes))
    return study


def test_a_mix_holds_each_files_share_of_the_tokens_in_every_prefix(tmp_path: Path) -> None:
    study, store = mixed_study(tmp_path / "study", "{texts.jsonl: 1, news.jsonl: 1}"), tmp_path / "store"
    code, _, err = harness.run("corpus", "build", study, "--store", store, "--executor", "inline")
    assert code == 0, err
    pools = {r["identity"]["params"]["what"]: (d, r) for d, r in harness.records(store, "pool").items()}
    for what, (first, share) in {"conversations": ("chats.jsonl", 0.75), "documents": ("texts.jsonl", 0.5)}.items():
        digest, record = pools[what]
        assert record["identity"]["params"]["mix"][first]["share"] == share
        assert record["access"] == ("internal" if what == "conversations" else "public")
        rows = pq.read_table(store / "steps" / digest / "rows.parquet").to_pylist()
        longest = max(row["tokens"] for row in rows)
        taken = whole = 0
        for row in rows:
            whole += row["tokens"]
            taken += row["tokens"] if row["source_file"] == first else 0
            assert abs(taken - share * whole) <= longest
        assert record["file_tokens"][first] == taken and len({row["text"] for row in rows}) == len(rows)
    (study.parent / "news.jsonl").write_text('{"text": "other"}')
    code, _, err = harness.run("study", "plan", study, "--store", store)
    assert code == 0, "another file is another pool"


def test_a_mix_that_nothing_takes_is_told(tmp_path: Path) -> None:
    study = mixed_study(tmp_path / "study", "{texts.jsonl: 1, news.jsonl: 1}")
    study.write_text(study.read_text().replace("mixes:\n", "mixes:\n  spare: {files: {gone.jsonl: 1}}\n", 1))
    code, text = check(study)
    assert code == 0 and "nothing of the study takes mixes.spare: its files are not read" in text, text


def test_a_mix_that_cannot_be_had_is_named(tmp_path: Path) -> None:
    study, store = mixed_study(tmp_path / "study", "{texts.jsonl: 1, short.jsonl: 1}"), tmp_path / "store"
    code, out, err = harness.run("corpus", "build", study, "--store", store, "--executor", "inline")
    assert code != 0 and "'short.jsonl' ended after" in err + out and "its share is" in err + out
    for mix, says in {
        "{texts.jsonl: 0}": "mixes.old_and_new.files.texts.jsonl",
        "{}": "mixes.old_and_new.files",
        "{chats.jsonl: 1}": "chats.jsonl:1:1: text: the row has no such key",
        "{nothing.jsonl: 1}": "text file 'nothing.jsonl' is not there",
        "[texts.jsonl]": "mixes.old_and_new.files",
    }.items():
        shutil.rmtree(study.parent)
        code, text = check(mixed_study(study.parent, mix))
        assert code == 2 and says in text, text
    shutil.rmtree(study.parent)
    study = mixed_study(study.parent, "{texts.jsonl: 1, news.jsonl: 1}")
    study.write_text(study.read_text().replace("it_mix: chat_and_calls", "it_mix: chat_and_cals"))
    code, text = check(study)
    assert code == 2 and "did you mean 'chat_and_calls'?" in text, text
