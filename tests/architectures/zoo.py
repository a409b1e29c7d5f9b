"""Tiny random models of many architectures, as strangers bring them: what the examination's tests share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import transformers as tf
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

SPECIAL = ["<|pad|>", "<|end|>", "<|im_start|>", "<|im_end|>", "<s>"]
CHATML = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
VOCABULARY = 261
"""One token a byte, and the special ones."""
IDS = {"bos_token_id": 4, "eos_token_id": 1, "pad_token_id": 0}
LLAMA = {
    "vocab_size": VOCABULARY,
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "max_position_embeddings": 512,
    **IDS,
}
GPT = {
    "vocab_size": VOCABULARY,
    "n_embd": 16,
    "n_layer": 2,
    "n_head": 2,
    "n_positions": 512,
    "resid_pdrop": 0.0,
    "embd_pdrop": 0.0,
    "attn_pdrop": 0.0,
    **IDS,
}
HIDDEN = {"vocab_size": VOCABULARY, "hidden_size": 16, "num_hidden_layers": 2, **IDS}
EXPERTS = {"num_local_experts": 2, "num_experts_per_tok": 1, "router_aux_loss_coef": 0.0}
LAYERS = ["linear_attention", "full_attention"]


def tokenizer() -> Any:
    """One token a byte; ChatML."""
    vocabulary = {t: n for n, t in enumerate([*SPECIAL, *sorted(pre_tokenizers.ByteLevel.alphabet())])}
    inner = Tokenizer(models.BPE(vocabulary, []))
    inner.pre_tokenizer, inner.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    inner.add_special_tokens(SPECIAL)
    return tf.PreTrainedTokenizerFast(
        tokenizer_object=inner, pad_token="<|pad|>", eos_token="<|end|>", bos_token="<s>", chat_template=CHATML
    )


def _of(model: str, config: str, **values: Any) -> Callable[[], Any]:
    return lambda: getattr(tf, model)(getattr(tf, config)(**values))


CAUSAL: dict[str, Callable[[], Any]] = {
    "llama": _of("LlamaForCausalLM", "LlamaConfig", **LLAMA),
    "llama_tied": _of("LlamaForCausalLM", "LlamaConfig", **LLAMA, tie_word_embeddings=True),
    "mistral": _of("MistralForCausalLM", "MistralConfig", **LLAMA, sliding_window=16),
    "mixtral": _of("MixtralForCausalLM", "MixtralConfig", **LLAMA, **EXPERTS),
    "qwen2": _of("Qwen2ForCausalLM", "Qwen2Config", **LLAMA),
    "qwen3": _of("Qwen3ForCausalLM", "Qwen3Config", **LLAMA),
    "qwen3_moe": _of(
        "Qwen3MoeForCausalLM",
        "Qwen3MoeConfig",
        **LLAMA,
        num_experts=4,
        num_experts_per_tok=2,
        router_aux_loss_coef=0.0,
        moe_intermediate_size=16,
    ),
    "qwen3_next": _of(
        "Qwen3NextForCausalLM",
        "Qwen3NextConfig",
        **LLAMA,
        num_experts=4,
        num_experts_per_tok=2,
        router_aux_loss_coef=0.0,
        moe_intermediate_size=16,
        shared_expert_intermediate_size=16,
        linear_key_head_dim=8,
        linear_value_head_dim=8,
        linear_num_key_heads=2,
        linear_num_value_heads=2,
        layer_types=LAYERS,
    ),
    "gemma": _of("GemmaForCausalLM", "GemmaConfig", **LLAMA),
    "gemma2": _of("Gemma2ForCausalLM", "Gemma2Config", **LLAMA, sliding_window=16),
    "gemma3_text": _of(
        "Gemma3ForCausalLM",
        "Gemma3TextConfig",
        **LLAMA,
        sliding_window=16,
        layer_types=["sliding_attention", "full_attention"],
    ),
    "phi": _of("PhiForCausalLM", "PhiConfig", **{k: v for k, v in LLAMA.items() if k != "head_dim"}),
    "phi3": _of("Phi3ForCausalLM", "Phi3Config", **{k: v for k, v in LLAMA.items() if k != "head_dim"}),
    "gpt2": _of("GPT2LMHeadModel", "GPT2Config", **GPT),
    "gpt_bigcode": _of("GPTBigCodeForCausalLM", "GPTBigCodeConfig", **GPT),
    "gpt_neo": _of(
        "GPTNeoForCausalLM",
        "GPTNeoConfig",
        vocab_size=VOCABULARY,
        hidden_size=16,
        num_layers=2,
        num_heads=2,
        window_size=16,
        attention_types=[[["global", "local"], 1]],
        max_position_embeddings=512,
        **IDS,
    ),
    "gpt_neox": _of(
        "GPTNeoXForCausalLM",
        "GPTNeoXConfig",
        **HIDDEN,
        intermediate_size=32,
        num_attention_heads=2,
        max_position_embeddings=512,
    ),
    "gptj": _of("GPTJForCausalLM", "GPTJConfig", **GPT, rotary_dim=4),
    "codegen": _of("CodeGenForCausalLM", "CodeGenConfig", **{**GPT, "n_head": 4}, rotary_dim=4),
    "opt": _of(
        "OPTForCausalLM",
        "OPTConfig",
        **HIDDEN,
        ffn_dim=32,
        num_attention_heads=2,
        word_embed_proj_dim=16,
        dropout=0.0,
        max_position_embeddings=512,
    ),
    "bloom": _of("BloomForCausalLM", "BloomConfig", vocab_size=VOCABULARY, hidden_size=16, n_layer=2, n_head=2, **IDS),
    "falcon": _of("FalconForCausalLM", "FalconConfig", **HIDDEN, num_attention_heads=2),
    "falcon_alibi": _of("FalconForCausalLM", "FalconConfig", **HIDDEN, num_attention_heads=2, alibi=True),
    "mpt": _of(
        "MptForCausalLM", "MptConfig", vocab_size=VOCABULARY, d_model=16, n_layers=2, n_heads=2, max_seq_len=512, **IDS
    ),
    "gpt_oss": _of(
        "GptOssForCausalLM",
        "GptOssConfig",
        **LLAMA,
        **EXPERTS,
        sliding_window=64,
        layer_types=["sliding_attention", "full_attention"],
    ),
    "mamba": _of("MambaForCausalLM", "MambaConfig", **HIDDEN, state_size=4),
    "mamba2": _of(
        "Mamba2ForCausalLM", "Mamba2Config", **HIDDEN, state_size=4, num_heads=4, head_dim=8, n_groups=1, chunk_size=16
    ),
    "falcon_mamba": _of("FalconMambaForCausalLM", "FalconMambaConfig", **HIDDEN, state_size=4),
    "rwkv": _of("RwkvForCausalLM", "RwkvConfig", **HIDDEN, attention_hidden_size=16, context_length=512),
    "recurrent_gemma": _of(
        "RecurrentGemmaForCausalLM",
        "RecurrentGemmaConfig",
        **{**HIDDEN, "num_hidden_layers": 3},
        intermediate_size=32,
        num_attention_heads=2,
        lru_width=16,
        attention_window_size=16,
    ),
    "lfm2": _of(
        "Lfm2ForCausalLM",
        "Lfm2Config",
        **{k: v for k, v in LLAMA.items() if k != "head_dim"},
        layer_types=["conv", "full_attention"],
        block_multiple_of=8,
    ),
    "falcon_h1": _of(
        "FalconH1ForCausalLM",
        "FalconH1Config",
        **LLAMA,
        mamba_d_ssm=16,
        mamba_n_heads=2,
        mamba_d_head=8,
        mamba_d_state=4,
        mamba_n_groups=1,
        mamba_chunk_size=16,
    ),
    "jamba": _of(
        "JambaForCausalLM",
        "JambaConfig",
        **{k: v for k, v in LLAMA.items() if k != "head_dim"},
        num_experts=2,
        num_experts_per_tok=1,
        router_aux_loss_coef=0.0,
        attn_layer_period=2,
        attn_layer_offset=1,
        expert_layer_period=2,
        expert_layer_offset=1,
        mamba_d_state=4,
        mamba_dt_rank=4,
        use_mamba_kernels=False,
    ),
    "olmo": _of("OlmoForCausalLM", "OlmoConfig", **{k: v for k, v in LLAMA.items() if k != "head_dim"}),
    "olmo2": _of("Olmo2ForCausalLM", "Olmo2Config", **{k: v for k, v in LLAMA.items() if k != "head_dim"}),
    "olmoe": _of(
        "OlmoeForCausalLM",
        "OlmoeConfig",
        **{k: v for k, v in LLAMA.items() if k != "head_dim"},
        num_experts=4,
        num_experts_per_tok=2,
        router_aux_loss_coef=0.0,
    ),
    "stablelm": _of("StableLmForCausalLM", "StableLmConfig", **{k: v for k, v in LLAMA.items() if k != "head_dim"}),
    "starcoder2": _of(
        "Starcoder2ForCausalLM", "Starcoder2Config", **{k: v for k, v in LLAMA.items() if k != "head_dim"}, sliding_window=16
    ),
    "cohere": _of("CohereForCausalLM", "CohereConfig", **{k: v for k, v in LLAMA.items() if k != "head_dim"}),
    "cohere2": _of("Cohere2ForCausalLM", "Cohere2Config", **LLAMA, sliding_window=16),
    "granite": _of(
        "GraniteForCausalLM",
        "GraniteConfig",
        **{k: v for k, v in LLAMA.items() if k != "head_dim"},
        logits_scaling=8.0,
        embedding_multiplier=12.0,
    ),
    "smollm3": _of("SmolLM3ForCausalLM", "SmolLM3Config", **{k: v for k, v in LLAMA.items() if k != "head_dim"}),
    "nemotron": _of("NemotronForCausalLM", "NemotronConfig", **LLAMA),
    "deepseek_v3": _of(
        "DeepseekV3ForCausalLM",
        "DeepseekV3Config",
        **{k: v for k, v in LLAMA.items() if k != "head_dim"},
        n_routed_experts=4,
        num_experts_per_tok=2,
        n_group=1,
        topk_group=1,
        moe_intermediate_size=16,
        q_lora_rank=8,
        kv_lora_rank=8,
        qk_nope_head_dim=8,
        qk_rope_head_dim=8,
        v_head_dim=8,
        first_k_dense_replace=1,
    ),
    "persimmon": _of(
        "PersimmonForCausalLM",
        "PersimmonConfig",
        **{k: v for k, v in LLAMA.items() if k not in ("head_dim", "num_key_value_heads")},
    ),
    "xglm": _of(
        "XGLMForCausalLM",
        "XGLMConfig",
        dropout=0.0,
        attention_dropout=0.0,
        activation_dropout=0.0,
        vocab_size=VOCABULARY,
        d_model=16,
        ffn_dim=32,
        num_layers=2,
        attention_heads=2,
        max_position_embeddings=512,
        **IDS,
    ),
    "openai_gpt": _of("OpenAIGPTLMHeadModel", "OpenAIGPTConfig", **{**GPT, "n_positions": 512}),
    "biogpt": _of(
        "BioGptForCausalLM",
        "BioGptConfig",
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        **{k: v for k, v in LLAMA.items() if k not in ("head_dim", "num_key_value_heads")},
    ),
}
"""Causal language models, by a name of ours."""

REFUSED: dict[str, Callable[[], Any]] = {
    "bert": _of(
        "BertForMaskedLM",
        "BertConfig",
        vocab_size=VOCABULARY,
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
    ),
    "bert_both_ways": _of(
        "BertLMHeadModel",
        "BertConfig",
        vocab_size=VOCABULARY,
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        is_decoder=False,
    ),
    "t5": _of(
        "T5ForConditionalGeneration",
        "T5Config",
        vocab_size=VOCABULARY,
        d_model=16,
        d_ff=32,
        num_layers=2,
        num_heads=2,
        d_kv=8,
    ),
    "bart": _of(
        "BartForConditionalGeneration",
        "BartConfig",
        vocab_size=VOCABULARY,
        d_model=16,
        encoder_layers=1,
        decoder_layers=1,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        encoder_ffn_dim=32,
        decoder_ffn_dim=32,
        max_position_embeddings=512,
        **IDS,
    ),
    "reward_model": _of("LlamaForSequenceClassification", "LlamaConfig", **LLAMA),
}
"""Models that are not causal language models."""


def write(build: Callable[[], Any], folder: Path, *, spread: float = 20.0) -> Path:
    """Save a model of random weights, drawn wide enough that answers differ clearly, with its tokenizer."""
    torch.manual_seed(3)
    model = build()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() == 2:
                parameter.mul_(spread)
    model.save_pretrained(folder, safe_serialization=True)
    tokenizer().save_pretrained(folder)
    return folder
