"""What identifies bases, texts and chat templates that a study names, without loading any of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from specsci.core.errors import UserError
from specsci.core.remembered import remembered_sha256
from specsci.sources.files import inside
from specsci.sources.registry import source_of
from specsci.sources.source import BaseFacts


def base_identity(name: str, study_folder: Path) -> BaseFacts:
    """What identifies a base model and its tokenizer, by the name that a study gives it.

    Raises:
        UserError: there is no such base.
    """
    return source_of(name).facts(name, study_folder)


def is_text_file(name: str) -> bool:
    """Whether a name of replayed text means a file of the user's, not a model source's own text."""
    return not source_of(name).prefix


def text_identity(name: str, study_folder: Path) -> dict[str, Any]:
    """What identifies replayed text: a model source's own, or a file by its content.

    Raises:
        UserError: no such text or file.
    """
    if is_text_file(name):
        return {"source": name, "sha256": remembered_sha256(inside(name, study_folder, "text file"))}
    own = source_of(name).text_identity(name)
    if own is None:
        raise UserError(f"'{name}' does not come with its pretraining text", hint="name a file of texts")
    return own


def chat_identity(template: str, variables: dict[str, Any], study_folder: Path) -> dict[str, Any]:
    """What a study declares about a base's chat template: its text and its variables' values; empty where nothing.

    Raises:
        UserError: the template's file is empty or is not valid UTF-8.
    """
    out: dict[str, Any] = {}
    if template:
        try:
            data = inside(template, study_folder, "chat template").read_bytes()
            text = data.decode("utf-8-sig").replace("\r\n", "\n").replace("\r", "\n")
        except UnicodeDecodeError as error:
            what = f"chat template '{template}' is not valid UTF-8 (byte {error.start + 1})"
            raise UserError(what, hint="save it as UTF-8") from error
        if not text.strip():
            raise UserError(f"chat template '{template}' is empty", hint="write the template, or name none")
        out["text"] = text
    if variables:
        out["variables"] = dict(variables)
    return out
