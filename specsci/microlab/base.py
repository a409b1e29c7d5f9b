"""The shipped bases: weights beside this module, written out in the Hugging Face layout."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from specsci.core.errors import CorruptArtifact
from specsci.core.ids import digest, file_sha256
from specsci.microlab.pretrain import RECIPE, Pretrained, new_model
from specsci.microlab.source import PREFIX, REGISTRY
from specsci.microlab.worlds import WORLDS
from specsci.store.artifact import write_json

BASES = REGISTRY.parent


def write_tokenizer(world: str, target: Path) -> str:
    """Save a world's tokenizer; returns the digest of what decides its tokens."""
    tokenizer = WORLDS[world].tokenizer()
    tokenizer.save_pretrained(target)
    return tokenizer_digest(world)


def tokenizer_digest(world: str) -> str:
    """Digest of a world's vocabulary and chat template."""
    tokenizer = WORLDS[world].tokenizer()
    return digest({"vocabulary": tokenizer.get_vocab(), "template": tokenizer.chat_template})


def write_base(source: str, weights_sha256: str, target: Path) -> dict[str, Any]:
    """Write a shipped base as a model directory.

    Raises:
        CorruptArtifact: the shipped weights are not the registered ones.
    """
    world, seed = source.removeprefix(PREFIX).split("/")
    weights = BASES / f"{world}-{seed}.safetensors"
    if not weights.is_file() or file_sha256(weights) != weights_sha256:
        raise CorruptArtifact(
            f"the shipped weights of {source} are not the registered ones",
            digest=weights_sha256,
            where=str(weights),
            hint=f"restore the file, or rebuild it with `specsci microlab pretrain {world} {seed}`",
        )
    tokenizer = WORLDS[world].tokenizer()
    model = new_model(tokenizer, 0)
    state = {name: tensor.to(torch.float32) for name, tensor in load_file(weights).items()}
    missing, unexpected = model.load_state_dict(state, strict=False)
    if unexpected or set(missing) - {"lm_head.weight"}:
        raise CorruptArtifact(f"{source}: weights do not fit the model", digest=weights_sha256, where=str(weights))
    model.tie_weights()
    model.save_pretrained(target, safe_serialization=True)
    tokenizer.save_pretrained(target)
    return {"parameters": sum(p.numel() for p in model.parameters())}


def register(record: Pretrained, competence: dict[str, float]) -> None:
    """Enter a base into the registry, with its training record and its competence figures."""
    registry = json.loads(REGISTRY.read_text(encoding="utf-8")) if REGISTRY.is_file() else {"tokenizers": {}, "bases": {}}
    tokenizer = WORLDS[record.world].tokenizer()
    registry["tokenizers"][record.world] = tokenizer_digest(record.world)
    registry["recipe"] = RECIPE.model_dump(mode="json", exclude_defaults=True)
    parameters = sum(p.numel() for p in new_model(tokenizer, 0).parameters())
    entry = {**asdict(record), "parameters": parameters, "competence": competence}
    registry["bases"][f"{record.world}/{record.seed}"] = entry
    registry["bases"] = dict(sorted(registry["bases"].items()))
    write_json(REGISTRY, registry)
