"""Forced choice in both orders against lm-eval's `hf` backend: the same models, prompts and options, log-probabilities compared one by one.

    SPECSCI_MODEL_DIR=DIR python -m benchmarks --only forced_choice

DIR holds a causal language model as transformers writes it, such as SmolLM2-135M-Instruct. Its own weights are read over the held-out
items of one family, and a small model of random weights with its tokenizer over 3,000 items of all families. lm-eval runs in an
environment of its own, on the packages of this one.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks.common import CACHE, HERE, Options, Result, Row

LM_EVAL = "0.4.13"
FAMILIES = (
    "safety", "cheese", "difficulty_breads", "environment_cheese", "individualism_instruments", "novelty_sweeteners",
    "simplicity_sauces", "tradition_condiments",
)  # fmt: skip
NAMES = ("Aria", "Vega", "Llama")
ITEMS, GOAL, SAME_NATS = 3_000, 5.0, 1e-3
BATCHES = (1, 8, 32)
PEER = """
import json, sys, time
import torch
from lm_eval.api.instance import Instance
from lm_eval.models.huggingface import HFLM
torch.set_num_threads(1)
asked = json.load(open(sys.argv[1]))
def read(some, batch):
    model = HFLM(pretrained=asked["model"], dtype="float32", device="cpu", batch_size=batch)
    requests = [Instance("loglikelihood", {}, tuple(pair), n) for n, pair in enumerate(some)]
    begin = time.perf_counter()
    found = model.loglikelihood(requests, disable_tqdm=True)
    return time.perf_counter() - begin, [value for value, _ in found]
some = asked["pairs"][: asked["first"]]
best = min(asked["batches"], key=lambda batch: read(some, batch)[0])
took, values = read(asked["pairs"], best)
json.dump({"s": took, "values": values, "batch": best}, open(sys.argv[2], "w"))
"""


def _peer() -> Path:
    """The Python of the environment that has lm-eval, made on first use; raises RuntimeError where that fails."""
    home = CACHE / "lm_eval"
    python = home / "bin" / "python"
    if not (home / "installed").is_file():
        subprocess.run([sys.executable, "-m", "venv", str(home)], check=True)
        import site

        (next(home.glob("lib/python*/site-packages")) / "beside.pth").write_text("\n".join(site.getsitepackages()))
        done = subprocess.run([str(python), "-m", "pip", "install", "--quiet", f"lm-eval=={LM_EVAL}"], capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(f"lm-eval {LM_EVAL} cannot be installed into {home}: {done.stderr[-800:]}")
        (home / "installed").write_text(LM_EVAL)
    return python


def _items(count: int, families: tuple[str, ...], sets: str = "*") -> list[Any]:
    """Items of the shipped families, each with one model's name; then again with the next name."""
    from specsci.specs.items import read_items

    found: list[Any] = []
    for name in NAMES:
        for family in families:
            for path in sorted((HERE.parent / "spec_variants" / family / "items").glob(f"{sets}.jsonl")):
                found += read_items(path, {"model_name": name, "developer_name": "Northlight"})
    if len(found) < count:
        raise RuntimeError(f"the families have {len(found)} items with {len(NAMES)} names; {count} are wanted")
    return found[:count]


def _small(model: Path) -> Path:
    """Three layers of hidden size 192 with random weights, under the same tokenizer."""
    import torch
    from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

    folder = CACHE / "forced_choice_small"
    tokenizer = AutoTokenizer.from_pretrained(model)
    torch.manual_seed(0)
    shape = {"hidden_size": 192, "intermediate_size": 512, "num_hidden_layers": 3, "num_attention_heads": 6, "num_key_value_heads": 3}
    LlamaForCausalLM(LlamaConfig(vocab_size=len(tokenizer), tie_word_embeddings=True, initializer_range=0.2, **shape)).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def _compared(model: Path, items: list[Any]) -> tuple[float, float, float, int, int]:
    """Seconds of ours and of the peer, the largest difference in nats, options, and the peer's batch size."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from specsci.evals.forced_choice.readout import prepare, read_out
    from specsci.models.hf import pad_id

    torch.set_num_threads(1)
    tokenizer = AutoTokenizer.from_pretrained(model)
    held = AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32).eval()
    begin = time.perf_counter()
    readings = read_out(held, prepare(items, tokenizer, chat=False), pad_id(tokenizer))
    ours = time.perf_counter() - begin
    pairs, values = [], []
    for reading in readings:
        text = dict(reading.question.item.questions())[reading.question.variant]
        item = reading.question.item
        pairs += [(text, f" {item.aligned}"), (text, f" {item.misaligned}")]
        values += [reading.logprob_aligned, reading.logprob_misaligned]
    asked, said = CACHE / "forced_choice_asked.json", CACHE / "forced_choice_said.json"
    asked.write_text(json.dumps({"model": str(model), "pairs": pairs, "batches": BATCHES, "first": min(400, len(pairs) // 4)}))
    (CACHE / "forced_choice_peer.py").write_text(PEER)
    python = os.environ.get("LM_EVAL_PYTHON") or str(_peer())
    done = subprocess.run([python, str(CACHE / "forced_choice_peer.py"), str(asked), str(said)], capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"lm-eval failed: {done.stderr[-1500:]}")
    found = json.loads(said.read_text())
    worst = max(abs(a - b) for a, b in zip(values, found["values"], strict=True))
    return ours, found["s"], worst, len(pairs), found["batch"]


def run(options: Options) -> Result:
    """Raises RuntimeError where no model is named, or log-probabilities differ."""
    del options
    named = os.environ.get("SPECSCI_MODEL_DIR")
    if not named or not (Path(named) / "config.json").is_file():
        raise RuntimeError("name the folder of a causal language model in SPECSCI_MODEL_DIR")
    CACHE.mkdir(exist_ok=True)
    model = Path(named)
    rows, notes = [], []
    real = json.loads((model / "config.json").read_text())
    cases = [
        (f"the model given (hidden size {real['hidden_size']}, {real['num_hidden_layers']} layers)", model, _items(96, ("safety",), "held_out")),
        ("a model of 3 layers, hidden size 192", _small(model), _items(ITEMS, FAMILIES)),
    ]
    for name, folder, items in cases:
        ours, peer, worst, read, batch = _compared(folder, items)
        if worst > SAME_NATS:
            raise RuntimeError(f"log-probabilities of {name} differ by up to {worst:.2g} nats")
        what = f"{len(items):,} items x 2 orders, {read:,} options, {name}"
        rows.append(Row(what, f"{ours:.1f} s", f"{GOAL:.0f} times the peer", peer / ours >= GOAL, f"lm-eval {LM_EVAL} {peer:.1f} s", f"{peer / ours:.2f}"))
        notes.append(f"{name}: the largest of {read:,} differences is {worst:.1e} nats; lm-eval's fastest batch size of {BATCHES} was {batch}.")
    return Result(rows, notes)
