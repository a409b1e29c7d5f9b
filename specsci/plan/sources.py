"""Where base models come from, as far as a plan needs to know: their digests, without loading them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from specsci.errors import UserError, nearest
from specsci.ids import digest, file_sha256
from specsci.shipped import PACKAGE

TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "merges.txt",
    "tokenizer.model",
    "chat_template.jinja",
)
REGISTRY = PACKAGE / "microlab" / "bases" / "registry.json"


def microlab_registry() -> dict[str, Any]:
    """The shipped bases by `WORLD/SEED`, with digests of weights and tokenizer and training records."""
    data: dict[str, Any] = json.loads(REGISTRY.read_text(encoding="utf-8"))
    return data


def inside(name: str, folder: Path, what: str) -> Path:
    """A file that a study names, which must lie in the study's folder (links followed)."""
    path = folder / name
    if Path(name).is_absolute() or not path.resolve().is_relative_to(folder.resolve()):
        raise UserError(f"{what} '{name}' lies outside the study's folder", mend=f"put it below {folder}")
    if not path.is_file():
        raise UserError(f"{what} '{name}' is not there", mend=f"put it below {folder}")
    return path


def text_identity(source: str, study_folder: Path) -> dict[str, str]:
    """What identifies a source of replayed text: a microlab world and base, or a file by its content."""
    if source.startswith("microlab:"):
        from specsci.microlab.world import FAMILIES, world_family

        world = source.removeprefix("microlab:").split("/")[0]
        return {"source": source, "grammar": world_family(FAMILIES[world]).grammar_digest}
    return {"source": source, "sha256": file_sha256(inside(source, study_folder, "text file"))}


def base_identity(source: str, study_folder: Path) -> dict[str, Any]:
    """What identifies a base model, and its tokenizer apart.

    Returns:
        `base` and `tokenizer` (both hashable values), and `path` for a directory.

    Raises:
        UserError: unknown microlab base, or a directory that is no model, or lies outside the study's folder.
    """
    if source.startswith("microlab:"):
        registry = microlab_registry()["bases"]
        name = source.removeprefix("microlab:")
        if name not in registry:
            raise UserError(f"no shipped microlab base '{name}'", mend=nearest(name, registry))
        record = registry[name]
        world = name.split("/")[0]
        return {
            "base": {"source": source, "weights_sha256": record["weights_sha256"]},
            "tokenizer": {"microlab": world, "digest": microlab_registry()["tokenizers"][world]},
            "parameters": record["parameters"],
        }
    return _directory_identity(source, study_folder)


def _directory_identity(source: str, study_folder: Path) -> dict[str, Any]:
    given = Path(source)
    folder = given if given.is_absolute() else study_folder / given
    if not given.is_absolute() and not folder.resolve().is_relative_to(study_folder.resolve()):
        raise UserError(
            f"base model '{source}' lies outside the study's folder",
            mend="move it below the study, or give its absolute path",
        )
    if not (folder / "config.json").is_file():
        raise UserError(
            f"base model '{source}' is no microlab base and no model directory",
            mend="use `microlab:WORLD/SEED`, or a directory with config.json, weights and tokenizer",
        )
    files = {p.name: file_sha256(p) for p in sorted(folder.iterdir()) if p.is_file()}
    tokenizer = {name: sha for name, sha in files.items() if name in TOKENIZER_FILES}
    weights = [p for p in folder.glob("*.safetensors")]
    if not weights or not tokenizer:
        missing = "safetensors weights" if not weights else "a tokenizer"
        raise UserError(f"model directory '{source}' has no {missing}", mend="save the model with save_pretrained")
    return {
        "base": {"files": files},
        "tokenizer": {"files": tokenizer, "digest": digest(tokenizer)},
        "path": str(folder.resolve()),
        "parameters": sum(p.stat().st_size for p in weights) // 4,
    }
