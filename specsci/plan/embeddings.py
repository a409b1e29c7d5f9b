"""What identifies the sentence embedding model of an audit, without loading it."""

from __future__ import annotations

from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from specsci.core.errors import UserError
from specsci.core.remembered import remembered_sha256
from specsci.core.step import OUTSIDE
from specsci.core.user_files import lies_below, name_fault
from specsci.sources.hub.names import PREFIX, hub_model
from specsci.study.load import LoadedStudy

EMBEDDING_FILES = ("*.safetensors", "*.json", "*.txt", "*.model", "*.jinja")
"""Files of an embedding model, in its folder and below: weights in safetensors only, configuration, tokenizer."""


def embeddings_of(loaded: LoadedStudy) -> tuple[dict[str, Any], dict[str, Any]]:
    """What the audit's step is told of the model: identity and, beside it, the folder; both empty where the study names none.

    Raises:
        InputFileError: there is no such model, or a hub's is not pinned to a commit.
    """
    settings = loaded.study.audit.embeddings
    if settings is None:
        return {}, {}
    try:
        if settings.model.startswith(PREFIX):
            model = hub_model(settings.model)
            if not model.pinned:
                raise UserError(f"'{settings.model}' is not pinned to a commit", hint="write hub:ORG/NAME@COMMIT, 40 hex digits")
            return {"embeddings": {"hub": model.name, "revision": model.revision}}, {}
        folder = _folder(settings.model, loaded.file.resolve().parent)
        files = {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*")) if path.is_file()}
        wanted = {name: remembered_sha256(path) for name, path in files.items() if any(fnmatch(name, p) for p in EMBEDDING_FILES)}
        if "config.json" not in wanted or not any(name.endswith(".safetensors") for name in wanted):
            raise UserError(f"'{settings.model}' has no config.json with weights in safetensors", hint="name a model directory")
    except UserError as error:
        raise loaded.problem(error, "audit", "embeddings", "model") from error
    return {"files": wanted}, {OUTSIDE: str(folder)}


def _folder(name: str, study_folder: Path) -> Path:
    fault = name_fault(name)
    path = study_folder / name
    if fault or Path(name).is_absolute() or not lies_below(path, study_folder):
        raise UserError(f"'{name}' is no folder below that of the study", hint=f"put the model below {study_folder}, or name hub:ORG/NAME@COMMIT")
    if not path.is_dir():
        raise UserError(f"the folder '{name}' is not there", hint=f"put the model below {study_folder}, or name hub:ORG/NAME@COMMIT")
    return path
