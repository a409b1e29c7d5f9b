"""Models and tokenizers from directories in the Hugging Face layout, full weights or adapters."""

from __future__ import annotations

import gc
import shutil
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from specsci.core.errors import SpecsciError
from specsci.models.generation import settle_generation
from specsci.models.remote_code import copy_code, is_trusted, needs_code
from specsci.sources.registry import source_of

MODEL, ADAPTER, TOKENIZER = "model", "adapter", "tokenizer"
META = "meta"
"""Stands for a device: shapes alone (meta tensors), in main memory that is allocated and never touched. Rank 0 sends the weights."""


@lru_cache(maxsize=4)
def _tokenizer(folder: str, stamp: float) -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)


def load_tokenizer(artifact: Path) -> Any:
    """The tokenizer of a `tokenizer` artefact."""
    folder = artifact / TOKENIZER
    return _tokenizer(str(folder), folder.stat().st_mtime)


def named_tokenizer(name: str) -> Any:
    """A tokenizer by the name of a base that has one: `microlab:WORLD`, or a directory that holds one.

    Raises:
        UserError: there is none of that name.
    """
    return source_of(name).tokenizer(name)


@dataclass(frozen=True)
class WeightFormat:
    """The number format of frozen base weights: a dtype, or 4 bits (NF4, double quantisation) computed in that dtype."""

    weights: str = "fp32"
    quantised: bool = False


FP32 = WeightFormat()
_KEPT: dict[str, Any] = {}
"""The model that was read out last, under what it was loaded with."""


def kept_model(key: str, load: Callable[[], Any]) -> Any:
    """The model of a key: the one that is kept, or a newly loaded one in its place (the old one is let go first)."""
    if key not in _KEPT:
        release_model()
        _KEPT[key] = load()
    return _KEPT[key]


def release_model() -> None:
    """Let the kept model go, and give its memory back: a training stage wants the whole device."""
    _KEPT.clear()
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        gc.collect()  # trainers leave reference cycles; on a CPU the collector comes in time by itself
        torch.cuda.empty_cache()


def load_model(
    base: Path,
    trained: Path | None = None,
    *,
    below: Path | None = None,
    merge: bool = True,
    weight_format: WeightFormat = FP32,
    device: str = "cpu",
    trainable: bool = False,
    scratch: Path | None = None,
) -> Any:
    """A causal LM: the base itself, a fully trained successor, or the base with trained adapters.

    Args:
        base: a `base` artefact.
        trained: a `midtrain` or `align` artefact; its own weights, or an adapter over what lies below.
        below: the artefact that `trained` (or a new adapter) stands on, where it did not go on from it.
        merge: whether an adapter of `below` is merged into the base; else it acts beside, frozen.
        device: where it is to be; META for empty weights, its shapes alone.
        trainable: whether the adapter of `trained` is to be trained on.
        scratch: where a merged model may lie for a moment; the system's temporary directory where none is named.
    """
    folders = [f for f in (trained, below, base) if f is not None]
    start = next(f for f in folders if (f / MODEL).is_dir()) / MODEL
    lower = below / ADAPTER if below is not None and start == base / MODEL and (below / ADAPTER).is_dir() else None
    upper = trained / ADAPTER if trained is not None and (trained / ADAPTER).is_dir() else None
    if lower is not None and merge:
        model = _merged(start, lower, weight_format, device, scratch)
        lower = None
    else:
        model = load_weights(start, weight_format, device)
    if lower is not None:
        model = _peft(model, lower, "below")
    if upper is None:
        return model
    if lower is None:
        return _peft(model, upper, "default", trainable=trainable)
    model.load_adapter(upper, "default", is_trainable=trainable)
    model.base_model.set_adapter(["below", "default"], inference_mode=not trainable)
    return model


def load_weights(
    folder: Path, weight_format: WeightFormat = FP32, device: str = "cpu", *, trusted: bool | None = None
) -> Any:
    """The causal LM of a plain model directory, in the given format; where `device` is META, with empty weights.

    `trusted` says whether code that it brings may run; where not given, the artefact that it lies in does. Generation
    settings that could not be saved again are left out.

    Raises:
        SpecsciError: the weights are not those of the model: names are missing, or of another shape.
    """
    trusted = is_trusted(folder) if trusted is None else trusted
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM, BitsAndBytesConfig

    dtype = {"fp32": torch.float32, "bf16": torch.bfloat16}[weight_format.weights]
    more: dict[str, Any] = {}
    if weight_format.quantised:
        more["quantization_config"] = BitsAndBytesConfig(
            load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True, bnb_4bit_compute_dtype=dtype
        )
        more["device_map"] = {"": device}
    source: dict[str, Any] = {"local_files_only": True, "trust_remote_code": trusted}
    try:
        if device == META:
            config = AutoConfig.from_pretrained(folder, **source)
            with torch.device("meta"):
                model: Any = AutoModelForCausalLM.from_config(config, dtype=dtype, trust_remote_code=trusted)
            model.to_empty(device="cpu").tie_weights()
        else:
            named = {"output_loading_info": True, "use_safetensors": True, "ignore_mismatched_sizes": True}
            loading: Any = {**named, "dtype": dtype, **source, **more}
            loaded: Any = AutoModelForCausalLM.from_pretrained(folder, **loading)
            model, info = loaded
            _check_complete(folder, info)
    except ValueError as error:
        if "trust_remote_code" in str(error):
            raise needs_code(folder, error) from error
        raise
    if weight_format.quantised:
        _keep_layout(model)
    model.config.use_cache = False
    settle_generation(model)
    return model if weight_format.quantised or device == META else model.to(device)


def _keep_layout(model: Any) -> None:
    """Keep 4-bit weights in the layout that they can be trained in, on processors with AVX512-BF16 too.

    There bitsandbytes 0.50 repacks a layer's weights in its first forward outside training, for a product that passes no gradient
    on: training after it would go on without the gradients of all layers below, with a warning at most.
    """
    for module in model.modules():
        if hasattr(module, "support_avx512bf16_for_cpu"):
            module.support_avx512bf16_for_cpu = False


def _check_complete(folder: Path, info: dict[str, Any]) -> None:
    """What a checkpoint lacks, transformers fills with random numbers, and says so in a log that nobody reads."""
    missing = sorted(info["missing_keys"]) + sorted(str(key[0]) for key in info["mismatched_keys"])
    if missing:
        more = f" and {len(missing) - 4} more" if len(missing) > 4 else ""
        raise SpecsciError(
            f"the weights in {folder} lack {', '.join(missing[:4])}{more}, which would be random numbers",
            hint="save the model with save_pretrained; `specsci model check DIR` says more",
        )


def _peft(model: Any, adapter: Path, name: str, *, trainable: bool = False) -> Any:
    from peft import PeftModel

    return PeftModel.from_pretrained(model, adapter, adapter_name=name, is_trainable=trainable)


def _merged(start: Path, adapter: Path, weight_format: WeightFormat, device: str, scratch: Path | None) -> Any:
    """A model with an adapter merged into its weights: in fp32, and only then put into the given format."""
    if device == META:
        return load_weights(start, weight_format, device)
    merged = _peft(load_weights(start), adapter, "default").merge_and_unload()
    if weight_format == FP32:
        return merged.to(device)
    with tempfile.TemporaryDirectory(dir=scratch) as folder:
        merged.save_pretrained(folder, safe_serialization=True)
        copy_code(start, Path(folder))
        del merged
        return load_weights(Path(folder), weight_format, device, trusted=is_trusted(start))


def folded(model: Any) -> Any:
    """A model that is read and not trained, its adapters folded into its weights, which saves their products in every layer.

    Weights must be fp32: there log-probabilities stay the same to some 1e-5 nats; in other formats the sum would be rounded. A model
    without adapters, or with one on an output layer that shares its weights with the input, stays as it is.
    """
    if not hasattr(model, "peft_config"):
        return model
    bare = model.get_base_model()
    shares = bare.get_input_embeddings().weight is getattr(bare.get_output_embeddings(), "weight", None)
    return model if shares and hasattr(bare.get_output_embeddings(), "base_layer") else model.merge_and_unload()


def pad_id(tokenizer: Any) -> int:
    """The id that fills a batch; it is masked everywhere, so that any will do where a tokenizer names none."""
    return tokenizer.pad_token_id if tokenizer.pad_token_id is not None else 0


def save_model(model: Any, target: Path, state: dict[str, Any] | None = None) -> None:
    """Save a trained model: all its weights, or the adapter that was trained (one frozen below it lies with its owner).

    `state` are its weights where the model itself holds only a part of them.
    """
    more: dict[str, Any] = {"selected_adapters": ["default"]} if hasattr(model, "peft_config") else {}
    if state is not None:
        more["state_dict"] = state
    model.save_pretrained(target, safe_serialization=True, **more)


def save_tokenizer(tokenizer_artifact: Path, target: Path) -> None:
    """Copy a tokenizer's files beside a model, so that the directory serves as it is."""
    shutil.copytree(tokenizer_artifact / TOKENIZER, target, dirs_exist_ok=True)
