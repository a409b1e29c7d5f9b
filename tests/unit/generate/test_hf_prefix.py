"""The beginning that prompts share is read once, and changes no reply; models with another sort of state are left alone."""

from __future__ import annotations

from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
from tiny import CHATML, SHAPE, loud, save_tiny_chat, word_tokenizer  # noqa: E402
from transformers import LlamaConfig, LlamaForCausalLM, MambaConfig, MambaForCausalLM, MistralConfig, MistralForCausalLM  # noqa: E402

from specsci.generate.backends.hf import prefix  # noqa: E402
from specsci.generate.backends.hf.backend import HFEngine  # noqa: E402
from specsci.generate.request import Message, ModelRequest  # noqa: E402
from specsci.generate.settings import GeneratorSettings  # noqa: E402

SIZES = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "num_key_value_heads": 2, "max_position_embeddings": 512}


def model_of(kind: str, folder: Path) -> Path:
    save_tiny_chat(folder)
    words = {"vocab_size": SHAPE["vocab_size"]}
    torch.manual_seed(4)
    made = {
        "llama": lambda: LlamaForCausalLM(LlamaConfig(**{**SHAPE, "max_position_embeddings": 512})),
        "sliding": lambda: MistralForCausalLM(MistralConfig(**words, **SIZES, intermediate_size=64, sliding_window=16)),
        "mamba": lambda: MambaForCausalLM(MambaConfig(**words, hidden_size=32, state_size=4, num_hidden_layers=2)),
    }[kind]()
    loud(made).save_pretrained(folder)
    tokenizer = word_tokenizer()
    tokenizer.chat_template = CHATML.replace("{% generation %}", "").replace("{% endgeneration %}", "")
    tokenizer.save_pretrained(folder)
    return folder


def asked(count: int, spec_words: int, temperature: float) -> list[ModelRequest]:
    spec = " ".join(["keep the records whole and ask first"] * (spec_words // 7))
    questions = [Message("user", " ".join(["which one is it then"] * (1 + n % 4)) + f" {n}") for n in range(count)]
    params = {"temperature": temperature}
    return [
        ModelRequest(backend="hf", provider="here", model="m", messages=(Message("system", spec), q), max_tokens=12, params=params, sample=0)
        for q in questions
    ]


def replies(folder: Path, requests: list[ModelRequest], **engine: object) -> tuple[dict[str, str], HFEngine]:
    found = HFEngine(GeneratorSettings(backend="hf", model=str(folder), engine={"batch_sequences": 3, "device": "cpu", **engine}))
    return {digest: (reply.text, reply.usage.input_tokens) for digest, reply in found.replies(requests)}, found


@pytest.mark.parametrize("kind", ["llama", "sliding", "mamba"])
@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_replies_are_those_without_a_kept_beginning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, temperature: float) -> None:
    folder = model_of(kind, tmp_path / "model [1]")
    requests = asked(8, 140, temperature)
    kept, engine = replies(folder, requests)
    assert bool(engine.prefixes._ids) is (kind == "llama"), "other states are not kept"
    monkeypatch.setattr(prefix, "LEAST_TOKENS", 10**9)
    plain, engine = replies(folder, requests)
    assert not engine.prefixes._ids and kept == plain and len(plain) == 8


def test_one_reading_serves_all_batches_and_another_spec_is_read_anew(tmp_path: Path) -> None:
    folder = model_of("llama", tmp_path / "m")
    read: list[int] = []
    engine = HFEngine(GeneratorSettings(backend="hf", model=str(folder), engine={"batch_sequences": 2, "device": "cpu"}))
    compute = engine.prefixes._compute
    engine.prefixes._compute = lambda ids: (read.append(len(ids)), compute(ids))[1]
    assert len(list(engine.replies(asked(8, 140, 0.0)))) == 8 and len(read) == 1
    assert len(list(engine.replies(asked(4, 280, 0.0)))) == 4 and len(read) == 2
    assert len(list(engine.replies(asked(4, 7, 0.0)))) == 4 and len(read) == 2, "a short beginning is not kept"


def test_shared_beginnings_leave_a_token_to_each() -> None:
    assert prefix.shared_length([[1, 2, 3], [1, 2, 3]]) == 2
    assert prefix.shared_length([[1, 2, 3], [1, 4, 3]]) == 1
    assert prefix.shared_length([[5], [5, 6]]) == 0
    assert prefix.shared_length([[7, 8]]) == 1
