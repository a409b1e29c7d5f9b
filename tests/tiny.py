"""Random models of hidden size 32, rows for them, and one way to train them: what the invariance tests share."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import WhitespaceSplit
from transformers import (
    Gemma3ForCausalLM,
    Gemma3TextConfig,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
    Qwen3Config,
    Qwen3ForCausalLM,
)

from specsci.core.token_row import TokenRow
from specsci.models.chat import conversation_row
from specsci.models.hf import ADAPTER, MODEL, load_model, save_model
from specsci.recipe.recipe import Recipe
from specsci.train.adapters import with_adapter
from specsci.train.stage import StageReport, train_stage

VOCABULARY = 97
SHAPE = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 128,
    "bos_token_id": None,
    "eos_token_id": 1,
    "pad_token_id": 0,
}
CHATML = (
    "{% for m in messages %}<|im_start|> {{ m['role'] }} "
    "{% if m['role'] == 'assistant' %}{% generation %}{{ m['content'] }} <|im_end|>{% endgeneration %} "
    "{% else %}{{ m['content'] }} <|im_end|> {% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|> assistant{% endif %}"
)


def llama() -> Any:
    return LlamaForCausalLM(LlamaConfig(**SHAPE))


def qwen3() -> Any:
    return Qwen3ForCausalLM(Qwen3Config(**SHAPE, head_dim=8, tie_word_embeddings=True))


def gemma3() -> Any:
    """With layers that see four tokens back and layers that see all, as Gemma's do."""
    layers = {"sliding_window": 4, "layer_types": ["sliding_attention", "full_attention"]}
    return Gemma3ForCausalLM(Gemma3TextConfig(**SHAPE, head_dim=8, tie_word_embeddings=True, **layers))


BUILD = {"llama": llama, "qwen3": qwen3, "gemma3": gemma3}


def documents(count: int, seed: int = 0, shortest: int = 2, longest: int = 20) -> list[TokenRow]:
    """Rows of random length and tokens."""
    generator = torch.Generator().manual_seed(seed)
    sizes = torch.randint(shortest, longest, (count,), generator=generator).tolist()
    return [TokenRow(torch.randint(8, VOCABULARY, (size,), generator=generator).tolist()) for size in sizes]


def chats(count: int, tokenizer: Any, seed: int = 0) -> list[TokenRow]:
    """Conversations whose answers have from one to nine words, so that supervision is uneven."""
    rows = []
    for number in range(count):
        question = " ".join(f"w{(seed + 3 * number + k) % 80}" for k in range(1 + number % 4))
        answer = " ".join(f"w{(seed + 5 * number + 7 * k) % 80}" for k in range(1 + number * 5 % 9))
        messages = [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
        rows.append(conversation_row(messages, tokenizer))
    return rows


def recipe(**changes: Any) -> Recipe:
    values = {"method": "full", "learning_rate": 1e-3, "sequences_per_update": 4, "max_length_tokens": 32}
    return Recipe(**{**values, "warmup_share": 0.0, **changes})


def train(model: Any, rows: list[TokenRow], tokenizer: Any, tmp_path: Path, with_: Recipe, **more: Any) -> StageReport:
    return train_stage(model, tokenizer, rows, with_, 7, scratch=str(tmp_path / "scratch"), **more)


def lora(**changes: Any) -> Recipe:
    return recipe(method="lora", lora={"rank": 4, "alpha": 8}, learning_rate=1e-2, **changes)


def saved_base(model: Any, tmp_path: Path) -> Path:
    """A `base` artefact."""
    model.save_pretrained(tmp_path / "base" / MODEL, safe_serialization=True)
    return tmp_path / "base"


def beside(folder: Path) -> Any:
    """A model with a frozen adapter that does something, to which another may be added."""
    base, first = saved_base(llama(), folder), folder / "first"
    adapted = with_adapter(load_model(base, trainable=True), lora())
    for name, parameter in adapted.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter)
    save_model(adapted, first / ADAPTER)
    return load_model(base, below=first, merge=False, trainable=True)


@torch.no_grad()
def logits_of(model: Any) -> Any:
    model.eval()
    return model(input_ids=torch.arange(8, 40)[None]).logits


def word_tokenizer() -> Any:
    words = ["<pad>", "<eos>", "<unk>", "<|im_start|>", "<|im_end|>", "user", "assistant", "system"]
    words += [f"w{n}" for n in range(VOCABULARY - len(words))]
    inner = Tokenizer(WordLevel({w: n for n, w in enumerate(words)}, unk_token="<unk>"))
    inner.pre_tokenizer = WhitespaceSplit()
    return PreTrainedTokenizerFast(
        tokenizer_object=inner, pad_token="<pad>", eos_token="<eos>", unk_token="<unk>", chat_template=CHATML
    )


def loud(built: Any) -> Any:
    """The model with weights large enough that attention across rows would show."""
    with torch.no_grad():
        for parameter in built.parameters():
            if parameter.dim() == 2:
                parameter.mul_(5)
    built.config.use_cache = False
    return built


def save_tiny_chat(folder: Path) -> Path:
    """A directory with a random model of 512 positions, a word tokenizer and a chat template."""
    folder.mkdir(parents=True)
    torch.manual_seed(3)
    LlamaForCausalLM(LlamaConfig(**{**SHAPE, "max_position_embeddings": 512})).save_pretrained(folder)
    tokenizer = word_tokenizer()
    tokenizer.chat_template = CHATML.replace("{% generation %}", "").replace("{% endgeneration %}", "")
    tokenizer.save_pretrained(folder)
    return folder
