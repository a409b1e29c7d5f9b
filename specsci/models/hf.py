"""Models and tokenizers from directories in the Hugging Face layout, full weights or adapters."""

from __future__ import annotations

import shutil
from functools import lru_cache
from pathlib import Path
from typing import Any

from specsci.errors import UserError, nearest

MODEL, ADAPTER, TOKENIZER = "model", "adapter", "tokenizer"


@lru_cache(maxsize=4)
def _tokenizer(folder: str, stamp: float) -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(folder, local_files_only=True)


def load_tokenizer(artifact: Path) -> Any:
    """The tokenizer of a `tokenizer` artefact."""
    folder = artifact / TOKENIZER
    return _tokenizer(str(folder), folder.stat().st_mtime)


def named_tokenizer(name: str) -> Any:
    """A tokenizer by name: `microlab:WORLD`, or a directory that holds one.

    Raises:
        UserError: neither.
    """
    if name.startswith("microlab:"):
        from specsci.microlab.worlds import WORLDS

        world = name.removeprefix("microlab:").split("/")[0]
        if world not in WORLDS:
            raise UserError(f"no microlab world '{world}'", mend=nearest(world, WORLDS))
        return WORLDS[world].tokenizer()
    folder = Path(name)
    if not any((folder / file).is_file() for file in ("tokenizer.json", "tokenizer_config.json")):
        raise UserError(f"no tokenizer in '{name}'", mend="name a model directory with a tokenizer.json, or microlab:WORLD")
    return _tokenizer(str(folder), folder.stat().st_mtime)


def load_model(base: Path, trained: Path | None = None, *, device: str = "cpu", trainable: bool = False) -> Any:
    """A causal LM: the base itself, a fully trained successor, or the base with a trained adapter.

    Args:
        base: a `base` artefact.
        trained: a `midtrain` or `align` artefact; its own weights, or an adapter over `base`.
        trainable: whether a loaded adapter is to be trained on.
    """
    import torch
    from transformers import AutoModelForCausalLM

    full = trained if trained is not None and (trained / MODEL).is_dir() else base
    model: Any = AutoModelForCausalLM.from_pretrained(full / MODEL, dtype=torch.float32, local_files_only=True)
    model.config.use_cache = False
    if trained is not None and (trained / ADAPTER).is_dir():
        from peft import PeftModel

        model = PeftModel.from_pretrained(model, trained / ADAPTER, is_trainable=trainable)
    return model.to(device)


def save_tokenizer(tokenizer_artifact: Path, target: Path) -> None:
    """Copy a tokenizer's files beside a model, so that the directory serves as it is."""
    shutil.copytree(tokenizer_artifact / TOKENIZER, target, dirs_exist_ok=True)
